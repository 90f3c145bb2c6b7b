//! A connection to the daemon: one request at a time, pushes routed to whom they belong.
//!
//! Replies carry no number (PP-IPC-5), so a request waits for the one before it, even for one whose
//! caller went away. Buffers are bounded: a connection that is not read stops the whole socket, not the memory.

use crate::conn::Conn;
use crate::error::DriverError;
use crate::foreign;
use crate::framing::{encode_frame, read_frame};
use crate::ipc::{Frame, HandshakeCommand, MAX_FRAME, NetworkCommand, Reply, Request, command};
use bytes::Bytes;
use proto_core::wire::SocketAddress;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};

/// Frames waiting for a connection's reader.
const CONN_QUEUE: usize = 64;
/// Connections waiting for [`Listener::accept`].
const ACCEPT_QUEUE: usize = 128;
/// Datagrams waiting for [`Driver::recv_from`]; the newest are dropped beyond it.
const DATAGRAM_QUEUE: usize = 256;
/// Frames waiting for the socket.
const WRITE_QUEUE: usize = 32;

/// A connection to a daemon. Clones share it.
#[derive(Clone, Debug)]
pub struct Driver {
    shared: Arc<Shared>,
}

/// A connection that a [`Listener`] took.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub conn: Conn,
    /// Who connected.
    pub remote: SocketAddress,
}

/// A datagram that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddress,
    /// The local port.
    pub to_port: u16,
    /// Its payload.
    pub data: Bytes,
}

/// A bound port; dropping it unbinds.
#[derive(Debug)]
pub struct Listener {
    driver: Driver,
    port: u16,
    incoming: mpsc::Receiver<Accepted>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    /// Held by the request that waits for its answer.
    turn: tokio::sync::Mutex<()>,
    frames: mpsc::Sender<Bytes>,
    routes: Mutex<Routes>,
    answered: Notify,
    extended: AtomicBool,
    datagrams: tokio::sync::Mutex<mpsc::Receiver<Datagram>>,
}

/// What a connection's reader gets; a closed channel is the end.
pub(crate) type Inbound = Result<Bytes, String>;

/// What nobody takes any more is closed or unbound by its own drop.
#[derive(Debug)]
enum Answer {
    Frame(Reply),
    Conn(Conn),
    Port(Listener),
}

#[derive(Debug, Default)]
struct Routes {
    /// The request that waits; its caller may be gone.
    pending: Option<Pending>,
    /// Connections and ports that were dropped, given back before the next request: that may want the same port.
    dropped: VecDeque<Request>,
    conns: BTreeMap<u32, mpsc::Sender<Inbound>>,
    ports: BTreeMap<u16, mpsc::Sender<Accepted>>,
    ended: bool,
}

#[derive(Debug)]
struct Pending {
    reply: u8,
    /// For `Close`: the connection the answer must name, as the peer's own close looks the same.
    conn: Option<u32>,
    /// `None` while the answer is handed over.
    caller: Option<oneshot::Sender<Answer>>,
}

impl Driver {
    /// Connects to the daemon that listens on `path`.
    ///
    /// # Errors
    ///
    /// [`DriverError::NotRunning`] when nothing listens there or the socket belongs to somebody else.
    pub async fn connect(path: &Path) -> Result<Self, DriverError> {
        let socket = UnixStream::connect(path)
            .await
            .map_err(|source| DriverError::NotRunning { path: path.display().to_string(), source })?;
        let (read, write) = socket.into_split();
        let (frames, outbound) = mpsc::channel(WRITE_QUEUE);
        let (datagrams, inbox) = mpsc::channel(DATAGRAM_QUEUE);
        let shared = Arc::new(Shared {
            turn: tokio::sync::Mutex::new(()),
            frames,
            routes: Mutex::default(),
            answered: Notify::new(),
            extended: AtomicBool::new(false),
            datagrams: tokio::sync::Mutex::new(inbox),
        });
        tokio::spawn(write_frames(write, outbound));
        tokio::spawn(read_frames(read, Arc::downgrade(&shared), datagrams));
        let driver = Self { shared };
        // A reference daemon answers "unknown command", and gets nothing it does not know from then on.
        match driver.request(Request::Hello(1)).await {
            Ok(_) => driver.shared.extended.store(true, Ordering::Relaxed),
            Err(DriverError::Daemon(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(driver)
    }

    /// Sends any request and returns its JSON answer; an empty answer is `null`.
    ///
    /// # Errors
    ///
    /// The daemon's refusal, or the loss of the connection. A dropped call is still answered; the next one waits for it.
    pub async fn request(&self, request: Request) -> Result<Value, DriverError> {
        let payload = self.raw(None, request).await?;
        if payload.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&payload).map_err(|_| DriverError::Protocol("an answer that is not JSON"))
    }

    /// The answer's payload; nothing for answers that have another form.
    ///
    /// `before` goes first, within the same turn; it must be one without an answer.
    pub(crate) async fn raw(&self, before: Option<Request>, request: Request) -> Result<Bytes, DriverError> {
        match self.call(before, request).await? {
            Answer::Frame(Reply::Answer { payload, .. }) => Ok(payload),
            Answer::Frame(_) | Answer::Conn(_) | Answer::Port(_) => Ok(Bytes::new()),
        }
    }

    /// Whether the daemon knows the commands from `Hello` on, which those of the reference do not.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.shared.extended.load(Ordering::Relaxed)
    }

    /// Connects to a port of a peer. The daemon gives up within 5 s.
    ///
    /// # Errors
    ///
    /// As [`Self::request`]; the text says why the peer could not be reached.
    pub async fn dial(&self, to: SocketAddress) -> Result<Conn, DriverError> {
        match self.call(None, Request::Dial(to)).await? {
            Answer::Conn(conn) => Ok(conn),
            Answer::Frame(_) | Answer::Port(_) => Err(DriverError::Protocol("the wrong answer to a dial")),
        }
    }

    /// Binds a port: streams come from the listener, datagrams from [`Self::recv_from`].
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub async fn listen(&self, port: u16) -> Result<Listener, DriverError> {
        match self.call(None, Request::Bind(port)).await? {
            Answer::Port(listener) => Ok(listener),
            Answer::Frame(_) | Answer::Conn(_) => Err(DriverError::Protocol("the wrong answer to a bind")),
        }
    }

    /// The next datagram for any port; `None` when the daemon is gone. Cancel-safe.
    pub async fn recv_from(&self) -> Option<Datagram> {
        self.shared.datagrams.lock().await.recv().await
    }

    /// The daemon's state (command Info).
    ///
    /// # Errors
    ///
    /// As [`Self::request`]; so for all that follow.
    pub async fn info(&self) -> Result<Value, DriverError> {
        self.request(Request::Info).await
    }

    /// Short counters.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub async fn health(&self) -> Result<Value, DriverError> {
        self.request(Request::Health).await
    }

