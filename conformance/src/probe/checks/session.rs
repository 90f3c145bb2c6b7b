//! How a stream begins.

use crate::probe::actor::{Actor, PATIENCE};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, ensure, expected};
use crate::probe::stream::{ECHO, Segment, Stream};
use proto_core::seq::SeqNumber;
use proto_core::wire::Flags;
use std::time::Duration;

/// A port on which nothing listens.
const CLOSED: u16 = 39_999;

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Friend, name, ids, run);
    vec![
        check("session/syn-is-answered", &["PP-SES-5", "PP-PKT-3", "PP-PKT-4", "PP-SES-28"], answered),
        check("session/payload-of-a-syn", &["PP-SES-27"], payload),
        check("session/random-number", &["PP-SES-4"], random_number),
        check("session/repeated-syn", &["PP-SES-10"], repeated_syn),
        check("session/repeated-syn-ack", &["PP-SES-9"], repeated_syn_ack),
        check("session/closed-port", &["PP-SES-12"], closed_port),
        check("session/unknown-stream", &["PP-SES-25"], unknown_stream),
        check("session/two-streams", &["PP-SES-1"], two_streams),
    ]
}

fn is_syn_ack(segment: &Segment) -> bool {
    segment.header.flags == Flags::SYN | Flags::ACK
}

/// A SYN and the answer to it, unacknowledged.
fn half_open(friend: &mut Actor) -> Result<(Stream, Segment), crate::probe::check::Stop> {
    let mut stream = Stream::new(friend, ECHO);
    stream.syn(friend);
    let answer = expected(stream.find(friend, PATIENCE, is_syn_ack), "a SYN is not answered with SYN-ACK")?;
    stream.answered(&answer)?;
    Ok((stream, answer))
}

fn answered(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (stream, answer) = half_open(friend)?;
    stream.ack(friend);
    stream.abandon(friend);
    let to = friend.header(proto_core::wire::Protocol::Stream, Flags::SYN, (0, 0)).dst;
    ensure(answer.header.src == to, || format!("a SYN to {to} is answered from {}", answer.header.src))
}

fn payload(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::new(friend, ECHO);
    stream.send(friend, Flags::SYN, stream.iss, b"no data");
    let answer = expected(stream.find(friend, PATIENCE, is_syn_ack), "a SYN with a payload is not answered")?;
    stream.answered(&answer)?;
    stream.ack(friend);
    stream.write(friend, b"data");
    let read = stream.read(friend, b"data");
    stream.abandon(friend);
    read
}

fn random_number(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let (stream, answer) = half_open(friend)?;
        stream.abandon(friend);
        numbers.push(answer.header.seq.0);
    }
    let random = numbers.windows(2).all(|pair| pair.first() != pair.last()) && numbers.iter().all(|n| *n < 1 << 31);
    ensure(random, || format!("two SYN-ACKs have the numbers {numbers:?}"))
}

fn repeated_syn(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (mut stream, first) = half_open(friend)?;
    stream.ack(friend);
    stream.write(friend, b"some bytes each way");
    stream.read(friend, b"some bytes each way")?;
    friend.turn_the_page();
    stream.syn(friend);
    let again = stream.find(friend, PATIENCE, is_syn_ack);
    let again = expected(again, "a repeated SYN is not answered")?;
    stream.abandon(friend);
    let same = (again.header.seq, again.header.ack) == (first.header.seq, first.header.ack);
    ensure(same, || {
        let numbers = |segment: &Segment| (segment.header.seq.0, segment.header.ack.0);
        format!("a SYN is answered with {:?} first and {:?} later", numbers(&first), numbers(&again))
    })
}

fn repeated_syn_ack(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (stream, first) = half_open(friend)?;
    let again =
        stream.find(friend, Duration::from_millis(2500), |segment| is_syn_ack(segment) && segment.at > first.at);
    stream.abandon(friend);
    let again = expected(again, "a SYN-ACK that nobody acknowledges is not repeated")?;
    let after = again.at - first.at;
    // A second, or less when the round-trip time is known from before.
    ensure(after >= Duration::from_millis(150), || format!("a SYN-ACK is repeated after {after:?} already"))
}

fn closed_port(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let stream = Stream::new(friend, CLOSED);
    stream.syn(friend);
    let answer = stream.find(friend, PATIENCE, |segment| segment.header.flags.contains(Flags::RST));
    expected(answer, "a SYN to a port nobody listens on is not answered with RST").map(drop)
}

fn unknown_stream(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    for port in [ECHO, CLOSED] {
        let mut stream = Stream::new(friend, port);
        stream.expected = SeqNumber(77);
        for flags in [Flags::ACK, Flags::FIN, Flags::FIN | Flags::ACK, Flags::RST, Flags::SYN | Flags::ACK] {
            stream.send(friend, flags, stream.next, &[]);
        }
        stream.send(friend, Flags::ACK, stream.next, b"data for nobody");
        friend.silent("what is no SYN is answered although there is no stream", |received| {
            stream.segment(received).is_some()
        })?;
    }
    Ok(())
}

fn two_streams(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (mut one, mut other) = (Stream::open(friend, ECHO)?, Stream::open(friend, ECHO)?);
    one.write(friend, b"one");
    other.write(friend, b"the other");
    one.read(friend, b"one")?;
    other.read(friend, b"the other")?;
    one.abandon(friend);
    other.write(friend, b"still there");
    let read = other.read(friend, b"still there");
    other.abandon(friend);
    read
}
