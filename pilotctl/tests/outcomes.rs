//! How commands end and what they say while they wait: one JSON envelope, a reason, and never silence.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use lab::agent::{Agent, PATIENCE, befriend};
use lab::process::Ended;
use lab::rendezvous::Rendezvous;
use lab::{noise, wait};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A peer that died in a transfer is noticed within this time, on a busy machine.
const NOTICED: Duration = Duration::from_secs(13);
const TIMEOUT: i32 = 6;
const CONNECTION_FAILED: i32 = 7;
const DEGRADED: i32 = 9;

/// The only line of its stdout.
fn envelope(ended: &Ended) -> Value {
    assert_eq!(ended.stdout.lines().count(), 1, "one envelope: {ended}");
    ended.json()
}

#[test]
fn a_degraded_netcheck_is_a_result_with_an_exit_status() {
    let mut rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let agent = Agent::on_loopback("agent", &rendezvous);
    rendezvous.kill();
    agent.until(PATIENCE, &["status"], |data| data["registry_connected"] == false);
    let ended = agent.start_json(&["netcheck"]).wait(PATIENCE);
    let report = envelope(&ended);
    assert_eq!(ended.code(), Some(DEGRADED), "{ended}");
    assert_eq!((&report["status"], &report["data"]["degraded"]), (&"ok".into(), &true.into()), "{ended}");
}

#[test]
fn a_path_that_does_not_become_direct_is_one_error_with_what_was_measured() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let (a, b) = (Agent::on_loopback("agent-a", &rendezvous), Agent::on_loopback("agent-b", &rendezvous));
    befriend(&a, &b);
    a.run(&["daemon", "stop"]).ok();
    a.run(&["daemon", "start", "--hostname", "agent-a", "--relay-only"]).ok();
    let ended = a.start_json(&["ping", "agent-b", "-c", "2", "--until-direct"]).wait(PATIENCE);
    let said = envelope(&ended);
    assert_eq!(ended.code(), Some(TIMEOUT), "{ended}");
    assert_eq!((&said["status"], &said["code"]), (&"error".into(), &"timeout".into()));
    assert_eq!(said["data"]["results"].as_array().unwrap().len(), 2, "{said}");
}

#[test]
fn waiting_says_what_for() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let (a, b) = (Agent::on_loopback("agent-a", &rendezvous), Agent::on_loopback("agent-b", &rendezvous));
    let ended = a.run(&["trust", "add", "agent-b", "--wait", "--timeout", "3s"]);
    assert_eq!(ended.code(), Some(TIMEOUT), "{ended}");
    assert!(ended.stderr.contains("waiting for agent-b to approve"), "{ended}");
    b.ok(&["trust", "add", "agent-a"]);
    a.until(PATIENCE, &["trust", "list"], |data| data["trusted"][0]["mutual"] == true);
    b.kill();
    let ended = a.run(&["nc", "agent-b", "7"]);
    assert!(ended.stderr.contains("waiting for agent-b to answer"), "{ended}");
}

#[test]
fn a_peer_that_dies_in_a_transfer_is_noticed_soon() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let (a, b) = (Agent::on_loopback("agent-a", &rendezvous), Agent::on_loopback("agent-b", &rendezvous));
    befriend(&a, &b);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.bin");
    noise::write_file(&file, 300);
    let mut sending = a.start_json(&["file", "send", "agent-b", file.to_str().unwrap()]);
    wait::until("the file begins to arrive", PATIENCE, || (b.arriving() > 1_000_000).then_some(()));
    b.kill();
    assert!(!sending.has_ended(), "the transfer had ended before the peer was killed");
    let killed = Instant::now();
    let ended = sending.wait(PATIENCE);
    println!("noticed after {:?}: {}", killed.elapsed(), envelope(&ended)["message"]);
    assert!(killed.elapsed() < NOTICED, "{:?}", killed.elapsed());
    assert_eq!(ended.code(), Some(CONNECTION_FAILED), "{ended}");
    assert!(!envelope(&ended)["message"].as_str().unwrap_or_default().is_empty(), "{ended}");
    assert!(ended.stderr.contains("waiting for agent-b to take the file"), "{ended}");
    assert!(!ended.stderr.contains('\r'), "no bar without a terminal: {ended}");
}

#[test]
fn a_daemon_that_gave_up_security_says_so_and_still_authenticates_whom_it_can() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let (a, b) = (Agent::on_loopback("agent-a", &rendezvous), Agent::on_loopback("agent-b", &rendezvous));
    befriend(&a, &b);
    a.run(&["daemon", "stop"]).ok();
    let words = ["daemon", "start", "--hostname", "agent-a", "--insecure-plaintext", "--insecure-anonymous-exchange"];
    let started = a.run(&words).ok();
    assert!(started.stderr.contains("INSECURE: plaintext"), "{started}");
    assert!(started.stderr.contains("INSECURE: anonymous"), "{started}");
    a.ok(&["connect", "agent-b", "--message", "hello"]);
    let status = a.until(PATIENCE, &["status"], |data| data["peer_list"][0]["authenticated"] == true);
    assert_eq!(status["encrypt"], false, "{status}");
    assert_eq!(status["insecure"], serde_json::json!({"anonymous_exchange": true, "plaintext": true}), "{status}");
    let quiet = b.ok(&["status"]);
    assert_eq!(quiet["encrypt"], true, "{quiet}");
    assert_eq!(quiet["insecure"], serde_json::json!({"anonymous_exchange": false, "plaintext": false}), "{quiet}");
}
