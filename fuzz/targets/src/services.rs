//! The formats of the built-in services: data exchange, streamed files, events.

use crate::ipc::at_once;
use bytes::Bytes;
use driver::services::events::{Event, MAX_TOPIC, read_event};
use driver::services::exchange::{Frame, MessageKind, RawFrame, read_frame, write_frame};
use driver::services::filestream::Message;

/// A limit that a fuzzer can reach.
const LIMIT: usize = 4096;

/// Frames of a stream are written as they were read, their meaning is read back, and each has an acknowledgement.
pub fn exchange_frame(data: &[u8]) {
    let _ = MessageKind::guess(data);
    let mut rest = data;
    loop {
        let before = rest;
        let Ok(Some(raw)) = at_once(read_frame(&mut rest, LIMIT)) else { return };
        assert!(raw.payload.len() <= LIMIT);
        let mut written = Vec::new();
        at_once(write_frame(&mut written, &raw)).unwrap();
        assert_eq!(written, before[..before.len() - rest.len()]);
        exchange_meaning(raw);
    }
}

fn exchange_meaning(raw: RawFrame) {
    let kind = raw.kind;
    match Frame::parse(raw) {
        Ok(frame) => {
            let again = frame.encode();
            assert_eq!(again.kind, kind);
            assert_eq!(Frame::parse(again).as_ref(), Ok(&frame));
            let ack = frame.ack();
            assert!(ack.starts_with("ACK ") && ack.ends_with(" bytes"), "{ack}");
        }
        Err(malformed) => assert_eq!(malformed.0, kind),
    }
}

/// A message of a transfer is written so that it is read as the same.
pub fn file_stream(data: &[u8]) {
    let Some(message) = Message::parse(&Bytes::copy_from_slice(data)) else { return };
    let again = message.encode();
    assert_eq!(Message::parse(&again), Some(message));
}

/// An event is written so that it is read as the same; a topic is bounded.
pub fn event_stream(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some(event)) = at_once(read_event(&mut rest)) {
        // A topic that was not UTF-8 grew when it was made so.
        let written = event.encode();
        let again = at_once(read_event(&mut &written[..])).unwrap().unwrap();
        assert_eq!(again.payload, event.payload);
        assert!(again.topic.len() <= MAX_TOPIC && event.topic.starts_with(&again.topic));
        assert!(event.topic.len() > MAX_TOPIC || again == event);
        assert_eq!(Event { ..again.clone() }.encode(), again.encode());
    }
}
