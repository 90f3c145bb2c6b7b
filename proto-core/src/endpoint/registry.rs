//! The registry session: what is asked there on whose behalf, and who hears the answer.

use super::inner::Endpoint;
use super::recording::Command;
use super::{Config, DialError, Event, Outcome};
use crate::crypto::Identity;
use crate::ids::{NetworkId, NodeId, RequestId};
use crate::nat::{DiscoveryAction, DiscoveryEvent};
use crate::registry::{
    Client, ClientConfig, ClientEvent, Lookup, Output, Registered, Request, RequestError, Resolved, Ticket,
};
use crate::rng::Rng;
use crate::time::Timestamp;
use crate::trust::Told;
use crate::wire::candidate::Reach;
use crate::wire::{Address, BeaconMessage};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use serde_json::Value;
use std::sync::Arc;

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The host's own request.
    Host(RequestId),
    /// Identity key and facts of a peer.
    PeerKey(NodeId),
    /// Where a peer is.
    PeerEndpoint(NodeId),
    /// A request for trust was relayed to a peer.
    TrustRelay(NodeId),
    /// The registry was told what became of trust.
    TrustTold(NodeId, Told),
    /// This node's own record: its networks.
    OwnRecord,
}

pub(super) fn client(config: &Config, identity: &Arc<Identity>, rng: Rng) -> Client {
    let settings = ClientConfig {
        hostname: config.hostname.clone(),
        public: config.public,
        owner: config.owner.clone(),
        version: config.version.clone(),
        relay_only: config.relay_only,
        heartbeat: config.heartbeat,
    };
    Client::new(settings, Arc::clone(identity), rng)
}

impl Endpoint {
    /// Sends a signed request (PP-REG-16); the answer is `Completed` with `Registry`, `RegistryError`,
    /// `RegistryUnavailable` or `Timeout`.
    pub fn registry_request(&mut self, now: Timestamp, request: Request) -> RequestId {
        self.record(now, || Command::Registry(request.clone()).into());
        self.advance(now);
        let id = self.request_id();
        if let Request::SetVisibility(public) = &request {
            self.public = *public;
        }
        if !self.ask_registry(request, Awaited::Host(id)) {
            self.event(Event::Completed(id, Outcome::RegistryUnavailable));
        }
        self.settle();
        id
    }

    /// `false` when there is no registry, or too many requests wait for it.
    pub(super) fn ask_registry(&mut self, request: Request, awaited: Awaited) -> bool {
        if !self.config.registry {
            return false;
        }
        match self.registry.request(self.now, request) {
            Ok(ticket) => self.awaited.insert(ticket, awaited).is_none(),
            Err(_) => {
                self.drops.count("registry_queue_full");
                false
            }
        }
    }

    /// As [`Self::ask_registry`], when the answer changes nothing.
    pub(super) fn tell_registry(&mut self, request: Request) {
        if self.config.registry && self.registry.request(self.now, request).is_err() {
            self.drops.count("registry_queue_full");
        }
    }

    pub(super) fn settle_registry(&mut self) -> bool {
        let mut busy = false;
        loop {
            if let Some(output) = self.registry.poll_output() {
                self.event(match output {
                    Output::Connect => Event::RegistryConnect,
                    Output::Send(bytes) => Event::RegistrySend(bytes),
                    Output::Disconnect => Event::RegistryDisconnect,
                });
            } else if let Some(event) = self.registry.poll_event() {
                self.registry_event(event);
            } else {
                return busy;
            }
            busy = true;
        }
    }

