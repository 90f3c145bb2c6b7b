//! Spacing of bursts: a token bucket in bytes, refilled a little faster than one window per round trip.
//!
//! Bursts stay large on purpose: segments that leave together share one system call and one checksum offload.

use crate::time::Timestamp;
use core::time::Duration;

/// A burst may always be this large, bytes.
const MINIMUM_BURST: u64 = 64 * 1024;
/// A burst may last this long at the current rate.
const BURST_TIME: Duration = Duration::from_millis(2);
/// Below this round-trip time timers are too coarse to pace.
const MINIMUM_RTT: Duration = Duration::from_millis(1);
const MICROS_PER_SECOND: u64 = 1_000_000;

/// The token bucket of one connection.
#[derive(Debug, Default)]
pub struct Pacer {
    /// Bytes a second; zero while not pacing.
    rate: u64,
    tokens: u64,
    refilled: Timestamp,
    /// Nothing may leave before this time, however often somebody asks: bursts stay whole.
    resume: Timestamp,
}

impl Pacer {
    /// Sets the rate from the window and the round-trip time: 2 windows per round trip in slow start, 1.25 after it.
    pub fn set(&mut self, now: Timestamp, window: u64, rtt: Option<Duration>, slow_start: bool) {
        let Some(rtt) = rtt.filter(|rtt| *rtt >= MINIMUM_RTT) else {
            self.rate = 0;
            return;
        };
        let starting = self.rate == 0;
        self.refill(now);
        //= spec/congestion.md#pp-cc-10
        //# Segments are spaced over the round-trip time, two windows a round trip in slow start and 1.25 after it.
        let per_window = if slow_start { 2 * window } else { window + window / 4 };
        let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
        let before = core::mem::replace(&mut self.rate, (per_window.saturating_mul(MICROS_PER_SECOND) / micros).max(1));
        if self.rate > before {
            // A wait that was measured at a lower rate is too long by now.
            self.resume = self.resume.min(now + self.time_for(self.burst() / 2));
        }
        if starting {
            self.refilled = now;
            self.tokens = self.burst();
        }
    }

    /// Sending may go on now, or not before the time given.
    ///
    /// # Errors
    /// The time to wait for.
    pub fn allow(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if self.rate == 0 {
            return Ok(());
        }
        if now < self.resume {
            return Err(self.resume);
        }
        self.refill(now);
        if self.tokens > 0 {
            return Ok(());
        }
        // Wait for half a burst, so that what leaves then is a batch again.
        self.resume = now + self.time_for(self.burst() / 2);
        Err(self.resume)
    }

    /// `bytes` left. The last segment of a burst may overdraw it; the remainder is forgiven.
    pub const fn sent(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_sub(bytes);
    }

    fn refill(&mut self, now: Timestamp) {
        let micros = u64::try_from(now.saturating_since(self.refilled).as_micros()).unwrap_or(u64::MAX);
        let gained = self.rate.saturating_mul(micros) / MICROS_PER_SECOND;
        if gained > 0 {
            self.tokens = self.tokens.saturating_add(gained).min(self.burst());
            self.refilled = now;
        }
    }

    fn burst(&self) -> u64 {
        let timed = self.rate.saturating_mul(u64::try_from(BURST_TIME.as_micros()).unwrap_or(0)) / MICROS_PER_SECOND;
        timed.max(MINIMUM_BURST)
    }

    fn time_for(&self, bytes: u64) -> Duration {
        let micros = bytes.saturating_mul(MICROS_PER_SECOND).checked_div(self.rate).unwrap_or(0);
        Duration::from_micros(micros.max(1))
    }
}
