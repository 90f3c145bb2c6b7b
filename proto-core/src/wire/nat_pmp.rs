//! NAT-PMP (RFC 6886 section 3): how a host asks its router for a port. Decides nothing but the layout.
//!
//! ```text
//! request:  version 0 | opcode                                                       (external address)
//!           version 0 | opcode | 0 u16 | internal port | external port | lifetime    (map)
//! reply:    version 0 | 128 + opcode | result u16 | epoch u32 | external IPv4 address, or: internal port | external port | lifetime
//! ```

use super::bytes::{Reader, Writer};
use super::{EmitError, ParseError};
use core::net::Ipv4Addr;
use core::num::NonZeroU16;

/// The version field.
pub const NAT_PMP_VERSION: u8 = 0;
/// Result: the router does not speak this version.
pub const NAT_PMP_UNSUPPORTED_VERSION: u16 = 1;
/// Result: the router has no working connection outward itself.
pub const NAT_PMP_NETWORK_FAILURE: u16 = 3;
/// Bytes of any message at most.
pub const NAT_PMP_MAX_LEN: usize = 16;

const EXTERNAL_ADDRESS: u8 = 0;
const MAP_UDP: u8 = 1;
/// Set in the opcode of a reply.
const REPLY: u8 = 0x80;

/// One mapping of a UDP port, asked for or granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct NatPmpMapping {
    /// The host's port.
    pub internal_port: u16,
    /// The router's port; as a request, the one that would be nice to have.
    pub external_port: u16,
    /// Seconds; 0 deletes.
    pub lifetime: u32,
}

/// What a host asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum NatPmpRequest {
    /// The router's external address.
    ExternalAddress,
    /// A mapping for UDP.
    Map(NatPmpMapping),
}

/// What the router answers. `epoch`: seconds since it lost its mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum NatPmpReply {
    /// Its external address.
    ExternalAddress {
        /// Seconds since its mappings began.
        epoch: u32,
        /// The address.
        address: Ipv4Addr,
    },
    /// A mapping was made, renewed or deleted.
    Map {
        /// Seconds since its mappings began.
        epoch: u32,
        /// What it granted.
        mapping: NatPmpMapping,
    },
    /// No.
    Refused {
        /// What was asked, 0..=127.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = super::pcp::opcode))]
        opcode: u8,
        /// Why (RFC 6886 section 3.5).
        result: NonZeroU16,
        /// Seconds since its mappings began.
        epoch: u32,
    },
}

impl NatPmpMapping {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self { internal_port: reader.u16()?, external_port: reader.u16()?, lifetime: reader.u32()? })
    }

    fn emit(self, writer: &mut Writer<'_>) -> Result<(), EmitError> {
        writer.put(&self.internal_port.to_be_bytes())?;
        writer.put(&self.external_port.to_be_bytes())?;
        writer.put(&self.lifetime.to_be_bytes())
    }
}

impl NatPmpRequest {
    /// Reads a request; bytes behind it are ignored.
    ///
    /// # Errors
    /// [`ParseError::Version`], [`ParseError::Unsupported`] for another opcode, [`ParseError::Truncated`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        version(&mut reader)?;
        match reader.u8()? {
            EXTERNAL_ADDRESS => Ok(Self::ExternalAddress),
            MAP_UDP => {
                reader.u16()?;
                NatPmpMapping::parse(&mut reader).map(Self::Map)
            }
            _ => Err(ParseError::Unsupported),
        }
    }

    /// Writes the request to the front of `out`; returns its length.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(out);
        match self {
            Self::ExternalAddress => writer.put(&[NAT_PMP_VERSION, EXTERNAL_ADDRESS])?,
            Self::Map(mapping) => {
                writer.put(&[NAT_PMP_VERSION, MAP_UDP, 0, 0])?;
                mapping.emit(&mut writer)?;
            }
        }
        Ok(writer.written())
    }
}

impl NatPmpReply {
    /// Reads a reply; bytes behind it are ignored. A refusal may be as short as 8 bytes.
    ///
    /// # Errors
    /// [`ParseError::Version`], [`ParseError::Unsupported`] for another opcode, [`ParseError::Malformed`] for a request,
    /// [`ParseError::Truncated`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        version(&mut reader)?;
        let (opcode, result, epoch) = (reader.u8()?, reader.u16()?, reader.u32()?);
        if let Some(result) = NonZeroU16::new(result) {
            // Routers that know no other version answer it with any opcode.
            if opcode & REPLY == 0 && result.get() != NAT_PMP_UNSUPPORTED_VERSION {
                return Err(ParseError::Malformed);
            }
            return Ok(Self::Refused { opcode: opcode & !REPLY, result, epoch });
        }
        match opcode.checked_sub(REPLY).ok_or(ParseError::Malformed)? {
            EXTERNAL_ADDRESS => Ok(Self::ExternalAddress { epoch, address: Ipv4Addr::from(reader.array::<4>()?) }),
            MAP_UDP => Ok(Self::Map { epoch, mapping: NatPmpMapping::parse(&mut reader)? }),
            _ => Err(ParseError::Unsupported),
        }
    }

    /// Writes the reply to the front of `out`; returns its length.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`]; [`EmitError::TooLong`] for an opcode above 127.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(out);
        let (opcode, result, epoch) = match *self {
            Self::ExternalAddress { epoch, .. } => (EXTERNAL_ADDRESS, 0, epoch),
            Self::Map { epoch, .. } => (MAP_UDP, 0, epoch),
            Self::Refused { opcode, result, epoch } => (opcode, result.get(), epoch),
        };
        if opcode >= REPLY {
            return Err(EmitError::TooLong);
        }
        writer.put(&[NAT_PMP_VERSION, REPLY | opcode])?;
        writer.put(&result.to_be_bytes())?;
        writer.put(&epoch.to_be_bytes())?;
        match self {
            Self::ExternalAddress { address, .. } => writer.put(&address.octets())?,
            Self::Map { mapping, .. } => mapping.emit(&mut writer)?,
            Self::Refused { .. } => {}
        }
        Ok(writer.written())
    }
}

fn version(reader: &mut Reader<'_>) -> Result<(), ParseError> {
    match reader.u8()? {
        NAT_PMP_VERSION => Ok(()),
        other => Err(ParseError::Version(other)),
    }
}
