//! What somebody else does with the signatures of a node that uses no envelopes: they never expire, and most cover no value.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Agent, World};
use rendezvous_core::limits::STALE_AFTER;
use serde_json::{Value, json};
use std::net::IpAddr;

fn elsewhere() -> IpAddr {
    IpAddr::from([203, 0, 113, 66])
}

/// Asks on a connection of its own from [`elsewhere`].
fn replay(world: &mut World, request: &Value) -> Value {
    let mut session = world.plain_session(elsewhere());
    world.ask(&mut session, request)
}

fn ask(from: &Agent, to: &Agent) -> Value {
    from.signed(json!({"type": "request_handshake", "from_node_id": from.id, "to_node_id": to.id}))
}

fn answer(from: &Agent, to: &Agent, accept: bool) -> Value {
    from.signed(json!({"type": "respond_handshake", "node_id": from.id, "peer_id": to.id, "accept": accept}))
}

fn revoke(from: &Agent, to: &Agent) -> Value {
    from.signed(json!({"type": "revoke_trust", "node_id": from.id, "peer_id": to.id}))
}

//= spec/registry.md#pp-reg-17
//= type=test
//# A setting whose signature does not cover its value is changed only from the address the node registered from, or with an envelope.
#[test]
fn a_node_that_is_away_keeps_its_settings() {
    for restarted in [false, true] {
        let mut world = World::new();
        let a = world.join(1);
        world.once(&a.set("set_hostname", "hostname", "alpha"));
        if restarted {
            world.restart();
        } else {
            world.pass(STALE_AFTER);
        }
        for request in [a.set("set_visibility", "public", true), a.set("set_hostname", "hostname", "")] {
            let reply = replay(&mut world, &request);
            assert_eq!(reply["type"], "error", "{reply}");
        }
        world.once(&a.register("198.51.100.7:4000"));
        assert_eq!(world.once(&json!({"type": "lookup", "node_id": a.id}))["public"], false);
        assert_eq!(world.once(&a.set("set_visibility", "public", true))["visibility"], "public", "at home again");
        assert_eq!(world.once(&json!({"type": "lookup", "node_id": a.id}))["hostname"], "alpha");
    }
}

#[test]
fn an_answer_that_was_overheard_refuses_nobody() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(2));
    world.once(&ask(&b, &a));
    world.once(&answer(&a, &b, true));
    world.once(&revoke(&a, &b));
    world.once(&ask(&b, &a));
    let replayed = replay(&mut world, &answer(&a, &b, false));
    assert_eq!(replayed["type"], "error", "{replayed}");
    let waiting = world.once(&a.about_me("poll_handshakes"));
    assert_eq!(waiting["requests"][0]["from_node_id"], b.id, "{waiting}");
    assert_eq!(world.once(&answer(&a, &b, false))["type"], "respond_handshake_ok");
}

/// Each trust message signs the string of a request (PP-TRUST-3), a withdrawal too, so the receiver has the signature.
#[test]
fn a_signature_from_a_trust_message_asks_for_nothing_at_the_registry() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(2));
    world.trust(&a, &b);
    world.once(&revoke(&a, &b));
    let mut session = world.plain_session(elsewhere());
    let moved = world.ask(&mut session, &b.register("203.0.113.66:4000"));
    assert_eq!(moved["node_id"], b.id);
    world.ask(&mut session, &b.signed(json!({"type": "report_trust", "node_id": b.id, "peer_id": a.id})));
    let mut other = world.plain_session(elsewhere());
    world.ask(&mut other, &ask(&a, &b));
    assert!(!world.trusted(&a, &b), "the revoked peer gave itself the other's half");
    let denied = world.ask(&mut session, &b.resolve(&a));
    assert_eq!(denied["type"], "error", "{denied}");
    world.once(&a.set("set_hostname", "hostname", "alpha"));
    let name = world.ask(&mut other, &json!({"type": "resolve_hostname", "hostname": "alpha"}));
    assert_eq!(name["type"], "error", "the connection counts as the other's: {name}");
    assert_eq!(world.once(&ask(&a, &b))["status"], "delivered", "at home it asks");
    let mut abroad = world.plain_session(IpAddr::from([192, 0, 2, 77]));
    world.ask(&mut abroad, &a.about_me("heartbeat"));
    world.once(&revoke(&a, &b));
    assert_eq!(world.ask(&mut abroad, &ask(&a, &b))["status"], "delivered", "it proved who it is in another way");
}

#[test]
fn a_request_that_was_withdrawn_is_not_told_and_can_be_made_again() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(2));
    for again in [false, true] {
        assert_eq!(world.once(&ask(&a, &b))["status"], "delivered");
        if !again {
            assert_eq!(world.once(&revoke(&a, &b))["type"], "revoke_trust_ok");
        }
        let waiting = world.once(&b.about_me("poll_handshakes"));
        assert_eq!(waiting["requests"].as_array().unwrap().len(), usize::from(again));
    }
    assert_eq!(world.once(&answer(&b, &a, true))["accept"], true);
    assert!(world.trusted(&a, &b));
}
