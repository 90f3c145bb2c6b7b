//! Key exchanges as they arrive: from whom they are heard at all, and which identity key they are held against.

use super::inner::Endpoint;
use super::registry::Awaited;
use super::{DialError, Event};
use crate::crypto::PublicKey;
use crate::ids::NodeId;
use crate::limits;
use crate::path::{Proof, Route};
use crate::registry::{Lookup, OUR_VERSION_PREFIX, Request};
use crate::tunnel::{Context, ExchangeError, verify};
use crate::wire::AuthenticatedKeyExchange;
use core::time::Duration;

/// A failed look-up of a key is not repeated sooner, nor one of a peer that somebody shows another key for.
const LOOKUP_PAUSE: Duration = Duration::from_secs(3);

/// A key exchange that waits for its sender's identity key.
#[derive(Debug)]
pub(super) struct PendingExchange {
    exchange: AuthenticatedKeyExchange,
    route: Route,
    bytes: usize,
}

impl Endpoint {
    pub(super) fn handle_exchange(&mut self, route: Route, bytes: usize, exchange: AuthenticatedKeyExchange) {
        let sender = exchange.sender;
        if Some(sender) == self.node || sender == NodeId::UNASSIGNED {
            return self.drops.count("exchange_from_nobody");
        }
        if self.is_from_own_address(route, &exchange) {
            if !self.admission.allows_own_address(self.now, sender) {
                return self.drops.count("exchange_rate_limited");
            }
        } else if !self.is_within_exchange_rate(route, sender) {
            return;
        }
        //= spec/privacy.md#pp-priv-3
        //# A private node in no network answers no key exchange of a stranger.
        if !self.welcomes(sender) {
            return self.drops.count("exchange_from_stranger");
        }
        if let Some(key) = self.known_key(sender) {
            return self.accept_exchange(route, bytes, &exchange, &key);
        }
        //= spec/exchange.md#pp-kex-8
        //# A PILA of a sender whose identity key cannot be had is dropped.
        if self.is_lookup_paused(sender) {
            // Nobody would come back for it: the answer that ends the wait was a moment ago.
            return self.drops.count("exchange_of_unknown_node");
        }
        if self.strangers.len() >= limits::PENDING_EXCHANGES && !self.strangers.contains_key(&sender) {
            return self.drops.count("pending_exchanges_full");
        }
        self.strangers.insert(sender, PendingExchange { exchange, route, bytes });
        self.look_up(sender);
    }

    pub(super) fn is_within_exchange_rate(&mut self, route: Route, sender: NodeId) -> bool {
        let allowed = self.admission.allows_source(self.now, route, sender);
        if !allowed {
            self.drops.count("exchange_rate_limited");
        }
        allowed
    }

    /// It comes from where its sender is known to be, and names the sender's key.
    fn is_from_own_address(&self, route: Route, exchange: &AuthenticatedKeyExchange) -> bool {
        let there = self.peers.get(&exchange.sender).is_some_and(|peer| peer.path.is_own_address(route));
        there && self.known_key(exchange.sender).is_some_and(|key| key.0 == exchange.identity_public)
    }

    /// A private node is heard of only by those who may reach it: everyone else gets silence before any signature is checked.
    fn welcomes(&self, node: NodeId) -> bool {
        let dealt_with = || self.peers.get(&node).is_some_and(|peer| !peer.banished);
        self.public || !self.networks.is_empty() || dealt_with() || self.expects(node)
    }

    /// Trusted, or asked for trust by this node.
    pub(super) fn expects(&self, node: NodeId) -> bool {
        self.trusts(node) || self.trust.is_expected(node)
    }

    /// In the trust store, or told by the host.
    pub(super) fn trusts(&self, node: NodeId) -> bool {
        self.trust.is_trusted(node) || self.peers.get(&node).is_some_and(|peer| peer.trusted_by_host)
    }

    pub(super) fn pinned_key(&self, node: NodeId) -> Option<PublicKey> {
        self.trust.pinned_key(node)
    }

    pub(super) fn known_key(&self, node: NodeId) -> Option<PublicKey> {
        self.peers.get(&node).and_then(|peer| peer.key).or_else(|| self.pinned_key(node))
    }

    fn accept_exchange(&mut self, route: Route, bytes: usize, exchange: &AuthenticatedKeyExchange, key: &PublicKey) {
        let (now, sender) = (self.now, exchange.sender);
        // Another key than the known one is refused without a look at the signature.
        let checked = exchange.identity_public == key.0;
        let from_own_address = self.is_from_own_address(route, exchange);
        if checked && !self.admission.allows_check(now, route, from_own_address) {
            return self.drops.count("signature_checks_limited");
        }
        if !self.peers.contains_key(&sender) {
            // A forgery must not push another peer out of a full table.
            if let Err(error) = verify(exchange, key, self.crypto) {
                return self.drops.count(error.name());
            }
            if self.ensure_peer(sender).is_none() {
                return;
            }
        }
        let was_insecure = self.is_insecure(sender);
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        let mut context = Context { crypto: self.crypto, identity: &self.identity, rng: &mut self.rng };
        match peer.tunnel.handle_exchange(now, exchange, key, &mut context) {
            Ok(()) => {
                peer.key = Some(*key);
                peer.received(now, route, bytes, Proof::Signed);
                self.dirty.insert(sender);
                self.identity_proven(sender, was_insecure);
            }
            Err(error) => {
                // Anybody can make one up: nothing is learnt of where it came from, and nobody there is answered.
                self.drops.count(error.name());
                if error == ExchangeError::IdentityMismatch {
                    self.identity_mismatch(sender);
                }
            }
        }
    }

