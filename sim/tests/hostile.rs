//! What strangers, hostile peers, a hostile beacon and a hostile registry can do to an endpoint: nothing that lasts.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use proto_core::endpoint::{DialError, Outcome, TrustCommand};
use proto_core::rng::Rng;
use proto_core::wire::{Address, BeaconMessage, SocketAddress};
use proto_core::{Config, Event, NodeId, RequestId, limits};
use sim::{Link, Net, node, pattern, target};
use std::collections::BTreeMap;
use std::net::SocketAddr;
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

fn ponged(net: &Net, host: usize, ping: RequestId) -> bool {
    let pong = |event: &Event| matches!(event, Event::Completed(id, Outcome::Pong { .. }) if *id == ping);
    net.hosts[host].events.iter().any(pong)
}

// ---- Trust ----

/// The peer resets while the echo still waits for room: nothing of it may stay.
#[test]
fn an_echo_that_was_cut_off_leaves_nothing() {
    let mut net = Net::trusting(11, 2, Link::default());
    let stream = net.act(0, |endpoint, now| endpoint.dial(now, target(1, 7))).unwrap();
    net.run_until(SECOND, |net| net.saw(0, &Event::Connected(stream)));
    let data = pattern(100_000, 1);
    for _ in 0..200 {
        net.act(0, |endpoint, now| endpoint.write(now, stream, &data)).ok();
        net.run_for(Duration::from_millis(50));
    }
    net.act(0, |endpoint, now| endpoint.reset(now, stream));
    net.run_for(30 * SECOND);
    assert!(net.hosts[1].endpoint.streams().is_empty(), "{:?}", net.hosts[1].endpoint.streams());
}

#[test]
fn a_revoked_peer_is_not_answered_any_more() {
    let mut net = Net::trusting(1, 2, Link::default());
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    net.connect(0, 1, 1000);
    net.act(0, |endpoint, now| endpoint.set_trusted_by_host(now, node(1), false));
    net.run_for(SECOND);
    let ping = net.act(1, |endpoint, now| endpoint.ping(now, node(0), SECOND));
    let _ = net.act(1, |endpoint, now| endpoint.send_datagram(now, target(0, 2000), 0, b"hello"));
    net.run_for(2 * SECOND);
    assert!(net.saw(1, &Event::Completed(ping, Outcome::Timeout)), "a revoked peer's ping was answered");
    assert!(!net.hosts[0].events.iter().any(|event| matches!(event, Event::Datagram { .. })));

    net.act(0, |endpoint, now| endpoint.set_trusted_by_host(now, node(1), true));
    let ping = net.act(1, |endpoint, now| endpoint.ping(now, node(0), 5 * SECOND));
    net.run_until(6 * SECOND, |net| ponged(net, 1, ping));
}

#[test]
fn a_revoked_peer_is_forgotten_once_it_was_told() {
    let mut net = Net::with_rendezvous(2, Link::default());
    net.add_agent("agent-a", None);
    net.add_agent("agent-b", None);
    net.run_until(5 * SECOND, |net| (0..2).all(|host| net.hosts[host].endpoint.status().registered));
    let number = |net: &Net, host: usize| net.hosts[host].endpoint.address().unwrap().node;
    let (a, b) = (number(&net, 0), number(&net, 1));
    for (from, to) in [(0, b), (1, a)] {
        let command = TrustCommand::Request { node: to, justification: String::new() };
        net.act(from, |endpoint, now| endpoint.trust(now, command));
        net.run_for(SECOND);
    }
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let stream =
        net.act(0, |endpoint, now| endpoint.dial(now, SocketAddress::new(Address::backbone(b), 1000))).unwrap();
    net.run_until(5 * SECOND, |net| net.saw(0, &Event::Connected(stream)));
    net.run_for(SECOND);
    net.act(0, |endpoint, now| endpoint.trust(now, TrustCommand::Revoke(b)));
    net.run_until(5 * SECOND, |net| net.saw(1, &Event::TrustChanged { node: a, trusted: false }));
    net.act(0, |endpoint, now| endpoint.reset(now, stream));
    net.run_for(30 * SECOND);
    assert!(net.hosts[0].endpoint.peer(b).is_none(), "the session outlived the trust");
    assert!(net.hosts[0].endpoint.streams().is_empty());
    assert!(net.hosts[1].endpoint.peer(a).is_none());
}

