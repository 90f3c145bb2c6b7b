//! The deadlines of one connection, one slot for each reason.

use super::StreamTimer;
use crate::time::Timestamp;

const ALL: [StreamTimer; 12] = [
    StreamTimer::Handshake,
    StreamTimer::Retransmission,
    StreamTimer::Reordering,
    StreamTimer::TailProbe,
    StreamTimer::WindowProbe,
    StreamTimer::DelayedAck,
    StreamTimer::Coalescing,
    StreamTimer::Pacing,
    StreamTimer::WindowUpdate,
    StreamTimer::Keepalive,
    StreamTimer::Idle,
    StreamTimer::Linger,
];

/// A deadline of [`Timestamp::FAR_FUTURE`] is none.
#[derive(Debug)]
pub(super) struct Timers([Timestamp; ALL.len()]);

impl Timers {
    pub(super) const fn new() -> Self {
        Self([Timestamp::FAR_FUTURE; ALL.len()])
    }

    pub(super) fn set(&mut self, timer: StreamTimer, at: Timestamp) {
        if let Some(slot) = self.0.get_mut(timer as usize) {
            *slot = at;
        }
    }

    /// Sets the timer unless it runs already.
    pub(super) fn start(&mut self, timer: StreamTimer, at: Timestamp) {
        if !self.is_set(timer) {
            self.set(timer, at);
        }
    }

    pub(super) fn clear(&mut self, timer: StreamTimer) {
        self.set(timer, Timestamp::FAR_FUTURE);
    }

    pub(super) fn clear_all(&mut self) {
        *self = Self::new();
    }

    /// When the timer is due, if it runs.
    pub(super) fn at(&self, timer: StreamTimer) -> Option<Timestamp> {
        self.0.get(timer as usize).copied().filter(|at| *at != Timestamp::FAR_FUTURE)
    }

    pub(super) fn is_set(&self, timer: StreamTimer) -> bool {
        self.at(timer).is_some()
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<(Timestamp, StreamTimer)> {
        let earliest = self.0.iter().zip(ALL).min_by_key(|(at, _)| **at);
        earliest.map(|(at, timer)| (*at, timer)).filter(|(at, _)| *at != Timestamp::FAR_FUTURE)
    }

    /// Takes a timer that is due, the earliest first.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<StreamTimer> {
        let (_, timer) = self.next().filter(|(at, _)| *at <= now)?;
        self.clear(timer);
        Some(timer)
    }
}
