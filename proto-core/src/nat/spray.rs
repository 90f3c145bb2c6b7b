//! The search for a way through one symmetric NAT: its side opens many mappings toward the peer, whose side tries its ports.
//!
//! Decides when which socket is opened, asked about and written from ([`Lead`], on the symmetric side) and which port is tried when
//! ([`Follow`], on the other). Refuses to know who the peer is, what the datagrams look like, and whether one was answered: whoever
//! owns it says that a way was found.
//!
//! What it costs is bounded: [`SPRAY_SOCKETS`] sockets, one datagram each [`SPRAY_INTERVAL`], [`SPRAY_TIME`] in all.

use super::predict::{Prediction, Sighting};
use crate::ids::SocketId;
use crate::limits::{PREDICTION_SOCKETS, PREDICTION_TIME, SPRAY_INTERVAL, SPRAY_SOCKETS, SPRAY_TIME};
use crate::rng::Rng;
use crate::time::Timestamp;
use core::time::Duration;
use std::collections::VecDeque;

/// The beacons' answers are waited for this long after the last question.
const ANSWERS_WITHIN: Duration = Duration::from_millis(700);
/// The host opens sockets at once or not at all.
const OPENED_WITHIN: Duration = Duration::from_secs(1);

/// What the symmetric side wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadAction {
    /// Ask the host for this many more sockets; tell [`Lead::opened`].
    Open(u16),
    /// Ask a beacon address, by its number (0 or 1), what it sees of this socket; tell [`Lead::observed`].
    Observe(SocketId, usize),
    /// Write one datagram to the peer from this socket, so that its NAT has a mapping.
    Touch(SocketId),
    /// Tell the peer these ports.
    Predict(Prediction),
    /// Ask the peer to try random ports, of this range if one is known.
    Spray(Option<(u16, u16)>),
    /// Nothing was found.
    Failed,
}

/// A socket and what was seen of it.
#[derive(Clone, Copy, Debug)]
struct Fresh {
    socket: SocketId,
    seen: [Option<u16>; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening { until: Timestamp },
    Observing { until: Timestamp },
    Predicted { until: Timestamp },
    Spraying { until: Timestamp },
    Over,
}

/// The symmetric side of a search.
#[derive(Debug)]
pub struct Lead {
    phase: Phase,
    predicts: bool,
    sprays: bool,
    fresh: Vec<Fresh>,
    range: Option<(u16, u16)>,
    /// Datagrams that leave one by one.
    paced: VecDeque<LeadAction>,
    next: Timestamp,
    actions: VecDeque<LeadAction>,
}

impl Lead {
    /// Begins. `predicts`, `sprays`: what may be done.
    #[must_use]
    pub fn new(now: Timestamp, predicts: bool, sprays: bool) -> Self {
        Self {
            phase: Phase::Opening { until: now + OPENED_WITHIN },
            predicts,
            sprays,
            fresh: Vec::new(),
            range: None,
            paced: VecDeque::new(),
            next: now,
            actions: VecDeque::from([LeadAction::Open(PREDICTION_SOCKETS)]),
        }
    }

    /// The host opened these.
    pub fn opened(&mut self, now: Timestamp, sockets: &[SocketId]) {
        match self.phase {
            Phase::Opening { .. } => {
                self.fresh = sockets.iter().map(|&socket| Fresh { socket, seen: [None; 2] }).collect();
                for &socket in sockets {
                    // In this order: the mapping toward the peer is to lie between two that are seen.
                    self.paced.push_back(LeadAction::Observe(socket, 0));
                    self.paced.push_back(LeadAction::Touch(socket));
                    self.paced.push_back(LeadAction::Observe(socket, 1));
                }
                let spent = SPRAY_INTERVAL.saturating_mul(u32::try_from(self.paced.len()).unwrap_or(u32::MAX));
                self.next = now;
                self.phase = Phase::Observing { until: now + spent + ANSWERS_WITHIN };
            }
            Phase::Spraying { .. } => self.paced.extend(sockets.iter().map(|&socket| LeadAction::Touch(socket))),
            Phase::Observing { .. } | Phase::Predicted { .. } | Phase::Over => {}
        }
        self.handle_timeout(now);
    }

    /// Beacon address number `beacon` saw `port` of `socket`.
    pub fn observed(&mut self, now: Timestamp, socket: SocketId, beacon: usize, port: u16) {
        let fresh = self.fresh.iter_mut().find(|fresh| fresh.socket == socket);
        if let Some(slot) = fresh.and_then(|fresh| fresh.seen.get_mut(beacon)) {
            *slot = Some(port);
        }
        let complete = self.fresh.iter().all(|fresh| fresh.seen.iter().all(Option::is_some));
        if matches!(self.phase, Phase::Observing { .. }) && complete {
            self.judge(now);
        }
    }

