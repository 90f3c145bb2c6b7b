//! PCP (RFC 6887), as far as mapping one port needs it: ANNOUNCE and MAP without options. Decides nothing but the layout.
//!
//! ```text
//! request:  version 2 | opcode       | 0 u16           | lifetime | client address                 | MAP data
//! reply:    version 2 | 128 + opcode | 0 u8, result u8 | lifetime | epoch u32 | 0 (12 bytes)       | MAP data
//! MAP data: nonce (12 bytes) | protocol u8 | 0 (3 bytes) | internal port | external port | external address
//! ```
//! Addresses are 16 bytes, IPv4 as `::ffff:a.b.c.d`.

use super::bytes::{Reader, Writer};
use super::{EmitError, ParseError};
use core::net::Ipv6Addr;
use core::num::NonZeroU8;

/// The version field.
pub const PCP_VERSION: u8 = 2;
/// Bytes of a message at most (RFC 6887 section 7).
pub const PCP_MAX_LEN: usize = 1100;
/// Bytes of the longest message that is written here.
pub const PCP_MAP_LEN: usize = 60;
/// The protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;

/// Results (RFC 6887 section 7.4) that mean something particular to a client.
pub mod result {
    /// The router does not speak this version.
    pub const UNSUPPORTED_VERSION: u8 = 1;
    /// It does not map ports, or not for this host.
    pub const NOT_AUTHORIZED: u8 = 2;
    /// It does not know the operation.
    pub const UNSUPPORTED_OPCODE: u8 = 4;
    /// It has no working connection outward itself.
    pub const NETWORK_FAILURE: u8 = 7;
    /// The request came from another address than it says: there is a NAT between.
    pub const ADDRESS_MISMATCH: u8 = 12;
}

const ANNOUNCE: u8 = 0;
const MAP: u8 = 1;
/// Set in the opcode of a reply.
const REPLY: u8 = 0x80;

/// What makes an answer belong to a question.
pub type Nonce = [u8; 12];

/// One mapping, asked for or granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct PcpMapping {
    /// The same in the question and its answer.
    pub nonce: Nonce,
    /// Number of the transport protocol.
    pub protocol: u8,
    /// The host's port.
    pub internal_port: u16,
    /// The router's port; in a request, the one that would be nice to have.
    pub external_port: u16,
    /// The router's external address; in a request, the one that would be nice to have.
    pub external_address: Ipv6Addr,
}

/// What a host asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum PcpRequest {
    /// Whether the router is there, and since when.
    Announce {
        /// The host's address.
        client: Ipv6Addr,
    },
    /// A mapping.
    Map {
        /// The host's address.
        client: Ipv6Addr,
        /// Seconds; 0 deletes.
        lifetime: u32,
        /// Which.
        mapping: PcpMapping,
    },
}

/// What the router answers. `epoch`: seconds since it lost its mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum PcpReply {
    /// It is there.
    Announce {
        /// Seconds since its mappings began.
        epoch: u32,
    },
    /// A mapping was made, renewed or deleted.
    Map {
        /// Seconds since its mappings began.
        epoch: u32,
        /// Seconds that it holds.
        lifetime: u32,
        /// What it granted.
        mapping: PcpMapping,
    },
    /// No.
    Refused {
        /// What was asked, 0..=127.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = opcode))]
        opcode: u8,
        /// Why, see [`result`].
        result: NonZeroU8,
        /// Seconds since its mappings began.
        epoch: u32,
        /// Seconds for which the same question gets the same answer.
        lifetime: u32,
        /// That of the question, where the answer repeats it.
        nonce: Option<Nonce>,
    },
}

