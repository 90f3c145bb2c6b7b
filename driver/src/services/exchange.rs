//! Data exchange, port 1001: `u32 type | u32 length | payload`, each frame acknowledged (PP-SVC-1, PP-SVC-3).

use bytes::{BufMut, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest payload taken: 64 MiB, as newer versions of the reference.
pub const MAX_PAYLOAD: usize = 64 * 1024 * 1024;
/// Largest acknowledgement read.
pub const MAX_ACK: usize = 1024 * 1024;

/// A type number and its bytes, as they travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// The type number.
    pub kind: u32,
    /// The payload.
    pub payload: Bytes,
}

/// A frame by its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Type 1: UTF-8 text; also every acknowledgement.
    Text(Bytes),
    /// Type 2: bytes.
    Binary(Bytes),
    /// Type 3: JSON, not checked.
    Json(Bytes),
    /// Type 4: a whole file.
    File {
        /// Its name, as the sender says it: not to be used as a path.
        name: String,
        /// Its content.
        data: Bytes,
    },
    /// Type 5: a frame with the sender's time.
    Trace {
        /// Nanoseconds since 1970 on the sender's clock.
        sent_ns: u64,
        /// What it carries.
        inner: RawFrame,
    },
    /// Type 7: a message of [`super::filestream`].
    FileStream(Bytes),
    /// Type 10: a frame with a header.
    Tagged {
        /// JSON: `message_id`, optionally `reply_to`.
        header: Bytes,
        /// What it carries.
        inner: RawFrame,
    },
    /// Anything else; it must be acknowledged as unknown.
    Unknown(RawFrame),
}

/// The kinds of message a person can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
    /// JSON.
    Json,
}

/// A frame whose fields do not fit its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a data-exchange frame of type {0} whose fields do not fit its length")]
pub struct Malformed(pub u32);

const TEXT: u32 = 1;
const BINARY: u32 = 2;
const JSON: u32 = 3;
const FILE: u32 = 4;
const TRACE: u32 = 5;
const FILE_STREAM: u32 = 7;
const TAGGED: u32 = 10;

impl MessageKind {
    /// The message as a frame.
    #[must_use]
    pub fn frame(self, data: Bytes) -> Frame {
        match self {
            Self::Text => Frame::Text(data),
            Self::Binary => Frame::Binary(data),
            Self::Json => Frame::Json(data),
        }
    }

    /// The reference's word for `--type`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Json => "json",
        }
    }

    /// JSON when it parses as an object or list, text when it is UTF-8, else bytes.
    #[must_use]
    pub fn guess(data: &[u8]) -> Self {
        let structured = matches!(data.trim_ascii().first(), Some(b'{' | b'['));
        if structured && serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok() {
            return Self::Json;
        }
        if std::str::from_utf8(data).is_ok() { Self::Text } else { Self::Binary }
    }
}

impl Frame {
    /// The meaning of a frame.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when inner lengths overrun the payload.
    pub fn parse(raw: RawFrame) -> Result<Self, Malformed> {
        //= spec/services.md#pp-svc-1
        //# A data-exchange frame is a type and a length of 32 bits each and the payload.
        //= spec/services.md#pp-svc-2
        //# Type 1 is text, 2 bytes, 3 JSON, 4 a file with its name.
        let RawFrame { kind, payload } = raw;
        Ok(match kind {
            TEXT => Self::Text(payload),
            BINARY => Self::Binary(payload),
            JSON => Self::Json(payload),
            FILE_STREAM => Self::FileStream(payload),
            FILE => {
                let (name, data) = split_u16(&payload).ok_or(Malformed(kind))?;
                Self::File { name: String::from_utf8_lossy(&name).into_owned(), data }
            }
            TRACE => {
                let (inner, rest) = payload.split_first_chunk::<4>().ok_or(Malformed(kind))?;
                let (sent, rest) = rest.split_first_chunk::<8>().ok_or(Malformed(kind))?;
                let inner = RawFrame { kind: u32::from_be_bytes(*inner), payload: payload.slice_ref(rest) };
                Self::Trace { sent_ns: u64::from_be_bytes(*sent), inner }
            }
            TAGGED => {
                let (header, rest) = split_u16(&payload).ok_or(Malformed(kind))?;
                let (inner, data) = rest.split_first_chunk::<4>().ok_or(Malformed(kind))?;
                let inner = RawFrame { kind: u32::from_be_bytes(*inner), payload: rest.slice_ref(data) };
                Self::Tagged { header, inner }
            }
            _ => Self::Unknown(RawFrame { kind, payload }),
        })
    }

