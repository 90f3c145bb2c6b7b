//! Tunnel frames: a four-byte magic and a body (`spec/frames.md`). Knows the layouts, not the keys, and does not judge senders.
//!
//! The fragments (PILF) of one development line of the reference are recognised and refused with [`ParseError::Unsupported`]: their header is not authenticated,
//! both ends would have to know them, and nothing released sends them.

use super::bytes::{Reader, Writer};
use super::header::HEADER_LEN;
use super::{EmitError, ParseError};
use crate::ids::NodeId;

/// Bytes of a frame magic.
pub const MAGIC_LEN: usize = 4;
/// Plaintext packet.
pub const PILT: [u8; MAGIC_LEN] = *b"PILT";
/// Encrypted packet.
pub const PILS: [u8; MAGIC_LEN] = *b"PILS";
/// Anonymous key exchange.
pub const PILK: [u8; MAGIC_LEN] = *b"PILK";
/// Authenticated key exchange.
pub const PILA: [u8; MAGIC_LEN] = *b"PILA";
/// Hole punch.
pub const PILP: [u8; MAGIC_LEN] = *b"PILP";
/// Fragment; recognised, not handled.
pub const PILF: [u8; MAGIC_LEN] = *b"PILF";

/// Every known magic with the least number of bytes a whole frame of its kind has.
pub const MAGIC_TABLE: [([u8; MAGIC_LEN], usize); 6] = [
    (PILT, MAGIC_LEN + HEADER_LEN),
    (PILS, SECURE_HEADER_LEN + TAG_LEN),
    (PILK, KEY_EXCHANGE_LEN),
    (PILA, AUTHENTICATED_KEY_EXCHANGE_LEN),
    (PILP, MAGIC_LEN),
    (PILF, 15),
];

/// Bytes of an AES-GCM nonce: 4 of prefix, 8 of counter.
pub const NONCE_LEN: usize = 12;
/// Bytes of an AES-GCM tag.
pub const TAG_LEN: usize = 16;
/// Magic, sender and nonce of a PILS frame.
pub const SECURE_HEADER_LEN: usize = MAGIC_LEN + 4 + NONCE_LEN;
/// What PILS adds to a packet: [`SECURE_HEADER_LEN`] in front, [`TAG_LEN`] behind.
//= spec/frames.md#pp-frame-5
//# A PILS frame is the magic, the sender's node, a nonce of 12 bytes, the ciphertext of one packet and a tag of 16 bytes.
//= spec/frames.md#pp-frame-7
//# A PILS frame is 36 bytes longer than the packet in it.
//= spec/path-mtu.md#pp-mtu-1
//# A sealed packet has 70 bytes around its payload: 34 of header and 36 of frame.
pub const PILS_OVERHEAD: usize = SECURE_HEADER_LEN + TAG_LEN;
/// Bytes of a PILK frame.
pub const KEY_EXCHANGE_LEN: usize = MAGIC_LEN + 4 + 32;
/// Bytes of a PILA frame.
pub const AUTHENTICATED_KEY_EXCHANGE_LEN: usize = MAGIC_LEN + 4 + 32 + 32 + 64;
/// Bytes a PILA's signature covers.
pub const SIGNED_MESSAGE_LEN: usize = 4 + 4 + 32;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Frame<'a> {
    /// PILT: a packet in clear; parse it with [`super::Header::parse`].
    Plaintext(&'a [u8]),
    /// PILS: a sealed packet.
    Secure(Secure<'a>),
    /// PILK: a public key nobody vouches for.
    KeyExchange(KeyExchange),
    /// PILA: a public key signed by its sender's identity.
    AuthenticatedKeyExchange(AuthenticatedKeyExchange),
    /// PILP: opens a NAT. The reference sends no sender, the draft does; neither is authenticated.
    Punch {
        /// Who says it sent this.
        sender: Option<NodeId>,
    },
}

/// A PILS frame, still sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Secure<'a> {
    /// Who says it sealed this; its four bytes are the associated data.
    pub sender: NodeId,
    /// Prefix and counter.
    pub nonce: [u8; NONCE_LEN],
    /// Ciphertext and tag, at least [`TAG_LEN`] bytes.
    pub sealed: &'a [u8],
}

