//! Trust: commands in, messages out, and what its changes do to streams.

use super::inner::Endpoint;
use super::listen::TRUST_PORT;
use super::recording::Command as Recorded;
use super::registry::Awaited;
use super::streams::Owner;
use super::{Event, Outcome, TrustCommand};
use crate::ids::{NodeId, RequestId};
use crate::path::Route;
use crate::registry::{Handshakes, Request};
use crate::stream::CloseReason;
use crate::time::Timestamp;
use crate::trust::{Command, Snapshot, Source, Told, TrustAction};
use crate::wire::{Address, SocketAddress, TrustKind};

impl Endpoint {
    /// Carries out a trust command; the answer is `Completed` with `Trust` or `Failed`.
    pub fn trust(&mut self, now: Timestamp, command: TrustCommand) -> RequestId {
        self.record(now, || Recorded::Trust(command.clone()).into());
        let now = self.advance(now);
        let id = self.request_id();
        let command = match command {
            TrustCommand::Request { node, justification } => {
                let admits_us =
                    self.shares_network(node) || self.peers.get(&node).is_some_and(|peer| peer.facts.public);
                if !admits_us {
                    self.look_up(node);
                }
                Command::Request { node, justification, admits_us }
            }
            TrustCommand::Approve(node) => Command::Approve(node),
            TrustCommand::Reject { node, reason } => Command::Reject { node, reason },
            TrustCommand::Revoke(node) => Command::Revoke(node),
        };
        let outcome = match self.trust.command(now, self.wall_now(), command) {
            Ok(done) => Outcome::Trust(done),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        self.event(Event::Completed(id, outcome));
        self.settle();
        id
    }

    /// The whole trust store, to be persisted on [`Event::TrustSnapshotChanged`].
    #[must_use]
    pub fn trust_snapshot(&self) -> Snapshot {
        self.trust.snapshot()
    }

    /// Loads what an earlier run saved. To be called before the first input.
    pub fn restore_trust(&mut self, snapshot: Snapshot) {
        self.record(self.now, || Recorded::RestoreTrust(snapshot.clone()).into());
        self.trust.restore(snapshot);
        self.know_trusted();
        self.settle();
    }

    pub(super) fn settle_trust(&mut self) -> bool {
        let mut busy = false;
        while let Some(action) = self.trust.poll_action() {
            busy = true;
            self.trust_action(action);
        }
        busy
    }

    fn trust_action(&mut self, action: TrustAction) {
        match action {
            TrustAction::SendDirect { node, kind, message } => {
                let target = SocketAddress::new(Address::backbone(node), TRUST_PORT);
                if self.dial_as(target, Owner::TrustSender { kind, message }).is_err() {
                    self.trust_delivery_failed(node, kind);
                }
            }
            TrustAction::ReportTrust(node) => self.tell_registry(Request::ReportTrust(node)),
            TrustAction::RevokeTrust(node) => self.tell_until_told(Request::RevokeTrust(node), node, Told::Revoked),
            TrustAction::RequestHandshake { node, justification } => {
                let request = Request::RequestHandshake { to: node, justification };
                if !self.ask_registry(request, Awaited::TrustRelay(node)) {
                    self.trust.relay_failed(self.now, node);
                }
            }
            TrustAction::RespondHandshake { node, accept } => {
                self.tell_until_told(Request::RespondHandshake { peer: node, accept }, node, Told::Answered(accept));
            }
            TrustAction::CloseStreams(node) => self.close_streams(node),
            TrustAction::Requested { node, justification } => {
                self.look_up(node);
                self.event(Event::TrustRequested { node, justification });
            }
            TrustAction::Changed { node, trusted } => {
                self.know_trusted();
                if trusted {
                    self.with_peer(node, |peer| peer.banished = false);
                    self.identity_told(node);
                    self.look_up(node);
                }
                self.event(Event::TrustChanged { node, trusted });
            }
            TrustAction::Rejected { node, reason } => self.event(Event::TrustRejected { node, reason }),
            //= spec/trust.md#pp-trust-18
            //# A change of the trust store makes the endpoint ask its host to keep it.
            TrustAction::SnapshotChanged => self.event(Event::TrustSnapshotChanged),
        }
    }

    /// Whom the registry is told of with the next registration.
    fn know_trusted(&mut self) {
        let trusted: Vec<NodeId> = self.trust.trusted().map(|(node, _)| node).collect();
        self.registry.set_trusted(&trusted);
    }

    fn tell_until_told(&mut self, request: Request, node: NodeId, told: Told) {
        if self.config.registry && !self.ask_registry(request, Awaited::TrustTold(node, told)) {
            self.trust.telling_failed(self.now, node, told);
        }
    }

    /// Withdrawn trust ends every stream at once; the message that says so is allowed out.
    pub(super) fn close_streams(&mut self, node: NodeId) {
        self.with_peer(node, |peer| peer.banished = true);
        for id in self.streams.of_peer(node).to_vec() {
            if let Some(stream) = self.streams.get_mut(id)
                && !matches!(stream.owner, Owner::TrustSender { .. } | Owner::TrustReceiver { .. })
            {
                stream.connection.abort(CloseReason::Revoked);
                self.touch_stream(id);
            }
        }
    }

    pub(super) fn handle_trust_message(&mut self, node: NodeId, message: &[u8]) {
        let Some(key) = self.peers.get(&node).filter(|peer| peer.tunnel.is_authenticated()).and_then(|peer| peer.key)
        else {
            return self.drops.count("trust_message_without_identity");
        };
        let shared = self.shares_network(node);
        let wall = self.wall_now();
        let source = match self.peers.get(&node).and_then(|peer| peer.path.route()) {
            Some(Route::Direct { address, .. }) => Source::direct(address.ip()),
            Some(Route::Relay) | None => Source::Rendezvous,
        };
        if self.trust.handle_message(wall, node, &key, message, shared, source).is_err() {
            self.drops.count("trust_message_refused");
        }
    }

    pub(super) fn trust_delivery_failed(&mut self, node: NodeId, kind: TrustKind) {
        self.trust.direct_failed(node, kind);
    }

    pub(super) fn handle_relayed_handshakes(&mut self, handshakes: Handshakes) {
        let (now, wall) = (self.now, self.wall_now());
        for request in handshakes.requests {
            let shared = self.shares_network(request.from);
            if self.trust.handle_relayed_request(wall, request.from, &request.justification, shared).is_err() {
                self.drops.count("relayed_trust_request_refused");
            }
        }
        for response in handshakes.responses {
            if self.trust.handle_relayed_response(now, wall, response.from, response.accept).is_err() {
                self.drops.count("relayed_trust_answer_refused");
            }
        }
    }

    /// Both are in a network other than the backbone, as far as the registry told.
    pub(super) fn shares_network(&self, node: NodeId) -> bool {
        self.peers
            .get(&node)
            .is_some_and(|peer| peer.facts.networks.iter().any(|network| self.networks.contains(network)))
    }
}
