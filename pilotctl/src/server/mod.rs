//! The daemon's local socket (`spec/ipc.md`): who may connect, and how many.
//!
//! A client cannot hurt another by mistake: connections and ports have owners, queues are bounded, and each client has its own
//! tasks, so that one that does not read stops only itself. Only on purpose, by its number, one closes another's connection.

mod answers;
mod client;
mod envelope;
mod info;
mod network;
mod outbox;
mod session;
mod streams;
mod why;

use crate::agent::Agent;
use crate::cli::{CliError, Kind, Result};
use driver::encode_frame;
use driver::ipc::Reply;
use runtime_tokio::Datagram;
use session::Session;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::net::{UnixListener, UnixStream};

/// Clients at once, of all sockets together (PP-IPC-10).
//= spec/ipc.md#pp-ipc-10
//# At most 1024 clients are served, and 4096 connections of one client.
const MAX_CLIENTS: usize = 1024;

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) agent: Arc<Agent>,
    next_client: AtomicU64,
    sessions: Mutex<BTreeMap<u64, Weak<Session>>>,
}

/// A bound socket; its file goes with it.
#[derive(Debug)]
pub(crate) struct IpcServer {
    listener: UnixListener,
    path: PathBuf,
}

impl IpcServer {
    /// Binds `path`, replacing what a dead daemon left.
    pub(crate) async fn bind(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            crate::state::private_dir(folder)?;
        }
        if UnixStream::connect(path).await.is_ok() {
            let message = format!("another daemon listens on {}", path.display());
            return Err(CliError::new(Kind::AlreadyExists, message));
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(CliError::from(error).context(path.display()));
            }
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(|error| CliError::from(error).context(path.display()))?;
        //= spec/ipc.md#pp-ipc-1
        //# The local socket is a Unix stream socket that only its owner can open.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// The next client of this user.
    async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((socket, _)) if is_own(&socket) => return socket,
                Ok(_) => tracing::warn!("a local client was refused: another user's"),
                Err(error) => {
                    // Out of file descriptors: the next attempt is worth making only after somebody left.
                    tracing::warn!(%error, "cannot accept a local client");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for IpcServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves the clients of `server`, and of `compat` too, for ever; dropping the future ends them all.
///
/// # Errors
///
/// When somebody else receives the node's unclaimed datagrams.
pub(crate) async fn serve(server: &IpcServer, compat: Option<&IpcServer>, agent: Arc<Agent>) -> Result<()> {
    let mut unclaimed = agent.unclaimed_datagrams().map_err(CliError::internal)?;
    let hub = Arc::new(Hub::new(agent));
    let mut clients = tokio::task::JoinSet::new();
    loop {
        let socket = tokio::select! {
            socket = server.accept() => socket,
            socket = accept(compat) => socket,
            Some(_) = clients.join_next() => continue,
            Some(datagram) = unclaimed.next() => {
                hub.push_to_all(datagram);
                continue;
            }
        };
        if clients.len() < MAX_CLIENTS {
            clients.spawn(client::serve(Arc::clone(&hub), socket));
        } else {
            tracing::warn!("a local client was refused: too many");
        }
    }
}

async fn accept(server: Option<&IpcServer>) -> UnixStream {
    match server {
        Some(server) => server.accept().await,
        None => std::future::pending().await,
    }
}

/// Only this user's processes, and root's.
fn is_own(socket: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    //= spec/ipc.md#pp-ipc-12
    //# A process of another user is refused.
    socket.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

impl Hub {
    fn new(agent: Arc<Agent>) -> Self {
        Self { agent, next_client: AtomicU64::new(0), sessions: Mutex::default() }
    }

    /// Closes a connection of whichever client; its owner is told. Unknown ones look closed.
    //= spec/ipc.md#pp-ipc-16
    //# A client can close any client's connection by the number in the list of connections, and the owner is told that it is closed.
    fn close(&self, asker: &Session, conn: u32) {
        if let Some(handle) = asker.remove_stream(conn) {
            return handle.close();
        }
        let others: Vec<_> = self.sessions().values().filter_map(Weak::upgrade).collect();
        let found = others.into_iter().find_map(|owner| owner.remove_stream(conn).map(|handle| (owner, handle)));
        let Some((owner, handle)) = found else { return };
        handle.close();
        // The owner may not be reading; who asked does not wait for it.
        tokio::spawn(async move {
            if owner.knows_extensions() {
                owner.push(&Reply::StreamError { conn, reason: "closed by another program".to_owned() }).await;
            }
            owner.push(&Reply::Closed(conn)).await;
        });
    }

    fn next_client(&self) -> u64 {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }

    /// A datagram to a port that nobody bound: the reference's clients listen without binding. Ours bind.
    fn push_to_all(&self, datagram: Datagram) {
        let Datagram { from, to_port, data } = datagram;
        let frame = encode_frame(&Reply::ReceivedFrom { from, to_port, data }.encode());
        let sessions: Vec<_> = self.sessions().values().filter_map(Weak::upgrade).collect();
        for session in sessions.iter().filter(|session| !session.knows_extensions()) {
            session.push_frame_or_drop(frame.clone());
        }
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
