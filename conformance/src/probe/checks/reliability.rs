//! That every byte arrives once and in order, whatever becomes of the segments.

use crate::probe::actor::PATIENCE;
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, ensure, expected};
use crate::probe::stream::{ECHO, Segment, Stream, ahead};
use proto_core::seq::SeqNumber;
use proto_core::wire::Flags;
use std::time::{Duration, Instant};

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Friend, name, ids, run);
    vec![
        check("reliability/echo", &["PP-PORT-5", "PP-REL-3", "PP-REL-4"], echo),
        check("reliability/number-wraps", &["PP-REL-1"], wraps),
        check("reliability/order", &["PP-REL-2"], order),
        check("reliability/duplicates", &["PP-REL-2"], duplicates),
        check("reliability/overlap", &["PP-REL-15"], overlap),
        check("reliability/retransmission", &["PP-REL-5", "PP-REL-8", "PP-REL-12"], retransmission),
        check("reliability/acknowledgment-of-the-unsent", &["PP-REL-6"], unsent),
        check("reliability/many-bytes", &["PP-REL-2", "PP-SEG-3"], many),
    ]
}

fn echo(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    stream.write(friend, b"hello");
    let first = stream.find(friend, PATIENCE, |segment| !segment.data().is_empty());
    let first = expected(first, "what is sent to the echo port does not come back")?.header;
    let numbers = first.seq == stream.expected && first.ack == stream.next && first.flags == Flags::ACK;
    stream.read(friend, b"hello")?;
    stream.abandon(friend);
    ensure(numbers, || {
        format!("the first segment with data has {:?}, {} and {}", first.flags, first.seq.0, first.ack.0)
    })
}

fn wraps(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::new(friend, ECHO);
    stream.iss = SeqNumber(0xFFFF_FFF0);
    stream.next = stream.iss + 1;
    stream.shake(friend)?;
    let across = b"across the end of all numbers";
    stream.write(friend, across);
    let read = stream.read(friend, across);
    stream.abandon(friend);
    read
}

fn order(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    let start = stream.next;
    for (offset, part) in [(10, "third"), (5, "secnd"), (0, "first")] {
        stream.send(friend, Flags::ACK, start + offset, part.as_bytes());
    }
    stream.next = start + 15;
    let read = stream.read(friend, b"firstsecndthird");
    stream.abandon(friend);
    read
}

fn duplicates(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    let start = stream.next;
    for _ in 0..3 {
        stream.send(friend, Flags::ACK, start, b"once");
    }
    stream.next = start + 4;
    stream.read(friend, b"once")?;
    stream.send(friend, Flags::ACK, start, b"once");
    stream.write(friend, b"more");
    let read = stream.read(friend, b"more");
    stream.abandon(friend);
    read
}

fn overlap(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    let start = stream.next;
    stream.send(friend, Flags::ACK, start, b"0123456789");
    stream.send(friend, Flags::ACK, start + 5, b"56789ABCDE");
    stream.next = start + 15;
    let read = stream.read(friend, b"0123456789ABCDE");
    stream.abandon(friend);
    read
}

/// Leaves the echo unacknowledged: every copy of it, with when it came.
fn copies(bench: &mut Bench, stream: &Stream, count: usize, limit: Duration) -> Vec<Segment> {
    let deadline = Instant::now() + limit;
    let at = stream.expected;
    let of = |bench: &Bench| -> Vec<Segment> {
        let data = |segment: &Segment| segment.header.seq == at && !segment.data().is_empty();
        stream.seen(&bench.friend).into_iter().filter(data).collect()
    };
    while of(bench).len() < count && Instant::now() < deadline {
        bench.friend.listen(Duration::from_millis(20));
    }
    of(bench)
}

fn retransmission(bench: &mut Bench) -> Outcome {
    let mut stream = Stream::open(&mut bench.friend, ECHO)?;
    stream.write(&mut bench.friend, b"nobody acknowledges this");
    // A tail loss probe may come before the timeouts, which then double.
    let copies = copies(bench, &stream, 5, Duration::from_secs(7));
    stream.abandon(&mut bench.friend);
    ensure(copies.len() >= 3, || format!("within 7 s an unacknowledged segment is sent {} times", copies.len()))?;
    let same = copies.iter().all(|copy| Some(&copy.payload) == copies.first().map(|first| &first.payload));
    ensure(same, || "a retransmitted segment has other boundaries than the first".to_owned())?;
    let gaps: Vec<Duration> = copies.windows(2).filter_map(|pair| Some(pair.last()?.at - pair.first()?.at)).collect();
    let (first, longest) = (gaps.first().copied().unwrap_or_default(), gaps.last().copied().unwrap_or_default());
    ensure(first >= Duration::from_millis(40), || format!("a segment is sent again after {first:?}"))?;
    ensure(longest >= Duration::from_millis(600), || format!("the timeouts do not grow: {gaps:.1?}"))
}

fn unsent(bench: &mut Bench) -> Outcome {
    let mut stream = Stream::open(&mut bench.friend, ECHO)?;
    stream.write(&mut bench.friend, b"keep this");
    let first = copies(bench, &stream, 1, PATIENCE).len();
    let mut lie = stream;
    lie.expected = ahead(stream.expected, 1_000_000);
    lie.ack(&mut bench.friend);
    bench.friend.turn_the_page();
    // Nothing was acknowledged, so it must come again.
    let again = copies(bench, &stream, 1, Duration::from_secs(3));
    stream.abandon(&mut bench.friend);
    ensure(first == 1 && !again.is_empty(), || "an acknowledgment of what was never sent counts".to_owned())
}

fn many(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    let data: Vec<u8> = (0..4096_u32 * 3).map(|n| (n % 251).to_le_bytes()[0]).collect();
    // Segments as large as the draft allows.
    for part in data.chunks(4096) {
        stream.write(friend, part);
    }
    let read = stream.read(friend, &data);
    stream.abandon(friend);
    read
}
