//! Decides how one stream looks to a task: `AsyncRead`, `AsyncWrite`, an acknowledged end, and a reset when dropped.
//! Refuses to know segments and windows.

use crate::error::{DialError, StreamError};
use crate::shared::{Handle, Inner, spend_budget};
use crate::split::{ReadHalf, WriteHalf};
use crate::waiting::StreamWait;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use proto_core::Timestamp;
use proto_core::endpoint::{CloseReason, ReadError, StreamStatus, WriteError};
use proto_core::ids::StreamId;
use proto_core::wire::SocketAddress;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes copied under the lock at once, so that other streams get their turn.
const COPY_AT_ONCE: usize = 256 * 1024;

/// A reliable, ordered, encrypted byte stream to a peer, open in both directions.
///
/// Dropping it resets it, unless [`Stream::finish`] was acknowledged or the peer finished: a peer can tell a stream that was abandoned from
/// one that is complete.
///
/// There is no half-close (PP-SES-15): who finishes first ends both directions. What the other side had not delivered
/// yet fails there with [`CloseReason::Unsent`]. So the side that writes last finishes, and `read_to_end` fits the side that only listens.
///
/// Every method and trait method is cancel-safe: a read or write that was dropped has moved no bytes, a finish that was
/// dropped goes on and can be awaited again.
pub struct Stream {
    core: Arc<Core>,
}

impl Stream {
    pub(crate) fn new(handle: Handle, inner: &mut Inner, id: StreamId, peer: SocketAddress) -> Self {
        inner.waiting.streams.insert(id, StreamWait::default());
        Self { core: Arc::new(Core { handle, id, peer }) }
    }

    pub(crate) async fn opened(&self) -> Result<(), DialError> {
        poll_fn(|cx| self.core.poll_opened(cx)).await
    }

    /// The peer's address and port.
    #[must_use]
    pub fn peer(&self) -> SocketAddress {
        self.core.peer
    }

    /// Its number in this node's lists.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.core.id
    }

    /// Windows, round-trip time and counters; `None` once the stream is gone.
    #[must_use]
    pub fn status(&self) -> Option<StreamStatus> {
        self.core.handle.shared().lock().endpoint.stream_status(self.core.id)
    }

    /// Sends small writes at once instead of waiting up to 40 ms to fill a segment.
    pub fn set_no_delay(&self, on: bool) {
        self.core.handle.shared().command(|inner, _| inner.endpoint.set_no_delay(self.core.id, on));
    }

    /// Ends the stream: `Ok` means that the peer has every byte and knows that no more comes. Read before what you expect from
    /// the peer: it stops sending when it sees the end. What arrived before can still be read.
    ///
    /// Cancel-safe: dropping the future does not take the end back, and calling it again waits for the same acknowledgement.
    ///
    /// # Errors
    ///
    /// [`StreamError::Closed`] when the stream ended before the peer had everything.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        poll_fn(|cx| self.core.poll_finish(cx)).await
    }

    /// Ends both directions at once. The peer is told; what was not delivered yet is lost.
    pub fn reset(self) {
        self.core.reset();
    }

    /// Two halves for two tasks. Dropping the write half unfinished resets the stream.
    #[must_use]
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        (ReadHalf::new(Arc::clone(&self.core)), WriteHalf::new(self.core))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("id", &self.core.id).field("peer", &self.core.peer).finish_non_exhaustive()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.core.poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    /// Takes what the send buffer has room for; pending while it is full.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.core.poll_write(cx, data)
    }

    /// Ready at once: written bytes are on their way. [`Stream::finish`] waits until they have arrived.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// As [`Stream::finish`].
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.core.poll_finish(cx).map_err(io::Error::from)
    }
}

/// The stream itself, shared by the halves.
#[derive(Debug)]
pub(crate) struct Core {
    handle: Handle,
    pub(crate) id: StreamId,
    pub(crate) peer: SocketAddress,
}

