//! The registry: who exists, under which key and name, who trusts whom, and who may learn where somebody is.
//!
//! Decides the answer to every request, and which facts must be durable before it may leave. Refuses to know
//! connections, files and the time of day; the host passes them in.

mod accounts;
mod beacons;
mod call;
mod change;
mod directory;
mod enterprise;
mod freshness;
mod handshake;
mod keys;
mod networks;
mod policies;
mod refusal;
mod register;
mod request;
mod session;
mod settings;
mod state;
mod table;
mod trust;

pub use change::{Change, JoinRule, Letter, NetworkRecord, NodeRecord, Role};
pub use keys::SecretHash;
pub use session::Session;

use crate::limits;
use crate::rate::{Rate, RateTable, source_of};
use beacons::AnnouncedBeacons;
use call::Call;
use core::net::IpAddr;
use freshness::Window;
use proto_core::{NodeId, Timestamp};
use refusal::Refusal;
use request::Request;
use serde_json::{Map, Value};
use state::State;

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// The secret of administrative requests; `None` refuses them.
    pub admin_token: Option<String>,
    /// Names of private nodes may be resolved by every registered node, as asking for trust by name needs: to an id and an address,
    /// never to an endpoint. Registered is who has proved it on the connection, or comes from a live node's address.
    pub hostnames_are_public: bool,
    /// Accept `rotate:<node>` of versions before 1.9.1, which does not say the new key.
    pub unbound_rotation: bool,
    /// First registrations from one address; known keys are exempt.
    pub registrations: Rate,
    /// Requests from one address on connections that have not proved an identity; those that carry a signature and those
    /// that carry none have so much each, so that a noisy neighbour behind one NAT silences no heartbeat.
    pub requests_per_address: Rate,
    /// Requests of one node from one address on connections that have.
    pub requests_per_node: Rate,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            admin_token: None,
            hostnames_are_public: false,
            unbound_rotation: false,
            registrations: Rate::per_minute(10, 200),
            requests_per_address: Rate::per_second(100, 2000),
            requests_per_node: Rate::per_second(50, 1000),
        }
    }
}

/// The registry as a machine with all its state in memory.
#[derive(Debug)]
pub struct Registry {
    config: RegistryConfig,
    state: State,
    beacons: AnnouncedBeacons,
    memory: Memory,
    registrations: RateTable<IpAddr>,
    unsigned_per_address: RateTable<IpAddr>,
    signed_per_address: RateTable<IpAddr>,
    requests_per_node: RateTable<(NodeId, IpAddr)>,
}

/// Since when used envelopes are remembered.
#[derive(Clone, Copy, Debug)]
enum Memory {
    /// From the beginning: nothing was forgotten.
    Complete,
    /// The state is that of an earlier run, and no request came yet.
    Lost,
    /// The first request of this run, or since the clock was set back behind it, came in this second, Unix time.
    Since(u64),
}

/// What came of a request.
#[derive(Debug)]
pub struct Outcome {
    /// The JSON object to send back; at most one per request, and always one.
    pub reply: Vec<u8>,
    /// What must be stored before the reply is sent.
    pub changes: Vec<Change>,
    /// The reply acknowledges durable facts, so it must also wait for changes of earlier requests.
    pub acknowledges: bool,
    /// Nodes the beacon should tell to poll their inbox (0A 01).
    pub notify: Vec<NodeId>,
    /// The request's type as far as it is known, for counting.
    pub kind: &'static str,
    /// The reply is an error.
    pub refused: bool,
}

