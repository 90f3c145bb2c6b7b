//! The real program in its roles: a rendezvous server, and agents with a home of their own.

use super::netns::{Lab, RENDEZVOUS, Site};
use super::process::{self, Ended, Running};
use super::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for anything that has to happen by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// `rendezvous start`, with its data in a folder of its own. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    process: Running,
    enter: Vec<String>,
    folder: TempDir,
    registry: String,
    beacon: String,
}

impl Rendezvous {
    /// On loopback, wherever ports are free.
    pub(crate) fn on_loopback() -> Self {
        Self::start(Vec::new(), "127.0.0.1:0", "127.0.0.1:0,127.0.0.1:0")
    }

    /// On the laboratory's rendezvous host, on the usual ports.
    pub(crate) fn in_lab(lab: &Lab) -> Self {
        let [registry, first, second] = [9000, 9001, 9002].map(|port| format!("{RENDEZVOUS}:{port}"));
        Self::start(lab.prefix("rv"), &registry, &format!("{first},{second}"))
    }

    fn start(enter: Vec<String>, registry: &str, beacon: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = process::start(Self::command(&enter, folder.path(), registry, beacon));
        let about = Self::announced(&mut process);
        let beacons: Vec<&str> = about["beacon"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let (registry, beacon) = (about["registry"].as_str().unwrap().to_owned(), beacons.join(","));
        Self { process, enter, folder, registry, beacon }
    }

    fn command(enter: &[String], folder: &Path, registry: &str, beacon: &str) -> Command {
        let mut command = pilotctl(enter, folder);
        command.args(["--json", "rendezvous", "start", "--registry-listen", registry, "--beacon-listen", beacon]);
        command.arg("--data").arg(folder.join("data"));
        command
    }

    /// The line it says when it listens.
    fn announced(process: &mut Running) -> Value {
        let line = wait::within(PATIENCE, || {
            let said: Option<Value> = process.stdout().lines().next().and_then(|line| serde_json::from_str(line).ok());
            if said.is_none() && process.has_ended() { Some(Value::Null) } else { said }
        });
        match line {
            Some(line) if line["status"] == "ok" => line["data"].clone(),
            _ => panic!("the rendezvous server does not start: {}{}", process.stdout(), process.stderr()),
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Self::kill`]: same addresses, same data.
    pub(crate) fn restart(&mut self) {
        self.process = process::start(Self::command(&self.enter, self.folder.path(), &self.registry, &self.beacon));
        Self::announced(&mut self.process);
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn registry(&self) -> &str {
        &self.registry
    }

    /// Its beacon's first address.
    pub(crate) fn beacon(&self) -> &str {
        self.beacon.split(',').next().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.process.stderr()
    }
}

/// A user with a home and a daemon of their own. Dropped, the daemon is killed.
#[derive(Debug)]
pub(crate) struct Agent {
    home: TempDir,
    enter: Vec<String>,
    registry: String,
    beacon: String,
    hostname: String,
}

impl Agent {
    /// Starts a daemon on this machine and waits until it is registered.
    pub(crate) fn on_loopback(hostname: &str, rendezvous: &Rendezvous) -> Self {
        Self::start(Vec::new(), hostname, rendezvous)
    }

    /// Starts a daemon on a site of the laboratory and waits until it is registered.
    pub(crate) fn in_lab(hostname: &str, rendezvous: &Rendezvous, lab: &Lab, site: Site) -> Self {
        Self::start(lab.prefix(site.host()), hostname, rendezvous)
    }

    fn start(enter: Vec<String>, hostname: &str, rendezvous: &Rendezvous) -> Self {
        let (registry, beacon) = (rendezvous.registry.clone(), rendezvous.beacon.clone());
        let home = tempfile::tempdir().unwrap();
        let agent = Self { home, enter, registry, beacon, hostname: hostname.to_owned() };
        agent.start_daemon();
        agent
    }

    /// `daemon start`.
    pub(crate) fn start_daemon(&self) {
        let started = self.ok(&["daemon", "start", "--hostname", &self.hostname]);
        assert_eq!(started["hostname"], self.hostname.as_str(), "{started}");
    }

    pub(crate) fn hostname(&self) -> &str {
        &self.hostname
    }

    /// The program with these words, as this user in this place would type them.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = pilotctl(&self.enter, self.home.path());
        command.args(words).env("PILOT_REGISTRY", &self.registry).env("PILOT_BEACON", &self.beacon);
        command
    }

    /// Runs a command as a person does.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        process::run(self.command(words), 2 * PATIENCE)
    }

    /// Runs a command that must succeed, as a script does, and gives its data.
    pub(crate) fn ok(&self, words: &[&str]) -> Value {
        self.data(self.start_json(words).wait(2 * PATIENCE))
    }

    /// Starts a command as a script does.
    pub(crate) fn start_json(&self, words: &[&str]) -> Running {
        let words: Vec<&str> = std::iter::once("--json").chain(words.iter().copied()).collect();
        process::start(self.command(&words))
    }

    /// What a command of [`Self::start_json`] gave; it must have succeeded.
    pub(crate) fn data(&self, ended: Ended) -> Value {
        let answer = ended.json();
        assert!(ended.status.success(), "{ended}\n-- daemon.log of {} --\n{}", self.hostname, self.log());
        answer["data"].clone()
    }

    /// Asks again until the answer is right.
    pub(crate) fn until(&self, limit: Duration, words: &[&str], right: impl Fn(&Value) -> bool) -> Value {
        let mut last = String::new();
        let found = wait::within(limit, || {
            let ended = self.start_json(words).wait(2 * PATIENCE);
            let data = ended.json()["data"].clone();
            last = ended.to_string();
            right(&data).then_some(data)
        });
        found.unwrap_or_else(|| panic!("still after {limit:?}: {last}\n-- daemon.log --\n{}", self.log()))
    }

    /// Its daemon's process, `None` when none runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        let ended = self.start_json(&["daemon", "status"]).wait(PATIENCE);
        ended.json()["data"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// `kill -9` of its daemon; returns when it is gone.
    pub(crate) fn kill(&self) {
        let pid = self.pid().expect("a daemon runs");
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
        kill_process(process, Signal::KILL).unwrap();
        wait::until("the killed daemon is gone", PATIENCE, || (self.pid().is_none()).then_some(()));
    }

    /// The path to `peer` in the words of `peers`.
    pub(crate) fn peer(&self, peer: u64) -> Option<Value> {
        let peers = self.ok(&["peers"]);
        peers["peers"].as_array()?.iter().find(|item| item["node_id"] == peer).cloned()
    }

    pub(crate) fn node(&self) -> u64 {
        self.ok(&["status"])["node_id"].as_u64().unwrap()
    }

    /// Where it keeps its state.
    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().join(".local/state/pilot")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("run/pilot/pilot.sock")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.state().join("daemon.log")).unwrap_or_default()
    }

    /// Files that have arrived whole.
    pub(crate) fn received(&self) -> Vec<PathBuf> {
        let files = self.ok(&["file", "list"]);
        let paths = files["files"].as_array().unwrap().iter().filter_map(|file| file["path"].as_str());
        paths.map(PathBuf::from).collect()
    }

    /// Bytes of files that have begun to arrive.
    pub(crate) fn arriving(&self) -> u64 {
        let entries = std::fs::read_dir(self.state().join("received")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|about| about.len()).sum()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let stopped = process::run(self.command(&["daemon", "stop"]), PATIENCE);
        if std::thread::panicking() {
            println!("{stopped}\n-- daemon.log of {} --\n{}", self.hostname, self.log());
        }
    }
}

/// Trust on both sides, in the words of the walk-through.
pub(crate) fn befriend(a: &Agent, b: &Agent) {
    a.ok(&["trust", "add", b.hostname()]);
    b.until(PATIENCE, &["trust", "pending"], |data| data["total"] == 1);
    b.ok(&["trust", "add", a.hostname()]);
    for agent in [a, b] {
        agent.until(PATIENCE, &["trust", "list"], |data| data["trusted"][0]["mutual"] == true);
    }
}

/// The program in a place, with nothing of this process's environment.
fn pilotctl(enter: &[String], home: &Path) -> Command {
    let program = env!("CARGO_BIN_EXE_pilotctl");
    let mut command = match enter.split_first() {
        None => Command::new(program),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", home).env("XDG_RUNTIME_DIR", home.join("run"));
    command
}
