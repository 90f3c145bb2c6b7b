//! What the beacon promises: it tells what it sees, passes on frames of those it knows, and serves no reflector.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;
use proto_core::{NodeId, Timestamp};
use rendezvous_core::rate::Rate;
use rendezvous_core::{Beacon, BeaconConfig, Directory, Outgoing};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Nodes below 100 are registered; pairs and places are listed.
#[derive(Default)]
struct Listed {
    related: BTreeSet<(u32, u32)>,
    registered: BTreeSet<(u32, IpAddr)>,
}

impl Directory for Listed {
    fn may_resolve(&self, requester: NodeId, target: NodeId) -> bool {
        self.related.contains(&(requester.0, target.0))
    }

    fn is_known(&self, node: NodeId) -> bool {
        node.0 < 100
    }

    fn registered_from(&self, node: NodeId, source: IpAddr, _: Timestamp) -> bool {
        self.registered.contains(&(node.0, source))
    }
}

type Sent = Vec<(u8, SocketAddr, Vec<u8>)>;

struct World {
    beacon: Beacon,
    directory: Listed,
    now: Timestamp,
}

impl World {
    fn new(config: BeaconConfig) -> Self {
        Self { beacon: Beacon::new(config), directory: Listed::default(), now: Timestamp::ZERO }
    }

    fn receive(&mut self, socket: u8, from: &str, mut data: Vec<u8>) -> Sent {
        let mut sent = Vec::new();
        let mut send = |out: Outgoing<'_>| sent.push((out.socket, out.to, out.bytes.to_vec()));
        self.beacon.handle_datagram(self.now, socket, addr(from), &mut data, &self.directory, &mut send);
        sent
    }

    fn discover(&mut self, node: u32, from: &str) -> Sent {
        self.receive(0, from, message(1, &[node]))
    }

