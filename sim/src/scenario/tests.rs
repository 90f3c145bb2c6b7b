//! What judges scenarios is judged: each thing that must not be is done once, by hand, and has to be noticed.

use super::spy;
use super::wire::{FORGER, REPLAYER, Wire};
use super::world::is_relayed_unsaid;
use super::{Op, Scenario, Stand, World};
use crate::Sent;
use proto_core::endpoint::{PathKind, PeerStatus, RelayReason};
use proto_core::seq::SeqNumber;
use proto_core::wire::{Address, BeaconMessage, Flags, Frame, HEADER_LEN, Header, Protocol, Secure};
use proto_core::{NodeId, Timestamp};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

fn stream_packet(flags: Flags, ack: u32) -> Vec<u8> {
    let [src, dst] = [1, 2].map(|node| Address::backbone(NodeId(node)));
    let (seq, ack) = (SeqNumber(0), SeqNumber(ack));
    let header = Header { flags, protocol: Protocol::Stream, src, dst, src_port: 9, dst_port: 7, seq, ack, window: 1 };
    let mut packet = vec![0; HEADER_LEN];
    header.emit(&[], &mut packet).unwrap();
    packet
}

/// Seals packets, each under its own nonce unless told otherwise; what the spy has against it.
fn sealed(packets: &[(u8, u8, Vec<u8>)]) -> Option<String> {
    spy::forget();
    for (key, nonce, packet) in packets {
        let mut packet = packet.clone();
        spy::provider().aead.key(&[*key; 32]).seal_in_place(&[*nonce; 12], b"", &mut packet).unwrap();
    }
    spy::wrong()
}

#[test]
fn a_nonce_used_twice_under_one_key_is_noticed() {
    let packet = |text: &[u8]| text.to_vec();
    assert_eq!(sealed(&[(1, 1, packet(b"one")), (1, 2, packet(b"two")), (2, 1, packet(b"three"))]), None);
    let wrong = sealed(&[(1, 1, packet(b"one")), (1, 1, packet(b"two"))]).unwrap();
    assert!(wrong.contains("twice"), "{wrong}");
}

#[test]
fn an_acknowledgement_that_goes_back_is_noticed() {
    let ack = |nonce: u8, number: u32| (1, nonce, stream_packet(Flags::ACK, number));
    assert_eq!(sealed(&[ack(1, u32::MAX), ack(2, u32::MAX), ack(3, 5)]), None, "numbers wrap");
    let wrong = sealed(&[ack(1, 1000), ack(2, 999)]).unwrap();
    assert!(wrong.contains("acknowledged 999"), "{wrong}");
    let anew = (1, 2, stream_packet(Flags::SYN, 0));
    assert_eq!(sealed(&[ack(1, 1000), anew, ack(3, 5)]), None, "another stream of the same ports");
}

fn at(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 4000))
}

const BEACON: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));
const OUTSIDER: u8 = 8;

fn wire() -> Wire {
    spy::forget();
    Wire::new(at(OUTSIDER), Some(BEACON), 2)
}

/// A datagram that nobody could mind in itself.
fn said(from: SocketAddr, to: SocketAddr) -> Sent {
    let punch = Frame::Punch { sender: Some(NodeId(1)) };
    let mut bytes = vec![0; punch.encoded_len()];
    punch.emit(&mut bytes).unwrap();
    Sent { at: Timestamp::ZERO, from, to, bytes }
}

#[test]
fn a_byte_for_somebody_whom_nobody_trusts_is_noticed() {
    assert_eq!(wire().judge(&said(at(1), at(2))), Ok(()));
    assert!(wire().judge(&said(at(1), at(OUTSIDER))).is_err());
    // The beacon answers everybody, and delivers from friends only.
    let beacon = SocketAddr::new(BEACON, 9001);
    let reply = BeaconMessage::DiscoverReply(at(OUTSIDER)).to_vec().unwrap();
    let delivery = BeaconMessage::RelayDeliver { sender: NodeId(1), frame: b"PILS" }.to_vec().unwrap();
    let from_beacon = |bytes| Sent { bytes, ..said(beacon, at(OUTSIDER)) };
    assert_eq!(wire().judge(&from_beacon(reply)), Ok(()));
    assert!(wire().judge(&from_beacon(delivery)).is_err());
}

#[test]
fn something_in_clear_is_noticed() {
    let secure = Frame::Secure(Secure { sender: NodeId(1), nonce: [1; 12], sealed: &[0; 60] });
    let mut unsealed = vec![0; secure.encoded_len()];
    secure.emit(&mut unsealed).unwrap();
    for bytes in [b"hello".to_vec(), b"PILT and so on".to_vec(), unsealed, Vec::new()] {
        assert!(wire().judge(&Sent { bytes: bytes.clone(), ..said(at(1), at(2)) }).is_err(), "{bytes:?}");
    }
}

