//! The search for ports: what a peer that asks for it again and again can bring about.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod raw;

use core::net::SocketAddr;
use core::time::Duration;
use proto_core::wire::candidate::Reflexive;
use proto_core::wire::meet::{Candidate, MappingKind};
use proto_core::wire::options::OPTIONS_PORT;
use proto_core::wire::{BeaconMessage, Capabilities, Flags, Meet, Options, Protocol, Step};
use proto_core::{Config, Event, NodeId};
use raw::{BEACON, World, packet};

const SECOND: Duration = Duration::from_secs(1);

/// Where beacon and peer say that the peer is, in turn.
fn named() -> [SocketAddr; 6] {
    [7, 8, 9, 10, 11, 12].map(|host| SocketAddr::from(([203, 0, 113, host], 5000)))
}

/// The relayed peer says `payload` on the port of hellos.
fn say(world: &mut World, payload: &[u8]) {
    let header = packet(Protocol::Control, Flags::NONE, (49_152, OPTIONS_PORT));
    let frame = world.sealed(0, header, payload);
    world.relayed(NodeId(1), &frame);
}

/// A relayed peer of ours, which the beacon named six addresses of.
fn relayed() -> World {
    let mut world = World::new(Config { beacons: vec![BEACON], ..Config::default() }, &[true]);
    world.peers[0].relayed = true;
    world.act(|ours, now| ours.ping(now, NodeId(1), SECOND * 5));
    world.pass(SECOND * 10);
    assert!(world.peers[0].tunnel.is_established());
    let capabilities = Capabilities::RELAY_FIRST | Capabilities::MEETS;
    say(&mut world, &Options { capabilities, max_segment: 1152, window_shift: 0 }.to_bytes());
    world.pass(SECOND / 100);
    for address in named() {
        world.datagram(BEACON, BeaconMessage::PunchCommand(address).to_vec().unwrap());
        world.pass(SECOND / 4);
    }
    world.pass(SECOND * 5);
    world.forget();
    world
}

/// Seconds after the first of `count` hints of `step`, said at intervals of `pause` with the addresses in turn, at which datagrams went there.
fn searched(step: Step, count: usize, pause: Duration, addresses: &[SocketAddr]) -> Vec<u64> {
    let mut world = relayed();
    let began = world.now;
    for address in addresses.iter().cycle().take(count) {
        let (nat, range) = (MappingKind::Symmetric, Some((1024, 65_535)));
        let addresses = vec![Candidate::Reflexive(Reflexive(*address))];
        let hint = Meet { nat, addresses, range, ..Meet::new(step) };
        say(&mut world, &hint.to_vec().unwrap());
        world.pass(pause);
    }
    let there = world.log.iter().filter(|sent| addresses.iter().any(|address| address.ip() == sent.to.ip()));
    there.map(|sent| sent.at.saturating_since(began).as_secs()).collect()
}

//= spec/nat.md#pp-nat-22
//= type=test
//# A search opens at most 256 sockets on the symmetric side, sends at most 100 datagrams a second on either side, ends after 12 seconds, is
//# the only one of an endpoint, and rests for an hour toward a peer with which it failed, unless one of the two is seen at another IP
//# address.
#[test]
fn a_peer_that_asks_again_prolongs_no_search_and_hastens_none() {
    let one = &named()[..1];
    let sprayed = searched(Step::Spray, 600, SECOND / 10, one);
    assert!(sprayed.len() >= 1000 && sprayed.iter().all(|second| *second <= 12), "{:?}", sprayed.last());

    let predicted = searched(Step::Predicted, 600, SECOND / 10, one);
    let seconds: std::collections::BTreeSet<u64> = predicted.iter().copied().collect();
    assert!(seconds.contains(&1) && seconds.len() <= 6, "2 s of every 32: {seconds:?}");

    for step in [Step::Spray, Step::Predicted] {
        let flooded = searched(step, 1000, SECOND / 1000, one).len();
        assert!((90..=101).contains(&flooded), "{step:?}: {flooded} datagrams in one second");
    }
}

//= spec/nat.md#pp-nat-22
//= type=test
//# A search opens at most 256 sockets on the symmetric side, sends at most 100 datagrams a second on either side, ends after 12 seconds, is
//# the only one of an endpoint, and rests for an hour toward a peer with which it failed, unless one of the two is seen at another IP
//# address.
#[test]
fn a_peer_at_ever_new_addresses_is_searched_for_once_at_four_of_them() {
    for (addresses, searches) in [(2, 2_usize), (6, 4)] {
        let sprayed = searched(Step::Spray, 900, SECOND / 10, &named()[..addresses]);
        assert!(sprayed.len() >= searches * 1000, "{}", sprayed.len());
        assert!(sprayed.iter().all(|second| *second <= 13 * searches as u64), "{:?}", sprayed.last());
    }
}

/// It opens ten sockets and asks the beacons from each before the peer can say whether it takes part.
#[test]
fn a_peer_that_refuses_each_search_and_offers_a_meeting_again_has_few_begun() {
    let other = SocketAddr::from(([198, 51, 100, 1], 9002));
    let mut world = World::new(Config { beacons: vec![BEACON, other], ..Config::default() }, &[true]);
    world.peers[0].relayed = true;
    world.pump();
    for (beacon, port) in [(BEACON, 5000), (other, 5001)] {
        let seen = SocketAddr::from(([198, 18, 0, 9], port));
        world.datagram(beacon, BeaconMessage::DiscoverReply(seen).to_vec().unwrap());
    }
    world.act(|ours, now| ours.ping(now, NodeId(1), SECOND * 5));
    world.pass(SECOND * 10);
    let capabilities = Capabilities::RELAY_FIRST | Capabilities::MEETS;
    say(&mut world, &Options { capabilities, max_segment: 1152, window_shift: 0 }.to_bytes());
    let address = named()[0];
    world.datagram(BEACON, BeaconMessage::PunchCommand(address).to_vec().unwrap());
    let addresses = vec![Candidate::Reflexive(Reflexive(address))];
    let offer = Meet { nat: MappingKind::Independent, addresses, ..Meet::new(Step::Offer) }.to_vec().unwrap();
    let busy = Meet::new(Step::Busy).to_vec().unwrap();
    world.forget();
    for second in 0..300 {
        if second % 50 == 0 {
            world.act(|ours, now| ours.ping(now, NodeId(1), SECOND * 5));
        }
        for message in [&busy, &offer] {
            say(&mut world, message);
            world.pass(SECOND / 2);
        }
    }
    let begun = world.events.iter().filter(|event| matches!(event, Event::OpenSockets(_))).count();
    assert!((1..=12).contains(&begun), "{begun} in 5 minutes");
}
