//! The insecure opt-ins: what two nodes that have them may do, what one that has not never does, and what nobody can talk anybody down to.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use proto_core::crypto::rust_crypto;
use proto_core::endpoint::{Insecure, PeerStatus};
use proto_core::trust::Snapshot;
use proto_core::wire::{
    Address, Datagram, Flags, Frame, Header, KeyExchange, Protocol, SocketAddress, classify, frame,
};
use proto_core::{Config, Endpoint, Event, NodeId, limits};
use sim::{Link, Net, address, identity, node, pattern, target};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const NOTHING: Insecure = Insecure { anonymous_exchange: false, plaintext: false };
const PLAINTEXT: Insecure = Insecure { anonymous_exchange: false, plaintext: true };
const ANONYMOUS: Insecure = Insecure { anonymous_exchange: true, plaintext: false };
const BOTH: Insecure = Insecure { anonymous_exchange: true, plaintext: true };

/// What a host knows of the other one.
#[derive(Clone, Copy)]
enum Knows {
    Key,
    AddressOnly,
    Nothing,
}

/// Host `index` of two, with port 1000 open.
fn endpoint(net: &Net, index: usize, config: Config, knows: Knows) -> Endpoint {
    let (now, other) = (net.now, 1 - index);
    let mut seed = [u8::try_from(index).unwrap(); 32];
    seed[..8].copy_from_slice(&now.as_micros().to_be_bytes());
    let mut endpoint = Endpoint::new(Arc::new(config), identity(index), rust_crypto(), seed, now);
    endpoint.set_node(now, node(index));
    match knows {
        Knows::Key => {
            endpoint.add_static_peer(now, node(other), identity(other).public(), Some(address(other)), true);
        }
        Knows::AddressOnly => endpoint.add_peer_without_identity(now, node(other), address(other), true),
        Knows::Nothing => {}
    }
    endpoint.listen(1000).unwrap();
    endpoint
}

fn insecure(insecure: Insecure) -> Config {
    Config { insecure, ..Config::default() }
}

fn pair(hosts: [(Config, Knows); 2]) -> Net {
    let mut net = Net::trusting(1, 2, Link::default());
    net.log = Some(Vec::new());
    for (index, (config, knows)) in hosts.into_iter().enumerate() {
        net.hosts[index].endpoint = endpoint(&net, index, config, knows);
    }
    net
}

/// Datagrams so far by magic, those of `from` only.
fn magics(net: &Net, from: SocketAddr) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for sent in net.log.iter().flatten().filter(|sent| sent.from == from) {
        *counts.entry(String::from_utf8_lossy(&sent.bytes[..4]).into_owned()).or_default() += 1;
    }
    counts
}

fn said(net: &Net, host: usize, magic: &str) -> usize {
    magics(net, address(host)).get(magic).copied().unwrap_or(0)
}

fn in_clear(net: &Net, data: &[u8]) -> bool {
    net.log
        .iter()
        .flatten()
        .any(|sent| sent.bytes.windows(64).any(|window| data.windows(64).step_by(64).any(|part| part == window)))
}

fn peer(net: &Net, host: usize) -> PeerStatus {
    net.hosts[host].endpoint.peer(node(1 - host)).unwrap()
}

fn dropped(net: &Net, host: usize, reason: &str) -> u64 {
    let drops = net.hosts[host].endpoint.status().drops;
    drops.iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| *count)
}

