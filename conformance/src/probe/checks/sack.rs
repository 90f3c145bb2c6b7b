//! Selective acknowledgements: told for holes, believed, and not mistaken for data.

use crate::probe::actor::{Actor, PATIENCE};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, Stop, ensure, expected};
use crate::probe::stream::{ECHO, Stream, ahead};
use proto_core::seq::SeqNumber;
use proto_core::wire::sack::looks_like_sack;
use proto_core::wire::{Flags, Sack, SackBlock};
use std::time::{Duration, Instant};

/// Longest time for what has to happen at once.
const AT_ONCE: Duration = Duration::from_millis(500);

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Friend, name, ids, run);
    vec![
        check("sack/hole", &["PP-SACK-1", "PP-SACK-2", "PP-ACK-3"], hole),
        check("sack/blocks", &["PP-SACK-3", "PP-SACK-4"], blocks),
        check("sack/filled-hole", &["PP-ACK-4"], filled),
        check("sack/data-that-looks-like-it", &["PP-SACK-6"], lookalike),
        check("sack/cut-before-it-is-sent", &["PP-SACK-7"], cut),
        check("sack/received-is-not-repeated", &["PP-SACK-8"], not_repeated),
    ]
}

/// The next SACK for `stream` that `right` accepts.
fn sack(friend: &mut Actor, stream: &Stream, right: impl Fn(&Sack) -> bool) -> Result<(SeqNumber, Sack), Stop> {
    let found = stream.find(friend, AT_ONCE, |segment| segment.sack().is_some_and(|sack| right(&sack)));
    let segment = expected(found, "data beyond a hole is not answered with a SACK of it")?;
    Ok((segment.header.ack, segment.sack().unwrap_or_default()))
}

fn hole(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let stream = Stream::open(friend, ECHO)?;
    let (left, right) = (stream.next + 5, stream.next + 11);
    stream.send(friend, Flags::ACK, left, b"beyond");
    let found = sack(friend, &stream, |_| true);
    stream.abandon(friend);
    let (ack, sack) = found?;
    ensure(ack == stream.next, || "the acknowledgment with a SACK is not of the byte before the hole".to_owned())?;
    ensure(sack.blocks() == [SackBlock { left, right }], || format!("the SACK says {:?}", sack.blocks()))
}

fn blocks(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let stream = Stream::open(friend, ECHO)?;
    let start = stream.next;
    // Six islands, of which two touch and make one.
    for offset in [40, 10, 60, 20, 64, 80] {
        stream.send(friend, Flags::ACK, start + offset, b"1234");
    }
    let found = sack(friend, &stream, |sack| sack.blocks().len() >= 4);
    friend.listen(Duration::from_millis(50));
    let all: Vec<Sack> = stream.seen(friend).iter().filter_map(super::super::stream::Segment::sack).collect();
    stream.abandon(friend);
    found?;
    for sack in &all {
        let ascending = sack.blocks().windows(2).all(|pair| match pair {
            [one, next] => one.right.before(next.left),
            _ => true,
        });
        let held = [(10, 14), (20, 24), (40, 44), (60, 64), (60, 68), (64, 68), (80, 84)];
        let true_ones = sack
            .blocks()
            .iter()
            .all(|block| held.iter().any(|(left, right)| (block.left, block.right) == (start + *left, start + *right)));
        ensure(ascending && true_ones, || {
            format!("blocks overlap, touch, are out of order or not held: {:?}", sack.blocks())
        })?;
    }
    let last = all.last().map(|sack| sack.blocks().len());
    ensure(last == Some(4), || format!("with five ranges held, {last:?} are told"))
}

fn filled(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    let start = stream.next;
    stream.send(friend, Flags::ACK, start + 5, b"world");
    sack(friend, &stream, |_| true)?;
    let began = Instant::now();
    stream.send(friend, Flags::ACK, start, b"hello");
    stream.next = start + 10;
    let acknowledged = stream.is_acknowledged(friend, stream.next, AT_ONCE);
    let after = began.elapsed();
    stream.read(friend, b"helloworld")?;
    stream.abandon(friend);
    // Longer than the 40 ms of a delayed acknowledgement.
    ensure(acknowledged && after < Duration::from_millis(200), || {
        format!("a filled hole is acknowledged after {after:?}, or not at all")
    })
}

