//! Decides what a registered agent says to its registry and in which order: one request at a time on one connection,
//! registration first, then what the caller asks, then housekeeping (PP-REG-12 to PP-REG-15).
//! Refuses to know what replies to the caller's own requests mean, who is trusted, and how the connection is made.

mod clock;
mod link;
mod queue;
mod replies;
mod schedule;
#[cfg(test)]
mod tests;

use super::codec::{FrameDecoder, FrameError, MAX_REPLY, encode};
use super::reply::{Handshakes, Registered};
use super::request::Request;
use crate::crypto::Identity;
use crate::ids::NodeId;
use crate::limits::{MAX_LAN_ADDRESSES, MAX_REPORTED_TRUST};
use crate::rng::Rng;
use crate::time::Timestamp;
use bytes::Bytes;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;

use clock::StampClock;
use link::{Due, Link};
use queue::{Purpose, Queue, Task};
use schedule::Schedule;

pub use queue::{QueueFull, Ticket};

/// Heartbeats refused in a row before the node registers again (PP-REG-15).
//= spec/registry.md#pp-reg-15
//# A client registers again after three refused heartbeats in a row.
const HEARTBEAT_FAILURES: u32 = 3;
/// First wait after a refused registration; doubles up to the last.
const REGISTRATION_RETRY: Duration = Duration::from_secs(1);
const REGISTRATION_RETRY_MAX: Duration = Duration::from_secs(30);

/// Refused reports of trust that go again with each heartbeat: far fewer than a registry takes of one node in that time.
const REPORTS_AGAIN: usize = 256;

/// What a node tells about itself.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Hostname to claim.
    pub hostname: Option<String>,
    /// Everyone may reach this node.
    pub public: bool,
    /// Owner's e-mail.
    pub owner: Option<String>,
    /// Program name and version.
    pub version: String,
    /// The endpoint shall not be told to anyone.
    pub relay_only: bool,
    /// Time between heartbeats, at least 1 s; sent up to a tenth earlier.
    pub heartbeat: Duration,
}

/// What the host must do with the connection. Bytes are sent in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection, in place of any that is open or being opened.
    Connect,
    /// Write these bytes.
    Send(Bytes),
    /// Close the connection or abandon the attempt. No answer is expected.
    Disconnect,
}

/// What the client found out.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// Registered, for the first time or again.
    Registered(Registered),
    /// The registry refused, in its words; it is tried again.
    RegistrationFailed(String),
    /// The answer to [`Client::request`].
    Reply(Ticket, Result<Value, RequestError>),
    /// Something waited in this node's inbox.
    Handshakes(Handshakes),
    /// An open connection was lost; it is opened again.
    Disconnected,
}

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The registry refused, in its words.
    Refused(String),
    /// There was no connection, or no registration, for as long as a request may wait.
    Unavailable,
    /// The registry did not answer in time.
    Timeout,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) => f.write_str(text),
            Self::Unavailable => f.write_str("no connection to the registry"),
            Self::Timeout => f.write_str("the registry did not answer in time"),
        }
    }
}

impl core::error::Error for RequestError {}

/// The registry session of one node.
///
/// After each call the owner takes all outputs, then all events, then the deadline.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    identity: Arc<Identity>,
    rng: Rng,
    endpoint: Option<(SocketAddr, Vec<SocketAddr>)>,
    trusted: Vec<NodeId>,
    /// Peers whose report was refused, at most [`MAX_REPORTED_TRUST`].
    unreported: VecDeque<NodeId>,
    link: Link,
    decoder: FrameDecoder,
    queue: Queue,
    schedule: Schedule,
    clock: StampClock,
    registration: RegistrationState,
    node: Option<NodeId>,
    registration_failures: u32,
    heartbeat_failures: u32,
    registered_at: Option<Timestamp>,
    outputs: VecDeque<Output>,
    events: VecDeque<ClientEvent>,
}

/// Where registration stands on the present connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RegistrationState {
    /// To be sent next.
    Wanted,
    /// Sent.
    Asked,
    /// Refused; tried again at this time.
    Refused(Timestamp),
    Registered,
}

