//! Who is heard at all, how often, and what is thrown away before anything is believed.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod raw;

use core::net::SocketAddr;
use core::time::Duration;
use proto_core::crypto::Identity;
use proto_core::endpoint::Insecure;
use proto_core::wire::frame::signed_message;
use proto_core::wire::{AuthenticatedKeyExchange, BeaconMessage, Flags, Frame, KeyExchange, Protocol};
use proto_core::{Config, Event, NodeId};
use raw::{BEACON, OURS, World, address, packet, stream, target};
use std::collections::BTreeSet;

const SECOND: Duration = Duration::from_secs(1);
const STRANGER: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(203, 0, 113, 9)), 9);

fn public() -> Config {
    Config { public: true, ..Config::default() }
}

fn with_beacon() -> Config {
    Config { beacons: vec![BEACON], ..Config::default() }
}

/// Peers that are not trusted, at a public node that listens on port 1000.
fn strangers(count: usize) -> World {
    let mut world = World::new(public(), &vec![false; count]);
    world.ours.listen(1000).unwrap();
    (0..count).for_each(|peer| world.meet(peer));
    world
}

/// `count` SYNs of `peer` at once, from ports not used before; gives how many were answered.
fn syns(world: &mut World, peer: usize, ports: core::ops::Range<u16>) -> Vec<Flags> {
    for port in ports {
        world.send(peer, stream(Flags::SYN, (port, 1000), 0, 0), b"");
    }
    world.take_flags(peer)
}

fn frame(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = vec![0; frame.encoded_len()];
    frame.emit(&mut bytes).unwrap();
    bytes
}

// ---- Rates ----

//= spec/rate-limits.md#pp-rate-2
//= type=test
//# SYNs of one node that is not trusted are limited to 10 a second, 64 at once.
//= spec/rate-limits.md#pp-rate-3
//= type=test
//# A SYN beyond the rate gets no answer.
#[test]
fn a_stranger_has_64_syns_at_once_and_then_10_a_second() {
    let mut world = World::new(public(), &[false]);
    world.meet(0);
    // Nobody listens, so that nothing waits to be accepted: each SYN that counts is answered with RST.
    assert_eq!(syns(&mut world, 0, 5000..5100), [Flags::RST; 64]);
    world.pass(SECOND);
    assert_eq!(syns(&mut world, 0, 5100..5200), [Flags::RST; 10]);
    world.pass(SECOND * 2);
    assert_eq!(syns(&mut world, 0, 5200..5300), [Flags::RST; 20]);
    world.pass(SECOND * 30);
    assert!(world.take(0).is_empty(), "nor later");
}

//= spec/rate-limits.md#pp-rate-1
//= type=test
//# SYNs of nodes that are not trusted are limited to 100 a second together.
#[test]
fn strangers_together_have_100_syns_a_second_and_friends_have_no_limit() {
    let mut world = World::new(public(), &[false, false, false, true]);
    (0..4).for_each(|peer| world.meet(peer));
    let answered = |world: &mut World, ports: core::ops::Range<u16>| {
        (0..3).map(|peer| syns(world, peer, ports.clone()).len()).sum::<usize>()
    };
    assert_eq!(answered(&mut world, 5000..5060), 100);
    assert_eq!(syns(&mut world, 3, 5000..5200).len(), 200);
    world.pass(SECOND * 10);
    assert_eq!(answered(&mut world, 5100..5160), 100);
}

