//! The registry as a machine, asked by agents that sign and by anybody who does not; and what a registry may answer.

use crate::script::Script;
use core::time::Duration;
use data_encoding::BASE64;
use proto_core::crypto::Identity;
use proto_core::ids::NetworkId;
use proto_core::registry::envelope::{Stamp, seal};
use proto_core::registry::{Request, challenge};
use proto_core::{NodeId, Timestamp};
use rendezvous_core::{Change, Registry, RegistryConfig, Session};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

const WALL: u64 = 1_795_000_000;
const MOST_STEPS: usize = 100;
const KINDS: [&str; 31] = [
    "register",
    "lookup",
    "resolve",
    "resolve_hostname",
    "heartbeat",
    "deregister",
    "punch",
    "set_hostname",
    "set_visibility",
    "set_tags",
    "set_task_exec",
    "set_key_expiry",
    "report_trust",
    "revoke_trust",
    "check_trust",
    "request_handshake",
    "respond_handshake",
    "poll_handshakes",
    "create_network",
    "delete_network",
    "join_network",
    "leave_network",
    "list_nodes",
    "list_networks",
    "rotate_key",
    "beacon_register",
    "beacon_list",
    "get_key_info",
    "set_expr_policy",
    "get_expr_policy",
    "set_member_tags",
];
const FIELDS: [&str; 19] = [
    "hostname",
    "tags",
    "public",
    "requester_id",
    "network_id",
    "from_node_id",
    "to_node_id",
    "lan_addrs",
    "new_public_key",
    "admin_token",
    "peer_id",
    "accept",
    "name",
    "justification",
    "listen_addr",
    "join_rule",
    "token",
    "rules",
    "expr_policy",
];

fn agents() -> [Identity; 3] {
    [1, 2, 3].map(|seed| Identity::from_seed([seed; 32]))
}

fn config() -> RegistryConfig {
    RegistryConfig { admin_token: Some("root".to_owned()), ..RegistryConfig::default() }
}

/// Every request gets one answer with a type; nothing is stored behind an answer that does not wait for it; what was stored is all that is durable.
pub fn registry_machine(data: &[u8]) {
    let mut registry = Registry::new(config());
    let mut now = Timestamp::from_micros(1_000_000);
    let mut stored: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let agents = agents();
    let mut sessions = [7, 8].map(|octet| Session::new(u64::from(octet), IpAddr::from([198, 51, 100, octet])));
    let mut script = Script::new(data);
    for step in 0..MOST_STEPS {
        if script.is_over() {
            break;
        }
        let operation = script.u8();
        if operation >= 0xF0 {
            now = now + Duration::from_secs(1 << (operation & 15));
            continue;
        }
        let wall = WALL + now.as_micros() / 1_000_000;
        let request = if operation >= 0xE0 {
            script.long_chunk().to_vec()
        } else {
            asked(operation, step as u64, wall, &agents, &mut script)
        };
        let outcome = registry.handle_frame(now, wall, &mut sessions[usize::from(operation & 1)], &request);
        let reply: Value = serde_json::from_slice(&outcome.reply).unwrap();
        assert!(reply["type"].as_str().is_some_and(|kind| !kind.is_empty()));
        assert_eq!(reply["type"] == "error", outcome.refused);
        // That a key signs with an envelope is remembered whatever was asked.
        let only_that = outcome.changes.iter().all(|change| matches!(change, Change::Node(node) if node.enveloped));
        assert!(!outcome.refused || only_that, "a refused request changed something: {reply}");
        assert!(outcome.changes.is_empty() || outcome.acknowledges, "a change behind an answer that does not wait");
        for change in outcome.changes {
            match change.value() {
                Some(value) => drop(stored.insert(change.key(), value)),
                None => drop(stored.remove(&change.key())),
            }
        }
    }
    let facts = stored.values().map(|value| Change::from_value(value).unwrap()).collect();
    let (restored, census) = (Registry::restore(config(), facts).census(now), registry.census(now));
    let durable = |census: rendezvous_core::registry::Census| (census.nodes, census.trust_links, census.networks);
    assert_eq!(durable(restored), durable(census), "a restart forgets or invents");
}

