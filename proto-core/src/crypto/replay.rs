//! Which authentic frames are fresh: a 256-wide window per nonce prefix (PP-NONCE-6 to PP-NONCE-12).
//!
//! One window per prefix, because the April reference draws a new prefix and restarts its counter under the same key; with one window per key
//! everything it then sends would look old. Must be asked only after the frame was authenticated.

use super::nonce::NoncePrefix;
use crate::limits::{REPLAY_LIVE_PREFIXES, REPLAY_RETIRED_PREFIXES, REPLAY_WINDOW};
use core::cmp::Reverse;
use std::collections::BTreeSet;

const WORD: usize = 64;
const WORDS: usize = REPLAY_WINDOW / WORD;

/// The counters of one prefix that were seen: the highest, and which of the 255 below it.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    /// `None` until the first frame: counter 0 is a counter like any other.
    highest: Option<u64>,
    /// Ring of seen counters, by counter modulo 256.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// `counter` was not seen and is not 256 or more behind the highest.
    #[must_use]
    pub fn is_fresh(&self, counter: u64) -> bool {
        //= spec/nonces.md#pp-nonce-4
        //# A counter of 0 is received like any other.
        let Some(highest) = self.highest else { return true };
        //= spec/nonces.md#pp-nonce-6
        //# A counter is refused when it was seen before under its key and prefix.
        //= spec/nonces.md#pp-nonce-7
        //# A counter 256 or more behind the highest of its key and prefix is refused.
        counter > highest || (highest - counter < REPLAY_WINDOW as u64 && !self.contains(counter))
    }

    /// Marks `counter` as seen; `false` when it was not fresh.
    pub fn accept(&mut self, counter: u64) -> bool {
        if !self.is_fresh(counter) {
            return false;
        }
        self.advance_to(counter);
        let (word, bit) = position(counter);
        if let Some(bits) = self.seen.get_mut(word) {
            *bits |= bit;
        }
        true
    }

    /// Forgets what falls out of the window when `counter` becomes the highest.
    fn advance_to(&mut self, counter: u64) {
        let Some(highest) = self.highest else {
            self.highest = Some(counter);
            return;
        };
        if counter <= highest {
            return;
        }
        if counter - highest >= REPLAY_WINDOW as u64 {
            self.seen = [0; WORDS];
        } else {
            for passed in highest + 1..=counter {
                let (word, bit) = position(passed);
                if let Some(bits) = self.seen.get_mut(word) {
                    *bits &= !bit;
                }
            }
        }
        self.highest = Some(counter);
    }

    fn contains(&self, counter: u64) -> bool {
        let (word, bit) = position(counter);
        self.seen.get(word).is_some_and(|bits| bits & bit != 0)
    }
}

/// Where `counter` stands in the ring.
const fn position(counter: u64) -> (usize, u64) {
    let index = (counter % REPLAY_WINDOW as u64) as usize;
    (index / WORD, 1 << (index % WORD))
}

/// What a [`ReplaySet`] says of an authentic frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayVerdict {
    /// Never seen before.
    Fresh,
    /// Seen, too old to tell, or of a prefix that was retired.
    Replayed,
    /// A new prefix, and no more can be remembered: only a new key helps.
    Exhausted,
}

/// The windows of one key: a few live prefixes, and the names of those that must never come back.
#[derive(Debug, Default)]
pub struct ReplaySet {
    /// At most [`REPLAY_LIVE_PREFIXES`].
    live: Vec<Live>,
    /// At most [`REPLAY_RETIRED_PREFIXES`].
    retired: BTreeSet<NoncePrefix>,
    /// Counts accepted frames, to tell which prefix was used last.
    clock: u64,
}

#[derive(Debug)]
struct Live {
    prefix: NoncePrefix,
    window: ReplayWindow,
    last_used: u64,
}

impl ReplaySet {
    /// No frame seen. Allocates its live windows now, so that receiving does not.
    #[must_use]
    pub fn new() -> Self {
        Self { live: Vec::with_capacity(REPLAY_LIVE_PREFIXES), ..Self::default() }
    }

    /// Marks the frame as seen, and says whether it was fresh. An unknown prefix retires the one unused for longest when there is no room.
    pub fn accept(&mut self, prefix: NoncePrefix, counter: u64) -> ReplayVerdict {
        let clock = self.clock + 1;
        //= spec/nonces.md#pp-nonce-10
        //# Each prefix under a key has its own window.
        //= spec/nonces.md#pp-nonce-14
        //# The receiver takes the nonce from the frame and relies on no prefix.
        if let Some(live) = self.live.iter_mut().find(|live| live.prefix == prefix) {
            if !live.window.accept(counter) {
                return ReplayVerdict::Replayed;
            }
            live.last_used = clock;
        //= spec/nonces.md#pp-nonce-11
        //# Eight prefixes are live under a key; the one unused for longest is retired for another, and a retired prefix is never accepted
        //# again.
        } else if self.retired.contains(&prefix) {
            return ReplayVerdict::Replayed;
        } else if !self.make_room() {
            return ReplayVerdict::Exhausted;
        } else {
            let mut window = ReplayWindow::default();
            window.accept(counter);
            self.live.push(Live { prefix, window, last_used: clock });
        }
        self.clock = clock;
        ReplayVerdict::Fresh
    }

