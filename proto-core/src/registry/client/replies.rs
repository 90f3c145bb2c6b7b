//! What a reply, or its absence, does to the session.

use super::super::reply::{Handshakes, Registered, refusal, told_time};
use super::super::request::{Registration, Request};
use super::queue::{Purpose, Task};
use super::{
    Client, ClientEvent, HEARTBEAT_FAILURES, Output, REGISTRATION_RETRY, REGISTRATION_RETRY_MAX, REPORTS_AGAIN,
    RegistrationState, RequestError,
};
use crate::ids::NodeId;
use crate::limits::MAX_REPORTED_TRUST;
use crate::time::Timestamp;
use serde_json::Value;

impl Client {
    pub(super) fn handle_reply(&mut self, now: Timestamp, reply: Value) {
        let Some(task) = self.queue.finish() else {
            // Nothing was asked: the stream of replies cannot be matched to requests any more.
            self.give_up(now);
            return;
        };
        match refusal(&reply).map(str::to_owned) {
            Some(text) => {
                let task = match told_time(&reply) {
                    Some(seconds) => self.ask_in_time(now, task, seconds),
                    None => Some(task),
                };
                if let Some(task) = task {
                    self.handle_refusal(now, &task, text);
                }
            }
            None => self.handle_success(now, &task, reply),
        }
        self.advance(now);
    }

    /// The registry's time of day came with a refusal. Registration, which has a pace of its own, comes back.
    fn ask_in_time(&mut self, now: Timestamp, task: Task, seconds: u64) -> Option<Task> {
        self.clock.correct(now, seconds);
        //= spec/registry.md#pp-reg-37
        //# A request that is refused for the time of its envelope is asked once more in the registry's time.
        if task.purpose == Purpose::Register { Some(task) } else { self.queue.repeat(task) }
    }

    /// The request of registration, once there is an endpoint to register.
    pub(super) fn registration(&self) -> Option<Task> {
        let (listen_addr, lan_addrs) = self.endpoint.clone()?;
        let registration = Registration {
            listen_addr,
            lan_addrs,
            hostname: self.config.hostname.clone(),
            owner: self.config.owner.clone(),
            //= spec/versioning.md#pp-ver-5
            //# The registry is told the program's version.
            version: self.config.version.clone(),
            relay_only: self.config.relay_only,
        };
        Some(Task::own(Purpose::Register, Request::Register(registration)))
    }

    /// Registration goes before everything else from now on.
    pub(super) fn register_again(&mut self) {
        self.registration = RegistrationState::Wanted;
        self.schedule.stop();
        self.queue.clear_own();
    }

    /// The connection is of no use any more.
    pub(super) fn give_up(&mut self, now: Timestamp) {
        self.outputs.push_back(Output::Disconnect);
        self.drop_connection();
        self.link.lost(now, &mut self.rng);
    }

    pub(super) fn drop_connection(&mut self) {
        self.register_again();
        if let Some(task) = self.queue.interrupt() {
            self.fail(&task, RequestError::Unavailable);
        }
        self.events.push_back(ClientEvent::Disconnected);
    }

    pub(super) fn fail(&mut self, task: &Task, error: RequestError) {
        if let Purpose::Caller(ticket) = task.purpose {
            self.events.push_back(ClientEvent::Reply(ticket, Err(error)));
        }
    }

    fn handle_success(&mut self, now: Timestamp, task: &Task, reply: Value) {
        match task.purpose {
            Purpose::Register => match Registered::parse(&reply) {
                Some(registered) => self.handle_registered(now, registered),
                None => self.handle_registration_failure(now, "the reply has no usable node number".to_owned()),
            },
            Purpose::Heartbeat => self.heartbeat_failures = 0,
            Purpose::Poll => {
                let handshakes = Handshakes::parse(&reply);
                if !handshakes.is_empty() {
                    self.events.push_back(ClientEvent::Handshakes(handshakes));
                }
            }
            Purpose::Housekeeping => {}
            Purpose::Caller(ticket) => {
                self.remember(&task.request);
                self.events.push_back(ClientEvent::Reply(ticket, Ok(reply)));
            }
        }
    }

