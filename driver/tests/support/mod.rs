//! A daemon of a few lines.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a helper of tests"
)]

use bytes::Bytes;
use driver::ipc::{Reply, Request};
use driver::{Driver, encode_frame, read_frame};
use std::path::PathBuf;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};

/// The daemon's end of a client's socket.
pub struct Daemon {
    pub socket: UnixStream,
}

impl Daemon {
    pub async fn hears(&mut self) -> Request {
        Request::decode(&read_frame(&mut self.socket).await.unwrap().unwrap()).unwrap()
    }

    pub async fn says(&mut self, reply: Reply) {
        self.socket.write_all(&encode_frame(&reply.encode())).await.unwrap();
    }

    pub async fn answers(&mut self, request: u8, json: &'static str) {
        self.says(Reply::Answer { command: request + 1, payload: Bytes::from_static(json.as_bytes()) }).await;
    }
}

/// A client, and a daemon of the reference's kind: it does not know `Hello`.
pub async fn pair() -> (Driver, Daemon, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let connecting = tokio::spawn(async move { Driver::connect(&path).await.unwrap() });
    let mut daemon = Daemon { socket: listener.accept().await.unwrap().0 };
    assert_eq!(daemon.hears().await, Request::Hello(1));
    daemon.says(Reply::Error("unknown command: 0xE0".into())).await;
    (connecting.await.unwrap(), daemon, folder)
}
