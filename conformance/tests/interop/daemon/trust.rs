//! How trust begins and ends.

use super::{OURS_TO_THEIRS, SECTION, THEIRS_TO_OURS, World};
use crate::case::Case;
use crate::reference::NEXT_LOOK;
use lab::agent::PATIENCE;
use lab::echo::Echo;
use lab::process::Ended;
use std::time::Duration;

/// "At once", on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);

pub(super) fn cases(version: &str) -> Vec<Case> {
    let case = |row, run: fn(&World)| {
        let owned = version.to_owned();
        Case::new(SECTION, row, version, move |equipment| run(&World::of_strangers(equipment, &owned)))
    };
    let public = |row, run: fn(&World)| {
        let owned = version.to_owned();
        Case::new(SECTION, row, version, move |equipment| {
            run(&World::with_options(equipment, &owned, &["--public"], &["-public"]));
        })
    };
    let friends = |row, run: fn(&World)| {
        let owned = version.to_owned();
        Case::new(SECTION, row, version, move |equipment| run(&World::of_friends(equipment, &owned)))
    };
    vec![
        case(("trust asked through the registry", OURS_TO_THEIRS), |world| we_ask(world, NEXT_LOOK)),
        case(("trust asked through the registry", THEIRS_TO_OURS), |world| they_ask(world, NEXT_LOOK)),
        public(("trust asked directly", OURS_TO_THEIRS), |world| we_ask(world, PATIENCE)),
        public(("trust asked directly", THEIRS_TO_OURS), |world| they_ask(world, PATIENCE)),
        case(("trust asked by both", "both"), both_ask),
        case(("trust rejected", OURS_TO_THEIRS), we_reject),
        case(("strangers get silence", "both"), strangers),
        friends(("trust revoked", OURS_TO_THEIRS), we_revoke),
        friends(("trust revoked", THEIRS_TO_OURS), they_revoke),
    ]
}

/// `limit` is shorter than the time between looks at the registry where the request must not need one.
fn we_ask(world: &World, limit: Duration) {
    let ours = world.ours.node();
    world.ours.ok(&["trust", "add", world.theirs.hostname(), "--reason", "we ask"]);
    let pending = world.theirs.until(limit, &["pending"], |data| data["pending"][0]["node_id"] == ours);
    assert_eq!(pending["pending"][0]["justification"], "we ask", "{pending}");
    world.theirs.ok(&["approve", &ours.to_string()]);
    world.trusts_both_ways();
}

fn they_ask(world: &World, limit: Duration) {
    let theirs = world.theirs.node();
    world.theirs.ok(&["handshake", &world.our_id(), "they ask"]);
    let pending = world.ours.until(limit, &["trust", "pending"], |data| data["pending"][0]["node_id"] == theirs);
    assert_eq!(pending["pending"][0]["justification"], "they ask", "{pending}");
    world.ours.ok(&["trust", "add", &theirs.to_string()]);
    world.trusts_both_ways();
}

/// Nobody approves: that both have asked is enough.
fn both_ask(world: &World) {
    world.ours.ok(&["trust", "add", world.theirs.hostname()]);
    world.theirs.ok(&["handshake", &world.our_id()]);
    world.trusts_both_ways();
}

fn we_reject(world: &World) {
    let theirs = world.theirs.node();
    world.theirs.ok(&["handshake", &world.our_id(), "they ask"]);
    world.ours.until(NEXT_LOOK, &["trust", "pending"], |data| data["pending"][0]["node_id"] == theirs);
    world.ours.ok(&["trust", "reject", &theirs.to_string()]);
    world.ours.until(PATIENCE, &["trust", "pending"], |data| data["total"] == 0);
    assert_eq!(world.ours.ok(&["trust", "list"])["total"], 0);
    refused(&world.theirs.run(&["connect", &world.our_id(), "7", "--message", "hello?", "--timeout", "20s"]));
}

fn strangers(world: &World) {
    refused(&world.ours.start_json(&["connect", &world.theirs.id(), "7", "--message", "hello?"]).wait(2 * PATIENCE));
    refused(&world.theirs.run(&["connect", &world.our_id(), "7", "--message", "hello?", "--timeout", "20s"]));
}

fn we_revoke(world: &World) {
    let mut stream = Echo::open(&world.ours, &world.theirs.id());
    stream.round();
    let theirs = world.theirs.start_json(&["subscribe", &world.our_id(), "news", "--count", "9", "--timeout", "60s"]);
    world.ours.until(PATIENCE, &["conns"], |data| has_stream(data, 1002));
    world.ours.ok(&["trust", "remove", &world.theirs.id()]);
    stream.ends(AT_ONCE);
    assert!(theirs.wait(2 * PATIENCE).elapsed < PATIENCE, "their stream ends too");
    world.theirs.until(NEXT_LOOK, &["trust"], |data| data["trusted"].as_array().is_none_or(Vec::is_empty));
    strangers(world);
}

fn they_revoke(world: &World) {
    let mut stream = Echo::open(&world.ours, &world.theirs.id());
    stream.round();
    world.theirs.ok(&["untrust", &world.our_id()]);
    stream.ends(AT_ONCE);
    world.ours.until(AT_ONCE, &["trust", "list"], |data| data["total"] == 0);
    strangers(world);
}

/// Whether a stream is open on this local port.
fn has_stream(data: &serde_json::Value, port: u16) -> bool {
    let streams = data["connections"].as_array();
    streams.is_some_and(|all| all.iter().any(|one| one["local_port"] == port && one["state"] == "ESTABLISHED"))
}

fn refused(ended: &Ended) {
    assert!(!ended.status.success(), "a stranger must not get through: {ended}");
}
