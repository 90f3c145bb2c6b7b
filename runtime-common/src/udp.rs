//! Decides how datagrams cross a UDP socket: many per system call, with their ECN marks and local addresses.
//! Refuses to know what is in them, and how a runtime waits for the socket.

use crate::buffers::{self, BufferReport};
use crate::error::{ErrorClass, classify};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use proto_core::endpoint::Ecn;
use proto_core::limits::MAX_DATAGRAM;
use proto_core::{Input, SocketId, Transmit};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSockRef, UdpSocketState};
use rustix::io::Errno;
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::{PoisonError, RwLock};

/// Datagrams one system call sends at most: Linux's `UDP_MAX_SEGMENTS` of the oldest kernels with segmentation.
pub const MAX_SEGMENTS: usize = 64;
/// Bytes one system call sends at most: an IPv4 packet without its two headers.
const MAX_SEND: usize = MAX_DATAGRAM - 20 - 8;

/// One UDP socket, not blocking, whose wrapper `S` is the runtime's (`std`, tokio, ...).
pub struct UdpIo<S = UdpSocket> {
    socket: S,
    /// Replaced when the kernel's complaint turns out to be about a destination and not about segmentation.
    state: RwLock<UdpSocketState>,
    id: SocketId,
    local: SocketAddr,
    segmentation: bool,
    lost: AtomicU64,
}

/// What became of a [`Transmit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes done with, from the start: handed to the kernel or lost. Less than all when the socket became full midway.
    pub bytes: usize,
    /// Bytes among them that the kernel refused for a reason that is no concern of the socket.
    pub lost: usize,
}

/// What batches need, which forbids fragments too; that is taken back. Segments have a size that almost every path carries, and none is
/// searched for, so where a path carries less a router must be allowed to cut them. Kernels without the option do as they like.
fn new_state<S: AsFd>(socket: &S) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(UdpSockRef::from(socket))?;
    //= spec/segmentation.md#pp-seg-4
    //# The don't-fragment bit is not set.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = sockopt::set_ip_mtu_discover(socket, sockopt::Ipv4PathMtuDiscovery::OMIT);
    Ok(state)
}

impl UdpIo<UdpSocket> {
    /// Opens socket `id` at `address` with kernel buffers of [`buffers::WANTED`]. An unspecified IPv6 address serves IPv4 too.
    ///
    /// # Errors
    ///
    /// When the address is taken or not of this host, or the system lacks the address family.
    pub fn bind(id: SocketId, address: SocketAddr) -> io::Result<(Self, BufferReport)> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.bind(&address.into())?;
        let report = buffers::enlarge(&socket, buffers::WANTED)?;
        let socket = UdpSocket::from(socket);
        let state = new_state(&socket)?;
        let local = socket.local_addr()?;
        let io = Self { socket, state: RwLock::new(state), id, local, segmentation: true, lost: AtomicU64::new(0) };
        Ok((io, report))
    }
}

impl<S: AsFd> UdpIo<S> {
    /// Hands the socket to a runtime.
    ///
    /// # Errors
    ///
    /// Those of `wrap`.
    pub fn wrap<T: AsFd>(self, wrap: impl FnOnce(S) -> io::Result<T>) -> io::Result<UdpIo<T>> {
        let Self { socket, state, id, local, segmentation, lost } = self;
        Ok(UdpIo { socket: wrap(socket)?, state, id, local, segmentation, lost })
    }

