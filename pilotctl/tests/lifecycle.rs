//! How the daemon, the server and waiting commands begin and end, and what they say meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use lab::agent::{Agent, PATIENCE, befriend};
use lab::process;
use lab::rendezvous::Rendezvous;
use lab::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const INTERRUPTED: i32 = 130;

fn signal(pid: u32, signal: Signal) {
    kill_process(i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap(), signal).unwrap();
}

/// Whether the daemon on this agent's socket is another one than `before`.
fn replaced(agent: &Agent, before: Option<u32>) -> bool {
    agent.pid().is_some_and(|pid| Some(pid) != before)
}

#[test]
fn restart_takes_new_settings_and_the_log_tells_of_both_runs() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let agent = Agent::on_loopback("agent", &rendezvous);
    let (node, before) = (agent.node(), agent.pid());
    assert_eq!(agent.ok(&["daemon", "restart", "--hostname", "renamed"])["hostname"], "renamed");
    assert!(replaced(&agent, before), "another process");
    assert_eq!(agent.node(), node, "the same identity");
    let logs = agent.ok(&["daemon", "logs"]);
    let started = |lines: &Value| {
        lines.as_array().unwrap().iter().filter(|l| l.as_str().unwrap().contains("daemon started")).count()
    };
    assert_eq!(started(&logs["lines"]), 2, "{logs}");
    let last = agent.ok(&["daemon", "logs", "--lines", "1"]);
    assert_eq!(last["lines"].as_array().unwrap().len(), 1);
    assert_eq!(last["lines"][0], *logs["lines"].as_array().unwrap().last().unwrap());
    let health = agent.ok(&["health"]);
    assert_eq!((&health["authenticated_peers"], &health["encrypted_peers"]), (&0.into(), &0.into()));
}

#[test]
fn an_ephemeral_daemon_in_the_foreground_ends_in_order_and_leaves_no_identity() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let agent = Agent::on_loopback("agent", &rendezvous);
    let node = agent.node();
    agent.run(&["daemon", "stop"]).ok();
    let identity = agent.state().join("identity.json");
    std::fs::remove_file(&identity).unwrap();
    for sign in [Signal::TERM, Signal::INT] {
        let daemon = process::start(agent.command(&["daemon", "start", "--foreground", "--ephemeral"]));
        agent.until(PATIENCE, &["status"], |data| data["registered"] == true);
        assert_eq!(agent.pid(), Some(daemon.id()), "it does not go to the background");
        assert_ne!(agent.node(), node);
        signal(daemon.id(), sign);
        let ended = daemon.wait(PATIENCE);
        assert_eq!(ended.code(), Some(0), "{ended}");
        assert!(ended.stderr.contains("daemon stopping"), "{ended}");
        assert!(!identity.exists(), "an identity for this run only");
    }
}

#[test]
fn instances_do_not_meet() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let agent = Agent::on_loopback("agent", &rendezvous);
    let second = agent.ok(&["--instance", "second", "daemon", "start", "--hostname", "second"]);
    assert_ne!(second["node_id"], agent.node());
    assert_eq!(agent.ok(&["--instance", "second", "status"])["hostname"], "second");
    agent.run(&["--instance", "second", "daemon", "stop"]).ok();
    assert_eq!(agent.run(&["--instance", "second", "daemon", "status"]).code(), Some(3));
    assert_eq!(agent.ok(&["status"])["hostname"], "agent");
}

#[test]
fn an_interrupted_command_exits_130_and_gives_its_port_back() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let agent = Agent::on_loopback("agent", &rendezvous);
    let ports = || agent.ok(&["status"])["ports"].as_u64().unwrap();
    let own = ports();
    let waiting = process::start(agent.command(&["listen", "1000"]));
    wait::until("the port is taken", PATIENCE, || (ports() == own + 1).then_some(()));
    signal(waiting.id(), Signal::INT);
    let ended = waiting.wait(PATIENCE);
    assert_eq!(ended.code(), Some(INTERRUPTED), "{ended}");
    wait::until("the port is free", PATIENCE, || (ports() == own).then_some(()));
    let watching = process::start(agent.command(&["--json", "status", "--watch"]));
    wait::until("a second page", PATIENCE, || (watching.stdout().lines().count() >= 2).then_some(()));
    signal(watching.id(), Signal::INT);
    let ended = watching.wait(PATIENCE);
    assert_eq!(ended.code(), Some(INTERRUPTED), "{ended}");
}

#[test]
fn quiet_says_nothing_but_errors() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let (a, b) = (Agent::on_loopback("agent-a", &rendezvous), Agent::on_loopback("agent-b", &rendezvous));
    let wait = ["trust", "add", "agent-b", "--wait", "--timeout", "3s"];
    let talkative = a.run(&wait);
    let quiet = a.run(&[&["-q"], &wait[..]].concat());
    assert!(talkative.stderr.contains("waiting for"), "{talkative}");
    assert_eq!(quiet.code(), talkative.code());
    assert!(quiet.stderr.lines().all(|line| line.starts_with("error:") || line.starts_with("hint:")), "{quiet}");
    b.ok(&["trust", "add", "agent-a"]);
    a.until(PATIENCE, &["trust", "list"], |data| data["trusted"][0]["mutual"] == true);
    let bench = a.ok(&["bench", "agent-b", "1"]);
    assert!(bench.to_string().contains("mb_per_s"), "{bench}");
}

#[test]
fn the_server_ends_in_order() {
    for sign in [Signal::TERM, Signal::INT] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pilotctl"));
        command.args(["rendezvous", "start", "--registry-listen", "127.0.0.1:0", "--beacon-listen", "127.0.0.1:0"]);
        let server = process::start(command);
        wait::until("it says where it listens", PATIENCE, || server.stdout().contains("fingerprint").then_some(()));
        signal(server.id(), sign);
        let ended = server.wait(PATIENCE);
        assert_eq!(ended.code(), Some(0), "{ended}");
    }
}

/// The registry tells another key than the one that was pinned: as if it had turned bad, or the peer were another.
#[test]
fn another_key_under_a_trusted_number_is_told() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let (a, b) = (Agent::on_loopback("agent-a", &rendezvous), Agent::on_loopback("agent-b", &rendezvous));
    befriend(&a, &b);
    let (own, peer) =
        (a.ok(&["identity", "show"])["public_key"].clone(), b.ok(&["identity", "show"])["public_key"].clone());
    a.run(&["daemon", "stop"]).ok();
    let file = a.state().join("trust.json");
    let pinned = std::fs::read_to_string(&file).unwrap().replace(peer.as_str().unwrap(), own.as_str().unwrap());
    std::fs::write(&file, pinned).unwrap();
    a.start_daemon();
    assert_eq!(a.ok(&["status"])["warnings"].as_array().map_or(0, Vec::len), 0, "nothing was seen yet");
    assert_ne!(a.run(&["connect", "agent-b", "--message", "hello"]).code(), Some(0));
    let told = |text: &str| text.contains("Another key") && text.contains(&format!("node {}", b.node()));
    a.until(PATIENCE, &["status"], |data| told(&data["warnings"].to_string()));
    assert!(told(&a.log()), "{}", a.log());
    a.ok(&["trust", "remove", "agent-b"]);
    a.until(PATIENCE, &["status"], |data| !told(&data["warnings"].to_string()));
}
