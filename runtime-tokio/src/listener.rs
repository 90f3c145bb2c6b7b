//! Decides how accepted streams reach a task. Refuses to know who may connect.

use crate::error::NodeClosed;
use crate::shared::Handle;
use crate::stream::Stream;
use crate::waiting::remember;
use core::future::poll_fn;
use core::task::{Context, Poll};
use proto_core::wire::SocketAddress;

/// A port this node listens on. Dropping it stops listening; accepted streams live on.
#[derive(Debug)]
pub struct Listener {
    handle: Handle,
    port: u16,
}

impl Listener {
    pub(crate) fn new(handle: Handle, port: u16) -> Self {
        Self { handle, port }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next stream, with the peer's address and port.
    ///
    /// Cancel-safe: a stream is taken from the queue only when the future completes.
    ///
    /// # Errors
    ///
    /// When the node was closed.
    pub async fn accept(&mut self) -> Result<(Stream, SocketAddress), NodeClosed> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// As [`Listener::accept`], for hand-written futures. Takes a stream from the queue only when it is ready; the last waker is woken.
    ///
    /// # Errors
    ///
    /// When the node was closed.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Stream, SocketAddress), NodeClosed>> {
        self.handle.shared().poll_command(|inner, _| {
            if let Some((id, peer)) = inner.endpoint.accept(self.port) {
                return Poll::Ready(Ok((Stream::new(self.handle.clone(), inner, id, peer), peer)));
            }
            if !inner.is_running() {
                return Poll::Ready(Err(NodeClosed));
            }
            remember(inner.waiting.listeners.entry(self.port).or_default(), cx);
            Poll::Pending
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.handle.shared().command(|inner, now| {
            inner.waiting.listeners.remove(&self.port);
            inner.endpoint.unlisten(now, self.port);
        });
    }
}