/// A PILK frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct KeyExchange {
    /// Who says it sent this.
    pub sender: NodeId,
    /// Its X25519 public key.
    pub public: [u8; 32],
}

/// A PILA frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct AuthenticatedKeyExchange {
    /// Who says it sent this.
    pub sender: NodeId,
    /// Its X25519 public key.
    pub exchange_public: [u8; 32],
    /// Its Ed25519 public key. Never trusted by itself.
    pub identity_public: [u8; 32],
    /// Ed25519 over [`signed_message`].
    pub signature: [u8; 64],
}

impl AuthenticatedKeyExchange {
    /// What [`Self::signature`] must sign.
    #[must_use]
    pub fn signed_message(&self) -> [u8; SIGNED_MESSAGE_LEN] {
        signed_message(self.sender, &self.exchange_public)
    }

    /// The frame's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; AUTHENTICATED_KEY_EXCHANGE_LEN] {
        let mut bytes = [0; AUTHENTICATED_KEY_EXCHANGE_LEN];
        let emitted = Frame::AuthenticatedKeyExchange(*self).emit(&mut bytes);
        debug_assert_eq!(emitted, Ok(AUTHENTICATED_KEY_EXCHANGE_LEN));
        bytes
    }
}

/// What a PILA signs: `auth`, the sender, its X25519 public key.
#[must_use]
pub fn signed_message(sender: NodeId, exchange_public: &[u8; 32]) -> [u8; SIGNED_MESSAGE_LEN] {
    let [n0, n1, n2, n3] = sender.0.to_be_bytes();
    let mut message = [0; SIGNED_MESSAGE_LEN];
    if let Some((head, key)) = message.split_first_chunk_mut::<8>() {
        //= spec/exchange.md#pp-kex-5
        //# A PILA signs 40 bytes with Ed25519: `auth`, the sender's node, its X25519 public key.
        *head = [b'a', b'u', b't', b'h', n0, n1, n2, n3];
        key.copy_from_slice(exchange_public);
    }
    message
}

