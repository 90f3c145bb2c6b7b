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

/// Silence after the first unanswered send: ask, ask everybody, leave. Falling back must be done within 3 s (`design/nat.md`).
//= spec/nat.md#pp-nat-14
//# A direct path from which nothing comes for 2.8 seconds while we send is left.
const PATIENCE: [Duration; 3] = [Duration::from_millis(1000), Duration::from_millis(1900), Duration::from_millis(2800)];

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

/// Runs from the first send on the way in use until something comes back.
#[derive(Debug)]
pub(super) struct Watch {
    since: Timestamp,
    done: usize,
}

impl Watch {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { since: now, done: 0 }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        PATIENCE.get(self.done).map(|&after| self.since + after)
    }

    /// The first alarm was given.
    pub(super) const fn has_asked(&self) -> bool {
        self.done > 0
    }

    /// The latest alarm that is due, once.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Alarm> {
        let before = self.done;
        // One alarm at a time: a host that slept must not find a way dead which it never asked.
        if self.next().is_some_and(|at| at <= now) {
            self.done += 1;
            let late = now.saturating_since(self.since + PATIENCE.get(before).copied().unwrap_or_default());
            self.since = self.since + late;
        }
        match (self.done == before, before) {
            (true, _) => None,
            (false, 0) => Some(Alarm::Ask),
            (false, 1) => Some(Alarm::AskAll),
            (false, _) => Some(Alarm::Dead),
        }
    }
}
