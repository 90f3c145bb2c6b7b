//! The receiving side of data exchange (port 1001): keep it, then acknowledge it.

use super::storage::Storage;
use super::transfer::Transfer;
use bytes::Bytes;
use driver::services::exchange::{Frame, MessageKind, RawFrame, read_frame, write_frame};
use driver::services::filestream::{Body, Message, TransferId};
use proto_core::wire::Address;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Largest frame taken. Files larger than this come streamed, so memory per stream stays small.
const MAX_FRAME: usize = 16 * 1024 * 1024;

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
        let frame = unwrapped(frame);
        let ack = tokio::task::block_in_place(|| keep(&frame, from, &storage));
        text(&mut stream, &ack).await?;
    }
    Ok(())
}

async fn text(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> io::Result<()> {
    write_frame(stream, &Frame::Text(Bytes::copy_from_slice(text.as_bytes())).encode()).await
}

/// Headers are for the reader of a message; acknowledged is what they carry. One level only: they do not nest.
fn unwrapped(frame: Frame) -> Frame {
    let inner: RawFrame = match frame {
        Frame::Tagged { inner, .. } | Frame::Trace { inner, .. } => inner,
        plain @ (Frame::Text(_)
        | Frame::Binary(_)
        | Frame::Json(_)
        | Frame::File { .. }
        | Frame::FileStream(_)
        | Frame::Unknown(_)) => return plain,
    };
    Frame::parse(inner.clone()).unwrap_or(Frame::Unknown(inner))
}

fn keep(frame: &Frame, from: Address, storage: &Storage) -> String {
    let kept = match frame {
        Frame::Text(data) => storage.save_message(MessageKind::Text, from, data),
        Frame::Binary(data) => storage.save_message(MessageKind::Binary, from, data),
        Frame::Json(data) => storage.save_message(MessageKind::Json, from, data),
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
