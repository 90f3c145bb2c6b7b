//! In steady state a data packet is sealed and opened without a single allocation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use allocation_counter::measure;
use proto_core::crypto::{Identity, rust_crypto};
use proto_core::rng::Rng;
use proto_core::seq::SeqNumber;
use proto_core::tunnel::{Context, Tunnel};
use proto_core::wire::frame::{SECURE_HEADER_LEN, TAG_LEN};
use proto_core::wire::{Address, Flags, Frame, HEADER_LEN, Header, Protocol};
use proto_core::{NodeId, Timestamp};
use std::time::Duration;

const NODES: [NodeId; 2] = [NodeId(1), NodeId(2)];
const PAYLOAD: usize = 1152;
/// Where the packet ends in its frame.
const END: usize = SECURE_HEADER_LEN + HEADER_LEN + PAYLOAD;

struct Side {
    tunnel: Tunnel,
    identity: Identity,
    rng: Rng,
}

fn side(index: usize) -> Side {
    let seed = u8::try_from(index + 1).unwrap();
    Side {
        tunnel: Tunnel::new(NODES[index], NODES[1 - index]),
        identity: Identity::from_seed([seed; 32]),
        rng: Rng::new([seed; 32]),
    }
}

/// Tells the key of one side to the other.
fn tell(now: Timestamp, from: &mut Side, to: &mut Side) {
    let mut bytes = [0; 136];
    let mut context = Context { crypto: rust_crypto(), identity: &from.identity, rng: &mut from.rng };
    from.tunnel.emit_exchange(&mut context, &mut bytes).unwrap();
    let Frame::AuthenticatedKeyExchange(exchange) = Frame::parse(&bytes).unwrap() else { panic!("not a PILA") };
    let mut context = Context { crypto: rust_crypto(), identity: &to.identity, rng: &mut to.rng };
    to.tunnel.handle_exchange(now, &exchange, &from.identity.public(), &mut context).unwrap();
}

/// Writes a data packet of `from` into `frame`, seals it there, and opens it at `to`.
fn pass(now: Timestamp, (sender, from): (NodeId, &mut Side), (receiver, to): (NodeId, &mut Side), frame: &mut [u8]) {
    let header = Header {
        flags: Flags::ACK,
        protocol: Protocol::Stream,
        src: Address::backbone(sender),
        dst: Address::backbone(receiver),
        src_port: 50_000,
        dst_port: 1000,
        seq: SeqNumber(1),
        ack: SeqNumber(1),
        window: 512,
    };
    header.emit_in_place(&mut frame[SECURE_HEADER_LEN..END]).unwrap();
    from.tunnel.seal(now, frame).unwrap();
    let opened = to.tunnel.open(now, frame).unwrap();
    assert_eq!((opened.header, opened.payload.len()), (header, PAYLOAD));
    while from.tunnel.poll_action(now).is_some() {}
    while to.tunnel.poll_action(now).is_some() {}
}

#[test]
fn a_data_packet_is_sealed_and_opened_without_allocation() {
    let mut now = Timestamp::from_micros(1);
    let [mut a, mut b] = [side(0), side(1)];
    tell(now, &mut a, &mut b);
    tell(now, &mut b, &mut a);
    let mut frame = vec![0; END + TAG_LEN];
    let mut both_ways = |packets: u32| {
        for _ in 0..packets {
            now = now + Duration::from_millis(1);
            pass(now, (NODES[0], &mut a), (NODES[1], &mut b), &mut frame);
            pass(now, (NODES[1], &mut b), (NODES[0], &mut a), &mut frame);
        }
    };
    // The first frames make the replay windows.
    both_ways(10);
    let counted = measure(|| both_ways(1000));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    let witness = measure(|| drop(std::hint::black_box(vec![0_u8; 16])));
    assert_eq!(witness.count_total, 1, "the counter does not count");
}