/// A request of one of the three agents, with a few fields of the script, signed if the script says so.
fn asked(operation: u8, step: u64, wall: u64, agents: &[Identity; 3], script: &mut Script<'_>) -> Vec<u8> {
    let kind = KINDS[usize::from(operation) % KINDS.len()];
    let choice = script.u8();
    let node = NodeId(u32::from(choice & 3));
    let agent = &agents[usize::from(choice & 3) % 3];
    let mut request = Map::new();
    request.insert("type".to_owned(), kind.into());
    request.insert("node_id".to_owned(), node.0.into());
    request.insert("public_key".to_owned(), agent.public().to_string().into());
    request.insert("listen_addr".to_owned(), "198.51.100.7:4000".into());
    for _ in 0..choice >> 2 & 3 {
        let field = FIELDS[usize::from(script.u8()) % FIELDS.len()];
        request.insert(field.to_owned(), value(script, agents));
    }
    if choice & 0x10 == 0 {
        let peer = |field: &str| NodeId(request.get(field).and_then(Value::as_u64).unwrap_or(0) as u32);
        let text = signed(kind, node, &peer, &request, agent);
        request.insert("signature".to_owned(), BASE64.encode(&agent.sign(text.as_bytes())).into());
    }
    if choice & 0x20 == 0 {
        seal(&mut request, Stamp { millis: wall * 1000, nonce: step }, agent);
    }
    Value::Object(request).to_string().into_bytes()
}

/// What the request must sign, for those kinds that the script can get right.
fn signed(
    kind: &str,
    node: NodeId,
    peer: &dyn Fn(&str) -> NodeId,
    request: &Map<String, Value>,
    own: &Identity,
) -> String {
    let network = NetworkId(peer("network_id").0 as u16);
    match kind {
        "register" => {
            let address = request.get("listen_addr").and_then(Value::as_str).unwrap_or_default();
            format!("register:{address}:{}", own.public())
        }
        "heartbeat" => challenge::heartbeat(node),
        "resolve" => challenge::resolve(peer("requester_id"), node),
        "deregister" => challenge::deregister(node),
        "set_hostname" => challenge::set_hostname(node),
        "set_visibility" => challenge::set_visibility(node),
        "set_tags" => challenge::set_tags(node),
        "report_trust" => challenge::report_trust(node, peer("peer_id")),
        "revoke_trust" => challenge::revoke_trust(node, peer("peer_id")),
        "request_handshake" => challenge::request_handshake(peer("from_node_id"), peer("to_node_id")),
        "respond_handshake" => challenge::respond_handshake(node, peer("peer_id")),
        "poll_handshakes" => challenge::poll_handshakes(node),
        "join_network" => challenge::join_network(node, network),
        "leave_network" => challenge::leave_network(node, network),
        "punch" => challenge::punch(node, peer("peer_id")),
        "rotate_key" => {
            challenge::rotate_key(node, request.get("new_public_key").and_then(Value::as_str).unwrap_or_default())
        }
        _ => String::new(),
    }
}

fn value(script: &mut Script<'_>, agents: &[Identity; 3]) -> Value {
    match script.u8() & 15 {
        0 => Value::Null,
        1 => true.into(),
        2 => false.into(),
        3..=7 => (script.u8() & 3).into(),
        8 => script.u64().into(),
        9 => f64::from_bits(script.u64()).into(),
        10 => agents[usize::from(script.u8()) % 3].public().to_string().into(),
        11 => "root".into(),
        12 => "10.0.0.7:4000".into(),
        13 => json!(["web", "10.0.0.7:4000", String::from_utf8_lossy(script.chunk())]),
        _ => String::from_utf8_lossy(script.chunk()).into(),
    }
}

/// Something a registry may answer an agent: right, or wrong in a field.
pub(crate) fn reply(choice: u8, script: &mut Script<'_>) -> Value {
    let node = u32::from(script.u8() & 7);
    let key = BASE64.encode(&[node as u8; 32]);
    match choice % 9 {
        0 => json!({"type": "register_ok", "node_id": 1, "observed_addr": "192.0.2.1:4000", "hostname": "a"}),
        1 => json!({"type": "lookup_ok", "node_id": node, "public_key": key, "networks": [0], "version": "pilot-rs/1"}),
        2 => {
            json!({"type": "resolve_ok", "node_id": node, "real_addr": format!("192.0.2.{node}:4000"), "lan_addrs": []})
        }
        3 => {
            json!({"type": "poll_handshakes_ok", "requests": [{"from_node_id": node, "justification": "hello"}], "responses": []})
        }
        4 => json!({"type": "poll_handshakes_ok", "responses": [{"from_node_id": node, "accept": choice & 1 == 0}]}),
        5 => json!({"type": "heartbeat_ok"}),
        6 => json!({"type": "error", "error": String::from_utf8_lossy(script.chunk()), "time": WALL}),
        7 => json!({"type": "lookup_ok", "node_id": node, "relay_only": true}),
        _ => serde_json::from_slice(script.chunk()).unwrap_or_default(),
    }
}

/// A request an application may make of its registry.
pub(crate) fn request(choice: u8, node: NodeId) -> Request {
    match choice % 7 {
        0 => Request::Lookup(node),
        1 => Request::Resolve(node),
        2 => Request::SetVisibility(choice & 8 == 0),
        3 => Request::SetHostname("name".to_owned()),
        4 => Request::PollHandshakes,
        5 => Request::Punch(node),
        _ => Request::Deregister,
    }
}