impl Core {
    fn poll_opened(&self, cx: &Context<'_>) -> Poll<Result<(), DialError>> {
        self.handle.shared().poll_command(|inner, _| {
            if inner.is_closed() {
                return Poll::Ready(Err(DialError::NodeClosed));
            }
            let Some(wait) = inner.waiting.streams.get_mut(&self.id) else {
                return Poll::Ready(Err(DialError::NodeClosed));
            };
            if let Some(opened) = wait.opened {
                return Poll::Ready(opened.map_err(DialError::Protocol));
            }
            if wait.closed.is_some() {
                return Poll::Ready(Err(proto_core::endpoint::DialError::Refused.into()));
            }
            wait.await_writing(cx);
            Poll::Pending
        })
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let budget = ready!(spend_budget(cx));
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let result = self.handle.shared().poll_command(|inner, now| {
            let room = buf.initialize_unfilled_to(buf.remaining().min(COPY_AT_ONCE));
            let error = match inner.endpoint.read(now, self.id, room) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(ReadError::Blocked) if !inner.is_closed() => {
                    if let Some(wait) = inner.waiting.streams.get_mut(&self.id) {
                        wait.await_reading(cx);
                    }
                    return Poll::Pending;
                }
                Err(ReadError::Closed(reason)) => StreamError::Closed(reason),
                Err(ReadError::Blocked | ReadError::Unknown) => inner.why_gone(self.id),
            };
            // A stream whose both ends were finished has no error left to tell.
            if error == StreamError::Closed(CloseReason::Finished) {
                Poll::Ready(Ok(0))
            } else {
                Poll::Ready(Err(error))
            }
        });
        let count = ready!(result)?;
        budget.made_progress();
        buf.advance(count);
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let budget = ready!(spend_budget(cx));
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let now_only = data.get(..COPY_AT_ONCE).unwrap_or(data);
        let result =
            self.handle.shared().poll_command(|inner, now| match inner.endpoint.write(now, self.id, now_only) {
                Ok(count) => Poll::Ready(Ok(count)),
                Err(WriteError::Blocked) if !inner.is_closed() => {
                    if let Some(wait) = inner.waiting.streams.get_mut(&self.id) {
                        wait.await_writing(cx);
                    }
                    Poll::Pending
                }
                Err(WriteError::Closed(Some(reason))) => Poll::Ready(Err(StreamError::Closed(reason))),
                Err(WriteError::Closed(None)) => Poll::Ready(Err(StreamError::Finished)),
                Err(WriteError::Blocked | WriteError::Unknown) => Poll::Ready(Err(inner.why_gone(self.id))),
            });
        let count = ready!(result)?;
        budget.made_progress();
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_finish(&self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        self.handle.shared().command(|inner, now| {
            if let Some(result) = inner.start_finish(now, self.id) {
                return Poll::Ready(result);
            }
            if inner.is_closed() {
                return Poll::Ready(Err(StreamError::NodeClosed));
            }
            if let Some(wait) = inner.waiting.streams.get_mut(&self.id) {
                wait.await_writing(cx);
            }
            Poll::Pending
        })
    }

    pub(crate) fn reset(&self) {
        self.handle.shared().command(|inner, now| inner.reset(now, self.id));
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.handle.shared().command(|inner, now| inner.reset(now, self.id));
    }
}

impl Inner {
    fn why_gone(&self, id: StreamId) -> StreamError {
        let told = self.waiting.streams.get(&id).and_then(|wait| wait.closed);
        match told {
            Some(reason) => StreamError::Closed(reason),
            None if self.is_closed() => StreamError::NodeClosed,
            None => StreamError::Closed(CloseReason::Local),
        }
    }

    /// `None` while the acknowledgement is awaited.
    fn start_finish(&mut self, now: Timestamp, id: StreamId) -> Option<Result<(), StreamError>> {
        let Some(wait) = self.waiting.streams.get_mut(&id) else { return Some(Err(self.why_gone(id))) };
        if wait.is_delivered() {
            return Some(Ok(()));
        }
        if let Some(reason) = wait.closed {
            return Some(Err(StreamError::Closed(reason)));
        }
        if wait.finishing {
            return None;
        }
        wait.finishing = true;
        match self.endpoint.finish(now, id) {
            Ok(()) | Err(WriteError::Blocked | WriteError::Closed(None)) => None,
            Err(WriteError::Closed(Some(reason))) => Some(Err(StreamError::Closed(reason))),
            Err(WriteError::Unknown) => Some(Err(self.why_gone(id))),
        }
    }

    /// Ends the stream at once and forgets who waited for it.
    pub(crate) fn reset(&mut self, now: Timestamp, id: StreamId) {
        if self.waiting.streams.remove(&id).is_some() {
            self.endpoint.reset(now, id);
        }
    }
}
