//! How a stream ends.

use crate::probe::actor::{Actor, PATIENCE};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, ensure, expected};
use crate::probe::stream::{ECHO, Segment, Stream};
use proto_core::seq::SeqNumber;
use proto_core::wire::Flags;
use std::time::Duration;

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Friend, name, ids, run);
    vec![
        check("end/fin-is-acknowledged", &["PP-SES-15"], fin),
        check("end/no-fin-with-ack", &["PP-SES-17"], no_fin_ack),
        check("end/fin-with-ack-is-not-answered-for-ever", &["PP-SES-18"], fin_ack),
        check("end/fin-waits-for-missing-data", &["PP-SES-19"], early_fin),
        check("end/repeated-fin", &["PP-SES-15"], repeated_fin),
        check("end/rst", &["PP-SES-22"], rst),
        check("end/rst-of-another-stream", &["PP-SES-22", "PP-SES-1"], rst_elsewhere),
        check("end/new-stream-on-the-same-ports", &["PP-SES-21"], same_ports),
    ]
}

/// A stream with some traffic behind it.
fn used(friend: &mut Actor) -> Result<Stream, crate::probe::check::Stop> {
    let mut stream = Stream::open(friend, ECHO)?;
    stream.write(friend, b"before the end");
    stream.read(friend, b"before the end")?;
    friend.listen(Duration::from_millis(60));
    friend.turn_the_page();
    Ok(stream)
}

/// Ends it; the peer's acknowledgement of exactly the FIN, if it comes.
fn finish(friend: &mut Actor, stream: &mut Stream) -> Option<Segment> {
    stream.send(friend, Flags::FIN, stream.next, &[]);
    stream.next += 1;
    let number = stream.next;
    stream
        .find(friend, PATIENCE / 2, |segment| segment.header.flags.contains(Flags::ACK) && segment.header.ack == number)
}

fn fin(bench: &mut Bench) -> Outcome {
    let mut stream = used(&mut bench.friend)?;
    let answer = finish(&mut bench.friend, &mut stream);
    stream.abandon(&mut bench.friend);
    expected(answer, "a FIN is not acknowledged with its number plus one").map(drop)
}

fn no_fin_ack(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = used(friend)?;
    finish(friend, &mut stream);
    friend.fence()?;
    let both = stream.seen(friend).into_iter().find(|segment| segment.header.flags.contains(Flags::FIN | Flags::ACK));
    stream.abandon(friend);
    ensure(both.is_none(), || "a FIN is answered with FIN and ACK in one".to_owned())
}

fn fin_ack(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = used(friend)?;
    finish(friend, &mut stream);
    friend.listen(Duration::from_millis(100));
    // What two of the older references do to each other for ever.
    let mut answers = 0;
    for _ in 0..5 {
        friend.turn_the_page();
        stream.send(friend, Flags::FIN | Flags::ACK, stream.next, &[]);
        friend.listen(Duration::from_millis(80));
        answers += stream.seen(friend).len();
    }
    stream.abandon(friend);
    ensure(answers == 0, || format!("five times FIN with ACK after the end are answered {answers} times"))
}

fn early_fin(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = used(friend)?;
    let start = stream.next;
    stream.send(friend, Flags::FIN, start + 7, &[]);
    friend.fence()?;
    let too_early = stream
        .seen(friend)
        .into_iter()
        .any(|segment| segment.header.flags.contains(Flags::FIN) || segment.header.ack == start + 8);
    stream.send(friend, Flags::ACK, start, b"missing");
    let whole = stream.is_acknowledged(friend, start + 8, PATIENCE / 2);
    stream.next = start + 8;
    stream.abandon(friend);
    ensure(!too_early, || "a FIN ahead of missing data ends the stream".to_owned())?;
    ensure(whole, || "once the missing data is there, the FIN is not acknowledged".to_owned())
}

fn repeated_fin(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = used(friend)?;
    let first = finish(friend, &mut stream);
    expected(first, "a FIN is not acknowledged")?;
    friend.listen(Duration::from_millis(300));
    friend.turn_the_page();
    let number = stream.next;
    stream.send(friend, Flags::FIN, SeqNumber(number.0.wrapping_sub(1)), &[]);
    let again = stream.is_acknowledged(friend, number, PATIENCE / 2);
    stream.abandon(friend);
    ensure(again, || "a FIN that is repeated, as its acknowledgement was lost, is not acknowledged again".to_owned())
}

/// The stream is gone: data on it is not acknowledged.
fn gone(friend: &mut Actor, stream: &mut Stream, why: &str) -> Outcome {
    friend.turn_the_page();
    stream.write(friend, b"is anybody there?");
    friend.silent(why, |received| stream.segment(received).is_some())
}

fn rst(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = used(friend)?;
    stream.send(friend, Flags::RST, SeqNumber(0), &[]);
    gone(friend, &mut stream, "a stream lives on after RST")
}

fn rst_elsewhere(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = used(friend)?;
    let mut other = stream;
    other.own_port = friend.port();
    other.abandon(friend);
    other = stream;
    other.port = 1001;
    other.abandon(friend);
    stream.write(friend, b"unhurt");
    let read = stream.read(friend, b"unhurt");
    stream.abandon(friend);
    read
}

fn same_ports(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = used(friend)?;
    finish(friend, &mut stream);
    friend.listen(Duration::from_millis(200));
    // A peer that ends its own direction is left to it.
    if let Some(end) = stream.seen(friend).into_iter().find(|segment| segment.header.flags.contains(Flags::FIN)) {
        stream.expected = end.header.seq + 1;
        stream.ack(friend);
        friend.listen(Duration::from_millis(50));
    }
    friend.turn_the_page();
    let mut second = Stream::new(friend, ECHO);
    second.own_port = stream.own_port;
    second.shake(friend)?;
    second.write(friend, b"a new life");
    let read = second.read(friend, b"a new life");
    second.abandon(friend);
    read
}
