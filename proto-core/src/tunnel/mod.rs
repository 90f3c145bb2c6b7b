//! One peer's keys: exchanging them, sealing and opening packets, replacing them (`spec/exchange.md`, `spec/nonces.md`).
//!
//! Decides which key is sent under and which received frames are authentic and fresh. Refuses to know sockets, paths, streams and the registry: it is handed
//! bytes and the peer's identity key, and answers with [`Action`]s.

mod anonymous;
mod candidate;
mod exchange;
mod keys;
mod receive;
mod session;
mod types;

use crate::crypto::{NoncePrefix, PublicKey, ReplaySet};
use crate::ids::NodeId;
use crate::limits::{SESSIONS_PER_PEER, SPENT_KEYS_PER_PEER};
use crate::time::{Timestamp, earliest};
use crate::wire::frame::{PILS_OVERHEAD, SECURE_HEADER_LEN};
use crate::wire::{AuthenticatedKeyExchange, HEADER_LEN};
use candidate::{Candidate, CandidateStep};
use core::time::Duration;
use exchange::{DEAF_AFTER, Exchange, ExchangeStep, Pacing};
use keys::OwnKeys;
use session::{KeyPairing, Session};
use std::collections::VecDeque;

pub use candidate::CANDIDATE_PATIENCE;
pub use exchange::{EXCHANGE_GIVE_UP, EXCHANGE_SCHEDULE, NUDGE_INTERVAL};
pub use keys::verify;
pub use receive::source_is_bound;
pub use session::{SessionId, derive_key, open_frame, seal_frame};
pub use types::{Action, Context, ExchangeError, OpenError, Opened, RekeyLimits, SealError, TunnelTimer};

/// How long a session no longer sent under can still be received under: twice the 60 s required.
//= spec/exchange.md#pp-kex-18
//# A replaced key is received under for at least 60 seconds.
pub const SESSION_RETENTION: Duration = Duration::from_secs(120);
/// After a rekey that nobody answered, until the next try.
pub const REKEY_RETRY: Duration = Duration::from_secs(60);

/// The keys of one peer.
#[derive(Debug)]
pub struct Tunnel {
    local: NodeId,
    peer: NodeId,
    limits: RekeyLimits,
    /// The latest time seen, for calls that are not told it.
    now: Timestamp,
    own: Option<OwnKeys>,
    /// The peer's identity vouched for every session there is.
    authenticated: bool,
    /// At most [`SESSIONS_PER_PEER`].
    sessions: Vec<Session>,
    /// Always one of `sessions`.
    sending: Option<SessionId>,
    candidate: Option<Candidate>,
    exchange: Option<Exchange>,
    /// Something began to wait for the session while it was exchanged.
    exchange_again: bool,
    pacing: Pacing,
    /// The own key is to be replaced when the next exchange is written.
    rotate: bool,
    /// Not before this time another rekey.
    rekey_not_before: Timestamp,
    /// Frames sealed for this peer. Never restarts: a peer that moves its window before authenticating would refuse us (PP-NONCE-3).
    counter: u64,
    /// Sessions and proofs so far.
    ordinal: u64,
    /// Peer keys whose replay state under the present own key is gone. Under that own key they must never be derived again.
    spent: Vec<[u8; 32]>,
    /// Frames in a row that no key opened.
    failures: u32,
    /// When the first frame was sealed that no fresh frame followed.
    waiting_since: Option<Timestamp>,
    /// Without duplicates, so bounded by the kinds of action and the sessions.
    actions: VecDeque<Action>,
}

impl Tunnel {
    /// No keys yet.
    #[must_use]
    pub fn new(local: NodeId, peer: NodeId) -> Self {
        Self::with_limits(local, peer, RekeyLimits::default())
    }

    /// No keys yet, and keys replaced after other than the default limits.
    #[must_use]
    pub fn with_limits(local: NodeId, peer: NodeId, limits: RekeyLimits) -> Self {
        Self {
            local,
            peer,
            limits,
            now: Timestamp::ZERO,
            own: None,
            authenticated: false,
            sessions: Vec::new(),
            sending: None,
            candidate: None,
            exchange: None,
            exchange_again: false,
            pacing: Pacing::default(),
            rotate: false,
            rekey_not_before: Timestamp::ZERO,
            counter: 0,
            ordinal: 0,
            spent: Vec::new(),
            failures: 0,
            waiting_since: None,
            actions: VecDeque::new(),
        }
    }

    /// There is a key to send under.
    #[must_use]
    pub const fn is_established(&self) -> bool {
        self.sending.is_some()
    }

    /// The session sent under.
    #[must_use]
    pub const fn sending(&self) -> Option<SessionId> {
        self.sending
    }

