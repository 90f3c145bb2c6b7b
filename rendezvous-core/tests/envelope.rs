//! Envelopes: what was overheard serves nobody, what was changed is refused, and a key that used one keeps to it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{ADMIN, Agent, WALL, World, home};
use proto_core::registry::envelope::{Stamp, seal};
use rendezvous_core::limits::{ENVELOPE_MAX_AGE, ENVELOPE_MAX_AHEAD};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;

fn elsewhere() -> IpAddr {
    IpAddr::from([203, 0, 113, 66])
}

/// `request`, which is signed already, with an envelope of `agent` made at `seconds` Unix time.
fn sealed_at(agent: &Agent, request: &Value, seconds: u64, nonce: u64) -> Value {
    let mut request = request.clone();
    seal(request.as_object_mut().unwrap(), Stamp { millis: seconds * 1000, nonce }, &agent.key);
    request
}

/// As [`sealed_at`], in the registry's present.
fn sealed(world: &World, agent: &Agent, request: &Value) -> Value {
    let seconds = WALL + world.now.as_micros() / 1_000_000;
    // Different requests of one second differ in their text, hence in this.
    let nonce = request.to_string().bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    sealed_at(agent, request, seconds, nonce)
}

fn error(reply: &Value) -> &str {
    reply["error"].as_str().unwrap_or_else(|| panic!("not refused: {reply}"))
}

/// An agent that registered with an envelope.
fn join(world: &mut World, seed: u8) -> Agent {
    let mut agent = Agent::new(seed);
    let request = sealed(world, &agent, &agent.register("198.51.100.7:4000"));
    agent.id = u32::try_from(world.once(&request)["node_id"].as_u64().unwrap()).unwrap();
    agent
}

//= spec/registry.md#pp-reg-32
//= type=test
//# An envelope, where there is one, is checked, and a stamp counts once.
#[test]
fn a_replayed_request_is_refused_even_from_its_own_address() {
    let mut world = World::new();
    let a = join(&mut world, 1);
    let public = sealed(&world, &a, &a.set("set_visibility", "public", true));
    assert_eq!(world.once(&public)["visibility"], "public");
    world.pass(Duration::from_secs(1));
    let private = sealed(&world, &a, &a.set("set_visibility", "public", false));
    assert_eq!(world.once(&private)["visibility"], "private");
    let replayed = world.once(&public);
    assert_eq!(error(&replayed), "cannot take the envelope: used before");
    world.pass(ENVELOPE_MAX_AGE + Duration::from_secs(1));
    let stale = world.once(&public);
    assert_eq!(error(&stale), "cannot take the envelope: out of time");
    assert_eq!(
        stale["time"],
        WALL + world.now.as_micros() / 1_000_000,
        "so a client with a wrong clock can correct it"
    );
    assert_eq!(world.once(&json!({"type": "lookup", "node_id": a.id}))["public"], false);
}

#[test]
fn a_changed_value_is_refused() {
    let mut world = World::new();
    let a = join(&mut world, 1);
    let b = join(&mut world, 2);
    let request = sealed(&world, &a, &a.set("set_hostname", "hostname", "alpha"));
    for (field, value) in [("hostname", json!("evil")), ("public", json!(true)), ("type", json!("set_visibility"))] {
        let mut changed = request.clone();
        changed[field] = value;
        let refused = world.once(&changed);
        assert!(error(&refused).contains("signature verification failed"), "{refused}");
    }
    let mut stolen = request.clone();
    stolen["envelope"] = sealed(&world, &b, &a.set("set_hostname", "hostname", "alpha"))["envelope"].clone();
    assert!(error(&world.once(&stolen)).contains("signature verification failed"));
    for field in ["ts", "nonce", "body_hash", "envelope"] {
        let mut broken = request.clone();
        broken.as_object_mut().unwrap().remove(field);
        assert!(error(&world.once(&broken)).contains("malformed"), "{field}");
    }
    assert_eq!(world.once(&request)["hostname"], "alpha", "none of those used the stamp up");
}

