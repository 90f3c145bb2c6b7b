//! The public documents' walk-through, with three processes and nothing shared but the loopback.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test that cannot go on has failed the test")]

use lab::agent::{Agent, PATIENCE};
use lab::process::Ended;
use lab::rendezvous::Rendezvous;
use std::time::Duration;

/// A dial that cannot succeed ends within 5 s; the rest is for starting a program on a busy machine.
const SOON: Duration = Duration::from_secs(7);

/// Says something to a peer that will not hear it.
fn speak_in_vain(agent: &Agent, peer: &str, codes: &[i32]) {
    let ended: Ended = agent.start_json(&["connect", peer, "--message", "is anybody there?"]).wait(PATIENCE);
    assert!(ended.code().is_some_and(|code| codes.contains(&code)), "{ended}");
    assert!(ended.elapsed < SOON, "{ended}");
    assert!(ended.json()["message"].as_str().is_some_and(|why| !why.is_empty()), "{ended}");
}

//= spec/ports.md#pp-port-8
//= type=test
//# Port 1001 serves data exchange in the daemon.
#[test]
fn two_agents_meet_talk_and_part() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let a = Agent::on_loopback("agent-a", &rendezvous);
    let b = Agent::on_loopback("agent-b", &rendezvous);

    // Private by default: a stranger gets no answer, and soon.
    speak_in_vain(&a, "agent-b", &[4, 5, 6, 7]);

    a.ok(&["trust", "add", "agent-b", "--reason", "walk-through"]);
    b.until(PATIENCE, &["trust", "pending"], |data| data["total"] == 1);
    b.ok(&["trust", "add", "agent-a"]);
    a.until(PATIENCE, &["trust", "list"], |data| data["trusted"][0]["mutual"] == true);

    let sent = a.ok(&["connect", "agent-b", "--message", "{\"task\":\"analyze\"}"]);
    assert_eq!((&sent["acked"], &sent["ack"]), (&true.into(), &"ACK JSON 18 bytes".into()));
    let inbox = b.ok(&["msg", "inbox"]);
    assert_eq!(inbox["messages"][0]["data"], "{\"task\":\"analyze\"}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.bin");
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &content).unwrap();
    let file = a.ok(&["file", "send", "agent-b", path.to_str().unwrap()]);
    assert_eq!((&file["verified"], &file["bytes"]), (&true.into(), &12_000_000.into()));
    assert_eq!(std::fs::read(&b.received()[0]).unwrap(), content);

    let ping = a.ok(&["ping", "agent-b", "-c", "10", "--until-direct"]);
    assert_eq!(ping["direct"], true);
    let status = a.ok(&["status"]);
    assert_eq!(status["hostname"], "agent-a");
    assert_eq!(
        (&status["peer_list"][0]["path"], &status["peer_list"][0]["encrypted"]),
        (&"direct".into(), &true.into())
    );
    a.ok(&["netcheck"]);

    a.ok(&["trust", "remove", "agent-b"]);
    speak_in_vain(&b, "agent-a", &[5, 6, 7]);
    speak_in_vain(&a, "agent-b", &[5, 6, 7]);
}

#[test]
fn a_daemon_keeps_its_identity_and_refuses_a_second() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let agent = Agent::on_loopback("keeper", &rendezvous);
    let before = agent.ok(&["identity", "show"]);
    assert_eq!(agent.run(&["daemon", "start"]).code(), Some(8));
    assert_eq!(agent.ok(&["daemon", "status"])["running"], true);
    agent.ok(&["daemon", "stop"]);
    assert_eq!(agent.run(&["daemon", "status"]).code(), Some(3));
    agent.start_daemon();
    let after = agent.ok(&["identity", "show"]);
    assert_eq!((&after["public_key"], &after["address"]), (&before["public_key"], &before["address"]));
}

#[test]
fn a_recorded_daemon_does_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let agent = Agent::on_loopback("recorded", &rendezvous);
    agent.ok(&["daemon", "stop"]);
    let file = folder.path().join("run.rec");
    let file = file.to_str().unwrap();
    agent.ok(&["daemon", "start", "--hostname", "recorded", "--record", file]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    agent.ok(&["lookup", "recorded"]);
    agent.ok(&["daemon", "stop"]);

    let replayed = agent.start_json(&["replay", file]).wait(PATIENCE).ok();
    assert!(replayed.stdout.contains("Registered {"), "{replayed}");
    let end = replayed.json();
    assert!(end["data"]["same"] == true && end["data"]["checkpoints"].as_u64().unwrap() > 3, "{end}");

    let mut damaged = std::fs::read(file).unwrap();
    damaged[50] ^= 1;
    std::fs::write(file, damaged).unwrap();
    let replayed = agent.run(&["replay", file]);
    assert_eq!(replayed.code(), Some(1), "a byte of the seed: everything random is another: {replayed}");
    // A recording overwrites nothing.
    assert_ne!(agent.run(&["daemon", "start", "--record", file]).code(), Some(0));
}
