//! Decides how datagrams reach a task: a bounded queue per port, whose losses are counted. Refuses to know their meaning.

use crate::shared::Handle;
use bytes::Bytes;
use proto_core::wire::SocketAddress;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Datagrams waiting for one receiver; newer ones are dropped.
pub(crate) const DATAGRAM_QUEUE: usize = 1024;
/// Stands for all ports without a receiver: nothing is ever sent to port 0.
pub(crate) const UNCLAIMED: u16 = 0;

/// A datagram with its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it, and from which port.
    pub from: SocketAddress,
    /// The port it was sent to.
    pub to_port: u16,
    /// Its payload.
    pub data: Bytes,
}

/// The datagrams that arrive at one port, or at all that nobody took. Dropping it frees the port.
#[derive(Debug)]
pub struct Datagrams {
    pub(crate) handle: Handle,
    pub(crate) port: u16,
    pub(crate) receiver: mpsc::Receiver<Datagram>,
    pub(crate) dropped: Arc<AtomicU64>,
}

impl Datagrams {
    /// The next datagram, `None` when the node was closed.
    ///
    /// Cancel-safe: a datagram is taken from the queue only when the future completes.
    pub async fn next(&mut self) -> Option<Datagram> {
        self.receiver.recv().await
    }

    /// Datagrams that arrived while the queue was full, and are lost.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The port; 0 for those that nobody took.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.handle.shared().lock().waiting.datagrams.remove(&self.port);
    }
}
