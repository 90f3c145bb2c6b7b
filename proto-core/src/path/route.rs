//! The words in which ways to a peer are spoken of.

use crate::ids::SocketId;
use crate::wire::candidate::{Local, Reach, Reflexive};
use core::net::SocketAddr;
use core::time::Duration;

/// One way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// Straight to an address, from one of our sockets.
    Direct {
        /// Our socket.
        socket: SocketId,
        /// The peer's address.
        address: SocketAddr,
    },
    /// Wrapped in 0x05, through the beacon.
    Relay,
}

impl Route {
    /// Straight to `address` from the socket that always exists.
    #[must_use]
    pub const fn direct(address: SocketAddr) -> Self {
        Self::Direct { socket: SocketId(0), address }
    }

    /// The peer is on this host: segments may be as large as the loopback interface carries.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        match self {
            Self::Direct { address, .. } => Reach::of(address) == Reach::Host,
            Self::Relay => false,
        }
    }

    /// Straight, not through the beacon.
    #[must_use]
    pub const fn is_direct(self) -> bool {
        matches!(self, Self::Direct { .. })
    }
}

/// How much a frame proves about who sent it from where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// Nothing: PILP, a PILA not verified, anything that failed to open.
    Unproven,
    /// A PILA with the peer's valid signature. It may be a replay from anywhere (PP-KEX-14).
    Signed,
    /// A PILS that opened and was no replay. Somebody may still have carried it to us from elsewhere.
    Fresh,
}

/// What the owner of a [`super::PathSet`] is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathAction {
    /// Resolve the peer at the registry and tell the answer by [`super::PathSet::resolved`].
    Resolve,
    /// Send a punch request (0x03) for this peer to the beacon.
    RequestPunch,
    /// Tell a peer of ours where we are, and ask where it is; its answer is for [`super::PathSet::told`].
    Meet,
    /// Two seconds of trying every address that is known were in vain: more can be done only by who knows both sides' NATs.
    Escalate,
    /// Reach for the peer over exactly this route: with a session an encrypted ping whose payload is `nonce`, without one a PILA.
    Probe {
        /// The way to try.
        route: Route,
        /// Told back by [`super::PathSet::handle_probe_answer`].
        nonce: u64,
    },
    /// Send an empty control packet, port 0 to port 0, over this route: it keeps the NAT mapping.
    Keepalive {
        /// The way to keep open.
        route: Route,
    },
    /// The chosen way changed. `None`: there is no way any more.
    Selected(Option<Route>),
    /// What went by the direct way that was left for another one is lost.
    Lost,
    /// The ladder ended without a sign of life: a dial in progress has failed.
    Unreachable,
}

/// Settings of one peer's paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathConfig {
    /// There is a beacon that relays.
    pub relay_available: bool,
    /// This node is configured never to use direct paths.
    pub relay_only: bool,
    /// A direct path on which nothing was sent this long gets a keepalive. Default 15 s.
    pub keepalive: Duration,
}

impl Default for PathConfig {
    fn default() -> Self {
        Self { relay_available: true, relay_only: false, keepalive: Duration::from_secs(15) }
    }
}

/// What the registry says about where a peer is.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerAddresses<'a> {
    /// Its endpoint as its beacon sees it.
    pub reflexive: Option<Reflexive>,
    /// Its own interfaces' addresses.
    pub local: &'a [Local],
    /// It asks to be reached through the relay only.
    pub relay_only: bool,
}

/// Where we are ourselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnAddresses<'a> {
    /// Our endpoint as the beacon sees it.
    pub reflexive: Option<Reflexive>,
    /// Our interfaces' addresses.
    pub local: &'a [Local],
}