    fn handle_registered(&mut self, now: Timestamp, registered: Registered) {
        if self.registration != RegistrationState::Asked {
            // The endpoint changed meanwhile: this answer is about the old one.
            return;
        }
        self.link.proved();
        self.registration = RegistrationState::Registered;
        self.registration_failures = 0;
        self.heartbeat_failures = 0;
        self.registered_at = Some(now);
        self.node = Some(registered.node);
        self.events.push_back(ClientEvent::Registered(registered));
        // Said even when private: the registry may remember this key as public from an earlier run.
        self.queue.push_own(Purpose::Housekeeping, Request::SetVisibility(self.config.public));
        self.unreported.clear();
        for peer in &self.trusted {
            self.queue.push_own(Purpose::Housekeeping, Request::ReportTrust(*peer));
        }
        self.schedule.start(now, &mut self.rng);
    }

    fn handle_registration_failure(&mut self, now: Timestamp, text: String) {
        let doublings = self.registration_failures.min(8);
        let wait = (REGISTRATION_RETRY * 2_u32.saturating_pow(doublings)).min(REGISTRATION_RETRY_MAX);
        self.registration_failures = self.registration_failures.saturating_add(1);
        if self.registration == RegistrationState::Asked {
            self.registration = RegistrationState::Refused(now + wait);
        }
        self.events.push_back(ClientEvent::RegistrationFailed(text));
    }

    fn handle_refusal(&mut self, now: Timestamp, task: &Task, text: String) {
        if let Request::ReportTrust(peer) = task.request {
            self.report_later(peer);
        }
        let forgotten = match task.purpose {
            Purpose::Register => {
                self.handle_registration_failure(now, text);
                return;
            }
            Purpose::Heartbeat => {
                self.heartbeat_failures = self.heartbeat_failures.saturating_add(1);
                //= spec/registry.md#pp-reg-14
                //# A client that is told that its node is unknown registers again.
                self.heartbeat_failures >= HEARTBEAT_FAILURES || text.contains("not found")
            }
            Purpose::Poll => text.contains("not found"),
            Purpose::Housekeeping | Purpose::Caller(_) => self.node.is_some_and(|node| is_forgotten(node, &text)),
        };
        if forgotten {
            self.register_again();
            // A registry that forgets what it just acknowledged is not asked again at once, over and over.
            let calm = self.registered_at.map(|at| at + REGISTRATION_RETRY).filter(|at| *at > now);
            self.registration = calm.map_or(RegistrationState::Wanted, RegistrationState::Refused);
        }
        self.fail(task, RequestError::Refused(text));
    }

    /// The registry may not know the peer yet, after a loss of its nodes, or have been asked for too much at once.
    fn report_later(&mut self, peer: NodeId) {
        if self.unreported.len() < MAX_REPORTED_TRUST && !self.unreported.contains(&peer) {
            self.unreported.push_back(peer);
        }
    }

    /// Some of what was refused goes again. Those refused once more stand behind the others.
    pub(super) fn report_again(&mut self) {
        let count = self.unreported.len().min(REPORTS_AGAIN);
        for peer in self.unreported.drain(..count).filter(|peer| self.trusted.contains(peer)) {
            self.queue.push_own(Purpose::Housekeeping, Request::ReportTrust(peer));
        }
    }

    /// What the caller changed at run time is what the next registration must say.
    fn remember(&mut self, request: &Request) {
        if let Request::SetVisibility(public) = request {
            self.config.public = *public;
        }
        if let Request::SetHostname(hostname) = request {
            self.config.hostname = Some(hostname.clone()).filter(|name| !name.is_empty());
        }
    }
}

/// The registry lost this node, by the wording of PP-REG-12.
fn is_forgotten(own: NodeId, text: &str) -> bool {
    text.contains(&format!("node {own}: node not found"))
        || text.contains(&format!("requester node {own} is not registered"))
}