#[test]
fn more_than_three_times_the_bytes_of_an_unproven_sender_are_noticed() {
    let bytes = said(at(1), at(2)).bytes.len();
    for (attacker, given, allowed) in [(REPLAYER, bytes, 3), (REPLAYER, 2 * bytes, 6), (FORGER, 100 * bytes, 0)] {
        let mut wire = wire();
        wire.attacked(attacker, given);
        let answer = said(at(1), SocketAddr::new(attacker, 4000));
        for _ in 0..allowed {
            assert_eq!(wire.judge(&answer), Ok(()));
        }
        assert!(wire.judge(&answer).is_err(), "{attacker} for {given} bytes");
    }
}

fn last(world: &World) -> u8 {
    u8::try_from(world.conns.len() - 1).unwrap()
}

/// Two hosts, of which the first dialled the second and wrote.
pub(super) fn talking() -> World {
    spy::forget();
    let scenario = Scenario { seed: 3, stands: vec![Stand::Open; 2], delay: Duration::from_millis(5), ops: Vec::new() };
    let mut world = World::new(&scenario);
    world.play(&scenario).unwrap();
    world.apply(Op::Dial((0, 1), true)).unwrap();
    let number = last(&world);
    world.apply(Op::Write(number, 3_000, false)).unwrap();
    world.pass(Duration::from_secs(1)).unwrap();
    assert_eq!(world.conns.last().unwrap().ends[1].read, 3_000);
    world
}

#[test]
fn bytes_that_differ_are_missing_or_come_twice_are_noticed() {
    // What the model holds is made to differ from what the endpoints did: the next bytes are then altered, missing, or there twice.
    for (what, read, written) in [("twice", -100_i64, 0), ("missing", 100, 0), ("never written", 0, -5_000_i64)] {
        let mut world = talking();
        let conn = world.conns.last_mut().unwrap();
        conn.ends[1].read = conn.ends[1].read.checked_add_signed(read).unwrap();
        let number = last(&world);
        world.apply(Op::Write(number, 4_000, false)).unwrap();
        let conn = world.conns.last_mut().unwrap();
        conn.ends[0].written = conn.ends[0].written.checked_add_signed(written).unwrap();
        let judged = world.pass(Duration::from_secs(1));
        assert!(judged.as_ref().is_err_and(|wrong| wrong.contains("differ")), "{what}: {judged:?}");
    }
}

#[test]
fn a_stream_or_a_datagram_of_a_stranger_is_noticed() {
    for op in [Op::Dial((0, 1), true), Op::Datagram((0, 1), 50)] {
        let mut world = talking();
        // The model is told that the second host wants nothing of the first any more; its endpoint was not.
        world.wants[1][0] = false;
        let judged = world.apply(op).and_then(|()| world.pass(Duration::from_secs(1)));
        assert!(judged.as_ref().is_err_and(|wrong| wrong.contains("does not trust")), "{op:?}: {judged:?}");
    }
}

#[test]
fn a_relayed_peer_without_a_reason_is_noticed() {
    let peer = talking().net.hosts[0].endpoint.peers().remove(0);
    assert!(matches!(peer.path, Some(PathKind::Direct(_))) && !is_relayed_unsaid(&peer), "{peer:?}");
    for (reason, unsaid) in [(None, true), (Some(RelayReason::FellSilent), false)] {
        let relayed = PeerStatus { path: Some(PathKind::Relay), relay_reason: reason, ..peer.clone() };
        assert_eq!(is_relayed_unsaid(&relayed), unsaid, "{relayed:?}");
    }
}

#[test]
fn a_failure_tells_the_seed_the_commit_the_packets_and_how_to_see_it_again() {
    let scenario = Scenario { seed: 3, stands: vec![Stand::Open; 2], delay: Duration::from_millis(5), ops: Vec::new() };
    spy::forget();
    let mut world = World::new(&scenario);
    world.play(&scenario).unwrap();
    let words = world.failure("what went wrong".to_owned(), &scenario).of_seed(77);
    let commit = super::commit();
    for wanted in ["seed 77", &format!("commit {commit}"), "what went wrong", " -> ", "host 0: "] {
        assert!(words.contains(wanted), "{wanted}: {words}");
    }
    assert_eq!(words.lines().last(), Some("replay: SIM_SEED=77 cargo test -p sim --test random one_seed"));
    assert!(words.lines().count() > 100, "the packet log");
}