/// How much a registry holds, for an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Nodes that did not deregister.
    pub nodes: usize,
    /// Nodes heard of lately.
    pub nodes_online: usize,
    /// Pairs of nodes that trust each other.
    pub trust_links: usize,
    /// Networks besides the backbone.
    pub networks: usize,
    /// Nodes that say they execute tasks.
    pub task_executors: usize,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(config: RegistryConfig) -> Self {
        Self {
            state: State::default(),
            beacons: AnnouncedBeacons::default(),
            memory: Memory::Complete,
            registrations: RateTable::new(config.registrations, limits::MAX_RATE_SOURCES),
            unsigned_per_address: RateTable::new(config.requests_per_address, limits::MAX_RATE_SOURCES),
            signed_per_address: RateTable::new(config.requests_per_address, limits::MAX_RATE_SOURCES),
            requests_per_node: RateTable::new(config.requests_per_node, limits::MAX_RATE_SOURCES),
            config,
        }
    }

    /// A registry that knows `changes`: the last of each [`Change::key`], in any order.
    #[must_use]
    pub fn restore(config: RegistryConfig, mut changes: Vec<Change>) -> Self {
        let mut registry = Self::new(config);
        changes.sort_by_key(|change| match change {
            Change::Node(_) => 0,
            Change::Network(_) | Change::NetworkRemoved(_) => 1,
            Change::Member { .. } | Change::Trust { .. } | Change::Mail { .. } | Change::NextNetwork(_) => 2,
        });
        if !changes.is_empty() {
            registry.memory = Memory::Lost;
        }
        for change in &changes {
            registry.apply(change);
        }
        registry
    }

    /// Makes a durable change so, as the request that caused it did.
    pub fn apply(&mut self, change: &Change) {
        self.state.apply(change);
    }

    /// The types of messages it knows, in alphabetical order.
    pub fn message_types() -> impl Iterator<Item = &'static str> {
        table::kinds()
    }

    /// Answers one request of `session`. `json` is the message without its length; `wall` is the time of day in Unix
    /// seconds. Every request gets an answer, and every answer a `type`.
    pub fn handle_frame(&mut self, now: Timestamp, wall: u64, session: &mut Session, json: &[u8]) -> Outcome {
        match self.memory {
            // A clock that was ahead and is set back must not shut everybody out until it is there again.
            Memory::Since(second) if wall < second => self.memory = Memory::Since(wall),
            Memory::Lost => self.memory = Memory::Since(wall),
            Memory::Complete | Memory::Since(_) => {}
        }
        let parsed = if json.len() <= limits::MAX_REQUEST_BYTES { Request::parse(json) } else { None };
        let Some(request) = parsed else { return Outcome::refused("", Refusal::invalid("request")) };
        let Some(entry) = request.text("type").and_then(table::find) else {
            return Outcome::refused("", Refusal::invalid("request: unknown type"));
        };
        if !self.within_rate(now, session, &request) {
            return Outcome::refused(entry.kind, Refusal::rate_limited("requests"));
        }
        let mut call = Call::new(self, session, &request, now, wall, entry.acknowledges);
        let result = (entry.handler)(&mut call);
        let (changes, notify) = call.into_effects();
        let refused = result.is_err();
        let reply = match result {
            //= spec/registry.md#pp-reg-3
            //# Every request gets one reply, in order, and every reply a type.
            //= spec/registry.md#pp-reg-4
            //# A successful reply has the request's type and `_ok`; a refused one has type `error` and a text in `error`.
            Ok(fields) => success(entry.kind, fields),
            Err(refusal) => error(&refusal),
        };
        Outcome { reply, changes, acknowledges: entry.acknowledges, notify, kind: entry.kind, refused }
    }

    /// The stamps envelopes may have now.
    fn stamp_window(&self, wall: u64) -> Window {
        let awoke = match self.memory {
            Memory::Complete | Memory::Lost => None,
            Memory::Since(second) => Some(second),
        };
        Window::at(wall, awoke)
    }

    fn within_rate(&mut self, now: Timestamp, session: &Session, request: &Request) -> bool {
        let source = source_of(session.source());
        match session.identity() {
            //= spec/rate-limits.md#pp-rate-11
            //# Requests at the registry are limited by address and by node.
            Some(node) => self.requests_per_node.take((node, source), now, 1),
            None if request.has("signature") => self.signed_per_address.take(source, now, 1),
            None => self.unsigned_per_address.take(source, now, 1),
        }
    }

    /// Counts what is held. Walks all nodes.
    #[must_use]
    pub fn census(&self, now: Timestamp) -> Census {
        let mut census =
            Census { trust_links: self.state.pair_count(), networks: self.state.network_count(), ..Census::default() };
        for node in self.state.nodes() {
            census.nodes += 1;
            census.nodes_online += usize::from(node.presence(now).is_some());
            census.task_executors += usize::from(node.record.task_exec);
        }
        census
    }
}

impl Outcome {
    fn refused(kind: &'static str, refusal: Refusal) -> Self {
        let reply = error(&refusal);
        Self { reply, changes: Vec::new(), acknowledges: false, notify: Vec::new(), kind, refused: true }
    }
}

/// The reply to a connection that opens with the preamble of the reference's binary protocol: that protocol's error
/// frame. The connection is to be closed behind it (PP-REG-31).
#[must_use]
pub fn binary_protocol_refusal() -> Vec<u8> {
    const ERROR: u8 = 0xFF;
    let text = b"binary protocol not served, use JSON frames";
    let text_len = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
    let frame_len = u32::try_from(1 + text_len.len() + text.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&frame_len[..], &[ERROR], &text_len[..], text].concat()
}

/// The first bytes of a connection that speaks the reference's binary protocol.
pub const BINARY_PREAMBLE: [u8; 4] = *b"PILT";

fn success(kind: &str, mut fields: Map<String, Value>) -> Vec<u8> {
    fields.insert("type".to_owned(), format!("{kind}_ok").into());
    Value::Object(fields).to_string().into_bytes()
}

fn error(refusal: &Refusal) -> Vec<u8> {
    let mut reply = serde_json::json!({"type": "error", "error": refusal.text});
    if let Some((fields, time)) = reply.as_object_mut().zip(refusal.time) {
        fields.insert("time".to_owned(), time.into());
    }
    reply.to_string().into_bytes()
}
