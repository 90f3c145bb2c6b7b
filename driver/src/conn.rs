//! A stream to a peer, through the daemon.

use crate::client::{Driver, Inbound};
use crate::error::DriverError;
use crate::framing::encode_frame;
use crate::ipc::Request;
use bytes::{Buf, Bytes};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::{self, OwnedPermit};

/// Bytes of one `Send` frame at most: large enough for few frames, small enough to share the socket.
const CHUNK: usize = 128 * 1024;

type Permit = Result<OwnedPermit<Bytes>, mpsc::error::SendError<()>>;
type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A stream to a peer. Reading ends when the peer finished; dropping it closes it.
///
/// There is no half-close: `poll_shutdown` ends both directions, and is ready when the peer has acknowledged everything
/// written here. The peer sends nothing more once it sees the end, so read before it what you expect; what arrived until
/// then can still be read. [`Delivery`] tells without ending anything how much has arrived.
pub struct Conn {
    driver: Driver,
    id: u32,
    inbound: mpsc::Receiver<Inbound>,
    current: Bytes,
    room: Option<Waiting<Permit>>,
    finishing: Option<Waiting<Result<(), DriverError>>>,
    closed: bool,
}

/// Follows how much of what was written to a [`Conn`] has arrived, also while that is split in two.
#[derive(Clone, Debug)]
pub struct Delivery {
    driver: Driver,
    conn: u32,
}

impl Delivery {
    /// Bytes that the peer has acknowledged; a lower bound once the connection has ended.
    ///
    /// # Errors
    ///
    /// The loss of the daemon, and [`crate::ErrorKind::InvalidArgument`] from a daemon that does not count.
    pub async fn acknowledged(&self) -> Result<u64, DriverError> {
        self.driver.acknowledged(self.conn).await
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Conn {
    pub(crate) fn new(driver: Driver, id: u32, inbound: mpsc::Receiver<Inbound>) -> Self {
        Self { driver, id, inbound, current: Bytes::new(), room: None, finishing: None, closed: false }
    }

    /// The daemon's number for this connection.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// A view of what has arrived at the peer.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        Delivery { driver: self.driver.clone(), conn: self.id }
    }

    /// Closes the connection; what was written is still delivered by the daemon.
    ///
    /// # Errors
    ///
    /// The loss of the daemon.
    pub async fn close(mut self) -> Result<(), DriverError> {
        // Nobody reads any more: without this, bytes still arriving would stop the answer.
        self.inbound.close();
        let answer = self.driver.clone().close(self.id).await;
        // Not before: who gives up waiting has dropped it.
        self.closed = true;
        answer
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        if !self.closed {
            self.driver.give_back(Request::Close(self.id));
        }
    }
}

impl AsyncRead for Conn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.current.is_empty() {
            match ready!(self.inbound.poll_recv(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(bytes)) => self.current = bytes,
                Some(Err(reason)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, reason)));
                }
            }
        }
        let taken = self.current.len().min(buf.remaining());
        buf.put_slice(self.current.get(..taken).unwrap_or_default());
        self.current.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let frames = self.driver.frames();
        let room = self.room.get_or_insert_with(|| Box::pin(frames.reserve_owned()));
        let permit = ready!(room.as_mut().poll(cx));
        self.room = None;
        let permit = permit.map_err(|_| io::Error::from(DriverError::Disconnected))?;
        let chunk = data.get(..CHUNK).unwrap_or(data);
        let frame = Request::Send { conn: self.id, data: Bytes::copy_from_slice(chunk) }.encode();
        permit.send(encode_frame(&frame));
        Poll::Ready(Ok(chunk.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (driver, id) = (self.driver.clone(), self.id);
        let finishing = self.finishing.get_or_insert_with(|| Box::pin(driver.finish(id)));
        let outcome = ready!(finishing.as_mut().poll(cx));
        self.finishing = None;
        Poll::Ready(outcome.map_err(io::Error::from))
    }
}