//= spec/rate-limits.md#pp-rate-6
//= type=test
//# At most 64 streams of strangers wait to be accepted on a port; another SYN is answered with RST.
#[test]
fn sixty_four_streams_of_strangers_wait_and_the_next_is_reset() {
    let mut world = strangers(2);
    assert_eq!(syns(&mut world, 0, 5000..5040), [Flags::SYN | Flags::ACK; 40]);
    assert_eq!(syns(&mut world, 1, 5000..5024), [Flags::SYN | Flags::ACK; 24]);
    assert_eq!(syns(&mut world, 1, 5024..5025), [Flags::RST]);
    // One that is accepted makes room for another.
    let (syn_port, ours) = (5000, 1000);
    world.pass(SECOND);
    let again = world.take(0).into_iter().find(|(header, _)| header.dst_port == syn_port).unwrap().0;
    world.send(0, stream(Flags::ACK, (syn_port, ours), 1, again.seq.0 + 1), b"");
    assert!(world.ours.accept(1000).is_some());
    world.take(1);
    assert_eq!(syns(&mut world, 1, 5025..5027), [Flags::SYN | Flags::ACK, Flags::RST]);
}

// ---- Keys ----

//= spec/exchange.md#pp-kex-8
//= type=test
//# A PILA of a sender whose identity key cannot be had is dropped.
#[test]
fn a_pila_of_somebody_whose_key_cannot_be_had_is_dropped() {
    for known in [false, true] {
        let mut world = World::new(public(), &[]);
        let (somebody, identity) = (NodeId(55), Identity::from_seed([55; 32]));
        if known {
            let key = identity.public();
            world.act(|ours, now| ours.add_static_peer(now, somebody, key, None, false));
        }
        let exchange_public = [9; 32];
        let exchange = AuthenticatedKeyExchange {
            sender: somebody,
            exchange_public,
            identity_public: identity.public().0,
            signature: identity.sign(&signed_message(somebody, &exchange_public)),
        };
        world.datagram(STRANGER, frame(&Frame::AuthenticatedKeyExchange(exchange)));
        world.pass(SECOND);
        let answered = world.log.iter().any(|sent| sent.to == STRANGER && sent.bytes.starts_with(b"PILA"));
        assert_eq!((answered, world.ours.peer(somebody).is_some()), (known, known));
    }
}

//= spec/exchange.md#pp-kex-10
//= type=test
//# A PILK from a peer that is trusted or was asked for trust is answered with a PILA, at most every 3 seconds.
#[test]
fn a_pilk_of_a_friend_is_answered_with_a_pila_every_three_seconds_at_most() {
    for (trusted, answers) in [(true, vec![0, 3, 6, 9]), (false, vec![])] {
        let mut world = World::new(Config::default(), &[trusted]);
        world.mute = true;
        let key = frame(&Frame::KeyExchange(KeyExchange { sender: NodeId(1), public: [9; 32] }));
        let began = world.now;
        for _ in 0..100 {
            world.datagram(address(0), key.clone());
            world.pass(SECOND / 10);
        }
        let times: Vec<u64> = world.log.iter().map(|sent| sent.at.saturating_since(began).as_secs()).collect();
        assert_eq!(times, answers);
        assert!(world.log.iter().all(|sent| sent.bytes.starts_with(b"PILA") && sent.to == address(0)));
    }
}

//= spec/exchange.md#pp-kex-19
//= type=test
//# The own X25519 pair is made for one peer and never used with another.
#[test]
fn each_peer_is_told_another_key() {
    let mut world = World::new(Config::default(), &[true; 5]);
    let mut keys = BTreeSet::new();
    for peer in 0..5 {
        let pila = world.exchange(peer);
        world.datagram(address(peer), pila);
        let told = world.log.iter().filter(|sent| sent.to == address(peer) && sent.bytes.starts_with(b"PILA"));
        let of_peer: BTreeSet<Vec<u8>> = told.map(|sent| sent.bytes[8..40].to_vec()).collect();
        assert_eq!(of_peer.len(), 1);
        keys.extend(of_peer);
    }
    assert_eq!(keys.len(), 5);
}

// ---- Frames and beacon messages ----

