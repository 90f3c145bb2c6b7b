//! The options block: how two peers of this implementation tell each other what they can do beyond the draft (`spec/wire.md`, "Options block").
//!
//! It rides where every reference implementation ignores bytes: in the payload of SYN and SYN-ACK, and in a control packet to port 1, always inside the encrypted
//! tunnel. What a peer then does with it is not this module's subject.
//!
//! ```text
//! "PXO" | version 1 | total length u16 | { type u8 | length u8 | value }...
//! ```
//! Unknown types are skipped. An unknown version, a wrong length, a repeated or missing type of version 1 makes the whole block count as absent.

use super::EmitError;
use super::bytes::{Reader, Writer};
use core::ops::{BitOr, BitOrAssign};

/// The first bytes of a block.
pub const OPTIONS_MAGIC: [u8; 3] = *b"PXO";
/// The version this module writes and understands.
pub const OPTIONS_VERSION: u8 = 1;
/// Bytes of a block at most, all included.
pub const MAX_OPTIONS_LEN: usize = 64;
/// Bytes of the block this module writes.
pub const OPTIONS_LEN: usize = PREFIX_LEN + (2 + 4) + (2 + 2) + (2 + 1);
/// The destination port of the control packet that carries a block outside of a stream.
pub const OPTIONS_PORT: u16 = 1;
/// Windows are shifted by at most this (RFC 7323 section 2.3).
pub const MAX_WINDOW_SHIFT: u8 = 14;

const PREFIX_LEN: usize = 6;
const CAPABILITIES: u8 = 1;
const MAX_SEGMENT: u8 = 2;
const WINDOW_SHIFT: u8 = 3;

/// What a peer can do, one bit each. Unknown bits are kept and mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Capabilities(pub u32);

impl Capabilities {
    /// Nothing beyond the draft.
    pub const NONE: Self = Self(0);
    /// Data may go through the relay at once and move to a direct path later; relayed frames do not pin the path.
    pub const RELAY_FIRST: Self = Self(1);
    /// It arranges meetings ([`super::Meet`]).
    pub const MEETS: Self = Self(2);

    /// All bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Capabilities {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// What one side of a stream offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What the sender of this block can do.
    pub capabilities: Capabilities,
    /// The largest data payload it accepts in one segment, in bytes.
    pub max_segment: u16,
    /// The window field of every later packet it sends on this stream counts 2^this bytes; `0..=`[`MAX_WINDOW_SHIFT`].
    pub window_shift: u8,
}

impl Options {
    /// The block in `payload`, or `None` when there is none that can be used. Bytes behind the block are ignored.
    ///
    /// A window shift above 14 is taken as 14, as RFC 7323 has it.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        if reader.array().ok()? != OPTIONS_MAGIC || reader.u8().ok()? != OPTIONS_VERSION {
            return None;
        }
        let total = usize::from(reader.u16().ok()?);
        if total > MAX_OPTIONS_LEN {
            return None;
        }
        let mut values = Reader::new(reader.slice(total.checked_sub(PREFIX_LEN)?).ok()?);
        let (mut capabilities, mut max_segment, mut window_shift) = (None, None, None);
        //= spec/datagrams.md#pp-dgram-12
        //# An options block that cannot be read counts as absent.
        //= spec/versioning.md#pp-ver-3
        //# An unknown type in an options block is skipped, and an unknown capability bit ignored.
        while !values.rest().is_empty() {
            let (kind, length) = (values.u8().ok()?, values.u8().ok()?);
            let value = values.slice(usize::from(length)).ok()?;
            match kind {
                CAPABILITIES => set_once(&mut capabilities, value)?,
                MAX_SEGMENT => set_once(&mut max_segment, value)?,
                WINDOW_SHIFT => set_once(&mut window_shift, value)?,
                _ => {}
            }
        }
        Some(Self {
            capabilities: Capabilities(u32::from_be_bytes(capabilities?)),
            max_segment: u16::from_be_bytes(max_segment?),
            window_shift: u8::from_be_bytes(window_shift?).min(MAX_WINDOW_SHIFT),
        })
    }

    /// Writes the block to the front of `out`; returns its length, [`OPTIONS_LEN`].
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(out);
        writer.put(&OPTIONS_MAGIC)?;
        writer.put(&[OPTIONS_VERSION])?;
        writer.put(&u16::try_from(OPTIONS_LEN).map_err(|_| EmitError::TooLong)?.to_be_bytes())?;
        writer.put(&[CAPABILITIES, 4])?;
        writer.put(&self.capabilities.0.to_be_bytes())?;
        writer.put(&[MAX_SEGMENT, 2])?;
        writer.put(&self.max_segment.to_be_bytes())?;
        writer.put(&[WINDOW_SHIFT, 1, self.window_shift.min(MAX_WINDOW_SHIFT)])?;
        Ok(writer.written())
    }

    /// The block's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; OPTIONS_LEN] {
        let mut bytes = [0; OPTIONS_LEN];
        let emitted = self.emit(&mut bytes);
        debug_assert_eq!(emitted, Ok(OPTIONS_LEN));
        bytes
    }
}

/// Stores a value of the right size that was not there before.
fn set_once<const N: usize>(slot: &mut Option<[u8; N]>, value: &[u8]) -> Option<()> {
    if slot.is_some() {
        return None;
    }
    *slot = Some(value.try_into().ok()?);
    Some(())
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Options {
    fn arbitrary(input: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self {
            capabilities: input.arbitrary()?,
            max_segment: input.arbitrary()?,
            window_shift: input.int_in_range(0..=MAX_WINDOW_SHIFT)?,
        })
    }
}
