//! Probes on their way, and the watch over a direct way that should have answered.
//!
//! Decides which nonce belongs to which way and when silence has lasted too long. Refuses to choose what happens then.

use super::route::Route;
use crate::limits::MAX_PROBES;
use crate::time::Timestamp;
use core::time::Duration;
use std::collections::VecDeque;

/// An answer later than this is worthless: its way was judged long ago.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Probes whose answer is awaited.
#[derive(Debug, Default)]
pub(super) struct Probes(VecDeque<(u64, Route, Timestamp)>);

impl Probes {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn note(&mut self, now: Timestamp, nonce: u64, route: Route) {
        if self.0.len() >= MAX_PROBES {
            self.0.pop_front();
        }
        self.0.push_back((nonce, route, now));
    }

    /// The way that `nonce` was sent on, and the round-trip time. Each nonce counts once.
    pub(super) fn answered(&mut self, now: Timestamp, nonce: u64) -> Option<(Route, Duration)> {
        self.0.retain(|&(_, _, at)| now.saturating_since(at) <= ANSWER_WITHIN);
        let index = self.0.iter().position(|&(known, _, _)| known == nonce)?;
        self.0.remove(index).map(|(_, route, at)| (route, now.saturating_since(at)))
    }
}

/// After the first send that nothing showed to have arrived: ask, ask again, ask everybody, leave. Falling back must be done within 3 s.
/// Four questions, because a path that loses a third of what it carries is still a path.
//= spec/nat.md#pp-nat-14
//# A direct path on which for 2.8 seconds nothing shows that what we send arrives is left, whatever comes from there.
const PATIENCE: [(Duration, Alarm); 5] = [
    (Duration::from_millis(1000), Alarm::Ask),
    (Duration::from_millis(1450), Alarm::Ask),
    (Duration::from_millis(1900), Alarm::AskAll),
    (Duration::from_millis(2300), Alarm::AskAll),
    (Duration::from_millis(2800), Alarm::Dead),
];

/// What long silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Probe the way in use.
    Ask,
    /// Probe every direct way.
    AskAll,
    /// It is dead.
    Dead,
}

/// Runs from the first send on the way in use until something shows that it arrived: an answered probe, or an acknowledgement.
#[derive(Debug)]
pub(super) struct Watch {
    since: Timestamp,
    done: usize,
}

impl Watch {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { since: now, done: 0 }
    }

    pub(super) const fn since(&self) -> Timestamp {
        self.since
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        PATIENCE.get(self.done).map(|&(after, _)| self.since + after)
    }

    /// The first probe was not answered.
    pub(super) const fn asked_in_vain(&self) -> bool {
        self.done > 1
    }

    /// The latest alarm that is due, once.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Alarm> {
        let at = self.next().filter(|at| *at <= now)?;
        // One alarm at a time: a host that slept must not find a way dead which it never asked.
        self.since = self.since + now.saturating_since(at);
        let alarm = PATIENCE.get(self.done).map(|&(_, alarm)| alarm);
        self.done += 1;
        alarm
    }
}
