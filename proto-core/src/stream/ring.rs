//! Bytes by stream offset in a ring that grows on demand, so that out-of-order data is written where it belongs at once.

/// The first allocation, bytes. A power of two.
const INITIAL_CAPACITY: usize = 4096;

/// Bytes `[start, start + capacity)` of a stream. It does not know which of them were written.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Empty, or a power of two long.
    bytes: Vec<u8>,
    start: u64,
}

impl Ring {
    /// Writes `data` at `offset`, which is not below the start; `[start, kept)` survives a growth.
    pub(super) fn write(&mut self, offset: u64, data: &[u8], kept: u64) {
        let Ok(needed) = usize::try_from(offset - self.start + data.len() as u64) else { return };
        self.reserve(needed, kept);
        let (first, second) = self.slices_mut(offset, data.len());
        let (head, tail) = data.split_at(first.len().min(data.len()));
        first.copy_from_slice(head);
        second.copy_from_slice(tail);
    }

    /// Moves up to `out.len()` bytes of `[start, end)` into `out`; gives how many.
    pub(super) fn take(&mut self, end: u64, out: &mut [u8]) -> usize {
        let len = usize::try_from(end - self.start).unwrap_or(usize::MAX).min(out.len());
        let (first, second) = self.slices_mut(self.start, len);
        let (head, tail) = out.split_at_mut(first.len());
        head.copy_from_slice(first);
        if let Some(tail) = tail.get_mut(..second.len()) {
            tail.copy_from_slice(second);
        }
        self.start += len as u64;
        len
    }

    /// Skips everything before `offset`.
    pub(super) fn discard(&mut self, offset: u64) {
        self.start = self.start.max(offset);
    }

    /// The offset of the first byte kept.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// Gives the memory back. Only when nothing in it is needed.
    pub(super) fn release(&mut self) {
        self.bytes = Vec::new();
    }

    /// Bytes allocated.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    fn reserve(&mut self, needed: usize, kept: u64) {
        if needed <= self.bytes.len() {
            return;
        }
        let mut grown = vec![0; needed.next_power_of_two().max(INITIAL_CAPACITY)];
        let mask = grown.len() - 1;
        let len = usize::try_from(kept.saturating_sub(self.start)).unwrap_or(0).min(self.bytes.len());
        let start = self.start;
        let (first, second) = self.slices_mut(start, len);
        let mut at = start;
        for part in [first, second] {
            copy_wrapped(&mut grown, index(at, mask), part);
            at += part.len() as u64;
        }
        self.bytes = grown;
    }

    /// The `len` bytes from `offset` on, which fit, as the piece up to the wrap and the piece behind it.
    fn slices_mut(&mut self, offset: u64, len: usize) -> (&mut [u8], &mut [u8]) {
        let capacity = self.bytes.len();
        let at = index(offset, capacity.wrapping_sub(1));
        let (low, high) = self.bytes.split_at_mut(at.min(capacity));
        let first = len.min(high.len());
        let second = (len - first).min(low.len());
        (high.get_mut(..first).unwrap_or_default(), low.get_mut(..second).unwrap_or_default())
    }
}

/// Copies `part` into `ring` from `at` on, around its end.
fn copy_wrapped(ring: &mut [u8], at: usize, part: &[u8]) {
    let (low, high) = ring.split_at_mut(at.min(ring.len()));
    let (head, tail) = part.split_at(high.len().min(part.len()));
    if let Some(slot) = high.get_mut(..head.len()) {
        slot.copy_from_slice(head);
    }
    if let Some(slot) = low.get_mut(..tail.len()) {
        slot.copy_from_slice(tail);
    }
}

/// Where `offset` lies in a ring of `mask + 1` bytes.
#[expect(clippy::cast_possible_truncation, reason = "only the bits below the capacity matter")]
const fn index(offset: u64, mask: usize) -> usize {
    offset as usize & mask
}
