//! The recording side: entries become bytes, and what the endpoint tells becomes a digest that a replay is held to.

use super::Logged;
use super::entry::{Begin, Entry};
use crate::limits;
use crate::time::Timestamp;
use core::fmt::{self, Write as _};

/// What one endpoint recorded and its host has not yet taken.
pub(in super::super) struct Tape {
    waiting: Vec<u8>,
    written: u64,
    limit: u64,
    /// Of the last entry.
    at: Timestamp,
    digest: Digest,
    /// The digest of the last checkpoint.
    checked: u64,
    ended: bool,
}

impl Tape {
    pub(super) fn new(begin: &Begin<'_>, limit: u64) -> Self {
        let mut waiting = Vec::new();
        let at = begin.encode(&mut waiting);
        let digest = Digest::default();
        Self { written: waiting.len() as u64, waiting, limit, at, checked: digest.0, digest, ended: false }
    }

    pub(super) fn record(&mut self, now: Timestamp, entry: &Entry<'_>) {
        if self.ended {
            return;
        }
        let before = self.waiting.len();
        entry.encode(now, self.at, &mut self.waiting);
        let added = (self.waiting.len() - before) as u64;
        if self.written + added > self.limit || self.waiting.len() > limits::RECORDING_BUFFER {
            self.waiting.truncate(before);
            for last in [Entry::Checkpoint(self.digest.0), Entry::End] {
                last.encode(self.at, self.at, &mut self.waiting);
            }
            self.ended = true;
            return;
        }
        (self.at, self.written) = (now, self.written + added);
    }

    /// Something was told or sent.
    pub(in super::super) fn note(&mut self, logged: Logged<'_>) {
        if !self.ended {
            self.digest.note(logged);
        }
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        if self.digest.0 != self.checked {
            self.checked = self.digest.0;
            self.record(self.at, &Entry::Checkpoint(self.checked));
        }
        core::mem::take(&mut self.waiting)
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape").field("written", &self.written).field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// FNV-1a over all lines of the event log so far. It finds differences; it withstands nobody.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest(pub(super) u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub(super) fn note(&mut self, logged: Logged<'_>) {
        // Writing to a digest does not fail.
        let _ = writeln!(self, "{logged}");
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
