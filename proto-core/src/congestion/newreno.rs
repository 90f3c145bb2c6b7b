//! NewReno as the draft has it (`spec/congestion.md`, RFC 5681), with the window counted in bytes.
//!
//! Recovery itself (which segment next, when it ends) is the owner's scoreboard; there is no window inflation, because the
//! owner counts what is really in flight.

use super::{Acked, Algorithm, Settings};

/// Initial window, segments.
const INITIAL_SEGMENTS: u64 = 10;
/// The window never falls below this after a loss found by acknowledgements, segments.
const MINIMUM_SEGMENTS: u64 = 2;

/// The state of one connection's NewReno.
#[derive(Debug)]
pub struct NewReno {
    settings: Settings,
    window: u64,
    ssthresh: u64,
    /// Bytes acknowledged in congestion avoidance and not yet turned into growth.
    credit: u64,
}

impl NewReno {
    /// At the initial window of 10 segments.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        //= spec/congestion.md#pp-cc-1
        //# The initial congestion window is 10 segments.
        Self { settings, window: INITIAL_SEGMENTS * settings.mss, ssthresh: u64::MAX, credit: 0 }
    }

    /// Half of what was in flight, at least two segments.
    fn halved(&self, in_flight: u64) -> u64 {
        //= spec/congestion.md#pp-cc-6
        //# A loss found by acknowledgements halves what was in flight to get threshold and window, at least two segments.
        (in_flight / 2).max(MINIMUM_SEGMENTS * self.settings.mss)
    }

    /// One segment per window of acknowledged bytes (RFC 3465 section 2.1).
    fn avoid(&mut self, bytes: u64) {
        self.credit += bytes;
        //= spec/congestion.md#pp-cc-4
        //# In congestion avoidance the window grows by one segment for each window of acknowledged bytes.
        if self.credit >= self.window {
            self.credit -= self.window;
            self.window += self.settings.mss;
        }
    }
}

impl Algorithm for NewReno {
    fn set(&mut self, settings: Settings) {
        // The initial window is counted in segments; a window that congestion shaped is kept in bytes.
        if self.window == INITIAL_SEGMENTS * self.settings.mss && self.ssthresh == u64::MAX {
            self.window = INITIAL_SEGMENTS * settings.mss;
        }
        self.window = self.window.max(settings.mss);
        self.settings = settings;
    }

    fn on_ack(&mut self, acked: Acked) {
        //= spec/congestion.md#pp-cc-9
        //# The window does not grow while the application, and not the window, holds the sender back.
        if !acked.window_limited {
            return;
        }
        if self.window < self.ssthresh {
            let limit = self.settings.slow_start_limit.map_or(u64::MAX, |segments| segments * self.settings.mss);
            //= spec/congestion.md#pp-cc-3
            //# In slow start the window grows by the bytes acknowledged, at most two segments for each ACK of a peer that is not known to be
            //# ours.
            self.window += acked.bytes.min(limit);
        } else {
            self.avoid(acked.bytes);
        }
        self.window = self.window.min(self.settings.maximum.max(self.settings.mss));
    }

    fn on_loss(&mut self, in_flight: u64) {
        self.ssthresh = self.halved(in_flight.min(self.window));
        self.window = self.ssthresh;
        self.credit = 0;
    }

    //= spec/congestion.md#pp-cc-7
    //# A retransmission timeout sets the threshold to half of what was in flight, at least two segments, and the window to one segment.
    //= spec/congestion.md#pp-cc-8
    //# Repeated timeouts of one segment halve the threshold once.
    fn on_timeout(&mut self, in_flight: u64, first: bool) {
        // RFC 5681 section 3.1: repeated timeouts of one segment halve the threshold once.
        if first {
            self.ssthresh = self.halved(in_flight.min(self.window));
        }
        self.window = self.settings.mss;
        self.credit = 0;
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn ssthresh(&self) -> u64 {
        self.ssthresh
    }
}