//= spec/frames.md#pp-frame-10
//= type=test
//# A PILP frame creates no state, answers nothing and changes no address.
#[test]
fn a_pilp_does_nothing() {
    let mut world = World::new(public(), &[true]);
    world.meet(0);
    let before = world.ours.peer(NodeId(1)).unwrap().path;
    for sender in [Some(NodeId(1)), Some(NodeId(77)), None] {
        world.datagram(STRANGER, frame(&Frame::Punch { sender }));
    }
    assert!(world.log.is_empty() && world.events.is_empty());
    world.act(|ours, now| ours.ping(now, NodeId(1), SECOND));
    assert!(world.log.iter().all(|sent| sent.to == address(0)) && !world.log.is_empty());
    assert_eq!((world.ours.peers().len(), world.ours.peer(NodeId(1)).unwrap().path), (1, before));
}

//= spec/frames.md#pp-frame-11
//= type=test
//# A PILP we send carries our node, three copies for each punch command that is obeyed.
#[test]
fn a_punch_command_is_obeyed_with_three_pilps_that_name_us() {
    let mut world = World::new(with_beacon(), &[]);
    world.log.clear();
    world.datagram(BEACON, BeaconMessage::PunchCommand(STRANGER).to_vec().unwrap());
    let punches: Vec<_> = world.log.iter().filter(|sent| sent.to == STRANGER).map(|sent| &sent.bytes[..]).collect();
    assert_eq!(punches, [b"PILP\0\0\0\x64"; 3]);
}

//= spec/frames.md#pp-frame-12
//= type=test
//# Bytes behind PILK, PILA and PILP are ignored.
#[test]
fn bytes_behind_key_exchanges_and_punches_are_ignored() {
    let pila = AuthenticatedKeyExchange {
        sender: NodeId(1),
        exchange_public: [2; 32],
        identity_public: [3; 32],
        signature: [4; 64],
    };
    for told in [
        Frame::AuthenticatedKeyExchange(pila),
        Frame::KeyExchange(KeyExchange { sender: NodeId(1), public: [2; 32] }),
        Frame::Punch { sender: Some(NodeId(1)) },
    ] {
        for more in [1, 100] {
            let longer = [frame(&told), vec![0xff; more]].concat();
            assert_eq!(Frame::parse(&longer), Ok(told));
        }
    }
    let mut world = World::new(Config::default(), &[true]);
    let longer = [world.exchange(0), vec![0xff; 10]].concat();
    world.datagram(address(0), longer);
    world.pass(SECOND);
    assert!(world.peers[0].tunnel.is_established());
}

//= spec/relay.md#pp-relay-4
//= type=test
//# Beacon messages are taken from configured beacons only.
#[test]
fn beacon_messages_of_others_than_the_beacon_are_dropped() {
    let mut world = World::new(with_beacon(), &[true]);
    world.meet(0);
    let ping = packet(Protocol::Control, Flags::NONE, (5000, 0));
    let other_port = SocketAddr::new(BEACON.ip(), BEACON.port() + 1);
    for (from, taken) in [(STRANGER, false), (other_port, false), (address(0), false), (BEACON, true)] {
        world.log.clear();
        let frame = world.sealed(0, ping, b"ping");
        world.datagram(from, BeaconMessage::RelayDeliver { sender: NodeId(1), frame: &frame }.to_vec().unwrap());
        world.datagram(from, BeaconMessage::PunchCommand(STRANGER).to_vec().unwrap());
        let punches = world.log.iter().filter(|sent| sent.to == STRANGER).count();
        assert_eq!((punches, world.log.len() > 3), if taken { (3, true) } else { (0, false) }, "{from}");
    }
}