    /// Wants a session: sends now and by [`EXCHANGE_SCHEDULE`], until answered. Does nothing while that runs or when there is a session.
    pub fn start_exchange(&mut self, now: Timestamp, context: &mut Context<'_>) {
        self.observe(now);
        if self.is_established() || self.exchange.is_some() {
            return;
        }
        self.own_keys(context);
        self.begin_exchange();
    }

    /// Something else begins to wait for a session: an exchange under way that fails is followed by a whole one.
    pub const fn want_anew(&mut self) {
        self.exchange_again = self.exchange.is_some();
    }

    /// Asks once for the peer's key, and tells ours, by the known paths: after a change of the own address, or when probes stay unanswered. At most every 3 s.
    pub fn nudge(&mut self, now: Timestamp) {
        self.observe(now);
        if self.pacing.allow_nudge(self.now) {
            self.act(Action::SendExchange);
        }
    }

    /// The same, back the way the last frame came: for a frame that needs a session we do not have. At most every 3 s.
    pub fn request_exchange_on_unknown(&mut self, now: Timestamp) {
        self.observe(now);
        if self.pacing.allow_nudge(self.now) {
            self.act(Action::ReplyExchange);
        }
    }

    /// Judges a key exchange against `registry_key`, the identity known for the peer, and takes up its key. The caller has limited the rate of its source.
    ///
    /// # Errors
    /// [`ExchangeError`]; nothing was changed.
    pub fn handle_exchange(
        &mut self,
        now: Timestamp,
        exchange: &AuthenticatedKeyExchange,
        registry_key: &PublicKey,
        context: &mut Context<'_>,
    ) -> Result<(), ExchangeError> {
        self.observe(now);
        //= spec/exchange.md#pp-kex-12
        //# A PILA naming this node or node 0 as its sender is dropped.
        if exchange.sender != self.peer || self.peer == self.local || self.peer == NodeId::UNASSIGNED {
            return Err(ExchangeError::WrongSender);
        }
        keys::verify(exchange, registry_key, context.crypto)?;
        let id = self.take_up(exchange.exchange_public, context)?;
        self.authenticate(id);
        Ok(())
    }

    /// The peer told its key: a session with it is offered, and ours told in return.
    fn take_up(&mut self, public: [u8; 32], context: &mut Context<'_>) -> Result<SessionId, ExchangeError> {
        //= spec/nonces.md#pp-nonce-15
        //# A recorded session cannot be played back after its state was forgotten.
        if self.spent.contains(&public) {
            // Whatever was recorded under the pair we forgot could be played back; with a new key of ours it cannot.
            self.replace_own_keys(context);
        }
        let (id, is_new) = self.session_with(public, context)?;
        // An exchange under way goes on until a sealed frame arrives: this one may be old, and the peer without ours.
        self.reply(id, is_new);
        self.offer(id);
        Ok(id)
    }

    /// Writes our PILA to the front of `out`, and returns its length; `None` when there is no room.
    pub fn emit_exchange(&mut self, context: &mut Context<'_>, out: &mut [u8]) -> Option<usize> {
        let local = self.local;
        //= spec/exchange.md#pp-kex-11
        //# Key exchanges are sent authenticated
        let frame = self.key_to_tell(context).frame(local, context.identity);
        out.get_mut(..frame.len())?.copy_from_slice(&frame);
        self.pacing.emitted(self.now);
        Some(frame.len())
    }

