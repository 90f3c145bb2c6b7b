//! What goes in and what comes out.

use super::{CloseReason, DialError, Ecn};
use crate::ids::{NodeId, RequestId, SocketId, StreamId};
use crate::nat::{Gateway, UpnpAnswer, UpnpRequest};
use crate::wire::{Address, SocketAddress};
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// What the host tells the endpoint. None of it can fail: bad bytes are counted and dropped.
#[derive(Debug)]
pub enum Input<'a> {
    /// One UDP datagram; its bytes are decrypted in place.
    Datagram {
        /// The socket it arrived on.
        via: SocketId,
        /// Its source.
        from: SocketAddr,
        /// Its destination address, when the host knows.
        to: Option<IpAddr>,
        /// Its congestion mark.
        ecn: Option<Ecn>,
        /// Its payload.
        data: &'a mut [u8],
    },
    /// The pipe asked for by [`Event::RegistryConnect`] is open.
    RegistryConnected,
    /// Bytes from the registry, in order, cut anywhere.
    RegistryData(&'a [u8]),
    /// The pipe to the registry failed or ended.
    RegistryClosed,
    /// Seconds since 1970-01-01 UTC. Told at start and every few minutes; used for trust records only.
    WallClock(u64),
    /// Addresses of this host's interfaces with the UDP port: for peers on the same network, and to recognise that there is no NAT.
    /// Told at start and on change.
    LocalAddresses(&'a [SocketAddr]),
    /// The host's network changed or it woke from suspend: rediscover and revalidate.
    NetworkChanged,
    /// The default gateway, and the first socket's address toward it: for asking it for a port. `None` when there is none, or
    /// none that the host can find. Told at start, on change, and as the answer to [`Event::GatewayWanted`].
    Gateway(Option<Gateway>),
    /// What the gateway said to the last [`UpnpRequest::Map`].
    Upnp(Gateway, UpnpAnswer),
    /// The router forwards what arrives at `external` to the socket `via` (NAT-PMP, PCP, UPnP), or does so still: told on every change,
    /// and harmless to repeat. The other side of such a mapping is [`Self::PortMappingLost`].
    PortMapped {
        /// The socket that is mapped.
        via: SocketId,
        /// The address on the router's far side.
        external: SocketAddr,
    },
    /// The router does not forward to the socket `via` any more.
    PortMappingLost {
        /// The socket that was mapped.
        via: SocketId,
    },
    /// The answer to [`Event::OpenSockets`]: the new sockets, numbered by the host, each bound to a port of its own. Fewer than asked
    /// for, or none, when the system gives no more.
    SocketsOpened(&'a [SocketId]),
}

/// What the endpoint tells the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Open a pipe to the registry and answer with [`Input::RegistryConnected`] or [`Input::RegistryClosed`].
    RegistryConnect,
    /// Write these bytes to the registry pipe.
    RegistrySend(Bytes),
    /// Close the registry pipe.
    RegistryDisconnect,
    /// Registered: this node's address, and the name it got.
    Registered {
        /// This node's address on the backbone.
        address: Address,
        /// The hostname the registry granted.
        hostname: Option<String>,
        /// Why the wanted hostname was refused.
        hostname_error: Option<String>,
    },
    /// Registration failed; it is tried again.
    RegistrationFailed(String),
    /// Discovery ended: the observed endpoint (none when no beacon answered).
    Discovered(Option<SocketAddr>),
    /// A tunnel to a peer came up; or, where the configuration allows that, it is spoken to in clear.
    PeerUp(NodeId),
    /// A peer's selected path changed.
    PathChanged {
        /// The peer.
        node: NodeId,
        /// The new path, `None` when there is none.
        path: Option<PathKind>,
    },
    /// A peer was forgotten.
    PeerDown(NodeId),
    /// A dialled stream is established.
    Connected(StreamId),
    /// A dial failed.
    DialFailed(StreamId, DialError),
    /// [`super::Endpoint::accept`] has something on this port.
    Incoming(u16),
    /// Reading makes sense again. Edge-triggered: told once until a read returned `Blocked`.
    Readable(StreamId),
    /// Writing makes sense again. Edge-triggered.
    Writable(StreamId),
    /// Everything written before `finish` was acknowledged and the peer knows that no more comes.
    Finished(StreamId),
    /// The stream is gone; reads may still drain what arrived.
    Closed(StreamId, CloseReason),
    /// A datagram arrived (protocol 2).
    Datagram {
        /// Who sent it.
        from: SocketAddress,
        /// The local port.
        to_port: u16,
        /// Its payload.
        data: Bytes,
    },
    /// Answer to a command that returned this [`RequestId`].
    Completed(RequestId, Outcome),
    /// A peer asks for trust and waits for a decision.
    TrustRequested {
        /// Who asks.
        node: NodeId,
        /// What it says.
        justification: String,
    },
    /// A peer refused this node's request for trust.
    TrustRejected {
        /// The peer.
        node: NodeId,
        /// What it says.
        reason: String,
    },
    /// Trust with a peer was granted or withdrawn, by either side.
    TrustChanged {
        /// The peer.
        node: NodeId,
        /// Now trusted.
        trusted: bool,
    },
    /// The trust store changed: persist [`super::Endpoint::trust_snapshot`] before anything else.
    TrustSnapshotChanged,
    /// A peer's identity key differs from the pinned one; it was refused.
    KeyMismatch(NodeId),
    /// The gateway does not answer any more: find it again and answer with [`Input::Gateway`], whether it changed or not.
    GatewayWanted,
    /// Ask the gateway by UPnP, and answer with [`Input::Upnp`]. Only where [`super::Config::upnp`] says that the host can.
    Upnp(UpnpRequest),
    /// Open this many more UDP sockets, each on a fresh port of the same family as the first, and answer once with
    /// [`Input::SocketsOpened`]. Never more than [`crate::limits::MAX_EXTRA_SOCKETS`] are open together.
    OpenSockets(u16),
    /// These sockets are not needed any more; close them.
    CloseSockets(Vec<SocketId>),
}

/// How data reaches a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Straight to this address.
    Direct(SocketAddr),
    /// Through the beacon.
    Relay,
}

/// Answer to an asynchronous command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A ping came back.
    Pong {
        /// Round-trip time.
        rtt: Duration,
        /// The path it took.
        path: PathKind,
    },
    /// No answer in time.
    Timeout,
    /// A registry reply, as its JSON object.
    Registry(serde_json::Value),
    /// The registry refused, in its words.
    RegistryError(String),
    /// There is no connection to a registry.
    RegistryUnavailable,
    /// A trust command was carried out; the text is `sent`, `approved`, `rejected` or `revoked`.
    Trust(&'static str),
    /// It could not be done, and why.
    Failed(String),
}
