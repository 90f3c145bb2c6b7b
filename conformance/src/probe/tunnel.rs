//! Keys toward the peer under test, and frames under them: right ones, and any others.
//!
//! Decides nothing about when a frame is sent. Sessions are found by the pair of public keys.

use proto_core::NodeId;
use proto_core::crypto::kdf::tunnel_key;
use proto_core::crypto::{AeadKey, ExchangeSecret, Identity, NoncePrefix, PublicKey, rust_crypto};
use proto_core::wire::frame::{SECURE_HEADER_LEN, TAG_LEN, signed_message};
use proto_core::wire::{AuthenticatedKeyExchange, Header, Secure, SecureHeader};
use std::fmt;

/// A key that both ends can derive.
pub(super) struct Session {
    own: [u8; 32],
    peer: [u8; 32],
    key: Box<dyn AeadKey>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

/// All keys toward one peer.
#[derive(Debug, Default)]
pub(super) struct Tunnel {
    secrets: Vec<(ExchangeSecret, [u8; 32])>,
    heard: Vec<[u8; 32]>,
    sessions: Vec<Session>,
    /// What is sealed under.
    pub(super) current: Option<usize>,
    pub(super) prefix: [u8; 4],
    pub(super) counter: u64,
}

/// A packet that opened.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
    /// The session it was sealed under.
    pub(super) session: usize,
    pub(super) prefix: [u8; 4],
    pub(super) counter: u64,
    /// Bytes behind the payload.
    pub(super) surplus: usize,
}

impl Tunnel {
    /// No keys yet.
    pub(super) fn new() -> Self {
        Self { prefix: random(), ..Self::default() }
    }

    /// A new pair of ours, which counts from now on; its public half.
    pub(super) fn renew(&mut self) -> [u8; 32] {
        let secret = ExchangeSecret::from_bytes(random());
        let public = rust_crypto().exchange.public(&secret);
        self.secrets.push((secret, public));
        self.prefix = random();
        self.derive();
        self.use_latest();
        public
    }

    /// The public half that counts.
    pub(super) fn public(&mut self) -> [u8; 32] {
        match self.secrets.last() {
            Some((_, public)) => *public,
            None => self.renew(),
        }
    }

    /// The peer's public half; the last one heard counts.
    pub(super) fn heard(&mut self, public: [u8; 32]) {
        if self.heard.last() == Some(&public) {
            return;
        }
        self.heard.retain(|known| *known != public);
        self.heard.push(public);
        self.derive();
        self.use_latest();
    }

    fn derive(&mut self) {
        for (secret, own) in &self.secrets {
            for peer in &self.heard {
                if self.sessions.iter().any(|session| session.own == *own && session.peer == *peer) {
                    continue;
                }
                let Some(shared) = rust_crypto().exchange.agree(secret, peer) else { continue };
                let key = rust_crypto().aead.key(tunnel_key(&shared).expose());
                self.sessions.push(Session { own: *own, peer: *peer, key });
            }
        }
    }

    fn use_latest(&mut self) {
        if let (Some((_, own)), Some(peer)) = (self.secrets.last(), self.heard.last()) {
            self.current = self.sessions.iter().position(|session| session.own == *own && session.peer == *peer);
        }
    }

    /// Which own public half the session is about.
    pub(super) fn own_half(&self, session: usize) -> Option<[u8; 32]> {
        self.sessions.get(session).map(|session| session.own)
    }

    /// Seals a packet, whatever it is, under the current session with the next counter. Empty without a session.
    pub(super) fn seal(&mut self, node: NodeId, packet: &[u8]) -> Vec<u8> {
        self.counter += 1;
        self.seal_as(node, (self.prefix, self.counter), packet)
    }

    /// [`Self::seal`] with any nonce.
    pub(super) fn seal_as(&self, node: NodeId, (prefix, counter): ([u8; 4], u64), packet: &[u8]) -> Vec<u8> {
        let Some(session) = self.current.and_then(|current| self.sessions.get(current)) else { return Vec::new() };
        let nonce = NoncePrefix(prefix).nonce(counter);
        let mut frame = SecureHeader { sender: node, nonce }.to_bytes().to_vec();
        let mut sealed = packet.to_vec();
        let Ok(tag) = session.key.seal_in_place(&nonce, &node.0.to_be_bytes(), &mut sealed) else { return Vec::new() };
        frame.extend_from_slice(&sealed);
        frame.extend_from_slice(&tag);
        frame
    }

    /// What is in a frame of `sender`, if a session opens it and it is a packet.
    pub(super) fn open(&self, secure: &Secure<'_>) -> Option<Packet> {
        let (sealed, tag) = secure.sealed.split_last_chunk::<TAG_LEN>()?;
        let aad = secure.sender.0.to_be_bytes();
        let open = |session: &Session| {
            let mut plain = sealed.to_vec();
            session.key.open_in_place(&secure.nonce, &aad, &mut plain, tag).ok().map(|()| plain)
        };
        let (session, plain) =
            self.sessions.iter().enumerate().rev().find_map(|(index, session)| Some((index, open(session)?)))?;
        let (header, payload) = Header::parse(&plain).ok()?;
        let surplus = plain.len() - proto_core::wire::HEADER_LEN - payload.len();
        let (NoncePrefix(prefix), counter) = NoncePrefix::split(&secure.nonce);
        Some(Packet { header, payload: payload.to_vec(), session, prefix, counter, surplus })
    }
}

/// A key exchange as it must be.
pub(super) fn exchange(node: NodeId, identity: &Identity, public: [u8; 32]) -> AuthenticatedKeyExchange {
    AuthenticatedKeyExchange {
        sender: node,
        exchange_public: public,
        identity_public: identity.public().0,
        signature: identity.sign(&signed_message(node, &public)),
    }
}

/// The exchange is signed by `key` and names it.
pub(super) fn is_signed_by(exchange: &AuthenticatedKeyExchange, key: &PublicKey) -> bool {
    exchange.identity_public == key.0
        && key.verify_strict(rust_crypto(), &exchange.signed_message(), &exchange.signature)
}

/// The bytes of a packet as it must be.
pub(super) fn packet(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; proto_core::wire::HEADER_LEN + payload.len()];
    // The buffer has the right length; a payload beyond 65,535 bytes is never asked for.
    let _ = header.emit(payload, &mut bytes);
    bytes
}

/// Random bytes of the operating system; a fixed pattern when it has none, which only makes runs alike.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0x5A; N];
    let _ = getrandom::fill(&mut bytes);
    bytes
}

/// The least length of a sealed frame.
pub(super) const LEAST_SEALED: usize = SECURE_HEADER_LEN + TAG_LEN;
