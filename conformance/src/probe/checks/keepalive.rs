//! What happens on a stream that nobody uses. Last, as it waits for the stream that was opened first.

use crate::probe::actor::PATIENCE;
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, Stop, ensure, expected};
use std::time::Duration;

/// After this an unused stream sends an empty ACK, and so much later at the latest.
const KEEPALIVE: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_millis(2500);

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Friend, name, ids, run);
    vec![check("keepalive/30-s", &["PP-KA-1"], after_30_s), check("keepalive/window", &["PP-KA-2"], window)]
}

fn after_30_s(bench: &mut Bench) -> Outcome {
    let (stream, opened) = bench.idle.ok_or_else(|| Stop::skipped("no stream could be opened at the beginning"))?;
    bench.friend.listen_until(opened + KEEPALIVE + LATER);
    let came = bench.friend.log().iter().filter_map(|received| stream.segment(received));
    let first = came.map(|segment| segment.at.saturating_duration_since(opened)).find(|after| *after > PATIENCE);
    let first = expected(first, "nothing comes on an unused stream within 32 s")?;
    // Half a second for what the opening took.
    let right = first + Duration::from_millis(500) >= KEEPALIVE && first <= KEEPALIVE + LATER;
    ensure(right, || format!("on an unused stream something comes after {first:?}"))
}

fn window(bench: &mut Bench) -> Outcome {
    let (stream, opened) = bench.idle.ok_or_else(|| Stop::skipped("no stream could be opened at the beginning"))?;
    let came = bench.friend.log().iter().filter_map(|received| stream.segment(received));
    let keepalive = came.filter(|segment| segment.is_pure_ack()).find(|segment| segment.at > opened + PATIENCE);
    stream.abandon(&mut bench.friend);
    let keepalive = keepalive.ok_or_else(|| Stop::skipped("no keepalive came"))?;
    ensure(keepalive.header.window > 0, || "a keepalive tells a closed window".to_owned())
}
