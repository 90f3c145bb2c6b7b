//! One key and what was sent and received under it. Decides how a frame is sealed and opened; refuses to know why this key and not another.

use crate::crypto::provider::AeadKey;
use crate::crypto::{CryptoProvider, ExchangeSecret, NoncePrefix, ReplaySet, TunnelKey, kdf};
use crate::ids::NodeId;
use crate::limits::REPLAY_PREFIXES_BEFORE_REKEY;
use crate::time::Timestamp;
use crate::wire::SecureHeader;
use crate::wire::frame::{SECURE_HEADER_LEN, TAG_LEN};
use core::fmt;

/// Names a session within its tunnel. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) u64);

/// The pair of X25519 public keys that a session is (PP-KEX-19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyPairing {
    pub(super) own: [u8; 32],
    pub(super) peer: [u8; 32],
}

pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) pairing: KeyPairing,
    pub(super) key: Box<dyn AeadKey>,
    /// Drawn once per key, never per exchange.
    pub(super) prefix: NoncePrefix,
    pub(super) replay: ReplaySet,
    /// Frames sealed under this key.
    pub(super) sealed: u64,
    pub(super) created: Timestamp,
    /// When it last authenticated a fresh frame.
    pub(super) last_fresh: Option<Timestamp>,
    /// When it was made, last proved itself or last ceased to be sent under; retention counts from here.
    pub(super) last_used: Timestamp,
    /// Which of two proven sessions is the newer: grows with creation and with every time a candidate proves itself.
    pub(super) rank: u64,
}

impl Session {
    /// So many prefixes were drawn under this key that it should be replaced.
    pub(super) fn is_worn(&self) -> bool {
        //= spec/nonces.md#pp-nonce-13
        //# More than 64 prefixes under one key make us replace the own key.
        self.replay.prefixes() > REPLAY_PREFIXES_BEFORE_REKEY
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("rank", &self.rank)
            .field("sealed", &self.sealed)
            .field("created", &self.created)
            .field("last_fresh", &self.last_fresh)
            .finish_non_exhaustive()
    }
}

/// The key two X25519 keys make, or `None` for a low-order point.
#[must_use]
pub fn derive_key(crypto: &CryptoProvider, own: &ExchangeSecret, peer: &[u8; 32]) -> Option<TunnelKey> {
    crypto.exchange.agree(own, peer).map(|shared| kdf::tunnel_key(&shared))
}

/// Seals `frame` in place: [`SECURE_HEADER_LEN`] bytes of room, the packet, [`TAG_LEN`] bytes of room. `None` when it is too short for both.
pub fn seal_frame(
    key: &dyn AeadKey,
    sender: NodeId,
    prefix: NoncePrefix,
    counter: u64,
    frame: &mut [u8],
) -> Option<()> {
    let header = SecureHeader { sender, nonce: prefix.nonce(counter) };
    let (clear, sealed) = frame.split_first_chunk_mut::<SECURE_HEADER_LEN>()?;
    let (packet, tag) = sealed.split_last_chunk_mut::<TAG_LEN>()?;
    *clear = header.to_bytes();
    //= spec/frames.md#pp-frame-6
    //# The associated data of a PILS frame are the four bytes of its sender's node.
    //= spec/frames.md#pp-frame-5
    //# A PILS frame is the magic, the sender's node, a nonce of 12 bytes, the ciphertext of one packet and a tag of 16 bytes.
    *tag = key.seal_in_place(&header.nonce, &sender.0.to_be_bytes(), packet).ok()?;
    Some(())
}

/// Opens the sealed part of a frame (all behind its clear `header`) in place, and returns the packet. On failure nothing was changed.
pub fn open_frame<'f>(key: &dyn AeadKey, header: &SecureHeader, sealed: &'f mut [u8]) -> Option<&'f [u8]> {
    let (packet, tag) = sealed.split_last_chunk_mut::<TAG_LEN>()?;
    key.open_in_place(&header.nonce, &header.sender.0.to_be_bytes(), packet, tag).ok()?;
    Some(packet)
}
