//! Whether a beacon's punch command (0x04) is obeyed (PP-NAT-7, PP-NAT-8).
//!
//! Decides by source, rate and kind of target. Refuses to know which peer it is for: obeying means three small frames to the target.

use crate::limits::PUNCH_COMMAND_RATE;
use crate::time::Timestamp;
use crate::wire::candidate::{Reach, Reflexive};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

/// PILP frames that one accepted command sends to its target.
pub const PUNCH_COPIES: usize = 3;

/// The rule for punch commands, with its memory of the last second.
#[derive(Debug, Default)]
pub struct PunchPolicy {
    allow_private: bool,
    accepted: VecDeque<Timestamp>,
}

impl PunchPolicy {
    /// `allow_private`: targets that are not globally routable are obeyed too (closed networks and tests).
    #[must_use]
    pub fn new(allow_private: bool) -> Self {
        Self { allow_private, accepted: VecDeque::new() }
    }

    /// Judges one command. `own` is how the beacon sees us: where it sees a private address, it serves a private network, and
    /// targets of that same reach are plausible. Accepting uses up one of [`PUNCH_COMMAND_RATE`] a second.
    pub fn accept(&mut self, now: Timestamp, target: SocketAddr, from_beacon: bool, own: Option<Reflexive>) -> bool {
        if !from_beacon || !self.plausible(target, own) {
            return false;
        }
        while self.accepted.front().is_some_and(|&at| now.saturating_since(at) >= Duration::from_secs(1)) {
            self.accepted.pop_front();
        }
        //= spec/nat.md#pp-nat-7
        //# A punch command is obeyed only from a configured beacon, at most five times a second.
        let within_rate = self.accepted.len() < PUNCH_COMMAND_RATE;
        if within_rate {
            self.accepted.push_back(now);
        }
        within_rate
    }

    fn plausible(&self, target: SocketAddr, own: Option<Reflexive>) -> bool {
        match Reach::of(target) {
            Reach::Nowhere => false,
            Reach::Global => true,
            reach @ (Reach::Host | Reach::Link | Reach::Site) => {
                //= spec/nat.md#pp-nat-8
                //# A punch command toward an address that is not globally routable is refused, unless the own observed address has the same reach or
                //# the host allows it.
                self.allow_private || own.is_some_and(|own| Reach::of(own.0) == reach)
            }
        }
    }
}
