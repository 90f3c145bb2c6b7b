//! When acknowledgements come. A busy machine makes everything later, so the best of a few tries counts.

use crate::probe::actor::{Actor, PATIENCE};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, Stop, ensure};
use crate::probe::stream::{Stream, ahead};
use proto_core::seq::SeqNumber;
use proto_core::wire::Flags;
use std::time::{Duration, Instant};

/// Data exchange: it says nothing before it has a whole frame, so that no data carries an acknowledgement.
const QUIET: u16 = 1001;
/// 40 ms, and what the way and the processes take.
const DELAYED: Duration = Duration::from_millis(60);
/// Clearly less than a delayed acknowledgement.
const AT_ONCE: Duration = Duration::from_millis(25);
const TRIES: usize = 4;

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Friend, name, ids, run);
    vec![
        check("acknowledgment/delayed-40-ms", &["PP-ACK-2"], delayed),
        check("acknowledgment/every-second-at-once", &["PP-ACK-1"], second),
        check("acknowledgment/nothing-new-at-once", &["PP-ACK-5"], nothing_new),
        check("acknowledgment/not-of-acknowledgments", &["PP-ACK-6", "PP-KA-5"], empty),
    ]
}

/// A stream to a service that waits for more.
fn quiet(friend: &mut Actor) -> Result<Stream, Stop> {
    let mut stream = Stream::new(friend, QUIET);
    match stream.shake(friend) {
        Ok(()) => Ok(stream),
        Err(_) => Err(Stop::skipped("nothing listens on port 1001")),
    }
}

/// How long after `began` this number was acknowledged.
fn acknowledged(friend: &mut Actor, stream: &Stream, number: SeqNumber, began: Instant) -> Duration {
    let acknowledges = |segment: &crate::probe::stream::Segment| {
        segment.at >= began && segment.header.flags.contains(Flags::ACK) && segment.header.ack == number
    };
    let found = stream.find(friend, PATIENCE / 2, acknowledges);
    found.map_or(Duration::MAX, |segment| segment.at - began)
}

/// The shortest of a few measurements, each on the same stream; some bytes of a length that promises much more.
fn shortest(
    bench: &mut Bench,
    measure: impl Fn(&mut Actor, &mut Stream) -> Duration,
    enough: Duration,
) -> Result<Duration, Stop> {
    let friend = &mut bench.friend;
    let mut stream = quiet(friend)?;
    // Type 2, and a length that is never reached. A peer may acknowledge the first segments of a stream sooner.
    stream.write(friend, &[0, 0, 0, 2, 0, 0x0F, 0xFF, 0xFF]);
    friend.listen(Duration::from_millis(100));
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        best = best.min(measure(friend, &mut stream));
        if best <= enough {
            break;
        }
        friend.listen(Duration::from_millis(100));
    }
    stream.abandon(friend);
    Ok(best)
}

fn delayed(bench: &mut Bench) -> Outcome {
    let single = |friend: &mut Actor, stream: &mut Stream| {
        let began = Instant::now();
        stream.write(friend, b"single");
        acknowledged(friend, stream, stream.next, began)
    };
    let best = shortest(bench, single, DELAYED)?;
    ensure(best <= DELAYED, || format!("a single segment is acknowledged after {best:?} at best"))
}

fn second(bench: &mut Bench) -> Outcome {
    let pair = |friend: &mut Actor, stream: &mut Stream| {
        let began = Instant::now();
        stream.write(friend, b"one");
        stream.write(friend, b"two");
        acknowledged(friend, stream, stream.next, began)
    };
    let best = shortest(bench, pair, AT_ONCE)?;
    ensure(best <= AT_ONCE, || format!("two segments are acknowledged after {best:?} at best"))
}

fn nothing_new(bench: &mut Bench) -> Outcome {
    let repeated = |friend: &mut Actor, stream: &mut Stream| {
        let start = stream.next;
        stream.write(friend, b"again");
        let first = acknowledged(friend, stream, stream.next, Instant::now());
        if first == Duration::MAX {
            return first;
        }
        friend.listen(Duration::from_millis(100));
        let began = Instant::now();
        stream.send(friend, Flags::ACK, start, b"again");
        acknowledged(friend, stream, ahead(start, 5), began)
    };
    let best = shortest(bench, repeated, AT_ONCE)?;
    ensure(best <= AT_ONCE, || format!("a segment that brings nothing new is acknowledged after {best:?} at best"))
}

fn empty(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, super::super::stream::ECHO)?;
    stream.write(friend, b"x");
    stream.read(friend, b"x")?;
    friend.listen(Duration::from_millis(150));
    friend.turn_the_page();
    for _ in 0..5 {
        stream.ack(friend);
    }
    let outcome = friend.silent("an ACK without data is answered", |received| stream.segment(received).is_some());
    stream.abandon(friend);
    outcome
}
