//! What survives `kill -9`: transfers survive the rendezvous server, everybody survives a peer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use lab::agent::{Agent, PATIENCE, befriend};
use lab::process::Running;
use lab::rendezvous::Rendezvous;
use lab::{noise, wait};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest time after a restart until everything is as before (issue: 5 s).
const RECOVERY: Duration = Duration::from_secs(5);
/// Longest time a transfer may take on a slow machine.
const TRANSFER: Duration = Duration::from_secs(120);

/// Two agents that trust each other and have a direct path, and a file for one to send.
struct World {
    a: Agent,
    b: Agent,
    rendezvous: Rendezvous,
    file: PathBuf,
    digest: String,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(megabytes: usize) -> Self {
        let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
        let a = Agent::on_loopback("agent-a", &rendezvous);
        let b = Agent::on_loopback("agent-b", &rendezvous);
        befriend(&a, &b);
        a.ok(&["ping", "agent-b", "-c", "20", "--until-direct"]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("large.bin");
        let digest = noise::write_file(&file, megabytes);
        Self { a, b, rendezvous, file, digest, _folder: folder }
    }

    /// Starts sending the file, and returns when some of it has arrived.
    fn transfer_under_way(&self) -> (Running, u64) {
        let sending = self.a.start_json(&["file", "send", "agent-b", self.file.to_str().unwrap()]);
        let arrived = wait::until("the file begins to arrive", PATIENCE, || {
            Some(self.b.arriving()).filter(|bytes| *bytes > 5_000_000)
        });
        (sending, arrived)
    }

    /// What a restart must not change.
    fn facts(agent: &Agent) -> [Value; 4] {
        let (status, trust) = (agent.ok(&["status"]), agent.ok(&["trust", "list"]));
        let mut trusted = trust["trusted"].clone();
        // A peer's name is the registry's to tell, and told when the two have met again.
        trusted.as_array_mut().unwrap().iter_mut().for_each(|peer| peer["hostname"] = Value::Null);
        [status["address"].clone(), status["hostname"].clone(), status["public_key"].clone(), trusted]
    }
}

fn is_registered(data: &Value) -> bool {
    data["registered"] == true && data["registry_connected"] == true
}

#[test]
fn the_rendezvous_may_die_during_a_transfer_and_comes_back_with_everything() {
    let mut world = World::new(200);
    let before = [World::facts(&world.a), World::facts(&world.b)];
    let (mut sending, arrived) = world.transfer_under_way();
    world.rendezvous.kill();
    assert!(!sending.has_ended(), "the transfer had ended before the server was killed");
    for agent in [&world.a, &world.b] {
        agent.until(PATIENCE, &["status"], |data| data["registry_connected"] == false);
    }
    let sent = world.a.data(sending.wait(TRANSFER));
    assert_eq!((&sent["verified"], &sent["bytes"]), (&true.into(), &200_000_000.into()), "{sent}");
    assert_eq!(noise::digest(&world.b.received()[0]), world.digest);

    world.rendezvous.restart();
    let began = Instant::now();
    for agent in [&world.a, &world.b] {
        agent.until(RECOVERY.saturating_sub(began.elapsed()), &["status"], is_registered);
    }
    let recovered = began.elapsed();
    assert_eq!([World::facts(&world.a), World::facts(&world.b)], before, "the same addresses, names, keys and trust");
    // The server itself knows them again, not only they it.
    let found = world.a.ok(&["find", "agent-b"]);
    assert_eq!(found["address"], before[1][0]);
    world.a.ok(&["connect", "agent-b", "--message", "still friends"]);
    println!(
        "server killed after {arrived} of 200000000 bytes; the rest came at {} MB/s; both registered {recovered:?} after the restart",
        sent["mb_per_s"]
    );
}

#[test]
fn a_peer_that_dies_in_a_transfer_is_noticed_and_may_come_back_at_once() {
    let world = World::new(100);
    let before = World::facts(&world.b);
    let (mut sending, arrived) = world.transfer_under_way();
    world.b.kill();
    assert!(!sending.has_ended(), "the transfer had ended before the peer was killed");
    let killed = Instant::now();

    world.b.start_daemon();
    let began = Instant::now();
    let sent = world.a.start_json(&["connect", "agent-b", "--message", "welcome back"]).wait(PATIENCE);
    let reconnected = began.elapsed();
    assert_eq!(world.a.data(sent)["acked"], true);
    assert!(reconnected < RECOVERY, "{reconnected:?} from the restart to an acknowledged message");
    assert_eq!(World::facts(&world.b), before);

    let ended = sending.wait(TRANSFER);
    let noticed = killed.elapsed();
    assert!([6, 7].contains(&ended.code().unwrap()), "{ended}");
    assert!(!ended.json()["message"].as_str().unwrap_or_default().is_empty(), "a reason: {ended}");

    // What had arrived is not sent again.
    let resumed = world.a.ok(&["file", "send", "agent-b", world.file.to_str().unwrap()]);
    assert_eq!(resumed["verified"], true);
    assert_eq!(noise::digest(&world.b.received()[0]), world.digest);
    println!(
        "peer killed after {arrived} of 100000000 bytes; connected again in {reconnected:?}; its sender ended with {:?} ({}) after {noticed:?}; {} bytes resumed",
        ended.code(),
        ended.json()["message"],
        resumed["bytes_resumed"]
    );
}

#[test]
fn a_peer_that_dies_for_good_ends_the_transfer_with_a_reason() {
    let world = World::new(100);
    let (sending, arrived) = world.transfer_under_way();
    world.b.kill();
    let killed = Instant::now();
    let ended = sending.wait(TRANSFER);
    let noticed = killed.elapsed();
    assert!([6, 7].contains(&ended.code().unwrap()), "{ended}");
    assert!(!ended.json()["message"].as_str().unwrap_or_default().is_empty(), "a reason: {ended}");
    println!(
        "peer killed for good after {arrived} of 100000000 bytes; its sender ended with {:?} ({}) after {noticed:?}",
        ended.code(),
        ended.json()["message"]
    );
}
