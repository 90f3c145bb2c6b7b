//! Odd clients of the local socket: each gets the documented answer, in order, and none disturbs another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

use bytes::Bytes;
use driver::ipc::{Frame, Reply, Request, RequestError, command};
use driver::{Driver, SocketAddress, encode_frame, read_frame};
use lab::agent::{Agent, PATIENCE, befriend};
use lab::noise::Noise;
use lab::rendezvous::Rendezvous;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Requests of a client that reads no answer: more than all queues and socket buffers hold.
const UNREAD: usize = 100_000;

/// Sends frames from one task while it reads their answers; so many answers.
async fn answers(agent: &Agent, frames: Vec<Frame>, count: usize) -> Vec<Reply> {
    let (mut read, mut write) = tokio::net::UnixStream::connect(agent.socket()).await.unwrap().into_split();
    let sending = tokio::spawn(async move {
        for frame in frames {
            tokio::io::AsyncWriteExt::write_all(&mut write, &encode_frame(&frame)).await.unwrap();
        }
        write
    });
    let mut replies = Vec::new();
    while replies.len() < count {
        replies.push(Reply::decode(&read_frame(&mut read).await.unwrap().expect("an answer")).unwrap());
    }
    sending.await.unwrap();
    replies
}

//= spec/ipc.md#pp-ipc-5
//= type=test
//# Each request is answered once, in the order of requests.
//= spec/ipc.md#pp-ipc-7
//= type=test
//# An unknown command is answered with the text `unknown command: 0xNN`.
#[test]
fn every_unknown_command_is_answered_in_its_turn() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let agent = Agent::on_loopback("agent", &rendezvous);
    let is_unknown = |command: &u8| {
        let decoded = Request::decode(&Frame { command: *command, payload: Bytes::new() });
        decoded == Err(RequestError::Unknown(*command))
    };
    let unknown: Vec<u8> = (0..=255).filter(is_unknown).collect();
    assert!(unknown.len() > 200, "most bytes mean nothing: {}", unknown.len());
    let health = Request::Health.encode();
    let mut noise = Noise::new(12);
    let odd = |command: u8| {
        let length = noise.below(100);
        [Frame { command, payload: noise.bytes(length).into() }, health.clone()]
    };
    let frames: Vec<Frame> = unknown.iter().copied().flat_map(odd).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let replies = runtime.block_on(answers(&agent, frames, 2 * unknown.len()));
    for (pair, byte) in replies.chunks(2).zip(unknown) {
        assert_eq!(pair[0], Reply::Error(format!("unknown command: 0x{byte:02X}")));
        let Reply::Answer { command, .. } = pair[1] else { panic!("{:?} after 0x{byte:02X}", pair[1]) };
        assert_eq!(command, command::HEALTH + 1);
    }
}

#[test]
fn a_client_that_never_reads_stalls_only_itself() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let agent = Agent::on_loopback("agent", &rendezvous);
    let mut deaf = UnixStream::connect(agent.socket()).unwrap();
    deaf.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let request = encode_frame(&Request::Info.encode());
    let taken = (0..UNREAD).take_while(|_| deaf.write_all(&request).is_ok()).count();
    assert!(taken < UNREAD, "the daemon keeps taking requests whose answers nobody reads");
    let began = Instant::now();
    for _ in 0..5 {
        agent.ok(&["status"]);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Random bytes on more connections of the kind, left open.
    let mut noise = Noise::new(13);
    let open: Vec<UnixStream> = (0..50)
        .map(|_| {
            let mut stream = UnixStream::connect(agent.socket()).unwrap();
            let _ = stream.write_all(&noise.bytes(4096));
            stream
        })
        .collect();
    agent.ok(&["status"]);
    drop((open, deaf));
    agent.ok(&["status"]);
}

//= spec/ipc.md#pp-ipc-16
//= type=test
//# A client can close any client's connection by the number in the list of connections, and the owner is told that it is closed.
#[test]
fn disconnect_ends_another_programs_connection_by_its_listed_number() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let [agent, peer] = ["agent", "peer"].map(|name| Agent::on_loopback(name, &rendezvous));
    befriend(&agent, &peer);
    let echo = SocketAddress::new(peer.ok(&["status"])["address"].as_str().unwrap().parse().unwrap(), 7);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut conn = runtime.block_on(async {
        let owner = Driver::connect(&agent.socket()).await.unwrap();
        let mut conn = owner.dial(echo).await.unwrap();
        conn.write_all(b"mine").await.unwrap();
        conn.read_exact(&mut [0; 4]).await.unwrap();
        conn
    });
    let listed = agent.ok(&["conns"]);
    let open = |list: &serde_json::Value| {
        let list = list["connections"].as_array().unwrap().clone();
        list.into_iter().find(|item| item["remote_port"] == 7 && item["state"] == "ESTABLISHED")
    };
    let number = u32::try_from(open(&listed).expect("it is listed")["id"].as_u64().unwrap()).unwrap();
    agent.ok(&["disconnect", &number.to_string()]);
    assert!(open(&agent.ok(&["conns"])).is_none());
    let told = runtime.block_on(async { tokio::time::timeout(PATIENCE, conn.read(&mut [0; 1])).await });
    let why = told.expect("the owner is told").expect_err("and not that the peer has ended it").to_string();
    assert!(why.contains("another program"), "{why}");
    let again = agent.start_json(&["disconnect", &number.to_string()]).wait(PATIENCE);
    assert_eq!(again.json()["code"], "not_found", "{again}");
}
