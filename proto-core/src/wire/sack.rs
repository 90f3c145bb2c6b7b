//! Selective acknowledgements, carried as the payload of an ACK (PP-SACK-2; the idea is RFC 2018).
//!
//! The encoding is in band: user data can look the same. This module says what looks like one and what is exactly one; whether the blocks are plausible for a
//! connection is for the session layer to check, which alone knows what was sent.

use super::bytes::{Reader, Writer};
use super::{EmitError, ParseError};
use crate::seq::SeqNumber;

/// Blocks of one acknowledgement at most.
pub const MAX_BLOCKS: usize = 4;
/// The first bytes of a selective acknowledgement.
pub const SACK_MAGIC: [u8; 4] = *b"SACK";
/// Bytes of an encoding at most.
pub const MAX_SACK_LEN: usize = PREFIX_LEN + MAX_BLOCKS * BLOCK_LEN;

/// Magic and count.
const PREFIX_LEN: usize = 5;
const BLOCK_LEN: usize = 8;
/// The longest prefix no receiver can take for an encoding: one byte less than the shortest.
const SAFE_PREFIX_LEN: usize = PREFIX_LEN + BLOCK_LEN - 1;

/// A range of received bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct SackBlock {
    /// The first byte's number.
    pub left: SeqNumber,
    /// The number after the last byte's.
    pub right: SeqNumber,
}

/// Up to four blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sack {
    blocks: [SackBlock; MAX_BLOCKS],
    count: usize,
}

impl Sack {
    /// No block.
    #[must_use]
    pub const fn new() -> Self {
        Self { blocks: [SackBlock { left: SeqNumber(0), right: SeqNumber(0) }; MAX_BLOCKS], count: 0 }
    }

    /// Appends a block; `false` when there are four already, and nothing changes.
    pub fn push(&mut self, block: SackBlock) -> bool {
        let Some(slot) = self.blocks.get_mut(self.count) else { return false };
        *slot = block;
        self.count += 1;
        true
    }

    /// The blocks, in wire order.
    #[must_use]
    pub fn blocks(&self) -> &[SackBlock] {
        self.blocks.get(..self.count).unwrap_or_default()
    }

    /// No block at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What the reference takes for an encoding: magic, a count of one to four, and at least that many blocks; bytes behind them are ignored.
    #[must_use]
    pub fn parse_lenient(payload: &[u8]) -> Option<Self> {
        Self::parse_prefix(payload).ok()
    }

    /// An encoding without any byte behind it: what a receiver may take for one.
    #[must_use]
    pub fn parse_exact(payload: &[u8]) -> Option<Self> {
        Self::parse_lenient(payload).filter(|sack| sack.encoded_len() == payload.len())
    }

    /// Bytes [`Sack::emit`] writes: 5 + 8 per block, or none without blocks.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        if self.count == 0 { 0 } else { PREFIX_LEN + self.count * BLOCK_LEN }
    }

    /// Writes the encoding to the front of `out`; returns its length. Without blocks nothing is written, for a count of zero is no encoding.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        if self.is_empty() {
            return Ok(0);
        }
        let mut writer = Writer::new(out);
        writer.put(&SACK_MAGIC)?;
        writer.put(&[u8::try_from(self.count).map_err(|_| EmitError::TooLong)?])?;
        for block in self.blocks() {
            writer.put(&block.left.0.to_be_bytes())?;
            writer.put(&block.right.0.to_be_bytes())?;
        }
        Ok(writer.written())
    }

    fn parse_prefix(payload: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(payload);
        if reader.array()? != SACK_MAGIC {
            return Err(ParseError::Magic);
        }
        let count = usize::from(reader.u8()?);
        //= spec/sack.md#pp-sack-2
        //# A SACK payload is the magic `SACK`, a count of 1 to 4, and for each block a left and an exclusive right edge of 32 bits.
        //= spec/sack.md#pp-sack-3
        //# At most four blocks are sent.
        if !(1..=MAX_BLOCKS).contains(&count) {
            return Err(ParseError::Malformed);
        }
        let mut sack = Self::new();
        for _ in 0..count {
            sack.push(SackBlock { left: SeqNumber(reader.u32()?), right: SeqNumber(reader.u32()?) });
        }
        Ok(sack)
    }
}

impl PartialEq for Sack {
    fn eq(&self, other: &Self) -> bool {
        self.blocks() == other.blocks()
    }
}

impl Eq for Sack {}

impl Extend<SackBlock> for Sack {
    /// Appends until there are four; the rest is left out.
    fn extend<I: IntoIterator<Item = SackBlock>>(&mut self, blocks: I) {
        for block in blocks {
            if !self.push(block) {
                return;
            }
        }
    }
}

impl FromIterator<SackBlock> for Sack {
    fn from_iter<I: IntoIterator<Item = SackBlock>>(blocks: I) -> Self {
        let mut sack = Self::new();
        sack.extend(blocks);
        sack
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Sack {
    fn arbitrary(input: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        input.arbitrary_iter()?.take(MAX_BLOCKS).collect()
    }
}

/// The reference would take a data segment with this payload for an acknowledgement, and swallow it.
#[must_use]
pub fn looks_like_sack(payload: &[u8]) -> bool {
    Sack::parse_lenient(payload).is_some()
}

/// How many bytes of `payload` make the first segment when it must be cut, so that no receiver takes it for an acknowledgement; `None` when it may be sent as it is.
///
/// The rest is a segment of its own and must be asked about again.
#[must_use]
pub fn safe_prefix_len(payload: &[u8]) -> Option<usize> {
    looks_like_sack(payload).then_some(SAFE_PREFIX_LEN)
}