//= spec/ports.md#pp-port-6
//= type=test
//# Port 444 takes trust messages.
#[test]
fn a_trust_message_that_never_ends_is_given_up() {
    let mut net = Net::trusting(3, 2, Link::default());
    let stream = net.act(0, |endpoint, now| endpoint.dial(now, target(1, 444))).unwrap();
    net.run_until(SECOND, |net| net.saw(0, &Event::Connected(stream)));
    for _ in 0..12 {
        net.act(0, |endpoint, now| endpoint.write(now, stream, b"{\"type\":\"}")).ok();
        net.run_for(SECOND);
    }
    assert!(net.hosts[1].endpoint.streams().is_empty(), "{:?}", net.hosts[1].endpoint.streams());
}

#[test]
fn streams_nobody_accepted_are_refused_when_listening_ends() {
    let mut net = Net::trusting(4, 2, Link::default());
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let stream = net.act(0, |endpoint, now| endpoint.dial(now, target(1, 1000))).unwrap();
    net.run_until(SECOND, |net| net.saw(0, &Event::Connected(stream)));
    net.act(1, |endpoint, now| endpoint.unlisten(now, 1000));
    net.run_until(SECOND, |net| net.hosts[0].events.iter().any(|event| matches!(event, Event::Closed(..))));
    assert!(!net.hosts[1].events.iter().any(|event| matches!(event, Event::Closed(..))), "never accepted");
    net.run_for(30 * SECOND);
    assert!(net.hosts[1].endpoint.streams().is_empty());
}

// ---- Replays and outages ----

#[test]
fn a_replayed_key_exchange_does_not_cut_an_idle_tunnel() {
    let mut net = Net::trusting(5, 2, Link::default());
    net.log = Some(Vec::new());
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    net.connect(0, 1, 1000);
    let from = net.hosts[1].address;
    let recorded =
        net.log.take().unwrap().into_iter().find(|sent| sent.from == from && sent.bytes.starts_with(b"PILA"));
    let old = recorded.unwrap().bytes;
    net.restart(1, Config::default(), 77);
    let ping = net.act(1, |endpoint, now| endpoint.ping(now, node(0), 5 * SECOND));
    net.run_until(6 * SECOND, |net| ponged(net, 1, ping));
    net.run_for(10 * SECOND);
    let stranger = SocketAddr::from(([203, 0, 113, 9], 9));
    let to = net.hosts[0].address;
    net.send(stranger, to, old);
    net.run_for(Duration::from_millis(3500));
    let ping = net.act(0, |endpoint, now| endpoint.ping(now, node(1), SECOND));
    net.run_for(SECOND);
    assert!(ponged(&net, 0, ping), "the replayed key was taken up");
}

#[test]
fn what_waited_for_a_lost_path_leaves_when_it_returns() {
    let mut net = Net::trusting(6, 2, Link::default());
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    net.connect(0, 1, 1000);
    let peer = net.hosts[1].address;
    net.run_for(40 * SECOND);
    net.cut.push(peer);
    for _ in 0..8 {
        net.act(0, |endpoint, now| endpoint.ping(now, node(1), SECOND));
        net.run_for(10 * SECOND);
    }
    net.cut.clear();
    let ping = net.act(0, |endpoint, now| endpoint.ping(now, node(1), 5 * SECOND));
    net.run_until(5 * SECOND, |net| ponged(net, 0, ping));
}

#[test]
fn a_reset_that_cannot_leave_is_given_up() {
    let mut net = Net::trusting(8, 2, Link::default());
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let (stream, _) = net.connect(0, 1, 1000);
    net.run_for(40 * SECOND);
    net.cut.push(net.hosts[1].address);
    for _ in 0..3 {
        net.act(0, |endpoint, now| endpoint.ping(now, node(1), SECOND));
        net.run_for(10 * SECOND);
    }
    assert_eq!(net.hosts[0].endpoint.peer(node(1)).and_then(|peer| peer.path), None);
    net.act(0, |endpoint, now| endpoint.reset(now, stream));
    net.run_for(SECOND);
    assert_eq!(net.hosts[0].endpoint.streams().len(), 1, "the reset still waits for a way");
    net.run_for(limits::RESET_PATIENCE);
    assert!(net.hosts[0].endpoint.streams().is_empty());
}