fn plaintext(from: NodeId, src_port: u16, to: SocketAddress, flags: Flags) -> Vec<u8> {
    let header = Header {
        flags,
        protocol: Protocol::Stream,
        src: Address::backbone(from),
        dst: to.address,
        src_port,
        dst_port: to.port,
        seq: proto_core::seq::SeqNumber(7),
        ack: proto_core::seq::SeqNumber(0),
        window: 512,
    };
    let mut packet = vec![0; proto_core::wire::HEADER_LEN];
    header.emit(&[], &mut packet).unwrap();
    let mut bytes = vec![0; 200];
    let len = Frame::Plaintext(&packet).emit(&mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

fn anonymous_key(from: NodeId) -> Vec<u8> {
    let mut bytes = vec![0; frame::KEY_EXCHANGE_LEN];
    Frame::KeyExchange(KeyExchange { sender: from, public: [9; 32] }).emit(&mut bytes).unwrap();
    bytes
}

#[test]
fn two_that_opted_for_it_speak_in_clear() {
    let mut net = pair([(insecure(PLAINTEXT), Knows::AddressOnly), (insecure(PLAINTEXT), Knows::AddressOnly)]);
    let (dialled, accepted) = net.connect(0, 1, 1000);
    let data = pattern(300_000, 3);
    assert!(net.transfer_part((0, dialled), (1, accepted), &data, 20 * SECOND) == data);
    assert!(net.transfer_part((1, accepted), (0, dialled), &data, 20 * SECOND) == data);
    assert!(in_clear(&net, &data[..6400]) && said(&net, 0, "PILT") > 200 && said(&net, 0, "PILS") == 0);
    for host in 0..2 {
        let peer = peer(&net, host);
        assert!(!peer.encrypted && !peer.authenticated && peer.path.is_some(), "{peer:?}");
        assert_eq!(net.hosts[host].endpoint.status().insecure, PLAINTEXT);
    }
}

#[test]
fn two_that_opted_for_it_exchange_keys_without_identity() {
    for both in [ANONYMOUS, BOTH] {
        let mut net = pair([(insecure(both), Knows::AddressOnly), (insecure(both), Knows::AddressOnly)]);
        let (dialled, accepted) = net.connect(0, 1, 1000);
        let data = pattern(300_000, 4);
        assert!(net.transfer((0, dialled), (1, accepted), &data, 20 * SECOND) == data);
        assert!(!in_clear(&net, &data[..6400]) && said(&net, 0, "PILT") + said(&net, 1, "PILT") == 0);
        assert!(said(&net, 0, "PILK") > 0 && said(&net, 1, "PILK") > 0 && said(&net, 0, "PILS") > 200);
        assert!(peer(&net, 0).encrypted && !peer(&net, 0).authenticated);
    }
}

#[test]
fn an_anonymous_peer_that_restarts_is_found_again() {
    let mut net = pair([(insecure(ANONYMOUS), Knows::AddressOnly), (insecure(ANONYMOUS), Knows::AddressOnly)]);
    net.connect(0, 1, 1000);
    net.hosts[1].endpoint = endpoint(&net, 1, insecure(ANONYMOUS), Knows::AddressOnly);
    net.run_for(SECOND);
    let (dialled, accepted) = net.connect(0, 1, 1000);
    let data = pattern(10_000, 5);
    assert!(net.transfer((0, dialled), (1, accepted), &data, 20 * SECOND) == data);
}

#[test]
fn identities_that_are_known_are_used_whatever_was_opted_for() {
    let mut net = pair([(insecure(BOTH), Knows::Key), (insecure(BOTH), Knows::Key)]);
    let (dialled, accepted) = net.connect(0, 1, 1000);
    let data = pattern(100_000, 6);
    assert!(net.transfer((0, dialled), (1, accepted), &data, 20 * SECOND) == data);
    for host in 0..2 {
        assert!(said(&net, host, "PILT") + said(&net, host, "PILK") == 0, "{:?}", magics(&net, address(host)));
        assert!(peer(&net, host).authenticated);
    }
}

/// One side opted for everything, the other for nothing: either they authenticate, or nothing is said.
//= spec/frames.md#pp-frame-8
//= type=test
//# A PILT frame is dropped unless the host opted for plaintext.
//= spec/frames.md#pp-frame-9
//= type=test
//# PILT is never sent unless the host opted for plaintext.
//= spec/exchange.md#pp-kex-9
//= type=test
//# A PILK makes no session unless the host opted for anonymous exchange.
#[test]
fn a_node_that_opted_for_nothing_says_nothing_in_clear_and_hears_nothing() {
    for opted in [PLAINTEXT, ANONYMOUS, BOTH] {
        for (default_side, knows) in
            [(0, Knows::Key), (1, Knows::Key), (0, Knows::AddressOnly), (1, Knows::AddressOnly)]
        {
            let config = |host: usize| insecure(if host == default_side { NOTHING } else { opted });
            let mut net = pair([(config(0), knows), (config(1), knows)]);
            let stream = net.act(0, |endpoint, now| endpoint.dial(now, target(1, 1000))).unwrap();
            net.run_for(6 * SECOND);
            let connected = net.saw(0, &Event::Connected(stream));
            assert_eq!(connected, matches!(knows, Knows::Key), "{opted:?}, {default_side}");
            let ours = magics(&net, address(default_side));
            assert!(!ours.contains_key("PILT") && !ours.contains_key("PILK"), "{ours:?}");
            if connected {
                assert!(said(&net, 1 - default_side, "PILT") + said(&net, 1 - default_side, "PILK") == 0);
                assert!(peer(&net, 0).authenticated);
            } else {
                assert!(
                    net.hosts[default_side].endpoint.streams().iter().all(|stream| stream.stats.bytes_received == 0)
                );
                assert!(!net.hosts[default_side].events.iter().any(|event| matches!(event, Event::Incoming(_))));
            }
        }
    }
}

#[test]
fn plaintext_is_spoken_only_after_the_key_exchange_went_unanswered() {
    // Host 1 has no key for host 0, so it can answer none of its exchanges, as a reference daemon without encryption.
    let mut net = pair([(insecure(PLAINTEXT), Knows::Key), (insecure(PLAINTEXT), Knows::AddressOnly)]);
    let began = net.now;
    let (dialled, accepted) = net.connect(0, 1, 1000);
    let log = net.log.clone().unwrap();
    let first = log.iter().position(|sent| sent.from == address(0) && sent.bytes.starts_with(b"PILT")).unwrap();
    let asked = log[..first].iter().filter(|sent| sent.from == address(0) && sent.bytes.starts_with(b"PILA")).count();
    assert!(asked >= 3 && log[first].at >= began + Duration::from_millis(750), "{asked} at {:?}", log[first].at);
    assert!(net.now < began + 4 * SECOND, "within the time of a dial");

    // Now it proves its identity: what was said before may have been said to somebody else.
    let data = pattern(10_000, 7);
    assert!(net.transfer_part((0, dialled), (1, accepted), &data, 20 * SECOND) == data);
    net.hosts[1].endpoint = endpoint(&net, 1, insecure(PLAINTEXT), Knows::Key);
    net.act(1, |endpoint, now| endpoint.ping(now, node(0), 2 * SECOND));
    net.run_until(3 * SECOND, |net| peer(net, 0).authenticated);
    assert!(net.hosts[0].events.iter().any(|event| matches!(event, Event::Closed(id, _) if *id == dialled)));

    // And from now on nobody, it included, gets this node to speak to it in clear or under a key without identity.
    let before = (said(&net, 0, "PILT"), dropped(&net, 0, "plaintext_downgrade_refused"));
    for attempt in 0..20 {
        net.send(address(1), address(0), plaintext(node(1), 50_000 + attempt, target(0, 1000), Flags::SYN));
        net.send(address(1), address(0), anonymous_key(node(1)));
        net.run_for(SECOND / 2);
    }
    assert_eq!(said(&net, 0, "PILT"), before.0);
    assert_eq!(dropped(&net, 0, "plaintext_downgrade_refused"), before.1 + 20);
    assert!(said(&net, 0, "PILK") == 0 && dropped(&net, 0, "anonymous_exchange_refused") == 20);
    let (dialled, accepted) = net.connect(0, 1, 1000);
    assert!(net.transfer((0, dialled), (1, accepted), &data, 20 * SECOND) == data);
    assert!(peer(&net, 0).authenticated);
}

#[test]
fn a_key_without_identity_takes_nothing_over() {
    let mut net = pair([(insecure(BOTH), Knows::Key), (insecure(BOTH), Knows::Key)]);
    let (dialled, accepted) = net.connect(0, 1, 1000);
    for from in [address(1), SocketAddr::from(([203, 0, 113, 9], 9))] {
        for _ in 0..10 {
            net.send(from, address(0), anonymous_key(node(1)));
            net.send(from, address(0), plaintext(node(1), 50_000, target(0, 1000), Flags::RST));
            net.run_for(SECOND);
        }
    }
    let data = pattern(100_000, 8);
    assert!(net.transfer((0, dialled), (1, accepted), &data, 20 * SECOND) == data);
    assert!(peer(&net, 0).authenticated && said(&net, 0, "PILK") + said(&net, 0, "PILT") == 0);
}

/// A record in the trust store names a key, or waits for one: a claim in clear does not open what it guards.
#[test]
fn the_trust_store_admits_nobody_without_identity() {
    let mut net = pair([(insecure(BOTH), Knows::AddressOnly), (insecure(BOTH), Knows::AddressOnly)]);
    let record = r#"{"trusted":[{"node_id":2,"approved_at":"2026-01-01T00:00:00Z","mutual":true}]}"#;
    let snapshot: Snapshot = serde_json::from_str(record).unwrap();
    net.act(0, |endpoint, _| endpoint.restore_trust(snapshot));
    let stream = net.act(1, |endpoint, now| endpoint.dial(now, target(0, 1000))).unwrap();
    net.run_for(6 * SECOND);
    assert!(!net.saw(1, &Event::Connected(stream)) && said(&net, 0, "PILT") + said(&net, 0, "PILK") == 0);
    assert!(dropped(&net, 0, "plaintext_downgrade_refused") > 0 && dropped(&net, 0, "anonymous_exchange_refused") > 0);
}

#[test]
fn a_private_node_keeps_no_stranger_and_a_public_one_only_so_many() {
    for public in [false, true] {
        let config = Config { public, ..insecure(BOTH) };
        let mut net = pair([(insecure(BOTH), Knows::Nothing), (config, Knows::Nothing)]);
        for number in 0..20_000_u32 {
            let claimed = NodeId(1000 + number / 2);
            let octets = number.to_be_bytes();
            let from = SocketAddr::from(([198, octets[1], octets[2], octets[3]], 5000));
            let bytes = if number % 2 == 0 {
                plaintext(claimed, 5, target(1, 1000), Flags::SYN)
            } else {
                anonymous_key(claimed)
            };
            assert!(matches!(classify(&bytes), Datagram::Frame(_)));
            net.send(from, address(1), bytes);
            if number % 500 == 0 {
                net.run_for(Duration::from_millis(20));
            }
        }
        net.run_for(Duration::from_millis(100));
        let peers = net.hosts[1].endpoint.peers().len();
        assert!(if public { peers == limits::MAX_UNPROVEN_PEERS } else { peers == 0 }, "{peers}");
        net.run_for(5 * SECOND);
        let mut balance: BTreeMap<SocketAddr, (usize, usize)> = BTreeMap::new();
        for sent in net.log.iter().flatten() {
            if sent.from == address(1) {
                balance.entry(sent.to).or_default().0 += sent.bytes.len();
            } else {
                balance.entry(sent.from).or_default().1 += sent.bytes.len();
            }
        }
        for (stranger, (sent, received)) in balance {
            assert!(sent <= 3 * received && (public || sent == 0), "{stranger}: {sent} bytes for {received}");
        }
    }
}
