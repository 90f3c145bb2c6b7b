//! Decides whether a request's stamp is recent and new. Refuses to know who made it and whether the signature holds.

use crate::limits::{ENVELOPE_MAX_AGE, ENVELOPE_MAX_AHEAD, ENVELOPES_REMEMBERED};
use core::time::Duration;
use proto_core::registry::envelope::Stamp;
use std::collections::BTreeSet;

/// The stamps that may be used now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    earliest: u64,
    latest: u64,
}

impl Window {
    /// At `wall`, Unix seconds, in a registry that lost its memory of stamps at `awoke`.
    pub(super) fn at(wall: u64, awoke: Option<u64>) -> Self {
        let millis = |seconds: u64| seconds.saturating_mul(1000);
        let recent = millis(wall.saturating_sub(ENVELOPE_MAX_AGE.as_secs()));
        // Whatever was used before the memory was lost was stamped in that second at the latest.
        let unremembered = awoke.map_or(0, |second| millis(second.saturating_add(1)));
        Self {
            earliest: recent.max(unremembered),
            latest: millis(wall.saturating_add(ENVELOPE_MAX_AHEAD.as_secs())).saturating_add(SECOND_MILLIS),
        }
    }

    pub(super) const fn contains(self, stamp: Stamp) -> bool {
        stamp.millis >= self.earliest && stamp.millis < self.latest
    }
}

/// `wall` is a whole second: the stamp may lie anywhere in it.
const SECOND_MILLIS: u64 = Duration::from_secs(1).as_millis() as u64;

/// The stamps of one node that were used up lately.
#[derive(Debug, Default)]
pub(super) struct UsedStamps {
    used: BTreeSet<Stamp>,
    /// Everything up to here was forgotten for want of room, and counts as used.
    forgotten_until: Option<u64>,
}

impl UsedStamps {
    /// Uses up `stamp`; false if it was used before, or may have been.
    //= spec/registry.md#pp-reg-32
    //# An envelope, where there is one, is checked, and a stamp counts once.
    pub(super) fn take(&mut self, stamp: Stamp, window: Window) -> bool {
        self.used = self.used.split_off(&Stamp { millis: window.earliest, nonce: 0 });
        if self.forgotten_until.is_some_and(|until| stamp.millis <= until) || !self.used.insert(stamp) {
            return false;
        }
        if self.used.len() > ENVELOPES_REMEMBERED {
            self.forgotten_until = self.used.pop_first().map(|oldest| oldest.millis);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1_795_000_000;

    fn stamp(millis: u64, nonce: u64) -> Stamp {
        Stamp { millis: WALL * 1000 + millis, nonce }
    }

    #[test]
    fn a_stamp_serves_once_in_any_order() {
        let (mut used, window) = (UsedStamps::default(), Window::at(WALL, None));
        for millis in [5, 3, 9, 4] {
            assert!(used.take(stamp(millis, 1), window) && used.take(stamp(millis, 2), window));
            assert!(!used.take(stamp(millis, 1), window));
        }
    }

    #[test]
    fn the_memory_is_bounded_and_what_it_lost_counts_as_used() {
        let (mut used, window) = (UsedStamps::default(), Window::at(WALL, None));
        for millis in 0..10_000 {
            assert!(used.take(stamp(millis, 1), window), "in order, any number passes");
            assert!(used.used.len() <= ENVELOPES_REMEMBERED);
        }
        assert!((0..10_000).all(|millis| !used.take(stamp(millis, 1), window)));
        let later = Window::at(WALL + ENVELOPE_MAX_AGE.as_secs() + 20, None);
        assert!(used.take(stamp(70_000, 1), later) && used.used.len() == 1, "old ones are dropped");
    }

    #[test]
    fn the_window_has_the_stated_ends() {
        let open = |window: Window, seconds: u64, millis: u64| {
            window.contains(Stamp { millis: seconds * 1000 + millis, nonce: 0 })
        };
        let window = Window::at(WALL, None);
        let (oldest, newest) = (WALL - ENVELOPE_MAX_AGE.as_secs(), WALL + ENVELOPE_MAX_AHEAD.as_secs());
        assert!(open(window, oldest, 0) && !open(window, oldest - 1, 999));
        assert!(open(window, newest, 999) && !open(window, newest + 1, 0));
        let awoke = Window::at(WALL + 1, Some(WALL));
        assert!(!open(awoke, WALL, 999) && open(awoke, WALL + 1, 0));
    }
}
