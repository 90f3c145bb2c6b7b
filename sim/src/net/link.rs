//! What the wire does to datagrams: delay, loss, order, rate.
//!
//! Decides when each copy of a datagram arrives, from its seed alone. Refuses to know who sends.

use proto_core::Timestamp;
use proto_core::rng::Rng;
use std::net::SocketAddr;
use std::time::Duration;

/// Bursts of loss (Gilbert 1960, Elliott 1963): a good and a bad state, each left with some probability per datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bursts {
    /// From good to bad, per mille.
    pub begin: u64,
    /// From bad to good, per mille.
    pub end: u64,
    /// Lost in the bad state, percent.
    pub loss: u64,
}

/// A link that is there for a while and then is not, by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// One turn.
    pub period: Duration,
    /// The part of it, from its beginning, in which datagrams pass.
    pub up: Duration,
}

/// What the network does to each datagram in one direction. Probabilities in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// From one end to the other.
    pub delay: Duration,
    /// Added at random, at most this.
    pub jitter: Duration,
    /// How much of the last datagram's jitter the next one has.
    pub jitter_correlation: u64,
    /// Datagrams lost, each on its own.
    pub loss: u64,
    /// Datagrams lost together.
    pub bursts: Option<Bursts>,
    /// Datagrams held back by half the delay.
    pub reorder: u64,
    /// Datagrams that arrive twice.
    pub duplicate: u64,
    /// Bytes of IP packets a second; `None` is no limit.
    pub rate: Option<u64>,
    /// Bytes that may wait for their turn; what would be more is dropped.
    pub queue: u64,
    /// The largest IP packet, in bytes; larger ones vanish without a word.
    pub mtu: Option<usize>,
    /// Times without connection.
    pub flapping: Option<Flapping>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
            jitter_correlation: 0,
            loss: 0,
            bursts: None,
            reorder: 0,
            duplicate: 0,
            rate: None,
            queue: 256 * 1024,
            mtu: None,
            flapping: None,
        }
    }
}

/// What a link remembers from datagram to datagram.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkState {
    bad: bool,
    jitter: Duration,
    /// When the last byte in the queue has left.
    free: Timestamp,
    /// Nothing arrives before this.
    pub(super) clogged: Timestamp,
}

/// Bytes of headers below UDP's payload.
fn headers(to: SocketAddr) -> usize {
    if to.is_ipv6() { 48 } else { 28 }
}

impl Link {
    /// Nothing passes.
    #[must_use]
    pub fn down() -> Self {
        Self { loss: 100, ..Self::default() }
    }

    /// When the copies of a datagram of `len` bytes of payload arrive; nothing when it is lost.
    pub(super) fn arrivals(
        &self,
        state: &mut LinkState,
        rng: &mut Rng,
        now: Timestamp,
        (to, len): (SocketAddr, usize),
    ) -> Vec<Timestamp> {
        let size = len + headers(to);
        let lost = rng.below(100) < self.loss || self.burst_loses(state, rng);
        if lost || self.mtu.is_some_and(|most| size > most) || self.is_away(now) {
            return Vec::new();
        }
        let Some(departure) = self.queue(state, now, size) else { return Vec::new() };
        let copies = if rng.below(100) < self.duplicate { 2 } else { 1 };
        (0..copies)
            .map(|_| {
                let mut at = departure + self.delay + self.draw_jitter(state, rng);
                if rng.below(100) < self.reorder {
                    at = at + self.delay / 2;
                }
                at.max(state.clogged + self.delay)
            })
            .collect()
    }

    fn burst_loses(&self, state: &mut LinkState, rng: &mut Rng) -> bool {
        let Some(bursts) = self.bursts else { return false };
        let leaves = rng.below(1000) < if state.bad { bursts.end } else { bursts.begin };
        state.bad ^= leaves;
        state.bad && rng.below(100) < bursts.loss
    }

    fn is_away(&self, now: Timestamp) -> bool {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
        self.flapping.is_some_and(|flapping| now.as_micros() % micros(flapping.period) >= micros(flapping.up))
    }

    /// When the last byte has left; `None` when the queue is full.
    fn queue(&self, state: &mut LinkState, now: Timestamp, size: usize) -> Option<Timestamp> {
        let Some(rate) = self.rate.map(|rate| rate.max(1)) else { return Some(now) };
        let span = |bytes: u64| Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        let size = u64::try_from(size).ok()?;
        let waiting = state.free.saturating_since(now);
        if size > self.queue || waiting > span(self.queue - size) {
            return None;
        }
        state.free = state.free.max(now) + span(size);
        Some(state.free)
    }

    fn draw_jitter(&self, state: &mut LinkState, rng: &mut Rng) -> Duration {
        let most = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX - 1);
        let fresh = Duration::from_micros(rng.below(most + 1));
        let kept = u32::try_from(self.jitter_correlation.min(100)).unwrap_or(100);
        state.jitter = (state.jitter * kept + fresh * (100 - kept)) / 100;
        state.jitter
    }
}