//= spec/exchange.md#pp-kex-25
//= type=test
//# At most 64 packets wait for a session of one peer, and for sessions of at most 256 peers.
#[test]
fn datagrams_for_a_dead_peer_do_not_wait_for_ever() {
    let mut net = Net::trusting(7, 2, Link::default());
    net.cut.push(net.hosts[1].address);
    let send = |net: &mut Net| net.act(0, |endpoint, now| endpoint.send_datagram(now, target(1, 2000), 0, b"hello"));
    let accepted = (0..100).filter(|_| send(&mut net).is_ok()).count();
    assert_eq!(accepted, 64);
    net.run_for(10 * SECOND);
    assert!(send(&mut net).is_ok(), "the queue of a failed attempt is still full");
}

//= spec/exchange.md#pp-kex-25
//= type=test
//# At most 64 packets wait for a session of one peer, and for sessions of at most 256 peers.
#[test]
fn packets_wait_for_few_peers_at_once() {
    let mut net = Net::trusting(7, 2, Link::default());
    let accepted = (1000..2000).filter(|peer| {
        let to = SocketAddress::new(Address::backbone(NodeId(*peer)), 2000);
        net.act(0, |endpoint, now| endpoint.send_datagram(now, to, 0, b"hello")).is_ok()
    });
    assert_eq!(accepted.count(), limits::PENDING_PEERS);
    assert!(
        net.hosts[0]
            .endpoint
            .status()
            .drops
            .iter()
            .any(|(reason, count)| *reason == "pending_packets_full" && *count == 744)
    );
}

// ---- Garbage ----

/// Datagrams of every kind a stranger can make up.
fn stranger(rng: &mut Rng, recorded: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = recorded[below(rng, recorded.len())].clone();
    let at = below(rng, datagram.len());
    match rng.below(6) {
        0 => return bytes(rng, 300),
        1 => datagram.truncate(at.max(1)),
        2 => {}
        3 => {
            let mut made_up = b"PILA".to_vec();
            made_up.extend(NodeId(u32::try_from(rng.below(5000)).unwrap()).0.to_be_bytes());
            made_up.extend(std::iter::repeat_with(|| u8::try_from(rng.below(256)).unwrap()).take(128));
            return made_up;
        }
        4 => {
            let mut made_up = [b"PILS", b"PILK", b"PILT", b"PILP"][below(rng, 4)].to_vec();
            made_up.extend(NodeId(u32::try_from(rng.below(4)).unwrap()).0.to_be_bytes());
            made_up.extend(bytes(rng, 200));
            return made_up;
        }
        _ => datagram[at] ^= 1 << rng.below(8),
    }
    datagram
}

/// Messages that a hostile beacon, or somebody with its address, can make up.
fn beacon(rng: &mut Rng, recorded: &[Vec<u8>]) -> Vec<u8> {
    let frame = stranger(rng, recorded);
    let ip = rng.next_u32().to_be_bytes();
    let endpoint = SocketAddr::from((ip, u16::try_from(rng.below(65_536)).unwrap()));
    let sender = NodeId(u32::try_from(rng.below(5000)).unwrap());
    let message = match rng.below(6) {
        0 => BeaconMessage::DiscoverReply(endpoint),
        1 => BeaconMessage::PunchCommand(endpoint),
        2 | 3 => BeaconMessage::RelayDeliver { sender, frame: &frame },
        4 => BeaconMessage::RelayDeliverTo { sender, destination: node(1), frame: &frame },
        _ => BeaconMessage::Notify { kind: u8::try_from(rng.below(4)).unwrap() },
    };
    let mut datagram = message.to_vec().unwrap();
    if rng.below(4) == 0 {
        let at = below(rng, datagram.len());
        datagram[at] ^= 1 << rng.below(8);
    }
    datagram
}

