//! What the reference's daemons said to a registry and a beacon, recorded, against our machines: every request gets an
//! answer, every recorded answer has the shape it had then, and every datagram goes where it went.
//!
//! Replays every file of its kind in `conformance/data/transcripts`; recorded with versions 1.9.1 and 1.18.0.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{ADMIN, Agent, World, home};
use data_encoding::HEXLOWER;
use proto_core::{NodeId, Timestamp};
use rendezvous_core::{Beacon, BeaconConfig, Directory, Outgoing, Session};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// One recorded exchange.
struct Exchange {
    request: Value,
    reply: Value,
}

/// Says of an exchange and our answer that they rightly differ.
type Differs = fn(&Exchange, &Value) -> bool;

/// The recordings that begin with these words, how many networks they need, and what rightly differs. First match wins.
const RECORDINGS: &[(&str, u32, Differs)] = &[
    ("startup-relay-only-networks", 2, |exchange, ours| {
        exchange.request["type"] == "register" || hides_a_private_name(exchange, ours)
    }),
    // The stub answered with errors, or not at all.
    ("startup-minimal-replies", 0, was_refused),
    ("startup-silent-registry", 0, was_refused),
    ("startup", 0, |_, _| false),
    // The stub forgot the node once; ours does not.
    ("reregister", 0, was_refused),
    ("beacon-notify", 0, hides_a_private_name),
    ("pair", 0, keeps_strangers_out),
    ("tasks", 0, |_, _| false),
];

fn was_refused(exchange: &Exchange, _: &Value) -> bool {
    exchange.reply["type"] == "error"
}

/// The node is private and its lookup comes on a connection that proved nothing: its name is not told.
fn hides_a_private_name(exchange: &Exchange, ours: &Value) -> bool {
    exchange.request["type"] == "lookup"
        && exchange.reply["public"] == false
        && ours["public_key"] == exchange.reply["public_key"]
        && ours["networks"] == exchange.reply["networks"]
}

/// Everything but the endpoint of a private stranger is answered as then.
fn keeps_strangers_out(exchange: &Exchange, ours: &Value) -> bool {
    match exchange.request["type"].as_str().unwrap() {
        "resolve" => ours["error"].as_str().is_some_and(|error| error.starts_with("resolve denied")),
        "resolve_hostname" => ours["error"].as_str().is_some_and(|error| error.ends_with("not found")),
        // The second side to revoke finds nothing left; the stub that recorded this kept no pairs.
        "revoke_trust" => ours["error"].as_str().is_some_and(|error| error.starts_with("no trust pair between")),
        _ => hides_a_private_name(exchange, ours),
    }
}

/// The recordings of daemons, by name.
fn recordings() -> BTreeMap<String, Vec<Value>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/data/transcripts");
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let mut recording: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let Value::Array(events) = recording["events"].take() else { continue };
        if events.iter().all(|event| event["ev"].is_string()) {
            found.insert(path.file_name().unwrap().to_string_lossy().into_owned(), events);
        }
    }
    assert!(found.len() >= 14, "{:?}", found.keys());
    found
}

fn time(event: &Value) -> Duration {
    Duration::from_micros((event["t"].as_f64().unwrap() * 1e6) as u64)
}

#[test]
fn the_registry_answers_as_then() {
    for (name, events) in recordings() {
        let rule = RECORDINGS.iter().find(|(prefix, ..)| name.starts_with(prefix));
        let (_, networks, differs) = rule.unwrap_or_else(|| panic!("{name}: say what rightly differs"));
        let mut replay =
            Replay { world: World::new(), sessions: BTreeMap::new(), networks: *networks, differs: *differs };
        // Keys of the nodes are not in every recording: those are signed anew.
        let anew = !events.iter().any(|event| said(event)["type"] == "register");
        let keys = anew.then(|| Vec::from([1, 2].map(|seed| replay.world.join(seed))));
        let (asked, compared) = replay.run(&name, &events, keys);
        println!("{name}: {asked} requests, {compared} replies compared");
        assert!(
            compared >= 1 && compared * 2 >= asked || name.starts_with("startup-"),
            "{name}: {compared} of {asked}"
        );
    }
}

fn said(event: &Value) -> Value {
    event["text"].as_str().map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default()
}

