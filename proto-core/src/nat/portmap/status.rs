//! What became of asking the router, in one word for programs and one sentence for a person.

use core::net::{IpAddr, SocketAddr};

/// Where asking for a port stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortMapState {
    /// Nobody is asked.
    #[default]
    Off,
    /// Nobody would use a port of the router.
    NotNeeded,
    /// The host knows no gateway that could be asked.
    NoGateway,
    /// No answer yet.
    Asking,
    /// The router forwards to us.
    Mapped,
    /// The router forwards, but from an address that is itself behind a NAT.
    DoubleNat,
    /// It does not answer.
    Unanswered,
    /// It answers no.
    Refused,
    /// It has no address outward.
    NoExternalAddress,
}

impl PortMapState {
    /// One word for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NotNeeded => "not-needed",
            Self::NoGateway => "no-gateway",
            Self::Asking => "asking",
            Self::Mapped => "mapped",
            Self::DoubleNat => "double-nat",
            Self::Unanswered => "unanswered",
            Self::Refused => "refused",
            Self::NoExternalAddress => "no-external-address",
        }
    }

    /// For a person; no full stop.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Off => "the router is not asked for a port: port mapping is switched off",
            Self::NotNeeded => {
                "no port is asked for: this node has a public address, uses the relay only, or has its beacon on this host"
            }
            Self::NoGateway => "no default gateway is known that could be asked for a port",
            Self::Asking => "the router is being asked for a port",
            Self::Mapped => "the router forwards a port to this node",
            Self::DoubleNat => {
                "the router is itself behind a NAT (carrier-grade NAT or a second router), so a port of it is of no use outside"
            }
            Self::Unanswered => "the router answers in no protocol for mapping ports that this program speaks",
            Self::Refused => "the router refuses to forward a port to this node",
            Self::NoExternalAddress => "the router has no address on its outer side now",
        }
    }

    /// What somebody could do about it, if anything; no full stop.
    #[must_use]
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Off => Some("start the daemon without --no-port-mapping"),
            Self::Unanswered | Self::Refused => {
                Some("switch on UPnP, NAT-PMP or PCP in the router, or forward this node's UDP port by hand")
            }
            Self::DoubleNat => {
                Some("put the inner router into bridge mode, or ask the provider for a public address or IPv6")
            }
            Self::NoExternalAddress => Some("look whether the router is connected"),
            Self::NotNeeded | Self::NoGateway | Self::Asking | Self::Mapped => None,
        }
    }
}

/// Asking for a port, at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortMapStatus {
    /// How it stands.
    pub state: PortMapState,
    /// What the router answered in: `PCP`, `NAT-PMP`; or `UPnP`, where the host asked.
    pub protocol: Option<&'static str>,
    /// The router.
    pub gateway: Option<IpAddr>,
    /// The address it forwards from.
    pub external: Option<SocketAddr>,
}