#[test]
fn a_covered_value_may_come_from_any_address() {
    let mut world = World::new();
    let a = join(&mut world, 1);
    let request = a.set("set_hostname", "hostname", "alpha");
    let mut abroad = world.session(elsewhere());
    assert_eq!(world.ask(&mut abroad, &sealed(&world, &a, &request))["hostname"], "alpha");
}

#[test]
fn a_key_that_used_an_envelope_cannot_do_without_it() {
    let mut world = World::new();
    let a = join(&mut world, 1);
    let b = world.join(2);
    for restart in [false, true] {
        if restart {
            world.restart();
            world.once(&json!({"type": "beacon_list"}));
            world.pass(Duration::from_secs(1));
            let back = sealed(&world, &a, &a.register("198.51.100.7:4000"));
            assert_eq!(world.once(&back)["node_id"], a.id);
            assert_eq!(world.once(&b.register("198.51.100.7:4000"))["node_id"], b.id);
        }
        for overheard in [
            a.register("203.0.113.66:1"),
            a.set("set_hostname", "hostname", "evil"),
            a.about_me("heartbeat"),
            a.about_me("deregister"),
            a.resolve(&b),
            a.signed(json!({"type": "report_trust", "node_id": a.id, "peer_id": b.id})),
        ] {
            let refused = world.once(&overheard);
            assert!(error(&refused).starts_with("envelope required"), "{refused}");
        }
        assert_eq!(error(&world.once(&a.unsigned("203.0.113.66:1"))), "signature required for authenticated node");
        assert_eq!(world.once(&sealed(&world, &a, &a.about_me("heartbeat")))["type"], "heartbeat_ok");
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(world.once(&b.set("set_hostname", "hostname", "beta"))["hostname"], "beta", "others need none");
}

/// The envelope need not come with the registration.
#[test]
fn any_durable_request_begins_it_and_a_rotation_keeps_it() {
    let mut world = World::new();
    let a = world.join(1);
    assert_eq!(world.once(&sealed(&world, &a, &a.about_me("heartbeat")))["type"], "heartbeat_ok");
    assert_eq!(world.once(&a.about_me("heartbeat"))["type"], "heartbeat_ok", "nothing is stored for a heartbeat");
    world.once(&sealed(&world, &a, &a.set("set_tags", "tags", json!(["x"]))));
    assert!(error(&world.once(&a.about_me("heartbeat"))).starts_with("envelope required"));
    let new = Agent { id: a.id, ..Agent::new(9) };
    let rotate = a.signed(json!({"type": "rotate_key", "node_id": a.id, "new_public_key": new.public_key()}));
    assert!(error(&world.once(&rotate)).starts_with("envelope required"));
    assert_eq!(world.once(&sealed(&world, &a, &rotate))["public_key"], new.public_key());
    assert!(error(&world.once(&new.about_me("heartbeat"))).starts_with("envelope required"), "the new key too");
    assert_eq!(world.once(&sealed(&world, &new, &new.about_me("heartbeat")))["type"], "heartbeat_ok");
}

/// How a node moves back to a reference client: it says goodbye with ours first, or an administrator does it.
#[test]
fn a_farewell_that_cannot_be_a_replay_lets_a_simpler_client_come() {
    for by_admin in [false, true] {
        let mut world = World::new();
        let a = join(&mut world, 1);
        let farewell = if by_admin {
            json!({"type": "deregister", "node_id": a.id, "admin_token": ADMIN})
        } else {
            sealed(&world, &a, &a.about_me("deregister"))
        };
        assert_eq!(world.once(&farewell)["type"], "deregister_ok");
        let reply = world.once(&a.unsigned("198.51.100.7:4000"));
        assert_eq!(reply["node_id"], a.id, "1.9.1 signs no registration: {reply}");
        assert_eq!(world.once(&a.about_me("heartbeat"))["type"], "heartbeat_ok");
    }
    let mut world = World::new();
    let a = world.join(1);
    world.once(&a.about_me("deregister"));
    let unsigned = world.once(&a.unsigned("198.51.100.7:4000"));
    assert_eq!(error(&unsigned), "signature required for authenticated node", "that farewell may have been overheard");
}

#[test]
fn after_a_restart_only_new_envelopes_serve() {
    let mut world = World::new();
    let a = join(&mut world, 1);
    let recorded = sealed(&world, &a, &a.register("198.51.100.7:4001"));
    assert_eq!(world.once(&recorded)["node_id"], a.id);
    world.restart();
    let refused = world.once(&recorded);
    assert_eq!((error(&refused), &refused["time"]), ("cannot take the envelope: out of time", &json!(WALL)));
    world.pass(Duration::from_secs(1));
    assert_eq!(error(&world.once(&recorded)), "cannot take the envelope: out of time");
    let back = sealed(&world, &a, &a.register("198.51.100.7:4000"));
    assert_eq!(world.once(&back)["node_id"], a.id);
}

#[test]
fn a_clock_may_be_wrong_by_as_much_as_stated() {
    let mut world = World::new();
    let a = join(&mut world, 1);
    let (age, ahead) = (ENVELOPE_MAX_AGE.as_secs(), ENVELOPE_MAX_AHEAD.as_secs());
    let heartbeat = a.about_me("heartbeat");
    for (seconds, taken) in
        [(WALL - age - 1, false), (WALL - age, true), (WALL + ahead, true), (WALL + ahead + 1, false)]
    {
        let reply = world.once(&sealed_at(&a, &heartbeat, seconds, 1));
        assert_eq!(reply["type"] == "heartbeat_ok", taken, "{seconds}: {reply}");
        assert_eq!(reply["time"], WALL, "told either way");
    }
}

/// A host without a battery for its clock begins at any time of day and corrects it later.
#[test]
fn a_clock_that_is_set_back_after_the_start_locks_nobody_out_and_opens_no_replay() {
    const YEAR: u64 = 365 * 86_400;
    let mut world = World::new();
    let a = join(&mut world, 1);
    world.pass(Duration::from_secs(5));
    let recorded = sealed(&world, &a, &a.register("198.51.100.7:4001"));
    assert_eq!(world.once(&recorded)["node_id"], a.id);
    let second = world.now;
    world.restart();
    world.now = second;
    let mut session = world.session(home());
    world.registry.handle_frame(world.now, WALL + YEAR, &mut session, br#"{"type":"beacon_list"}"#);
    assert_eq!(error(&world.once(&recorded)), "cannot take the envelope: out of time");
    world.pass(Duration::from_secs(1));
    assert_eq!(error(&world.once(&recorded)), "cannot take the envelope: out of time");
    let back = sealed(&world, &a, &a.register("198.51.100.7:4000"));
    assert_eq!(world.once(&back)["node_id"], a.id);
}

/// The whole thing with the client that sends it, across a wrong clock and a restart.
#[test]
fn our_own_client_uses_it_and_survives_a_wrong_clock_and_a_restart() {
    let mut world = World::new();
    let mut client = common::client(1);
    client.set_wall_clock(world.now, 1000);
    client.set_endpoint(world.now, "198.51.100.7:4000".parse().unwrap(), &[]);
    let mut session = world.session(home());
    world.converse(&mut client, &mut session, Duration::from_secs(5));
    assert!(client.is_registered(), "the registry's clock counts");
    let id = client.node().unwrap().0;
    let plain = Agent { id, ..Agent::new(1) };
    assert!(error(&world.once(&plain.about_me("heartbeat"))).starts_with("envelope required"));
    world.restart();
    client.closed(world.now);
    let mut session = world.session(home());
    world.converse(&mut client, &mut session, Duration::from_secs(5));
    assert!(client.is_registered() && client.node().is_some_and(|node| node.0 == id));
}
