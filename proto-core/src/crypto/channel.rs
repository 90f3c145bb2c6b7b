//! The secure channel on port 443 (`spec/secure-channel.md`): sealing, a strict receiver, optional mutual authentication.
//!
//! Decides what is accepted and ends the channel on anything else: a frame of the wrong role, out of order, repeated or forged. Refuses to know the stream
//! it runs in, timers, and whether authentication is wanted: both ends must be configured alike.

use super::identity::{Identity, PublicKey};
use super::kdf::secure_channel_key;
use super::nonce::NoncePrefix;
use super::provider::{AeadKey, CryptoProvider};
use super::secret::ExchangeSecret;
use crate::ids::NodeId;
use crate::limits::CHANNEL_AUTH_NONCES;
use crate::wire::ParseError;
use crate::wire::secure::{
    AUTH_LEN, CHANNEL_TAG_LEN, ChannelAuth, ChannelRole, FRAME_HEADER_LEN, FrameHeader, auth_signed_message,
};
use core::fmt;
use std::collections::{BTreeSet, VecDeque};

/// Difference between the two clocks an authentication may have, seconds, inclusive.
pub const AUTH_SKEW_SECONDS: u64 = 5;
/// How long an authentication's nonce is remembered, seconds.
pub const AUTH_NONCE_SECONDS: u64 = 3600;

/// Why a channel cannot go on. Every one ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelError {
    /// The peer's hello is a low-order point.
    LowOrderKey,
    /// A length that no frame has, or less than a whole frame.
    Malformed,
    /// Sealed by ourselves, or by nobody.
    WrongRole,
    /// Repeated, missing or reordered frames.
    OutOfOrder,
    /// Not sealed under this channel's key.
    Forged,
    /// More than a frame can carry, or counters used up.
    TooLong,
    /// A frame was refused before.
    Closed,
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LowOrderKey => "the peer's key is a low-order point",
            Self::Malformed => "malformed frame",
            Self::WrongRole => "frame of the wrong side",
            Self::OutOfOrder => "frame out of order",
            Self::Forged => "frame not authentic",
            Self::TooLong => "frame too long",
            Self::Closed => "channel closed by an earlier error",
        })
    }
}

impl std::error::Error for ChannelError {}

/// One end of a channel after the hellos.
pub struct SecureChannel {
    key: Box<dyn AeadKey>,
    role: ChannelRole,
    /// Counter of the last frame sealed.
    sealed: u64,
    /// Counter of the last frame opened.
    opened: Option<u64>,
    failed: bool,
}

impl fmt::Debug for SecureChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureChannel")
            .field("role", &self.role)
            .field("sealed", &self.sealed)
            .field("opened", &self.opened)
            .finish_non_exhaustive()
    }
}

impl SecureChannel {
    /// The channel between `secret`, made for this connection only, and the `peer`'s hello.
    ///
    /// # Errors
    /// [`ChannelError::LowOrderKey`].
    pub fn new(
        crypto: &CryptoProvider,
        role: ChannelRole,
        secret: &ExchangeSecret,
        peer: &[u8; 32],
    ) -> Result<Self, ChannelError> {
        //= spec/secure-channel.md#pp-chan-1
        //# Each side sends its raw X25519 public key of 32 bytes, the dialler first.
        let shared = crypto.exchange.agree(secret, peer).ok_or(ChannelError::LowOrderKey)?;
        let key = crypto.aead.key(secure_channel_key(&shared).expose());
        Ok(Self { key, role, sealed: 0, opened: None, failed: false })
    }

