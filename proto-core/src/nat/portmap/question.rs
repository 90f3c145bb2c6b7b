//! One question to the router until it is answered: when it is sent again, and how often.

use crate::rng::Rng;
use crate::time::Timestamp;
use core::time::Duration;

/// How the router is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
}

impl Protocol {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
        }
    }

    //= spec/port-mapping.md#pp-pmap-3
    //# A question without an answer is sent again after twice the wait before: PCP begins with 3 seconds, NAT-PMP with a quarter second
    //# and nine times at most.
    /// First wait for an answer: RFC 6887 section 8.1.1, RFC 6886 section 3.1. Each further one is twice as long.
    const fn first_wait(self) -> Duration {
        match self {
            Self::Pcp => Duration::from_secs(3),
            Self::NatPmp => Duration::from_millis(250),
        }
    }

    /// Sends of one question. To a router that never answered, NAT-PMP's nine are the RFC's, and PCP, which has no end, gives way to it
    /// after 9 s. One that did answer is missed after 16 s and 45 s.
    const fn sends(self, answered: bool) -> u32 {
        match (self, answered) {
            (Self::Pcp, false) => 2,
            (Self::Pcp, true) => 4,
            (Self::NatPmp, false) => 9,
            (Self::NatPmp, true) => 6,
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Whether the router is there and since when: ANNOUNCE, or its external address.
    Check,
    /// The mapping.
    Map,
}

impl Ask {
    /// The same in both protocols.
    pub(super) const fn opcode(self) -> u8 {
        match self {
            Self::Check => 0,
            Self::Map => 1,
        }
    }
}

/// A question that is not answered yet.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) ask: Ask,
    protocol: Protocol,
    sent: u32,
    wait: Duration,
    pub(super) next: Timestamp,
}

impl Question {
    /// It is being sent for the first time.
    pub(super) fn new(now: Timestamp, protocol: Protocol, ask: Ask, rng: &mut Rng) -> Self {
        let wait = jitter(protocol, protocol.first_wait(), rng);
        Self { ask, protocol, sent: 1, wait, next: now + wait }
    }

    pub(super) fn may_repeat(&self, answered: bool) -> bool {
        self.sent < self.protocol.sends(answered)
    }

    /// It is being sent again.
    pub(super) fn repeat(&mut self, now: Timestamp, rng: &mut Rng) {
        self.sent += 1;
        self.wait = jitter(self.protocol, self.wait * 2, rng);
        self.next = now + self.wait;
    }
}

/// PCP's waits differ by up to a tenth (RFC 6887 section 8.1.1).
fn jitter(protocol: Protocol, wait: Duration, rng: &mut Rng) -> Duration {
    match protocol {
        Protocol::NatPmp => wait,
        Protocol::Pcp => wait * 9 / 10 + part(wait / 5, rng),
    }
}

/// Evenly between nothing and `whole`.
pub(super) fn part(whole: Duration, rng: &mut Rng) -> Duration {
    let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX - 1);
    Duration::from_micros(rng.below(micros + 1))
}