fn flood(seed: u8, public: bool) {
    let from_beacon = SocketAddr::from(([198, 51, 100, 1], 9001));
    let config = Config { public, beacons: vec![from_beacon], ..Config::default() };
    let mut net = Net::new(seed, Link::default(), vec![(Config::default(), true), (config, true)]);
    net.log = Some(Vec::new());
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let (dialled, accepted) = net.connect(0, 1, 1000);
    let recorded: Vec<Vec<u8>> = net.log.replace(Vec::new()).unwrap().into_iter().map(|sent| sent.bytes).collect();
    let (victim, mut rng) = (net.hosts[1].address, Rng::new([seed; 32]));
    for round in 0..100_000_u32 {
        if round % 2 == 0 {
            let octet = u8::try_from(rng.below(250)).unwrap();
            let from = SocketAddr::from(([203, 0, 113, octet], 1 + u16::try_from(rng.below(4)).unwrap()));
            let datagram = stranger(&mut rng, &recorded);
            net.send(from, victim, datagram);
        } else {
            let datagram = beacon(&mut rng, &recorded);
            net.send(from_beacon, victim, datagram);
        }
        if round % 1000 == 0 {
            net.run_for(Duration::from_millis(50));
        }
    }
    net.run_for(SECOND);
    let mut balance: BTreeMap<SocketAddr, (usize, usize)> = BTreeMap::new();
    for sent in net.log.take().unwrap() {
        if sent.to == victim {
            balance.entry(sent.from).or_default().0 += sent.bytes.len();
        } else if sent.from == victim {
            balance.entry(sent.to).or_default().1 += sent.bytes.len();
        }
    }
    for (address, (received, sent)) in balance {
        let is_stranger = matches!(address.ip(), std::net::IpAddr::V4(ip) if ip.octets()[..3] == [203, 0, 113]);
        assert!(!is_stranger || sent <= 3 * received, "{address}: {sent} bytes for {received}");
    }
    assert!(net.hosts[1].endpoint.peers().len() <= 2, "{:?}", net.hosts[1].endpoint.peers().len());
    let data = pattern(300_000, 3);
    assert!(net.transfer((0, dialled), (1, accepted), &data, 20 * SECOND) == data);
}

#[test]
fn garbage_at_a_private_node_changes_nothing() {
    flood(8, false);
}

#[test]
fn garbage_at_a_public_node_changes_nothing() {
    flood(9, true);
}

// ---- Shares ----

fn refused(net: &Net, host: usize) -> usize {
    let refusals = net.hosts[host].events.iter();
    refusals.filter(|event| matches!(event, Event::DialFailed(_, DialError::Refused))).count()
}

/// Whatever one trusted peer opens, on ports that accept and ports that do not, another one finds room.
//= spec/rate-limits.md#pp-rate-5
//= type=test
//# A peer holds at most 1024 streams of a port and never more than are still free there; a port holds at most 2048, the endpoint 65536.
#[test]
fn a_peer_cannot_take_all_of_a_port_from_others() {
    for port in [7, 1000] {
        let mut net = Net::trusting(10, 4, Link::default());
        net.act(0, |endpoint, _| endpoint.listen(1000)).unwrap();
        for greedy in [1, 2] {
            for _ in 0..30 {
                for _ in 0..50 {
                    net.act(greedy, |endpoint, now| endpoint.dial(now, target(0, port))).unwrap();
                }
                net.run_for(Duration::from_millis(100));
            }
            net.run_for(5 * SECOND);
        }
        let held = |net: &Net, peer: usize| {
            let streams = net.hosts[0].endpoint.streams();
            streams
                .iter()
                .filter(|stream| stream.local_port == port && stream.remote.address.node == node(peer))
                .count()
        };
        assert_eq!(held(&net, 1), limits::STREAMS_PER_PEER_AND_PORT);
        assert_eq!(held(&net, 2), limits::STREAMS_PER_PEER_AND_PORT / 2);
        assert!(refused(&net, 1) > 0 && refused(&net, 2) > 0);
        let modest: Vec<_> =
            (0..100).map(|_| net.act(3, |endpoint, now| endpoint.dial(now, target(0, port))).unwrap()).collect();
        net.run_until(5 * SECOND, |net| modest.iter().all(|stream| net.saw(3, &Event::Connected(*stream))));
    }
}
