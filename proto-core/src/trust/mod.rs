//! Decides whom this node trusts: requests, approvals, refusals and revocations, made directly on port 444 or relayed
//! by the registry (`spec/trust.md`). Refuses to know streams, tunnels and registry connections: it says what
//! to send to whom, and is told what came from whom.
//!
//! A request of this node goes through the registry at once: a private node drops the SYN of a stranger to port 444
//! silently, so a direct attempt costs seconds where the relay with the beacon's notification costs one round trip.
//! It goes directly as well, in parallel, to peers that are known to admit this node.

mod handshake;
mod policy;
mod replay;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod untold;

use crate::crypto::{CryptoProvider, Identity, PublicKey};
use crate::ids::NodeId;
use crate::limits::MAX_JUSTIFICATION;
use crate::time::Timestamp;
use crate::wire::TrustKind;
use bytes::Bytes;
use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use replay::Replay;
use store::Store;
use untold::Untold;

pub use handshake::MessageError;
pub use snapshot::Snapshot;
pub use store::{Outgoing, Pending, Source, Trusted};
pub use untold::Told;

/// Wait before a request is handed to the relay again after it could not be reached.
const RELAY_RETRY: Duration = Duration::from_secs(5);

/// What a user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask a peer for trust; approve it when it asked already.
    Request {
        /// The peer.
        node: NodeId,
        /// Why; made printable and cut to [`MAX_JUSTIFICATION`] bytes.
        justification: String,
        /// The peer is known to admit this node's SYN: it is public, or shares a network. A direct message is sent too.
        admits_us: bool,
    },
    /// Approve a waiting request.
    Approve(NodeId),
    /// Refuse a waiting request.
    Reject {
        /// The peer.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// Withdraw trust, or an own request that was not answered.
    Revoke(NodeId),
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustError {
    /// This node has no number yet.
    NotRegistered,
    /// Not another node.
    InvalidTarget,
    /// The peer did not ask.
    NothingPending(NodeId),
    /// There is no trust to withdraw.
    NotTrusted(NodeId),
    /// [`crate::limits::MAX_TRUSTED`] peers are trusted already.
    Full,
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRegistered => f.write_str("this node is not registered yet"),
            Self::InvalidTarget => f.write_str("not another node"),
            Self::NothingPending(node) => write!(f, "node {node} has no pending request"),
            Self::NotTrusted(node) => write!(f, "node {node} was not trusted"),
            Self::Full => f.write_str("too many trusted nodes"),
        }
    }
}

impl core::error::Error for TrustError {}

/// What the owner must do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustAction {
    /// Dial port 444 of this node, write these bytes, finish. Tell a failure by [`Trust::direct_failed`].
    SendDirect {
        /// The peer.
        node: NodeId,
        /// What they are, for [`Trust::direct_failed`].
        kind: TrustKind,
        /// One complete message.
        message: Bytes,
    },
    /// Ask the registry to relay a request. Tell [`Trust::relay_failed`] when it could not be reached.
    RequestHandshake {
        /// The peer.
        node: NodeId,
        /// Why.
        justification: String,
    },
    /// Answer a request through the registry. Tell [`Trust::telling_failed`] when it could not be reached.
    RespondHandshake {
        /// The peer.
        node: NodeId,
        /// The answer.
        accept: bool,
    },
    /// Report trust to the registry.
    ReportTrust(NodeId),
    /// Report the end of trust, or of a request for it, to the registry. Tell [`Trust::telling_failed`] when it could not be reached.
    RevokeTrust(NodeId),
    /// Close all streams of this peer now; a [`TrustAction::SendDirect`] that follows opens a new one.
    CloseStreams(NodeId),
    /// Tell the user that a peer asks for trust.
    Requested {
        /// The peer.
        node: NodeId,
        /// What it says.
        justification: String,
    },
    /// Tell the user that a peer refused.
    Rejected {
        /// The peer.
        node: NodeId,
        /// What it says; empty when the refusal was relayed.
        reason: String,
    },
    /// Tell the user that trust was granted or withdrawn, by either side.
    Changed {
        /// The peer.
        node: NodeId,
        /// Now trusted.
        trusted: bool,
    },
    /// [`Trust::snapshot`] is to be kept.
    SnapshotChanged,
}

