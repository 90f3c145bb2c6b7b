//! Decides what two tasks that share a stream each own. Refuses to know more than [`crate::Stream`] does.

use crate::error::StreamError;
use crate::stream::Core;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use proto_core::wire::SocketAddress;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The reading half. Dropping it alone changes nothing: the stream lives as long as the write half.
#[derive(Debug)]
pub struct ReadHalf {
    core: Arc<Core>,
}

impl ReadHalf {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The peer's address and port.
    #[must_use]
    pub fn peer(&self) -> SocketAddress {
        self.core.peer
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.core.poll_read(cx, buf)
    }
}

/// The writing half. Dropping it before it was finished resets the stream, so that nobody takes a part for the whole.
#[derive(Debug)]
pub struct WriteHalf {
    core: Arc<Core>,
    finish_begun: bool,
}

impl WriteHalf {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core, finish_begun: false }
    }

    /// As [`crate::Stream::finish`]. Cancel-safe: once polled, the end goes on without this half.
    ///
    /// # Errors
    ///
    /// [`StreamError::Closed`] when the stream ended before the peer had everything.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    fn poll_finish(&mut self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        self.finish_begun = true;
        self.core.poll_finish(cx)
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.core.poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_finish(cx).map_err(io::Error::from)
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        if !self.finish_begun {
            self.core.reset();
        }
    }
}