    /// Any trust command.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub async fn handshake(&self, command: HandshakeCommand) -> Result<Value, DriverError> {
        self.request(Request::Handshake(command)).await
    }

    /// Any network command.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub async fn network(&self, command: NetworkCommand) -> Result<Value, DriverError> {
        self.request(Request::Network(command)).await
    }

    /// Looks a hostname up.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub async fn resolve(&self, name: &str) -> Result<Value, DriverError> {
        self.request(Request::ResolveHostname(name.to_owned())).await
    }

    /// Waits for a turn, sends, waits for the answer.
    async fn call(&self, before: Option<Request>, request: Request) -> Result<Answer, DriverError> {
        if request.encode().payload.len() >= MAX_FRAME {
            return Err(DriverError::Io(io::Error::new(io::ErrorKind::InvalidInput, "a request longer than 1 MiB")));
        }
        let _turn = self.shared.turn.lock().await;
        loop {
            match self.ask(before.as_ref(), Some(&request)).await? {
                Some((true, Answer::Frame(Reply::Error(text)))) => return Err(DriverError::Daemon(text)),
                Some((true, answer)) => return Ok(answer),
                Some((false, _)) | None => {}
            }
        }
    }

    /// Gives back what was dropped, else asks `own`: one request within the caller's turn. Whether it was `own`, and the answer.
    async fn ask(
        &self,
        before: Option<&Request>,
        own: Option<&Request>,
    ) -> Result<Option<(bool, Answer)>, DriverError> {
        loop {
            let answered = self.shared.answered.notified();
            {
                let routes = self.shared.routes();
                if routes.ended {
                    return Err(DriverError::Disconnected);
                }
                if routes.pending.is_none() {
                    break;
                }
            }
            answered.await;
        }
        // Room before the request counts as asked: a caller that goes away while it waits for room leaves nothing that no answer ends.
        let room = self.shared.frames.reserve_many(2).await.map_err(|_| DriverError::Disconnected)?;
        let (caller, answer) = oneshot::channel();
        let is_own = {
            let mut routes = self.shared.routes();
            if routes.ended {
                return Err(DriverError::Disconnected);
            }
            let dropped = routes.dropped.pop_front();
            let Some(request) = dropped.as_ref().or(own) else { return Ok(None) };
            let frame = request.encode();
            let conn = if let Request::Close(conn) = request { Some(*conn) } else { None };
            routes.pending = Some(Pending { reply: frame.command + 1, conn, caller: Some(caller) });
            let before = before.filter(|_| dropped.is_none()).map(Request::encode);
            room.zip(before.into_iter().chain([frame])).for_each(|(room, frame)| room.send(encode_frame(&frame)));
            dropped.is_none()
        };
        Ok(Some((is_own, answer.await.map_err(|_| DriverError::Disconnected)?)))
    }

    /// Sees to it that `request` is asked before any other that waits for its turn, though nobody waits for its answer.
    pub(crate) fn give_back(&self, request: Request) {
        {
            let mut routes = self.shared.routes();
            if routes.ended {
                return;
            }
            routes.dropped.push_back(request);
        }
        let driver = self.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _turn = driver.shared.turn.lock().await;
                while let Ok(Some(_)) = driver.ask(None, None).await {}
            });
        }
    }

    /// Closes a connection and forgets it.
    pub(crate) async fn close(self, conn: u32) -> Result<(), DriverError> {
        let answer = self.call(None, Request::Close(conn)).await.map(|_| ());
        self.shared.routes().conns.remove(&conn);
        answer
    }

    pub(crate) fn frames(&self) -> mpsc::Sender<Bytes> {
        self.shared.frames.clone()
    }
}

