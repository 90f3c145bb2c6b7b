//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How often a condition is looked at. Short against every deadline in these tests, long against one look.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until `condition` gives something; fails the test with `what` when that takes longer than `limit`.
pub fn until<T>(what: &str, limit: Duration, condition: impl FnMut() -> Option<T>) -> T {
    within(limit, condition).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// Looks until `condition` gives something, `None` when that takes longer than `limit`.
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        rest(LOOK);
    }
}

/// Parks for the whole of `span`: whoever ends a scoped thread unparks its parent, which must not make this loop spin.
fn rest(span: Duration) {
    let end = Instant::now() + span;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
