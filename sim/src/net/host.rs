//! A host: one endpoint, its sockets, its addresses and its clock.

use crate::nat::Firewall;
use crate::net::{Arrival, Place};
use proto_core::{Config, Endpoint, Event, Sink, SocketId, Timestamp, Transmit, TransmitBuf};
use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The UDP port of every host's first socket.
pub(super) const FIRST_PORT: u16 = 4000;
/// Ports of the sockets opened later begin here.
const EPHEMERAL: u16 = 32_768;

/// One endpoint and what it told.
#[derive(Debug)]
pub struct Host {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The address of its first socket, behind its box if it has one.
    pub address: SocketAddr,
    /// Its global IPv6 address; all its sockets have it too, with their port.
    pub ipv6: Option<Ipv6Addr>,
    /// What stands before that address.
    pub firewall: Option<Firewall>,
    /// Everything it told, in order.
    pub events: Vec<Event>,
    /// Datagrams it sent.
    pub sent: u64,
    /// Its sockets and their ports.
    pub sockets: BTreeMap<SocketId, u16>,
    /// The most sockets it ever had open.
    pub most_sockets: usize,
    /// The box it is behind, by its place in [`super::Net::boxes`].
    pub behind: Option<usize>,
    /// How it is configured; a restart takes it again.
    pub config: Config,
    /// Its monotonic clock is ahead of the world's by this, in microseconds.
    pub(super) skew: i64,
    /// Its wall clock is ahead of the world's by this, in seconds.
    pub(super) wall_skew: i64,
    /// It does nothing: suspended, or its process ended.
    pub(super) asleep: bool,
    /// What came for its process while that slept.
    pub(super) missed: Vec<Arrival>,
    /// Which registry connection is the present one.
    pub(super) pipe: u64,
    /// Sockets opened so far, the first not counted: no port is used twice in a row.
    opened: u64,
}

impl Host {
    pub(super) fn new(endpoint: Endpoint, config: Config, address: SocketAddr, behind: Option<usize>) -> Self {
        Self {
            endpoint,
            address,
            ipv6: None,
            firewall: None,
            events: Vec::new(),
            sent: 0,
            sockets: BTreeMap::from([(SocketId(0), address.port())]),
            most_sockets: 1,
            behind,
            config,
            skew: 0,
            wall_skew: 0,
            asleep: false,
            missed: Vec::new(),
            pipe: 0,
            opened: 0,
        }
    }

    /// Where its first socket can be bound: the addresses of its interfaces.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        let ipv6 = self.ipv6.map(|ip| SocketAddr::new(ip.into(), self.address.port()));
        std::iter::once(self.address).chain(ipv6).collect()
    }

    /// Suspended, or its process ended.
    #[must_use]
    pub const fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// The time its endpoint is told at `now`.
    #[must_use]
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_micros(now.as_micros().saturating_add_signed(self.skew))
    }

    /// When its next timer is due, on the world's clock.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let (at, _) = self.endpoint.poll_timeout().filter(|_| !self.asleep)?;
        Some(Timestamp::from_micros(at.as_micros().saturating_add_signed(self.skew.saturating_neg())))
    }

    pub(super) fn wall(&self, now: Timestamp) -> u64 {
        crate::rendezvous::wall(now).saturating_add_signed(self.wall_skew)
    }

    /// The source of what the socket `via` sends to `to`; `None` when it has no address of that kind.
    pub(super) fn source(&self, via: SocketId, to: SocketAddr) -> Option<SocketAddr> {
        let port = *self.sockets.get(&via)?;
        if to.is_ipv6() == self.address.is_ipv6() {
            return Some(SocketAddr::new(self.address.ip(), port));
        }
        self.ipv6.filter(|_| to.is_ipv6()).map(|ip| SocketAddr::new(ip.into(), port))
    }

    /// The socket that `to` is the address of, where the host stands at `place`.
    pub(super) fn socket_at(&self, place: Place, to: SocketAddr) -> Option<SocketId> {
        let here = if to.is_ipv6() && self.address.is_ipv4() {
            place == Place::OPEN && self.ipv6.is_some_and(|ip| ip == to.ip())
        } else {
            place == Place(self.behind) && self.address.ip() == to.ip()
        };
        let mut sockets = self.sockets.iter().filter(|_| here);
        sockets.find(|(_, port)| **port == to.port()).map(|(id, _)| *id)
    }

    /// Opens `count` more sockets and returns their numbers.
    pub(super) fn open_sockets(&mut self, count: u16) -> Vec<SocketId> {
        let mut opened = Vec::new();
        for number in 1..=u16::MAX {
            if opened.len() >= usize::from(count) {
                break;
            }
            let id = SocketId(number);
            if let std::collections::btree_map::Entry::Vacant(free) = self.sockets.entry(id) {
                let offset = u16::try_from(self.opened % u64::from(u16::MAX - EPHEMERAL)).unwrap_or_default();
                free.insert(EPHEMERAL + offset);
                self.opened += 1;
                opened.push(id);
            }
        }
        self.most_sockets = self.most_sockets.max(self.sockets.len());
        opened
    }
}

/// Collects what an endpoint says when it is drained.
pub(super) struct Collect {
    pub(super) buffer: Vec<u8>,
    pub(super) sent: Vec<(SocketId, SocketAddr, Vec<u8>)>,
    pub(super) told: Vec<Event>,
}

impl Collect {
    pub(super) const fn new(buffer: Vec<u8>) -> Self {
        Self { buffer, sent: Vec::new(), told: Vec::new() }
    }
}

impl Sink for Collect {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        Some(TransmitBuf { bytes: &mut self.buffer, max_segments: 16 })
    }

    fn transmit(&mut self, transmit: Transmit) {
        let bytes = &self.buffer[..transmit.len];
        for datagram in bytes.chunks(transmit.segment.unwrap_or(transmit.len)) {
            self.sent.push((transmit.via, transmit.to, datagram.to_vec()));
        }
    }

    fn event(&mut self, event: Event) {
        self.told.push(event);
    }
}

/// How long the firewall before an IPv6 address remembers (RFC 6092 REC-14 asks for 2 minutes at least).
pub(super) const FIREWALL_IDLE: Duration = Duration::from_secs(120);
