//! The 34-byte packet header and its checksum (PP-PKT-1).
//!
//! Decides nothing about flags or ports: every combination is a header, and the session layer says what it means.

use super::addr::Address;
use super::{EmitError, ParseError};
use crate::seq::SeqNumber;
use core::fmt;
use core::ops::{BitOr, BitOrAssign};

/// Bytes of a packet header.
pub const HEADER_LEN: usize = 34;
/// The only packet version.
pub const VERSION: u8 = 1;
/// Payload bytes of a packet at most: the length field has 16 bits.
//= spec/segmentation.md#pp-seg-3
//# Payloads of any size up to 65535 bytes are received.
pub const MAX_PAYLOAD: usize = 65_535;

/// Where the checksum begins; it is the last field of the header.
const CHECKSUM_OFFSET: usize = 30;
/// Where the payload length stands.
const LENGTH_OFFSET: usize = 2;

/// The four flags of a packet; any combination can be on the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// No flag: datagrams and control requests.
    pub const NONE: Self = Self(0);
    /// Opens a stream.
    pub const SYN: Self = Self(0x1);
    /// The acknowledgement field is meaningful.
    pub const ACK: Self = Self(0x2);
    /// The sender is done.
    pub const FIN: Self = Self(0x4);
    /// The stream is refused or gone.
    pub const RST: Self = Self(0x8);

    /// The flags in the low four bits of `bits`; the rest is dropped.
    #[must_use]
    pub const fn from_bits_truncate(bits: u8) -> Self {
        Self(bits & 0x0F)
    }

    /// The flags as the low four bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// All flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(Self::SYN, "SYN"), (Self::ACK, "ACK"), (Self::FIN, "FIN"), (Self::RST, "RST")];
        f.debug_set().entries(names.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| name)).finish()
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Flags {
    fn arbitrary(input: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        input.arbitrary().map(Self::from_bits_truncate)
    }
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// A segment of a stream (1).
    Stream,
    /// A datagram (2).
    Datagram,
    /// Ping and other control (3).
    Control,
    /// Anything else: parses, and is then ignored. Made with [`Protocol::from`], so it never holds 1, 2 or 3.
    Other(u8),
}

impl From<u8> for Protocol {
    //= spec/packet.md#pp-pkt-4
    //# Protocol 1 is a stream, 2 a datagram, 3 control.
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Stream,
            2 => Self::Datagram,
            3 => Self::Control,
            other => Self::Other(other),
        }
    }
}

impl From<Protocol> for u8 {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Stream => 1,
            Protocol::Datagram => 2,
            Protocol::Control => 3,
            Protocol::Other(other) => other,
        }
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Protocol {
    fn arbitrary(input: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        input.arbitrary::<u8>().map(Self::from)
    }
}

/// A packet header without what follows from the payload (length, checksum) and without the constant version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Header {
    /// The flags.
    pub flags: Flags,
    /// What the payload is.
    pub protocol: Protocol,
    /// The sender.
    pub src: Address,
    /// The receiver.
    pub dst: Address,
    /// The sender's port.
    pub src_port: u16,
    /// The receiver's port.
    pub dst_port: u16,
    /// The first payload byte's number, or what the flags make of it.
    pub seq: SeqNumber,
    /// The next number the sender expects; meaningful with [`Flags::ACK`] only.
    pub ack: SeqNumber,
    /// Free receive space: in segments, or scaled as two peers of ours agreed ([`super::options`]).
    pub window: u16,
}

impl Header {
    /// The header of `packet` and its payload.
    ///
    /// Bytes behind the declared payload are tolerated and lie outside the checksum, which is checked before the version.
    ///
    /// # Errors
    /// [`ParseError::Truncated`], [`ParseError::Checksum`], [`ParseError::Version`].
    pub fn parse(packet: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let (fixed, rest) = packet.split_first_chunk::<HEADER_LEN>().ok_or(ParseError::Truncated)?;
        #[rustfmt::skip]
        let [first, protocol, l0, l1,
            s0, s1, s2, s3, s4, s5,
            d0, d1, d2, d3, d4, d5,
            sp0, sp1, dp0, dp1,
            q0, q1, q2, q3,
            a0, a1, a2, a3,
            w0, w1,
            c0, c1, c2, c3] = *fixed;
        //= spec/packet.md#pp-pkt-8
        //# A packet shorter than its header and its payload length is dropped.
        //= spec/packet.md#pp-pkt-11
        //# Bytes behind the declared payload are ignored and lie outside the checksum.
        let payload = rest.get(..usize::from(u16::from_be_bytes([l0, l1]))).ok_or(ParseError::Truncated)?;
        //= spec/packet.md#pp-pkt-7
        //# A packet with a wrong checksum is dropped, inside a sealed frame as well.
        //= spec/packet.md#pp-pkt-15
        //# The checksum is judged before the version.
        if checksum(fixed, payload) != u32::from_be_bytes([c0, c1, c2, c3]) {
            return Err(ParseError::Checksum);
        }
        //= spec/packet.md#pp-pkt-9
        //# A packet whose version is not 1 is dropped.
        //= spec/versioning.md#pp-ver-4
        //# A SYN of another version gets no answer.
        if first >> 4 != VERSION {
            return Err(ParseError::Version(first >> 4));
        }
        let header = Self {
            flags: Flags::from_bits_truncate(first),
            protocol: Protocol::from(protocol),
            src: Address::from_bytes([s0, s1, s2, s3, s4, s5]),
            dst: Address::from_bytes([d0, d1, d2, d3, d4, d5]),
            src_port: u16::from_be_bytes([sp0, sp1]),
            dst_port: u16::from_be_bytes([dp0, dp1]),
            seq: SeqNumber(u32::from_be_bytes([q0, q1, q2, q3])),
            ack: SeqNumber(u32::from_be_bytes([a0, a1, a2, a3])),
            window: u16::from_be_bytes([w0, w1]),
        };
        Ok((header, payload))
    }