    /// The runtime's socket, to wait for.
    #[must_use]
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// Its number toward the endpoint.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// The address it is bound to.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Bytes the kernel refused to send so far, for statistics.
    #[must_use]
    pub fn lost_bytes(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Datagrams worth putting into one [`Transmit`]: 1 when the kernel or the network card cannot segment.
    #[must_use]
    pub fn max_segments(&self) -> usize {
        if self.segmentation { self.with_state(UdpSocketState::max_gso_segments).clamp(1, MAX_SEGMENTS) } else { 1 }
    }

    /// Gives up segmentation by the kernel, for drivers that accept it and then lose the datagrams.
    pub fn disable_segmentation(&mut self) {
        self.segmentation = false;
    }

    /// Receives up to [`UdpBatch::CAPACITY`] buffers and tells how many. `0` after an error that concerns one datagram only.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing waits; any other error means that the socket is unusable.
    pub fn receive(&self, batch: &mut UdpBatch) -> io::Result<usize> {
        batch.filled = 0;
        batch.via = self.id;
        let mut slices = batch.buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
        let result = self.with_state(|state| state.recv((&self.socket).into(), &mut slices, &mut batch.meta));
        match result {
            Ok(filled) => {
                batch.filled = filled;
                Ok(filled)
            }
            Err(error) => match classify(&error) {
                ErrorClass::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
                ErrorClass::TooLarge | ErrorClass::Transient => Ok(0),
                ErrorClass::Fatal => Err(error),
            },
        }
    }

    /// Sends `bytes`, which are what is left of `transmit`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when the socket took nothing; any other error means that it is unusable.
    pub fn send(&self, transmit: &Transmit, bytes: &[u8]) -> io::Result<Sent> {
        let Some(ttl) = transmit.ttl else { return self.send_all(transmit, bytes) };
        let before = self.hop_limit(transmit.to)?;
        self.set_hop_limit(transmit.to, u32::from(ttl))?;
        let result = self.send_all(transmit, bytes);
        self.set_hop_limit(transmit.to, before)?;
        result
    }

    fn send_all(&self, transmit: &Transmit, bytes: &[u8]) -> io::Result<Sent> {
        let segment = transmit.segment.unwrap_or(bytes.len()).max(1);
        let mut sent = Sent { bytes: 0, lost: 0 };
        while let Some(rest) = bytes.get(sent.bytes..).filter(|rest| !rest.is_empty()) {
            let group = segment * self.max_segments().min(MAX_SEND / segment).max(1);
            let (now, _) = rest.split_at(group.min(rest.len()));
            let Err(error) = self.send_group(transmit, now, segment) else {
                sent.bytes += now.len();
                continue;
            };
            let lost = match classify(&error) {
                ErrorClass::WouldBlock if sent.bytes == 0 => return Err(io::ErrorKind::WouldBlock.into()),
                ErrorClass::WouldBlock => return Ok(sent),
                ErrorClass::Fatal => return Err(error),
                // The kernel or the card cannot segment after all: once more, one by one.
                ErrorClass::Transient if now.len() > segment && self.max_segments() == 1 => continue,
                ErrorClass::Transient if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                    self.forgive_segmentation();
                    rest.len()
                }
                ErrorClass::Transient | ErrorClass::TooLarge => now.len(),
            };
            sent.bytes += lost;
            sent.lost += lost;
            self.lost.fetch_add(u64::try_from(lost).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        Ok(sent)
    }

    fn send_group(&self, transmit: &Transmit, contents: &[u8], segment: usize) -> io::Result<()> {
        let datagrams = quinn_udp::Transmit {
            destination: self.on_this_family(transmit.to),
            ecn: transmit.ecn.map(to_codepoint),
            contents,
            segment_size: (contents.len() > segment).then_some(segment),
            src_ip: transmit.from.filter(|ip| !ip.is_unspecified()),
        };
        self.with_state(|state| state.try_send((&self.socket).into(), &datagrams))
    }

    /// `EINVAL` for a single datagram is about its destination (240.0.0.0/4, say), yet the state below took it for a missing
    /// capability. A peer may choose destinations, and must not choose how fast we are.
    fn forgive_segmentation(&self) {
        if let Ok(fresh) = new_state(&self.socket) {
            *self.state.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
    }

    fn with_state<T>(&self, use_it: impl FnOnce(&UdpSocketState) -> T) -> T {
        use_it(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// IPv6 sockets reach IPv4 hosts by mapped addresses (RFC 4291 section 2.5.5.2).
    fn on_this_family(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(v4) if self.local.is_ipv6() => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
            IpAddr::V4(_) | IpAddr::V6(_) => to,
        }
    }

    fn hop_limit(&self, to: SocketAddr) -> io::Result<u32> {
        if to.is_ipv4() {
            Ok(sockopt::ip_ttl(&self.socket)?)
        } else {
            Ok(u32::from(sockopt::ipv6_unicast_hops(&self.socket)?))
        }
    }

    fn set_hop_limit(&self, to: SocketAddr, hops: u32) -> io::Result<()> {
        if to.is_ipv4() {
            Ok(sockopt::set_ip_ttl(&self.socket, hops)?)
        } else {
            Ok(sockopt::set_ipv6_unicast_hops(&self.socket, u8::try_from(hops).ok())?)
        }
    }
}

impl<S> fmt::Debug for UdpIo<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpIo").field("id", &self.id).field("local", &self.local).finish_non_exhaustive()
    }
}

/// Room for what one system call receives; 2 MiB, meant to be reused and shared by all sockets of a loop.
pub struct UdpBatch {
    buffers: [Box<[u8]>; BATCH_SIZE],
    meta: [RecvMeta; BATCH_SIZE],
    filled: usize,
    via: SocketId,
}

impl UdpBatch {
    /// Buffers one system call fills at most; each holds up to 64 datagrams when the kernel coalesces.
    pub const CAPACITY: usize = BATCH_SIZE;

    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffers: core::array::from_fn(|_| vec![0; MAX_DATAGRAM + 1].into_boxed_slice()),
            meta: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
            via: SocketId(0),
        }
    }

    /// What the last [`UdpIo::receive`] filled, in order of arrival.
    pub fn received(&mut self) -> impl Iterator<Item = Received<'_>> {
        let via = self.via;
        self.buffers.iter_mut().zip(&self.meta).take(self.filled).map(move |(buffer, meta)| Received {
            via,
            meta,
            bytes: buffer.get_mut(..meta.len).unwrap_or_default(),
        })
    }
}

impl Default for UdpBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for UdpBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpBatch").field("filled", &self.filled).finish_non_exhaustive()
    }
}

/// One filled buffer: datagrams from one source.
#[derive(Debug)]
pub struct Received<'a> {
    via: SocketId,
    meta: &'a RecvMeta,
    bytes: &'a mut [u8],
}

impl<'a> Received<'a> {
    /// Its datagrams, ready for the endpoint. Empty ones are skipped: they carry nothing.
    pub fn datagrams(self) -> impl Iterator<Item = Input<'a>> {
        let Self { via, meta, bytes } = self;
        let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
        // Link-local IPv6 sources are useless without their scope.
        let from = if from.is_ipv6() { meta.addr } else { from };
        let to = meta.dst_ip.map(|ip| ip.to_canonical());
        let ecn = meta.ecn.map(from_codepoint);
        bytes.chunks_mut(meta.stride.max(1)).map(move |data| Input::Datagram { via, from, to, ecn, data })
    }
}

fn to_codepoint(ecn: Ecn) -> EcnCodepoint {
    match ecn {
        Ecn::Ect0 => EcnCodepoint::Ect0,
        Ecn::Ect1 => EcnCodepoint::Ect1,
        Ecn::Ce => EcnCodepoint::Ce,
    }
}

fn from_codepoint(codepoint: EcnCodepoint) -> Ecn {
    match codepoint {
        EcnCodepoint::Ect0 => Ecn::Ect0,
        EcnCodepoint::Ect1 => Ecn::Ect1,
        EcnCodepoint::Ce => Ecn::Ce,
    }
}

#[cfg(test)]
mod tests;
