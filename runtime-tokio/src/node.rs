//! Decides what a program can ask of its node. Refuses to know how it is done.

use crate::builder::Builder;
use crate::datagram::{DATAGRAM_QUEUE, Datagrams, UNCLAIMED};
use crate::error::{BindError, DialError, NodeClosed, ResolveError, SendDatagramError};
use crate::listener::Listener;
use crate::shared::Handle;
use crate::stream::Stream;
use crate::target::Target;
use crate::waiting::DatagramPort;
use core::fmt;
use core::time::Duration;
use proto_core::crypto::{Identity, PublicKey};
use proto_core::endpoint::{self, Event, PathKind, PeerStatus, Status, StreamStatus};
use proto_core::ids::NodeId;
use proto_core::limits::DIAL_TIMEOUT;
use proto_core::trust::Snapshot;
use proto_core::wire::{Address, SocketAddress};
use runtime_common::BufferReport;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;

/// How long [`Node::shutdown`] waits for finished streams to be acknowledged.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

/// One agent: its identity, its socket, its peers. Cheap to clone.
///
/// The loop ends with [`Node::shutdown`] or when the last of all nodes, streams and listeners of it is dropped.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) handle: Handle,
    local: SocketAddr,
    buffers: BufferReport,
}

/// A ping's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// Round-trip time.
    pub rtt: Duration,
    /// The path it took.
    pub path: PathKind,
}

impl Node {
    /// Settings of a new node with this identity.
    #[must_use]
    pub fn builder(identity: Identity) -> Builder {
        Builder::new(identity)
    }

    pub(crate) fn new(handle: Handle, local: SocketAddr, buffers: BufferReport) -> Self {
        Self { handle, local, buffers }
    }

    /// Opens a stream to a port of a peer.
    ///
    /// Cancel-safe: dropping the future resets the half-open stream.
    ///
    /// # Errors
    ///
    /// Within [`DIAL_TIMEOUT`], with the reason.
    pub async fn dial(&self, to: SocketAddress) -> Result<Stream, DialError> {
        let stream = self.handle.shared().command(|inner, now| {
            if !inner.is_running() {
                return Err(DialError::NodeClosed);
            }
            let id = inner.endpoint.dial(now, to)?;
            Ok(Stream::new(self.handle.clone(), inner, id, to))
        })?;
        stream.opened().await?;
        Ok(stream)
    }

    /// As [`Node::dial`], to whoever holds this hostname.
    ///
    /// Cancel-safe: dropping the future forgets the question or resets the half-open stream.
    ///
    /// # Errors
    ///
    /// Those of [`Node::resolve`] and [`Node::dial`], both together within [`DIAL_TIMEOUT`].
    pub async fn dial_hostname(&self, hostname: &str, port: u16) -> Result<Stream, DialError> {
        self.dial_target(&Target::Hostname(hostname.to_owned()), port).await
    }

    /// As [`Node::dial`], to a peer as a person names it.
    ///
    /// Cancel-safe: dropping the future forgets the question or resets the half-open stream.
    ///
    /// # Errors
    ///
    /// Those of [`Node::resolve`] and [`Node::dial`], both together within [`DIAL_TIMEOUT`].
    pub async fn dial_target(&self, target: &Target, port: u16) -> Result<Stream, DialError> {
        let deadline = Instant::now() + DIAL_TIMEOUT;
        let address = self.address_of(target).await.map_err(DialError::Resolve)?;
        let dial = self.dial(SocketAddress::new(address, port));
        // A plain address leaves the verdict to the endpoint, which knows the reason and has the same deadline.
        if !matches!(target, Target::Hostname(_)) {
            return dial.await;
        }
        let unreachable = DialError::Protocol(endpoint::DialError::Unreachable);
        tokio::time::timeout_at(deadline, dial).await.unwrap_or(Err(unreachable))
    }

    /// The address of a peer as a person names it; asks the registry for hostnames only. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Those of [`Node::resolve`].
    pub async fn address_of(&self, target: &Target) -> Result<Address, ResolveError> {
        match target {
            Target::Address(address) => Ok(*address),
            Target::Node(node) => Ok(Address::backbone(*node)),
            Target::Hostname(name) => self.resolve(name).await,
        }
    }

    /// Listens on a port. Private nodes are reached by trusted peers only.
    ///
    /// # Errors
    ///
    /// When the port is taken in this node.
    pub fn listen(&self, port: u16) -> Result<Listener, BindError> {
        self.handle.shared().command(|inner, _| {
            if !inner.is_running() {
                return Err(BindError::NodeClosed);
            }
            inner.endpoint.listen(port).map_err(|error| BindError::on(port, error))?;
            inner.waiting.listeners.insert(port, None);
            Ok(Listener::new(self.handle.clone(), port))
        })
    }

