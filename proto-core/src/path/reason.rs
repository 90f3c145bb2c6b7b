//! Why a peer is relayed, in one word for programs and one sentence for a person.

use super::way::Standing;
use super::{PathSet, Route};

/// What keeps a peer on the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelayReason {
    /// This node is configured for the relay only.
    OwnRelayOnly,
    /// The peer asks to be relayed.
    PeerRelayOnly,
    /// The direct path in use fell silent.
    FellSilent,
    /// The first attempts are not over.
    StillTrying,
    /// Nothing is known that could be tried.
    NoAddress,
    /// What was tried did not answer.
    NoAnswer,
    /// Both sides get another mapping for each destination, and none can be told to the other in time.
    BothSymmetric,
    /// One side's mappings change with the destination, and what could find them is switched off here.
    SprayingOff,
    /// One side's mappings change with the destination, and the search for them waits for that of another peer.
    SprayingBusy,
    /// One side's mappings change with the destination, and the search for them found none.
    SprayFailed,
}

impl RelayReason {
    /// One word for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OwnRelayOnly => "own-relay-only",
            Self::PeerRelayOnly => "peer-relay-only",
            Self::FellSilent => "fell-silent",
            Self::StillTrying => "still-trying",
            Self::NoAddress => "no-address",
            Self::NoAnswer => "no-answer",
            Self::BothSymmetric => "both-symmetric",
            Self::SprayingOff => "spraying-off",
            Self::SprayingBusy => "spraying-busy",
            Self::SprayFailed => "spray-failed",
        }
    }

    /// What somebody could do about it, if anything; no full stop.
    #[must_use]
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::OwnRelayOnly => Some("start the daemon without --relay-only"),
            Self::PeerRelayOnly => Some("ask the peer's owner to start its daemon without --relay-only"),
            Self::NoAddress => Some("look at the peer whether its beacon answers: `pilotctl netcheck` there"),
            Self::NoAnswer => Some("let UDP pass the firewalls of both sides, or give one side a mapped port or IPv6"),
            Self::BothSymmetric => Some("give one of the two sides a mapped port, a public address or IPv6"),
            Self::SprayingOff => Some("switch on the search for ports, or give one side a mapped port or IPv6"),
            Self::SprayFailed => Some("give the side with the symmetric NAT a mapped port or IPv6"),
            Self::FellSilent | Self::StillTrying | Self::SprayingBusy => None,
        }
    }

    /// A port at the own router would, where it can be had.
    #[must_use]
    pub const fn is_helped_by_port_mapping(self) -> bool {
        match self {
            Self::NoAnswer | Self::BothSymmetric | Self::SprayingOff | Self::SprayingBusy | Self::SprayFailed => true,
            Self::OwnRelayOnly | Self::PeerRelayOnly | Self::FellSilent | Self::StillTrying | Self::NoAddress => false,
        }
    }

    /// For a person; no full stop.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::OwnRelayOnly => "this node is configured to use the relay only",
            Self::PeerRelayOnly => "the peer asks to be reached through the relay only",
            Self::FellSilent => "the direct path fell silent; it is tried again until it answers",
            Self::StillTrying => "a direct path is being tried",
            Self::NoAddress => "no address of the peer is known that could be reached directly",
            Self::NoAnswer => "no answer to direct probes: a NAT or firewall between the two drops them",
            Self::BothSymmetric => {
                "both sides are behind symmetric NATs, whose ports neither can tell the other; only a port mapping or IPv6 would help"
            }
            Self::SprayingOff => "one side is behind a symmetric NAT, and searching for its ports is switched off",
            Self::SprayingBusy => {
                "one side is behind a symmetric NAT, and the search for its ports waits until another peer's has ended"
            }
            Self::SprayFailed => {
                "one side is behind a symmetric NAT, and the search for its ports found none; it is repeated after an hour"
            }
        }
    }
}

impl PathSet {
    /// Why this peer is relayed. `None` when it is not.
    #[must_use]
    pub fn relay_reason(&self) -> Option<RelayReason> {
        if self.route() != Some(Route::Relay) {
            return None;
        }
        let lost = self.ways.direct().any(|w| w.standing == Standing::Silent);
        let hurries = self.chase.as_ref().is_some_and(|c| !c.gave_up_hurrying());
        Some(if self.config.relay_only {
            RelayReason::OwnRelayOnly
        } else if self.peer_relay_only {
            RelayReason::PeerRelayOnly
        } else if let Some(verdict) = self.verdict.filter(|_| !hurries) {
            // Newer than any loss: a direct way takes it back.
            verdict
        } else if lost {
            RelayReason::FellSilent
        } else if hurries {
            RelayReason::StillTrying
        } else if self.ways.direct().next().is_none() {
            RelayReason::NoAddress
        } else {
            RelayReason::NoAnswer
        })
    }
}