    /// Writes the header in front of the payload that already stands at `packet[HEADER_LEN..]`, all of it.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`] below 34 bytes, [`EmitError::TooLong`] above [`MAX_PAYLOAD`].
    //= spec/packet.md#pp-pkt-12
    //# No byte is sent behind the declared payload.
    pub fn emit_in_place(&self, packet: &mut [u8]) -> Result<(), EmitError> {
        let (fixed, payload) = packet.split_first_chunk_mut::<HEADER_LEN>().ok_or(EmitError::BufferTooSmall)?;
        let length = u16::try_from(payload.len()).map_err(|_| EmitError::TooLong)?;
        *fixed = self.without_checksum(length);
        let sum = checksum(fixed, payload);
        if let Some(field) = fixed.last_chunk_mut() {
            *field = sum.to_be_bytes();
        }
        Ok(())
    }

    /// Writes the header and a copy of `payload` to the front of `out`; returns the packet's length.
    ///
    /// # Errors
    /// As [`Header::emit_in_place`].
    pub fn emit(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EmitError> {
        let total = HEADER_LEN.checked_add(payload.len()).ok_or(EmitError::TooLong)?;
        let packet = out.get_mut(..total).ok_or(EmitError::BufferTooSmall)?;
        packet.get_mut(HEADER_LEN..).ok_or(EmitError::BufferTooSmall)?.copy_from_slice(payload);
        self.emit_in_place(packet)?;
        Ok(total)
    }

    /// The header with a zero checksum, for a payload of `length` bytes.
    fn without_checksum(&self, length: u16) -> [u8; HEADER_LEN] {
        let mut fixed = [0; HEADER_LEN];
        //= spec/packet.md#pp-pkt-1
        //# A packet begins with a header of 34 bytes in the layout of wire.md, section 2.
        //= spec/packet.md#pp-pkt-2
        //# The version is 1 and stands in the high four bits of the first byte.
        //= spec/packet.md#pp-pkt-3
        //# The flags stand in the low four bits of the first byte: SYN 1, ACK 2, FIN 4, RST 8.
        //= spec/packet.md#pp-pkt-5
        //# The payload length field counts the bytes behind the header, 0 to 65535.
        let fields: [(usize, &[u8]); 10] = [
            (0, &[VERSION << 4 | self.flags.bits(), u8::from(self.protocol)]),
            (LENGTH_OFFSET, &length.to_be_bytes()),
            (4, &self.src.to_bytes()),
            (10, &self.dst.to_bytes()),
            (16, &self.src_port.to_be_bytes()),
            (18, &self.dst_port.to_be_bytes()),
            (20, &self.seq.0.to_be_bytes()),
            (24, &self.ack.0.to_be_bytes()),
            (28, &self.window.to_be_bytes()),
            (CHECKSUM_OFFSET, &[0; 4]),
        ];
        for (offset, bytes) in fields {
            if let Some(slot) = fixed.get_mut(offset..offset + bytes.len()) {
                slot.copy_from_slice(bytes);
            }
        }
        fixed
    }
}

/// The checksum: over the header, its checksum field taken as zero, and the payload.
//= spec/packet.md#pp-pkt-6
//# The checksum is CRC-32/ISO-HDLC over the header, its checksum field taken as zero, and the payload.
fn checksum(fixed: &[u8; HEADER_LEN], payload: &[u8]) -> u32 {
    let covered = fixed.first_chunk::<CHECKSUM_OFFSET>().map_or(&fixed[..], |covered| covered);
    crc32([covered, &[0; HEADER_LEN - CHECKSUM_OFFSET], payload])
}

/// CRC-32/ISO-HDLC of the parts one after the other.
#[must_use]
pub fn crc32<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    parts.into_iter().for_each(|part| sum.update(part));
    sum.finalize()
}