//= spec/relay.md#pp-relay-5
//= type=test
//# A relayed beacon message, PILT or PILP is dropped.
#[test]
fn relayed_beacon_messages_and_frames_without_a_proven_sender_are_dropped() {
    let insecure = Insecure { plaintext: true, anonymous_exchange: false };
    let mut world = World::new(Config { insecure, public: true, ..with_beacon() }, &[]);
    world.act(|ours, now| ours.add_peer_without_identity(now, NodeId(1), address(0), true));
    world.pass(SECOND * 10);
    let mut syn = vec![0; 34];
    let mut header = stream(Flags::SYN, (5000, 7), 0, 0);
    header.src.node = NodeId(1);
    header.emit(b"", &mut syn).unwrap();
    let plain = frame(&Frame::Plaintext(&syn));
    let command = BeaconMessage::PunchCommand(STRANGER).to_vec().unwrap();
    let nested = BeaconMessage::RelayDeliver { sender: NodeId(1), frame: &plain }.to_vec().unwrap();
    world.log.clear();
    for inner in [plain.clone(), frame(&Frame::Punch { sender: Some(NodeId(1)) }), command, nested] {
        world.relayed(NodeId(1), &inner);
        assert!(world.log.is_empty() && world.ours.streams().is_empty(), "{inner:?}");
    }
    world.datagram(address(0), plain);
    assert_eq!(world.ours.streams().len(), 1, "but directly it is heard here");
}

//= spec/versioning.md#pp-ver-6
//= type=test
//# An unknown beacon message is ignored.
#[test]
fn an_unknown_beacon_message_is_ignored() {
    let mut world = World::new(with_beacon(), &[true]);
    world.meet(0);
    for kind in (0x0b..=0x0f_u8).chain([0]) {
        for len in [1, 5, 64] {
            world.datagram(BEACON, vec![kind; len]);
            assert!(world.log.is_empty() && world.events.is_empty(), "{kind}");
        }
    }
    assert_eq!(world.dropped("beacon_message_unusable"), 3 * 6);
    assert!(world.dial_in(0, 5000, 7).is_some());
}

// ---- Dials ----

fn pilas(world: &World, began: proto_core::Timestamp, to: SocketAddr) -> Vec<u128> {
    let pilas = world.log.iter().filter(|sent| sent.to == to && sent.bytes.windows(4).any(|part| part == b"PILA"));
    pilas.map(|sent| sent.at.saturating_since(began).as_millis()).collect()
}

//= spec/strategy.md#pp-dial-5
//= type=test
//# Without a beacon a dial is direct only, and tries at 0, 0.25, 0.75, 1.5, 2.25 and 3.25 seconds.
#[test]
fn without_a_beacon_a_dial_is_direct_only() {
    let mut world = World::new(Config::default(), &[true]);
    world.mute = true;
    let began = world.now;
    let id = world.act(|ours, now| ours.dial(now, target(0, 1000))).unwrap();
    world.pass(SECOND * 20);
    assert!(world.events.iter().any(|event| matches!(event, Event::DialFailed(failed, _) if *failed == id)));
    assert!(world.log.iter().all(|sent| sent.to == address(0)));
    let times = pilas(&world, began, address(0));
    // Those at 1.75 and 3.75 seconds are repetitions of the key exchange (PP-KEX-13).
    assert_eq!(times, [0, 250, 750, 1500, 1750, 2250, 3250, 3750]);
}

//= spec/path-mtu.md#pp-mtu-2
//= type=test
//# A datagram through the relay is 9 bytes longer toward the beacon.
#[test]
fn a_relayed_datagram_is_nine_bytes_longer() {
    let mut world = World::new(with_beacon(), &[true]);
    world.mute = true;
    world.act(|ours, now| ours.dial(now, target(0, 1000))).unwrap();
    world.pass(SECOND * 4);
    let pila = |to| world.log.iter().find(|sent| sent.to == to && sent.bytes.windows(4).any(|w| w == b"PILA"));
    let (direct, relayed) = (pila(address(0)).unwrap(), pila(BEACON).unwrap());
    assert_eq!(relayed.bytes.len(), direct.bytes.len() + 9);
    assert_eq!(relayed.bytes[9..], direct.bytes);
    assert_eq!(relayed.bytes[1..9], [0, 0, 0, u8::try_from(OURS.0).unwrap(), 0, 0, 0, 1]);
}
