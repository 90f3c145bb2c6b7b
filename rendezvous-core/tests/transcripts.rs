//! What the reference's daemons sent, recorded, against our registry: every request that got an answer then gets one of
//! the same shape now. `data/` holds requests and replies of reference versions 1.9.1 and 1.18.0 on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{ADMIN, World};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// One recorded exchange.
struct Exchange {
    micros: u64,
    connection: u64,
    request: Value,
    reply: Value,
}

fn recorded(text: &str) -> Vec<Exchange> {
    let exchanges: Vec<Value> = serde_json::from_str(text).unwrap();
    exchanges
        .into_iter()
        .map(|mut exchange| Exchange {
            micros: (exchange["t"].as_f64().unwrap() * 1e6) as u64,
            connection: exchange["conn"].as_u64().unwrap(),
            request: exchange["request"].take(),
            reply: exchange["reply"].take(),
        })
        .collect()
}

/// Replays `text` and compares the replies; `differs` names those that rightly differ.
fn replay(text: &str, networks: u32, differs: impl Fn(&Exchange, &Value) -> bool) {
    let mut world = World::new();
    let mut sessions = BTreeMap::new();
    let start = world.now;
    for exchange in recorded(text) {
        world.now = start + Duration::from_micros(exchange.micros);
        let mut session =
            sessions.remove(&exchange.connection).unwrap_or_else(|| world.session(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let reply = world.ask(&mut session, &exchange.request);
        sessions.insert(exchange.connection, session);
        if !differs(&exchange, &reply) {
            assert_same_shape(&exchange.reply, &reply, &exchange.request);
        }
        if exchange.request["type"] == "register" {
            create_networks(&mut world, networks);
        }
    }
}

/// The daemon joins networks its configuration names; the recording stub let it join any.
fn create_networks(world: &mut World, count: u32) {
    for number in 1..=count {
        let name = format!("n{number}");
        let request = serde_json::json!({
            "type": "create_network", "node_id": 1, "name": name, "join_rule": "open", "admin_token": ADMIN,
        });
        if world.once(&request)["type"] == "create_network_ok" {
            let leave = serde_json::json!({
                "type": "leave_network", "node_id": 1, "network_id": number, "admin_token": ADMIN,
            });
            assert_eq!(world.once(&leave)["type"], "leave_network_ok");
        }
    }
}

/// `ours` has every field of `theirs`, of the same JSON type and, where it names something, the same value.
fn assert_same_shape(theirs: &Value, ours: &Value, request: &Value) {
    const EQUAL: [&str; 12] = [
        "type",
        "error",
        "node_id",
        "network_id",
        "address",
        "public_key",
        "hostname",
        "real_addr",
        "trusted",
        "networks",
        "visibility",
        "observed_addr",
    ];
    for (field, value) in theirs.as_object().unwrap() {
        let mine = &ours[field];
        let same_type =
            std::mem::discriminant(value) == std::mem::discriminant(mine) || value.is_boolean() == mine.is_boolean();
        assert!(same_type && !mine.is_null(), "{field} of {request}: {theirs} then, {ours} now");
        let listed = value.as_array().is_some_and(|list| list.first().is_some_and(Value::is_object));
        if EQUAL.contains(&field.as_str()) && !listed {
            assert_eq!(value, mine, "{field} of {request}");
        }
    }
}

fn never(_: &Exchange, _: &Value) -> bool {
    false
}

#[test]
fn start_up_of_both_versions() {
    replay(include_str!("data/startup-1.9.1.json"), 0, never);
    replay(include_str!("data/startup-1.18.0.json"), 0, never);
}

/// The node is private and its lookup comes on a connection that proved nothing: its name is not told.
fn hides_a_private_name(exchange: &Exchange, ours: &Value) -> bool {
    exchange.request["type"] == "lookup"
        && exchange.reply["public"] == false
        && ours["public_key"] == exchange.reply["public_key"]
        && ours["networks"] == exchange.reply["networks"]
}

#[test]
fn start_up_with_networks_and_relay_only() {
    replay(include_str!("data/startup-relay-only-networks-1.9.1.json"), 2, |exchange, ours| {
        exchange.request["type"] == "register" || hides_a_private_name(exchange, ours)
    });
    replay(include_str!("data/startup-relay-only-networks-1.18.0.json"), 2, |exchange, ours| {
        exchange.request["type"] == "register" || hides_a_private_name(exchange, ours)
    });
}

/// Two daemons meet: everything but the endpoint of a private stranger is answered as then.
#[test]
fn two_versions_meet_in_both_directions() {
    let differs = |exchange: &Exchange, ours: &Value| match exchange.request["type"].as_str().unwrap() {
        "resolve" => ours["error"].as_str().is_some_and(|error| error.starts_with("resolve denied")),
        "resolve_hostname" => ours["error"].as_str().is_some_and(|error| error.ends_with("not found")),
        // The second side to revoke finds nothing left; the stub that recorded this kept no pairs.
        "revoke_trust" => ours["error"].as_str().is_some_and(|error| error.starts_with("no trust pair between")),
        _ => hides_a_private_name(exchange, ours),
    };
    replay(include_str!("data/pair-1.9.1-to-1.18.0.json"), 0, differs);
    replay(include_str!("data/pair-1.18.0-to-1.9.1.json"), 0, differs);
}

/// The stub forgot the node once; ours does not, so only that reply differs.
#[test]
fn registering_again() {
    let forgotten = |exchange: &Exchange, _: &Value| exchange.reply["type"] == "error";
    replay(include_str!("data/reregister-1.9.1.json"), 0, forgotten);
    replay(include_str!("data/reregister-1.18.0.json"), 0, forgotten);
}
