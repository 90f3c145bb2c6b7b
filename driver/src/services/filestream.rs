//! Streamed file transfer: messages inside data-exchange frames of type 7 (PP-SVC-8, PP-SVC-9).
//!
//! `u8 kind | 16-byte transfer id | body`. The id is the first half of the file's SHA-256, so the same file resumes.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a chunk, as the reference sends them.
pub const CHUNK: u32 = 48 * 1024;
/// Chunks sent and not yet acknowledged: 8 MiB, so that a path of 1 Gbit/s and 50 ms stays full.
pub const WINDOW: u64 = 8 * 1024 * 1024;

/// Names one transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub [u8; 16]);

impl TransferId {
    /// The id of a file with this digest.
    #[must_use]
    pub fn of(sha256: &[u8; 32]) -> Self {
        Self(sha256.first_chunk().copied().unwrap_or_default())
    }
}

/// One message of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which transfer.
    pub id: TransferId,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// 01, from the sender: what will come.
    Init {
        /// Bytes.
        size: u64,
        /// Digest of the whole.
        sha256: [u8; 32],
        /// Bytes of a chunk.
        chunk: u32,
        /// The file's name, as the sender says it: not to be used as a path.
        name: String,
    },
    /// 02: bytes at an offset.
    Chunk {
        /// Where they belong.
        offset: u64,
        /// The bytes.
        data: Bytes,
    },
    /// 03, from the receiver: everything before this offset is there.
    Ack(u64),
    /// 04, from the sender: that was all.
    Done,
    /// 05, from the receiver: start at this offset.
    InitAck(u64),
    /// 06, from the receiver: the end.
    ///
    /// The recorded success has status 0 and no text; so a text, not the status, is what tells a failure.
    Complete {
        /// Why the file was not kept; empty when it was.
        failure: String,
    },
    /// 07: given up, and why.
    Abort(String),
}

impl Message {
    /// The meaning of a type-7 payload; `None` when fields are missing or the kind is unknown.
    #[must_use]
    pub fn parse(payload: &Bytes) -> Option<Self> {
        let (kind, rest) = payload.split_first()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let body = match kind {
            1 => parse_init(rest)?,
            2 => {
                let (offset, data) = rest.split_first_chunk::<8>()?;
                Body::Chunk { offset: u64::from_be_bytes(*offset), data: payload.slice_ref(data) }
            }
            3 => Body::Ack(u64::from_be_bytes(*rest.first_chunk()?)),
            4 => Body::Done,
            5 => Body::InitAck(u64::from_be_bytes(*rest.first_chunk()?)),
            6 => {
                let (_status, text) = rest.split_first()?;
                Body::Complete { failure: String::from_utf8_lossy(text).into_owned() }
            }
            7 => Body::Abort(String::from_utf8_lossy(rest).into_owned()),
            _ => return None,
        };
        Some(Self { id: TransferId(*id), body })
    }

    /// The payload that says this.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        let kind = match &self.body {
            Body::Init { .. } => 1,
            Body::Chunk { .. } => 2,
            Body::Ack(_) => 3,
            Body::Done => 4,
            Body::InitAck(_) => 5,
            Body::Complete { .. } => 6,
            Body::Abort(_) => 7,
        };
        out.put_u8(kind);
        out.put_slice(&self.id.0);
        match &self.body {
            Body::Init { size, sha256, chunk, name } => {
                out.put_u64(*size);
                out.put_slice(sha256);
                out.put_u32(*chunk);
                let name = name.as_bytes().get(..usize::from(u16::MAX)).unwrap_or(name.as_bytes());
                out.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
                out.put_slice(name);
            }
            Body::Chunk { offset, data } => {
                out.put_u64(*offset);
                out.put_slice(data);
            }
            Body::Ack(offset) | Body::InitAck(offset) => out.put_u64(*offset),
            Body::Done => {}
            Body::Complete { failure } => {
                out.put_u8(u8::from(!failure.is_empty()));
                out.put_slice(failure.as_bytes());
            }
            Body::Abort(text) => out.put_slice(text.as_bytes()),
        }
        out.freeze()
    }
}

fn parse_init(rest: &[u8]) -> Option<Body> {
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (sha256, rest) = rest.split_first_chunk::<32>()?;
    let (chunk, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let name = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
    Some(Body::Init {
        size: u64::from_be_bytes(*size),
        sha256: *sha256,
        chunk: u32::from_be_bytes(*chunk),
        name: String::from_utf8_lossy(name).into_owned(),
    })
}
