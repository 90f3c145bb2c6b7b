//! How much of a connection's data may be in the network, and how fast it may enter it.
//!
//! Decides the congestion window and the spacing of bursts. Refuses to know sequence numbers, segments and which of them are
//! lost: its owner counts bytes and says what happened to them. The owner holds it by value; it never looks back at the owner.

mod newreno;
mod pacer;
#[cfg(test)]
mod tests;

pub use newreno::NewReno;
pub use pacer::Pacer;

use core::fmt::Debug;

/// The smallest loss window and the unit of growth come from the segment size; the rest is fixed for a connection's life.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Payload bytes of a full segment.
    pub mss: u64,
    /// The window at most, bytes.
    pub maximum: u64,
    /// Growth in slow start per acknowledgement at most, in segments (RFC 3465's L); `None` counts every acknowledged byte.
    pub slow_start_limit: Option<u64>,
}

impl Settings {
    /// Toward a peer that is not known to be ours, with segments of `mss` bytes.
    #[must_use]
    pub const fn reference(mss: u64) -> Self {
        //= spec/congestion.md#pp-cc-2
        //# The congestion window toward a peer that is not known to be ours is at most 1 MiB.
        Self { mss, maximum: 1 << 20, slow_start_limit: Some(2) }
    }
}

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    /// Bytes newly acknowledged or selectively acknowledged.
    pub bytes: u64,
    /// The window, and not the application or the peer, was what held the sender back.
    pub window_limited: bool,
}

/// One congestion control algorithm.
pub trait Algorithm: Debug {
    /// The segment size or a limit changed.
    fn set(&mut self, settings: Settings);
    /// Bytes were delivered outside of a recovery.
    fn on_ack(&mut self, acked: Acked);
    /// The first loss of a window of data was found, with `in_flight` bytes outstanding before it.
    fn on_loss(&mut self, in_flight: u64);
    /// The retransmission timer ran out, for the `first` time in a row or again.
    fn on_timeout(&mut self, in_flight: u64, first: bool);
    /// Bytes that may be in flight.
    fn window(&self) -> u64;
    /// Slow start ends here; `u64::MAX` before the first loss.
    fn ssthresh(&self) -> u64;
}

/// The algorithms there are. A new one is a variant and a file.
#[derive(Debug)]
pub enum Controller {
    /// The draft's.
    NewReno(NewReno),
}

impl Controller {
    /// The draft's algorithm, at its initial window.
    #[must_use]
    pub const fn new_reno(settings: Settings) -> Self {
        Self::NewReno(NewReno::new(settings))
    }

    /// The window is below the threshold: it doubles every round trip.
    #[must_use]
    pub fn in_slow_start(&self) -> bool {
        self.window() < self.ssthresh()
    }
}

impl Algorithm for Controller {
    fn set(&mut self, settings: Settings) {
        match self {
            Self::NewReno(algorithm) => algorithm.set(settings),
        }
    }

    fn on_ack(&mut self, acked: Acked) {
        match self {
            Self::NewReno(algorithm) => algorithm.on_ack(acked),
        }
    }

    fn on_loss(&mut self, in_flight: u64) {
        match self {
            Self::NewReno(algorithm) => algorithm.on_loss(in_flight),
        }
    }

    fn on_timeout(&mut self, in_flight: u64, first: bool) {
        match self {
            Self::NewReno(algorithm) => algorithm.on_timeout(in_flight, first),
        }
    }

    fn window(&self) -> u64 {
        match self {
            Self::NewReno(algorithm) => algorithm.window(),
        }
    }

    fn ssthresh(&self) -> u64 {
        match self {
            Self::NewReno(algorithm) => algorithm.ssthresh(),
        }
    }
}
