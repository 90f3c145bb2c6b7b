//! What the host wrote and the peer did not acknowledge: chunks, addressed by stream offset.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Copied writes are gathered into chunks of this size at most, bytes.
const CHUNK: usize = 64 * 1024;
/// and at least.
const SMALL_CHUNK: usize = 1024;

/// The send buffer.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    /// Chunks with the offsets they start at.
    chunks: VecDeque<(u64, Bytes)>,
    /// The chunk that small writes are gathered in; it follows the others.
    tail: BytesMut,
    tail_start: u64,
    /// Everything below was acknowledged.
    start: u64,
}

impl SendBuffer {
    /// The offset after the last byte written.
    pub(super) fn end(&self) -> u64 {
        self.tail_start + self.tail.len() as u64
    }

    /// Bytes written and not released.
    pub(super) fn len(&self) -> u64 {
        self.end() - self.start
    }

    /// Copies `data` behind what is there.
    pub(super) fn write(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let room = self.tail.capacity() - self.tail.len();
            if room == 0 {
                self.freeze_tail();
                self.tail = BytesMut::with_capacity(data.len().next_power_of_two().clamp(SMALL_CHUNK, CHUNK));
                continue;
            }
            let (now, later) = data.split_at(room.min(data.len()));
            self.tail.extend_from_slice(now);
            data = later;
        }
    }

    /// Appends `chunk` without copying it.
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.freeze_tail();
        let start = self.tail_start;
        self.tail_start += chunk.len() as u64;
        self.chunks.push_back((start, chunk));
    }

    /// Copies the bytes from `offset` on into `out`; gives how many there were.
    pub(super) fn copy(&self, offset: u64, out: &mut [u8]) -> usize {
        let mut done = 0;
        let first = self.chunks.partition_point(|(start, chunk)| start + chunk.len() as u64 <= offset);
        let tail = (self.tail_start, &self.tail[..]);
        for (start, bytes) in self.chunks.range(first..).map(|(start, chunk)| (*start, &chunk[..])).chain([tail]) {
            let skip = usize::try_from((offset + done as u64).saturating_sub(start)).unwrap_or(usize::MAX);
            let source = bytes.get(skip..).unwrap_or_default();
            let Some(target) = out.get_mut(done..) else { break };
            let len = source.len().min(target.len());
            let (Some(target), Some(source)) = (target.get_mut(..len), source.get(..len)) else { break };
            target.copy_from_slice(source);
            done += len;
            if done == out.len() {
                break;
            }
        }
        done
    }

    /// Forgets everything below `offset`.
    pub(super) fn release(&mut self, offset: u64) {
        self.start = self.start.max(offset.min(self.end()));
        while self.chunks.front().is_some_and(|(start, chunk)| start + chunk.len() as u64 <= self.start) {
            self.chunks.pop_front();
        }
        if self.start == self.end() {
            // An idle connection owns no buffer.
            self.tail_start = self.start;
            self.tail = BytesMut::new();
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.release(self.end());
    }

    fn freeze_tail(&mut self) {
        if !self.tail.is_empty() {
            let chunk = core::mem::take(&mut self.tail).freeze();
            let start = self.tail_start;
            self.tail_start += chunk.len() as u64;
            self.chunks.push_back((start, chunk));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_offset_can_be_copied_until_released() {
        let written: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
        let mut buffer = SendBuffer::default();
        buffer.write(&written[..100]);
        buffer.push(Bytes::copy_from_slice(&written[100..5000]));
        buffer.write(&written[5000..]);
        assert_eq!((buffer.end(), buffer.len()), (300_000, 300_000));
        for offset in [0_usize, 99, 100, 4999, 5000, 70_000, 299_000] {
            let mut out = vec![0; 1152.min(300_000 - offset)];
            assert_eq!(buffer.copy(offset as u64, &mut out), out.len());
            assert_eq!(out, written[offset..offset + out.len()]);
        }
        buffer.release(299_999);
        let mut out = [0; 8];
        assert_eq!((buffer.copy(299_999, &mut out), buffer.len()), (1, 1));
        assert_eq!(out[0], written[299_999]);
        buffer.clear();
        assert_eq!((buffer.len(), buffer.tail.capacity(), buffer.chunks.len()), (0, 0, 0));
    }
}