    /// The peer will not help.
    pub fn refused(&mut self) {
        self.end();
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<LeadAction> {
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let paced = (!self.paced.is_empty()).then_some(self.next);
        [paced, self.phase_end()].into_iter().flatten().min()
    }

    /// Lets the next datagram leave, and begins what follows a phase that is over.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.next <= now
            && let Some(action) = self.paced.pop_front()
        {
            self.actions.push_back(action);
            self.next = now + SPRAY_INTERVAL;
        }
        if self.phase_end().is_none_or(|until| until > now) {
            return;
        }
        match self.phase {
            Phase::Observing { .. } => self.judge(now),
            Phase::Predicted { .. } => self.spray(now),
            Phase::Opening { .. } | Phase::Spraying { .. } | Phase::Over => self.end(),
        }
    }

    const fn phase_end(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Opening { until }
            | Phase::Observing { until }
            | Phase::Predicted { until }
            | Phase::Spraying { until } => Some(until),
            Phase::Over => None,
        }
    }

    fn judge(&mut self, now: Timestamp) {
        let seen = |fresh: &Fresh| match fresh.seen {
            [Some(before), after] => Some(Sighting { before, after }),
            [None, _] => None,
        };
        let prediction = Prediction::from_sightings(&self.fresh.iter().filter_map(seen).collect::<Vec<_>>());
        self.range = prediction.range;
        if self.predicts && prediction.is_useful() {
            self.actions.push_back(LeadAction::Predict(prediction));
            self.phase = Phase::Predicted { until: now + PREDICTION_TIME };
        } else {
            self.spray(now);
        }
    }

    fn spray(&mut self, now: Timestamp) {
        if !self.sprays {
            return self.end();
        }
        self.phase = Phase::Spraying { until: now + SPRAY_TIME };
        self.actions.push_back(LeadAction::Spray(self.range));
        self.actions.push_back(LeadAction::Open(SPRAY_SOCKETS - PREDICTION_SOCKETS));
    }

    fn end(&mut self) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            self.paced.clear();
            self.actions.push_back(LeadAction::Failed);
        }
    }
}

/// The other side of a search: which port is tried when.
#[derive(Debug)]
pub struct Follow {
    /// Tried one after the other, before any of the range.
    ports: VecDeque<u16>,
    first: u16,
    /// Ports of the range, tried each once in an order that does not matter: the NAT's choice is random.
    count: u16,
    step: u16,
    at: u16,
    left: u16,
    next: Timestamp,
    until: Timestamp,
}

impl Follow {
    /// Tries what a peer predicted: each port twice, and then its block if it has one.
    #[must_use]
    pub fn predicted(now: Timestamp, ports: &[u16], block: Option<(u16, u16)>, rng: &mut Rng) -> Self {
        let mut follow = Self::over(now, block, PREDICTION_TIME, rng);
        follow.ports = ports.iter().chain(ports).copied().collect();
        follow
    }

    /// Tries random ports, of this range if one is known.
    #[must_use]
    pub fn sprayed(now: Timestamp, range: Option<(u16, u16)>, rng: &mut Rng) -> Self {
        Self::over(now, Some(range.unwrap_or((1024, u16::MAX))), SPRAY_TIME, rng)
    }

    fn over(now: Timestamp, range: Option<(u16, u16)>, time: Duration, rng: &mut Rng) -> Self {
        let (first, count) = range.map_or((0, 0), |(first, last)| (first, (last - first).saturating_add(1)));
        let mut below = |bound: u16| u16::try_from(rng.below(u64::from(bound.max(1)))).unwrap_or_default();
        let at = below(count);
        // A step without a common divisor visits every port once.
        let step = (0..64).map(|_| below(count)).find(|step| gcd(*step, count) == 1).unwrap_or(1);
        Self { ports: VecDeque::new(), first, count, step, at, left: count, next: now, until: now + time }
    }

    /// When [`Self::poll_port`] has something to do; `None` when the search is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        Some(if self.ports.is_empty() && self.left == 0 { self.until } else { self.next.min(self.until) })
    }

    /// Whether the time is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now
    }

    /// The next port, when one is due.
    pub fn poll_port(&mut self, now: Timestamp) -> Option<u16> {
        if self.next > now || self.is_over(now) {
            return None;
        }
        let port = self.ports.pop_front().or_else(|| self.next_of_range())?;
        self.next = now + SPRAY_INTERVAL;
        Some(port)
    }

    fn next_of_range(&mut self) -> Option<u16> {
        self.left = self.left.checked_sub(1)?;
        let port = self.first.saturating_add(self.at);
        self.at = u16::try_from((u32::from(self.at) + u32::from(self.step)) % u32::from(self.count.max(1)))
            .unwrap_or_default();
        Some(port)
    }
}

const fn gcd(mut a: u16, mut b: u16) -> u16 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
