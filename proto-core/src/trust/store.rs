//! Decides what is remembered: who is trusted under which key, who waits for a decision, who was asked, who was
//! revoked. Refuses to know how any of it came about. Every table is bounded in [`crate::limits`].

use crate::crypto::PublicKey;
use crate::ids::NodeId;
use crate::limits::{
    MAX_OUTGOING_TRUST, MAX_PENDING_TRUST, MAX_TRUSTED, OUTGOING_TRUST_TTL, PENDING_TRUST_PER_SOURCE,
    PENDING_TRUST_RELAYED, PENDING_TRUST_TTL, REVOCATION_COOLDOWN,
};
use crate::time::Timestamp;
use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeMap;

/// A peer that is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// Its Ed25519 key, pinned; `None` until it was seen, after an approval through the registry.
    pub public_key: Option<PublicKey>,
    /// When, in Unix seconds.
    pub approved_at: u64,
    /// Both sides are known to have agreed.
    pub mutual: bool,
}

/// A request that waits for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The Ed25519 key its tunnel proved; `None` when it came through the registry.
    pub public_key: Option<PublicKey>,
    /// What it says: printable, at most [`crate::limits::MAX_JUSTIFICATION`] bytes.
    pub justification: String,
    /// When it came, in Unix seconds.
    pub received_at: u64,
    /// Where it came from, as far as that can be told.
    pub source: Source,
}

/// Where a request for trust came from, as far as that can be told. Whoever has one address can have many node numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Straight from this IPv4 address, or this IPv6 network of 64 bits.
    Network(IpAddr),
    /// By way of the registry or the beacon, which do not tell.
    Rendezvous,
}

impl Source {
    /// Straight from `address`.
    #[must_use]
    pub fn direct(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        })
    }

    /// Requests of it that may wait.
    const fn share(self) -> usize {
        match self {
            Self::Network(_) => PENDING_TRUST_PER_SOURCE,
            Self::Rendezvous => PENDING_TRUST_RELAYED,
        }
    }
}

/// A request of this node's own that was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Why trust is asked for.
    pub justification: String,
    /// When it was made, in Unix seconds.
    pub sent_at: u64,
    /// Until then the registry's word is enough for an approval; later the peer's own is needed.
    pub(super) fresh_until: Timestamp,
    /// The relay could not be reached: to be tried again.
    pub(super) retry_at: Option<Timestamp>,
    /// It was sent directly too.
    pub(super) went_directly: bool,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) trusted: BTreeMap<NodeId, Trusted>,
    pub(super) pending: BTreeMap<NodeId, Pending>,
    pub(super) outgoing: BTreeMap<NodeId, Outgoing>,
    /// Unix seconds until which a revoked node stays out.
    pub(super) revoked: BTreeMap<NodeId, u64>,
}

impl Store {
    /// Records trust, pinning `public_key` unless another one is pinned. `false` when the table is full.
    pub(super) fn trust(&mut self, wall: u64, node: NodeId, public_key: Option<PublicKey>, mutual: bool) -> bool {
        if self.trusted.len() >= MAX_TRUSTED && !self.trusted.contains_key(&node) {
            return false;
        }
        let asked = self.pending.remove(&node);
        self.outgoing.remove(&node);
        self.revoked.remove(&node);
        let public_key = public_key.or(asked.and_then(|pending| pending.public_key));
        let record = self.trusted.entry(node).or_insert(Trusted { public_key, approved_at: wall, mutual });
        record.public_key = record.public_key.or(public_key);
        record.mutual |= mutual;
        true
    }

    /// Withdraws trust and everything else about `node`. `false` when it was not trusted.
    pub(super) fn revoke(&mut self, wall: u64, node: NodeId) -> bool {
        self.pending.remove(&node);
        self.outgoing.remove(&node);
        let was_trusted = self.trusted.remove(&node).is_some();
        if was_trusted {
            self.expire(wall);
            if self.revoked.len() >= MAX_TRUSTED {
                self.revoked.pop_first();
            }
            //= spec/trust.md#pp-trust-12
            //# For 5 minutes after a revocation no rule and no relayed approval restores trust; an own request does.
            self.revoked.insert(node, wall.saturating_add(REVOCATION_COOLDOWN.as_secs()));
        }
        was_trusted
    }

    /// Remembers a request. `None` when there is no room, otherwise whether it is a new one.
    pub(super) fn ask(&mut self, wall: u64, node: NodeId, pending: Pending) -> Option<bool> {
        self.expire(wall);
        if let Some(known) = self.pending.get_mut(&node) {
            known.public_key = pending.public_key.or(known.public_key);
            known.justification = pending.justification;
            return Some(false);
        }
        let of_source = self.pending.values().filter(|other| other.source == pending.source).count();
        //= spec/trust.md#pp-trust-13
        //# At most 256 requests wait for a decision, for 30 days at most; of these at most 16 that came directly from one IPv4 address or one
        //# IPv6 network of 64 bits, and at most 192 by way of the rendezvous.
        if self.pending.len() >= MAX_PENDING_TRUST || of_source >= pending.source.share() {
            return None;
        }
        self.pending.insert(node, pending);
        Some(true)
    }

    /// Remembers that `node` was asked; the oldest own request is forgotten when there are too many.
    pub(super) fn expect(&mut self, now: Timestamp, wall: u64, node: NodeId, justification: String) {
        self.revoked.remove(&node);
        if self.outgoing.len() >= MAX_OUTGOING_TRUST && !self.outgoing.contains_key(&node) {
            let oldest = self.outgoing.iter().min_by_key(|(_, outgoing)| outgoing.sent_at).map(|(node, _)| *node);
            oldest.map(|oldest| self.outgoing.remove(&oldest));
        }
        let fresh_until = now + OUTGOING_TRUST_TTL;
        let outgoing = Outgoing { justification, sent_at: wall, fresh_until, retry_at: None, went_directly: false };
        self.outgoing.insert(node, outgoing);
    }

    pub(super) fn is_cooling_down(&self, wall: u64, node: NodeId) -> bool {
        self.revoked.get(&node).is_some_and(|until| wall < *until)
    }

    /// Forgets what is too old to matter.
    pub(super) fn expire(&mut self, wall: u64) {
        let fresh = |since: u64| wall < since.saturating_add(PENDING_TRUST_TTL.as_secs());
        self.pending.retain(|_, pending| fresh(pending.received_at));
        self.outgoing.retain(|_, outgoing| fresh(outgoing.sent_at));
        self.revoked.retain(|_, until| wall < *until);
    }
}
