//! The three tasks of a client: one reads frames, one answers requests in their order, one writes.

use super::outbox::{Outbox, Waiting};
use super::session::Session;
use super::streams::Outgoing;
use super::{Hub, answers};
use bytes::Bytes;
use driver::ipc::{Frame, Reply, Request, never_answered};
use driver::read_frame;
use proto_core::wire::SocketAddress;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// Requests waiting for their answer.
const REQUEST_QUEUE: usize = 64;
/// A client that takes nothing for this long is disconnected.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// What a client asked before it left is still done, but its own connections do not wait longer for that.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a client sent before it left still goes to streams that take it, unless they take nothing for this long.
const FAREWELL_DATA: Duration = Duration::from_secs(10);

/// Between two looks whether a client has left whose requests wait.
const LOOK: Duration = Duration::from_secs(1);

/// Serves a client until it leaves, breaks the protocol or stops reading.
pub(super) async fn serve(hub: Arc<Hub>, socket: UnixStream) {
    let (read, write) = socket.into_split();
    let (out, frames) = Outbox::new();
    let session = Arc::new(Session::new(hub, out));
    session.hub.sessions().insert(session.id, Arc::downgrade(&session));
    let _end = EndOnDrop(Arc::clone(&session));
    let (requests, waiting) = mpsc::channel(REQUEST_QUEUE);
    let mut answering = std::pin::pin!(answer_requests(&session, waiting));
    tokio::select! {
        () = read_requests(&session, read, requests) => {}
        () = write_frames(write, frames) => {}
        () = &mut answering => return,
    }
    // The reference's `disconnect` asks and leaves.
    let _ = tokio::time::timeout(FAREWELL, answering).await;
}

/// Also when the server is dropped, as a whole or by a signal.
struct EndOnDrop(Arc<Session>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.hub.sessions().remove(&self.0.id);
        self.0.end();
    }
}

/// What needs no answer is done at once; the rest waits for its turn.
async fn read_requests(session: &Arc<Session>, socket: OwnedReadHalf, requests: mpsc::Sender<Frame>) {
    let mut socket = BufReader::with_capacity(256 * 1024, socket);
    while let Ok(Some(frame)) = read_frame(&mut socket).await {
        if !never_answered(frame.command) {
            match or_gone(&socket, requests.send(frame)).await {
                Some(Ok(())) => continue,
                Some(Err(_)) | None => return,
            }
        }
        match Request::decode(&frame) {
            Ok(Request::Send { conn, data }) => {
                if let Some(stream) = session.stream(conn)
                    && or_gone(&socket, stream.send(Outgoing::Data(data))).await.is_none()
                {
                    return;
                }
            }
            Ok(Request::SendTo { to, data }) => send_datagram(session, to, &data),
            // The rest of these is CancelDial: a dial ends by itself within 5 s. What is malformed gets no answer.
            Ok(_) | Err(_) => {}
        }
    }
}

/// Waits for `room`, which may be for ever; nothing when the client has left meanwhile: its end is behind what is not read.
async fn or_gone<T>(socket: &BufReader<OwnedReadHalf>, room: impl Future<Output = T>) -> Option<T> {
    let gone = async {
        // Whether it left is asked at times: more to read would wake at once, for as long as nobody reads it.
        while socket.get_ref().ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep(FAREWELL_DATA).await;
    };
    tokio::select! {
        biased;
        room = room => Some(room),
        () = gone => None,
    }
}

fn send_datagram(session: &Session, to: SocketAddress, data: &Bytes) {
    if let Err(error) = session.hub.agent.send_datagram(to, data) {
        tracing::debug!(%to, error, "a datagram was not sent");
    }
}

async fn answer_requests(session: &Arc<Session>, mut requests: mpsc::Receiver<Frame>) {
    while let Some(frame) = requests.recv().await {
        //= spec/ipc.md#pp-ipc-5
        //# Each request is answered once, in the order of requests.
        let outcome = match Request::decode(&frame) {
            //= spec/ipc.md#pp-ipc-4
            //# The answer to a command is the next command number, or 0x0A with a code and a text.
            Ok(request) => answers::answer(session, frame.command + 1, request).await,
            Err(error) => Err(error.to_string()),
        };
        let answer = match outcome {
            Ok(answer) => answer,
            Err(text) => answers::Answer::reply(Reply::Error(text)),
        };
        match answer.stream {
            Some((conn, stream)) => session.announce(&answer.reply, conn, stream).await,
            None => session.push(&answer.reply).await,
        };
    }
}

async fn write_frames(mut socket: OwnedWriteHalf, mut frames: mpsc::Receiver<Waiting>) {
    while let Some(waiting) = frames.recv().await {
        match tokio::time::timeout(WRITE_PATIENCE, socket.write_all(&waiting.frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
