//! An agent of ours on a UDP socket of this machine, in this process, with one fault.

use crate::fault::{Fault, Memory, provider};
use conformance::probe::{Fixed, Known, Options};
use proto_core::crypto::Identity;
use proto_core::{Config, Endpoint, Event, Input, NodeId, Sink, SocketId, Timestamp, Transmit, TransmitBuf, drive};
use serde_json::json;
use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PEER: NodeId = NodeId(1);
const FRIEND: (NodeId, [u8; 32]) = (NodeId(2), [2; 32]);
const STRANGER: (NodeId, [u8; 32]) = (NodeId(3), [3; 32]);
/// Longer than the host sleeps at most.
const LOOK: Duration = Duration::from_millis(5);

/// A running agent. Dropped, it ends.
pub(crate) struct Host {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    pub(crate) fn start(fault: Fault) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let (address, over) = (socket.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&over);
        let thread = std::thread::spawn(move || Agent::new(fault, socket).run(&end));
        Self { address, over, thread: Some(thread) }
    }

    /// What a probe must be told to judge it.
    pub(crate) fn options(&self, only: &[&str]) -> Options {
        let peer_key = identity().public();
        Options {
            peer: self.address,
            node: Some(PEER),
            beacon: None,
            registry: None,
            fixed: Some(Fixed { peer_key, friend: FRIEND, stranger: STRANGER }),
            patience: Duration::ZERO,
            only: only.iter().map(ToString::to_string).collect(),
            known: Known::default(),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|joined| joined.is_ok()), "the agent has panicked");
    }
}

fn identity() -> Identity {
    Identity::from_seed([1; 32])
}

struct Agent {
    endpoint: Endpoint,
    fault: Fault,
    memory: Arc<Memory>,
    started: Instant,
    wire: Wire,
}

/// What leaves, some of it later than it should.
struct Wire {
    socket: UdpSocket,
    delay: Duration,
    buffer: Vec<u8>,
    waiting: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
    last_exchange: Vec<u8>,
}

impl Agent {
    fn new(fault: Fault, socket: UdpSocket) -> Self {
        let (started, now, memory) = (Instant::now(), Timestamp::ZERO, Arc::new(Memory::default()));
        let crypto = provider(fault, &memory);
        let mut endpoint = Endpoint::new(Arc::new(Config::default()), identity(), crypto, [9; 32], now);
        endpoint.set_node(now, PEER);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        endpoint.handle_input(now, Input::WallClock(wall));
        // In the trust store, as trust that the host gives itself cannot be revoked by the friend.
        let friend = Identity::from_seed(FRIEND.1).public();
        let trusted = json!({"trusted": [{"node_id": FRIEND.0.0, "public_key": friend.to_string(), "mutual": true}]});
        endpoint.restore_trust(serde_json::from_value(trusted).unwrap());
        endpoint.add_static_peer(now, FRIEND.0, friend, None, false);
        if fault == Fault::AnswersStrangers {
            endpoint.add_static_peer(now, STRANGER.0, Identity::from_seed(STRANGER.1).public(), None, true);
        }
        // A service that waits for more than it gets.
        endpoint.listen(1001).unwrap();
        let delay = if fault == Fault::LateAnswers { Duration::from_millis(120) } else { Duration::ZERO };
        let wire = Wire { socket, delay, buffer: vec![0; 65_535], waiting: VecDeque::new(), last_exchange: Vec::new() };
        Self { endpoint, fault, memory, started, wire }
    }

    fn run(mut self, over: &AtomicBool) {
        let mut buffer = [0; 65_535];
        while !over.load(Ordering::Relaxed) {
            if let Ok((length, from)) = self.wire.socket.recv_from(&mut buffer) {
                let now = self.now();
                let data = &mut buffer[..length];
                self.misbehave(from, data);
                let input = Input::Datagram { via: SocketId(0), from, to: None, ecn: None, data };
                self.endpoint.handle_input(now, input);
            }
            let now = self.now();
            let due = drive(&mut self.endpoint, now, &mut self.wire);
            if due.is_some_and(|due| due <= now) {
                self.endpoint.handle_timeout(now);
                drive(&mut self.endpoint, now, &mut self.wire);
            }
            self.wire.flush();
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.started.elapsed()
    }

    /// Faults of the agent's host; those of its cryptography come by themselves.
    fn misbehave(&mut self, from: SocketAddr, data: &mut [u8]) {
        let again = !self.memory.first_time(data);
        match self.fault {
            Fault::AnswersReplayedExchange if again && data.starts_with(b"PILA") => {
                let _ = self.wire.socket.send_to(&self.wire.last_exchange, from);
            }
            Fault::OpensReplays if again && data.starts_with(b"PILS") => self.memory.disguise(data),
            _ => {}
        }
    }
}

impl Wire {
    fn flush(&mut self) {
        while self.waiting.front().is_some_and(|(at, ..)| *at <= Instant::now()) {
            if let Some((_, to, bytes)) = self.waiting.pop_front() {
                let _ = self.socket.send_to(&bytes, to);
            }
        }
    }
}

impl Sink for Wire {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        Some(TransmitBuf { bytes: &mut self.buffer, max_segments: 1 })
    }

    fn transmit(&mut self, transmit: Transmit) {
        let bytes = self.buffer[..transmit.len].to_vec();
        if bytes.starts_with(b"PILA") {
            self.last_exchange.clone_from(&bytes);
        }
        self.waiting.push_back((Instant::now() + self.delay, transmit.to, bytes));
    }

    fn event(&mut self, _: Event) {}
}
