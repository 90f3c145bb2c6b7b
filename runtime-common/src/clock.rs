//! Decides which of the system's clocks the core sees: the one that counts suspend, and the wall clock for records.
//! Refuses to know any deadline.

use core::time::Duration;
use proto_core::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// A span between the clock with suspend and the one without, from which on the host is taken to have slept.
const SUSPEND_THRESHOLD: Duration = Duration::from_secs(2);

/// Monotonic time since boot, suspend included: keys and NAT bindings age while a laptop sleeps.
#[derive(Debug)]
pub struct BootClock {
    slept: Duration,
}

impl BootClock {
    /// The clock, with the time slept so far taken as known.
    #[must_use]
    pub fn new() -> Self {
        Self { slept: slept() }
    }

    /// Time since boot in microseconds.
    #[must_use]
    pub fn now() -> Timestamp {
        Timestamp::from_micros(u64::try_from(read(BOOT).as_micros()).unwrap_or(u64::MAX))
    }

    /// Whether the host slept since the last call; told once per sleep.
    pub fn woke_from_suspend(&mut self) -> bool {
        self.note_slept(slept())
    }

    fn note_slept(&mut self, slept: Duration) -> bool {
        let woke = slept.saturating_sub(self.slept) >= SUSPEND_THRESHOLD;
        // Both clocks are read apart from each other: small differences are not sleep and must not add up.
        if woke || slept < self.slept {
            self.slept = slept;
        }
        woke
    }
}

impl Default for BootClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Seconds since 1970-01-01 UTC, `0` when the system's clock is before that.
#[must_use]
pub fn wall_clock_seconds() -> u64 {
    u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or(0)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT: ClockId = ClockId::Monotonic;

fn read(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    Duration::new(u64::try_from(tv_sec).unwrap_or(0), u32::try_from(tv_nsec).unwrap_or(0))
}

fn slept() -> Duration {
    read(BOOT).saturating_sub(read(ClockId::Monotonic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_advances_and_the_year_is_plausible() {
        let first = BootClock::now();
        assert!(BootClock::now() >= first);
        assert!(first > Timestamp::ZERO);
        assert!(wall_clock_seconds() > 1_700_000_000);
    }

    #[test]
    fn a_sleep_is_told_once_and_jitter_is_not_a_sleep() {
        let mut clock = BootClock { slept: Duration::from_secs(100) };
        assert!(!clock.note_slept(Duration::from_millis(100_900)));
        assert!(clock.note_slept(Duration::from_secs(103)));
        assert!(!clock.note_slept(Duration::from_secs(103)));
        assert!(!clock.note_slept(Duration::from_secs(90)));
    }
}