/// A peer's key is not the one pinned in its trust record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyMismatch(pub NodeId);

/// The trust of one node.
///
/// `wall` is Unix seconds everywhere, zero when unknown. After each `&mut` call the owner takes all actions.
#[derive(Debug)]
pub struct Trust {
    identity: Arc<Identity>,
    crypto: &'static CryptoProvider,
    own: Option<NodeId>,
    auto_approve: bool,
    store: Store,
    replay: Replay,
    untold: Untold,
    actions: VecDeque<TrustAction>,
}

impl Trust {
    /// Trusts nobody. `auto_approve` approves everyone who asks.
    #[must_use]
    pub fn new(identity: Arc<Identity>, crypto: &'static CryptoProvider, auto_approve: bool) -> Self {
        let (store, replay, untold) = (Store::default(), Replay::default(), Untold::default());
        Self { identity, crypto, own: None, auto_approve, store, replay, untold, actions: VecDeque::new() }
    }

    /// This node's number, needed before anything can be sent.
    pub fn set_own(&mut self, own: NodeId) {
        self.own = Some(own);
    }

    /// Nodes trusted, that ask, that were asked and that were revoked, messages remembered, and what the registry was not told yet.
    #[must_use]
    pub fn held(&self) -> [usize; 6] {
        let Store { trusted, pending, outgoing, revoked } = &self.store;
        [trusted.len(), pending.len(), outgoing.len(), revoked.len(), self.replay.len(), self.untold.len()]
    }

    /// The key that signs from now on.
    pub fn set_identity(&mut self, identity: Arc<Identity>) {
        self.identity = identity;
    }

    /// Loads what an earlier run kept, in place of what is known.
    pub fn restore(&mut self, snapshot: Snapshot) {
        self.store = snapshot.into_store();
    }