    /// Seals `frame` in place under the present session: 20 bytes of header room, the packet, 16 bytes of tag room. Does not allocate.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&mut self, now: Timestamp, frame: &mut [u8]) -> Result<(), SealError> {
        let id = self.sending.ok_or(SealError::NoSession)?;
        self.seal_probe(now, id, frame)
    }

    /// Seals `frame` under the session `which`, as [`Action::Probe`] asks.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal_probe(&mut self, now: Timestamp, which: SessionId, frame: &mut [u8]) -> Result<(), SealError> {
        self.observe(now);
        if frame.len() < PILS_OVERHEAD {
            return Err(SealError::TooShort);
        }
        let local = self.local;
        //= spec/nonces.md#pp-nonce-2
        //# A nonce is never used twice under one key.
        //= spec/nonces.md#pp-nonce-3
        //# The counter toward a peer begins at 1, grows by 1 with each frame and is never restarted, whatever the key.
        let counter = self.counter.checked_add(1).ok_or(SealError::Exhausted)?;
        let session = self.sessions.iter_mut().find(|session| session.id == which).ok_or(SealError::NoSession)?;
        seal_frame(&*session.key, local, session.prefix, counter, frame).ok_or(SealError::TooShort)?;
        session.sealed += 1;
        self.counter = counter;
        if session.sealed >= self.limits.frames && self.sending == Some(which) {
            self.want_rekey();
        }
        let since = *self.waiting_since.get_or_insert(self.now);
        if self.now >= since + DEAF_AFTER && self.pacing.allow_deaf_nudge(self.now) {
            self.nudge(now);
        }
        Ok(())
    }

    /// What the tunnel wants done, in order. Drain it after every other call.
    pub fn poll_action(&mut self, now: Timestamp) -> Option<Action> {
        self.observe(now);
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] is due, and for what.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Timestamp, TunnelTimer)> {
        let exchange = self.exchange.map(|exchange| (exchange.deadline(), TunnelTimer::Exchange));
        let candidate = self.candidate.map(|candidate| (candidate.deadline(), TunnelTimer::Candidate));
        let rekey = self.rekey_at().map(|at| (at, TunnelTimer::Rekey));
        let expiry = self.sessions.iter().filter_map(|session| self.expiry(session)).min();
        let expiry = expiry.map(|at| (at, TunnelTimer::Expiry));
        earliest(earliest(exchange, candidate), earliest(rekey, expiry))
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.observe(now);
        match self.exchange.as_mut().and_then(|exchange| exchange.advance(now)) {
            Some(ExchangeStep::Send) => self.act(Action::SendExchange),
            Some(ExchangeStep::GiveUp) => {
                self.exchange = None;
                //= spec/exchange.md#pp-kex-22
                //# While a replacement is not answered, frames go on being sealed under the old key.
                if self.is_established() {
                    self.rekey_not_before = self.now + REKEY_RETRY;
                } else if self.exchange_again {
                    self.begin_exchange();
                } else {
                    self.act(Action::Failed);
                }
            }
            None => {}
        }
        self.advance_candidate();
        if self.rekey_at().is_some_and(|at| at <= self.now) {
            self.want_rekey();
        }
        self.expire();
    }

    fn observe(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    fn act(&mut self, action: Action) {
        if !self.actions.contains(&action) {
            self.actions.push_back(action);
        }
    }

    fn begin_exchange(&mut self) {
        self.exchange_again = false;
        let mut exchange = Exchange::new(self.now);
        if exchange.advance(self.now).is_some() {
            self.act(Action::SendExchange);
        }
        self.exchange = Some(exchange);
    }

    fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    fn own_keys(&mut self, context: &mut Context<'_>) -> &mut OwnKeys {
        self.own.get_or_insert_with(|| OwnKeys::generate(context))
    }

    /// Our key as the peer is to know it from now on.
    fn key_to_tell(&mut self, context: &mut Context<'_>) -> &mut OwnKeys {
        if core::mem::take(&mut self.rotate) {
            self.replace_own_keys(context);
        }
        self.own_keys(context)
    }

    fn next_ordinal(&mut self) -> u64 {
        self.ordinal += 1;
        self.ordinal
    }

    /// The session of our present key and `peer`, made when there is none.
    fn session_with(&mut self, peer: [u8; 32], context: &mut Context<'_>) -> Result<(SessionId, bool), ExchangeError> {
        let pairing = KeyPairing { own: self.own_keys(context).public, peer };
        //= spec/exchange.md#pp-kex-14
        //# A repeated PILA with a known key changes neither counter, prefix, replay window nor the proven address.
        if let Some(known) = self.sessions.iter().find(|session| session.pairing == pairing) {
            return Ok((known.id, false));
        }
        let key = derive_key(context.crypto, &self.own_keys(context).secret, &peer);
        let key = key.ok_or(ExchangeError::LowOrderKey)?;
        self.make_room();
        let ordinal = self.next_ordinal();
        self.sessions.push(Session {
            id: SessionId(ordinal),
            pairing,
            key: context.crypto.aead.key(key.expose()),
            prefix: NoncePrefix::for_direction(context.rng.next_u32(), self.local, self.peer),
            replay: ReplaySet::new(),
            sealed: 0,
            created: self.now,
            last_fresh: None,
            last_used: self.now,
            rank: ordinal,
        });
        Ok((SessionId(ordinal), true))
    }

    fn reply(&mut self, id: SessionId, is_new: bool) {
        let last_fresh = self.session(id).and_then(|session| session.last_fresh);
        let allowed = if is_new {
            self.pacing.allow_new_key_reply(self.now)
        } else {
            self.pacing.allow_duplicate_reply(self.now, last_fresh)
        };
        if allowed {
            self.act(Action::ReplyExchange);
        }
    }

    /// An exchange named session `id`: used at once when there is no other, else asked for proof.
    fn offer(&mut self, id: SessionId) {
        match self.sending {
            None => self.send_under(id),
            Some(sending) if sending == id => {}
            Some(_) if self.candidate.is_some_and(|candidate| candidate.id == id) => {}
            Some(_) => {
                self.candidate = Some(Candidate::new(id, self.now));
                self.advance_candidate();
            }
        }
    }

    fn advance_candidate(&mut self) {
        let Some(candidate) = self.candidate.as_mut() else { return };
        let id = candidate.id;
        match candidate.advance(self.now) {
            Some(CandidateStep::Probe) => {
                if let Some(sending) = self.sending {
                    self.act(Action::Probe(sending));
                }
                self.act(Action::Probe(id));
                // A restarted peer that lost our answer has no key to prove anything with.
                if self.pacing.allow_new_key_reply(self.now) {
                    self.act(Action::ReplyExchange);
                }
            }
            Some(CandidateStep::Discard) => self.candidate = None,
            Some(CandidateStep::Use) => self.send_under(id),
            None => {}
        }
    }

    fn send_under(&mut self, id: SessionId) {
        let was = self.sending.replace(id);
        if self.candidate.is_some_and(|candidate| candidate.id == id) {
            self.candidate = None;
        }
        let now = self.now;
        for session in self.sessions.iter_mut().filter(|session| Some(session.id) == was || session.id == id) {
            session.last_used = now;
        }
        match was {
            None => self.act(Action::Established),
            Some(was) if was != id => self.act(Action::Switched),
            Some(_) => {}
        }
    }

    /// Replaces the own key with the next exchange, unless that was just tried.
    fn want_rekey(&mut self) {
        if self.exchange.is_some() || self.now < self.rekey_not_before {
            return;
        }
        // A key that was replaced but not taken up is offered again instead of replaced again.
        let offered = self.sending.and_then(|id| self.session(id)).map(|session| session.pairing.own);
        self.rotate = self.own.as_ref().map(|own| own.public) == offered;
        self.begin_exchange();
    }

    /// When the present key is to be replaced.
    fn rekey_at(&self) -> Option<Timestamp> {
        let session = self.sending.and_then(|id| self.session(id)).filter(|_| self.exchange.is_none())?;
        //= spec/exchange.md#pp-kex-20
        //# The own pair is replaced before the 2^64 counter values of a key are used up; by default after 2^32 frames.
        //= spec/exchange.md#pp-kex-21
        //# The own pair is replaced after 24 hours.
        let worn = session.sealed >= self.limits.frames || session.is_worn();
        let unproven = self.own.as_ref().is_some_and(|own| own.public != session.pairing.own);
        let due = if worn || unproven { session.created } else { session.created + self.limits.age };
        Some(due.max(self.rekey_not_before))
    }

    fn replace_own_keys(&mut self, context: &mut Context<'_>) {
        let peer = self.sending.and_then(|id| self.session(id)).map(|session| session.pairing.peer);
        self.own = Some(OwnKeys::generate(context));
        self.spent.clear();
        self.pacing.reset_replies();
        self.rekey_not_before = self.now + REKEY_RETRY;
        if let Some(peer) = peer {
            // The peer may seal under the new pair before its answer arrives. Its key was good once, so this cannot fail.
            let made = self.session_with(peer, context);
            debug_assert!(made.is_ok());
        }
    }

    /// When `session` is forgotten; the one sent under and its challenger never are.
    fn expiry(&self, session: &Session) -> Option<Timestamp> {
        let needed = self.sending == Some(session.id) || self.candidate.is_some_and(|it| it.id == session.id);
        (!needed).then(|| session.last_used + SESSION_RETENTION)
    }

    fn expire(&mut self) {
        while let Some(id) = self
            .sessions
            .iter()
            .find_map(|session| self.expiry(session).filter(|at| *at <= self.now).map(|_| session.id))
        {
            self.forget(id);
        }
    }

    /// Makes room for a session: the unproven go first, then the longest unused.
    fn make_room(&mut self) {
        while self.sessions.len() >= SESSIONS_PER_PEER {
            let removable = self.sessions.iter().filter(|session| self.sending != Some(session.id));
            let Some(id) = removable.min_by_key(|it| (it.last_fresh, it.last_used)).map(|it| it.id) else { return };
            if self.candidate.is_some_and(|candidate| candidate.id == id) {
                self.candidate = None;
            }
            self.forget(id);
        }
    }

    fn forget(&mut self, id: SessionId) {
        let Some(index) = self.sessions.iter().position(|session| session.id == id) else { return };
        let session = self.sessions.swap_remove(index);
        let own = self.own.as_ref().map(|own| own.public);
        if session.replay.is_empty() || own != Some(session.pairing.own) {
            return;
        }
        if self.spent.len() < SPENT_KEYS_PER_PEER {
            self.spent.push(session.pairing.peer);
        } else {
            self.rotate = true;
        }
    }
}

/// Bytes of the shortest PILS frame with a packet in it.
const SHORTEST_FRAME: usize = PILS_OVERHEAD + HEADER_LEN;

#[cfg(test)]
mod tests;
