//! Decides how bytes travel to and from the registry: TCP or pinned TLS, in a task of its own, so that nothing the
//! registry does can hold up datagrams. Refuses to know what the bytes mean and when to try again.

use crate::tls::{self, Fingerprint};
use bytes::{Bytes, BytesMut};
use core::time::Duration;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// A registry that does not complete TCP and TLS in this time counts as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages waiting to be written; a registry that reads slower than this is as good as down.
const WRITE_QUEUE: usize = 256;
/// Chunks read and not taken by the loop; then TCP holds the registry back.
const READ_QUEUE: usize = 16;
/// Bytes read at once.
const READ_CHUNK: usize = 16 * 1024;

/// Where the registry is.
#[derive(Clone, Debug)]
pub(crate) struct RegistryAddress {
    /// `HOST:PORT`.
    pub(crate) authority: String,
    pub(crate) pin: Option<Fingerprint>,
}

/// What the endpoint wants of the pipe.
#[derive(Debug)]
pub(crate) enum PipeCommand {
    Connect,
    Send(Bytes),
    Disconnect,
}

/// What the pipe tells the loop.
#[derive(Debug)]
pub(crate) enum Report {
    Connected,
    Data(Bytes),
    Closed,
}

/// At most one connection to the registry.
#[derive(Debug)]
pub(crate) struct Pipe {
    address: Option<RegistryAddress>,
    link: Option<Link>,
}

#[derive(Debug)]
struct Link {
    outgoing: mpsc::Sender<Bytes>,
    incoming: mpsc::Receiver<Report>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pipe {
    pub(crate) fn new(address: Option<RegistryAddress>) -> Self {
        Self { address, link: None }
    }

    /// Does it. `false` when there is no connection and none will come: the endpoint must be told.
    pub(crate) fn command(&mut self, command: PipeCommand) -> bool {
        match command {
            PipeCommand::Connect => self.connect(),
            PipeCommand::Send(bytes) => self.send(bytes),
            PipeCommand::Disconnect => {
                self.link = None;
                true
            }
        }
    }

    fn connect(&mut self) -> bool {
        self.link = None;
        let Some(address) = self.address.clone() else { return false };
        let (outgoing, to_write) = mpsc::channel(WRITE_QUEUE);
        let (reports, incoming) = mpsc::channel(READ_QUEUE);
        let task = tokio::spawn(async move {
            if let Err(error) = run(&address, to_write, &reports).await {
                tracing::debug!(registry = address.authority, %error, "the connection to the registry failed");
            }
            let _ = reports.send(Report::Closed).await;
        });
        self.link = Some(Link { outgoing, incoming, task });
        true
    }

    /// A registry that lets the queue fill up is given up.
    fn send(&mut self, bytes: Bytes) -> bool {
        let sent = self.link.as_ref().is_some_and(|link| link.outgoing.try_send(bytes).is_ok());
        if !sent {
            self.link = None;
        }
        sent
    }

    /// The next report; never comes while there is no connection. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Report {
        let Some(link) = self.link.as_mut() else { return core::future::pending().await };
        let report = link.incoming.recv().await.unwrap_or(Report::Closed);
        if matches!(report, Report::Closed) {
            self.link = None;
        }
        report
    }
}

async fn run(
    address: &RegistryAddress,
    to_write: mpsc::Receiver<Bytes>,
    reports: &mpsc::Sender<Report>,
) -> io::Result<()> {
    let connect = async {
        let tcp = TcpStream::connect(&address.authority).await?;
        tcp.set_nodelay(true)?;
        let pipe: Box<dyn ReadWrite> = match address.pin {
            None => Box::new(tcp),
            Some(pin) => Box::new(handshake(address, pin, tcp).await?),
        };
        Ok::<_, io::Error>(pipe)
    };
    let pipe = tokio::time::timeout(CONNECT_TIMEOUT, connect).await??;
    if reports.send(Report::Connected).await.is_err() {
        return Ok(());
    }
    carry(pipe, to_write, reports).await
}

trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for T {}

async fn handshake(
    address: &RegistryAddress,
    pin: Fingerprint,
    tcp: TcpStream,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let host = address.authority.rsplit_once(':').map_or(address.authority.as_str(), |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let client = tls::client(pin).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(client)).connect(name, tcp).await
}

async fn carry(
    pipe: Box<dyn ReadWrite>,
    mut to_write: mpsc::Receiver<Bytes>,
    reports: &mpsc::Sender<Report>,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(pipe);
    let read = async {
        let mut chunk = BytesMut::new();
        loop {
            chunk.reserve(READ_CHUNK);
            if reader.read_buf(&mut chunk).await? == 0 {
                return Ok(());
            }
            if reports.send(Report::Data(chunk.split().freeze())).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some(bytes) = to_write.recv().await {
            writer.write_all(&bytes).await?;
            writer.flush().await?;
        }
        Ok(())
    };
    tokio::select! {
        done = read => done,
        done = write => done,
    }
}

#[cfg(test)]
mod tests;
