//! The sending side of data exchange, over any stream to port 1001.

use super::exchange::{Frame, MAX_ACK, MessageKind, RawFrame, read_frame, write_frame};
use super::filestream::{Body, CHUNK, Message, TransferId, WINDOW};
use bytes::{Bytes, BytesMut};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite};

/// How long a receiver may take to answer INIT, besides the time to hash what it already has.
const NEGOTIATION: Duration = Duration::from_secs(5);
/// Bytes a second that a slow receiver hashes and reads: a small board's disk.
const HASHED_PER_SECOND: u64 = 16 * 1024 * 1024;
/// How long a receiver may take to acknowledge anything else.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(30);

/// Why something was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The stream failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The receiver refused, in its words.
    #[error("the receiver refused it: {0}")]
    Refused(String),
    /// The receiver closed, or answered with something else.
    #[error("the receiver did not acknowledge it")]
    NotAcknowledged,
    /// No acknowledgement in time.
    #[error("timed out waiting for the receiver's acknowledgement")]
    Timeout,
}

/// How a file arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentFile {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes the receiver already had.
    pub resumed: u64,
    /// The receiver checked the digest.
    pub verified: bool,
    /// `filestream`, or `file` for receivers that do not know it.
    pub transport: &'static str,
}

/// Sends one message and returns the receiver's acknowledgement.
///
/// # Errors
///
/// [`SendError`]; the message may still have arrived when no acknowledgement did.
pub async fn send_message(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    kind: MessageKind,
    data: Bytes,
) -> Result<String, SendError> {
    write_frame(stream, &kind.frame(data).encode()).await?;
    acknowledgement(&answer(stream, ACKNOWLEDGEMENT).await?)
}

/// Sends `source` (of `size` bytes with digest `sha256`) as a file called `name`, from where an earlier attempt ended.
///
/// `progress` is told how many bytes the receiver has. Receivers that do not know streamed transfer get one frame.
///
/// # Errors
///
/// [`SendError`]; calling again with the same content continues.
pub async fn send_file(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    name: &str,
    size: u64,
    sha256: [u8; 32],
    source: &mut (impl AsyncRead + AsyncSeek + Unpin),
    mut progress: impl FnMut(u64),
) -> Result<SentFile, SendError> {
    let id = TransferId::of(&sha256);
    let init = Body::Init { size, sha256, chunk: CHUNK, name: name.to_owned() };
    say(stream, id, init).await?;
    let reply = answer(stream, negotiation(size)).await?;
    if matches!(&reply, Frame::Text(text) if text.starts_with(b"ACK UNKNOWN")) {
        return send_whole(stream, name, size, source).await;
    }
    let Body::InitAck(resumed) = transfer_body(reply)? else { return Err(SendError::NotAcknowledged) };
    if resumed > size {
        return Err(SendError::NotAcknowledged);
    }
    progress(resumed);
    source.seek(io::SeekFrom::Start(resumed)).await?;
    send_chunks(stream, id, resumed, size, source, &mut progress).await?;
    say(stream, id, Body::Done).await?;
    loop {
        let body = heard(stream).await?;
        if let Body::Ack(offset) = body {
            progress(offset.min(size));
            continue;
        }
        let Body::Complete { failure } = body else { return Err(SendError::NotAcknowledged) };
        return if failure.is_empty() {
            Ok(SentFile { bytes: size, resumed, verified: true, transport: "filestream" })
        } else {
            Err(SendError::Refused(failure))
        };
    }
}

/// How long a receiver may take to answer the INIT of a file of `size` bytes, of which it may have most.
pub(super) fn negotiation(size: u64) -> Duration {
    NEGOTIATION + Duration::from_secs(size / HASHED_PER_SECOND)
}

/// Keeps at most [`WINDOW`] bytes unacknowledged.
async fn send_chunks(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    id: TransferId,
    from: u64,
    size: u64,
    source: &mut (impl AsyncRead + Unpin),
    progress: &mut impl FnMut(u64),
) -> Result<(), SendError> {
    let (mut sent, mut acknowledged) = (from, from);
    while sent < size {
        while sent - acknowledged.min(sent) >= WINDOW {
            let Body::Ack(offset) = heard(stream).await? else { return Err(SendError::NotAcknowledged) };
            acknowledged = acknowledged.max(offset.min(sent));
            progress(acknowledged);
        }
        let wanted = u64::from(CHUNK).min(size - sent);
        let data = read_chunk(source, usize::try_from(wanted).unwrap_or(0)).await?;
        let length = u64::try_from(data.len()).unwrap_or(0);
        say(stream, id, Body::Chunk { offset: sent, data }).await?;
        sent += length;
    }
    Ok(())
}

/// One frame of type FILE, for receivers of the oldest kind.
async fn send_whole(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    name: &str,
    size: u64,
    source: &mut (impl AsyncRead + AsyncSeek + Unpin),
) -> Result<SentFile, SendError> {
    let length = usize::try_from(size).ok().filter(|length| *length <= super::exchange::MAX_PAYLOAD - 1024);
    let Some(length) = length else {
        return Err(SendError::Refused("the receiver knows no streamed transfer and the file is too large".to_owned()));
    };
    source.rewind().await?;
    let data = read_chunk(source, length).await?;
    write_frame(stream, &Frame::File { name: name.to_owned(), data }.encode()).await?;
    acknowledgement(&answer(stream, ACKNOWLEDGEMENT).await?)?;
    Ok(SentFile { bytes: size, resumed: 0, verified: false, transport: "file" })
}

async fn read_chunk(source: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Bytes> {
    let mut chunk = BytesMut::zeroed(length);
    source.read_exact(&mut chunk).await?;
    Ok(chunk.freeze())
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), id: TransferId, body: Body) -> io::Result<()> {
    write_frame(stream, &Frame::FileStream(Message { id, body }.encode()).encode()).await
}

async fn heard(stream: &mut (impl AsyncRead + Unpin)) -> Result<Body, SendError> {
    transfer_body(answer(stream, ACKNOWLEDGEMENT).await?)
}

/// A receiver that cannot go on says so in a text or an abort.
fn transfer_body(frame: Frame) -> Result<Body, SendError> {
    let Frame::FileStream(payload) = frame else {
        acknowledgement(&frame)?;
        return Err(SendError::NotAcknowledged);
    };
    match Message::parse(&payload).map(|message| message.body) {
        Some(Body::Abort(why)) => Err(SendError::Refused(why)),
        Some(body) => Ok(body),
        None => Err(SendError::NotAcknowledged),
    }
}

async fn answer(stream: &mut (impl AsyncRead + Unpin), wait: Duration) -> Result<Frame, SendError> {
    let raw: Option<RawFrame> =
        tokio::time::timeout(wait, read_frame(stream, MAX_ACK)).await.map_err(|_| SendError::Timeout)??;
    Frame::parse(raw.ok_or(SendError::NotAcknowledged)?).map_err(|_| SendError::NotAcknowledged)
}

fn acknowledgement(frame: &Frame) -> Result<String, SendError> {
    let Frame::Text(text) = frame else { return Err(SendError::NotAcknowledged) };
    let text = String::from_utf8_lossy(text).into_owned();
    if text.starts_with("ACK ") && !text.starts_with("ACK UNKNOWN") { Ok(text) } else { Err(SendError::Refused(text)) }
}
