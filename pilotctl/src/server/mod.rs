//! The daemon's local socket (control-plane section 4): who may connect, and how many.
//!
//! A client cannot hurt another: connections and ports have owners, queues are bounded, and each client has its own
//! tasks, so that one that does not read stops only itself.

mod answers;
mod client;
mod info;
mod session;
mod streams;

use crate::agent::Agent;
use crate::cli::{CliError, Kind, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tokio::net::{UnixListener, UnixStream};

/// Clients at once (control-plane section 4.1).
const MAX_CLIENTS: usize = 1024;

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) agent: Arc<Agent>,
    next_client: AtomicU64,
    next_conn: AtomicU32,
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
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves clients for ever; dropping the future ends them all.
    pub(crate) async fn serve(&self, agent: Arc<Agent>) {
        let hub = Arc::new(Hub { agent, next_client: AtomicU64::new(0), next_conn: AtomicU32::new(1) });
        let mut clients = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) if clients.len() < MAX_CLIENTS && is_own(&socket) => {
                        clients.spawn(client::serve(Arc::clone(&hub), socket));
                    }
                    Ok(_) => tracing::warn!("a local client was refused: too many, or another user's"),
                    Err(error) => {
                        // Out of file descriptors: the next attempt is worth making only after somebody left.
                        tracing::warn!(%error, "cannot accept a local client");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
                Some(_) = clients.join_next() => {}
            }
        }
    }
}

impl Drop for IpcServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Only this user's processes, and root's.
fn is_own(socket: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    socket.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

impl Hub {
    fn next_conn(&self) -> u32 {
        self.next_conn.fetch_add(1, Ordering::Relaxed)
    }

    fn next_client(&self) -> u64 {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }
}
