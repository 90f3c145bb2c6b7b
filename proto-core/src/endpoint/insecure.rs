//! The opt-in for closed testbeds (`spec/deviations.md`, D-4): talk with peers that prove no identity, in clear or under an anonymous key.
//!
//! Decides with whom that is allowed at all, when the better way has been tried for long enough, and what ends when an identity is proven.
//! Refuses to weaken what is there: a tunnel, a proven identity and a record in the trust store each rule it out.

use super::inner::Endpoint;
use super::outbox::PACKET_OVERHEAD;
use super::peer::Peer;
use crate::ids::NodeId;
use crate::limits;
use crate::path::{Proof, Route};
use crate::stream::CloseReason;
use crate::time::Timestamp;
use crate::tunnel::{Context, SessionId};
use crate::wire::Header;
use crate::wire::frame::{
    AUTHENTICATED_KEY_EXCHANGE_LEN, KEY_EXCHANGE_LEN, KeyExchange, MAGIC_LEN, PILT, SECURE_HEADER_LEN, TAG_LEN,
};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

/// Key exchanges of ours left unanswered before anything is said in clear: those of the first 0.75 s, and the time until the fourth is due.
const UNANSWERED_EXCHANGES: u8 = 3;
/// Exchanges sent within this are one.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Nodes that proved an identity since the start. Kept only where there is an opt-in.
#[derive(Debug, Default)]
pub(super) struct Identified(BTreeSet<NodeId>);

impl Identified {
    fn note(&mut self, node: NodeId) {
        if !self.is_full() {
            self.0.insert(node);
        }
    }

    /// When the table is full nobody new is spoken to insecurely, for it cannot be told any more who must not be.
    fn rules_out(&self, node: NodeId) -> bool {
        self.is_full() || self.0.contains(&node)
    }

    fn is_full(&self) -> bool {
        self.0.len() >= limits::MAX_PEERS
    }
}

/// Key exchanges of ours since the last valid one of a peer's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unanswered {
    count: u8,
    last: Option<Timestamp>,
}

impl Unanswered {
    /// One was sent; those sent at once, over several ways, are one.
    pub(super) fn sent(&mut self, now: Timestamp) {
        if self.last.is_none_or(|last| now >= last + AT_ONCE) {
            self.count = self.count.saturating_add(1);
            self.last = Some(now);
        }
    }
}

/// What goes around a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Armour {
    /// PILS.
    Sealed,
    /// PILT: a magic, and no more.
    Plain,
}

impl Armour {
    /// Bytes in front of the packet.
    pub(super) const fn head(self) -> usize {
        match self {
            Self::Sealed => SECURE_HEADER_LEN,
            Self::Plain => MAGIC_LEN,
        }
    }

    /// Bytes behind it.
    pub(super) const fn tail(self) -> usize {
        match self {
            Self::Sealed => TAG_LEN,
            Self::Plain => 0,
        }
    }

    /// The beacon must not read or alter what it passes on.
    pub(super) const fn may_take(self, route: Route) -> bool {
        matches!(self, Self::Sealed) || route.is_direct()
    }
}

// The room that callers leave is that of the larger one.
const _: () = assert!(PACKET_OVERHEAD >= Armour::Sealed.head() + Armour::Sealed.tail());

impl Peer {
    /// How a packet to it leaves now; `None` while none may.
    pub(super) fn armour(&self) -> Option<Armour> {
        if self.tunnel.is_established() { Some(Armour::Sealed) } else { self.plain.then_some(Armour::Plain) }
    }

    /// Packets have a way to go, and a frame to go in.
    pub(super) fn is_connected(&self) -> bool {
        self.armour().is_some_and(|armour| self.path.route().is_some_and(|route| armour.may_take(route)))
    }