impl<'a> Frame<'a> {
    /// The frame in `bytes`. Bytes behind the fixed layouts (PILK, PILA, PILP) are ignored.
    ///
    /// # Errors
    /// [`ParseError::Magic`], [`ParseError::Truncated`], [`ParseError::Unsupported`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.array::<MAGIC_LEN>()?;
        //= spec/frames.md#pp-frame-3
        //# A frame with an unknown magic is dropped without an answer.
        //= spec/frames.md#pp-frame-4
        //# A frame shorter than the least length of its kind is dropped.
        let (_, least) = MAGIC_TABLE.iter().find(|(known, _)| *known == magic).ok_or(ParseError::Magic)?;
        if bytes.len() < *least {
            return Err(ParseError::Truncated);
        }
        Ok(match magic {
            PILT => Self::Plaintext(reader.rest()),
            PILS => Self::Secure(Secure { sender: reader.node()?, nonce: reader.array()?, sealed: reader.rest() }),
            PILK => Self::KeyExchange(KeyExchange { sender: reader.node()?, public: reader.array()? }),
            PILA => Self::AuthenticatedKeyExchange(AuthenticatedKeyExchange {
                sender: reader.node()?,
                exchange_public: reader.array()?,
                identity_public: reader.array()?,
                signature: reader.array()?,
            }),
            //= spec/frames.md#pp-frame-12
            //# Bytes behind PILK, PILA and PILP are ignored.
            PILP => Self::Punch { sender: reader.node().ok() },
            //= spec/frames.md#pp-frame-13
            //# A PILF frame is recognised, counted and dropped.
            _ => return Err(ParseError::Unsupported),
        })
    }

    /// The frame in `bytes`, which a beacon delivered as coming from `outer`.
    ///
    /// Only frames that name their sender can come this way, and it must be the same one: the beacon does not authenticate what it passes on, and whoever names
    /// two senders wants a wrong one remembered.
    ///
    /// # Errors
    /// As [`Frame::parse`]; [`ParseError::Unsupported`] for plaintext and punches, [`ParseError::Malformed`] for another sender.
    pub fn parse_relayed(outer: NodeId, bytes: &'a [u8]) -> Result<Self, ParseError> {
        let frame = Self::parse(bytes)?;
        let inner = match frame {
            Self::Secure(secure) => secure.sender,
            Self::KeyExchange(exchange) => exchange.sender,
            Self::AuthenticatedKeyExchange(exchange) => exchange.sender,
            Self::Plaintext(_) | Self::Punch { .. } => return Err(ParseError::Unsupported),
        };
        if inner == outer { Ok(frame) } else { Err(ParseError::Malformed) }
    }

    /// Bytes [`Frame::emit`] writes.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        match self {
            Self::Plaintext(packet) => MAGIC_LEN + packet.len(),
            Self::Secure(secure) => SECURE_HEADER_LEN + secure.sealed.len(),
            Self::KeyExchange(_) => KEY_EXCHANGE_LEN,
            Self::AuthenticatedKeyExchange(_) => AUTHENTICATED_KEY_EXCHANGE_LEN,
            Self::Punch { sender: None } => MAGIC_LEN,
            Self::Punch { sender: Some(_) } => MAGIC_LEN + 4,
        }
    }

    /// Writes the frame to the front of `out`; returns its length.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(out);
        match self {
            Self::Plaintext(packet) => {
                writer.put(&PILT)?;
                writer.put(packet)?;
            }
            Self::Secure(secure) => {
                writer.put(&SecureHeader { sender: secure.sender, nonce: secure.nonce }.to_bytes())?;
                writer.put(secure.sealed)?;
            }
            Self::KeyExchange(exchange) => {
                writer.put(&PILK)?;
                writer.node(exchange.sender)?;
                writer.put(&exchange.public)?;
            }
            Self::AuthenticatedKeyExchange(exchange) => {
                writer.put(&PILA)?;
                writer.node(exchange.sender)?;
                writer.put(&exchange.exchange_public)?;
                writer.put(&exchange.identity_public)?;
                writer.put(&exchange.signature)?;
            }
            Self::Punch { sender } => {
                writer.put(&PILP)?;
                if let Some(sender) = sender {
                    writer.node(*sender)?;
                }
            }
        }
        Ok(writer.written())
    }
}

/// The clear part of a PILS frame, for sealing and opening in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct SecureHeader {
    /// Who seals.
    pub sender: NodeId,
    /// Prefix and counter.
    pub nonce: [u8; NONCE_LEN],
}

impl SecureHeader {
    /// The clear part of the PILS frame `bytes`; what is sealed begins at [`SECURE_HEADER_LEN`].
    ///
    /// # Errors
    /// [`ParseError::Magic`] when it is no PILS frame, [`ParseError::Truncated`] when there is no room for a tag.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != PILS {
            return Err(ParseError::Magic);
        }
        if bytes.len() < PILS_OVERHEAD {
            return Err(ParseError::Truncated);
        }
        Ok(Self { sender: reader.node()?, nonce: reader.array()? })
    }

    /// The clear part's bytes.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; SECURE_HEADER_LEN] {
        let [m0, m1, m2, m3] = PILS;
        let [s0, s1, s2, s3] = self.sender.0.to_be_bytes();
        let [p0, p1, p2, p3, c0, c1, c2, c3, c4, c5, c6, c7] = self.nonce;
        [m0, m1, m2, m3, s0, s1, s2, s3, p0, p1, p2, p3, c0, c1, c2, c3, c4, c5, c6, c7]
    }

    /// Writes the clear part to the front of `out`.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<(), EmitError> {
        Writer::new(out).put(&self.to_bytes())
    }
}
