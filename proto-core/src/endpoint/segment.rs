//! Stream segments on their way out: written, sealed and batched in the host's buffer, without allocation.

use super::inner::Endpoint;
use super::insecure::Armour;
use super::outbox::{PACKET_OVERHEAD, destination};
use super::peer::Peer;
use super::streams::Stream;
use super::{Transmit, TransmitBuf};
use crate::ids::{NodeId, StreamId};
use crate::limits;
use crate::path::Route;
use crate::time::Timestamp;
use crate::wire::Address;
use crate::wire::beacon::write_relay_header;
use crate::wire::header::{Flags, HEADER_LEN};

/// A batch of GSO is at most one datagram's worth of bytes (Linux: 65,535 with all headers).
const LARGEST_BATCH: usize = limits::MAX_DATAGRAM - 64;
/// Payload of a segment that fits a batch of one on every path, whatever is configured.
const LARGEST_SEGMENT: u16 = 65_000;
const _: () = assert!(LARGEST_SEGMENT as usize + PACKET_OVERHEAD <= LARGEST_BATCH);

impl Endpoint {
    /// The next batch of segments of the stream whose turn it is.
    pub(super) fn transmit_streams(&mut self, out: &mut TransmitBuf<'_>) -> Option<Transmit> {
        while let Some(id) = self.streams.next_ready() {
            let transmit = self.transmit_stream(id, out);
            self.touch_stream_after_send(id, transmit.is_some());
            if transmit.is_some() {
                return transmit;
            }
        }
        None
    }

    fn transmit_stream(&mut self, id: StreamId, out: &mut TransmitBuf<'_>) -> Option<Transmit> {
        let now = self.now;
        let own = self.node?;
        let stream = self.streams.get_mut(id)?;
        let node = stream.peer();
        let peer = self.peers.get_mut(&node)?;
        let route = peer.path.route()?;
        let armour = peer.armour().filter(|armour| armour.may_take(route))?;
        let (via, to, prefix) = destination(route, &self.config.beacons)?;
        let mut transmit = Transmit { via, to, from: None, ttl: None, ecn: None, len: 0, segment: None };
        let mut first = 0;
        let limit = out.bytes.len().min(LARGEST_BATCH);
        let largest = self.config.stream.mss.max(self.config.stream.loopback_mss).min(LARGEST_SEGMENT);
        let room = usize::from(largest) + PACKET_OVERHEAD;
        for count in 0..out.max_segments.max(1) {
            let Some(buf) = out.bytes.get_mut(transmit.len..limit).filter(|buf| buf.len() >= room) else { break };
            if !peer.path.may_send(route, room) {
                break;
            }
            let Some(len) = write_segment((peer, armour), stream, now, prefix, buf) else { break };
            if prefix > 0 && write_relay_header(buf, own, node).is_err() {
                break;
            }
            peer.sent(now, route, len);
            if count > 0 && len > first {
                let alone = Transmit { len, segment: None, ..transmit };
                self.outbox.stash(alone, buf.get(..len)?);
                break;
            }
            transmit.len += len;
            if count == 0 {
                first = len;
            } else {
                transmit.segment = Some(first);
                if len < first {
                    break;
                }
            }
        }
        self.dirty.insert(node);
        (transmit.len > 0).then_some(transmit)
    }

    /// The payload a data segment to `node` may carry on its selected path.
    pub(super) fn path_mss(&self, node: NodeId) -> u16 {
        let stream = &self.config.stream;
        let loopback = self.peers.get(&node).and_then(|peer| peer.path.route()).is_some_and(Route::is_loopback);
        let configured = if loopback { stream.loopback_mss } else { stream.mss };
        configured.min(LARGEST_SEGMENT)
    }
}

/// Writes one segment as a frame at `buf[prefix..]`; returns the bytes of the datagram.
fn write_segment(
    (peer, armour): (&mut Peer, Armour),
    stream: &mut Stream,
    now: Timestamp,
    prefix: usize,
    buf: &mut [u8],
) -> Option<usize> {
    let packet_at = prefix + armour.head();
    let payload_at = packet_at + HEADER_LEN;
    let payload_end = buf.len().checked_sub(armour.tail())?;
    let segment = stream.connection.poll_segment(now, buf.get_mut(payload_at..payload_end)?)?;
    let header = stream.header(&segment);
    if segment.payload_len > 0 || segment.flags.contains(Flags::SYN) {
        peer.used(now);
    }
    let packet_end = payload_at + segment.payload_len;
    let len = packet_end + armour.tail();
    header.emit_in_place(buf.get_mut(packet_at..packet_end)?).ok()?;
    peer.put_on(now, armour, None, buf.get_mut(prefix..len)?)?;
    Some(len)
}

/// This node's address in the network of `address`.
pub(super) fn own_address(own: NodeId, network: Address) -> Address {
    Address { network: network.network, node: own }
}