impl Listener {
    /// The bound port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next connection; `None` when the daemon is gone. Cancel-safe.
    pub async fn accept(&mut self) -> Option<Accepted> {
        self.incoming.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.driver.give_back(Request::Unbind(self.port));
    }
}

impl Shared {
    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write_frames(mut socket: OwnedWriteHalf, mut frames: mpsc::Receiver<Bytes>) {
    while let Some(frame) = frames.recv().await {
        if socket.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// Ends with the socket, or when the last user of the driver is gone and something arrives.
async fn read_frames(socket: OwnedReadHalf, shared: std::sync::Weak<Shared>, datagrams: mpsc::Sender<Datagram>) {
    let mut socket = BufReader::with_capacity(256 * 1024, socket);
    while let Ok(Some(frame)) = read_frame(&mut socket).await {
        let Some(shared) = shared.upgrade() else { return };
        route(&shared, &frame, &datagrams).await;
    }
    if let Some(shared) = shared.upgrade() {
        let ended = Routes { ended: true, ..Routes::default() };
        // What is dropped with them may want the lock.
        let over = core::mem::replace(&mut *shared.routes(), ended);
        let Routes { conns, .. } = over;
        shared.answered.notify_waiters();
        for reader in conns.into_values() {
            // Nobody said that this was the end of the bytes. Who is behind reads first what it has.
            tokio::spawn(async move { reader.send(Err(DriverError::Disconnected.to_string())).await });
        }
    }
}

/// Gives one frame to whom it belongs; what belongs to nobody is ignored.
async fn route(shared: &Arc<Shared>, frame: &Frame, datagrams: &mpsc::Sender<Datagram>) {
    let Ok(reply) = Reply::decode(frame) else { return };
    match reply {
        Reply::Received { conn, data } => {
            let reader = shared.routes().conns.get(&conn).cloned();
            if let Some(reader) = reader
                && reader.send(Ok(data)).await.is_err()
            {
                shared.routes().conns.remove(&conn);
            }
        }
        Reply::StreamError { conn, reason } => {
            let reader = shared.routes().conns.remove(&conn);
            if let Some(reader) = reader {
                let _ = reader.send(Err(reason)).await;
            }
        }
        Reply::Accepted { port, conn, remote } => {
            let (sender, inbound) = mpsc::channel(CONN_QUEUE);
            let listener = {
                let mut routes = shared.routes();
                routes.conns.insert(conn, sender);
                routes.ports.get(&port).cloned()
            };
            let accepted = Accepted { conn: Conn::new(Driver { shared: Arc::clone(shared) }, conn, inbound), remote };
            if let Some(listener) = listener {
                // What a listener that is gone does not take is closed by its drop.
                let _ = listener.send(accepted).await;
            }
        }
        Reply::ReceivedFrom { from, to_port, data } => {
            let _ = datagrams.try_send(Datagram { from, to_port, data });
        }
        reply @ (Reply::Bound(_) | Reply::Dialed(_) | Reply::Closed(_) | Reply::Error(_) | Reply::Answer { .. }) => {
            shared.answer(reply, frame.command);
        }
    }
}

impl Shared {
    /// Hands an answer to the request that waits, if it is its answer.
    fn answer(self: &Arc<Self>, reply: Reply, command: u8) {
        let mut routes = self.routes();
        if let Reply::Error(text) = &reply
            && foreign::is_stray(text)
        {
            routes.conns.retain(|conn, _| foreign::lost_connection(text) != Some(*conn));
            return;
        }
        if let Reply::Closed(conn) = reply {
            routes.conns.remove(&conn);
        }
        let expected = routes.pending.as_ref().is_some_and(|pending| {
            if let Reply::Closed(conn) = reply { pending.conn == Some(conn) } else { pending.reply == command }
        });
        let expected = expected || command == command::ERROR;
        let pending = routes.pending.as_mut().filter(|_| expected);
        let Some(caller) = pending.and_then(|pending| pending.caller.take()) else { return };
        let driver = Driver { shared: Arc::clone(self) };
        let mut replaced = None;
        let answer = if let Reply::Dialed(conn) = reply {
            let (sender, inbound) = mpsc::channel(CONN_QUEUE);
            routes.conns.insert(conn, sender);
            Answer::Conn(Conn::new(driver, conn, inbound))
        } else if let Reply::Bound(port) = reply {
            let (sender, incoming) = mpsc::channel(ACCEPT_QUEUE);
            replaced = routes.ports.insert(port, sender);
            Answer::Port(Listener { driver, port, incoming })
        } else {
            Answer::Frame(reply)
        };
        drop(routes);
        drop(replaced);
        // A caller that went away meanwhile leaves a connection or a port that nobody else would close: before the next request.
        let _ = caller.send(answer);
        self.routes().pending = None;
        self.answered.notify_waiters();
    }
}
