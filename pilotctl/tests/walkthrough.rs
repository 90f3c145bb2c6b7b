//! The public documents' walk-through, with three processes and nothing shared but the loopback.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test that cannot go on has failed the test")]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything that has to happen by itself.
const PATIENCE: Duration = Duration::from_secs(30);

struct Rendezvous {
    process: Child,
    registry: String,
    beacon: String,
}

impl Rendezvous {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_pilotctl"))
            .args(["--json", "rendezvous", "start", "--registry-listen", "127.0.0.1:0"])
            .args(["--beacon-listen", "127.0.0.1:0,127.0.0.1:0", "--data"])
            .arg(folder.join("rendezvous"))
            .env_clear()
            .env("HOME", folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let about: Value = serde_json::from_str(&line).unwrap();
        let beacon: Vec<_> = about["data"]["beacon"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        Self { registry: about["data"]["registry"].as_str().unwrap().to_owned(), beacon: beacon.join(","), process }
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A user with a daemon of their own.
struct Agent<'r> {
    home: tempfile::TempDir,
    rendezvous: &'r Rendezvous,
}

impl<'r> Agent<'r> {
    fn start(hostname: &str, rendezvous: &'r Rendezvous) -> Self {
        let agent = Self { home: tempfile::tempdir().unwrap(), rendezvous };
        let (code, started) = agent.run(&["daemon", "start", "--hostname", hostname]);
        assert_eq!(code, 0, "{started}\n{}", agent.log());
        assert_eq!(started["data"]["hostname"], hostname);
        agent
    }

    fn run(&self, arguments: &[&str]) -> (i32, Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_pilotctl"))
            .arg("--json")
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path().join("run"))
            .env("PILOT_REGISTRY", &self.rendezvous.registry)
            .env("PILOT_BEACON", &self.rendezvous.beacon)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let body = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap_or(-1), body.unwrap_or_else(|| format!("{text}{stderr}").into()))
    }

    fn ok(&self, arguments: &[&str]) -> Value {
        let (code, body) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {body}\n{}", self.log());
        body["data"].clone()
    }

    /// Asks again until the answer is right.
    fn until(&self, arguments: &[&str], right: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, body) = self.run(arguments);
            if right(&body["data"]) {
                return body["data"].clone();
            }
            assert!(Instant::now() < deadline, "{arguments:?} still says {body}\n{}", self.log());
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join(".local/state/pilot/daemon.log")).unwrap_or_default()
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.run(&["daemon", "stop"]);
    }
}

//= spec/ports.md#pp-port-8
//= type=test
//# Port 1001 serves data exchange in the daemon.
#[test]
fn two_agents_meet_talk_and_part() {
    let folder = tempfile::tempdir().unwrap();
    let rendezvous = Rendezvous::start(folder.path());
    let a = Agent::start("agent-a", &rendezvous);
    let b = Agent::start("agent-b", &rendezvous);

    // Private by default: a stranger gets no answer, and soon.
    let began = Instant::now();
    let (code, body) = a.run(&["connect", "agent-b", "--message", "too early"]);
    assert!([4, 5, 6, 7].contains(&code), "{code} {body}");
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());

    a.ok(&["trust", "add", "agent-b", "--reason", "walk-through"]);
    b.until(&["trust", "pending"], |data| data["total"] == 1);
    b.ok(&["trust", "add", "agent-a"]);
    a.until(&["trust", "list"], |data| data["trusted"][0]["mutual"] == true);

    let sent = a.ok(&["connect", "agent-b", "--message", "{\"task\":\"analyze\"}"]);
    assert_eq!((&sent["acked"], &sent["ack"]), (&true.into(), &"ACK JSON 18 bytes".into()));
    let inbox = b.ok(&["msg", "inbox"]);
    assert_eq!(inbox["messages"][0]["data"], "{\"task\":\"analyze\"}");

    let path = folder.path().join("data.bin");
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &content).unwrap();
    let file = a.ok(&["file", "send", "agent-b", path.to_str().unwrap()]);
    assert_eq!((&file["verified"], &file["bytes"]), (&true.into(), &12_000_000.into()));
    let received = b.ok(&["file", "list"]);
    assert_eq!(std::fs::read(received["files"][0]["path"].as_str().unwrap()).unwrap(), content);

    let ping = a.ok(&["ping", "agent-b", "-c", "10", "--until-direct"]);
    assert_eq!(ping["direct"], true);
    let status = a.ok(&["status"]);
    assert_eq!(status["hostname"], "agent-a");
    assert_eq!(
        (&status["peer_list"][0]["path"], &status["peer_list"][0]["encrypted"]),
        (&"direct".into(), &true.into())
    );
    assert_eq!(a.run(&["netcheck"]).0, 0);

    a.ok(&["trust", "remove", "agent-b"]);
    let began = Instant::now();
    let (code, body) = b.run(&["connect", "agent-a", "--message", "still there?"]);
    assert!([5, 6, 7].contains(&code), "{code} {body}");
    assert!(!body["message"].as_str().unwrap().is_empty());
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    let began = Instant::now();
    let (code, _) = a.run(&["connect", "agent-b", "--message", "hello?"]);
    assert!([5, 6, 7].contains(&code), "{code}");
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
}

#[test]
fn a_daemon_keeps_its_identity_and_refuses_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let rendezvous = Rendezvous::start(folder.path());
    let agent = Agent::start("keeper", &rendezvous);
    let before = agent.ok(&["identity", "show"]);
    assert_eq!(agent.run(&["daemon", "start"]).0, 8);
    assert_eq!(agent.ok(&["daemon", "status"])["running"], true);
    agent.ok(&["daemon", "stop"]);
    assert_eq!(agent.run(&["daemon", "status"]).0, 3);
    agent.ok(&["daemon", "start", "--hostname", "keeper"]);
    let after = agent.ok(&["identity", "show"]);
    assert_eq!((&after["public_key"], &after["address"]), (&before["public_key"], &before["address"]));
}

#[test]
fn a_recorded_daemon_does_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let rendezvous = Rendezvous::start(folder.path());
    let agent = Agent::start("recorded", &rendezvous);
    agent.ok(&["daemon", "stop"]);
    let file = folder.path().join("run.rec");
    let file = file.to_str().unwrap();
    let (code, started) = agent.run(&["daemon", "start", "--hostname", "recorded", "--record", file]);
    assert_eq!(code, 0, "{started}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    agent.ok(&["lookup", "recorded"]);
    agent.ok(&["daemon", "stop"]);

    let output = Command::new(env!("CARGO_BIN_EXE_pilotctl")).args(["--json", "replay", file]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("Registered {"), "{text}");
    let end: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(end["data"]["same"] == true && end["data"]["checkpoints"].as_u64().unwrap() > 3, "{end}");

    let mut damaged = std::fs::read(file).unwrap();
    damaged[50] ^= 1;
    std::fs::write(file, damaged).unwrap();
    let (code, body) = agent.run(&["replay", file]);
    assert_eq!(code, 1, "a byte of the seed: everything random is another: {body}");
    // A recording overwrites nothing.
    assert_ne!(agent.run(&["daemon", "start", "--record", file]).0, 0);
}
