//! Daemons that die and come back, and daemons with nothing to do.

use super::{SECTION, World};
use crate::case::Case;
use crate::equipment::Equipment;
use lab::echo::Echo;
use lab::traffic::Counter;
use lab::wait;
use std::time::{Duration, Instant};

/// Longest time after a restart until each reaches the other again.
const RECOVERY: Duration = Duration::from_secs(5);
/// How long a pair is watched with nothing to do.
const IDLE: Duration = Duration::from_secs(150);
/// Packets of a minute with nothing to do, both directions and the beacon's together.
const IDLE_PACKETS: u64 = 30;

pub(super) fn cases(version: &str) -> Vec<Case> {
    let case = |feature, direction, run: fn(&Equipment, &str)| {
        let owned = version.to_owned();
        Case::new(SECTION, (feature, direction), version, move |equipment| run(equipment, &owned))
    };
    vec![
        case("recovers within 5 s", "after theirs was killed", they_restart),
        case("recovers within 5 s", "after ours was killed", we_restart),
        case("a new identity key is taken up by a friend", "theirs rotates", they_rotate),
        case("a new identity key is taken up by a friend", "ours rotates", we_rotate),
        case("nothing to do: no storm", "both", idle),
    ]
}

fn they_restart(equipment: &Equipment, version: &str) {
    let mut world = World::of_friends(equipment, version);
    let mut stream = Echo::open(&world.ours, &world.theirs.id());
    stream.round();
    world.theirs.kill();
    world.theirs.restart();
    recovers(&world);
}

fn we_restart(equipment: &Equipment, version: &str) {
    let world = World::of_friends(equipment, version);
    let mut stream = Echo::open(&world.ours, &world.theirs.id());
    stream.round();
    world.ours.kill();
    world.ours.start_daemon();
    recovers(&world);
}

/// New streams flow both ways in time; nobody does anything but dial.
fn recovers(world: &World) {
    let began = Instant::now();
    let (ours, theirs) = (world.our_id(), world.theirs.id());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait::until("ours reaches theirs", RECOVERY, || {
                let words = ["--timeout", "2s", "connect", &theirs, "7", "--message", "again"];
                let ended = world.ours.start_json(&words).wait(RECOVERY);
                (ended.json()["data"]["response"] == "again").then_some(())
            });
        });
        scope.spawn(|| {
            wait::until("theirs reaches ours", RECOVERY, || {
                let ended = world.theirs.run(&["connect", &ours, "7", "--message", "again", "--timeout", "2s"]);
                (ended.json()["data"]["response"] == "again").then_some(())
            });
        });
    });
    println!("recovered in {:?}", began.elapsed());
}

/// Our daemon has pinned the old key, and follows the rotation by the registry's history.
fn they_rotate(equipment: &Equipment, version: &str) {
    let mut world = World::of_friends(equipment, version);
    let mut stream = Echo::open(&world.ours, &world.theirs.id());
    stream.round();
    let new = world.theirs.ok(&["rotate-key"])["public_key"].clone();
    stream.round();
    recovers(&world);
    // Either way there is a new key exchange, which shows the new key.
    world.theirs.kill();
    world.theirs.restart();
    recovers(&world);
    world.ours.until(RECOVERY, &["trust", "list"], |data| data["trusted"][0]["public_key"] == new);
    world.ours.kill();
    world.ours.start_daemon();
    recovers(&world);
}

fn we_rotate(equipment: &Equipment, version: &str) {
    let world = World::of_friends(equipment, version);
    let mut stream = Echo::open(&world.ours, &world.theirs.id());
    stream.round();
    let before = world.ours.ok(&["identity", "show"]);
    let new = world.ours.ok(&["identity", "rotate"])["public_key"].clone();
    assert_ne!(new, before["public_key"]);
    stream.round();
    recovers(&world);
    world.ours.kill();
    world.ours.start_daemon();
    let after = world.ours.ok(&["identity", "show"]);
    assert_eq!((&after["public_key"], &after["address"]), (&new, &before["address"]));
    recovers(&world);
}

fn idle(equipment: &Equipment, version: &str) {
    let world = World::of_friends(equipment, version);
    let counter = Counter::new(world.network.place(), "meta l4proto udp");
    world.ours.ok(&["connect", &world.theirs.id(), "7", "--message", "before"]);
    world.theirs.ok(&["connect", &world.our_id(), "7", "--message", "before"]);
    world.ours.ok(&["ping", &world.theirs.id(), "-c", "1"]);
    let (began, before) = (counter.read(), Instant::now());
    assert!(began.packets > 10, "the counter counts: {began:?}");
    let mut last = (before, began);
    let mut worst = 0;
    while before.elapsed() < IDLE {
        let _ = wait::within(Duration::from_secs(30), || None::<()>);
        let now = counter.read();
        worst = worst.max((now - last.1).packets);
        last = (Instant::now(), now);
    }
    let seen = last.1 - began;
    println!("idle with {version}: {seen:?} in {:?}, at most {worst} packets in 30 s", before.elapsed());
    let minutes = before.elapsed().as_secs().div_ceil(60);
    assert!(seen.packets <= IDLE_PACKETS * minutes, "{seen:?} in {minutes} min, at most {worst} in 30 s");
    // Still friends, without a new tunnel having to be asked for.
    world.ours.ok(&["connect", &world.theirs.id(), "7", "--message", "after"]);
    world.theirs.ok(&["connect", &world.our_id(), "7", "--message", "after"]);
}