    /// Prefixes seen under this key. The April reference draws one per exchange; many of them mean that somebody makes it draw.
    #[must_use]
    pub fn prefixes(&self) -> usize {
        self.live.len() + self.retired.len()
    }

    /// No frame was ever accepted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.clock == 0
    }

    /// Retires a prefix when all places are taken; `false` when that cannot be remembered.
    fn make_room(&mut self) -> bool {
        if self.live.len() < REPLAY_LIVE_PREFIXES {
            return true;
        }
        if self.retired.len() >= REPLAY_RETIRED_PREFIXES {
            return false;
        }
        // The clock never stands still between two accepted frames, so there is exactly one oldest.
        self.live.sort_unstable_by_key(|live| Reverse(live.last_used));
        self.retired.extend(self.live.pop().map(|oldest| oldest.prefix));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/nonces.md#pp-nonce-4
    //= type=test
    //# A counter of 0 is received like any other.
    //= spec/nonces.md#pp-nonce-6
    //= type=test
    //# A counter is refused when it was seen before under its key and prefix.
    //= spec/nonces.md#pp-nonce-7
    //= type=test
    //# A counter 256 or more behind the highest of its key and prefix is refused.
    //= spec/nonces.md#pp-nonce-8
    //= type=test
    //# A replay window remembers 256 counters.
    #[test]
    fn window_answers_as_the_vectors_require() {
        let scenarios: [(&[u64], &[bool]); 7] = [
            (&[1, 2, 2, 3, 1], &[true, true, false, true, false]),
            (&[10, 5, 7, 5, 9, 8, 10], &[true, true, true, false, true, true, false]),
            (&[300, 45, 44, 46, 45], &[true, true, false, true, false]),
            (&[5, 1000, 745, 744, 1000], &[true, true, true, false, false]),
            (&[0, 1, 0], &[true, true, false]),
            (&[0, 0, 0], &[true, false, false]),
            (&[1, 0, 0], &[true, true, false]),
        ];
        for (counters, accept) in scenarios {
            let mut window = ReplayWindow::default();
            let answers: Vec<bool> = counters.iter().map(|counter| window.accept(*counter)).collect();
            assert_eq!(answers, accept, "{counters:?}");
        }
    }

    proptest::proptest! {
        /// The plain rule, kept as a list of everything ever accepted.
        #[test]
        fn window_answers_as_a_perfect_memory_would(steps in proptest::collection::vec(-300i64..300, 1..400)) {
            let (mut window, mut seen, mut at) = (ReplayWindow::default(), BTreeSet::new(), 1000i64);
            for step in steps {
                // Mostly forward by little, so that what was just seen comes again inside the window.
                at = (at + if step % 3 == 0 { step } else { step % 4 }).max(0);
                let counter = at.cast_unsigned();
                let highest = seen.last().copied().unwrap_or(0);
                let fresh = !seen.contains(&counter) && (seen.is_empty() || counter + 256 > highest);
                proptest::prop_assert_eq!(window.is_fresh(counter), fresh, "{} of {}", counter, highest);
                proptest::prop_assert_eq!(window.accept(counter), fresh);
                if fresh {
                    seen.insert(counter);
                }
            }
        }
    }

    #[test]
    fn a_set_is_empty_until_its_first_frame() {
        let mut set = ReplaySet::new();
        assert!(set.is_empty());
        set.accept(NoncePrefix([0; 4]), 0);
        assert!(!set.is_empty());
    }

    #[test]
    fn window_reaches_the_last_counter() {
        let mut window = ReplayWindow::default();
        assert!(window.accept(u64::MAX) && !window.accept(u64::MAX) && window.accept(u64::MAX - 255));
        assert!(!window.accept(u64::MAX - 256));
    }

    //= spec/nonces.md#pp-nonce-11
    //= type=test
    //# Eight prefixes are live under a key; the one unused for longest is retired for another, and a retired prefix is never accepted
    //# again.
    #[test]
    fn a_retired_prefix_never_comes_back() {
        let mut set = ReplaySet::new();
        let prefix = |n: u32| NoncePrefix(n.to_be_bytes());
        for n in 0..9 {
            assert_eq!(set.accept(prefix(n), 1), ReplayVerdict::Fresh);
        }
        assert_eq!(set.accept(prefix(0), 2), ReplayVerdict::Replayed, "0 was used least recently");
        assert_eq!(set.accept(prefix(1), 2), ReplayVerdict::Fresh);
        assert_eq!(set.accept(prefix(1), 2), ReplayVerdict::Replayed);
    }

    //= spec/nonces.md#pp-nonce-12
    //= type=test
    //# When 1024 retired prefixes are remembered under a key, a new prefix is refused and the own key is replaced.
    #[test]
    fn prefixes_run_out_instead_of_being_forgotten() {
        let mut set = ReplaySet::new();
        let total = u32::try_from(REPLAY_LIVE_PREFIXES + REPLAY_RETIRED_PREFIXES).unwrap();
        for n in 0..total {
            assert_eq!(set.accept(NoncePrefix(n.to_be_bytes()), 1), ReplayVerdict::Fresh);
        }
        assert_eq!(set.accept(NoncePrefix(total.to_be_bytes()), 1), ReplayVerdict::Exhausted);
        assert_eq!(set.accept(NoncePrefix((total - 1).to_be_bytes()), 2), ReplayVerdict::Fresh, "live ones go on");
        assert_eq!(set.prefixes(), total as usize);
    }
}