/// An opcode that fits its seven bits.
#[cfg(feature = "arbitrary")]
pub(super) fn opcode(input: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<u8> {
    input.int_in_range(0..=REPLY - 1)
}

impl PcpMapping {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (nonce, protocol) = (reader.array()?, reader.u8()?);
        reader.array::<3>()?;
        Ok(Self {
            nonce,
            protocol,
            internal_port: reader.u16()?,
            external_port: reader.u16()?,
            external_address: address(reader)?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), EmitError> {
        writer.put(&self.nonce)?;
        writer.put(&[self.protocol, 0, 0, 0])?;
        writer.put(&self.internal_port.to_be_bytes())?;
        writer.put(&self.external_port.to_be_bytes())?;
        writer.put(&self.external_address.octets())
    }
}

impl PcpRequest {
    /// Reads a request; options behind it are ignored.
    ///
    /// # Errors
    /// [`ParseError::Version`], [`ParseError::Unsupported`] for another opcode, [`ParseError::TooLong`], [`ParseError::Truncated`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = start(bytes)?;
        let opcode = reader.u8()?;
        reader.u16()?;
        let (lifetime, client) = (reader.u32()?, address(&mut reader)?);
        match opcode {
            ANNOUNCE => Ok(Self::Announce { client }),
            MAP => Ok(Self::Map { client, lifetime, mapping: PcpMapping::parse(&mut reader)? }),
            _ => Err(ParseError::Unsupported),
        }
    }

    /// Writes the request to the front of `out`; returns its length, at most [`PCP_MAP_LEN`].
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(out);
        let (opcode, lifetime, client) = match self {
            Self::Announce { client } => (ANNOUNCE, 0, client),
            Self::Map { client, lifetime, .. } => (MAP, *lifetime, client),
        };
        writer.put(&[PCP_VERSION, opcode, 0, 0])?;
        writer.put(&lifetime.to_be_bytes())?;
        writer.put(&client.octets())?;
        if let Self::Map { mapping, .. } = self {
            mapping.emit(&mut writer)?;
        }
        Ok(writer.written())
    }
}

impl PcpReply {
    /// Reads a reply; options behind it are ignored.
    ///
    /// # Errors
    /// [`ParseError::Version`], [`ParseError::Unsupported`] for another opcode, [`ParseError::Malformed`] for a request,
    /// [`ParseError::TooLong`], [`ParseError::Truncated`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = start(bytes)?;
        let opcode = reader.u8()?.checked_sub(REPLY).ok_or(ParseError::Malformed)?;
        reader.u8()?;
        let (result, lifetime, epoch) = (reader.u8()?, reader.u32()?, reader.u32()?);
        reader.array::<12>()?;
        if let Some(result) = NonZeroU8::new(result) {
            return Ok(Self::Refused { opcode, result, epoch, lifetime, nonce: reader.array().ok() });
        }
        match opcode {
            ANNOUNCE => Ok(Self::Announce { epoch }),
            MAP => Ok(Self::Map { epoch, lifetime, mapping: PcpMapping::parse(&mut reader)? }),
            _ => Err(ParseError::Unsupported),
        }
    }

    /// Writes the reply to the front of `out`; returns its length, at most [`PCP_MAP_LEN`].
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`]; [`EmitError::TooLong`] for an opcode above 127.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(out);
        let (opcode, result, lifetime, epoch) = match *self {
            Self::Announce { epoch } => (ANNOUNCE, 0, 0, epoch),
            Self::Map { epoch, lifetime, .. } => (MAP, 0, lifetime, epoch),
            Self::Refused { opcode, result, epoch, lifetime, .. } => (opcode, result.get(), lifetime, epoch),
        };
        if opcode >= REPLY {
            return Err(EmitError::TooLong);
        }
        writer.put(&[PCP_VERSION, REPLY | opcode, 0, result])?;
        writer.put(&lifetime.to_be_bytes())?;
        writer.put(&epoch.to_be_bytes())?;
        writer.put(&[0; 12])?;
        match self {
            Self::Map { mapping, .. } => mapping.emit(&mut writer)?,
            Self::Refused { nonce: Some(nonce), .. } => writer.put(nonce)?,
            Self::Announce { .. } | Self::Refused { nonce: None, .. } => {}
        }
        Ok(writer.written())
    }
}

/// Behind the version field.
fn start(bytes: &[u8]) -> Result<Reader<'_>, ParseError> {
    if bytes.len() > PCP_MAX_LEN {
        return Err(ParseError::TooLong);
    }
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        PCP_VERSION => Ok(reader),
        other => Err(ParseError::Version(other)),
    }
}

fn address(reader: &mut Reader<'_>) -> Result<Ipv6Addr, ParseError> {
    reader.array::<16>().map(Ipv6Addr::from)
}