    /// The frame as type and bytes. A file name is cut to 65,535 bytes.
    #[must_use]
    pub fn encode(&self) -> RawFrame {
        match self {
            Self::Text(data) => RawFrame { kind: TEXT, payload: data.clone() },
            Self::Binary(data) => RawFrame { kind: BINARY, payload: data.clone() },
            Self::Json(data) => RawFrame { kind: JSON, payload: data.clone() },
            Self::FileStream(data) => RawFrame { kind: FILE_STREAM, payload: data.clone() },
            Self::File { name, data } => {
                let mut out = BytesMut::with_capacity(2 + name.len() + data.len());
                put_u16_prefixed(&mut out, name.as_bytes());
                out.put_slice(data);
                RawFrame { kind: FILE, payload: out.freeze() }
            }
            Self::Trace { sent_ns, inner } => {
                let mut out = BytesMut::with_capacity(12 + inner.payload.len());
                out.put_u32(inner.kind);
                out.put_u64(*sent_ns);
                out.put_slice(&inner.payload);
                RawFrame { kind: TRACE, payload: out.freeze() }
            }
            Self::Tagged { header, inner } => {
                let mut out = BytesMut::with_capacity(6 + header.len() + inner.payload.len());
                put_u16_prefixed(&mut out, header);
                out.put_u32(inner.kind);
                out.put_slice(&inner.payload);
                RawFrame { kind: TAGGED, payload: out.freeze() }
            }
            Self::Unknown(raw) => raw.clone(),
        }
    }

    /// The name used in acknowledgements.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Text(_) => "TEXT".to_owned(),
            Self::Binary(_) => "BINARY".to_owned(),
            Self::Json(_) => "JSON".to_owned(),
            Self::File { .. } => "FILE".to_owned(),
            Self::Trace { .. } => "TRACE".to_owned(),
            Self::FileStream(_) => "FILESTREAM".to_owned(),
            Self::Tagged { .. } => "TAGGED".to_owned(),
            Self::Unknown(raw) => format!("UNKNOWN({})", raw.kind),
        }
    }

    /// The bytes an acknowledgement counts: of a file only its content.
    #[must_use]
    pub fn acknowledged_length(&self) -> usize {
        match self {
            Self::Text(data) | Self::Binary(data) | Self::Json(data) | Self::FileStream(data) => data.len(),
            Self::File { data, .. } => data.len(),
            Self::Trace { inner, .. } | Self::Tagged { inner, .. } | Self::Unknown(inner) => inner.payload.len(),
        }
    }

    /// The text that acknowledges this frame.
    #[must_use]
    pub fn ack(&self) -> String {
        //= spec/services.md#pp-svc-3
        //# Each data-exchange frame is acknowledged by a text frame `ACK NAME N bytes`.
        //= spec/services.md#pp-svc-4
        //# A frame of an unknown type is acknowledged as `ACK UNKNOWN(TYPE) N bytes`.
        format!("ACK {} {} bytes", self.name(), self.acknowledged_length())
    }
}

/// Reads one frame; `None` when the peer finished between frames.
///
/// # Errors
///
/// The stream's, and `InvalidData` when the payload is longer than `limit`.
pub async fn read_frame(reader: &mut (impl AsyncRead + Unpin), limit: usize) -> io::Result<Option<RawFrame>> {
    let mut head = [0u8; 8];
    if reader.read(head.get_mut(..1).unwrap_or_default()).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(head.get_mut(1..).unwrap_or_default()).await?;
    let [a, b, c, d, e, f, g, h] = head;
    let kind = u32::from_be_bytes([a, b, c, d]);
    let length = usize::try_from(u32::from_be_bytes([e, f, g, h])).unwrap_or(usize::MAX);
    if length > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes; {limit} allowed")));
    }
    // Memory follows the bytes that arrive, not the length that was claimed.
    let mut payload = BytesMut::with_capacity(length.min(64 * 1024));
    let mut rest = reader.take(u64::try_from(length).unwrap_or(u64::MAX));
    while payload.len() < length {
        if rest.read_buf(&mut payload).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(RawFrame { kind, payload: payload.freeze() }))
}

/// Writes one frame.
///
/// # Errors
///
/// The stream's.
pub async fn write_frame(writer: &mut (impl AsyncWrite + Unpin), frame: &RawFrame) -> io::Result<()> {
    let length = u32::try_from(frame.payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut head = BytesMut::with_capacity(8);
    head.put_u32(frame.kind);
    head.put_u32(length);
    if frame.payload.len() <= 64 * 1024 {
        head.put_slice(&frame.payload);
        return writer.write_all(&head).await;
    }
    writer.write_all(&head).await?;
    writer.write_all(&frame.payload).await
}

fn split_u16(payload: &Bytes) -> Option<(Bytes, Bytes)> {
    let (length, rest) = payload.split_first_chunk::<2>()?;
    let (field, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((payload.slice_ref(field), payload.slice_ref(rest)))
}

fn put_u16_prefixed(out: &mut BytesMut, field: &[u8]) {
    let field = field.get(..usize::from(u16::MAX)).unwrap_or(field);
    out.put_u16(u16::try_from(field.len()).unwrap_or(u16::MAX));
    out.put_slice(field);
}
