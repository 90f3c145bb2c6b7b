//! Packets that no codec of ours writes, inside frames that open.

use crate::probe::actor::{Actor, PATIENCE, Received};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, ensure, expected};
use crate::probe::stream::{ECHO, Stream};
use crate::probe::tunnel;
use proto_core::wire::header::crc32;
use proto_core::wire::{Flags, HEADER_LEN, Protocol};

/// Where the checksum stands.
const CHECKSUM: std::ops::Range<usize> = 30..34;

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Session, name, ids, run);
    let friend = |name, ids, run| Check::new(Needs::Friend, name, ids, run);
    vec![
        check(
            "packet/own-packets",
            &["PP-PKT-1", "PP-PKT-2", "PP-PKT-6", "PP-PKT-12", "PP-FRAME-5", "PP-FRAME-6", "PP-FRAME-7"],
            own_packets,
        ),
        check("packet/bad-checksum", &["PP-PKT-7"], bad_checksum),
        check("packet/no-checksum", &["PP-PKT-7"], no_checksum),
        check("packet/cut-short", &["PP-PKT-8"], cut_short),
        check("packet/other-version", &["PP-PKT-9"], other_version),
        check("packet/unknown-protocol", &["PP-PKT-10"], unknown_protocol),
        check("packet/bytes-behind", &["PP-PKT-11"], bytes_behind),
        friend("packet/order-of-flags", &["PP-PKT-13"], order_of_flags),
        friend("packet/no-flags", &["PP-PKT-14"], no_flags),
    ]
}

/// A ping's packet, changed, with or without a checksum that fits the change.
fn changed(actor: &mut Actor, change: impl FnOnce(&mut Vec<u8>), fits: bool) -> [u8; 8] {
    let (header, nonce) = actor.ping();
    let mut packet = tunnel::packet(&header, &nonce);
    change(&mut packet);
    if fits {
        fit(&mut packet);
    }
    actor.send_sealed(&packet);
    nonce
}

/// Makes the checksum right for all that is there.
fn fit(packet: &mut [u8]) {
    if let Some(field) = packet.get_mut(CHECKSUM) {
        field.fill(0);
    }
    let sum = crc32([&*packet]);
    if let Some(field) = packet.get_mut(CHECKSUM) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

fn set(packet: &mut [u8], offset: usize, value: u8) {
    if let Some(byte) = packet.get_mut(offset) {
        *byte = value;
    }
}

/// The changed ping must not be answered, and the next right one must be.
fn dropped(bench: &mut Bench, what: &str, change: impl FnOnce(&mut Vec<u8>), fits: bool) -> Outcome {
    let friend = &mut bench.friend;
    let nonce = changed(friend, change, fits);
    friend.fence()?;
    ensure(friend.pongs(&nonce) == 0, || format!("a ping with {what} is answered"))
}

fn own_packets(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (header, nonce) = friend.ping();
    friend.send_packet(&header, &nonce);
    // That it opens at all needs its layout, its associated data, its checksum and its version.
    let pong = expected(friend.pong(&nonce, PATIENCE), "a ping is not answered with anything that opens")?;
    ensure(pong.surplus == 0, || format!("{} bytes are sent behind the payload", pong.surplus))
}

fn bad_checksum(bench: &mut Bench) -> Outcome {
    dropped(
        bench,
        "a wrong checksum",
        |packet| packet.iter_mut().skip(CHECKSUM.start).take(1).for_each(|b| *b ^= 1),
        false,
    )
}

fn no_checksum(bench: &mut Bench) -> Outcome {
    let clear = |packet: &mut Vec<u8>| packet.iter_mut().skip(CHECKSUM.start).take(4).for_each(|b| *b = 0);
    dropped(bench, "a checksum of zero", clear, false)
}

fn cut_short(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    friend.send_sealed(&[0x10; HEADER_LEN - 1]);
    friend.send_sealed(&[]);
    // One byte more is announced than there is.
    dropped(bench, "less payload than it says", |packet| set(packet, 3, 9), true)
}

fn other_version(bench: &mut Bench) -> Outcome {
    dropped(bench, "version 0", |packet| set(packet, 0, 0x00), true)?;
    dropped(bench, "version 2", |packet| set(packet, 0, 0x20), true)
}

fn unknown_protocol(bench: &mut Bench) -> Outcome {
    for protocol in [0, 4, 0xFF] {
        dropped(bench, &format!("protocol {protocol}"), |packet| set(packet, 1, protocol), true)?;
    }
    Ok(())
}

fn bytes_behind(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let nonce = changed(friend, |packet| packet.extend_from_slice(b"surplus"), false);
    expected(friend.pong(&nonce, PATIENCE), "a packet with bytes behind its payload is dropped").map(drop)
}

fn order_of_flags(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let stream = Stream::new(friend, ECHO);
    stream.send(friend, Flags::SYN | Flags::FIN | Flags::RST, stream.iss, &[]);
    let answer = stream.find(friend, PATIENCE, |segment| segment.header.flags.contains(Flags::SYN | Flags::ACK));
    stream.abandon(friend);
    expected(answer, "SYN with FIN and RST is not taken for SYN").map(drop)
}

fn no_flags(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    stream.send(friend, Flags::NONE, stream.next, b"nothing");
    let port = stream.own_port;
    let on_stream = move |received: &Received| {
        received.packet().is_some_and(|packet| {
            packet.header.protocol == Protocol::Stream && packet.header.dst_port == port && !packet.payload.is_empty()
        })
    };
    friend.silent("data without a flag is answered", on_stream)?;
    stream.write(friend, b"something");
    let read = stream.read(friend, b"something");
    stream.abandon(friend);
    read
}