    /// A pinned key is not given up; a looked-up one may have been rotated and is asked for once more.
    fn identity_mismatch(&mut self, node: NodeId) {
        let (now, pinned) = (self.now, self.pinned_key(node).is_some());
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if pinned || peer.is_static {
            return self.event(Event::KeyMismatch(node));
        }
        // Anybody can name another key: the registry is not to hear of each that is made up.
        if peer.doubted_at.is_none_or(|at| now.saturating_since(at) >= LOOKUP_PAUSE) {
            peer.doubted_at = Some(now);
            self.look_up(node);
        }
    }

    /// PILK creates nothing. One that names a peer we know is answered with a PILA, rarely (PP-KEX-9, PP-KEX-10).
    pub(super) fn refuse_anonymous_exchange(&mut self, sender: NodeId, route: Route, bytes: usize) {
        self.drops.count("anonymous_exchange_refused");
        //= spec/exchange.md#pp-kex-10
        //# A PILK from a peer that is trusted or was asked for trust is answered with a PILA, at most every 3 seconds.
        self.handle_unknown_session(sender, route);
        let now = self.now;
        self.with_peer(sender, |peer| peer.received(now, route, bytes, Proof::Unproven));
    }

    /// A sealed frame without a session: after a restart of ours the peer must hear our new key. Only known friends are answered.
    pub(super) fn handle_unknown_session(&mut self, sender: NodeId, route: Route) {
        let now = self.now;
        if !self.expects(sender) || self.ensure_peer(sender).is_none() {
            return self.drops.count("secure_without_session");
        }
        self.with_peer(sender, |peer| {
            peer.last_route = peer.last_route.or(Some(route));
            //= spec/exchange.md#pp-kex-23
            //# A sealed frame from a trusted peer for which there is no session is answered with a PILA, at most every 3 seconds.
            peer.tunnel.request_exchange_on_unknown(now);
        });
    }

    /// Asks the registry for the identity key and facts of `node`, at most one question at a time and not sooner than 3 s after a failure.
    pub(super) fn look_up(&mut self, node: NodeId) {
        if self.is_lookup_paused(node) || self.looking_up.contains(&node) {
            return;
        }
        if self.ask_registry(Request::Lookup(node), Awaited::PeerKey(node)) {
            self.looking_up.insert(node);
        } else {
            self.looked_up(node, None);
        }
    }

    fn is_lookup_paused(&self, node: NodeId) -> bool {
        self.lookups_paused.get(&node).is_some_and(|until| *until > self.now)
    }

    /// The registry's answer about `node`: `None` when it does not know it or could not be asked.
    pub(super) fn looked_up(&mut self, node: NodeId, answer: Option<Lookup>) {
        let now = self.now;
        self.looking_up.remove(&node);
        let Some(answer) = answer else {
            if self.lookups_paused.len() >= limits::RATE_LIMITED_SOURCES {
                self.lookups_paused.retain(|_, until| *until > now);
            }
            if self.lookups_paused.len() < limits::RATE_LIMITED_SOURCES {
                self.lookups_paused.insert(node, now + LOOKUP_PAUSE);
            }
            self.strangers.remove(&node);
            return;
        };
        if let Some(key) = &answer.public_key
            && self.trust.note_key(node, key).is_err()
        {
            self.strangers.remove(&node);
            self.event(Event::KeyMismatch(node));
            return self.fail_dials(node, DialError::Identity);
        }
        let shared = answer.networks.iter().any(|network| self.networks.contains(network));
        if answer.public || shared {
            self.trust.admits_us(self.wall_now(), node);
        }
        let told = answer.public_key;
        let ours = answer.version.as_deref().is_some_and(|version| version.starts_with(OUR_VERSION_PREFIX));
        self.with_peer(node, |peer| {
            peer.key = if peer.is_static { peer.key.or(told) } else { told.or(peer.key) };
            peer.facts.known = true;
            peer.facts.public = answer.public;
            peer.facts.networks = answer.networks.clone();
            peer.facts.hostname = answer.hostname.clone();
            peer.path.set_ours(now, ours || peer.ours);
        });
        if ours && (answer.public || shared || self.trusts(node)) {
            self.exchange_while_resolving(node);
        }
        self.identity_told(node);
        if self.known_key(node).is_none() && !self.config.insecure.any() {
            self.fail_dials(node, DialError::Identity);
        }
        if let (Some(waiting), Some(key)) = (self.strangers.remove(&node), told)
            && (self.public || shared || self.expects(node) || self.peers.contains_key(&node))
        {
            self.accept_exchange(waiting.route, waiting.bytes, &waiting.exchange, &key);
        }
    }
}