impl Client {
    /// A client that does nothing until [`Client::set_endpoint`]. `identity` signs its requests; `rng` makes its jitter.
    #[must_use]
    pub fn new(config: ClientConfig, identity: Arc<Identity>, rng: Rng) -> Self {
        let schedule = Schedule::new(config.heartbeat);
        Self {
            config,
            identity,
            rng,
            endpoint: None,
            trusted: Vec::new(),
            unreported: VecDeque::new(),
            link: Link::new(),
            decoder: FrameDecoder::new(MAX_REPLY),
            queue: Queue::default(),
            schedule,
            clock: StampClock::default(),
            registration: RegistrationState::Wanted,
            node: None,
            registration_failures: 0,
            heartbeat_failures: 0,
            registered_at: None,
            outputs: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The endpoint to register. The first call opens the connection; another endpoint than before registers again.
    pub fn set_endpoint(&mut self, now: Timestamp, listen_addr: SocketAddr, lan: &[SocketAddr]) {
        let endpoint = (listen_addr, lan.iter().copied().take(MAX_LAN_ADDRESSES).collect());
        if self.endpoint.as_ref() != Some(&endpoint) {
            self.endpoint = Some(endpoint);
            self.register_again();
        }
        self.link.need(now);
        self.advance(now);
    }

    /// The peers reported to the registry after each registration, in case it lost its state.
    pub fn set_trusted(&mut self, trusted: &[NodeId]) {
        self.trusted = trusted.iter().copied().take(MAX_REPORTED_TRUST).collect();
    }

    /// The key that signs from now on; to be told after a successful [`Request::RotateKey`].
    pub fn set_identity(&mut self, identity: Arc<Identity>) {
        self.identity = identity;
    }

    /// The time of day, Unix seconds; to be told again from time to time. From then on signed requests carry an
    /// [`super::envelope`], which old registries ignore.
    pub fn set_wall_clock(&mut self, now: Timestamp, seconds: u64) {
        self.clock.tell(now, seconds);
    }

    /// The connection asked for is open.
    pub fn connected(&mut self, now: Timestamp) {
        if self.link.is_connected() {
            self.drop_connection();
        }
        self.link.connected();
        self.decoder = FrameDecoder::new(MAX_REPLY);
        self.register_again();
        self.advance(now);
    }

    /// Bytes from the registry, cut anywhere.
    pub fn handle_data(&mut self, now: Timestamp, bytes: &[u8]) {
        if !self.link.is_connected() {
            return;
        }
        self.decoder.push(bytes);
        while self.link.is_connected() {
            match self.decoder.next_frame() {
                Ok(Some(reply)) => self.handle_reply(now, reply),
                Ok(None) => break,
                Err(FrameError::TooLarge(_) | FrameError::NotAnObject) => self.give_up(now),
            }
        }
        self.advance(now);
    }

    /// The connection, or the attempt to open it, is over.
    pub fn closed(&mut self, now: Timestamp) {
        if self.link.is_connected() {
            self.drop_connection();
        }
        self.link.lost(now, &mut self.rng);
        self.advance(now);
    }

    /// The beacon, or a user who looks at pending requests, says that the inbox has something: it is collected at once,
    /// when this happens too often after up to 2 s, or not at all.
    pub fn notify(&mut self, now: Timestamp) {
        self.schedule.notify(now);
        self.advance(now);
    }

    /// Asks the registry. The answer is a [`ClientEvent::Reply`] within twice [`crate::limits::REGISTRY_REPLY_TIMEOUT`]: once to wait
    /// for a connection and its turn, once for the reply.
    ///
    /// # Errors
    ///
    /// [`QueueFull`] when [`crate::limits::MAX_REGISTRY_REQUESTS`] wait already.
    pub fn request(&mut self, now: Timestamp, request: Request) -> Result<Ticket, QueueFull> {
        let ticket = self.queue.push(now, request)?;
        self.advance(now);
        Ok(ticket)
    }

    /// The next thing to do with the connection.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing found out.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// When [`Client::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let retry = match self.registration {
            RegistrationState::Refused(at) if self.link.is_connected() => Some(at),
            RegistrationState::Refused(_)
            | RegistrationState::Wanted
            | RegistrationState::Asked
            | RegistrationState::Registered => None,
        };
        [self.link.deadline(), self.queue.deadline(), self.schedule.deadline(), retry].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.queue.reply_is_overdue(now) {
            if let Some(task) = self.queue.finish() {
                self.fail(&task, RequestError::Timeout);
            }
            self.give_up(now);
        }
        while let Some(task) = self.queue.take_expired(now) {
            self.fail(&task, RequestError::Unavailable);
        }
        self.advance(now);
    }

    /// A connection is open.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// A connection is open and this node is registered on it.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.link.is_connected() && self.registration == RegistrationState::Registered
    }

    /// This node's number, as the last registration gave it.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// Starts whatever can be started now.
    fn advance(&mut self, now: Timestamp) {
        match self.link.handle_timeout(now, &mut self.rng) {
            Some(Due::Connect) => self.outputs.push_back(Output::Connect),
            Some(Due::Abandon) => self.outputs.push_back(Output::Disconnect),
            None => {}
        }
        let due = self.schedule.take_due(now, &mut self.rng);
        if due.heartbeat {
            self.queue.push_own(Purpose::Heartbeat, Request::Heartbeat);
            self.report_again();
        }
        if due.poll {
            self.queue.push_own(Purpose::Poll, Request::PollHandshakes);
        }
        if self.link.is_connected() && !self.queue.is_busy() {
            self.send_next(now);
        }
    }

    fn send_next(&mut self, now: Timestamp) {
        let task: Option<Task> = match self.registration {
            RegistrationState::Registered => self.queue.pop(),
            RegistrationState::Refused(at) if at > now => None,
            RegistrationState::Wanted | RegistrationState::Refused(_) => self.registration(),
            RegistrationState::Asked => None,
        };
        let Some(task) = task else { return };
        if task.purpose == Purpose::Register {
            self.registration = RegistrationState::Asked;
        }
        if matches!(task.request, Request::RequestHandshake { .. }) {
            self.schedule.expect_answer(now);
        }
        let stamp = self.clock.stamp(now, &mut self.rng);
        let message = task.request.to_json(self.node.unwrap_or(NodeId::UNASSIGNED), &self.identity, stamp);
        self.outputs.push_back(Output::Send(encode(&message)));
        self.queue.sent(now, task);
    }
}
