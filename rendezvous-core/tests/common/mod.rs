//! A registry under virtual time, and agents that sign.

#![allow(dead_code, reason = "each test program uses its own part")]

use data_encoding::BASE64;
use proto_core::Timestamp;
use proto_core::crypto::Identity;
use proto_core::registry::codec::encode;
use proto_core::registry::{Client, ClientConfig, Output};
use proto_core::rng::Rng;
use rendezvous_core::{Change, Registry, RegistryConfig, Session};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const WALL: u64 = 1_795_000_000;
pub(crate) const ADMIN: &str = "root";

/// Where agents come from unless a test says otherwise.
pub(crate) fn home() -> IpAddr {
    IpAddr::from([198, 51, 100, 7])
}

/// A registry, its clock, and everything it asked to store.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) now: Timestamp,
    pub(crate) stored: BTreeMap<String, Vec<u8>>,
    pub(crate) notified: Vec<u32>,
    sessions: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(RegistryConfig { admin_token: Some(ADMIN.to_owned()), ..RegistryConfig::default() })
    }

    pub(crate) fn with(config: RegistryConfig) -> Self {
        let registry = Registry::new(config);
        Self { registry, now: Timestamp::ZERO, stored: BTreeMap::new(), notified: Vec::new(), sessions: 0 }
    }

    /// The registry as it is after a crash: nothing but what was stored.
    pub(crate) fn restart(&mut self) {
        let facts = self.stored.values().map(|value| Change::from_value(value).unwrap()).collect();
        let config = RegistryConfig { admin_token: Some(ADMIN.to_owned()), ..RegistryConfig::default() };
        self.registry = Registry::restore(config, facts);
        self.now = Timestamp::ZERO;
    }

    pub(crate) fn session(&mut self, source: IpAddr) -> Session {
        self.plain_session(source).with_encryption()
    }

    /// A connection on which others can read along.
    pub(crate) fn plain_session(&mut self, source: IpAddr) -> Session {
        self.sessions += 1;
        Session::new(self.sessions, source).with_beacon("192.0.2.1:9001".parse().ok())
    }

    pub(crate) fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    pub(crate) fn ask(&mut self, session: &mut Session, request: &Value) -> Value {
        self.ask_bytes(session, request.to_string().as_bytes())
    }

    pub(crate) fn ask_bytes(&mut self, session: &mut Session, request: &[u8]) -> Value {
        let wall = WALL + self.now.as_micros() / 1_000_000;
        let outcome = self.registry.handle_frame(self.now, wall, session, request);
        for change in &outcome.changes {
            assert!(outcome.acknowledges, "a change behind a reply that does not wait: {change:?}");
            match change.value() {
                Some(value) => drop(self.stored.insert(change.key(), value)),
                None => drop(self.stored.remove(&change.key())),
            }
        }
        self.notified.extend(outcome.notify.iter().map(|node| node.0));
        let reply: Value = serde_json::from_slice(&outcome.reply).unwrap();
        assert!(reply["type"].as_str().is_some_and(|kind| !kind.is_empty()), "every reply has a type");
        assert_eq!(reply["type"] == "error", outcome.refused);
        reply
    }

    /// Asks on a connection of its own from [`home`].
    pub(crate) fn once(&mut self, request: &Value) -> Value {
        let mut session = self.session(home());
        self.ask(&mut session, request)
    }

    /// Registers agent number `seed` signed from [`home`].
    pub(crate) fn join(&mut self, seed: u8) -> Agent {
        let mut agent = Agent::new(seed);
        let reply = self.once(&agent.register("198.51.100.7:4000"));
        agent.id = u32::try_from(reply["node_id"].as_u64().unwrap_or_else(|| panic!("{reply}"))).unwrap();
        agent
    }

    /// Two agents that trust each other.
    pub(crate) fn trust(&mut self, a: &Agent, b: &Agent) {
        for (from, to) in [(a, b), (b, a)] {
            let request = from.signed(json!({"type": "report_trust", "node_id": from.id, "peer_id": to.id}));
            assert_eq!(self.once(&request)["type"], "report_trust_ok");
        }
    }

    pub(crate) fn trusted(&mut self, a: &Agent, b: &Agent) -> bool {
        self.once(&json!({"type": "check_trust", "node_id": a.id, "peer_id": b.id}))["trusted"] == true
    }
}