    /// Everything to keep.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.store)
    }

    /// `node` may reach this one. Its key must still be the pinned one: see [`Trust::note_key`].
    #[must_use]
    pub fn is_trusted(&self, node: NodeId) -> bool {
        self.store.trusted.contains_key(&node)
    }

    /// This node asked `node` for trust and waits: its SYN to port 444 is to be admitted.
    #[must_use]
    pub fn is_expected(&self, node: NodeId) -> bool {
        self.store.outgoing.contains_key(&node)
    }

    /// The Ed25519 key `node` must prove.
    #[must_use]
    pub fn pinned_key(&self, node: NodeId) -> Option<PublicKey> {
        self.store.trusted.get(&node)?.public_key
    }

    /// All trusted peers by number.
    pub fn trusted(&self) -> impl Iterator<Item = (NodeId, &Trusted)> {
        self.store.trusted.iter().map(|(node, record)| (*node, record))
    }

    /// All waiting requests by number.
    pub fn pending(&self) -> impl Iterator<Item = (NodeId, &Pending)> {
        self.store.pending.iter().map(|(node, request)| (*node, request))
    }

    /// All unanswered requests of this node by number.
    pub fn outgoing(&self) -> impl Iterator<Item = (NodeId, &Outgoing)> {
        self.store.outgoing.iter().map(|(node, request)| (*node, request))
    }

    /// A tunnel or the registry proved `key` to be that of `node`: pins it when trust was granted without one.
    ///
    /// # Errors
    ///
    /// [`KeyMismatch`] when another key is pinned: the peer must not be let in under this number.
    pub fn note_key(&mut self, node: NodeId, key: &PublicKey) -> Result<(), KeyMismatch> {
        let Some(record) = self.store.trusted.get_mut(&node) else { return Ok(()) };
        match record.public_key {
            //= spec/identity.md#pp-id-4
            //# The key of a trusted peer is pinned, and another key under its number is refused.
            //= spec/identity.md#pp-id-5
            //# A key told by the registry that differs from the pinned one is reported to the host.
            Some(pinned) if pinned != *key => Err(KeyMismatch(node)),
            Some(_) => Ok(()),
            None => {
                record.public_key = Some(*key);
                self.actions.push_back(TrustAction::SnapshotChanged);
                Ok(())
            }
        }
    }

    /// Carries out what a user wants and tells what became of it: `sent`, `approved`, `rejected`, `revoked` or
    /// `already trusted`. The last still asks the peer again, which may have lost its record.
    ///
    /// # Errors
    ///
    /// See [`TrustError`].
    pub fn command(&mut self, now: Timestamp, wall: u64, command: Command) -> Result<&'static str, TrustError> {
        if let Command::Revoke(node) = command {
            // Nobody may have to wait for a registry to shut somebody out.
            self.store.expire(wall);
            return self.revoke(wall, node);
        }
        let own = self.own.ok_or(TrustError::NotRegistered)?;
        let valid = |node: NodeId| {
            let other = node != own && node != NodeId::UNASSIGNED && node != NodeId::BROADCAST;
            if other { Ok(node) } else { Err(TrustError::InvalidTarget) }
        };
        self.store.expire(wall);
        match command {
            Command::Request { node, justification, admits_us } => {
                self.request(now, wall, valid(node)?, &justification, admits_us)
            }
            Command::Approve(node) if self.is_trusted(node) => Ok("already trusted"),
            Command::Approve(node) => self.approve(wall, valid(node)?),
            Command::Reject { node, reason } => self.reject(wall, node, &reason),
            Command::Revoke(_) => Err(TrustError::InvalidTarget),
        }
    }

    /// A message of [`TrustAction::SendDirect`] did not reach `node`. Answers go through the registry instead; a
    /// request is there already, and a withdrawal was reported.
    pub fn direct_failed(&mut self, node: NodeId, kind: TrustKind) {
        let accept = match kind {
            TrustKind::Accept => true,
            TrustKind::Reject => false,
            TrustKind::Request | TrustKind::Revoke => return,
        };
        // Minds change while a dial fails.
        if self.holds(node, Told::Answered(accept)) {
            self.actions.push_back(TrustAction::RespondHandshake { node, accept });
        }
    }

    /// The registry could not be reached for a request to `node`: it is tried again while the request is fresh.
    pub fn relay_failed(&mut self, now: Timestamp, node: NodeId) {
        if let Some(outgoing) = self.store.outgoing.get_mut(&node) {
            outgoing.retry_at = Some(now + RELAY_RETRY).filter(|at| *at < outgoing.fresh_until);
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<TrustAction> {
        self.actions.pop_front()
    }

    /// When [`Trust::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let requests = self.store.outgoing.values().filter_map(|outgoing| outgoing.retry_at);
        requests.chain(self.untold.next()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        for (node, outgoing) in &mut self.store.outgoing {
            if outgoing.retry_at.take_if(|at| *at <= now).is_some() {
                let justification = outgoing.justification.clone();
                self.actions.push_back(TrustAction::RequestHandshake { node: *node, justification });
            }
        }
        self.tell_again(now);
    }

    fn request(
        &mut self,
        now: Timestamp,
        wall: u64,
        node: NodeId,
        justification: &str,
        admits_us: bool,
    ) -> Result<&'static str, TrustError> {
        if self.store.pending.contains_key(&node) {
            return self.approve(wall, node);
        }
        let trusted = self.is_trusted(node);
        self.store.expect(now, wall, node, printable(justification));
        //= spec/trust.md#pp-trust-16
        //# A request is relayed by the registry when the peer cannot be reached directly.
        self.send_request(wall, node, admits_us || trusted);
        Ok(if trusted { "already trusted" } else { "sent" })
    }

    /// Sends what is recorded as outgoing, through the relay and, when it may get through, directly.
    fn send_request(&mut self, wall: u64, node: NodeId, directly: bool) {
        let Some(outgoing) = self.store.outgoing.get(&node) else { return };
        let justification = outgoing.justification.clone();
        self.actions.push_back(TrustAction::SnapshotChanged);
        self.actions.push_back(TrustAction::RequestHandshake { node, justification });
        if directly {
            self.admits_us(wall, node);
        }
    }

    /// `node` turned out to admit this node's SYN: an own request that went through the relay only is sent directly
    /// too, which is quicker where the peer seldom looks at the relay.
    pub fn admits_us(&mut self, wall: u64, node: NodeId) {
        let Some(outgoing) = self.store.outgoing.get_mut(&node) else { return };
        if !core::mem::replace(&mut outgoing.went_directly, true) {
            let justification = outgoing.justification.clone();
            self.send_direct(wall, node, TrustKind::Request, &justification);
        }
    }

    fn approve(&mut self, wall: u64, node: NodeId) -> Result<&'static str, TrustError> {
        if !self.store.pending.contains_key(&node) {
            return Err(TrustError::NothingPending(node));
        }
        if !self.grant(wall, node, None, true) {
            return Err(TrustError::Full);
        }
        self.actions.push_back(TrustAction::RespondHandshake { node, accept: true });
        self.send_direct(wall, node, TrustKind::Accept, "");
        Ok("approved")
    }

    fn reject(&mut self, wall: u64, node: NodeId, reason: &str) -> Result<&'static str, TrustError> {
        self.store.pending.remove(&node).ok_or(TrustError::NothingPending(node))?;
        self.actions.push_back(TrustAction::SnapshotChanged);
        self.actions.push_back(TrustAction::RespondHandshake { node, accept: false });
        self.send_direct(wall, node, TrustKind::Reject, &printable(reason));
        Ok("rejected")
    }

    fn revoke(&mut self, wall: u64, node: NodeId) -> Result<&'static str, TrustError> {
        let was_expected = self.is_expected(node);
        if self.withdraw(wall, node) {
            self.send_direct(wall, node, TrustKind::Revoke, "");
        } else if was_expected {
            self.actions.push_back(TrustAction::SnapshotChanged);
            // The request was this node's half: with it the peer's answer would still make a pair.
            self.actions.push_back(TrustAction::RevokeTrust(node));
        } else {
            return Err(TrustError::NotTrusted(node));
        }
        Ok("revoked")
    }

    /// Trusts `node` and says so here and to the registry. `false` when there is no room.
    fn grant(&mut self, wall: u64, node: NodeId, key: Option<PublicKey>, mutual: bool) -> bool {
        let was_trusted = self.is_trusted(node);
        if !self.store.trust(wall, node, key, mutual) {
            return false;
        }
        self.untold.forget(node);
        self.actions.push_back(TrustAction::SnapshotChanged);
        self.actions.push_back(TrustAction::ReportTrust(node));
        if !was_trusted {
            self.actions.push_back(TrustAction::Changed { node, trusted: true });
        }
        true
    }

    /// Ends trust in `node` here and at the registry. `false` when there was none.
    fn withdraw(&mut self, wall: u64, node: NodeId) -> bool {
        let was_trusted = self.store.revoke(wall, node);
        if was_trusted {
            self.untold.forget(node);
            //= spec/trust.md#pp-trust-11
            //# A revocation ends every stream with the peer at once and tells the peer and the registry.
            self.actions.push_back(TrustAction::CloseStreams(node));
            self.actions.push_back(TrustAction::SnapshotChanged);
            self.actions.push_back(TrustAction::RevokeTrust(node));
            self.actions.push_back(TrustAction::Changed { node, trusted: false });
        }
        was_trusted
    }
}

/// `text` without control characters, at most [`MAX_JUSTIFICATION`] bytes: it is shown on terminals.
fn printable(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars().filter(|character| !character.is_control()) {
        //= spec/trust.md#pp-trust-14
        //# A justification is cut to 1024 bytes of printable text.
        if kept.len() + character.len_utf8() > MAX_JUSTIFICATION {
            break;
        }
        kept.push(character);
    }
    kept
}
