//! Decides which messages of peers count, and what they change. Direct messages come from a peer whose key the tunnel
//! proved; relayed ones only have the registry's word, so they count for less.

use super::policy::{Circumstances, Decision, decide};
use super::store::{Pending, Source};
use super::{Trust, TrustAction, printable};
use crate::crypto::PublicKey;
use crate::ids::NodeId;
use crate::time::Timestamp;
use crate::wire::trust::{MAX_TRUST_MESSAGE, signed_string};
use crate::wire::{TrustKind, TrustMessage};
use bytes::Bytes;
use core::fmt;

/// Oldest and most future message that counts, in seconds (PP-TRUST-5).
const MAX_AGE: u64 = 5 * 60;
const MAX_FUTURE: u64 = 30;

/// Why a message of a peer changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// This node has no number yet.
    NotRegistered,
    /// Not a trust message, or longer than 64 KiB.
    Malformed,
    /// It claims to be from another node, or names another key, than the tunnel proved.
    Impersonation,
    /// The peer's key is not the one pinned for its number.
    KeyMismatch,
    /// The signature is missing or wrong.
    Signature,
    /// Made more than 5 minutes ago, or more than 30 s from now.
    Stale,
    /// It was taken before.
    Replayed,
    /// It answers a request that was not made.
    Unsolicited,
    /// No room for another request.
    Full,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRegistered => "this node is not registered yet",
            Self::Malformed => "not a trust message",
            Self::Impersonation => "the message names another node or key than the tunnel proved",
            Self::KeyMismatch => "the peer's key is not the pinned one",
            Self::Signature => "the signature is missing or wrong",
            Self::Stale => "the message is too old or from the future",
            Self::Replayed => "the message was taken before",
            Self::Unsolicited => "the message answers a request that was not made",
            Self::Full => "too many requests wait",
        })
    }
}

impl core::error::Error for MessageError {}

/// How a request came, which is how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    /// From the tunnel of the node with this key.
    Direct(PublicKey, Source),
    Relayed,
}

impl Trust {
    /// A message on port 444 from `peer`, whose tunnel proved `peer_key` and came from `source`. `shared_network`: the registry says that both
    /// are in one network other than the backbone.
    ///
    /// # Errors
    ///
    /// See [`MessageError`]: the message is to be dropped and counted, never answered.
    pub fn handle_message(
        &mut self,
        wall: u64,
        peer: NodeId,
        peer_key: &PublicKey,
        bytes: &[u8],
        shared_network: bool,
        source: Source,
    ) -> Result<(), MessageError> {
        let own = self.own.ok_or(MessageError::NotRegistered)?;
        if bytes.len() > MAX_TRUST_MESSAGE {
            return Err(MessageError::Malformed);
        }
        let message = TrustMessage::parse(bytes).map_err(|_| MessageError::Malformed)?;
        check_sender(&message, own, peer, peer_key)?;
        let signature = message.signature.ok_or(MessageError::Signature)?;
        if !peer_key.verify_strict(self.crypto, signed_string(peer, own).as_bytes(), &signature) {
            return Err(MessageError::Signature);
        }
        check_age(message.timestamp, wall)?;
        self.note_key(peer, peer_key).map_err(|_| MessageError::KeyMismatch)?;
        //= spec/trust.md#pp-trust-6
        //# A trust message is taken once.
        if !self.replay.admit(bytes) {
            return Err(MessageError::Replayed);
        }
        match message.kind {
            TrustKind::Request => {
                self.asked(wall, peer, Channel::Direct(*peer_key, source), &message.justification, shared_network)
            }
            TrustKind::Accept => self.accepted(wall, peer, Some(*peer_key)),
            TrustKind::Reject => self.rejected(peer, &message.reason),
            TrustKind::Revoke => self.revoked(wall, peer),
        }
    }

    /// A request that waited in the registry's inbox.
    ///
    /// # Errors
    ///
    /// [`MessageError::Full`], [`MessageError::NotRegistered`], [`MessageError::Impersonation`] when it names this node.
    pub fn handle_relayed_request(
        &mut self,
        wall: u64,
        from: NodeId,
        justification: &str,
        shared_network: bool,
    ) -> Result<(), MessageError> {
        self.check_relayed(from)?;
        self.asked(wall, from, Channel::Relayed, justification, shared_network)
    }

    /// An answer that waited in the registry's inbox. An approval counts while the request is fresh; for an older one
    /// the peer is asked again, so that it can confirm.
    ///
    /// # Errors
    ///
    /// [`MessageError::Unsolicited`], [`MessageError::NotRegistered`], [`MessageError::Impersonation`].
    pub fn handle_relayed_response(
        &mut self,
        now: Timestamp,
        wall: u64,
        from: NodeId,
        accept: bool,
    ) -> Result<(), MessageError> {
        self.check_relayed(from)?;
        if !accept {
            return self.rejected(from, "");
        }
        let outgoing = self.store.outgoing.get(&from).ok_or(MessageError::Unsolicited)?;
        if now < outgoing.fresh_until {
            return self.accepted(wall, from, None);
        }
        let justification = outgoing.justification.clone();
        self.store.expect(now, wall, from, justification);
        self.send_request(wall, from, true);
        Ok(())
    }

