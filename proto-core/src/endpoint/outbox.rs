//! Small packets on their way out: key exchanges, beacon messages, pings and datagrams. Streams write straight into the host's buffer instead.

use super::inner::Endpoint;
use super::{Transmit, TransmitBuf};
use crate::ids::{NodeId, SocketId};
use crate::limits;
use crate::path::Route;
use crate::tunnel::SessionId;
use crate::wire::beacon::{RELAY_HEADER_LEN, write_relay_header};
use crate::wire::frame::{SECURE_HEADER_LEN, TAG_LEN};
use crate::wire::header::{HEADER_LEN, Header};
use bytes::Bytes;
use core::net::SocketAddr;
use std::collections::VecDeque;

/// Bytes around a packet's payload on a relayed path, the larger of the two.
pub(super) const PACKET_OVERHEAD: usize = RELAY_HEADER_LEN + SECURE_HEADER_LEN + HEADER_LEN + TAG_LEN;

/// A packet of protocol 2 or 3, sealed when it leaves.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) node: NodeId,
    /// Exactly this way, whatever is selected.
    pub(super) route: Option<Route>,
    /// Exactly under this key.
    pub(super) session: Option<SessionId>,
    pub(super) header: Header,
    pub(super) payload: Bytes,
}

#[derive(Debug)]
enum Outgoing {
    Raw { via: SocketId, to: SocketAddr, bytes: Vec<u8> },
    Packet(Packet),
}

/// What waits to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Outgoing>,
    /// A datagram that was written but did not fit the batch before it.
    stash: Option<(Transmit, Vec<u8>)>,
}

impl Outbox {
    /// Datagrams that wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + usize::from(self.stash.is_some())
    }

    /// Keeps one written datagram for the next poll.
    pub(super) fn stash(&mut self, transmit: Transmit, bytes: &[u8]) {
        self.stash = Some((transmit, bytes.to_vec()));
    }
}

impl Endpoint {
    /// Queues a whole datagram.
    pub(super) fn send_raw(&mut self, via: SocketId, to: SocketAddr, bytes: Vec<u8>) {
        self.enqueue(Outgoing::Raw { via, to, bytes });
    }

    /// Queues a packet to be sealed for its peer.
    pub(super) fn send_packet(&mut self, packet: Packet) {
        self.enqueue(Outgoing::Packet(packet));
    }

    fn enqueue(&mut self, outgoing: Outgoing) {
        if self.outbox.queue.len() < limits::OUTBOX_PACKETS {
            self.outbox.queue.push_back(outgoing);
        } else {
            self.drops.count("outbox_full");
        }
    }

    /// The next small packet.
    pub(super) fn transmit_small(&mut self, out: &mut TransmitBuf<'_>) -> Option<Transmit> {
        if let Some((transmit, bytes)) = self.outbox.stash.take() {
            out.bytes.get_mut(..bytes.len())?.copy_from_slice(&bytes);
            return Some(transmit);
        }
        while let Some(outgoing) = self.outbox.queue.pop_front() {
            let written = match outgoing {
                Outgoing::Raw { via, to, bytes } => out.bytes.get_mut(..bytes.len()).map(|room| {
                    room.copy_from_slice(&bytes);
                    (via, to, bytes.len())
                }),
                Outgoing::Packet(packet) => self.write_packet(&packet, out.bytes),
            };
            if let Some((via, to, len)) = written {
                return Some(Transmit { via, to, from: None, ttl: None, ecn: None, len, segment: None });
            }
            self.drops.count("outgoing_unsendable");
        }
        None
    }

    fn write_packet(&mut self, packet: &Packet, out: &mut [u8]) -> Option<(SocketId, SocketAddr, usize)> {
        let now = self.now;
        let peer = self.peers.get_mut(&packet.node)?;
        let route = packet.route.or_else(|| peer.path.route())?;
        let (via, to, prefix) = destination(route, &self.config.beacons)?;
        let armour = peer.armour().filter(|armour| armour.may_take(route))?;
        let end = prefix + armour.head() + HEADER_LEN + packet.payload.len() + armour.tail();
        if !peer.path.may_send(route, end) {
            return None;
        }
        let frame = out.get_mut(prefix..end)?;
        let body = frame.get_mut(armour.head()..frame.len() - armour.tail())?;
        packet.header.emit(&packet.payload, body).ok()?;
        peer.put_on(now, armour, packet.session, frame)?;
        if prefix > 0 {
            write_relay_header(out, self.node?, packet.node).ok()?;
        }
        peer.sent(now, route, end);
        self.dirty.insert(packet.node);
        Some((via, to, end))
    }
}

/// Socket, address and bytes to leave free in front of a frame that takes `route`.
pub(super) fn destination(route: Route, beacons: &[SocketAddr]) -> Option<(SocketId, SocketAddr, usize)> {
    match route {
        Route::Direct { socket, address } => Some((socket, address, 0)),
        Route::Relay => Some((SocketId(0), *beacons.first()?, RELAY_HEADER_LEN)),
    }
}
