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
    /// Internet Gateway Device, which the host speaks: it is SOAP over HTTP.
    Upnp,
}

impl Protocol {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
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
            Self::Upnp => UPNP_PATIENCE,
        }
    }

    /// Sends of one question. To a router that never answered, NAT-PMP's nine are the RFC's, but for one that may know UPnP, which is
    /// asked after 8 s; PCP, which has no end, gives way after 9 s. One that did answer is missed after 16 s and 45 s. The host repeats
    /// what it asks.
    const fn sends(self, answered: bool, upnp: bool) -> u32 {
        match (self, answered, upnp) {
            (Self::Pcp, false, _) => 2,
            (Self::Pcp, true, _) => 4,
            (Self::NatPmp, false, false) => 9,
            (Self::NatPmp, false, true) => 5,
            (Self::NatPmp, true, _) => 6,
            (Self::Upnp, _, _) => 1,
        }
    }
}

/// A host that has not answered by then has lost the question; it has to give up earlier itself.
const UPNP_PATIENCE: Duration = Duration::from_secs(60);

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

    pub(super) fn may_repeat(&self, answered: bool, upnp: bool) -> bool {
        self.sent < self.protocol.sends(answered, upnp)
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
        Protocol::NatPmp | Protocol::Upnp => wait,
        Protocol::Pcp => wait * 9 / 10 + part(wait / 5, rng),
    }
}

/// Evenly between nothing and `whole`.
pub(super) fn part(whole: Duration, rng: &mut Rng) -> Duration {
    let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX - 1);
    Duration::from_micros(rng.below(micros + 1))
}