    /// Appends `plaintext` as one frame to `out`. Counters begin at 1.
    ///
    /// # Errors
    /// [`ChannelError::TooLong`] above 16 MiB less overhead.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), ChannelError> {
        let counter = self.sealed.checked_add(1).ok_or(ChannelError::TooLong)?;
        let header = FrameHeader::new(self.role, counter, plaintext.len()).map_err(|_| ChannelError::TooLong)?;
        let start = out.len();
        out.resize(start + FRAME_HEADER_LEN, 0);
        out.extend_from_slice(plaintext);
        let frame = out.get_mut(start..).unwrap_or_default();
        header.emit(frame).map_err(|_| ChannelError::TooLong)?;
        let data = frame.get_mut(FRAME_HEADER_LEN..).unwrap_or_default();
        //= spec/secure-channel.md#pp-chan-3
        //# A frame is a length, a nonce of 12 bytes, the ciphertext and the tag; the associated data are the nonce's first 4 bytes.
        //= spec/secure-channel.md#pp-chan-6
        //# Counters begin at 1 when sent; a first counter of 0 is received as well.
        let tag = self.key.seal_in_place(&header.nonce, &header.prefix(), data).map_err(|_| ChannelError::TooLong)?;
        out.extend_from_slice(&tag);
        self.sealed = counter;
        Ok(())
    }

    /// How many bytes the frame at the front of `stream` has, `None` while that is not known yet.
    ///
    /// # Errors
    /// [`ChannelError::Malformed`] for a length no frame has: known from the first four bytes, so nothing is buffered for it.
    pub fn frame_len(stream: &[u8]) -> Result<Option<usize>, ChannelError> {
        match FrameHeader::parse(stream) {
            Ok(header) => Ok(Some(FRAME_HEADER_LEN + header.sealed_len)),
            Err(ParseError::Truncated) => Ok(None),
            Err(_) => Err(ChannelError::Malformed),
        }
    }

    /// Opens `frame`, exactly one as [`Self::frame_len`] measured it, in place.
    ///
    /// # Errors
    /// [`ChannelError`]; after the first one every frame is refused.
    pub fn open<'f>(&mut self, frame: &'f mut [u8]) -> Result<&'f [u8], ChannelError> {
        if self.failed {
            return Err(ChannelError::Closed);
        }
        let opened = self.try_open(frame);
        self.failed = opened.is_err();
        opened
    }

    fn try_open<'f>(&mut self, frame: &'f mut [u8]) -> Result<&'f [u8], ChannelError> {
        let header = FrameHeader::parse(frame).map_err(|_| ChannelError::Malformed)?;
        if frame.len() != FRAME_HEADER_LEN + header.sealed_len {
            return Err(ChannelError::Malformed);
        }
        let (prefix, counter) = NoncePrefix::split(&header.nonce);
        if prefix.0 != self.role.peer().prefix() {
            return Err(ChannelError::WrongRole);
        }
        // The draft starts at 0, the reference at 1; after that there is exactly one next frame.
        //= spec/secure-channel.md#pp-chan-5
        //# A frame with the own prefix, out of order, repeated or forged ends the channel.
        let in_order = self.opened.map_or(counter <= 1, |last| last.checked_add(1) == Some(counter));
        if !in_order {
            return Err(ChannelError::OutOfOrder);
        }
        let sealed = frame.get_mut(FRAME_HEADER_LEN..).unwrap_or_default();
        let (data, tag) = sealed.split_last_chunk_mut::<CHANNEL_TAG_LEN>().ok_or(ChannelError::Malformed)?;
        self.key.open_in_place(&header.nonce, &prefix.0, data, tag).map_err(|_| ChannelError::Forged)?;
        self.opened = Some(counter);
        Ok(data)
    }
}

/// Our authentication: the plaintext of the first frame this side sends. `nonce` is random, `unix_seconds` the host's wall clock.
#[must_use]
pub fn sign_auth(
    identity: &Identity,
    node: NodeId,
    exchange_public: &[u8; 32],
    unix_seconds: u64,
    nonce: [u8; 16],
) -> [u8; AUTH_LEN] {
    let signature = identity.sign(&auth_signed_message(node, exchange_public, unix_seconds, &nonce));
    let mut bytes = [0; AUTH_LEN];
    let emitted = ChannelAuth { node, timestamp: unix_seconds, nonce, signature }.emit(&mut bytes);
    debug_assert_eq!(emitted, Ok(AUTH_LEN));
    bytes
}

/// Why an authentication was refused. Every one ends the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// Further than [`AUTH_SKEW_SECONDS`] from our clock.
    Skew,
    /// Not by the key of the node it names.
    Signature,
    /// Used before.
    Replayed,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skew => "clocks differ too much",
            Self::Signature => "signature does not fit the peer's identity",
            Self::Replayed => "authentication was used before",
        })
    }
}

impl std::error::Error for AuthError {}

/// Judges the peers' authentications of all channels of one endpoint.
#[derive(Debug, Default)]
pub struct AuthVerifier {
    used: BTreeSet<[u8; 16]>,
    /// The same nonces, oldest first, with when they are forgotten. At most [`CHANNEL_AUTH_NONCES`]; the oldest goes first, which the clock check makes harmless
    /// as long as it is older than the skew.
    order: VecDeque<(u64, [u8; 16])>,
}

impl AuthVerifier {
    /// Accepts `auth`, once. `peer_hello` is the X25519 key of this channel, `key` the identity of `auth.node`, `unix_seconds` the host's wall clock.
    ///
    /// # Errors
    /// [`AuthError`].
    pub fn verify(
        &mut self,
        crypto: &CryptoProvider,
        auth: &ChannelAuth,
        peer_hello: &[u8; 32],
        key: &PublicKey,
        unix_seconds: u64,
    ) -> Result<(), AuthError> {
        //= spec/secure-channel.md#pp-chan-8
        //# An authentication is accepted once, and only within 5 seconds of the own clock.
        if auth.timestamp.abs_diff(unix_seconds) > AUTH_SKEW_SECONDS {
            return Err(AuthError::Skew);
        }
        if !key.verify_strict(crypto, &auth.signed_message(peer_hello), &auth.signature) {
            return Err(AuthError::Signature);
        }
        self.forget(unix_seconds);
        if !self.used.insert(auth.nonce) {
            return Err(AuthError::Replayed);
        }
        self.order.push_back((unix_seconds.saturating_add(AUTH_NONCE_SECONDS), auth.nonce));
        Ok(())
    }

    /// Forgets what is too old, and the oldest when there is no room for another.
    fn forget(&mut self, unix_seconds: u64) {
        while self.order.front().is_some_and(|(until, _)| *until < unix_seconds)
            || self.order.len() >= CHANNEL_AUTH_NONCES
        {
            if let Some((_, nonce)) = self.order.pop_front() {
                self.used.remove(&nonce);
            }
        }
    }
}

#[cfg(test)]
mod tests;
