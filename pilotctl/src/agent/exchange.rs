//! The receiving side of data exchange (port 1001): keep it, then acknowledge it.

use super::storage::Storage;
use super::transfer::Transfer;
use bytes::Bytes;
use driver::services::exchange::{Frame, MessageKind, read_frame, write_frame};
use driver::services::filestream::{Body, Message, TransferId};
use proto_core::wire::Address;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Largest frame taken. Files larger than this come streamed, so memory per stream stays small.
const MAX_FRAME: usize = 16 * 1024 * 1024;
/// A message's header and its sender's stopwatch: more wrappers than these do not nest.
const WRAPPERS: usize = 2;
/// Longest identifier of a message that is kept, bytes; the reference's have 32.
const MAX_ID: usize = 128;

/// Serves one stream until the peer ends it.
pub(crate) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    from: Address,
    storage: Arc<Storage>,
) -> io::Result<()> {
    let mut transfer: Option<(TransferId, Transfer)> = None;
    while let Some(raw) = read_frame(&mut stream, MAX_FRAME).await? {
        let frame = match Frame::parse(raw) {
            Ok(frame) => frame,
            Err(error) => {
                text(&mut stream, &format!("ERR UNKNOWN save failed: {error}")).await?;
                continue;
            }
        };
        if let Frame::FileStream(payload) = &frame {
            let message = Message::parse(payload);
            for reply in transfer_step(&mut transfer, message, from, &storage) {
                write_frame(&mut stream, &Frame::FileStream(reply.encode()).encode()).await?;
            }
            continue;
        }
        let received_ns = now_ns();
        let (frame, wrapping) = unwrapped(frame);
        let ack = tokio::task::block_in_place(|| keep(&frame, &wrapping, from, &storage));
        let ack = wrapping.acknowledgement(ack, received_ns, now_ns());
        write_frame(&mut stream, &ack.encode()).await?;
    }
    Ok(())
}

async fn text(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> io::Result<()> {
    write_frame(stream, &Frame::Text(Bytes::copy_from_slice(text.as_bytes())).encode()).await
}

/// What came around a frame, for the reader of a message and for its sender's stopwatch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wrapping {
    /// The sender's name for the message.
    pub(super) message_id: Option<String>,
    /// The message it answers.
    pub(super) reply_to: Option<String>,
    /// The sender's clock, when it wants to know how long everything took.
    sent_ns: Option<u64>,
}

impl Wrapping {
    fn note_header(&mut self, header: &[u8]) {
        let header: Value = serde_json::from_slice(header).unwrap_or_default();
        let id = |name: &str| {
            let id = header.get(name).and_then(Value::as_str);
            id.filter(|id| (1..=MAX_ID).contains(&id.len())).map(str::to_owned)
        };
        (self.message_id, self.reply_to) = (id("message_id"), id("reply_to"));
    }

    /// `ack`; of a traced frame in JSON, with the times.
    fn acknowledgement(&self, ack: String, received_ns: i128, kept_ns: i128) -> Frame {
        let Some(sent_ns) = self.sent_ns else { return Frame::Text(ack.into()) };
        let times = json!({
            "ack_sent_at_ns": nanoseconds(now_ns()),
            "inbox_written_at_ns": nanoseconds(kept_ns),
            "inner_ack": ack,
            "received_at_ns": nanoseconds(received_ns),
            "sent_at_ns": sent_ns,
        });
        Frame::Json(times.to_string().into())
    }
}

/// Nanoseconds since 1970.
fn now_ns() -> i128 {
    jiff::Timestamp::now().as_nanosecond()
}

fn nanoseconds(time: i128) -> u64 {
    u64::try_from(time).unwrap_or_default()
}

/// What is in a header, a trace, or one in the other; acknowledged is what they carry.
fn unwrapped(mut frame: Frame) -> (Frame, Wrapping) {
    let mut wrapping = Wrapping::default();
    for _ in 0..WRAPPERS {
        let inner = match frame {
            Frame::Tagged { header, inner } => {
                wrapping.note_header(&header);
                inner
            }
            Frame::Trace { sent_ns, inner } => {
                wrapping.sent_ns = Some(sent_ns);
                inner
            }
            plain @ (Frame::Text(_)
            | Frame::Binary(_)
            | Frame::Json(_)
            | Frame::File { .. }
            | Frame::FileStream(_)
            | Frame::Unknown(_)) => return (plain, wrapping),
        };
        frame = Frame::parse(inner.clone()).unwrap_or(Frame::Unknown(inner));
    }
    (frame, wrapping)
}

