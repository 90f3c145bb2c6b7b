//! The endpoint in a loop of one's own: a blocking `std::net::UdpSocket`, no executor, no other library.
//!
//! Two agents in two threads, each with its loop. One listens on port 1000 and answers, the other dials and asks.
//! They know each other from the start; with a registry there would be the arms for its three events as well.
//!
//! `cargo run -p proto-core --example own_loop`

#![allow(clippy::wildcard_enum_match_arm, reason = "an example handles the events it is about")]
#![allow(
    clippy::disallowed_methods,
    reason = "this is the host: it has the clock and the threads that the core must not have"
)]

use proto_core::crypto::{Identity, PublicKey, rust_crypto};
use proto_core::endpoint::{Config, ReadError};
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Endpoint, Event, Input, NodeId, Sink, SocketId, StreamId, Timestamp, Transmit, TransmitBuf, drive};
use std::error::Error;
use std::io::{self, Read as _};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

const PORT: u16 = 1000;
/// Longest sleep, when the endpoint has no deadline.
const IDLE: Duration = Duration::from_secs(1);

fn main() -> Result<(), Failure> {
    let (client, server) = (Identity::from_seed(random()?), Identity::from_seed(random()?));
    let (client_key, server_key) = (client.public(), server.public());
    let mut asks = Agent::new(client)?;
    let mut answers = Agent::new(server)?;
    let (client_at, server_at) = (asks.socket.local_addr()?, answers.socket.local_addr()?);
    asks.meet(NodeId(1), NodeId(2), server_key, server_at);
    answers.meet(NodeId(2), NodeId(1), client_key, client_at);

    answers.endpoint.listen(PORT).map_err(|error| format!("{error:?}"))?;
    std::thread::spawn(move || answers.run(answer));

    let to = SocketAddress::new(Address::backbone(NodeId(2)), PORT);
    asks.endpoint.dial(asks.now(), to)?;
    asks.run(ask)
}

/// The client: asks when connected, and is done with the answer.
fn ask(agent: &mut Agent, event: &Event) -> Result<bool, Failure> {
    let now = agent.now();
    match event {
        Event::Connected(stream) => {
            agent.endpoint.write(now, *stream, b"who is there?").map_err(|error| format!("{error:?}"))?;
        }
        Event::Readable(stream) => {
            if let Some(answer) = agent.read(*stream)? {
                println!("{}", String::from_utf8_lossy(&answer));
                agent.endpoint.finish(now, *stream).map_err(|error| format!("{error:?}"))?;
            }
        }
        Event::Finished(_) => return Ok(true),
        Event::DialFailed(_, reason) => return Err((*reason).into()),
        _ => {}
    }
    Ok(false)
}

/// The server: answers whatever it is asked, for ever.
fn answer(agent: &mut Agent, event: &Event) -> Result<bool, Failure> {
    let now = agent.now();
    match event {
        Event::Incoming(port) => {
            // Nothing can have been missed: what arrived before the stream was accepted is told as readable.
            while let Some((stream, from)) = agent.endpoint.accept(*port) {
                println!("a stream from {from}");
                respond(agent, stream)?;
            }
        }
        Event::Readable(stream) => respond(agent, *stream)?,
        Event::Closed(stream, _) => agent.endpoint.reset(now, *stream),
        _ => {}
    }
    Ok(false)
}

fn respond(agent: &mut Agent, stream: StreamId) -> Result<(), Failure> {
    let now = agent.now();
    if agent.read(stream)?.is_some_and(|question| !question.is_empty()) {
        agent.endpoint.write(now, stream, b"a loop of one's own").map_err(|error| format!("{error:?}"))?;
    }
    Ok(())
}

/// Everything the endpoint does not have: a socket, a clock, and bytes to write to.
struct Agent {
    endpoint: Endpoint,
    socket: UdpSocket,
    started: Instant,
}

/// Decides what to do about an event; `true` ends the loop.
type Handler = fn(&mut Agent, &Event) -> Result<bool, Failure>;

impl Agent {
    fn new(identity: Identity) -> Result<Self, Failure> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let endpoint = Endpoint::new(Arc::new(Config::default()), identity, rust_crypto(), random()?, Timestamp::ZERO);
        Ok(Self { endpoint, socket, started: Instant::now() })
    }

    fn meet(&mut self, own: NodeId, peer: NodeId, key: PublicKey, at: SocketAddr) {
        let now = self.now();
        self.endpoint.set_node(now, own);
        self.endpoint.add_static_peer(now, peer, key, Some(at), true);
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.started.elapsed()
    }

    /// What arrived on `stream`, `None` when nothing did yet, empty at its end.
    fn read(&mut self, stream: StreamId) -> Result<Option<Vec<u8>>, Failure> {
        let mut bytes = [0; 1024];
        match self.endpoint.read(self.now(), stream, &mut bytes) {
            Ok(count) => Ok(Some(bytes.iter().take(count).copied().collect())),
            Err(ReadError::Blocked) => Ok(None),
            Err(error) => Err(format!("{error:?}").into()),
        }
    }

    /// The loop: drain, act on events, wait for a datagram or the deadline.
    fn run(mut self, handler: Handler) -> Result<(), Failure> {
        let (mut datagram, mut buffer) = (vec![0; 65_535], vec![0; 65_535]);
        loop {
            let deadline = loop {
                let now = self.now();
                let mut sink = SocketSink { socket: &self.socket, buffer: &mut buffer, events: Vec::new() };
                let deadline = drive(&mut self.endpoint, now, &mut sink);
                let events = sink.events;
                if events.is_empty() {
                    break deadline;
                }
                // Handlers call the endpoint, so it has to be drained again afterwards.
                for event in &events {
                    if handler(&mut self, event)? {
                        return Ok(());
                    }
                }
            };
            let pause = deadline.map_or(IDLE, |at| at.saturating_since(self.now())).min(IDLE);
            self.wait(pause, &mut datagram)?;
            self.endpoint.handle_timeout(self.now());
        }
    }

    fn wait(&mut self, pause: Duration, datagram: &mut [u8]) -> io::Result<()> {
        // Zero would mean "for ever".
        self.socket.set_read_timeout(Some(pause.max(Duration::from_micros(1))))?;
        match self.socket.recv_from(datagram) {
            Ok((len, from)) => {
                let data = datagram.get_mut(..len).unwrap_or_default();
                let input = Input::Datagram { via: SocketId(0), from, to: None, ecn: None, data };
                self.endpoint.handle_input(self.now(), input);
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Sends at once, collects events for later.
struct SocketSink<'a> {
    socket: &'a UdpSocket,
    buffer: &'a mut [u8],
    events: Vec<Event>,
}

impl Sink for SocketSink<'_> {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        Some(TransmitBuf { bytes: self.buffer, max_segments: 1 })
    }

    fn transmit(&mut self, transmit: Transmit) {
        // What the network refuses is lost, as any datagram may be.
        let _ = self.socket.send_to(self.buffer.get(..transmit.len).unwrap_or_default(), transmit.to);
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

fn random() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}
