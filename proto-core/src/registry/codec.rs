//! Decides where one registry message ends and the next begins: `u32 length` and a JSON object of that length.
//! Refuses to know what a message means, and who is on the other end (PP-REG-1).

use bytes::{BufMut as _, Bytes, BytesMut};
use core::fmt;
use serde_json::Value;

pub use crate::limits::{MAX_REGISTRY_REPLY as MAX_REPLY, MAX_REGISTRY_REQUEST as MAX_REQUEST};

/// Bytes of the length in front of each message.
const LENGTH: usize = 4;

/// `message` as one frame: compact, keys in alphabetical order, as the reference's clients write it.
#[must_use]
pub fn encode(message: &Value) -> Bytes {
    let text = message.to_string();
    let mut frame = BytesMut::with_capacity(LENGTH + text.len());
    frame.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    frame.put_slice(text.as_bytes());
    frame.freeze()
}

/// Cuts a byte stream into messages. Holds at most one incomplete message and what was pushed behind it, so the
/// caller takes all messages after each push.
#[derive(Debug)]
pub struct FrameDecoder {
    received: BytesMut,
    limit: usize,
}

impl FrameDecoder {
    /// A decoder that refuses messages longer than `limit` bytes ([`MAX_REQUEST`] or [`MAX_REPLY`]).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { received: BytesMut::new(), limit }
    }

    /// Appends received bytes, cut anywhere. Memory grows with what arrived, never with what a length promises.
    pub fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// The next complete message, `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`] every time from then on: the connection must be closed, the stream has no next
    /// boundary. [`FrameError::NotAnObject`] once per such message: it was skipped, and the next one can be read.
    pub fn next_frame(&mut self) -> Result<Option<Value>, FrameError> {
        let Some(length) = self.received.first_chunk::<LENGTH>() else { return Ok(None) };
        //= spec/registry.md#pp-reg-1
        //# A message is a length of 32 bits, big-endian, and one JSON object of that length.
        let declared = u32::from_be_bytes(*length);
        let length = usize::try_from(declared).unwrap_or(usize::MAX);
        //= spec/registry.md#pp-reg-2
        //# A request above 64 KiB is refused before it is read.
        if length > self.limit {
            return Err(FrameError::TooLarge(declared));
        }
        if self.received.len() < LENGTH + length {
            return Ok(None);
        }
        let frame = self.received.split_to(LENGTH + length);
        let (_, text) = frame.split_at_checked(LENGTH).unwrap_or_default();
        match serde_json::from_slice::<Value>(text) {
            Ok(message) if message.is_object() => Ok(Some(message)),
            Ok(_) | Err(_) => Err(FrameError::NotAnObject),
        }
    }

    /// Bytes held that are not a complete message yet, or not taken.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.received.len()
    }
}

/// Why a byte stream is not a sequence of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The declared length, bytes, is above the limit. `0x5049_4C54` is the preamble of the reference's binary
    /// protocol (PP-REG-31).
    TooLarge(u32),
    /// The message is not a JSON object.
    NotAnObject,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(length) => write!(f, "a message of {length} bytes is too large"),
            Self::NotAnObject => f.write_str("a message is not a JSON object"),
        }
    }
}

impl core::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn drain(decoder: &mut FrameDecoder) -> Vec<Result<Value, FrameError>> {
        core::iter::from_fn(|| decoder.next_frame().transpose()).take(16).collect()
    }

    //= spec/registry.md#pp-reg-1
    //= type=test
    //# A message is a length of 32 bits, big-endian, and one JSON object of that length.
    #[test]
    fn writes_the_recorded_heartbeat_byte_for_byte() {
        let message = json!({"type": "heartbeat", "node_id": 1, "signature":
            "zRxKu+67SXvntrbuq5Hk7dM/vZ9zFWXrIB+f8f8FZPkknGlbVRa+pjNlay4D1ely77x0Q4tTbayOUdL4CT+vAw=="});
        let recorded = "000000877b226e6f64655f6964223a312c227369676e6174757265223a227a52784b752b36375358766e747262757135486b37644d2f765a397a4657587249422b66386638465a506b6b6e476c625652612b706a4e6c6179344431656c7937377830513474546261794f55644c3443542b7641773d3d222c2274797065223a22686561727462656174227d";
        assert_eq!(data_encoding::HEXLOWER.encode(&encode(&message)), recorded);
    }

    //= spec/registry.md#pp-reg-2
    //= type=test
    //# A request above 64 KiB is refused before it is read.
    #[test]
    fn a_length_above_the_limit_is_refused_before_its_bytes_come() {
        let mut decoder = FrameDecoder::new(MAX_REQUEST);
        decoder.push(b"PILT\x01");
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLarge(0x5049_4C54)));
        decoder.push(b"more");
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLarge(0x5049_4C54)));
    }

    #[test]
    fn what_is_not_an_object_is_skipped_alone() {
        let mut decoder = FrameDecoder::new(MAX_REQUEST);
        decoder.push(b"\0\0\0\x02[]\0\0\0\x01{\0\0\0\0");
        decoder.push(&encode(&json!({"type": "beacon_list"})));
        let not_an_object = Err(FrameError::NotAnObject);
        let expected =
            [not_an_object.clone(), not_an_object.clone(), not_an_object, Ok(json!({"type": "beacon_list"}))];
        assert_eq!(drain(&mut decoder), expected);
        assert_eq!(decoder.buffered(), 0);
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut(texts in prop::collection::vec(".{0,40}", 1..6), cut in 1_usize..64) {
            let messages: Vec<Value> = texts.iter().map(|text| json!({"type": text, "n": text.len()})).collect();
            let stream: Vec<u8> = messages.iter().flat_map(encode).collect();
            let mut decoder = FrameDecoder::new(MAX_REPLY);
            let mut decoded = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.push(piece);
                decoded.extend(drain(&mut decoder));
            }
            prop_assert_eq!(decoded, messages.into_iter().map(Ok).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let mut decoder = FrameDecoder::new(256);
            decoder.push(&bytes);
            for _ in 0..200 {
                let _ = decoder.next_frame();
            }
            prop_assert!(decoder.buffered() <= bytes.len());
        }
    }
}
