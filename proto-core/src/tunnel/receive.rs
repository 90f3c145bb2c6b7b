//! Opening frames: which key, is the packet sound, is it fresh, and what its arrival proves.

use super::session::{Session, SessionId, open_frame};
use super::types::{OpenError, Opened};
use super::{SECURE_HEADER_LEN, SHORTEST_FRAME, Tunnel};
use crate::crypto::{NoncePrefix, ReplayVerdict};
use crate::ids::NodeId;
use crate::time::Timestamp;
use crate::wire::frame::TAG_LEN;
use crate::wire::{Header, Protocol, SecureHeader};
use core::time::Duration;

/// Frames in a row that no key opens, after which the peer is asked for its key (PP-KEX-24).
const FAILURES_BEFORE_NUDGE: u32 = 5;
/// How long the newer of two proven sessions must be silent before frames of the older one lead back to it. The two ends wait differently long, so that they
/// cannot swap sessions for ever.
const RETURN_AFTER_LOWER: Duration = Duration::from_secs(1);
const RETURN_AFTER_HIGHER: Duration = Duration::from_secs(3);

impl Tunnel {
    /// Sessions, nonce prefixes remembered under them, and peer keys that are spent.
    #[must_use]
    pub fn held(&self) -> (usize, usize, usize) {
        let prefixes = self.sessions.iter().map(|session| session.replay.prefixes()).sum();
        (self.sessions.len(), prefixes, self.spent.len())
    }

    /// Opens a whole PILS frame in place. Does not allocate.
    ///
    /// In this order: the seal, the packet inside, its source, its freshness; and only then anything changes.
    ///
    /// # Errors
    /// [`OpenError`]. Garbage never ends a session.
    pub fn open<'f>(&mut self, now: Timestamp, frame: &'f mut [u8]) -> Result<Opened<'f>, OpenError> {
        self.observe(now);
        let clear = SecureHeader::parse(frame).map_err(|_| OpenError::Malformed)?;
        if frame.len() < SHORTEST_FRAME {
            return Err(OpenError::Malformed);
        }
        if clear.sender != self.peer {
            return Err(OpenError::WrongSender);
        }
        if self.sessions.is_empty() {
            self.request_exchange_on_unknown(now);
            return Err(OpenError::NoSession);
        }
        let sealed = frame.get_mut(SECURE_HEADER_LEN..).ok_or(OpenError::Malformed)?;
        let Some(index) = self.unseal(&clear, sealed) else {
            self.undecryptable();
            return Err(OpenError::Undecryptable);
        };
        self.failures = 0;
        let packet = sealed.get(..sealed.len() - TAG_LEN).ok_or(OpenError::Malformed)?;
        let (header, payload) = Header::parse(packet).map_err(|_| OpenError::Packet)?;
        if !source_is_bound(&header, payload, self.peer) {
            return Err(OpenError::SourceSpoofed);
        }
        //= spec/nonces.md#pp-nonce-9
        //# Replay state changes only after the frame was authenticated.
        let session = self.accept(index, &clear)?;
        Ok(Opened { header, payload, session })
    }

    /// The session whose key opens `sealed`: the one sent under first, as nearly all frames are its.
    fn unseal(&self, clear: &SecureHeader, sealed: &mut [u8]) -> Option<usize> {
        let opens = |session: &Session, sealed: &mut [u8]| open_frame(&*session.key, clear, sealed).is_some();
        let preferred = self.sessions.iter().position(|session| Some(session.id) == self.sending);
        if let Some(index) = preferred
            && self.sessions.get(index).is_some_and(|session| opens(session, sealed))
        {
            return Some(index);
        }
        let mut others = self.sessions.iter().enumerate().filter(|(index, _)| Some(*index) != preferred);
        others.find_map(|(index, session)| opens(session, sealed).then_some(index))
    }

    fn undecryptable(&mut self) {
        self.failures += 1;
        //= spec/exchange.md#pp-kex-24
        //# Five frames in a row that no key opens make us tell our key, at most every 3 seconds, and end no session.
        if self.failures >= FAILURES_BEFORE_NUDGE {
            self.failures = 0;
            self.nudge(self.now);
        }
    }

    /// Asks the replay windows of the session, and draws the conclusions of a fresh frame.
    fn accept(&mut self, index: usize, clear: &SecureHeader) -> Result<SessionId, OpenError> {
        let (prefix, counter) = NoncePrefix::split(&clear.nonce);
        let now = self.now;
        let session = self.sessions.get_mut(index).ok_or(OpenError::NoSession)?;
        match session.replay.accept(prefix, counter) {
            ReplayVerdict::Fresh => {}
            ReplayVerdict::Replayed => return Err(OpenError::Replayed),
            //= spec/nonces.md#pp-nonce-12
            //# When 1024 retired prefixes are remembered under a key, a new prefix is refused and the own key is replaced.
            ReplayVerdict::Exhausted => {
                self.want_rekey();
                return Err(OpenError::PrefixesExhausted);
            }
        }
        session.last_fresh = Some(now);
        session.last_used = now;
        let (id, worn) = (session.id, session.is_worn());
        self.proved(id);
        if worn && self.sending == Some(id) {
            self.want_rekey();
        }
        Ok(id)
    }

    /// A fresh frame arrived under `id`: send under the key that most recently proved itself (D-14).
    fn proved(&mut self, id: SessionId) {
        self.waiting_since = None;
        let own = self.own.as_ref().map(|own| own.public);
        if self.session(id).is_some_and(|session| Some(session.pairing.own) == own) {
            self.exchange = None;
        }
        if self.sending == Some(id) {
            if let Some(candidate) = self.candidate.as_mut() {
                candidate.old_confirmed = true;
            }
            return;
        }
        if self.candidate.is_some_and(|candidate| candidate.id == id) {
            let rank = self.next_ordinal();
            if let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) {
                session.rank = rank;
            }
            self.send_under(id);
        } else if self.replaces_present(id) {
            self.send_under(id);
        }
    }

    /// Whether a proven session is to be sent under instead of the present one: the newer at once, the older when the newer fell silent.
    fn replaces_present(&self, id: SessionId) -> bool {
        let (Some(present), Some(proven)) = (self.sending.and_then(|id| self.session(id)), self.session(id)) else {
            return true;
        };
        let patience = if self.local < self.peer { RETURN_AFTER_LOWER } else { RETURN_AFTER_HIGHER };
        proven.rank > present.rank || present.last_fresh.is_none_or(|last| self.now >= last + patience)
    }
}

/// Who sealed a packet is who it comes from. Keepalives of some peers, empty control packets to port 0, leave their source out.
#[must_use]
pub fn source_is_bound(header: &Header, payload: &[u8], peer: NodeId) -> bool {
    //= spec/frames.md#pp-frame-14
    //# The packet inside a PILS frame must name the sealer as its source node, or it is dropped.
    //= spec/frames.md#pp-frame-15
    //# An empty control packet to port 0 may leave its source node 0.
    let anonymous_keepalive = header.src.node == NodeId::UNASSIGNED
        && header.protocol == Protocol::Control
        && header.dst_port == 0
        && payload.is_empty();
    header.src.node == peer || anonymous_keepalive
}
