//! One client: its connections, its ports, its way out.

use super::Hub;
use super::outbox::Outbox;
use super::streams::Handle;
use bytes::Bytes;
use driver::encode_frame;
use driver::ipc::Reply;
use runtime_tokio::Stream;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Overlay connections of one client (PP-IPC-10).
pub(super) const MAX_STREAMS: usize = 4096;
/// Bound ports of one client.
pub(super) const MAX_PORTS: usize = 256;

/// What a client owns. Dropped with it: streams are reset, ports are free again.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) id: u64,
    pub(super) hub: Arc<Hub>,
    out: Outbox,
    /// The client said that it knows the extensions.
    pub(super) extended: AtomicBool,
    owned: Mutex<Owned>,
}

#[derive(Debug, Default)]
struct Owned {
    streams: BTreeMap<u32, Handle>,
    ports: BTreeMap<u16, JoinHandle<()>>,
    /// The client is gone: what a port's task takes meanwhile is nobody's.
    ended: bool,
}

impl Session {
    pub(super) fn new(hub: Arc<Hub>, out: Outbox) -> Self {
        let id = hub.next_client();
        Self { id, hub, out, extended: AtomicBool::new(false), owned: Mutex::default() }
    }

    /// Waits for room: what a client does not read stays in the stream, where the peer feels it.
    pub(super) async fn push(&self, reply: &Reply) -> bool {
        self.out.push(encode_frame(&reply.encode())).await
    }

    /// For what has no flow control: a full queue drops it.
    pub(super) fn push_or_drop(&self, reply: &Reply) {
        self.push_frame_or_drop(encode_frame(&reply.encode()));
    }

    pub(super) fn push_frame_or_drop(&self, frame: Bytes) {
        if !self.out.try_push(frame) {
            tracing::debug!(client = self.id, "a datagram was dropped: the client does not read");
        }
    }

    pub(super) fn knows_extensions(&self) -> bool {
        self.extended.load(Ordering::Relaxed)
    }

    /// Tells the client of a connection by `reply`, and starts it. Whether the client is still there; else the connection is reset.
    pub(super) async fn announce(self: &Arc<Self>, reply: &Reply, conn: u32, stream: Stream) -> bool {
        let Some(room) = self.out.reserve(encode_frame(&reply.encode())).await else { return false };
        // Under the lock: whoever reads the frame at once finds the connection, and its bytes or its end come after the frame.
        let mut owned = self.owned();
        if owned.ended {
            // Not under the lock: the stream's end is told to the node.
            drop(owned);
            return false;
        }
        room.push();
        owned.streams.insert(conn, super::streams::start(self, conn, stream));
        true
    }

    pub(super) fn has_room(&self) -> bool {
        self.owned().streams.len() < MAX_STREAMS
    }

    /// The way into one of this client's connections; nobody else's.
    //= spec/ipc.md#pp-ipc-8
    //# A connection can be used only by the client that opened or accepted it.
    pub(super) fn stream(&self, conn: u32) -> Option<mpsc::Sender<super::streams::Outgoing>> {
        self.owned().streams.get(&conn).map(Handle::sender)
    }

    /// Bytes of one of this client's connections that the peer has acknowledged.
    pub(super) fn acknowledged(&self, conn: u32) -> Option<u64> {
        self.owned().streams.get(&conn).map(|handle| handle.acknowledged(&self.hub.agent))
    }

    pub(super) fn remove_stream(&self, conn: u32) -> Option<Handle> {
        self.owned().streams.remove(&conn)
    }

    pub(super) fn ports(&self) -> usize {
        self.owned().ports.len()
    }

    pub(super) fn add_port(&self, port: u16, task: JoinHandle<()>) {
        self.owned().ports.insert(port, task);
    }

    /// Returns when the port is free: the next request may bind it.
    pub(super) async fn remove_port(&self, port: u16) -> bool {
        let Some(task) = self.owned().ports.remove(&port) else { return false };
        task.abort();
        let _ = task.await;
        true
    }

    /// The client is gone.
    //= spec/ipc.md#pp-ipc-9
    //# A client that leaves has its streams reset and its ports freed.
    pub(super) fn end(&self) {
        let owned = std::mem::replace(&mut *self.owned(), Owned { ended: true, ..Owned::default() });
        for task in owned.ports.into_values() {
            task.abort();
        }
        for handle in owned.streams.into_values() {
            handle.reset();
        }
    }

    fn owned(&self) -> MutexGuard<'_, Owned> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