    fn registry_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Registered(registered) => self.registered(registered),
            ClientEvent::RegistrationFailed(reason) => self.event(Event::RegistrationFailed(reason)),
            ClientEvent::Reply(ticket, answer) => self.registry_reply(ticket, answer),
            ClientEvent::Handshakes(handshakes) => self.handle_relayed_handshakes(handshakes),
            ClientEvent::Disconnected => {
                self.drops.count("registry_disconnected");
                self.discovery.doubt_primary();
            }
        }
    }

    fn registered(&mut self, registered: Registered) {
        let node = registered.node;
        if self.node.is_some_and(|old| old != node) {
            // Another number is another node to everyone: nothing of the old one goes on.
            for id in self.streams.iter().map(|(id, _)| id).collect::<Vec<_>>() {
                self.reset_stream(id);
                // The old number's keys go too, so nothing can be said to the peer any more.
                self.drop_stream(id);
            }
            self.strangers.clear();
            for peer in self.peers.keys().copied().collect::<Vec<_>>() {
                self.forget_peer(peer);
            }
        }
        self.take_node(node);
        self.hostname.clone_from(&registered.hostname);
        self.ask_own_record();
        self.event(Event::Registered {
            address: Address::backbone(node),
            hostname: registered.hostname,
            hostname_error: registered.hostname_error,
        });
    }

    fn ask_own_record(&mut self) {
        let Some(node) = self.node else { return };
        self.own_record_missing = !self.ask_registry(Request::Lookup(node), Awaited::OwnRecord);
    }

    /// With the heartbeats: the registry refused, or too many requests waited.
    pub(super) fn ask_own_record_again(&mut self) {
        if self.own_record_missing && self.registry.is_registered() {
            self.ask_own_record();
        }
    }

    /// This node's number is known: everything that signs or speaks under it may begin.
    pub(super) fn take_node(&mut self, node: NodeId) {
        self.node = Some(node);
        self.trust.set_own(node);
        self.discovery.set_node(self.now, node);
    }

    fn registry_reply(&mut self, ticket: Ticket, answer: Result<Value, RequestError>) {
        match self.awaited.remove(&ticket) {
            Some(Awaited::Host(id)) => self.host_reply(id, answer),
            Some(Awaited::PeerKey(node)) => {
                let unknown = matches!(&answer, Err(RequestError::Refused(_)));
                let record = answer.ok().and_then(|reply| Lookup::parse(&reply)).filter(|record| record.node == node);
                if unknown {
                    self.fail_dials(node, DialError::UnknownOrUntrusted);
                } else if record.is_none() && self.known_key(node).is_none() {
                    self.fail_dials(node, DialError::RegistryUnavailable);
                }
                self.looked_up(node, record);
            }
            Some(Awaited::PeerEndpoint(node)) => self.resolve_answered(node, answer),
            Some(Awaited::OwnRecord) => {
                let record = answer.ok().and_then(|reply| Lookup::parse(&reply));
                self.own_record_missing = record.is_none();
                if let Some(record) = record {
                    self.networks = record.networks;
                    self.networks.retain(|network| *network != NetworkId::BACKBONE);
                }
            }
            Some(Awaited::TrustRelay(node)) if is_away(&answer) => self.trust.relay_failed(self.now, node),
            Some(Awaited::TrustTold(node, told)) if is_away(&answer) => self.trust.telling_failed(self.now, node, told),
            Some(Awaited::TrustRelay(_) | Awaited::TrustTold(..)) | None => {}
        }
    }

    fn host_reply(&mut self, id: RequestId, answer: Result<Value, RequestError>) {
        let outcome = match answer {
            Ok(reply) => {
                self.learn_from(&reply);
                Outcome::Registry(reply)
            }
            Err(RequestError::Refused(text)) => Outcome::RegistryError(text),
            Err(RequestError::Unavailable) => Outcome::RegistryUnavailable,
            Err(RequestError::Timeout) => Outcome::Timeout,
        };
        self.event(Event::Completed(id, outcome));
    }

    /// The host's requests change this node's own record too.
    fn learn_from(&mut self, reply: &Value) {
        let text = |name: &str| reply.get(name).and_then(Value::as_str);
        match text("type") {
            Some("set_hostname_ok") => {
                self.hostname = text("hostname").filter(|name| !name.is_empty()).map(str::to_owned);
            }
            Some("join_network_ok" | "leave_network_ok") => {
                self.ask_own_record();
            }
            Some(_) | None => {}
        }
    }

    fn resolve_answered(&mut self, node: NodeId, answer: Result<Value, RequestError>) {
        match answer.map(|reply| Resolved::parse(&reply).filter(|resolved| resolved.node == node)) {
            Ok(Some(resolved)) => self.peer_resolved(node, &resolved),
            Err(RequestError::Refused(_)) => {
                self.with_peer(node, |peer| peer.resolving = false);
                self.fail_dials(node, DialError::UnknownOrUntrusted);
            }
            Ok(None) | Err(RequestError::Unavailable | RequestError::Timeout) => {
                // What is known from earlier, and the relay, may still do.
                self.with_peer(node, |peer| peer.resolving = false);
                self.start_exchange_unresolved(node);
            }
        }
    }

    pub(super) fn settle_discovery(&mut self) -> bool {
        let mut busy = false;
        loop {
            if let Some(DiscoveryAction::SendDiscover { beacon, node }) = self.discovery.poll_action() {
                self.send_beacon(beacon, &BeaconMessage::Discover { node, key: None });
            } else if let Some(event) = self.discovery.poll_event() {
                self.discovery_event(event);
            } else {
                return busy;
            }
            busy = true;
        }
    }

    fn discovery_event(&mut self, event: DiscoveryEvent) {
        match event {
            DiscoveryEvent::Discovered(observed) => {
                self.discovered = true;
                self.event(Event::Discovered(observed.map(|endpoint| endpoint.0)));
                self.offer_mapping();
                self.tell_endpoint();
            }
            //= spec/nat.md#pp-nat-6
            //# A changed own endpoint is registered again, and every direct path is asked for proof.
            DiscoveryEvent::EndpointChanged { .. } => {
                self.portmap.check(self.now);
                self.offer_mapping();
                self.tell_endpoint();
                self.own_endpoint_changed();
            }
        }
    }

    /// Registers under the best endpoint known: configured, observed, or a local address.
    pub(super) fn tell_endpoint(&mut self) {
        let ready = self.discovered || self.config.beacons.is_empty();
        if !self.config.registry || !ready {
            return;
        }
        let observed = self.discovery.reflexive().map(|endpoint| endpoint.0);
        let local = self.local_addresses.first().copied();
        let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let endpoint =
            self.config.endpoint.or_else(|| self.mapped_endpoint()).or(observed).or(local).unwrap_or(unknown);
        // A public IPv4 address is what the beacon sees; the registry's list is for networks it cannot see into.
        let hidden = |address: &&SocketAddr| address.is_ipv6() || Reach::of(**address) != Reach::Global;
        let lan: Vec<SocketAddr> = self.local_addresses.iter().filter(hidden).copied().collect();
        self.registry.set_endpoint(self.now, endpoint, &lan);
    }

    /// Peers must hear from the new place; paths are proven again (PP-NAT-6).
    pub(super) fn own_endpoint_changed(&mut self) {
        let now = self.now;
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            self.with_peer(node, |peer| peer.path.own_endpoint_changed(now));
        }
    }

    pub(super) fn local_addresses_changed(&mut self, addresses: &[SocketAddr]) {
        let bounded = addresses.iter().take(crate::limits::MAX_LAN_ADDRESSES);
        self.local_addresses = bounded.copied().collect();
        self.tell_endpoint();
        self.own_addresses_changed();
    }

    pub(super) fn send_beacon(&mut self, beacon: SocketAddr, message: &BeaconMessage<'_>) {
        if let Ok(bytes) = message.to_vec() {
            self.send_raw(crate::ids::SocketId(0), beacon, bytes);
        }
    }
}

/// The registry did not say anything.
const fn is_away(answer: &Result<Value, RequestError>) -> bool {
    matches!(answer, Err(RequestError::Unavailable | RequestError::Timeout))
}
