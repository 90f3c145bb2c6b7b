//! The local socket as its clients see it: who may use it, what is answered, and what belongs to whom.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use bytes::Bytes;
use driver::encode_frame;
use driver::ipc::{Frame, Reply, Request, command};
use lab::agent::{Agent, befriend};
use lab::rendezvous::Rendezvous;
use proto_core::NodeId;
use proto_core::wire::{Address, SocketAddress};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn rendezvous() -> Rendezvous {
    Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"))
}

struct Client(UnixStream);

impl Client {
    fn of(agent: &Agent) -> Self {
        let stream = UnixStream::connect(agent.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn send(&mut self, request: &Request) {
        self.0.write_all(&encode_frame(&request.encode())).unwrap();
    }

    /// The next frame; `None` when the daemon ended the connection.
    fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let mut payload = vec![0; length - 1];
        self.0.read_exact(&mut payload).unwrap();
        Some(Frame { command: head[4], payload: payload.into() })
    }

    fn ask(&mut self, request: &Request) -> Reply {
        self.send(request);
        Reply::decode(&self.receive().unwrap()).unwrap()
    }

    /// Dials; gives the connection's number.
    fn dial(&mut self, to: SocketAddress) -> u32 {
        let reply = self.ask(&Request::Dial(to));
        let Reply::Dialed(conn) = reply else { panic!("{reply:?}") };
        conn
    }

    /// Nothing but the answer to this question comes.
    fn is_silent_but_for(&mut self, request: &Request) {
        self.send(request);
        let answer = self.receive().unwrap();
        assert_eq!(answer.command, request.encode().command + 1);
    }
}

fn port_of(agent: &Agent, port: u16) -> SocketAddress {
    SocketAddress::new(Address::backbone(NodeId(u32::try_from(agent.node()).unwrap())), port)
}

/// Two that trust each other.
fn friends(rendezvous: &Rendezvous) -> (Agent, Agent) {
    let (a, b) = (Agent::on_loopback("agent-a", rendezvous), Agent::on_loopback("agent-b", rendezvous));
    befriend(&a, &b);
    (a, b)
}

//= spec/ipc.md#pp-ipc-1
//= type=test
//# The local socket is a Unix stream socket that only its owner can open.
#[test]
fn the_socket_is_its_owners_only() {
    let rendezvous = rendezvous();
    let agent = Agent::on_loopback("agent", &rendezvous);
    let about = std::fs::metadata(agent.socket()).unwrap();
    assert!(about.file_type().is_socket());
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
}

//= spec/ipc.md#pp-ipc-4
//= type=test
//# The answer to a command is the next command number, or 0x0A with a code and a text.
//= spec/ipc.md#pp-ipc-6
//= type=test
//# Send, SendTo and CancelDial are never answered.
//= spec/ipc.md#pp-ipc-11
//= type=test
//# A command this daemon does not do is answered with an error that says so.
#[test]
fn answers_are_the_next_number_or_an_error_and_some_have_none() {
    let rendezvous = rendezvous();
    let agent = Agent::on_loopback("agent", &rendezvous);
    let mut client = Client::of(&agent);
    client.send(&Request::Health);
    assert_eq!(client.receive().unwrap().command, command::HEALTH + 1);
    for (request, word) in [
        (Request::SetWebhook("http://127.0.0.1/".into()), "not supported"),
        (Request::SetTaskExec(true), "not supported"),
        (Request::MyPolo, "not supported"),
        (Request::SubmitBadge(Bytes::from_static(b"{}")), "not supported"),
        (Request::EnrollRecovery(Bytes::from_static(b"{}")), "not supported"),
        (Request::Unbind(5000), "not found"),
    ] {
        client.send(&request);
        let answer = client.receive().unwrap();
        assert_eq!(answer.command, command::ERROR);
        let text = String::from_utf8_lossy(&answer.payload[2..]);
        assert!(text.contains(word), "{request:?}: {text}");
    }
    let data = Bytes::from_static(b"data");
    for request in [
        Request::Send { conn: 77, data: data.clone() },
        Request::SendTo { to: SocketAddress::new(Address::backbone(NodeId(4711)), 9), data },
        Request::CancelDial,
    ] {
        client.send(&request);
        client.is_silent_but_for(&Request::Health);
    }
}

//= spec/ipc.md#pp-ipc-3
//= type=test
//# A frame length of 0 or above 1 MiB ends the connection.
#[test]
fn a_length_that_cannot_be_ends_the_connection() {
    let rendezvous = rendezvous();
    let agent = Agent::on_loopback("agent", &rendezvous);
    for (length, ends) in [(0_u32, true), (1024 * 1024 + 1, true), (u32::MAX, true), (1024 * 1024, false)] {
        let mut client = Client::of(&agent);
        client.0.write_all(&length.to_be_bytes()).unwrap();
        if ends {
            assert!(client.receive().is_none(), "{length}");
        } else {
            let mut frame = vec![0; length as usize];
            frame[0] = 0xDF;
            client.0.write_all(&frame).unwrap();
            assert_eq!(client.receive().unwrap().command, command::ERROR, "{length}");
        }
    }
}

//= spec/ipc.md#pp-ipc-8
//= type=test
//# A connection can be used only by the client that opened or accepted it.
#[test]
fn a_connection_is_used_by_its_client_only() {
    let rendezvous = rendezvous();
    let (a, b) = friends(&rendezvous);
    let (mut owner, mut other) = (Client::of(&a), Client::of(&a));
    let conn = owner.dial(port_of(&b, 7));
    other.send(&Request::Send { conn, data: Bytes::from_static(b"not mine") });
    owner.send(&Request::Send { conn, data: Bytes::from_static(b"mine") });
    let echoed = Reply::decode(&owner.receive().unwrap()).unwrap();
    assert_eq!(echoed, Reply::Received { conn, data: Bytes::from_static(b"mine") });
    other.is_silent_but_for(&Request::Health);
    assert_eq!(owner.ask(&Request::Close(conn)), Reply::Closed(conn));
    assert_eq!(other.ask(&Request::Close(conn)), Reply::Closed(conn), "as any number that is nobody's");
}

//= spec/ipc.md#pp-ipc-16
//= type=test
//# A client can close any client's connection by the number in the list of connections, and the owner is told that it is closed.
#[test]
fn a_listed_number_closes_another_clients_connection_and_no_other_one() {
    let rendezvous = rendezvous();
    let (a, b) = friends(&rendezvous);
    let (mut owner, mut other) = (Client::of(&a), Client::of(&a));
    let [first, second] = [owner.dial(port_of(&b, 7)), owner.dial(port_of(&b, 7))];
    let listed = a.ok(&["conns"]);
    let numbers: Vec<_> = listed["connections"].as_array().unwrap().iter().map(|item| item["id"].as_u64()).collect();
    assert!([first, second].iter().all(|conn| numbers.contains(&Some(u64::from(*conn)))), "{first} {second} {listed}");
    assert_eq!(other.ask(&Request::Close(first)), Reply::Closed(first));
    assert_eq!(Reply::decode(&owner.receive().unwrap()).unwrap(), Reply::Closed(first), "its owner is told");
    owner.send(&Request::Send { conn: second, data: Bytes::from_static(b"on") });
    let echoed = Reply::decode(&owner.receive().unwrap()).unwrap();
    assert_eq!(echoed, Reply::Received { conn: second, data: Bytes::from_static(b"on") });
}

/// As the reference's `disconnect` does, now and then: whether it waits for the answer is a matter of luck.
#[test]
fn what_was_asked_is_done_though_who_asked_has_left() {
    let rendezvous = rendezvous();
    let (a, b) = friends(&rendezvous);
    let mut owner = Client::of(&a);
    for _ in 0..50 {
        let conn = owner.dial(port_of(&b, 7));
        Client::of(&a).send(&Request::Close(conn));
        assert_eq!(Reply::decode(&owner.receive().unwrap()).unwrap(), Reply::Closed(conn));
    }
}

//= spec/ipc.md#pp-ipc-9
//= type=test
//# A client that leaves has its streams reset and its ports freed.
#[test]
fn who_leaves_has_its_streams_reset_and_its_ports_freed() {
    let rendezvous = rendezvous();
    let (a, b) = friends(&rendezvous);
    let (mut leaver, mut listener) = (Client::of(&a), Client::of(&b));
    assert_eq!(listener.ask(&Request::Bind(5000)), Reply::Bound(5000));
    assert_eq!(leaver.ask(&Request::Bind(5000)), Reply::Bound(5000));
    leaver.dial(port_of(&b, 5000));
    assert_eq!(listener.receive().unwrap().command, command::ACCEPT);
    let mut successor = Client::of(&a);
    assert!(matches!(successor.ask(&Request::Bind(5000)), Reply::Error(_)));
    drop(leaver);
    let closed = listener.receive().unwrap();
    assert_eq!(closed.command, command::CLOSE_OK, "the peer is told");
    let deadline = Instant::now() + PATIENCE;
    while matches!(successor.ask(&Request::Bind(5000)), Reply::Error(_)) {
        assert!(Instant::now() < deadline, "the port stays taken");
    }
}

//= spec/ipc.md#pp-ipc-9
//= type=test
//# A client that leaves has its streams reset and its ports freed.
#[test]
fn who_leaves_while_a_peer_takes_nothing_is_noticed() {
    let rendezvous = rendezvous();
    let (a, b) = friends(&rendezvous);
    let (mut leaver, mut deaf) = (Client::of(&a), Client::of(&b));
    assert_eq!(deaf.ask(&Request::Bind(5000)), Reply::Bound(5000));
    assert_eq!(leaver.ask(&Request::Bind(5000)), Reply::Bound(5000));
    let conn = leaver.dial(port_of(&b, 5000));
    leaver.0.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let chunk = encode_frame(&Request::Send { conn, data: Bytes::from(vec![0; 100_000]) }.encode());
    let taken = (0..10_000).take_while(|_| leaver.0.write_all(&chunk).is_ok()).count();
    assert!(taken < 10_000, "the way to a peer that reads nothing has an end");
    drop(leaver);
    let mut successor = Client::of(&a);
    let deadline = Instant::now() + PATIENCE;
    while matches!(successor.ask(&Request::Bind(5000)), Reply::Error(_)) {
        assert!(Instant::now() < deadline, "the port stays taken");
        std::thread::yield_now();
    }
}

#[test]
fn a_port_is_free_when_its_unbind_is_answered() {
    let rendezvous = rendezvous();
    let agent = Agent::on_loopback("agent", &rendezvous);
    let mut client = Client::of(&agent);
    // All at once, so that nothing lies between an unbind and the next bind.
    let pair = [Request::Bind(5000), Request::Unbind(5000)].map(|request| encode_frame(&request.encode())).concat();
    client.0.write_all(&pair.repeat(500)).unwrap();
    for round in 0..500 {
        assert_eq!(Reply::decode(&client.receive().unwrap()).unwrap(), Reply::Bound(5000), "round {round}");
        assert_eq!(client.receive().unwrap().command, command::UNBIND + 1);
    }
}

#[test]
fn an_accepted_connection_takes_data_at_once() {
    let rendezvous = rendezvous();
    let (a, b) = friends(&rendezvous);
    let (mut dialler, mut listener) = (Client::of(&a), Client::of(&b));
    assert_eq!(listener.ask(&Request::Bind(5000)), Reply::Bound(5000));
    let data = Bytes::from_static(b"welcome");
    for round in 0..200 {
        let mine = dialler.dial(port_of(&b, 5000));
        let accepted = Reply::decode(&listener.receive().unwrap()).unwrap();
        let Reply::Accepted { conn, .. } = accepted else { panic!("{accepted:?}") };
        listener.send(&Request::Send { conn, data: data.clone() });
        let got = Reply::decode(&dialler.receive().expect("it was lost")).unwrap();
        assert_eq!(got, Reply::Received { conn: mine, data: data.clone() }, "round {round}");
    }
}

//= spec/ipc.md#pp-ipc-13
//= type=test
//# A datagram goes to the client that bound its port.
#[test]
fn a_datagram_goes_to_who_bound_its_port() {
    let rendezvous = rendezvous();
    let (a, b) = friends(&rendezvous);
    let (mut bound, mut elsewhere, mut unbound) = (Client::of(&b), Client::of(&b), Client::of(&b));
    assert_eq!(bound.ask(&Request::Bind(5000)), Reply::Bound(5000));
    assert_eq!(elsewhere.ask(&Request::Bind(5001)), Reply::Bound(5001));
    unbound.is_silent_but_for(&Request::Health);
    let data = Bytes::from_static(b"to whom it concerns");
    Client::of(&a).send(&Request::SendTo { to: port_of(&b, 5000), data: data.clone() });
    let Reply::ReceivedFrom { from, to_port, data: got } = Reply::decode(&bound.receive().unwrap()).unwrap() else {
        panic!("no datagram")
    };
    assert_eq!((u64::from(from.address.node.0), to_port, got), (a.node(), 5000, data));
    elsewhere.is_silent_but_for(&Request::Health);
    unbound.is_silent_but_for(&Request::Health);
}

//= spec/ipc.md#pp-ipc-10
//= type=test
//# At most 1024 clients are served, and 4096 connections of one client.
#[test]
fn a_thousand_and_twenty_four_clients_are_served() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most.map(|most| most.min(8192)), maximum: most }).unwrap();
    let rendezvous = rendezvous();
    let agent = Agent::on_loopback("agent", &rendezvous);
    let mut clients: Vec<Client> = (0..1024)
        .map(|_| {
            let mut client = Client::of(&agent);
            client.is_silent_but_for(&Request::Health);
            client
        })
        .collect();
    assert!(Client::of(&agent).receive().is_none(), "one more is sent away");
    clients.pop();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = Client::of(&agent);
        let asked = client.0.write_all(&encode_frame(&Request::Health.encode())).is_ok();
        if asked && client.receive().is_some() {
            break;
        }
        assert!(Instant::now() < deadline, "the place stays taken");
    }
}

