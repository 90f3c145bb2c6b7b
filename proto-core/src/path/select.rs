//! Which way carries data, as pure functions.
//!
//! Promote-only: a way in use is left for a better one only by a margin, so that jitter never makes data hop between two alike.

use super::Route;
use super::way::{Way, Ways};
use core::time::Duration;

/// A direct way must be faster than the one in use by this and by a fifth, whichever is more.
const MARGIN: Duration = Duration::from_millis(10);

/// The best way when the one in use is gone or was the relay: the fastest proven direct one, else the relay if proven.
pub(super) fn best(ways: &Ways) -> Option<Route> {
    let slowest = Duration::MAX;
    let direct = ways.direct().filter(|w| w.is_proven()).min_by_key(|w| w.rtt.unwrap_or(slowest));
    //= spec/nat.md#pp-nat-15
    //# A proven direct path replaces the relay.
    direct.or_else(|| Some(ways.relay()).filter(|w| w.is_proven())).map(|w| w.route)
}

/// `challenger` is faster than the direct way in use by the margin.
pub(super) fn clearly_faster(challenger: &Way, in_use: &Way) -> bool {
    match (challenger.rtt, in_use.rtt) {
        //= spec/nat.md#pp-nat-16
        //# Among direct paths another one is taken only when it is faster by 10 milliseconds and by a fifth.
        (Some(new), Some(old)) => new.saturating_add(MARGIN.max(old / 5)) <= old,
        _ => false,
    }
}
