//! Event stream, port 1002: `u16 topic length | topic | u32 payload length | payload` (PP-SVC-10).
//!
//! The first event on a stream subscribes to its topic (`*` is every topic); later ones publish.

use bytes::{BufMut, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest topic, bytes.
pub const MAX_TOPIC: usize = 1024;
/// Longest payload, bytes.
pub const MAX_PAYLOAD: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its topic; on the first event of a stream the subscription.
    pub topic: String,
    /// What happened.
    pub payload: Bytes,
}

impl Event {
    /// The bytes of the event; a topic beyond [`MAX_TOPIC`] is cut at a character.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut end = self.topic.len().min(MAX_TOPIC);
        while !self.topic.is_char_boundary(end) {
            end -= 1;
        }
        let topic = self.topic.get(..end).unwrap_or_default().as_bytes();
        let mut out = BytesMut::with_capacity(6 + topic.len() + self.payload.len());
        out.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
        out.put_slice(topic);
        out.put_u32(u32::try_from(self.payload.len()).unwrap_or(u32::MAX));
        out.put_slice(&self.payload);
        out.freeze()
    }
}

/// Reads one event; `None` when the peer finished between events.
///
/// # Errors
///
/// The stream's, and `InvalidData` beyond the two limits.
pub async fn read_event(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Event>> {
    let mut head = [0u8; 2];
    if reader.read(head.get_mut(..1).unwrap_or_default()).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(head.get_mut(1..).unwrap_or_default()).await?;
    //= spec/services.md#pp-svc-10
    //# An event is a topic with a length of 16 bits, at most 1024 bytes, and a payload with a length of 32 bits, at most 16 MiB.
    let topic_length = usize::from(u16::from_be_bytes(head));
    if topic_length > MAX_TOPIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a topic longer than 1024 bytes"));
    }
    let topic = read_field(reader, topic_length).await?;
    let length = usize::try_from(reader.read_u32().await?).unwrap_or(usize::MAX);
    if length > MAX_PAYLOAD {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an event longer than 16 MiB"));
    }
    let payload = read_field(reader, length).await?;
    Ok(Some(Event { topic: String::from_utf8_lossy(&topic).into_owned(), payload }))
}

/// Memory follows the bytes that arrive, not the length that was claimed.
async fn read_field(reader: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Bytes> {
    let mut field = BytesMut::with_capacity(length.min(64 * 1024));
    let mut rest = reader.take(u64::try_from(length).unwrap_or(u64::MAX));
    while field.len() < length {
        if rest.read_buf(&mut field).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(field.freeze())
}
