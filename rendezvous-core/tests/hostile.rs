//! Anything at all at the registry: it answers, with a type, and holds no more than its limits allow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{ADMIN, Agent, World, home};
use proptest::prelude::*;
use proto_core::crypto::Identity;
use proto_core::registry::codec::MAX_REPLY;
use rendezvous_core::rate::Rate;
use rendezvous_core::{Registry, RegistryConfig};
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

/// Nodes that tell as much about themselves as they may do not make a list that no client reads.
#[test]
fn long_rows_make_no_reply_that_a_client_gives_its_connection_up_for() {
    let mut world = World::with(RegistryConfig {
        admin_token: Some(ADMIN.to_owned()),
        registrations: Rate::UNLIMITED,
        requests_per_address: Rate::UNLIMITED,
        ..RegistryConfig::default()
    });
    let mut session = world.session(home());
    let mut admin = |world: &mut World, mut request: Value| {
        request["admin_token"] = ADMIN.into();
        let reply = world.ask(&mut session, &request);
        assert_ne!(reply["type"], "error", "{request}: {reply}");
        reply
    };
    let tags: Vec<String> = (0..10).map(|n| format!("{n}{}", "t".repeat(31))).collect();
    let host = vec!["h".repeat(60); 4].join(".");
    for number in 1..=1000_u32 {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        let node = Agent { id: number, key: Identity::from_seed(seed) };
        let mut registration = node.unsigned(&format!("{host}:4000"));
        registration["version"] = "\u{1}".repeat(64).into();
        registration["hostname"] = format!("{}{number}", "n".repeat(50)).into();
        assert_eq!(admin(&mut world, registration)["node_id"], number);
        admin(&mut world, json!({"type": "set_visibility", "node_id": number, "public": true}));
        admin(&mut world, json!({"type": "set_tags", "node_id": number, "tags": tags}));
        if number == 1 {
            admin(&mut world, json!({"type": "create_network", "node_id": 1, "name": "n0"}));
        } else {
            admin(&mut world, json!({"type": "join_network", "node_id": number, "network_id": 1}));
        }
        if number % 2 == 0 {
            let rules = json!({"text": "\u{1}".repeat(160)});
            admin(
                &mut world,
                json!({"type": "create_network", "node_id": 1, "name": format!("n{number}"), "rules": rules}),
            );
        }
        let set = json!({"type": "set_member_tags", "network_id": 1, "target_node_id": number, "tags": tags});
        admin(&mut world, set);
    }
    for (request, list) in [
        (json!({"type": "list_nodes", "network_id": 1}), "nodes"),
        (json!({"type": "list_nodes", "network_id": 0, "admin_token": ADMIN}), "nodes"),
        (json!({"type": "list_networks"}), "networks"),
        (json!({"type": "get_member_tags", "network_id": 1}), "members"),
    ] {
        let reply = world.once(&request);
        let told = reply[list].as_array().map_or_else(|| reply[list].as_object().unwrap().len(), Vec::len);
        let length = reply.to_string().len();
        assert!(length <= MAX_REPLY && told > 100, "{request}: {told} in {length} bytes");
    }
}
