//! Where each received datagram belongs.

use super::Event;
use super::inner::Endpoint;
use crate::ids::{NodeId, SocketId};
use crate::path::{Proof, Route};
use crate::stream::Segment;
use crate::wire::beacon::NOTIFY_HANDSHAKE;
use crate::wire::candidate::canonical;
use crate::wire::{BeaconMessage, Datagram, Flags, Frame, Header, Protocol, SocketAddress, classify};
use bytes::Bytes;
use core::net::SocketAddr;

impl Endpoint {
    pub(super) fn handle_datagram(&mut self, via: SocketId, from: SocketAddr, data: &mut [u8]) {
        self.totals.bytes_received += data.len() as u64;
        self.totals.packets_received += 1;
        if self.handle_portmap(via, from, data) {
            return;
        }
        match classify(data) {
            Datagram::Empty => self.drops.count("empty_datagram"),
            Datagram::Beacon(_) => self.handle_beacon(via, from, data),
            Datagram::Frame(_) => self.handle_frame(Route::Direct { socket: via, address: from }, None, data),
        }
    }

    /// Beacon messages count only from a configured beacon.
    fn handle_beacon(&mut self, via: SocketId, from: SocketAddr, data: &mut [u8]) {
        //= spec/relay.md#pp-relay-4
        //# Beacon messages are taken from configured beacons only.
        if !self.config.beacons.contains(&from) {
            return self.drops.count("beacon_message_from_elsewhere");
        }
        let (now, len) = (self.now, data.len());
        match BeaconMessage::parse(data) {
            Ok(BeaconMessage::DiscoverReply(observed)) if via != SocketId(0) => {
                self.socket_observed(via, from, canonical(observed));
            }
            Ok(BeaconMessage::DiscoverReply(observed)) => {
                self.discovery.handle_reply(now, from, canonical(observed));
            }
            Ok(BeaconMessage::PunchCommand(target)) => self.handle_punch_command(canonical(target)),
            Ok(BeaconMessage::RelayDeliver { sender, frame }) => {
                let start = len - frame.len();
                self.totals.bytes_relayed += len as u64;
                self.handle_relayed(sender, data.get_mut(start..).unwrap_or_default());
            }
            Ok(BeaconMessage::RelayDeliverTo { sender, destination, frame }) => {
                let start = len - frame.len();
                if Some(destination) == self.node {
                    self.totals.bytes_relayed += len as u64;
                    self.handle_relayed(sender, data.get_mut(start..).unwrap_or_default());
                }
            }
            //= spec/relay.md#pp-relay-17
            //# A notification of kind 1 makes the node poll its inbox at the registry.
            Ok(BeaconMessage::Notify { kind: NOTIFY_HANDSHAKE }) => self.registry.notify(now),
            //= spec/versioning.md#pp-ver-6
            //# An unknown beacon message is ignored.
            Ok(_) | Err(_) => self.drops.count("beacon_message_unusable"),
        }
    }

    /// A relayed frame must say the same sender outside and inside; beacon messages do not nest.
    fn handle_relayed(&mut self, sender: NodeId, frame: &mut [u8]) {
        //= spec/relay.md#pp-relay-5
        //# A relayed beacon message, PILT or PILP is dropped.
        if matches!(classify(frame), Datagram::Frame(_)) {
            self.handle_frame(Route::Relay, Some(sender), frame);
        } else {
            self.drops.count("relayed_beacon_message");
        }
    }

    fn handle_frame(&mut self, route: Route, relayed_from: Option<NodeId>, data: &mut [u8]) {
        //= spec/exchange.md#pp-kex-26
        //# A PILA whose relayed envelope names another sender is dropped.
        let claims = |sender: NodeId| relayed_from.is_none_or(|outer| outer == sender);
        match Frame::parse(data) {
            Ok(Frame::Secure(frame)) if claims(frame.sender) => {
                let sender = frame.sender;
                self.handle_secure(sender, route, data);
            }
            Ok(Frame::AuthenticatedKeyExchange(exchange)) if claims(exchange.sender) => {
                self.handle_exchange(route, data.len(), exchange);
            }
            Ok(Frame::KeyExchange(exchange)) if claims(exchange.sender) => {
                self.handle_anonymous_exchange(route, data.len(), &exchange);
            }
            Ok(Frame::Plaintext(packet)) => self.handle_plaintext(route, relayed_from, packet),
            // A punch only opens the sender's NAT; it proves nothing (PP-FRAME-10).
            //= spec/frames.md#pp-frame-10
            //# A PILP frame creates no state, answers nothing and changes no address.
            Ok(Frame::Punch { .. }) => self.drops.count("punch_received"),
            Ok(_) => self.drops.count("relayed_sender_mismatch"),
            Err(_) => self.drops.count("frame_unusable"),
        }
    }