//= spec/ports.md#pp-port-9
//= type=test
//# Port 1002 serves the event stream in the daemon.
//= spec/services.md#pp-svc-14
//= type=test
//# Subscribing needs trust.
#[test]
fn only_trusted_peers_subscribe_to_events() {
    let rendezvous = rendezvous();
    let public = Agent::at("agent-a", &rendezvous, &lab::place::Place::here(), &["--public"]);
    let (stranger, friend) = (Agent::on_loopback("agent-s", &rendezvous), Agent::on_loopback("agent-b", &rendezvous));
    befriend(&friend, &public);
    let subscription = Bytes::from_static(b"\0\x04news\0\0\0\0");
    let subscribe = |agent: &Agent| {
        let mut client = Client::of(agent);
        let conn = client.dial(port_of(&public, 1002));
        client.send(&Request::Send { conn, data: subscription.clone() });
        (client, conn)
    };
    let (mut turned_away, conn) = subscribe(&stranger);
    assert_eq!(Reply::decode(&turned_away.receive().unwrap()).unwrap(), Reply::Closed(conn));
    let (mut listening, heard) = subscribe(&friend);
    let (mut speaking, said) = subscribe(&friend);
    let event = Bytes::from_static(b"\0\x04news\0\0\0\x04evt1");
    // The other subscription may still be on its way: what is said is repeated until it is heard.
    listening.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let received = loop {
        speaking.send(&Request::Send { conn: said, data: event.clone() });
        if let Some(frame) = listening.receive() {
            break Reply::decode(&frame).unwrap();
        }
        assert!(Instant::now() < deadline, "no event");
    };
    let Reply::Received { conn, data } = received else { panic!("{received:?}") };
    assert!(conn == heard && data.starts_with(&event));
}
