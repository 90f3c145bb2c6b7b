//! Ways to a peer: what is tried while it is relayed, and after the own address changed.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod raw;

use core::net::SocketAddr;
use core::time::Duration;
use proto_core::registry::codec;
use proto_core::wire::candidate::Reflexive;
use proto_core::wire::meet::{Candidate, Step};
use proto_core::wire::options::OPTIONS_PORT;
use proto_core::wire::{BeaconMessage, Flags, Header, Meet, Protocol};
use proto_core::{Config, Event, Input, NodeId, SocketId};
use raw::{BEACON, World, address, target};

const SECOND: Duration = Duration::from_secs(1);
/// Another port of the beacon, which tells the kind of a NAT.
const SECOND_BEACON: SocketAddr = SocketAddr::new(BEACON.ip(), 9002);

fn with_beacon() -> Config {
    Config { beacons: vec![BEACON], ..Config::default() }
}

/// Seconds, from now on, at which our endpoint sent something to `to`.
fn seconds(world: &World, began: proto_core::Timestamp, to: SocketAddr) -> Vec<u64> {
    let mut seconds: Vec<u64> = world
        .log
        .iter()
        .filter(|sent| sent.to == to && sent.at >= began)
        .map(|sent| sent.at.saturating_since(began).as_secs())
        .collect();
    seconds.dedup();
    seconds
}

//= spec/strategy.md#pp-dial-7
//= type=test
//# A relayed peer not known to be ours is tried directly again every 30 seconds while there is traffic.
#[test]
fn a_relayed_peer_is_tried_directly_every_30_seconds_of_traffic() {
    let mut world = World::new(with_beacon(), &[true]);
    world.peers[0].relayed = true;
    world.act(|ours, now| ours.ping(now, NodeId(1), SECOND * 5));
    world.pass(SECOND * 10);
    assert!(world.peers[0].tunnel.is_established());
    let began = world.now;
    for _ in 0..200 {
        assert!(world.act(|ours, now| ours.send_datagram(now, target(0, 2000), 0, b"traffic")).is_ok());
        world.pass(SECOND);
    }
    let tries = seconds(&world, began, address(0));
    // Beside these, a way that was not heard of for long is tried with the traffic.
    let first = tries[0];
    assert!((0..6).all(|number| tries.contains(&(first + 30 * number))), "{tries:?}");
    assert!(first <= 30 && tries.len() <= 12, "{tries:?}");
    world.pass(SECOND * 300);
    let began = world.now;
    world.pass(SECOND * 300);
    assert!(seconds(&world, began, address(0)).is_empty(), "without traffic there is nothing to move");
}

//= spec/nat.md#pp-nat-21
//= type=test
//# Two peers of ours tell each other their addresses inside the tunnel and try them at the same time, the side that was asked after half the round-trip time through the relay, for up to 2 seconds.
#[test]
fn the_side_that_was_asked_begins_half_a_round_trip_later() {
    let ms = Duration::from_millis;
    for (rtt, after) in [(None, 0), (Some(80_000), 40), (Some(300_000), 150)] {
        let mut world = World::new(with_beacon(), &[true]);
        world.peers[0].relayed = true;
        world.act(|ours, now| ours.ping(now, NodeId(1), SECOND * 5));
        world.pass(SECOND * 10);
        assert!(world.peers[0].tunnel.is_established());
        let named = SocketAddr::from(([203, 0, 113, 9], 4001));
        let offer = Meet { addresses: vec![Candidate::Reflexive(Reflexive(named))], rtt, ..Meet::new(Step::Offer) };
        let header = raw::packet(Protocol::Control, Flags::NONE, (0, OPTIONS_PORT));
        let frame = world.sealed(0, header, &offer.to_vec().unwrap());
        let began = world.now;
        world.relayed(NodeId(1), &frame);
        world.pass(SECOND);
        let first = world.log.iter().find(|sent| sent.to == named).map(|sent| sent.at.saturating_since(began));
        assert_eq!(first, Some(ms(after)), "{rtt:?} microseconds");
    }
}

/// Registry and beacon answer, the latter with `seen`, for so many seconds; gives what the registry was told.
fn served(world: &mut World, seen: SocketAddr, seconds: u32) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..seconds * 10 {
        let asked = world.log.iter().any(|sent| sent.to == BEACON && [1, 8].contains(&sent.bytes[0]));
        world.log.clear();
        for event in core::mem::take(&mut world.events) {
            if event == Event::RegistryConnect {
                world.act(|ours, now| ours.handle_input(now, Input::RegistryConnected));
            } else if let Event::RegistrySend(frame) = event {
                told.push(String::from_utf8_lossy(&frame).into_owned());
                let reply = codec::encode(&serde_json::json!({"type": "register_ok", "node_id": 100}));
                world.act(|ours, now| ours.handle_input(now, Input::RegistryData(&reply)));
            }
        }
        if asked {
            world.datagram(BEACON, BeaconMessage::DiscoverReply(seen).to_vec().unwrap());
        }
        world.pass(SECOND / 10);
    }
    told
}