    fn handle_secure(&mut self, sender: NodeId, route: Route, data: &mut [u8]) {
        let (now, len) = (self.now, data.len());
        let Some(peer) = self.peers.get_mut(&sender) else { return self.handle_unknown_session(sender, route) };
        match peer.tunnel.open(now, data) {
            Ok(opened) => {
                peer.received(now, route, len, Proof::Fresh);
                self.dirty.insert(sender);
                self.handle_packet(sender, route, &opened.header, opened.payload);
            }
            Err(error) => {
                peer.received(now, route, len, Proof::Unproven);
                self.drops.count(error.name());
                self.dirty.insert(sender);
            }
        }
    }

    pub(super) fn handle_packet(&mut self, sender: NodeId, route: Route, header: &Header, payload: &[u8]) {
        let Some(own) = self.node else { return };
        let banished = self.peers.get(&sender).is_some_and(|peer| peer.banished);
        if banished && header.protocol != Protocol::Stream {
            return self.drops.count("packet_after_revocation");
        }
        match header.protocol {
            Protocol::Control => self.handle_control(sender, route, header, payload),
            _ if header.dst.node != own => self.drops.count("packet_for_another_node"),
            Protocol::Stream => self.handle_stream_packet(sender, header, payload),
            Protocol::Datagram => self.handle_datagram_packet(sender, header, payload),
            //= spec/packet.md#pp-pkt-10
            //# A packet of an unknown protocol is ignored.
            Protocol::Other(_) => self.drops.count("unknown_protocol"),
        }
    }

    fn handle_stream_packet(&mut self, sender: NodeId, header: &Header, payload: &[u8]) {
        let now = self.now;
        let segment = Segment { flags: header.flags, seq: header.seq, ack: header.ack, window: header.window, payload };
        let opens = header.flags.contains(Flags::SYN) && !header.flags.contains(Flags::ACK);
        let remote = SocketAddress::new(header.src, header.src_port);
        let found = self.streams.find(header.dst_port, remote).or_else(|| self.find_answered_from_backbone(header));
        if let Some(id) = found {
            let over = self.streams.get(id).is_some_and(|stream| stream.connection.may_be_replaced_by(&segment));
            if !(opens && over) {
                let mut delivered = false;
                if let Some(stream) = self.streams.get_mut(id) {
                    let before = stream.connection.acknowledged();
                    stream.connection.handle_segment(now, &segment);
                    delivered = stream.connection.acknowledged() > before;
                }
                if delivered {
                    self.with_peer(sender, |peer| peer.path.delivered());
                }
                if !payload.is_empty() {
                    self.with_peer(sender, |peer| peer.used(now));
                }
                return self.touch_stream(id);
            }
            // A new SYN on the 4-tuple of a stream that is over begins a new one. Who holds the old one can still read what it received.
            self.streams.supersede(id);
            self.touch_stream(id);
        }
        if opens {
            self.handle_syn(sender, header, &segment);
        } else {
            self.drops.count("no_such_stream");
            // A peer of ours that sends data into nothing, after a restart here, need not wait for its own timeout (RFC 9293 section 3.10.7.1).
            // The reference is left in silence, as it leaves us (PP-SES-25).
            //= spec/session.md#pp-ses-25
            //# Packets other than SYN for an unknown connection of a published implementation get no answer.
            let ours = self.peers.get_mut(&sender).filter(|peer| peer.ours);
            if !payload.is_empty() && ours.is_some_and(|peer| peer.pongs.take(now)) && self.trusts(sender) {
                self.send_reset(sender, header);
            }
        }
    }

    fn handle_datagram_packet(&mut self, sender: NodeId, header: &Header, payload: &[u8]) {
        //= spec/datagrams.md#pp-dgram-4
        //# A datagram from a node that is not admitted is dropped.
        if payload.is_empty() || !self.admits(sender, header.dst_port) {
            return self.drops.count("datagram_refused");
        }
        let cost = payload.len() + crate::limits::DATAGRAM_EVENT_COST;
        if self.datagram_bytes + cost > crate::limits::DATAGRAM_QUEUE_BYTES {
            return self.drops.count("datagram_queue_full");
        }
        if self.events.len() >= crate::limits::MAX_EVENTS {
            return self.drops.count("event_queue_full");
        }
        self.datagram_bytes += cost;
        let now = self.now;
        self.with_peer(sender, |peer| peer.used(now));
        self.event(Event::Datagram {
            from: SocketAddress::new(header.src, header.src_port),
            to_port: header.dst_port,
            data: Bytes::copy_from_slice(payload),
        });
    }

    /// The beacon says where the other side of a punch is; whose, it does not say.
    fn handle_punch_command(&mut self, target: SocketAddr) {
        let now = self.now;
        if !self.punches.accept(now, target, true, self.discovery.reflexive()) {
            return self.drops.count("punch_command_refused");
        }
        let meant: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.path.knows(target) || peer.path.expects_punch(now))
            .map(|(node, _)| *node)
            .take(4)
            .collect();
        self.send_punches(Route::direct(target));
        for node in meant {
            self.with_peer(node, |peer| peer.path.punch_command(now, target));
        }
    }
}
