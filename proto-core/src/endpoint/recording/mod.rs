//! Recordings: everything that decided what an endpoint did, and the endpoint that does it again.
//!
//! Decides what of a run has to be kept so that the same build repeats it byte for byte. Refuses to know files: the host takes the bytes
//! and keeps them where only its owner can read, for they hold the identity and every secret that was ever drawn.

mod entry;
mod replay;
mod tape;

pub(super) use entry::{Command, Entry};
pub(super) use tape::Tape;

pub use replay::{Replayed, replay};

use super::{Config, Endpoint, Event, Transmit};
use crate::crypto::{CryptoProvider, Identity};
use crate::time::Timestamp;
use core::fmt;
use entry::Begin;
use std::sync::Arc;

impl Endpoint {
    /// As [`Self::new`], and records from the first moment on: at most `limit` bytes, after which the recording ends and the endpoint goes
    /// on. The host takes it with [`Self::take_recording`]; it holds secrets.
    #[must_use]
    pub fn recorded(
        config: Arc<Config>,
        identity: Identity,
        crypto: &'static CryptoProvider,
        seed: [u8; 32],
        now: Timestamp,
        limit: u64,
    ) -> Self {
        let tape = Tape::new(&Begin::new(&config, &identity, seed, now), limit);
        let mut endpoint = Self::new(config, identity, crypto, seed, now);
        endpoint.tape = Some(Box::new(tape));
        endpoint
    }

    /// What was recorded since the last call, to be appended to the file. To be called after each [`super::drive`]: at most
    /// [`crate::limits::RECORDING_BUFFER`] bytes wait, and a recording with a gap is worth nothing, so that more end it.
    pub fn take_recording(&mut self) -> Vec<u8> {
        self.tape.as_mut().map(|tape| tape.take()).unwrap_or_default()
    }

    /// What is about to be done, or was done at once, to this endpoint by its host.
    pub(super) fn record<'a>(&mut self, now: Timestamp, entry: impl FnOnce() -> Entry<'a>) {
        if let Some(tape) = &mut self.tape {
            tape.record(now, &entry());
        }
    }
}

/// A line of the event log: what an endpoint told or sent. Two runs are the same when their lines are.
#[derive(Clone, Copy, Debug)]
pub struct Logged<'a> {
    /// When.
    pub at: Timestamp,
    what: What<'a>,
}

#[derive(Clone, Copy, Debug)]
enum What<'a> {
    Told(&'a Event),
    Sent(&'a Transmit, u32),
}

impl<'a> Logged<'a> {
    /// The line of an event taken at `at`.
    #[must_use]
    pub const fn told(at: Timestamp, event: &'a Event) -> Self {
        Self { at, what: What::Told(event) }
    }

    /// The line of a transmit taken at `at`; `bytes` are what it describes.
    #[must_use]
    pub fn sent(at: Timestamp, transmit: &'a Transmit, bytes: &[u8]) -> Self {
        Self { at, what: What::Sent(transmit, crc32fast::hash(bytes)) }
    }

    /// Something was told, not sent.
    #[must_use]
    pub const fn is_event(&self) -> bool {
        matches!(self.what, What::Told(_))
    }
}

impl fmt::Display for Logged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Told(event) => write!(f, "{} {event:?}", self.at),
            What::Sent(Transmit { via, to, ttl, len, segment, .. }, crc) => {
                write!(f, "{} Sent {len} bytes crc {crc:08x} to {to} via {}", self.at, via.0)?;
                if let Some(size) = segment {
                    write!(f, " in datagrams of {size}")?;
                }
                ttl.map_or(Ok(()), |ttl| write!(f, " ttl {ttl}"))
            }
        }
    }
}

/// What is wrong with a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingError {
    /// It does not begin as a recording does.
    NotARecording,
    /// A format of another version.
    Version(u8),
    /// Something in it cannot be read, at this offset.
    Malformed(usize),
    /// The run went another way than the recorded one, somewhere before this time: another build, or a fault of the core.
    Diverged(Timestamp),
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecording => f.write_str("this is not a recording"),
            Self::Version(version) => write!(f, "a recording of format {version}, which this version does not read"),
            Self::Malformed(at) => write!(f, "the recording is damaged at byte {at}"),
            Self::Diverged(at) => {
                write!(f, "the run differs from the recorded one before {at}: it was recorded by another build")
            }
        }
    }
}

impl core::error::Error for RecordingError {}