//= spec/nat.md#pp-nat-6
//= type=test
//# A changed own endpoint is registered again, and every direct path is asked for proof.
#[test]
fn a_changed_own_endpoint_is_registered_and_direct_paths_are_proven_again() {
    let (first, other) = (SocketAddr::from(([203, 0, 113, 1], 4000)), SocketAddr::from(([203, 0, 113, 2], 5000)));
    for (now_seen, changed) in [(first, false), (other, true)] {
        let mut world = World::new(Config { registry: true, ..with_beacon() }, &[true]);
        world.pump();
        let registers = |told: &[String], at: SocketAddr| {
            told.iter().any(|request| request.contains("\"register\"") && request.contains(&at.to_string()))
        };
        assert!(registers(&served(&mut world, first, 5), first));
        let pila = world.exchange(0);
        world.datagram(address(0), pila);
        served(&mut world, first, 10);
        assert!(world.peers[0].tunnel.is_established());
        assert!(world.act(|ours, now| ours.send_datagram(now, target(0, 2000), 0, b"traffic")).is_ok());

        // The beacon is asked again, and whoever answers meanwhile need not prove the path for that alone.
        world.act(|ours, now| ours.handle_input(now, Input::NetworkChanged));
        world.pass(SECOND);
        world.peers[0].answers_pings = false;
        let told = served(&mut world, now_seen, 10);
        assert_eq!(registers(&told, other), changed);
        let is_probe = |header: &Header| header.protocol == Protocol::Control && header.dst_port == 0;
        let proofs = world.take(0).iter().filter(|(header, nonce)| is_probe(header) && nonce.len() == 8).count();
        assert_eq!(proofs > 0, changed, "{proofs}");
    }
}

/// Lets `seconds` pass, with traffic or without, while the beacons see one mapping for all sockets and the host opens what it is asked for.
fn behind_a_cone(world: &mut World, seconds: u32, talks: bool) {
    for _ in 0..seconds {
        if talks {
            world.act(|ours, now| ours.send_datagram(now, target(0, 2000), 0, b"traffic")).unwrap();
        }
        for event in core::mem::take(&mut world.events) {
            if event == Event::OpenSockets(1) {
                world.act(|ours, now| ours.handle_input(now, Input::SocketsOpened(&[SocketId(1)])));
            }
        }
        let seen = BeaconMessage::DiscoverReply(SocketAddr::from(([203, 0, 113, 7], 5000))).to_vec().unwrap();
        for (from, via) in [(BEACON, 0), (BEACON, 1), (SECOND_BEACON, 0)] {
            let mut data = seen.clone();
            let input = Input::Datagram { via: SocketId(via), from, to: None, ecn: None, data: &mut data };
            world.act(|ours, now| ours.handle_input(now, input));
        }
        world.pass(SECOND);
    }
}

//= spec/keepalive.md#pp-ka-6
//= type=test
//# A direct path without a send for 15 seconds, or for half the time that the NAT was seen to keep an unused mapping, gets a packet that
//# keeps it, while the peer was used within 2 minutes.
#[test]
fn what_was_measured_of_one_networks_nat_is_not_believed_of_the_next() {
    let config = Config { beacons: vec![BEACON, SECOND_BEACON], ..Config::default() };
    let mut world = World::new(config, &[true]);
    // How long after the traffic the first packet keeps the path.
    let keeps = |world: &mut World| {
        world.log.clear();
        let began = world.now;
        behind_a_cone(world, 100, false);
        let later = |sent: &&raw::Sent| sent.to == address(0) && sent.at.saturating_since(began) > SECOND * 5;
        world.log.iter().find(later).map(|sent| sent.at.saturating_since(began).as_secs())
    };
    behind_a_cone(&mut world, 5, false);
    behind_a_cone(&mut world, 10, true);
    assert_eq!(keeps(&mut world), Some(15));
    behind_a_cone(&mut world, 400, true);
    assert_eq!(keeps(&mut world), Some(60), "this one keeps a mapping for 2 minutes");
    behind_a_cone(&mut world, 5, true);
    world.act(|ours, now| ours.handle_input(now, Input::NetworkChanged));
    behind_a_cone(&mut world, 10, true);
    assert_eq!(keeps(&mut world), Some(15));
}

/// The peer of a stream is at another address all at once: what went to the old one goes again as soon as that is given up.
#[test]
fn what_went_by_a_way_that_fell_silent_goes_again_by_the_next_at_once() {
    let mut world = World::met(with_beacon());
    world.act(|ours, _| ours.listen(1000)).unwrap();
    world.dial_in(0, 5000, 1000).unwrap();
    let (stream, _) = world.act(|ours, _| ours.accept(1000)).unwrap();
    world.pass(SECOND);
    let there = SocketAddr::from(([192, 0, 2, 200], 4000));
    world.peers[0].address = there;
    world.forget();
    world.act(|ours, now| ours.write(now, stream, b"wherever you are")).unwrap();
    world.pass(SECOND * 3 / 2);
    assert!(world.log.iter().any(|sent| sent.to == BEACON && sent.bytes[0] == 3), "the beacon is asked");
    world.datagram(BEACON, BeaconMessage::PunchCommand(there).to_vec().unwrap());
    let arrived = |world: &World| world.peers[0].got.iter().any(|(_, payload)| payload == b"wherever you are");
    assert!(!arrived(&world), "the old way may answer yet");
    world.pass(SECOND / 4);
    assert!(arrived(&world), "it waits for its retransmission timer");
}
