//! Pipes lose nothing without saying so: what `nc` and `connect` carry arrives whole, or their exit status tells.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

use bytes::Bytes;
use driver::ipc::{Reply, Request};
use driver::{Accepted, Driver, encode_frame, read_frame};
use lab::agent::{Agent, PATIENCE, befriend};
use lab::noise::Noise;
use lab::rendezvous::Rendezvous;
use lab::wait;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A port of the peer that a test serves.
const PORT: u16 = 4000;
/// Connection failed.
const CONNECTION_FAILED: i32 = 7;

struct World {
    a: Agent,
    b: Agent,
    _rendezvous: Rendezvous,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
        let (a, b) = (Agent::on_loopback("agent-a", &rendezvous), Agent::on_loopback("agent-b", &rendezvous));
        befriend(&a, &b);
        Self { a, b, _rendezvous: rendezvous, runtime: tokio::runtime::Runtime::new().unwrap() }
    }

    /// Serves the next connection to the peer's [`PORT`], through a client of the daemon that leaves afterwards.
    fn serve<F: Future<Output = ()> + Send>(&self, service: impl FnOnce(Accepted) -> F + Send + 'static) {
        let socket = self.b.socket();
        let mut listener = self.runtime.block_on(async {
            let driver = Driver::connect(&socket).await.unwrap();
            driver.listen(PORT).await.unwrap()
        });
        self.runtime.spawn(async move { service(listener.accept().await.unwrap()).await });
    }
}

/// Ends with `input` as its stdin; gives exit status, stdout and stderr.
fn fed(mut command: Command, input: Vec<u8>) -> (i32, Vec<u8>, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
    let output = child.wait_with_output().unwrap();
    let _ = feeding.join().unwrap();
    (output.status.code().unwrap_or(-1), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_goes_through_an_echo_comes_back_whole() {
    let world = World::new();
    let bytes = Noise::new(11).bytes(4_000_000);
    let (code, echoed, said) = fed(world.a.command(&["nc", "agent-b", "7"]), bytes.clone());
    assert_eq!((code, echoed.len()), (0, bytes.len()), "{said}");
    assert!(echoed == bytes, "the same bytes");
    // Nobody waits longer than asked for.
    let began = Instant::now();
    let (code, echoed, _) = fed(world.a.command(&["nc", "agent-b", "7", "--quiet-after", "100ms"]), b"short".to_vec());
    assert_eq!((code, echoed.as_slice()), (0, b"short".as_slice()));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_reply_that_follows_the_question_is_read() {
    let world = World::new();
    world.serve(|Accepted { mut conn, .. }| async move {
        let mut question = [0; 6];
        conn.read_exact(&mut question).await.unwrap();
        conn.write_all(b"answer").await.unwrap();
        assert_eq!(conn.read(&mut question).await.unwrap(), 0, "the asker finishes when it has the answer");
    });
    let reply = world.a.ok(&["connect", "agent-b", "4000", "--message", "answer"]);
    assert_eq!((&reply["response"], &reply["bytes"]), (&"answer".into(), &6.into()), "{reply}");
    assert_eq!(reply["ended_by"], "quiet");

    // A peer that says nothing has the message nevertheless.
    let listening = world.b.start_json(&["listen", "4001", "--count", "1"]);
    wait::until("the port is bound", PATIENCE, || listening.stderr().contains("listening").then_some(()));
    let sent = world.a.ok(&["connect", "agent-b", "4001", "--message", "no reply needed", "--timeout", "3s"]);
    assert_eq!(sent["ended_by"], "no_reply");
    let heard = listening.wait(PATIENCE).ok().json()["data"]["messages"][0].clone();
    assert_eq!((&heard["data"], &heard["complete"]), (&"no reply needed".into(), &true.into()));
}

#[test]
fn the_peers_end_ends_the_pipe_and_tells_what_it_did_not_take() {
    let world = World::new();
    world.serve(|Accepted { mut conn, .. }| async move {
        conn.write_all(b"enough").await.unwrap();
        conn.shutdown().await.unwrap();
    });
    // The input stays open: a terminal on which nobody types.
    let mut command = world.a.command(&["nc", "agent-b", "4000"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let status = wait::until("nc ends with the peer", PATIENCE, || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));

    world.serve(|Accepted { mut conn, .. }| async move {
        let mut first = [0; 1000];
        conn.read_exact(&mut first).await.unwrap();
        conn.shutdown().await.unwrap();
        std::future::pending().await
    });
    let (code, _, said) = fed(world.a.command(&["nc", "agent-b", "4000"]), vec![0; 64_000_000]);
    assert_eq!(code, CONNECTION_FAILED, "{said}");
    assert!(said.contains("bytes were not delivered"), "{said}");
}

#[test]
fn a_stream_that_breaks_off_is_no_success() {
    let world = World::new();
    for words in [&["nc", "agent-b", "4000"][..], &["connect", "agent-b", "4000", "--data-file", "-"]] {
        let service = world.runtime.block_on(Service::start(&world.b));
        // A program that dies with its connection open: the daemon resets what it had.
        let dying = world.runtime.spawn(service.says_half_and_dies());
        let (code, _, said) = fed(world.a.command(words), b"word".to_vec());
        assert_eq!(code, CONNECTION_FAILED, "{words:?}: {said}");
        assert!(said.contains("the stream broke off"), "{said}");
        world.runtime.block_on(dying).unwrap();
    }
}

/// A client of a daemon in its own bytes, so that it can leave without a word.
struct Service(tokio::net::UnixStream);

impl Service {
    async fn start(agent: &Agent) -> Self {
        let mut service = Self(tokio::net::UnixStream::connect(agent.socket()).await.unwrap());
        service.asks(&Request::Bind(PORT)).await;
        assert_eq!(service.hears().await, Reply::Bound(PORT));
        service
    }

    async fn asks(&mut self, request: &Request) {
        self.0.write_all(&encode_frame(&request.encode())).await.unwrap();
    }

    async fn hears(&mut self) -> Reply {
        Reply::decode(&read_frame(&mut self.0).await.unwrap().unwrap()).unwrap()
    }

    async fn says_half_and_dies(mut self) {
        let Reply::Accepted { conn, .. } = self.hears().await else { panic!("a connection") };
        self.asks(&Request::Send { conn, data: Bytes::from_static(b"the first half") }).await;
        let Reply::Received { .. } = self.hears().await else { panic!("the other side's word") };
    }
}
