//! A segment as a connection sees it: the header fields it needs and the payload, without addresses and checksum.

use crate::seq::SeqNumber;

/// The four flags of a packet (data-plane section 2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// Opens a stream.
    pub const SYN: Self = Self(1);
    /// The acknowledgment field counts.
    pub const ACK: Self = Self(2);
    /// The sender is done.
    pub const FIN: Self = Self(4);
    /// The stream is no more.
    pub const RST: Self = Self(8);

    /// All flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl core::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Temporary home of the options block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "replaced by wire::options")]
pub struct Options {
    pub capabilities: u16,
    pub max_segment: u16,
    pub window_shift: u8,
}

/// A segment that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Its flags.
    pub flags: Flags,
    /// Its sequence field.
    pub seq: SeqNumber,
    /// Its acknowledgment field; meaningful with [`Flags::ACK`] only.
    pub ack: SeqNumber,
    /// Its window field; the unit depends on the peer (data-plane section 6.7).
    pub window: u16,
    /// User data, SACK blocks or an options block.
    pub payload: &'a [u8],
}

/// A segment to be sent; its payload was written into the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Its flags.
    pub flags: Flags,
    /// Its sequence field.
    pub seq: SeqNumber,
    /// Its acknowledgment field.
    pub ack: SeqNumber,
    /// Its window field.
    pub window: u16,
    /// Bytes at the start of the caller's buffer that belong to it.
    pub payload_len: usize,
    /// It was sent before.
    pub retransmission: bool,
}
