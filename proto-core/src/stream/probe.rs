//! Probing a closed window: one byte, ever more rarely (PP-FLOW-9, RFC 9293 section 3.8.6.1).

use crate::time::Timestamp;
use core::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
/// A window that is almost closed is looked at this often at first, and later no more rarely than a closed one is probed.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(30);
/// Probes without any answer, and the time without any, that end the connection.
const MAX_UNANSWERED: u32 = 10;
const MAX_SILENCE: Duration = Duration::from_secs(120);

/// The persist state of one connection.
#[derive(Debug, Default)]
pub(super) struct WindowProbe {
    sent: u32,
    looked: u32,
    unanswered: u32,
    silent_since: Option<Timestamp>,
}

impl WindowProbe {
    /// How long to wait before the next probe.
    pub(super) fn interval(&self, rto: Duration) -> Duration {
        //= spec/flow.md#pp-flow-9
        //# Window probes begin after 500 milliseconds or the retransmission timeout, whichever is longer, and double up to 30 seconds.
        rto.max(FIRST).saturating_mul(1_u32 << self.sent.min(8)).min(LONGEST)
    }

    /// How long to wait before the next segment into a window that is almost closed.
    pub(super) fn look_interval(&self, srtt: Duration) -> Duration {
        srtt.max(FIRST_LOOK).saturating_mul(1_u32 << self.looked.min(8)).min(FIRST)
    }

    /// Such a segment leaves; the retransmission timer watches over it.
    pub(super) const fn look(&mut self) {
        self.looked = self.looked.saturating_add(1);
    }

    /// A probe leaves; `false` when the peer was silent for too long.
    pub(super) fn probe(&mut self, now: Timestamp) -> bool {
        let since = *self.silent_since.get_or_insert(now);
        //= spec/flow.md#pp-flow-10
        //# Ten probes without an answer, or 120 seconds, end the connection.
        if self.unanswered >= MAX_UNANSWERED || now.saturating_since(since) >= MAX_SILENCE {
            return false;
        }
        self.sent += 1;
        self.unanswered += 1;
        true
    }

    /// When the first probe left that nothing answered since.
    pub(super) const fn asked_at(&self) -> Option<Timestamp> {
        self.silent_since
    }

    /// The peer said something.
    pub(super) const fn answered(&mut self) {
        self.unanswered = 0;
        self.silent_since = None;
    }

    /// The window is open.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}
