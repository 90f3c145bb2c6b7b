//! Anything at all at the registry: it answers, with a type, and holds no more than its limits allow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Agent, World, home};
use proptest::prelude::*;
use rendezvous_core::Registry;
use serde_json::{Value, json};

const FIELDS: [&str; 17] = [
    "node_id",
    "peer_id",
    "public_key",
    "listen_addr",
    "hostname",
    "tags",
    "signature",
    "requester_id",
    "network_id",
    "from_node_id",
    "to_node_id",
    "lan_addrs",
    "new_public_key",
    "admin_token",
    "target_node_id",
    "expr_policy",
    "name",
];

fn kind() -> impl Strategy<Value = &'static str> {
    prop::sample::select(Registry::message_types().collect::<Vec<_>>())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_u32..4).prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        Just(Value::from(Agent::new(1).public_key())),
        Just(Value::from("1.2.3.4:5")),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::from))
}

proptest! {
    #[test]
    fn random_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let mut world = World::new();
        let mut session = world.session(home());
        world.ask_bytes(&mut session, &bytes);
        prop_assert!(world.stored.is_empty());
    }

    //= spec/registry.md#pp-reg-3
    //= type=test
    //# Every request gets one reply, in order, and every reply a type.
    //= spec/registry.md#pp-reg-4
    //= type=test
    //# A successful reply has the request's type and `_ok`; a refused one has type `error` and a text in `error`.
    #[test]
    fn requests_with_any_fields_are_answered(
        requests in prop::collection::vec((kind(), prop::collection::vec((0..FIELDS.len(), value()), 0..6)), 1..20)
    ) {
        let mut world = World::new();
        world.join(1);
        let mut session = world.session(home());
        let before = world.stored.clone();
        let mut registrations = 0;
        for (kind, fields) in requests {
            let mut request = json!({"type": kind});
            for (field, value) in fields {
                request[FIELDS[field]] = value;
            }
            registrations += usize::from(kind == "register");
            world.ask(&mut session, &request);
        }
        prop_assert!(world.stored.len() <= before.len() + registrations, "nothing unsigned is stored but new keys");
    }
}

#[test]
fn deep_and_long_requests_are_refused() {
    let mut world = World::new();
    let mut session = world.session(home());
    for request in ["[".repeat(60_000), format!("{{\"a\":{}", "{\"a\":".repeat(10_000)), " ".repeat(70_000)] {
        assert_eq!(world.ask_bytes(&mut session, request.as_bytes())["error"], "invalid request");
    }
}
