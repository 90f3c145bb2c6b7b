//! The byte layouts of the secure channel on port 443 (PP-CHAN-1, PP-CHAN-3): hello, sealed frames, the optional authentication. No keys and no order here.

use super::bytes::{Reader, Writer};
use super::{EmitError, ParseError};
use crate::ids::NodeId;

/// Each side's hello is its raw X25519 public key.
pub const HELLO_LEN: usize = 32;
/// Bytes of a frame's nonce: 4 of role prefix, 8 of counter.
pub const CHANNEL_NONCE_LEN: usize = 12;
/// Length field and nonce.
pub const FRAME_HEADER_LEN: usize = 4 + CHANNEL_NONCE_LEN;
/// What sealing adds behind the ciphertext.
pub const CHANNEL_TAG_LEN: usize = 16;
/// The length field says at most this.
pub const MAX_FRAME_LENGTH: usize = 16 * 1024 * 1024;
/// Plaintext bytes of one frame at most.
pub const MAX_FRAME_PLAINTEXT: usize = MAX_FRAME_LENGTH - CHANNEL_NONCE_LEN - CHANNEL_TAG_LEN;
/// Bytes of an authentication, as plaintext of a frame.
pub const AUTH_LEN: usize = 4 + 8 + 16 + 64;
/// Bytes an authentication signs.
pub const AUTH_SIGNED_LEN: usize = AUTH_PREFIX.len() + 4 + 32 + 8 + 16;

const AUTH_PREFIX: [u8; 18] = *b"pilot-secure-auth:";

/// Which side of a channel; its number is the nonce prefix of what that side seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum ChannelRole {
    /// Accepted the stream (1).
    Server,
    /// Dialled the stream (2).
    Client,
}

impl ChannelRole {
    /// The first four nonce bytes of this side's frames, which are their associated data too.
    #[must_use]
    //= spec/secure-channel.md#pp-chan-4
    //# The server's nonce prefix is 1, the client's 2.
    pub const fn prefix(self) -> [u8; 4] {
        match self {
            Self::Server => [0, 0, 0, 1],
            Self::Client => [0, 0, 0, 2],
        }
    }

    /// The other side.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }
}

/// The clear part of a frame: length and nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Role prefix and counter.
    pub nonce: [u8; CHANNEL_NONCE_LEN],
    /// Bytes of ciphertext and tag that follow, `16..=`16 MiB - 12.
    pub sealed_len: usize,
}

impl FrameHeader {
    /// The header of a frame with `plaintext_len` bytes in it, the `counter`th of `role`.
    ///
    /// # Errors
    /// [`EmitError::TooLong`] above [`MAX_FRAME_PLAINTEXT`].
    pub fn new(role: ChannelRole, counter: u64, plaintext_len: usize) -> Result<Self, EmitError> {
        if plaintext_len > MAX_FRAME_PLAINTEXT {
            return Err(EmitError::TooLong);
        }
        let [p0, p1, p2, p3] = role.prefix();
        let [c0, c1, c2, c3, c4, c5, c6, c7] = counter.to_be_bytes();
        let nonce = [p0, p1, p2, p3, c0, c1, c2, c3, c4, c5, c6, c7];
        Ok(Self { nonce, sealed_len: plaintext_len + CHANNEL_TAG_LEN })
    }

    /// The header at the front of a byte stream.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when more bytes are needed; [`ParseError::Malformed`] when the length leaves no room for nonce and tag;
    /// [`ParseError::TooLong`] above 16 MiB. The last two end the channel, and are known from the first four bytes.
    pub fn parse(stream: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(stream);
        let length = usize::try_from(reader.u32()?).map_err(|_| ParseError::TooLong)?;
        if length > MAX_FRAME_LENGTH {
            return Err(ParseError::TooLong);
        }
        let sealed_len = length
            .checked_sub(CHANNEL_NONCE_LEN)
            //= spec/secure-channel.md#pp-chan-7
            //# A frame length below 28 or above 16 MiB ends the channel.
            .filter(|sealed| *sealed >= CHANNEL_TAG_LEN)
            .ok_or(ParseError::Malformed)?;
        Ok(Self { nonce: reader.array()?, sealed_len })
    }

    /// Writes the header to the front of `out`.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`], [`EmitError::TooLong`].
    pub fn emit(&self, out: &mut [u8]) -> Result<(), EmitError> {
        let length = self.sealed_len.checked_add(CHANNEL_NONCE_LEN).filter(|length| *length <= MAX_FRAME_LENGTH);
        let length = u32::try_from(length.ok_or(EmitError::TooLong)?).map_err(|_| EmitError::TooLong)?;
        let mut writer = Writer::new(out);
        writer.put(&length.to_be_bytes())?;
        writer.put(&self.nonce)
    }

    /// The nonce's first half: which role sealed this.
    #[must_use]
    pub const fn prefix(&self) -> [u8; 4] {
        let [p0, p1, p2, p3, ..] = self.nonce;
        [p0, p1, p2, p3]
    }

    /// The nonce's second half.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        let [_, _, _, _, c0, c1, c2, c3, c4, c5, c6, c7] = self.nonce;
        u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7])
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for FrameHeader {
    fn arbitrary(input: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let sealed_len = input.int_in_range(CHANNEL_TAG_LEN..=MAX_FRAME_LENGTH - CHANNEL_NONCE_LEN)?;
        Ok(Self { nonce: input.arbitrary()?, sealed_len })
    }
}

/// One side's proof of identity, the first frame it sends when authentication is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ChannelAuth {
    /// Who it says it is.
    pub node: NodeId,
    /// When, in Unix seconds.
    pub timestamp: u64,
    /// Random, never used before.
    pub nonce: [u8; 16],
    /// Ed25519 over [`auth_signed_message`].
    pub signature: [u8; 64],
}

impl ChannelAuth {
    /// The authentication that is the whole of `plaintext`.
    ///
    /// # Errors
    /// [`ParseError::Truncated`], [`ParseError::TooLong`] unless it has exactly [`AUTH_LEN`] bytes.
    pub fn parse(plaintext: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(plaintext);
        let auth =
            Self { node: reader.node()?, timestamp: reader.u64()?, nonce: reader.array()?, signature: reader.array()? };
        if reader.rest().is_empty() { Ok(auth) } else { Err(ParseError::TooLong) }
    }

    /// Writes the authentication to the front of `out`; returns its length, [`AUTH_LEN`].
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(out);
        writer.node(self.node)?;
        writer.put(&self.timestamp.to_be_bytes())?;
        writer.put(&self.nonce)?;
        writer.put(&self.signature)?;
        Ok(writer.written())
    }

    /// What [`Self::signature`] must sign, for a side whose hello was `exchange_public`.
    #[must_use]
    pub fn signed_message(&self, exchange_public: &[u8; HELLO_LEN]) -> [u8; AUTH_SIGNED_LEN] {
        auth_signed_message(self.node, exchange_public, self.timestamp, &self.nonce)
    }
}

/// What an authentication signs: a label, the signer, its own hello, the time, the nonce.
#[must_use]
pub fn auth_signed_message(
    node: NodeId,
    exchange_public: &[u8; HELLO_LEN],
    timestamp: u64,
    nonce: &[u8; 16],
) -> [u8; AUTH_SIGNED_LEN] {
    let mut message = [0; AUTH_SIGNED_LEN];
    let parts = [&AUTH_PREFIX[..], &node.0.to_be_bytes(), exchange_public, &timestamp.to_be_bytes(), nonce];
    for (slot, byte) in message.iter_mut().zip(parts.into_iter().flatten()) {
        *slot = *byte;
    }
    message
}