    pub(super) fn send_direct(&mut self, wall: u64, node: NodeId, kind: TrustKind, text: &str) {
        let Some(own) = self.own else { return };
        let said = |wanted: bool| if wanted { text.to_owned() } else { String::new() };
        let is_request = kind == TrustKind::Request;
        let message = TrustMessage {
            kind,
            node: own,
            public_key: Some(*self.identity.public().as_bytes()),
            justification: said(is_request),
            signature: Some(self.identity.sign(signed_string(own, node).as_bytes())),
            reason: said(!is_request),
            timestamp: wall,
        };
        if let Ok(message) = message.to_vec() {
            self.actions.push_back(TrustAction::SendDirect { node, kind, message: Bytes::from(message) });
        }
    }

    fn check_relayed(&self, from: NodeId) -> Result<(), MessageError> {
        let own = self.own.ok_or(MessageError::NotRegistered)?;
        let other = from != own && from != NodeId::UNASSIGNED && from != NodeId::BROADCAST;
        if other { Ok(()) } else { Err(MessageError::Impersonation) }
    }

    fn asked(
        &mut self,
        wall: u64,
        node: NodeId,
        channel: Channel,
        justification: &str,
        shared_network: bool,
    ) -> Result<(), MessageError> {
        let (key, source) = match channel {
            Channel::Direct(key, source) => (Some(key), source),
            Channel::Relayed => (None, Source::Rendezvous),
        };
        let circumstances = Circumstances {
            trusted: self.is_trusted(node),
            outgoing: self.is_expected(node),
            shared_network,
            auto_approve: self.auto_approve,
            cooling_down: self.store.is_cooling_down(wall, node),
        };
        match decide(circumstances) {
            Decision::Confirm => self.confirm(wall, node, channel),
            //= spec/trust.md#pp-trust-10
            //# A request from a member of a common network other than the backbone is approved at once.
            Decision::Approve => {
                if !self.grant(wall, node, key, circumstances.outgoing) {
                    return Err(MessageError::Full);
                }
                self.confirm(wall, node, channel);
            }
            //= spec/trust.md#pp-trust-9
            //# A request that no rule approves waits for a person.
            Decision::Ask => {
                let justification = printable(justification);
                self.remember_request(node, Pending { public_key: key, justification, received_at: wall, source })?;
            }
        }
        Ok(())
    }

    /// Tells `node` that it is trusted, the way it asked. A relayed approval is repeated directly: a peer of an older
    /// version collects its inbox once a minute.
    fn confirm(&mut self, wall: u64, node: NodeId, channel: Channel) {
        if self.store.outgoing.remove(&node).is_some() {
            self.actions.push_back(TrustAction::SnapshotChanged);
        }
        if channel == Channel::Relayed {
            self.actions.push_back(TrustAction::RespondHandshake { node, accept: true });
        }
        self.send_direct(wall, node, TrustKind::Accept, "");
    }

    fn remember_request(&mut self, node: NodeId, pending: Pending) -> Result<(), MessageError> {
        let justification = pending.justification.clone();
        let is_new = self.store.ask(pending.received_at, node, pending).ok_or(MessageError::Full)?;
        self.actions.push_back(TrustAction::SnapshotChanged);
        if is_new {
            self.actions.push_back(TrustAction::Requested { node, justification });
        }
        Ok(())
    }

    fn accepted(&mut self, wall: u64, node: NodeId, key: Option<PublicKey>) -> Result<(), MessageError> {
        //= spec/trust.md#pp-trust-7
        //# An acceptance nobody asked for changes nothing.
        if !self.is_expected(node) {
            return Err(MessageError::Unsolicited);
        }
        if self.grant(wall, node, key, true) { Ok(()) } else { Err(MessageError::Full) }
    }

    fn rejected(&mut self, node: NodeId, reason: &str) -> Result<(), MessageError> {
        self.store.outgoing.remove(&node).ok_or(MessageError::Unsolicited)?;
        self.actions.push_back(TrustAction::SnapshotChanged);
        self.actions.push_back(TrustAction::Rejected { node, reason: printable(reason) });
        Ok(())
    }

    fn revoked(&mut self, wall: u64, node: NodeId) -> Result<(), MessageError> {
        let asked = self.store.pending.contains_key(&node) || self.is_expected(node);
        if self.withdraw(wall, node) {
            return Ok(());
        }
        if !asked {
            return Err(MessageError::Unsolicited);
        }
        self.actions.push_back(TrustAction::SnapshotChanged);
        Ok(())
    }
}

/// The message names the node and key that the tunnel proved.
fn check_sender(message: &TrustMessage, own: NodeId, peer: NodeId, peer_key: &PublicKey) -> Result<(), MessageError> {
    //= spec/trust.md#pp-trust-4
    //# A trust message whose node or key is not that of the tunnel it came by is dropped.
    let same = message.node == peer && peer != own && message.public_key.as_ref() == Some(peer_key.as_bytes());
    if same { Ok(()) } else { Err(MessageError::Impersonation) }
}

fn check_age(timestamp: u64, wall: u64) -> Result<(), MessageError> {
    let clock_is_known = wall != 0;
    //= spec/trust.md#pp-trust-5
    //# A trust message older than 5 minutes or more than 30 seconds from the future is dropped.
    let is_old = timestamp.saturating_add(MAX_AGE) < wall;
    let is_future = timestamp > wall.saturating_add(MAX_FUTURE);
    if clock_is_known && (is_old || is_future) { Err(MessageError::Stale) } else { Ok(()) }
}
