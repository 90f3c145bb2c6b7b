//! A new identity key for this node, and new ones of peers.
//!
//! Decides when the new key is used: not before the registry has it. Refuses to know where keys are kept: the host has stored
//! the new one before it is asked for, so that it is never lost.

use super::inner::Endpoint;
use super::registry::Awaited;
use super::{Event, Outcome};
use crate::crypto::{Identity, PublicKey};
use crate::ids::{NodeId, RequestId};
use crate::registry::{Lookup, Request, RequestError, leads};
use crate::time::Timestamp;
use serde_json::Value;
use std::sync::Arc;

impl Endpoint {
    /// Replaces this node's identity key by `successor`: asks the registry, with the present key's signature, then tells all
    /// known peers. The answer is `Completed` as of [`Self::registry_request`]; with `Registry` the new key is in use.
    ///
    /// With any other answer than `RegistryError` nobody knows whether the registry has it. `successor` is remembered then, and
    /// [`Event::IdentityReplaced`] comes when the registry refuses the present key because it was rotated.
    pub fn rotate_identity(&mut self, now: Timestamp, successor: Identity) -> RequestId {
        self.advance(now);
        let id = self.request_id();
        let request = Request::RotateKey { new_public_key: successor.public() };
        self.successor = Some(Arc::new(successor));
        if !self.ask_registry(request, Awaited::Rotation(id)) {
            self.event(Event::Completed(id, Outcome::RegistryUnavailable));
        }
        self.settle();
        id
    }

    /// A rotation to `successor` was begun in an earlier run, and its end is not known.
    pub fn set_successor(&mut self, successor: Identity) {
        self.successor = Some(Arc::new(successor));
    }

    pub(super) fn rotation_answered(&mut self, id: RequestId, answer: Result<Value, RequestError>) {
        match &answer {
            Ok(_) => self.succeed(),
            Err(RequestError::Refused(_)) => self.successor = None,
            Err(RequestError::Unavailable | RequestError::Timeout) => {}
        }
        self.host_reply(id, answer);
    }

    /// The registry has the successor's key: everything is signed with it from now on, and every peer hears so.
    //= spec/identity.md#pp-id-9
    //# A node that has rotated its key tells every peer that it has a tunnel with, by a key exchange signed with the new key.
    pub(super) fn succeed(&mut self) {
        let Some(successor) = self.successor.take() else { return };
        self.identity = Arc::clone(&successor);
        self.registry.set_identity(Arc::clone(&successor));
        self.trust.set_identity(successor);
        let now = self.now;
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            self.with_peer(node, |peer| peer.tunnel.renew(now));
        }
        self.event(Event::IdentityReplaced(self.identity.public()));
    }

    /// `told` by the registry for `node` is the pinned key, or one that may be pinned in its place.
    pub(super) fn takes_key(&mut self, node: NodeId, told: &PublicKey, record: &Lookup) -> bool {
        if self.trust.note_key(node, told).is_ok() {
            return true;
        }
        let Some(pinned) = self.trust.pinned_key(node) else { return false };
        let rotated = leads(&record.key_history, node, (&pinned, told), self.crypto);
        if rotated {
            self.trust.repin(node, *told);
            self.event(Event::KeyRotated(node));
        }
        rotated
    }
}
