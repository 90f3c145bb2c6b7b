//! One overlay connection of a client: bytes both ways, and how it ends.

use super::session::Session;
use crate::agent::Agent;
use bytes::Bytes;
use driver::ipc::Reply;
use proto_core::ids::StreamId;
use runtime_tokio::{ReadHalf, Stream, WriteHalf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// Chunks waiting for the stream; beyond it the client's socket is not read.
const QUEUE: usize = 16;
/// Bytes of one `Recv` frame at most.
const READ: usize = 128 * 1024;
/// How long a closed connection may still deliver what was written.
const LINGER: Duration = Duration::from_secs(60);

/// The number by which clients know a stream, and find it in the list of connections. Never 0, which some take for none.
pub(super) fn number(stream: StreamId) -> u32 {
    let count = stream.0 % u64::from(u32::MAX);
    u32::try_from(count).unwrap_or_default() + 1
}

/// What the client wants of a connection.
#[derive(Debug)]
pub(super) enum Outgoing {
    Data(Bytes),
    /// No more data; tell when the peer has acknowledged it all.
    Finish(oneshot::Sender<Result<(), String>>),
}

/// A running connection.
#[derive(Debug)]
pub(super) struct Handle {
    stream: StreamId,
    /// Bytes known to have arrived; nothing tells after the end.
    acknowledged: AtomicU64,
    outgoing: mpsc::Sender<Outgoing>,
    reader: AbortHandle,
    writer: AbortHandle,
}

impl Handle {
    pub(super) fn sender(&self) -> mpsc::Sender<Outgoing> {
        self.outgoing.clone()
    }

    /// Bytes that the peer has acknowledged.
    pub(super) fn acknowledged(&self, agent: &Agent) -> u64 {
        if let Some(stats) = agent.stream(self.stream).map(|stream| stream.stats)
            && stats.state == "established"
        {
            // What is taken for lost is not in flight, and has not arrived either.
            let missing = if stats.unacknowledged_segments == 0 { 0 } else { stats.in_flight.max(1) };
            self.acknowledged.fetch_max(stats.bytes_sent.saturating_sub(missing), Ordering::Relaxed);
        }
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// The client is gone: the peer is told so.
    pub(super) fn reset(self) {
        self.reader.abort();
        self.writer.abort();
    }

    /// Nothing more is read; what was written is delivered.
    pub(super) fn close(self) {
        self.reader.abort();
    }
}

/// Starts the two tasks of a connection.
pub(super) fn start(session: &Arc<Session>, conn: u32, stream: Stream) -> Handle {
    let id = stream.id();
    let (read, write) = stream.into_split();
    let (outgoing, waiting) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(write_stream(write, waiting)).abort_handle();
    let reader = tokio::spawn(read_stream(Arc::clone(session), conn, read)).abort_handle();
    Handle { stream: id, acknowledged: AtomicU64::new(0), outgoing, reader, writer }
}

async fn read_stream(session: Arc<Session>, conn: u32, mut stream: ReadHalf) {
    let mut buffer = vec![0; READ];
    let failure = loop {
        match stream.read(&mut buffer).await {
            Ok(0) => break None,
            Ok(read) => {
                let data = Bytes::copy_from_slice(buffer.get(..read).unwrap_or_default());
                if !session.push(&Reply::Received { conn, data }).await {
                    return;
                }
            }
            Err(error) => break Some(error.to_string()),
        }
    };
    if let Some(reason) = failure.filter(|_| session.knows_extensions()) {
        session.push(&Reply::StreamError { conn, reason }).await;
    }
    session.push(&Reply::Closed(conn)).await;
    // The reference has no half-open connections: its clients do not close what the peer has closed.
    if !session.knows_extensions() {
        session.remove_stream(conn);
    }
}

/// Ends when the handle is dropped; the rest is then delivered within [`LINGER`].
async fn write_stream(mut stream: WriteHalf, mut waiting: mpsc::Receiver<Outgoing>) {
    let mut failed: Option<String> = None;
    let mut finished = false;
    while let Some(outgoing) = waiting.recv().await {
        match outgoing {
            Outgoing::Data(data) => {
                if failed.is_none() {
                    failed = stream.write_all(&data).await.err().map(|error| error.to_string());
                }
            }
            Outgoing::Finish(done) => {
                let outcome = match failed.clone() {
                    Some(why) => Err(why),
                    None => stream.finish().await.map_err(|error| error.to_string()),
                };
                finished = outcome.is_ok();
                let _ = done.send(outcome);
            }
        }
    }
    if !finished && failed.is_none() {
        let _ = tokio::time::timeout(LINGER, stream.finish()).await;
    }
}
