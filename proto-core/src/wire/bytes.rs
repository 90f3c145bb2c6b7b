//! A reader and a writer that cannot leave their slice. Integers are big-endian, as everywhere in the protocol.

use super::{EmitError, ParseError};
use crate::ids::NodeId;

/// Takes fields from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(ParseError::Truncated)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(super) fn slice(&mut self, len: usize) -> Result<&'a [u8], ParseError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(ParseError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, ParseError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ParseError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ParseError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ParseError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn node(&mut self) -> Result<NodeId, ParseError> {
        self.u32().map(NodeId)
    }

    /// What was not taken yet.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Puts fields one after the other into a slice.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    free: &'a mut [u8],
    written: usize,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(out: &'a mut [u8]) -> Self {
        Self { free: out, written: 0 }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), EmitError> {
        let (slot, free) =
            core::mem::take(&mut self.free).split_at_mut_checked(bytes.len()).ok_or(EmitError::BufferTooSmall)?;
        slot.copy_from_slice(bytes);
        self.free = free;
        self.written += bytes.len();
        Ok(())
    }

    pub(super) fn node(&mut self, node: NodeId) -> Result<(), EmitError> {
        self.put(&node.0.to_be_bytes())
    }

    /// Bytes written so far.
    pub(super) const fn written(&self) -> usize {
        self.written
    }
}
