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
    //= spec/services.md#pp-svc-7
    //# A data-exchange frame above the limit of its receiver ends the stream.
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
        //= spec/services.md#pp-svc-5
        //# A frame that could not be kept is answered `ERR NAME save failed: ...`.
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
                    //= spec/services.md#pp-svc-8
                    //# A large file is streamed and goes on where it stopped.
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
    use driver::services::exchange::RawFrame;

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

    /// A receiver of at most `quota` bytes in a folder of its own.
    struct Receiver {
        folder: tempfile::TempDir,
        storage: Arc<Storage>,
    }

    impl Receiver {
        fn new(quota: u64) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let storage = Arc::new(Storage::open(folder.path(), quota).unwrap());
            Self { folder, storage }
        }

        /// What it answers to these frames on one stream, as many as there are.
        fn answers(&self, frames: Vec<RawFrame>) -> Vec<Frame> {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
            let storage = Arc::clone(&self.storage);
            runtime.block_on(async move {
                let (mut sender, receiver) = tokio::io::duplex(1024);
                let from = Address::backbone(proto_core::NodeId(1));
                let serving = tokio::spawn(serve(receiver, from, storage));
                let mut answers = Vec::new();
                for frame in frames {
                    let sent = write_frame(&mut sender, &frame).await;
                    match read_frame(&mut sender, MAX_FRAME).await {
                        Ok(Some(answer)) if sent.is_ok() => answers.push(Frame::parse(answer).unwrap()),
                        _ => break,
                    }
                }
                drop(sender);
                let _ = serving.await.unwrap();
                answers
            })
        }

        fn received(&self) -> Vec<Vec<u8>> {
            let files = std::fs::read_dir(self.folder.path().join("received")).unwrap();
            let paths = files.map(|file| file.unwrap().path());
            let whole = paths.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with(".partial"));
            whole.map(|path| std::fs::read(path).unwrap()).collect()
        }
    }

    fn text_of(frame: &Frame) -> String {
        let Frame::Text(text) = frame else { panic!("{frame:?}") };
        String::from_utf8_lossy(text).into_owned()
    }

    //= spec/services.md#pp-svc-3
    //= type=test
    //# Each data-exchange frame is acknowledged by a text frame `ACK NAME N bytes`.
    //= spec/services.md#pp-svc-4
    //= type=test
    //# A frame of an unknown type is acknowledged as `ACK UNKNOWN(TYPE) N bytes`.
    #[test]
    fn each_frame_is_acknowledged_by_its_name_and_length() {
        let file = Frame::File { name: "a.txt".into(), data: Bytes::from_static(b"12345") };
        let frames = [
            MessageKind::Text.frame(Bytes::from_static(b"hi")),
            MessageKind::Binary.frame(Bytes::from_static(&[0, 1, 2])),
            MessageKind::Json.frame(Bytes::from_static(b"{}")),
            file,
            Frame::Unknown(RawFrame { kind: 99, payload: Bytes::from_static(b"what") }),
        ];
        let answers = Receiver::new(1 << 20).answers(frames.iter().map(Frame::encode).collect());
        let texts: Vec<String> = answers.iter().map(text_of).collect();
        let expected = [
            "ACK TEXT 2 bytes",
            "ACK BINARY 3 bytes",
            "ACK JSON 2 bytes",
            "ACK FILE 5 bytes",
            "ACK UNKNOWN(99) 4 bytes",
        ];
        assert_eq!(texts, expected);
    }

    //= spec/services.md#pp-svc-5
    //= type=test
    //# A frame that could not be kept is answered `ERR NAME save failed: ...`.
    #[test]
    fn what_cannot_be_kept_is_answered_so() {
        let receiver = Receiver::new(3);
        let file = Frame::File { name: "a.txt".into(), data: Bytes::from_static(b"12345") };
        let answers = receiver.answers(vec![file.encode(), MessageKind::Text.frame("long".into()).encode()]);
        assert!(text_of(&answers[0]).starts_with("ERR FILE save failed: "), "{answers:?}");
        assert!(text_of(&answers[1]).starts_with("ERR TEXT save failed: "), "{answers:?}");
        assert!(receiver.received().is_empty());
    }

    //= spec/services.md#pp-svc-7
    //= type=test
    //# A data-exchange frame above the limit of its receiver ends the stream.
    #[test]
    fn a_frame_above_the_limit_ends_the_stream() {
        let frame = |length: usize| RawFrame { kind: 2, payload: vec![0; length].into() };
        let receiver = Receiver::new(1 << 30);
        assert_eq!(receiver.answers(vec![frame(MAX_FRAME), frame(1)]).len(), 2);
        assert_eq!(receiver.answers(vec![frame(MAX_FRAME + 1), frame(1)]).len(), 0);
    }

    fn part(sha256: [u8; 32], body: Body) -> RawFrame {
        Frame::FileStream(Message { id: TransferId::of(&sha256), body }.encode()).encode()
    }

    fn begin(sha256: [u8; 32], size: u64) -> RawFrame {
        part(sha256, Body::Init { size, sha256, chunk: 1000, name: "f.bin".into() })
    }

    fn said(frame: &Frame) -> Body {
        let Frame::FileStream(payload) = frame else { panic!("{frame:?}") };
        Message::parse(payload).unwrap().body
    }

    //= spec/services.md#pp-svc-8
    //= type=test
    //# A large file is streamed and goes on where it stopped.
    //= spec/services.md#pp-svc-9
    //= type=test
    //# A streamed file counts as received only when its SHA-256 is the announced one.
    #[test]
    fn a_streamed_file_goes_on_where_it_stopped_and_counts_with_its_digest_only() {
        use sha2::Digest;
        let content: Vec<u8> = (0..2000_u32).map(|number| number.to_be_bytes()[3]).collect();
        let right: [u8; 32] = sha2::Sha256::digest(&content).into();
        for (sha256, counts) in [(right, true), ([7; 32], false)] {
            let receiver = Receiver::new(1 << 20);
            let chunk = |offset: usize| {
                let data = Bytes::copy_from_slice(&content[offset..offset + 1000]);
                part(sha256, Body::Chunk { offset: offset as u64, data })
            };
            let first = receiver.answers(vec![begin(sha256, 2000), chunk(0)]);
            assert_eq!(first.iter().map(said).collect::<Vec<_>>(), [Body::InitAck(0), Body::Ack(1000)]);
            let second = receiver.answers(vec![begin(sha256, 2000), chunk(1000), part(sha256, Body::Done)]);
            assert_eq!(second[..2].iter().map(said).collect::<Vec<_>>(), [Body::InitAck(1000), Body::Ack(2000)]);
            let Body::Complete { failure } = said(&second[2]) else { panic!("{second:?}") };
            assert_eq!(failure.is_empty(), counts, "{failure}");
            assert_eq!(receiver.received(), if counts { vec![content.clone()] } else { vec![] });
        }
    }
}
