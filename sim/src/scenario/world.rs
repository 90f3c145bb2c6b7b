//! The world of a scenario: the network, the model of what should be, and what is looked at after every step.

use super::report::Failure;
use super::spy;
use super::streams::Conn;
use super::wire::{FORGER, REPLAYER, Wire};
use super::{Outcome, Scenario, Stand};
use crate::{Link, Net, Sent};
use proto_core::endpoint::{Outcome as Answer, PathKind, PeerStatus, StreamConfig, TrustCommand};
use proto_core::limits::{REGISTRY_MAX_BACKOFF, REGISTRY_REPLY_TIMEOUT};
use proto_core::{Config, Event, NodeId, RequestId, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Everybody listens here.
pub(super) const PORT: u16 = 1000;
/// And nobody here.
pub(super) const CLOSED_PORT: u16 = 1001;
/// Lines of the packet log kept for a failure.
const TAIL: usize = 200;
/// How long hosts may take to register and trust each other at first, on a network without faults.
const MEETING: Duration = Duration::from_secs(30);

/// After this nothing is felt of a fault: 25 s until a host asks the beacon again (PP-NAT-3), 2 s until another answer confirms another address
/// (PP-NAT-5), and a question to the registry whose first answer did not come.
pub(super) const CONVALESCENCE: Duration = Duration::from_secs(25 + 2)
    .saturating_add(REGISTRY_REPLY_TIMEOUT.saturating_mul(2))
    .saturating_add(REGISTRY_MAX_BACKOFF);

/// What is wrong, in words.
pub(super) type Checked<T = ()> = Result<T, String>;

enum Line {
    Sent(Sent),
    Told(Timestamp, usize, Event),
}

/// Everything of one scenario.
pub(super) struct World {
    pub(super) net: Net,
    /// Hosts that trust each other at first; the one after them is trusted by nobody.
    pub(super) insiders: usize,
    pub(super) numbers: Vec<NodeId>,
    /// How often each host's process began.
    pub(super) lives: Vec<u64>,
    pub(super) conns: Vec<Conn>,
    /// Pings without an answer.
    pub(super) pings: BTreeMap<(usize, u64, RequestId), Timestamp>,
    /// The first host said that the second may reach it, and took nothing back.
    pub(super) wants: Vec<Vec<bool>>,
    /// The first host's endpoint trusts the second.
    pub(super) trusts: Vec<Vec<bool>>,
    /// Pairs of which one shut the other out at some time.
    pub(super) parted: Vec<(usize, usize)>,
    /// Datagrams from the first to the second host: sent, arrived.
    pub(super) datagrams: BTreeMap<(usize, usize), (u64, u64)>,
    /// Hosts whose process is to begin again, with what they trusted or without.
    pub(super) revivals: BTreeMap<(Timestamp, usize), bool>,
    pub(super) wire: Wire,
    pub(super) marks: BTreeMap<&'static str, u64>,
    pub(super) begun: usize,
    /// Until then a fault may still be felt: a box that forgot is known again when its hosts speak to the beacon.
    pub(super) troubled_until: Timestamp,
    paths: BTreeMap<(usize, NodeId), Option<PathKind>>,
    tail: VecDeque<Line>,
    /// Whose memory was looked at last.
    pub(super) turn: usize,
    pub(super) chunk: Vec<u8>,
}

fn config(hostname: String) -> Config {
    let stream = StreamConfig {
        idle_timeout: Duration::from_secs(40),
        keepalive: Duration::from_secs(10),
        receive_buffer: 256 * 1024,
        send_buffer: 256 * 1024,
        ..StreamConfig::default()
    };
    Config { hostname: Some(hostname), stream, ..Config::default() }
}

/// A peer is relayed, and its status does not say why.
pub(super) fn is_relayed_unsaid(peer: &PeerStatus) -> bool {
    peer.path == Some(PathKind::Relay) && peer.relay_reason.is_none()
}

impl World {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&scenario.seed.to_le_bytes());
        let mut net = Net::meeting(seed, Link { delay: scenario.delay, ..Link::default() });
        net.crypto = spy::provider();
        net.log = Some(Vec::new());
        let mut before = None;
        for (index, stand) in scenario.stands.iter().enumerate() {
            let behind = match *stand {
                Stand::Open => None,
                Stand::Behind(kind) => Some(net.add_box(kind.rules(), None)),
                Stand::Double(inner, outer) => {
                    let outer = net.add_box(outer.rules(), None);
                    Some(net.add_box(inner.rules(), Some(outer)))
                }
                Stand::Shared => before,
            };
            before = behind;
            net.add_agent_with(config(format!("agent-{index}")), behind, None);
        }
        let insiders = scenario.stands.len();
        net.add_agent_with(config("outsider".to_owned()), None, None);
        let outsider = net.hosts[insiders].address;
        let beacon = net.rendezvous.as_ref().map(|server| server.beacons[0].ip());
        let no = vec![vec![false; insiders + 1]; insiders + 1];
        Self {
            insiders,
            numbers: Vec::new(),
            lives: vec![0; insiders + 1],
            conns: Vec::new(),
            pings: BTreeMap::new(),
            wants: no.clone(),
            trusts: no,
            parted: Vec::new(),
            datagrams: BTreeMap::new(),
            revivals: BTreeMap::new(),
            wire: Wire::new(outsider, beacon, insiders as u64 - 1),
            marks: BTreeMap::new(),
            begun: 0,
            troubled_until: Timestamp::ZERO,
            paths: BTreeMap::new(),
            tail: VecDeque::new(),
            turn: 0,
            chunk: vec![0; 32 * 1024],
            net,
        }
    }

    /// All of it: the hosts meet, things happen, and all becomes well.
    pub(super) fn play(&mut self, scenario: &Scenario) -> Checked<Outcome> {
        self.meet()?;
        let before = self.marked();
        for (index, op) in scenario.ops.iter().enumerate() {
            self.begun = index + 1;
            self.apply(*op)?;
            self.look()?;
            self.relayed_say_why()?;
        }
        // What a host counted ends with its process.
        let mut by_ops = self.marked();
        by_ops.retain(|name, count| {
            *count = count.saturating_sub(before.get(name).copied().unwrap_or_default());
            *count > 0
        });
        self.settle()?;
        self.relayed_say_why()?;
        Ok(Outcome {
            hash: self.net.packet_hash(),
            lasted: self.net.now.saturating_since(Timestamp::ZERO),
            datagrams: self.wire.datagrams,
            marks: self.marked(),
            by_ops,
        })
    }

    /// # Errors
    /// A peer is relayed and no reason is told.
    fn relayed_say_why(&self) -> Checked {
        for (index, host) in self.net.hosts.iter().enumerate() {
            if let Some(peer) = host.endpoint.peers().into_iter().find(is_relayed_unsaid) {
                return Err(format!("host {index} does not say why {} is relayed: {peer:?}", peer.node));
            }
        }
        Ok(())
    }

    /// The marks so far, and what endpoints counted as dropped.
    fn marked(&self) -> BTreeMap<&'static str, u64> {
        let mut marks = self.marks.clone();
        for (name, count) in self.net.hosts.iter().flat_map(|host| host.endpoint.status().drops) {
            *marks.entry(name).or_default() += count;
        }
        marks
    }

    fn meet(&mut self) -> Checked {
        let everybody = 0..=self.insiders;
        let registered = |world: &mut Self| {
            world.net.hosts.iter().all(|host| host.endpoint.status().registered && host.endpoint.address().is_some())
        };
        self.pass_until(MEETING, "registration", registered)?;
        let number = |host: usize| self.net.hosts[host].endpoint.address().map(|address| address.node);
        self.numbers = everybody.clone().filter_map(number).collect();
        for host in everybody {
            let _ = self.net.act(host, |endpoint, _| endpoint.listen(PORT));
        }
        for (one, other) in self.pairs() {
            self.trust(one, other);
        }
        self.pass_until(MEETING, "trust", |world| world.pairs().iter().all(|(one, other)| world.trusts[*one][*other]))
    }

    /// All ordered pairs of insiders.
    pub(super) fn pairs(&self) -> Vec<(usize, usize)> {
        let all = 0..self.insiders;
        all.clone()
            .flat_map(|one| all.clone().filter(move |other| *other != one).map(move |other| (one, other)))
            .collect()
    }

    pub(super) fn trust(&mut self, one: usize, other: usize) {
        self.wants[one][other] = true;
        let command = TrustCommand::Request { node: self.numbers[other], justification: "scenario".to_owned() };
        self.net.act(one, |endpoint, now| endpoint.trust(now, command));
    }

    pub(super) fn mark(&mut self, name: &'static str) {
        *self.marks.entry(name).or_default() += 1;
    }

    /// Lets `span` pass.
    pub(super) fn pass(&mut self, span: Duration) -> Checked {
        let until = self.net.now + span;
        while self.step(until)? {}
        Ok(())
    }

    /// Lets time pass until `done`; it is wrong not to get there within `limit`.
    pub(super) fn pass_until(&mut self, limit: Duration, what: &str, done: impl FnMut(&mut Self) -> bool) -> Checked {
        if self.reaches(limit, done)? { Ok(()) } else { Err(format!("no {what} within {limit:?}")) }
    }

    /// Lets time pass until `done`, at most for `limit`; whether it was done.
    pub(super) fn reaches(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> Checked<bool> {
        let until = self.net.now + limit;
        self.look()?;
        while !done(self) {
            if !self.step(until)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next thing that happens, and a look at it.
    fn step(&mut self, until: Timestamp) -> Checked<bool> {
        let revival = self.revivals.keys().next().copied().filter(|(at, _)| *at <= until);
        let went_on = self.net.step(revival.map_or(until, |(at, _)| at));
        if let Some(key) = revival.filter(|_| !went_on)
            && let Some(with_state) = self.revivals.remove(&key)
        {
            self.revive(key.1, with_state);
            self.look()?;
            return Ok(true);
        }
        self.look()?;
        Ok(went_on)
    }

    /// Hears what hosts were told, and judges what was said on the wire.
    pub(super) fn look(&mut self) -> Checked {
        while let Some(host) = self.net.hosts.iter().position(|host| !host.events.is_empty()) {
            for event in std::mem::take(&mut self.net.hosts[host].events) {
                self.remember(Line::Told(self.net.now, host, event.clone()));
                self.event(host, event)?;
            }
        }
        for sent in self.net.log.as_mut().map(std::mem::take).unwrap_or_default() {
            if [FORGER, REPLAYER].contains(&sent.to.ip()) {
                self.mark("sent_to_attacker");
            }
            let judged = self.wire.judge(&sent);
            self.remember(Line::Sent(sent));
            judged?;
        }
        self.weigh()?;
        spy::wrong().map_or(Ok(()), Err)
    }

    fn remember(&mut self, line: Line) {
        if self.tail.len() >= TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    pub(super) fn host_of(&self, node: NodeId) -> Option<usize> {
        self.numbers.iter().position(|number| *number == node)
    }

    fn event(&mut self, host: usize, event: Event) -> Checked {
        match event {
            Event::Connected(id) => self.connected(host, id)?,
            Event::DialFailed(id, error) => {
                self.mark("dial_failed");
                self.end_is_over(host, id, &format!("dial: {error:?}"));
            }
            Event::Incoming(port) => self.accept(host, port)?,
            Event::Readable(id) => self.read(host, id)?,
            Event::Writable(id) => self.write(host, id),
            Event::Closed(id, reason) => self.closed(host, id, reason)?,
            Event::Datagram { from, data, .. } => self.datagram_arrived(host, from.address.node, &data)?,
            Event::Completed(id, answer) => {
                self.pings.remove(&(host, self.lives[host], id));
                self.mark(if matches!(answer, Answer::Pong { .. }) { "pong" } else { "completed" });
            }
            Event::TrustChanged { node, trusted } => self.trust_changed(host, node, trusted)?,
            Event::PathChanged { node, path } => self.path_changed(host, node, path),
            // Whoever can send a datagram can make up a key.
            Event::KeyMismatch(_) => self.mark("key_mismatch"),
            Event::Registered { address, .. } => {
                let known = self.numbers.get(host).copied();
                if known.is_some_and(|number| number != address.node) {
                    return Err(format!("host {host} is {} now and was {known:?}", address.node));
                }
            }
            Event::RegistryConnect
            | Event::RegistrySend(_)
            | Event::RegistryDisconnect
            | Event::RegistrationFailed(_)
            | Event::Discovered(_)
            | Event::PeerUp(_)
            | Event::PeerDown(_)
            | Event::Finished(_)
            | Event::TrustRequested { .. }
            | Event::TrustRejected { .. }
            | Event::TrustSnapshotChanged
            | Event::OpenSockets(_)
            | Event::CloseSockets(_)
            | Event::GatewayWanted
            | Event::Upnp(_) => {}
        }
        Ok(())
    }

    fn trust_changed(&mut self, host: usize, node: NodeId, trusted: bool) -> Checked {
        let Some(other) = self.host_of(node) else { return Err(format!("host {host} trusts nobody known: {node}")) };
        self.trusts[host][other] = trusted;
        if trusted && !self.wants[host][other] {
            return Err(format!("host {host} trusts host {other} again, which it had revoked or never wanted"));
        }
        self.mark(if trusted { "trust_granted" } else { "trust_withdrawn" });
        Ok(())
    }

    fn path_changed(&mut self, host: usize, node: NodeId, path: Option<PathKind>) {
        let before = self.paths.insert((host, node), path).flatten();
        match (before, path) {
            (Some(PathKind::Relay), Some(PathKind::Direct(_))) => self.mark("relay_to_direct"),
            (Some(PathKind::Direct(_)), Some(PathKind::Relay)) => self.mark("direct_to_relay"),
            (Some(PathKind::Direct(_)), Some(PathKind::Direct(_))) => self.mark("direct_to_direct"),
            (Some(_), None) => self.mark("path_lost"),
            (None, Some(PathKind::Direct(_))) => self.mark("direct_at_once"),
            (None, Some(PathKind::Relay)) => self.mark("relay_first"),
            (_, None) | (Some(PathKind::Relay), Some(PathKind::Relay)) => {}
        }
    }

    fn datagram_arrived(&mut self, host: usize, node: NodeId, data: &[u8]) -> Checked {
        let from = self.host_of(node).ok_or_else(|| format!("host {host} got a datagram of nobody known: {node}"))?;
        if !self.wants[host][from] {
            return Err(format!("host {host} took a datagram of host {from}, which it does not trust"));
        }
        if data != Conn::pattern(0, 0, 0, data.len()) {
            return Err(format!("a datagram of host {from} was altered"));
        }
        let (sent, arrived) = self.datagrams.entry((from, host)).or_default();
        *arrived += 1;
        if arrived > sent {
            return Err(format!("host {host} got a datagram of host {from} twice"));
        }
        self.mark("datagram");
        Ok(())
    }

    /// The report of what is wrong.
    pub(super) fn failure(&self, what: String, scenario: &Scenario) -> Failure {
        let line = |line: &Line| match line {
            Line::Told(at, host, Event::RegistrySend(bytes)) => {
                format!("{at} host {host}: {} bytes to the registry", bytes.len())
            }
            Line::Told(at, host, event) => format!("{at} host {host}: {event:?}"),
            Line::Sent(Sent { at, from, to, bytes }) => {
                let head: String = bytes.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
                format!("{at} {from} -> {to} {} bytes {head}", bytes.len())
            }
        };
        Failure {
            what,
            at: self.net.now,
            scenario: Box::new(scenario.clone()),
            begun: self.begun,
            tail: self.tail.iter().map(line).collect(),
        }
    }
}