/// What every SACK begins with, and blocks that no sender could mean.
fn looks_like_one() -> Vec<u8> {
    let mut data = b"SACK\x01".to_vec();
    data.extend_from_slice(&[0xEE; 8]);
    data
}

fn lookalike(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    let data = looks_like_one();
    stream.write(friend, &data);
    let acknowledged = stream.is_acknowledged(friend, stream.next, PATIENCE / 2);
    stream.abandon(friend);
    ensure(acknowledged, || "data that begins like a SACK is swallowed".to_owned())
}

fn cut(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    let data = looks_like_one();
    // In two pieces, so that the peer takes it for data whatever it thinks of the whole.
    let (one, other) = data.split_at(6);
    stream.write(friend, one);
    stream.write(friend, other);
    let all = |friend: &Actor, stream: &Stream| -> Vec<Vec<u8>> {
        stream.seen(friend).into_iter().map(|segment| segment.payload).filter(|payload| !payload.is_empty()).collect()
    };
    let deadline = Instant::now() + PATIENCE / 2;
    while all(friend, &stream).iter().map(Vec::len).sum::<usize>() < data.len() && Instant::now() < deadline {
        stream.expected = ahead(stream.irs + 1, all(friend, &stream).iter().map(Vec::len).sum());
        stream.ack(friend);
        friend.listen(Duration::from_millis(20));
    }
    stream.abandon(friend);
    let came = all(friend, &stream);
    ensure(!came.is_empty(), || "nothing comes back".to_owned())?;
    let swallowed = came.iter().any(|payload| looks_like_sack(payload));
    ensure(!swallowed, || "data that begins like a SACK is sent in one piece, which the other side swallows".to_owned())
}

fn not_repeated(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    for _ in 0..5 {
        stream.write(friend, &[0x42; 1100]);
    }
    // The first segment that comes back is lost here; what is behind it is told to have arrived.
    let start = stream.expected;
    let arrived = |friend: &Actor, stream: &Stream| {
        let segments = stream.seen(friend);
        let ends = segments.iter().filter(|s| !s.data().is_empty()).map(|s| ahead(s.header.seq, s.data().len()));
        ends.max_by_key(|end| end.bytes_since(start)).unwrap_or(start)
    };
    let deadline = Instant::now() + PATIENCE;
    while arrived(friend, &stream).bytes_since(start) < 5500 && Instant::now() < deadline {
        friend.listen(Duration::from_millis(10));
    }
    let first = stream.find(friend, PATIENCE, |segment| segment.header.seq == start && !segment.data().is_empty());
    let first = expected(first, "nothing comes back")?;
    let (left, right) = (ahead(start, first.data().len()), arrived(friend, &stream));
    if left == right {
        stream.abandon(friend);
        return Err(Stop::skipped("all comes back in one segment"));
    }
    let mut payload = vec![0; 13];
    let _ = Sack::from_iter([SackBlock { left, right }]).emit(&mut payload);
    friend.turn_the_page();
    // Three duplicates, as many as a fast retransmission takes.
    for _ in 0..4 {
        stream.send(friend, Flags::ACK, stream.next, &payload);
    }
    friend.listen(Duration::from_millis(1500));
    let again: Vec<SeqNumber> =
        stream.seen(friend).iter().filter(|s| !s.data().is_empty()).map(|s| s.header.seq).collect();
    stream.abandon(friend);
    ensure(again.contains(&start), || "the lost segment is not sent again".to_owned())?;
    let needless = again.iter().any(|seq| seq.at_or_after(left) && seq.before(right));
    ensure(!needless, || "a segment is sent again that a SACK said has arrived".to_owned())
}
