//! Decides the stamps of this node's signed requests: near the registry's clock, always later than the one before.
//! Refuses to know what is signed.

use super::super::envelope::Stamp;
use crate::rng::Rng;
use crate::time::Timestamp;

/// What is known of the time of day.
#[derive(Debug, Default)]
pub(super) struct StampClock {
    /// Unix milliseconds at a time of the boot clock, as the host told last.
    told: Option<(Timestamp, u64)>,
    /// What to add to the host's clock, milliseconds: the registry's is the one that counts.
    correction: i64,
    last: u64,
}

impl StampClock {
    /// The host's time of day, Unix seconds.
    pub(super) fn tell(&mut self, now: Timestamp, seconds: u64) {
        self.told = Some((now, seconds.saturating_mul(1000)));
    }

    /// The registry found a stamp out of time and told its own time of day, Unix seconds.
    pub(super) fn correct(&mut self, now: Timestamp, seconds: u64) {
        if let Some(own) = self.own(now) {
            let theirs = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
            self.correction = theirs.saturating_sub(i64::try_from(own).unwrap_or(i64::MAX));
            // A clock that was ahead must not hold back all later stamps.
            self.last = 0;
        }
    }

    /// The next stamp, `None` while the time of day is unknown.
    pub(super) fn stamp(&mut self, now: Timestamp, rng: &mut Rng) -> Option<Stamp> {
        let millis = self.own(now)?.saturating_add_signed(self.correction);
        self.last = millis.max(self.last.saturating_add(1));
        Some(Stamp { millis: self.last, nonce: rng.next_u64() })
    }

    fn own(&self, now: Timestamp) -> Option<u64> {
        let (at, millis) = self.told?;
        let since = u64::try_from(now.saturating_since(at).as_millis()).unwrap_or(u64::MAX);
        Some(millis.saturating_add(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn stamps_follow_the_clock_and_never_repeat() {
        let (mut clock, mut rng) = (StampClock::default(), Rng::new([1; 32]));
        let start = Timestamp::from_micros(5_000_000);
        assert_eq!(clock.stamp(start, &mut rng), None);
        clock.tell(start, 1000);
        let mut next = |clock: &mut StampClock, at| clock.stamp(at, &mut rng).unwrap().millis;
        assert_eq!([next(&mut clock, start), next(&mut clock, start)], [1_000_000, 1_000_001]);
        assert_eq!(next(&mut clock, start + Duration::from_secs(2)), 1_002_000);
        clock.tell(start + Duration::from_secs(2), 1001);
        assert_eq!(next(&mut clock, start + Duration::from_secs(2)), 1_002_001, "the host's clock went back");
    }

    #[test]
    fn a_wrong_clock_is_corrected_both_ways() {
        for own in [0, 10, 5_000_000_000] {
            let (mut clock, mut rng) = (StampClock::default(), Rng::new([1; 32]));
            let start = Timestamp::from_micros(1);
            clock.tell(start, own);
            clock.stamp(start, &mut rng);
            clock.correct(start, 1_795_000_000);
            let later = start + Duration::from_secs(3);
            clock.tell(later, own + 3);
            assert_eq!(clock.stamp(later, &mut rng).unwrap().millis, 1_795_000_003_000);
        }
    }
}
