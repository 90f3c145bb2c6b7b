//! Flow control: the window that is told is the window that is kept.

use crate::probe::actor::PATIENCE;
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, ensure, expected};
use crate::probe::stream::{ECHO, OPEN_WINDOW, Segment, Stream, ahead};
use std::time::Duration;

/// More than any peer puts into one segment, less than it may buffer.
const MUCH: usize = 12_000;

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Friend, name, ids, run);
    vec![
        check("flow/own-window", &["PP-FLOW-1", "PP-FLOW-2"], own_window),
        check("flow/one-segment", &["PP-FLOW-5"], one_segment),
        check("flow/closed", &["PP-FLOW-6"], closed),
        check("flow/probe", &["PP-FLOW-8", "PP-FLOW-9"], probe),
        check("flow/opens-again", &["PP-FLOW-6"], opens_again),
    ]
}

fn own_window(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    stream.write(friend, b"x");
    stream.read(friend, b"x")?;
    stream.abandon(friend);
    let told: Vec<u16> = stream.seen(friend).iter().map(|segment| segment.header.window).collect();
    let right = told.iter().all(|window| (1..=512).contains(window));
    ensure(right, || format!("with nothing buffered the windows {told:?} are told"))
}

/// Has much echoed through a window of this size, acknowledging nothing; what came of it.
fn held_back(
    bench: &mut Bench,
    window: u16,
    wait: Duration,
) -> Result<(Stream, Vec<Segment>), crate::probe::check::Stop> {
    let friend = &mut bench.friend;
    let mut stream = Stream::open(friend, ECHO)?;
    stream.window = window;
    for part in [0x33; MUCH].chunks(1000) {
        stream.write(friend, part);
    }
    friend.listen(wait);
    let data = stream.seen(friend).into_iter().filter(|segment| !segment.data().is_empty()).collect();
    Ok((stream, data))
}

fn one_segment(bench: &mut Bench) -> Outcome {
    let (stream, data) = held_back(bench, 1, Duration::from_millis(300))?;
    let start = stream.expected;
    stream.abandon(&mut bench.friend);
    ensure(!data.is_empty(), || "nothing comes through a window of one segment".to_owned())?;
    let mut starts: Vec<u32> = data.iter().map(|segment| segment.header.seq.bytes_since(start)).collect();
    starts.sort_unstable();
    starts.dedup();
    ensure(starts.len() == 1, || format!("{} segments are outstanding in a window of one", starts.len()))
}

fn closed(bench: &mut Bench) -> Outcome {
    let (stream, data) = held_back(bench, 0, Duration::from_millis(350))?;
    stream.abandon(&mut bench.friend);
    let bytes: usize = data.iter().map(|segment| segment.data().len()).sum();
    ensure(bytes <= 1, || format!("{bytes} bytes are sent into a closed window"))
}

fn probe(bench: &mut Bench) -> Outcome {
    let (stream, data) = held_back(bench, 0, Duration::from_millis(2300))?;
    stream.abandon(&mut bench.friend);
    ensure(!data.is_empty(), || "a closed window is not probed with data within 2.3 s".to_owned())?;
    let one_byte = data.iter().all(|segment| segment.data().len() == 1);
    ensure(one_byte, || "a closed window is probed with more than one byte".to_owned())?;
    ensure(data.len() <= 4, || format!("a closed window is probed {} times in 2.3 s", data.len()))
}

fn opens_again(bench: &mut Bench) -> Outcome {
    let (mut stream, before) = held_back(bench, 0, Duration::from_millis(350))?;
    let friend = &mut bench.friend;
    stream.window = OPEN_WINDOW;
    stream.ack(friend);
    let enough = |segment: &Segment| segment.data().len() > 1;
    let flows = stream.find(friend, PATIENCE, enough);
    let flows = expected(flows, "after the window has opened nothing comes");
    stream.expected = ahead(stream.expected, before.len());
    stream.abandon(friend);
    flows.map(drop)
}