/// A node and its key.
pub(crate) struct Agent {
    pub(crate) id: u32,
    pub(crate) key: Identity,
}

impl Agent {
    pub(crate) fn new(seed: u8) -> Self {
        Self { id: 0, key: Identity::from_seed([seed; 32]) }
    }

    pub(crate) fn public_key(&self) -> String {
        self.key.public().to_string()
    }

    pub(crate) fn unsigned(&self, address: &str) -> Value {
        json!({"type": "register", "listen_addr": address, "public_key": self.public_key()})
    }

    pub(crate) fn register(&self, address: &str) -> Value {
        let mut request = self.unsigned(address);
        request["signature"] = self.sign(&format!("register:{address}:{}", self.public_key())).into();
        request
    }

    pub(crate) fn sign(&self, text: &str) -> String {
        BASE64.encode(&self.key.sign(text.as_bytes()))
    }

    /// `request` with the signature its type asks for.
    pub(crate) fn signed(&self, mut request: Value) -> Value {
        let number = |field: &str| request[field].as_u64().unwrap_or(0);
        let (node, peer, network) = (number("node_id"), number("peer_id"), number("network_id"));
        let text = match request["type"].as_str().unwrap() {
            "resolve" => format!("resolve:{}:{node}", number("requester_id")),
            "request_handshake" => format!("handshake:{}:{}", number("from_node_id"), number("to_node_id")),
            "respond_handshake" => format!("respond:{node}:{peer}"),
            kind @ ("report_trust" | "revoke_trust") => format!("{kind}:{node}:{peer}"),
            "rotate_key" => format!("rotate:{node}:{}", request["new_public_key"].as_str().unwrap()),
            "punch" => format!("punch:{}:{}", number("node_a"), number("node_b")),
            kind @ "authorize_task_submit" => {
                format!(
                    "{kind}:{}:{}:{}",
                    number("caller_node_id"),
                    number("submitter_node_id"),
                    number("receiver_node_id")
                )
            }
            kind @ ("join_network" | "leave_network" | "respond_invite") => format!("{kind}:{node}:{network}"),
            kind => format!("{kind}:{node}"),
        };
        request["signature"] = self.sign(&text).into();
        request
    }

    /// A signed request that says nothing but who asks.
    pub(crate) fn about_me(&self, kind: &str) -> Value {
        self.signed(json!({"type": kind, "node_id": self.id}))
    }

    pub(crate) fn set(&self, kind: &str, field: &str, value: impl Into<Value>) -> Value {
        let mut request = self.about_me(kind);
        request[field] = value.into();
        request
    }

    pub(crate) fn resolve(&self, target: &Agent) -> Value {
        self.signed(json!({"type": "resolve", "requester_id": self.id, "node_id": target.id}))
    }
}

/// Our own client, with the key of [`Agent::new`] of the same number.
pub(crate) fn client(seed: u8) -> Client {
    let config = ClientConfig {
        hostname: None,
        public: false,
        owner: None,
        version: "pilot-rs/test".to_owned(),
        relay_only: false,
        heartbeat: Duration::from_secs(60),
    };
    Client::new(config, Arc::new(Identity::from_seed([seed; 32])), Rng::new([seed; 32]))
}

impl World {
    /// Lets `client` talk to the registry for `span`; each connection it opens is `session`.
    pub(crate) fn converse(&mut self, client: &mut Client, session: &mut Session, span: Duration) {
        let end = self.now + span;
        loop {
            while let Some(output) = client.poll_output() {
                match output {
                    Output::Connect => client.connected(self.now),
                    Output::Send(frame) => {
                        let reply = self.ask_bytes(session, &frame[4..]);
                        client.handle_data(self.now, &encode(&reply));
                    }
                    Output::Disconnect => panic!("the client gave up"),
                }
            }
            while client.poll_event().is_some() {}
            match client.poll_timeout().filter(|at| *at <= end) {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            client.handle_timeout(self.now);
        }
        self.now = end;
    }
}
