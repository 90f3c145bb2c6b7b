//! What a hostile registry, or none, can do to an endpoint: keep it from finding peers, and nothing else.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod alone;

use alone::{Alone, Drain, framed, is, registers};
use proto_core::crypto::rust_crypto;
use proto_core::endpoint::DialError;
use proto_core::registry::Lookup;
use proto_core::rng::Rng;
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Endpoint, Event, Input, NodeId, Timestamp, drive};
use sim::{Link, Net, identity, pattern};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap()
}

fn bytes(rng: &mut Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; below(rng, most) + 1];
    rng.fill(&mut bytes);
    bytes
}

fn dial_error(events: &[Event]) -> Option<DialError> {
    events.iter().find_map(|event| if let Event::DialFailed(_, error) = event { Some(*error) } else { None })
}

/// JSON of any shape, with the keys that registry replies have.
fn json(rng: &mut Rng, depth: u32) -> String {
    const KEYS: [&str; 14] = [
        "error",
        "type",
        "node_id",
        "public_key",
        "networks",
        "hostname",
        "real_addr",
        "lan_addrs",
        "requests",
        "responses",
        "from_node_id",
        "accept",
        "relay_only",
        "justification",
    ];
    const WORDS: [&str; 10] = [
        "",
        "lookup_ok",
        "resolve_ok",
        "heartbeat_ok",
        "255.255.255.255:1",
        "127.0.0.1:4000",
        "[ff02::1]:9",
        "\\u0000",
        "poll_handshakes_ok",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ];
    match rng.below(if depth == 0 { 5 } else { 7 }) {
        0 => "null".to_owned(),
        1 => (rng.below(2) == 0).to_string(),
        2 => rng.below(5).to_string(),
        3 => format!("{}e{}", rng.next_u32(), rng.below(300)),
        4 => format!("\"{}\"", WORDS[below(rng, WORDS.len())]),
        5 => {
            let items: Vec<String> = (0..rng.below(40)).map(|_| json(rng, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let entry = |rng: &mut Rng| format!("\"{}\":{}", KEYS[below(rng, KEYS.len())], json(rng, depth - 1));
            let entries: Vec<String> = (0..rng.below(8)).map(|_| entry(rng)).collect();
            format!("{{{}}}", entries.join(","))
        }
    }
}

#[test]
fn a_registry_that_babbles_disturbs_no_stream() {
    let config = || Config { registry: true, ..Config::default() };
    let mut net = Net::new(10, Link::default(), vec![(config(), true), (config(), true)]);
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let (dialled, accepted) = net.connect(0, 1, 1000);
    let mut rng = Rng::new([10; 32]);
    for round in 0..5_000 {
        let host = round % 2;
        if rng.below(20) == 0 {
            net.act(host, |endpoint, now| endpoint.handle_input(now, Input::RegistryClosed));
        }
        net.act(host, |endpoint, now| endpoint.handle_input(now, Input::RegistryConnected));
        let mut stream = framed(&format!("{{\"type\":\"register_ok\",\"node_id\":{}}}", host + 1));
        for _ in 0..rng.below(6) {
            let text = json(&mut rng, 4);
            let text = if rng.below(2) == 0 { format!("{{\"type\":\"x\",\"requests\":{text}}}") } else { text };
            stream.extend(framed(&text));
        }
        if rng.below(4) == 0 {
            stream.extend(bytes(&mut rng, 100));
        }
        while !stream.is_empty() {
            let rest = stream.split_off((below(&mut rng, 200) + 1).min(stream.len()));
            net.act(host, |endpoint, now| endpoint.handle_input(now, Input::RegistryData(&stream)));
            stream = rest;
        }
        let asked = NodeId(3 + u32::try_from(rng.below(9)).unwrap());
        net.act(host, |endpoint, now| endpoint.dial(now, SocketAddress::new(Address::backbone(asked), 7))).ok();
        net.run_for(Duration::from_millis(3));
    }
    let data = pattern(300_000, 3);
    assert!(net.transfer((0, dialled), (1, accepted), &data, 20 * SECOND) == data);
    net.run_for(6 * SECOND);
    net.run_for(30 * SECOND);
    assert!(net.hosts.iter().all(|host| host.endpoint.streams().len() <= 1), "dials are left");
}

// ---- A registry under control of the test ----

fn refuses(request: &str) -> Option<String> {
    let asks = is(request, "lookup") || is(request, "resolve");
    let answer = if asks { "{\"type\":\"error\",\"error\":\"node not found\"}" } else { "{\"type\":\"ok\"}" };
    registers(request).or_else(|| Some(answer.to_owned()))
}

/// A key exchange of somebody nobody knows, signed by the key of host 1.
fn key_exchange(sender: u32) -> Vec<u8> {
    let mut endpoint = Endpoint::new(Arc::new(Config::default()), identity(1), rust_crypto(), [9; 32], Timestamp::ZERO);
    endpoint.set_node(Timestamp::ZERO, NodeId(sender));
    let to = SocketAddr::from(([192, 0, 2, 1], 1));
    endpoint.add_static_peer(Timestamp::ZERO, NodeId(1), identity(0).public(), Some(to), true);
    endpoint.dial(Timestamp::ZERO, SocketAddress::new(Address::backbone(NodeId(1)), 7)).unwrap();
    let mut drain = Drain { buffer: vec![0; 65_536], sent: Vec::new(), events: Vec::new() };
    drive(&mut endpoint, Timestamp::ZERO, &mut drain);
    drain.sent.into_iter().map(|(_, bytes)| bytes).find(|bytes| bytes.starts_with(b"PILA")).unwrap()
}

#[test]
fn made_up_nodes_do_not_lock_real_ones_out() {
    // Numbers below 1000 do not exist; 1001 is host 1.
    let mut alone = Alone::new(Config { public: true, ..Config::default() }, |request| {
        if is(request, "lookup") && request.contains("\"node_id\":1001") {
            let key = identity(1).public();
            return Some(format!("{{\"type\":\"lookup_ok\",\"node_id\":1001,\"public_key\":\"{key}\"}}"));
        }
        refuses(request)
    });
    for number in 100..500_u32 {
        let from =
            SocketAddr::from(([203, 0, u8::try_from(number / 250).unwrap(), u8::try_from(number % 250).unwrap()], 9));
        for _ in 0..2 {
            alone.receive(from, [b"PILA".as_slice(), &number.to_be_bytes(), &[7; 128]].concat());
        }
    }
    alone.run(10 * SECOND);
    alone.receive(SocketAddr::from(([192, 0, 2, 2], 4000)), key_exchange(1001));
    alone.run(SECOND);
    let peer = alone.endpoint.peer(NodeId(1001));
    assert!(peer.is_some_and(|peer| peer.encrypted), "{:?}", alone.endpoint.status().drops);
}

#[test]
fn a_forged_key_exchange_leaves_no_trace() {
    let mut alone = Alone::new(Config { public: true, ..Config::default() }, |request| {
        let key = identity(1).public();
        let known = format!("{{\"type\":\"lookup_ok\",\"node_id\":1001,\"public_key\":\"{key}\"}}");
        registers(request).or(Some(known))
    });
    let mut forged = key_exchange(1001);
    forged[10] ^= 1;
    alone.receive(SocketAddr::from(([192, 0, 2, 2], 4000)), forged);
    alone.run(SECOND);
    assert!(alone.endpoint.peers().is_empty());
    assert!(!alone.drain.events.contains(&Event::PeerDown(NodeId(1001))), "a peer that never was");
}

//= spec/strategy.md#pp-dial-3
//= type=test
//# A dial ends within 4.8 seconds, with a stream or a reason.
#[test]
fn a_dial_ends_in_time_whatever_the_registry_does() {
    let silent: fn(&str) -> Option<String> = registers;
    let lies: fn(&str) -> Option<String> = |request| {
        let lie = "{\"type\":\"ok\",\"node_id\":77,\"real_addr\":\"192.0.2.9:1\"}";
        registers(request).or_else(|| Some(lie.to_owned()))
    };
    let keyless: fn(&str) -> Option<String> = |request| {
        registers(request).or_else(|| Some("{\"type\":\"ok\",\"node_id\":5,\"real_addr\":\"192.0.2.9:1\"}".to_owned()))
    };
    for (answer, reason) in [
        (silent, DialError::RegistryUnavailable),
        (refuses, DialError::UnknownOrUntrusted),
        (lies, DialError::RegistryUnavailable),
        (keyless, DialError::Identity),
    ] {
        let mut alone = Alone::new(Config::default(), answer);
        alone.dial(5);
        alone.run(Duration::from_millis(4_800));
        assert_eq!(dial_error(&alone.drain.events), Some(reason));
        assert!(alone.endpoint.streams().is_empty());
    }
}

/// A silent registry holds up a dial to a pinned key for a second; then the relay is tried.
#[test]
fn a_known_key_is_dialled_without_the_registry_s_answer() {
    let beacon = SocketAddr::from(([198, 51, 100, 1], 9001));
    let mut alone = Alone::new(Config { beacons: vec![beacon], ..Config::default() }, registers);
    alone.run(10 * SECOND);
    let (key, time) = (identity(4).public(), "2026-01-01T00:00:00Z");
    let record = format!(
        "{{\"trusted\":[{{\"node_id\":5,\"public_key\":\"{key}\",\"approved_at\":\"{time}\",\"mutual\":true}}]}}"
    );
    alone.endpoint.restore_trust(serde_json::from_str(&record).unwrap());
    alone.drain.sent.clear();
    alone.dial(5);
    alone.run(Duration::from_millis(900));
    let relayed = |alone: &Alone| {
        alone.drain.sent.iter().any(|(to, bytes)| *to == beacon && bytes.get(9..13) == Some(b"PILA".as_slice()))
    };
    assert!(!relayed(&alone), "the registry's answer is waited for first");
    alone.run(Duration::from_millis(200));
    assert!(relayed(&alone), "{:?}", alone.drain.sent);
}

#[test]
fn a_registry_cannot_make_us_shoot_at_places_that_are_no_peers() {
    let mut alone = Alone::new(Config::default(), |request| {
        let key = identity(1).public();
        let many = [
            "\"255.255.255.255:9\"",
            "\"224.0.0.1:9\"",
            "\"127.0.0.1:9\"",
            "\"[::1]:9\"",
            "\"0.0.0.0:9\"",
            "\"10.1.2.3:9\"",
        ];
        let many = many.repeat(500).join(",");
        registers(request).or_else(|| {
            Some(format!(
                "{{\"type\":\"ok\",\"node_id\":5,\"public_key\":\"{key}\",\"real_addr\":\"127.0.0.1:9\",\"lan_addrs\":[{many}]}}"
            ))
        })
    });
    alone.dial(5);
    alone.run(5 * SECOND);
    assert_eq!(alone.drain.sent, Vec::new());
    assert_eq!(dial_error(&alone.drain.events), Some(DialError::Unreachable));
}

#[test]
fn without_a_registry_a_known_key_and_the_relay_are_enough() {
    let beacon = SocketAddr::from(([198, 51, 100, 1], 9001));
    let mut alone = Alone::new(Config { beacons: vec![beacon], ..Config::default() }, |_| None);
    alone.endpoint.handle_input(alone.now, Input::RegistryClosed);
    alone.endpoint.set_node(alone.now, NodeId(1));
    alone.endpoint.add_static_peer(alone.now, NodeId(6), identity(2).public(), None, true);
    alone.dial(6);
    alone.run(3 * SECOND);
    assert_eq!(dial_error(&alone.drain.events), None);
    let relayed = |(to, bytes): &(SocketAddr, Vec<u8>)| *to == beacon && bytes.get(9..13) == Some(b"PILA".as_slice());
    assert!(alone.drain.sent.iter().any(relayed));
}

#[test]
fn another_number_leaves_nothing_of_the_old_one_behind() {
    let mut alone = Alone::new(Config { beacons: Vec::new(), ..Config::default() }, registers);
    let to = SocketAddr::from(([192, 0, 2, 9], 1));
    alone.endpoint.add_static_peer(alone.now, NodeId(5), identity(1).public(), Some(to), true);
    alone.dial(5);
    let ping = alone.endpoint.ping(alone.now, NodeId(5), 60 * SECOND);
    alone.answer = |_| Some("{\"type\":\"register_ok\",\"node_id\":2}".to_owned());
    alone.endpoint.handle_input(alone.now, Input::RegistryClosed);
    alone.run(4 * SECOND);
    assert_eq!(alone.endpoint.address().unwrap().node, NodeId(2));
    assert!(dial_error(&alone.drain.events).is_some());
    assert!(alone.endpoint.streams().is_empty(), "{:?}", alone.endpoint.streams());
    let answered = |event: &Event| matches!(event, Event::Completed(id, _) if *id == ping);
    assert!(alone.drain.events.iter().any(answered), "a ping was never answered");
}

#[test]
fn a_key_told_by_the_host_is_not_replaced_by_the_registry() {
    let mut alone = Alone::new(Config::default(), |request| {
        let key = identity(1).public();
        let lie = format!("{{\"type\":\"lookup_ok\",\"node_id\":5,\"public_key\":\"{key}\"}}");
        registers(request).or(Some(lie))
    });
    let to = SocketAddr::from(([192, 0, 2, 9], 1));
    alone.endpoint.add_static_peer(alone.now, NodeId(5), identity(2).public(), Some(to), true);
    for _ in 0..3 {
        alone.receive(to, key_exchange(5));
        alone.run(4 * SECOND);
    }
    assert!(alone.endpoint.peer(NodeId(5)).is_some_and(|peer| !peer.encrypted));
    assert!(alone.drain.events.contains(&Event::KeyMismatch(NodeId(5))));
}

#[test]
fn a_hostname_that_can_be_none_is_not_kept() {
    for (name, kept) in [("agent-b".to_owned(), true), ("b\\u001b[2J".to_owned(), false), ("b".repeat(900_000), false)]
    {
        let lookup = format!("{{\"type\":\"lookup_ok\",\"node_id\":5,\"hostname\":\"{name}\"}}");
        let reply = serde_json::from_str(&lookup).unwrap();
        assert_eq!(Lookup::parse(&reply).unwrap().hostname.is_some(), kept);
    }
}