    /// Sends one datagram: delivered once, out of order or not at all. `from_port` 0 takes a fresh one. Tells the source port.
    ///
    /// # Errors
    ///
    /// When it cannot be sent at all; a loss on the way is not told.
    pub fn send_datagram(&self, to: SocketAddress, from_port: u16, data: &[u8]) -> Result<u16, SendDatagramError> {
        self.handle.shared().command(|inner, now| {
            if !inner.is_running() {
                return Err(SendDatagramError::NodeClosed);
            }
            inner.endpoint.send_datagram(now, to, from_port, data).map_err(SendDatagramError::Protocol)
        })
    }

    /// Receives the datagrams that arrive at `port`; without it they go to [`Node::unclaimed_datagrams`].
    ///
    /// # Errors
    ///
    /// When somebody in this node receives there already, and for port 0.
    pub fn datagrams(&self, port: u16) -> Result<Datagrams, BindError> {
        if port == UNCLAIMED { Err(BindError::Reserved(port)) } else { self.receive(port) }
    }

    /// Receives the datagrams that arrive at ports without a receiver; without it they are dropped.
    ///
    /// # Errors
    ///
    /// When somebody in this node receives them already.
    pub fn unclaimed_datagrams(&self) -> Result<Datagrams, BindError> {
        self.receive(UNCLAIMED)
    }

    fn receive(&self, port: u16) -> Result<Datagrams, BindError> {
        let mut inner = self.handle.shared().lock();
        if !inner.is_running() {
            return Err(BindError::NodeClosed);
        }
        let Entry::Vacant(place) = inner.waiting.datagrams.entry(port) else { return Err(BindError::InUse(port)) };
        let (sender, receiver) = mpsc::channel(DATAGRAM_QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        place.insert(DatagramPort { sender, dropped: Arc::clone(&dropped) });
        Ok(Datagrams { handle: self.handle.clone(), port, receiver, dropped })
    }

    /// What happens from now on: registration, discovery, peers, paths, trust.
    #[must_use]
    pub fn events(&self) -> Events {
        let inner = self.handle.shared().lock();
        let receiver = inner.events.as_ref().map_or_else(|| broadcast::channel(1).1, broadcast::Sender::subscribe);
        Events { receiver }
    }

    /// This node's address, once it is registered.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        self.handle.shared().lock().endpoint.address()
    }

    /// This node's public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.handle.shared().lock().endpoint.public_key()
    }

    /// Signs with this node's key; see [`proto_core::Endpoint::sign`].
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.handle.shared().lock().endpoint.sign(message)
    }

    /// The UDP address it is bound to.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// The UDP buffers the kernel granted.
    #[must_use]
    pub fn buffers(&self) -> BufferReport {
        self.buffers
    }

    /// The node at a glance.
    #[must_use]
    pub fn status(&self) -> Status {
        self.handle.shared().lock().endpoint.status()
    }

    /// Its peers.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.handle.shared().lock().endpoint.peers()
    }

    /// Its streams.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamStatus> {
        self.handle.shared().lock().endpoint.streams()
    }

    /// Who is trusted and who waits for a decision, as it is persisted.
    #[must_use]
    pub fn trust_snapshot(&self) -> Snapshot {
        self.handle.shared().lock().endpoint.trust_snapshot()
    }

    /// Takes this number without a registry, for closed networks and tests.
    pub fn set_node(&self, node: NodeId) {
        self.handle.shared().command(|inner, now| inner.endpoint.set_node(now, node));
    }

    /// Makes a peer known without a registry, for closed networks and tests.
    pub fn add_static_peer(&self, node: NodeId, key: PublicKey, endpoint: Option<SocketAddr>, trusted: bool) {
        self.handle.shared().command(|inner, now| inner.endpoint.add_static_peer(now, node, key, endpoint, trusted));
    }

    /// Closes the node: finished streams get 2 s to be acknowledged, all others are reset. Returns when the loop has ended.
    ///
    /// Cancel-safe: once polled, closing goes on.
    pub async fn shutdown(&self) {
        self.handle.shared().stop(SHUTDOWN_PATIENCE);
        self.closed().await;
    }

    /// Waits until the node is closed, by [`Node::shutdown`] or by an unusable socket. Cancel-safe.
    pub async fn closed(&self) {
        self.handle.shared().closed().await;
    }
}

/// A subscription to a node's events. Holds the last 1024; a slower reader is told how many it missed.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
}

impl Events {
    /// The next event. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`EventsError::Lagged`] once after a gap, then it goes on; [`EventsError::Closed`] when the node was closed.
    pub async fn next(&mut self) -> Result<Event, EventsError> {
        self.receiver.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Closed => EventsError::Closed,
            broadcast::error::RecvError::Lagged(missed) => EventsError::Lagged(missed),
        })
    }
}

/// Why there is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsError {
    /// So many were missed; the node's status still tells the truth.
    Lagged(u64),
    /// The node was closed.
    Closed,
}

impl fmt::Display for EventsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged(missed) => write!(f, "{missed} events were missed; read faster, or ask for the status"),
            Self::Closed => NodeClosed.fmt(f),
        }
    }
}

impl core::error::Error for EventsError {}