struct Replay {
    world: World,
    sessions: BTreeMap<u64, (Session, Option<(Value, Value)>)>,
    networks: u32,
    differs: Differs,
}

impl Replay {
    /// How many requests there were, and how many replies that had to be as then.
    fn run(&mut self, name: &str, events: &[Value], keys: Option<Vec<Agent>>) -> (usize, usize) {
        let (start, mut asked, mut compared) = (self.world.now, 0, 0);
        for event in events {
            let Some(connection) = event["conn"].as_u64() else { continue };
            self.world.now = self.world.now.max(start + time(event));
            if event["ev"] == "daemon_to_registry" {
                asked += 1;
                self.ask(connection, event, keys.as_deref());
            } else if event["ev"] == "registry_to_daemon" {
                let answered = self.sessions.get_mut(&connection).and_then(|(_, answered)| answered.take());
                let (request, ours) = answered.unwrap_or_else(|| panic!("{name}: a reply to nothing: {event}"));
                let exchange = Exchange { request, reply: said(event) };
                if !(self.differs)(&exchange, &ours) {
                    assert_same_shape(&exchange.reply, &ours, &exchange.request);
                    compared += 1;
                }
            }
        }
        (asked, compared)
    }

    fn ask(&mut self, connection: u64, event: &Value, keys: Option<&[Agent]>) {
        let mut request = said(event);
        if let Some(keys) = keys.filter(|_| request["signature"].is_string()) {
            let caller = request["caller_node_id"].as_u64().or(request["node_id"].as_u64()).unwrap();
            let signer = &keys[usize::try_from(caller).unwrap() - 1];
            request = signer.signed(request);
        }
        let source = if keys.is_some() { home() } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
        let (mut session, _) = self.sessions.remove(&connection).unwrap_or_else(|| (self.world.session(source), None));
        let reply = self.world.ask(&mut session, &request);
        if request["type"] == "register" {
            create_networks(&mut self.world, self.networks);
        }
        self.sessions.insert(connection, (session, Some((request, reply))));
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
        let same_type = std::mem::discriminant(value) == std::mem::discriminant(mine);
        assert!(same_type && !mine.is_null(), "{field} of {request}: {theirs} then, {ours} now");
        let listed = value.as_array().is_some_and(|list| list.first().is_some_and(Value::is_object));
        if EQUAL.contains(&field.as_str()) && !listed {
            assert_eq!(value, mine, "{field} of {request}");
        }
    }
}

/// A directory that knows everybody and forbids nothing, as the stub that recorded.
struct Open;

impl Directory for Open {
    fn may_resolve(&self, _: NodeId, _: NodeId) -> bool {
        true
    }

    fn is_known(&self, _: NodeId) -> bool {
        true
    }

    fn registered_from(&self, _: NodeId, _: IpAddr, _: Timestamp) -> bool {
        true
    }
}

#[test]
fn the_beacon_sends_what_was_sent_then() {
    let mut datagrams = 0;
    for (name, events) in recordings() {
        let mut beacon = Beacon::new(BeaconConfig::default());
        let (mut ours, mut theirs) = (Vec::<(SocketAddr, String)>::new(), Vec::new());
        // What the last datagram caused may have come after the recording's end.
        let mut before_last = 0;
        for event in &events {
            let place = |key: &str| event[key].as_str().unwrap().parse::<SocketAddr>().unwrap();
            if event["ev"] == "beacon_to_daemon_udp" {
                theirs.push((place("dst"), event["hex"].as_str().unwrap().to_owned()));
            } else if event["ev"] == "daemon_to_beacon_udp" {
                before_last = ours.len();
                let mut data = HEXLOWER.decode(event["hex"].as_str().unwrap().as_bytes()).unwrap();
                let mut send = |out: Outgoing<'_>| ours.push((out.to, HEXLOWER.encode(out.bytes)));
                beacon.handle_datagram(Timestamp::ZERO + time(event), 0, place("src"), &mut data, &Open, &mut send);
            }
        }
        datagrams += theirs.len();
        if theirs.len() == before_last {
            ours.truncate(before_last);
        }
        // Both sides of a punch are told in either order.
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{name}");
    }
    assert!(datagrams > 100, "{datagrams}");
}