    /// Completes `frame`, a packet with the room of `armour` around it; under exactly `session` where one is named.
    pub(super) fn put_on(
        &mut self,
        now: Timestamp,
        armour: Armour,
        session: Option<SessionId>,
        frame: &mut [u8],
    ) -> Option<()> {
        match (armour, session) {
            (Armour::Sealed, Some(session)) => self.tunnel.seal_probe(now, session, frame).ok(),
            (Armour::Sealed, None) => self.tunnel.seal(now, frame).ok(),
            (Armour::Plain, _) => frame.first_chunk_mut().map(|magic| *magic = PILT),
        }
    }
}

impl Endpoint {
    /// A peer that has no identity, by its number and address: for closed networks. Nothing is said to it unless [`super::Insecure`] says how,
    /// and whoever sends from anywhere can pass for it. Call [`Self::set_node`] first.
    pub fn add_peer_without_identity(&mut self, now: Timestamp, node: NodeId, endpoint: SocketAddr, trusted: bool) {
        self.add_told_peer(now, node, None, Some(endpoint), trusted);
    }

    /// What is said with `node` is not protected by an identity.
    pub(super) fn is_insecure(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.armour().is_some() && !peer.tunnel.is_authenticated())
    }

    fn is_guarded(&self, node: NodeId) -> bool {
        self.trust.is_trusted(node) || self.identified.rules_out(node)
    }

    /// Nobody knows a key of `node`, and nobody is left to ask.
    fn has_no_identity(&self, node: NodeId) -> bool {
        let told = || self.peers.get(&node).is_some_and(|peer| peer.facts.known);
        self.known_key(node).is_none() && (!self.config.registry || told())
    }

    /// Keys may be exchanged with `node` without identity.
    fn may_be_anonymous(&self, node: NodeId) -> bool {
        self.config.insecure.anonymous_exchange && !self.is_guarded(node) && self.has_no_identity(node)
    }

    fn may_be_plain(&self, node: NodeId) -> bool {
        let tunnel = || self.peers.get(&node).is_some_and(|peer| peer.tunnel.is_established());
        //= spec/frames.md#pp-frame-9
        //# PILT is never sent unless the host opted for plaintext.
        self.config.insecure.plaintext && !self.is_guarded(node) && !tunnel()
    }

    /// Whether the key exchange with `node` is anonymous, and the bytes of its frame.
    pub(super) fn exchange_kind(&self, node: NodeId) -> (bool, usize) {
        let anonymous = self.may_be_anonymous(node);
        (anonymous, if anonymous { KEY_EXCHANGE_LEN } else { AUTHENTICATED_KEY_EXCHANGE_LEN })
    }

    /// It is time to speak in clear: no exchange of keys is possible, or several stayed unanswered.
    pub(super) fn consents_to_plaintext(&self, node: NodeId) -> bool {
        let Some(peer) = self.peers.get(&node) else { return false };
        let in_vain = || peer.unanswered.count >= UNANSWERED_EXCHANGES;
        let impossible = || self.has_no_identity(node) && !self.config.insecure.anonymous_exchange;
        !peer.plain && self.may_be_plain(node) && (in_vain() || impossible())
    }

    pub(super) fn speak_plainly(&mut self, node: NodeId) {
        let now = self.now;
        self.with_peer(node, |peer| {
            peer.plain = true;
            peer.path.hurry(now);
        });
        self.tunnel_established(node);
    }

    /// A packet in clear. Its source is a claim, so no more is believed than that somebody there can send.
    pub(super) fn handle_plaintext(&mut self, route: Route, relayed_from: Option<NodeId>, packet: &[u8]) {
        //= spec/frames.md#pp-frame-8
        //# A PILT frame is dropped unless the host opted for plaintext.
        if !self.config.insecure.plaintext || relayed_from.is_some() {
            return self.drops.count("plaintext_refused");
        }
        let Ok((header, payload)) = Header::parse(packet) else { return self.drops.count("plaintext_bad_packet") };
        let sender = header.src.node;
        if !self.may_be_plain(sender) {
            return self.drops.count("plaintext_downgrade_refused");
        }
        if !self.lets_in_unproven(route, sender) {
            return;
        }
        let now = self.now;
        self.with_peer(sender, |peer| peer.received(now, route, MAGIC_LEN + packet.len(), Proof::Signed));
        if self.consents_to_plaintext(sender) {
            self.speak_plainly(sender);
        }
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        if !peer.plain {
            // It may be able to do better. It will repeat what it wants while our keys go unanswered.
            let mut context = Context { crypto: self.crypto, identity: &self.identity, rng: &mut self.rng };
            peer.tunnel.start_exchange(now, &mut context);
            return self.drops.count("plaintext_before_exchange");
        }
        peer.heard_at = Some(now);
        self.handle_packet(sender, route, &header, payload);
    }

    /// A key that nobody vouches for: taken where nobody could, and where that was opted for.
    pub(super) fn handle_anonymous_exchange(&mut self, route: Route, bytes: usize, exchange: &KeyExchange) {
        let (now, sender) = (self.now, exchange.sender);
        let identified = self.is_guarded(sender) || self.known_key(sender).is_some();
        //= spec/exchange.md#pp-kex-9
        //# A PILK makes no session unless the host opted for anonymous exchange.
        if !self.config.insecure.anonymous_exchange || identified {
            return self.refuse_anonymous_exchange(sender, route, bytes);
        }
        if !self.is_within_exchange_rate(route, sender) || !self.lets_in_unproven(route, sender) {
            return;
        }
        if !self.may_be_anonymous(sender) {
            // The registry is asked; the peer repeats its key.
            return self.drops.count("anonymous_exchange_before_lookup");
        }
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        let mut context = Context { crypto: self.crypto, identity: &self.identity, rng: &mut self.rng };
        match peer.tunnel.handle_anonymous_exchange(now, exchange, &mut context) {
            Ok(()) => {
                (peer.plain, peer.unanswered) = (false, Unanswered::default());
                peer.received(now, route, bytes, Proof::Signed);
            }
            Err(error) => self.drops.count(error.name()),
        }
        self.dirty.insert(sender);
    }

    /// Makes state for a sender that proved nothing, if it may have any: a private node deals with those it knows already only.
    fn lets_in_unproven(&mut self, route: Route, sender: NodeId) -> bool {
        let somebody = Some(sender) != self.node && sender != NodeId::UNASSIGNED && sender != NodeId::BROADCAST;
        if !somebody {
            self.drops.count("exchange_from_nobody");
            return false;
        }
        if !self.peers.contains_key(&sender) {
            if !self.public {
                self.drops.count("exchange_from_stranger");
                return false;
            }
            if self.peers.len() >= limits::MAX_UNPROVEN_PEERS {
                self.drops.count("peer_table_full");
                return false;
            }
            if !self.is_within_exchange_rate(route, sender) || self.ensure_peer(sender).is_none() {
                return false;
            }
        }
        if self.config.registry && self.peers.get(&sender).is_some_and(|peer| !peer.facts.known) {
            self.look_up(sender);
        }
        true
    }

    /// `node` signed a key exchange. What was said without identity may have been said to somebody else.
    pub(super) fn identity_proven(&mut self, node: NodeId, was_insecure: bool) {
        if self.config.insecure.any() {
            self.identified.note(node);
        }
        self.with_peer(node, |peer| (peer.plain, peer.unanswered) = (false, Unanswered::default()));
        if was_insecure {
            self.end_insecure_streams(node);
        }
    }

    /// The identity of `node` is known now, or guards something: an anonymous session is given up for an exchange of signed keys.
    pub(super) fn identity_told(&mut self, node: NodeId) {
        let Some(own) = self.node.filter(|_| self.is_insecure(node)) else { return };
        let (guarded, known) = (self.is_guarded(node), self.known_key(node).is_some());
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| guarded || known && !peer.plain) else { return };
        peer.plain = false;
        peer.tunnel = crate::tunnel::Tunnel::new(own, node);
        self.end_insecure_streams(node);
        self.start_exchange(node);
    }

    fn end_insecure_streams(&mut self, node: NodeId) {
        for id in self.streams.of_peer(node).to_vec() {
            if let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.dialling) {
                stream.connection.abort(CloseReason::Reset);
                self.touch_stream(id);
            }
        }
    }
}