    /// Where a frame from node 1 at `from` to `destination` goes.
    fn relay(&mut self, from: &str, destination: u32) -> Option<SocketAddr> {
        self.receive(0, from, message(5, &[1, destination])).first().map(|(_, to, _)| *to)
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn message(kind: u8, numbers: &[u32]) -> Vec<u8> {
    std::iter::once(kind).chain(numbers.iter().flat_map(|number| number.to_be_bytes())).collect()
}

const A: &str = "198.51.100.1:4000";
const B: &str = "203.0.113.2:5000";
const THIEF: &str = "192.0.2.99:6000";

//= spec/relay.md#pp-relay-6
//= type=test
//# The beacon answers a discover message with the source it came from.
//= spec/relay.md#pp-relay-15
//= type=test
//# A discover message of node 0 is answered and not remembered.
#[test]
fn discovery_tells_what_was_seen_from_the_port_that_was_asked() {
    let mut world = World::new(BeaconConfig::default());
    let reply = [2, 4, 198, 51, 100, 1, 0x0F, 0xA0].to_vec();
    assert_eq!(world.receive(1, A, message(1, &[0])), [(1, addr(A), reply.clone())]);
    assert_eq!(world.receive(0, "[::ffff:198.51.100.1]:4000", message(8, &[1])), [(0, addr(A), reply)]);
    assert_eq!(world.receive(0, "[2001:db8::1]:7", message(1, &[1]))[0].2.len(), 20);
    world.discover(100, A);
    assert_eq!(world.beacon.endpoint_count(), 1, "neither node 0 nor unregistered ones are remembered");
}

//= spec/relay.md#pp-relay-2
//= type=test
//# The beacon delivers a relayed frame as type 6 and sender in front of the frame.
//= spec/relay.md#pp-relay-3
//= type=test
//# The beacon never opens a frame.
//= spec/relay.md#pp-relay-8
//= type=test
//# The beacon relays only from the address it knows as the sender's, or from a configured peer beacon.
//= spec/relay.md#pp-relay-14
//= type=test
//# A frame for a node the beacon does not know is dropped.
#[test]
fn a_frame_is_passed_on_in_place_from_the_port_its_destination_knows() {
    let mut world = World::new(BeaconConfig::default());
    world.discover(1, A);
    world.receive(1, B, message(1, &[2]));
    let mut frame = message(5, &[1, 2]);
    frame.extend_from_slice(b"frame");
    let delivered = [&[6, 0, 0, 0, 1][..], b"frame"].concat();
    assert_eq!(world.receive(0, A, frame.clone()), [(1, addr(B), delivered)]);
    world.receive(1, B, message(8, &[2]));
    let extended = [&[9, 0, 0, 0, 1, 0, 0, 0, 2][..], b"frame"].concat();
    assert_eq!(world.receive(0, A, frame), [(1, addr(B), extended)]);
    assert_eq!(world.relay(A, 1), Some(addr(A)), "to oneself");
    assert_eq!(world.relay(A, 3), None, "nobody there");
    assert_eq!(world.relay(THIEF, 2), None, "node 1 is not there");
    assert_eq!(world.relay("198.51.100.1:4001", 2), None, "not even from another port");
}

//= spec/relay.md#pp-relay-12
//= type=test
//# A beacon forgets an endpoint after 10 minutes of silence.
#[test]
fn endpoints_age() {
    let mut world = World::new(BeaconConfig::default());
    world.discover(1, A);
    world.discover(2, B);
    world.pass(500);
    world.discover(1, A);
    world.pass(100);
    assert_eq!(world.relay(A, 2), None);
    world.beacon.handle_timeout(world.now, &mut |_| panic!("there is no peer to gossip with"));
    assert_eq!(world.beacon.endpoint_count(), 1);
    assert!(world.beacon.poll_timeout() > world.now);
}

//= spec/relay.md#pp-relay-13
//= type=test
//# A live node's endpoint moves to another IP address only when the registry saw its registration from there or after 90 seconds of
//# silence.
#[test]
fn a_live_endpoint_cannot_be_taken_from_elsewhere() {
    let mut world = World::new(BeaconConfig::default());
    world.discover(1, A);
    world.discover(2, B);
    assert_eq!(world.discover(2, THIEF).len(), 1, "the thief is told its address");
    assert_eq!(world.relay(A, 2), Some(addr(B)), "and gets nothing else");
    world.discover(2, "203.0.113.2:5001");
    assert_eq!(world.relay(A, 2), Some(addr("203.0.113.2:5001")), "a rebound NAT keeps its address");
    world.directory.registered.insert((2, addr(THIEF).ip()));
    world.discover(2, THIEF);
    assert_eq!(world.relay(A, 2), Some(addr(THIEF)), "the registry saw it there");
    world.discover(2, B);
    assert_eq!(world.relay(A, 2), Some(addr(THIEF)));
    world.pass(90);
    world.discover(2, B);
    assert_eq!(world.relay(A, 2), Some(addr(B)), "silence ends the claim");
}

#[test]
fn measuring_through_the_second_port_does_not_move_a_node() {
    let mut world = World::new(BeaconConfig::default());
    world.discover(1, A);
    world.discover(2, B);
    world.receive(1, "198.51.100.1:4999", message(1, &[1]));
    assert_eq!(world.relay(A, 2), Some(addr(B)), "node 1 is still where it was");
}

//= spec/relay.md#pp-relay-7
//= type=test
//# The beacon answers a punch request with a punch command to both sides, when the registry would let the requester resolve the
//# target and it knows both.
#[test]
fn punching_needs_the_registrys_consent() {
    let mut world = World::new(BeaconConfig::default());
    world.discover(2, B);
    assert_eq!(world.receive(0, A, message(3, &[1, 2])), []);
    world.directory.related.insert((1, 2));
    let command = |to: &str, about: [u8; 6]| (0, addr(to), [&[4, 4][..], &about].concat());
    let expected = [command(A, [203, 0, 113, 2, 0x13, 0x88]), command(B, [198, 51, 100, 1, 0x0F, 0xA0])];
    assert_eq!(world.receive(0, A, message(3, &[1, 2])), expected);
    assert_eq!(world.receive(0, THIEF, message(3, &[1, 2])), [], "somebody else in node 1's name");
}

//= spec/rate-limits.md#pp-rate-9
//= type=test
//# Punch requests are limited to one a second and address, five at once.
#[test]
fn punches_are_rare_per_source() {
    let mut world = World::new(BeaconConfig::default());
    world.discover(2, B);
    world.directory.related.insert((1, 2));
    let mut punches = || (0..20).filter(|_| !world.receive(0, A, message(3, &[1, 2])).is_empty()).count();
    assert_eq!(punches(), 5);
    world.pass(3);
    let mut punches = || (0..20).filter(|_| !world.receive(0, A, message(3, &[1, 2])).is_empty()).count();
    assert_eq!(punches(), 3);
}

//= spec/rate-limits.md#pp-rate-8
//= type=test
//# A relaying source is limited to 25,000 frames and 32 MB a second.
#[test]
fn relaying_is_budgeted_in_packets_and_bytes_per_source() {
    let mut world = World::new(BeaconConfig {
        relay_packets: Rate::per_second(10, 10),
        relay_bytes: Rate::per_second(1000, 2000),
        ..BeaconConfig::default()
    });
    world.discover(1, A);
    world.discover(2, B);
    assert_eq!((0..50).filter(|_| world.relay(A, 2).is_some()).count(), 10);
    world.pass(1);
    let large = || [message(5, &[1, 2]), vec![0; 991]].concat();
    assert_eq!((0..50).filter(|_| !world.receive(0, A, large()).is_empty()).count(), 2);
    assert!(!world.receive(0, B, message(5, &[2, 1])).is_empty(), "others have their own budget");
}

//= spec/relay.md#pp-relay-9
//= type=test
//# A frame that came from a peer beacon is never sent to another one.
//= spec/relay.md#pp-relay-10
//= type=test
//# Gossip is believed only from configured peer beacons.
#[test]
fn only_configured_beacons_are_believed_and_frames_never_loop() {
    const PEER: &str = "192.0.2.50:9001";
    let mut world = World::new(BeaconConfig { peers: vec![addr(PEER)], ..BeaconConfig::default() });
    world.discover(1, A);
    let gossip = [vec![7, 0, 0, 0, 9, 0, 1], 2_u32.to_be_bytes().to_vec()].concat();
    world.receive(0, THIEF, gossip.clone());
    assert_eq!(world.relay(A, 2), None);
    world.receive(0, PEER, gossip);
    let forwarded = message(5, &[1, 2]);
    assert_eq!(world.receive(0, A, forwarded.clone()), [(0, addr(PEER), forwarded.clone())]);
    assert_eq!(world.receive(0, PEER, forwarded), [], "what a peer sent is not sent back");
    assert_eq!(world.receive(0, PEER, message(5, &[2, 1]))[0].1, addr(A));
    let mut told = Vec::new();
    world.beacon.handle_timeout(world.now, &mut |out| told.push((out.to, out.bytes.to_vec())));
    assert_eq!(told, [(addr(PEER), vec![7, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1])]);
    world.pass(91);
    assert_eq!(world.relay(A, 2), None, "old gossip is forgotten");
}

//= spec/relay.md#pp-relay-11
//= type=test
//# Gossip is sent every 10 seconds and forgotten after 90 seconds.
#[test]
fn gossip_is_sent_every_10_seconds_and_believed_for_90() {
    const PEER: &str = "192.0.2.50:9001";
    let mut world = World::new(BeaconConfig { peers: vec![addr(PEER)], ..BeaconConfig::default() });
    let told = |world: &mut World| {
        let mut told = 0;
        world.beacon.handle_timeout(world.now, &mut |_| told += 1);
        told
    };
    assert_eq!(told(&mut world), 1);
    let gossip = [vec![7, 0, 0, 0, 9, 0, 1], 2_u32.to_be_bytes().to_vec()].concat();
    world.receive(0, PEER, gossip);
    for second in 1..90 {
        world.pass(1);
        assert_eq!(told(&mut world), u32::from(second % 10 == 0), "after {second} seconds");
        world.discover(1, A);
        assert_eq!(world.relay(A, 2), Some(addr(PEER)), "after {second} seconds");
    }
    world.pass(1);
    assert_eq!(world.relay(A, 2), None, "after 90 seconds");
}

proptest! {
    /// Whatever comes: no panic, at most two short datagrams or one that is not longer, nothing remembered of strangers.
    #[test]
    fn any_datagram_is_survived_and_never_amplified(
        datagrams in prop::collection::vec((0_u8..12, prop::collection::vec(any::<u8>(), 0..100)), 0..50)
    ) {
        let mut world = World::new(BeaconConfig::default());
        world.discover(1, A);
        for (kind, body) in datagrams {
            let datagram = [vec![kind], body].concat();
            let length = datagram.len();
            let sent = world.receive(0, THIEF, datagram);
            for (_, to, bytes) in &sent {
                prop_assert!(*to == addr(THIEF) && bytes.len() <= 8.max(length));
            }
            prop_assert!(sent.len() <= 1);
        }
        prop_assert!(world.beacon.endpoint_count() <= 100);
    }
}
