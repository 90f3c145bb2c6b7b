//! One deadline per machine, kept sorted, so that the next one costs nothing to find.

use crate::ids::{NodeId, StreamId};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Which machine a deadline belongs to: the reason of [`super::Endpoint::poll_timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKind {
    /// A stream: retransmission, delayed acknowledgement, pacing, keepalive and the like.
    Stream(StreamId),
    /// A dial's last moment, that of a trust message on its way, or of a reset that cannot leave.
    Dial(StreamId),
    /// A peer's key exchange.
    Tunnel(NodeId),
    /// A peer's paths.
    Path(NodeId),
    /// A peer's pings, look-ups and its own end.
    Peer(NodeId),
    /// The registry session.
    Registry,
    /// Endpoint discovery at the beacon.
    Discovery,
    /// Asking the router for a port.
    PortMapping,
    /// Trust requests.
    Trust,
    /// The search for a way through a symmetric NAT.
    Search,
    /// The measurement of how long the NAT keeps a mapping.
    Lifetime,
}

/// The deadlines of all machines of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Timestamp, TimerKind)>,
    current: BTreeMap<TimerKind, Timestamp>,
}

impl Timers {
    /// Sets, moves or (with `None`) removes the deadline of `kind`.
    pub(super) fn set(&mut self, kind: TimerKind, at: Option<Timestamp>) {
        if self.current.get(&kind).copied() == at {
            return;
        }
        let old = match at {
            Some(new) => self.current.insert(kind, new),
            None => self.current.remove(&kind),
        };
        if let Some(old) = old {
            self.queue.remove(&(old, kind));
        }
        if let Some(new) = at {
            self.queue.insert((new, kind));
        }
    }

    /// Sets the deadline of `kind` unless it has one.
    pub(super) fn start(&mut self, kind: TimerKind, at: Timestamp) {
        if !self.current.contains_key(&kind) {
            self.set(kind, Some(at));
        }
    }

    /// Deadlines there are.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<(Timestamp, TimerKind)> {
        self.queue.first().copied()
    }

    /// Removes and returns one deadline that is due.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<TimerKind> {
        let (at, kind) = self.next()?;
        if at > now {
            return None;
        }
        self.set(kind, None);
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_move_and_are_consumed_in_order() {
        let at = Timestamp::from_micros;
        let mut timers = Timers::default();
        timers.set(TimerKind::Registry, Some(at(30)));
        timers.set(TimerKind::Trust, Some(at(20)));
        timers.set(TimerKind::Registry, Some(at(10)));
        assert_eq!(timers.next(), Some((at(10), TimerKind::Registry)));
        assert_eq!(timers.pop_due(at(15)), Some(TimerKind::Registry));
        assert_eq!(timers.pop_due(at(15)), None);
        timers.set(TimerKind::Trust, None);
        assert_eq!(timers.next(), None);
    }
}