fn keep(frame: &Frame, wrapping: &Wrapping, from: Address, storage: &Storage) -> String {
    let kept = match frame {
        Frame::Text(data) => storage.save_message(MessageKind::Text, from, data, wrapping),
        Frame::Binary(data) => storage.save_message(MessageKind::Binary, from, data, wrapping),
        Frame::Json(data) => storage.save_message(MessageKind::Json, from, data, wrapping),
        Frame::File { name, data } => storage.save_file(name, data),
        Frame::Trace { inner, .. } | Frame::Tagged { inner, .. } | Frame::Unknown(inner) => {
            return Frame::Unknown(inner.clone()).ack();
        }
        Frame::FileStream(_) => return frame.ack(),
    };
    match kept {
        Ok(path) => {
            tracing::info!(%from, path = %path.display(), "received");
            frame.ack()
        }
        Err(error) => format!("ERR {} save failed: {error}", frame.name()),
    }
}

/// One message of a streamed transfer, and what to answer.
fn transfer_step(
    current: &mut Option<(TransferId, Transfer)>,
    message: Option<Message>,
    from: Address,
    storage: &Storage,
) -> Vec<Message> {
    let Some(Message { id, body }) = message else { return Vec::new() };
    let say = |body| vec![Message { id, body }];
    let refuse = |why: &str| say(Body::Abort(why.to_owned()));
    match (body, current.as_mut().filter(|(known, _)| *known == id)) {
        (Body::Init { size, sha256, name, .. }, _) => {
            if id != TransferId::of(&sha256) {
                return refuse("the transfer id is not the digest's");
            }
            match tokio::task::block_in_place(|| storage.begin(from.node, &name, size, sha256)) {
                Ok(transfer) => {
                    let offset = transfer.offset();
                    *current = Some((id, transfer));
                    say(Body::InitAck(offset))
                }
                Err(error) => refuse(&error.to_string()),
            }
        }
        (Body::Chunk { offset, data }, Some((_, transfer))) => match transfer.write(offset, &data) {
            Ok(()) => say(Body::Ack(transfer.offset())),
            Err(why) => refuse(why),
        },
        (Body::Done, Some((_, transfer))) => {
            let outcome = tokio::task::block_in_place(|| {
                transfer.verify().map_err(str::to_owned)?;
                storage.complete(transfer).map_err(|error| error.to_string())
            });
            if let Ok(path) = &outcome {
                tracing::info!(%from, path = %path.display(), bytes = transfer.size(), "received");
            }
            *current = None;
            say(Body::Complete { failure: outcome.err().unwrap_or_default() })
        }
        (Body::Abort(why), _) => {
            tracing::info!(%from, why, "transfer given up by its sender");
            *current = None;
            Vec::new()
        }
        (Body::Chunk { .. } | Body::Done, None) => refuse("no such transfer"),
        (Body::Ack(_) | Body::InitAck(_) | Body::Complete { .. }, _) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(inner: &Frame) -> Frame {
        let header = br#"{"message_id":"6d38a216582b8b5ee8bf3476f5b571b0","reply_to":"c5d5"}"#;
        Frame::Tagged { header: Bytes::from_static(header), inner: inner.encode() }
    }

    #[test]
    fn a_traced_message_with_a_header_is_acknowledged_with_its_times() {
        let text = Frame::Text(Bytes::from_static(b"hi"));
        let traced = Frame::Trace { sent_ns: 7, inner: text.encode() };
        for wrapped in [tagged(&traced), Frame::Trace { sent_ns: 7, inner: tagged(&text).encode() }] {
            let (frame, wrapping) = unwrapped(wrapped);
            assert_eq!(frame, text);
            assert_eq!(wrapping.message_id.as_deref(), Some("6d38a216582b8b5ee8bf3476f5b571b0"));
            assert_eq!(wrapping.reply_to.as_deref(), Some("c5d5"));
            let Frame::Json(ack) = wrapping.acknowledgement(frame.ack(), 8, 9) else { panic!("not JSON") };
            let ack: Value = serde_json::from_slice(&ack).unwrap();
            assert_eq!((&ack["inner_ack"], &ack["sent_at_ns"]), (&json!("ACK TEXT 2 bytes"), &json!(7)));
            assert_eq!((&ack["received_at_ns"], &ack["inbox_written_at_ns"]), (&json!(8), &json!(9)));
            assert!(ack["ack_sent_at_ns"].as_u64() > Some(9));
        }
    }

    #[test]
    fn a_frame_without_a_trace_has_a_plain_acknowledgement_and_deep_nests_are_not_followed() {
        let (frame, wrapping) = unwrapped(tagged(&Frame::Text(Bytes::from_static(b"hi"))));
        assert_eq!(wrapping.acknowledgement(frame.ack(), 8, 9), Frame::Text("ACK TEXT 2 bytes".into()));
        let deep = tagged(&tagged(&tagged(&Frame::Text(Bytes::from_static(b"hi")))));
        assert!(matches!(unwrapped(deep).0, Frame::Tagged { .. }));
    }
}
