//! Datagrams and control packets.

use crate::probe::actor::{PATIENCE, Received};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, ensure, expected};
use proto_core::seq::SeqNumber;
use proto_core::wire::{Flags, Protocol};
use std::time::Duration;

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Session, name, ids, run);
    vec![
        check("datagram/ping", &["PP-DGRAM-5"], ping),
        check("datagram/long-ping", &["PP-DGRAM-5"], long_ping),
        check("datagram/pong-is-not-answered", &["PP-DGRAM-6"], pong),
        check("datagram/keepalive-is-swallowed", &["PP-DGRAM-7"], swallowed),
        check("datagram/hello-is-not-answered", &["PP-DGRAM-11", "PP-DGRAM-12"], hello),
        check("datagram/not-acknowledged", &["PP-DGRAM-1"], not_acknowledged),
        check("datagram/empty", &["PP-DGRAM-2"], empty),
        check("datagram/rate-of-pings", &["PP-DGRAM-9"], rate),
    ]
}

fn is_control(received: &Received) -> bool {
    received.packet().is_some_and(|packet| packet.header.protocol == Protocol::Control)
}

fn ping(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (header, nonce) = friend.ping();
    friend.send_packet(&header, &nonce);
    let pong = expected(friend.pong(&nonce, PATIENCE), "a ping is not answered")?.header;
    let exchanged = (pong.src_port, pong.dst_port) == (0, header.src_port);
    let addresses = pong.src.node == header.dst.node && pong.dst == header.src;
    ensure(pong.flags == Flags::ACK, || format!("a pong has the flags {:?}", pong.flags))?;
    ensure(exchanged && addresses, || "a pong does not have the ping's ports and addresses exchanged".to_owned())?;
    ensure(pong.seq == header.seq && pong.ack == header.seq + 1, || {
        format!("the ping with sequence {} is answered with {} and {}", header.seq.0, pong.seq.0, pong.ack.0)
    })
}

fn long_ping(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (mut header, _) = friend.ping();
    header.seq = SeqNumber(u32::MAX);
    let payload: Vec<u8> = (0..1000_u32).map(|n| n.to_le_bytes()[0]).collect();
    friend.send_packet(&header, &payload);
    let back = friend.find(PATIENCE, |received| {
        received.packet().filter(|packet| packet.payload == payload && is_control(received)).cloned()
    });
    let back = expected(back, "a ping with 1000 bytes does not come back as it was")?;
    ensure(back.header.ack == SeqNumber(0), || "the acknowledgment of a ping does not wrap".to_owned())
}

fn pong(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (mut header, nonce) = friend.ping();
    header.flags = Flags::ACK;
    friend.send_packet(&header, &nonce);
    // The worst case: both ports 0, which would go on for ever.
    header.src_port = 0;
    friend.send_packet(&header, &nonce);
    friend.fence()?;
    ensure(friend.pongs(&nonce) == 0, || "a control packet with ACK is answered".to_owned())
}

fn swallowed(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let header = friend.header(Protocol::Control, Flags::NONE, (0, 0));
    friend.send_packet(&header, &[]);
    friend.silent("an empty control packet from port 0 to port 0 is answered", |received| {
        received.packet().is_some_and(|packet| {
            let at = packet.header;
            at.protocol == Protocol::Control && (at.src_port, at.dst_port) == (0, 0) && at.flags.contains(Flags::ACK)
        })
    })
}

/// An options block that cannot be read: the peer must neither answer nor take the probe for one of ours.
fn hello(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let port = friend.port();
    let header = friend.header(Protocol::Control, Flags::NONE, (port, 1));
    friend.send_packet(&header, b"PXO\x01\x00\x40 not as long as it says");
    friend.silent("a hello is answered", |received| {
        received.packet().is_some_and(|packet| is_control(received) && packet.header.dst_port == port)
    })
}

fn not_acknowledged(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let ports = (friend.port(), 49_000);
    let header = friend.header(Protocol::Datagram, Flags::NONE, ports);
    friend.send_packet(&header, b"a datagram");
    friend.silent("a datagram to a port nobody uses is answered", |received| {
        received.packet().is_some_and(|packet| packet.header.dst_port == ports.0)
    })
}

fn empty(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let ports = (friend.port(), 49_000);
    let header = friend.header(Protocol::Datagram, Flags::NONE, ports);
    friend.send_packet(&header, &[]);
    friend.silent("an empty datagram is answered", |received| {
        received.packet().is_some_and(|packet| packet.header.dst_port == ports.0)
    })
}

fn rate(bench: &mut Bench) -> Outcome {
    /// Far above 20, and above any budget that has filled up before.
    const PINGS: usize = 80;
    let friend = &mut bench.friend;
    friend.listen(Duration::from_millis(1100));
    let mut nonces = Vec::new();
    for _ in 0..PINGS {
        let (header, nonce) = friend.ping();
        friend.send_packet(&header, &nonce);
        nonces.push(nonce);
    }
    friend.listen(Duration::from_millis(300));
    let answered: usize = nonces.iter().map(|nonce| friend.pongs(nonce)).sum();
    // So that the next check finds its pings answered again.
    friend.listen(Duration::from_millis(900));
    ensure(answered > 0, || "no ping of many is answered".to_owned())?;
    ensure(answered <= 45, || format!("{answered} of {PINGS} pings within 0.3 s are answered"))
}
