//! One peer: its keys, its paths and what waits for it; and what these two machines ask for.

use super::control::Ping;
use super::inner::Endpoint;
use super::insecure::Unanswered;
use super::meeting::Meeting;
use super::outbox::{Packet, destination};
use super::timers::TimerKind;
use super::{Event, Outcome, PathKind};
use crate::crypto::PublicKey;
use crate::ids::{NetworkId, NodeId};
use crate::limits;
use crate::path::{OwnAddresses, PathAction, PathConfig, PathSet, PeerAddresses, Proof, Route};
use crate::time::Timestamp;
use crate::tunnel::{Action, Context, SessionId, Tunnel};
use crate::wire::BeaconMessage;
use crate::wire::beacon::write_relay_header;
use crate::wire::candidate::{Local, Reflexive};
use crate::wire::frame::Frame;
use core::time::Duration;
use std::collections::VecDeque;

/// A peer without streams and traffic is forgotten after this long.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) tunnel: Tunnel,
    pub(super) path: PathSet,
    /// Identity key as pinned, configured or told by the registry.
    pub(super) key: Option<PublicKey>,
    pub(super) facts: Facts,
    /// Told by the host: never asked for at a registry, never forgotten.
    pub(super) is_static: bool,
    pub(super) trusted_by_host: bool,
    /// Trust was withdrawn: no packet but those of its streams counts, and it is forgotten when the last has ended.
    pub(super) banished: bool,
    /// Spoken to in clear, as the configuration allows ([`super::Insecure::plaintext`]).
    pub(super) plain: bool,
    /// Key exchanges of ours since the last valid one of the peer's.
    pub(super) unanswered: Unanswered,
    /// Recognised inside the tunnel as running this implementation.
    pub(super) ours: bool,
    /// The way of its last key exchange or packet.
    pub(super) last_route: Option<Route>,
    pub(super) meeting: Meeting,
    pub(super) pings: VecDeque<Ping>,
    pub(super) pongs: PongBudget,
    /// Packets waiting for a session.
    pub(super) pending: VecDeque<Packet>,
    /// When to say hello again, unless the peer was recognised by then.
    pub(super) hello_again: Option<Timestamp>,
    /// The session in which hello was said last: a peer that restarted does not know us any more.
    pub(super) hello_session: Option<SessionId>,
    /// When the registry was last asked whether its key is another one now.
    pub(super) doubted_at: Option<Timestamp>,
    pub(super) resolved_at: Option<Timestamp>,
    pub(super) resolving: bool,
    /// When to go on without the registry's answer.
    pub(super) resolve_by: Option<Timestamp>,
    pub(super) used_at: Timestamp,
    /// When it last proved to be there.
    pub(super) heard_at: Option<Timestamp>,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
}

/// What the registry told of a peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) known: bool,
    pub(super) public: bool,
    pub(super) networks: Vec<NetworkId>,
    pub(super) hostname: Option<String>,
}

/// Answers to pings, and resets of streams that do not exist, left in the current second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PongBudget {
    second: u64,
    spent: u32,
}

impl PongBudget {
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        let second = now.as_micros() / 1_000_000;
        if second != self.second {
            *self = Self { second, spent: 0 };
        }
        self.spent += 1;
        self.spent <= limits::PING_ANSWERS_PER_SECOND
    }
}

impl Peer {
    fn new(tunnel: Tunnel, config: PathConfig, now: Timestamp) -> Self {
        Self {
            tunnel,
            path: PathSet::new(config, now),
            key: None,
            facts: Facts::default(),
            is_static: false,
            trusted_by_host: false,
            banished: false,
            plain: false,
            unanswered: Unanswered::default(),
            ours: false,
            last_route: None,
            meeting: Meeting::default(),
            pings: VecDeque::new(),
            pongs: PongBudget::default(),
            pending: VecDeque::new(),
            hello_again: None,
            hello_session: None,
            doubted_at: None,
            resolved_at: None,
            resolving: false,
            resolve_by: None,
            used_at: now,
            heard_at: None,
            bytes_sent: 0,
            bytes_received: 0,
        }
    }

    /// A datagram of `bytes` left for the peer.
    pub(super) fn sent(&mut self, now: Timestamp, route: Route, bytes: usize) {
        self.bytes_sent += bytes as u64;
        self.path.sent(now, route, bytes);
    }

    /// A datagram of `bytes` came from the peer, or from somebody who says so.
    pub(super) fn received(&mut self, now: Timestamp, route: Route, bytes: usize, proof: Proof) {
        // What opens under no key while there is one may come from anybody: it is no reason to ask anywhere.
        if proof == Proof::Unproven && self.tunnel.is_established() {
            return;
        }
        self.path.handle_frame(now, route, bytes, proof);
        if proof != Proof::Unproven {
            self.bytes_received += bytes as u64;
        }
        if proof == Proof::Fresh {
            self.heard_at = Some(now);
        }
        // Without a session an answer goes to whoever speaks, within the amplification limit.
        self.last_route = Some(route);
    }

    /// Where a key exchange is answered: whence the last frame came, or through the relay when that address has not
    /// sent enough yet to be answered. A peer whose session a restart of ours ended speaks in short frames only.
    fn reply_route(&self, bytes: usize) -> Option<Route> {
        let answerable = |route: &Route| self.path.may_send(*route, bytes);
        self.last_route.map(|route| Some(route).filter(answerable).unwrap_or(Route::Relay))
    }

    /// Streams or datagrams pass.
    pub(super) fn used(&mut self, now: Timestamp) {
        self.used_at = now;
        self.path.used(now);
    }
}

impl Endpoint {
    /// The peer, made when there was none. `None` when this node has no number yet or the table is full of busy peers.
    pub(super) fn ensure_peer(&mut self, node: NodeId) -> Option<&mut Peer> {
        let own = self.node?;
        if !self.peers.contains_key(&node) {
            if self.peers.len() >= limits::MAX_PEERS && !self.forget_idlest() {
                self.drops.count("peer_table_full");
                return None;
            }
            let config = PathConfig {
                relay_available: !self.config.beacons.is_empty(),
                relay_only: self.config.relay_only,
                keepalive: self.lifetime.keepalive(),
            };
            let mut peer = Peer::new(Tunnel::new(own, node), config, self.now);
            peer.key = self.pinned_key(node);
            self.peers.insert(node, peer);
            self.dirty.insert(node);
        }
        self.peers.get_mut(&node)
    }

    /// Runs `f` on a peer and hears afterwards what its machines want.
    pub(super) fn with_peer(&mut self, node: NodeId, f: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.peers.get_mut(&node) {
            f(peer);
            self.dirty.insert(node);
        }
    }

    fn forget_idlest(&mut self) -> bool {
        let idle = self.peers.iter().filter(|(node, peer)| !peer.is_static && self.streams.of_peer(**node).is_empty());
        let Some(node) = idle.min_by_key(|(_, peer)| peer.used_at).map(|(node, _)| *node) else { return false };
        self.forget_peer(node);
        true
    }

    pub(super) fn forget_peer(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.remove(&node) {
            for request in peer.pings.iter().filter_map(Ping::request) {
                self.event(Event::Completed(request, Outcome::Timeout));
            }
            for kind in [TimerKind::Tunnel(node), TimerKind::Path(node), TimerKind::Peer(node)] {
                self.timers.set(kind, None);
            }
            self.dirty.remove(&node);
            self.event(Event::PeerDown(node));
            self.search_succeeded(node);
            self.close_idle_sockets();
        }
    }

    /// Carries out what tunnels and paths ask for.
    pub(super) fn settle_peers(&mut self) -> bool {
        let mut busy = false;
        while let Some(node) = self.dirty.pop_first() {
            busy |= self.settle_peer(node);
        }
        busy
    }

    fn settle_peer(&mut self, node: NodeId) -> bool {
        let (mut busy, mut served) = (false, false);
        loop {
            let now = self.now;
            let Some(peer) = self.peers.get_mut(&node) else { return busy };
            if let Some(action) = peer.tunnel.poll_action(now) {
                self.tunnel_action(node, action);
            } else if let Some(action) = peer.path.poll_action(now, &mut self.rng) {
                self.path_action(node, action);
            } else if peer.tunnel.sending() != peer.hello_session && peer.path.route().is_some() {
                peer.hello_session = peer.tunnel.sending();
                self.say_hello(node);
            } else if !served && peer.path.poll_timeout().is_some_and(|at| at <= now) {
                // What was just brought about may be due at once: no caller is told the deadline that it served again.
                served = true;
                peer.path.handle_timeout(now);
            } else {
                let (tunnel, path) = (peer.tunnel.poll_timeout().map(|(at, _)| at), peer.path.poll_timeout());
                self.timers.set(TimerKind::Tunnel(node), tunnel);
                self.timers.set(TimerKind::Path(node), path);
                if self.is_over(node) {
                    self.forget_peer(node);
                } else {
                    self.schedule_peer(node);
                }
                return busy;
            }
            busy = true;
        }
    }

    fn tunnel_action(&mut self, node: NodeId, action: Action) {
        match action {
            Action::SendExchange => self.send_exchanges(node),
            Action::ReplyExchange => {
                let (_, len) = self.exchange_kind(node);
                if let Some(route) = self.peers.get(&node).and_then(|peer| peer.reply_route(len)) {
                    self.send_exchange(node, route);
                }
            }
            Action::Probe(session) => self.probe_session(node, session),
            Action::Established => self.tunnel_established(node),
            Action::Switched => self.repeat_outstanding(node),
            Action::Failed => {
                self.drops.count("key_exchange_unanswered");
                self.forget_waiting(node);
            }
        }
    }

    fn send_exchanges(&mut self, node: NodeId) {
        let now = self.now;
        if self.consents_to_plaintext(node) {
            self.speak_plainly(node);
        }
        let routes = self.peers.get_mut(&node).map(|peer| peer.path.exchange_routes(now, peer.tunnel.is_established()));
        let routes = routes.unwrap_or_default();
        for route in routes {
            self.send_exchange(node, route);
        }
    }

    pub(super) fn tunnel_established(&mut self, node: NodeId) {
        self.event(Event::PeerUp(node));
        // The registry tells a private peer's name only to whom it trusts, so an earlier look-up may have come too soon.
        if self.trusts(node)
            && self.peers.get(&node).is_some_and(|peer| !peer.is_static && peer.facts.hostname.is_none())
        {
            self.look_up(node);
        }
        self.send_waiting(node);
        self.wake_streams(node);
    }

    /// There is a session, or a path again: what waited for it leaves.
    fn send_waiting(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.is_connected() {
            for packet in core::mem::take(&mut peer.pending) {
                self.send_packet_now(packet);
            }
        }
    }

    /// The attempt they waited for has failed; later ones begin with an empty queue.
    pub(super) fn forget_waiting(&mut self, node: NodeId) {
        for _ in self.peers.get_mut(&node).map(|peer| core::mem::take(&mut peer.pending)).unwrap_or_default() {
            self.drops.count("waited_in_vain");
        }
    }

    fn path_action(&mut self, node: NodeId, action: PathAction) {
        match action {
            PathAction::Resolve => self.resolve_peer(node),
            PathAction::RequestPunch => {
                if let (Some(own), Some(beacon)) = (self.node, self.config.beacons.first().copied()) {
                    let request = BeaconMessage::PunchRequest { requester: own, target: node, grant: None };
                    self.send_beacon(beacon, &request);
                }
            }
            PathAction::Meet => self.offer_meeting(node),
            PathAction::Escalate => self.escalate(node),
            PathAction::Probe { route, nonce } => {
                if self.peers.get(&node).is_some_and(|peer| peer.armour().is_some()) {
                    self.probe_path(node, route, nonce);
                } else {
                    self.send_exchange(node, route);
                }
            }
            PathAction::Keepalive { route } => self.send_keepalive(node, route),
            PathAction::Selected(route) => {
                self.event(Event::PathChanged { node, path: route.map(path_kind) });
                self.send_waiting(node);
                self.wake_streams(node);
                if route == Some(Route::Relay) {
                    // What went by a way that is dead now is lost.
                    self.repeat_outstanding(node);
                } else if let Some(route) = route {
                    self.search_succeeded(node);
                    self.measure_lifetime(route);
                }
                self.close_idle_sockets();
            }
            PathAction::Lost => self.repeat_outstanding(node),
            PathAction::Unreachable => self.peer_unreachable(node),
        }
    }

    /// Lets the streams of `node` try to send, at the size its path carries.
    pub(super) fn wake_streams(&mut self, node: NodeId) {
        let mss = self.path_mss(node);
        let rtt = self.peers.get(&node).and_then(|peer| peer.path.rtt());
        for id in self.streams.of_peer(node).to_vec() {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.connection.set_path(mss, rtt);
            }
            self.touch_stream(id);
        }
    }

    /// The streams of `node` do not wait for their timers to repeat what may have been lost.
    fn repeat_outstanding(&mut self, node: NodeId) {
        for id in self.streams.of_peer(node).to_vec() {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.connection.repeat_outstanding();
            }
            self.touch_stream(id);
        }
    }

    /// Sends this node's key to `node` over exactly `route`: as a PILA, but for a peer without identity where that was opted for.
    pub(super) fn send_exchange(&mut self, node: NodeId, route: Route) {
        let now = self.now;
        let (anonymous, len) = self.exchange_kind(node);
        let Some(own) = self.node else { return };
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let Some((via, to, prefix)) = destination(route, &self.config.beacons) else { return };
        let mut bytes = vec![0; prefix + len];
        if !peer.path.may_send(route, bytes.len()) {
            self.drops.count("amplification_limit");
            return;
        }
        let mut context = Context { crypto: self.crypto, identity: &self.identity, rng: &mut self.rng };
        let Some(room) = bytes.get_mut(prefix..) else { return };
        let emitted = if anonymous {
            peer.tunnel.emit_anonymous_exchange(&mut context, room)
        } else {
            peer.tunnel.emit_exchange(&mut context, room)
        };
        if emitted.is_none() || prefix > 0 && write_relay_header(&mut bytes, own, node).is_err() {
            return;
        }
        peer.sent(now, route, bytes.len());
        peer.unanswered.sent(now);
        self.send_raw(via, to, bytes);
    }

    /// Three PILP open this side's NAT toward `route` (PP-FRAME-11).
    pub(super) fn send_punches(&mut self, route: Route) {
        let Some((via, to, 0)) = destination(route, &self.config.beacons) else { return };
        let mut bytes = [0; 8];
        //= spec/frames.md#pp-frame-11
        //# A PILP we send carries our node, three copies for each punch command that is obeyed.
        if let Ok(len) = (Frame::Punch { sender: self.node }).emit(&mut bytes) {
            for _ in 0..3 {
                self.send_raw(via, to, bytes.get(..len).unwrap_or_default().to_vec());
            }
        }
    }

    /// Tells a peer's paths where the registry says it is.
    pub(super) fn peer_resolved(&mut self, node: NodeId, resolved: &crate::registry::Resolved) {
        let now = self.now;
        let (own, own_local) = (self.discovery.reflexive(), self.own_local());
        let local: Vec<Local> = resolved.lan_addrs.iter().copied().map(Local).collect();
        let reflexive = resolved.real_addr.filter(|_| !resolved.relay_only).map(Reflexive);
        let addresses = PeerAddresses { reflexive, local: &local, relay_only: resolved.relay_only };
        self.with_peer(node, |peer| {
            peer.path.resolved(now, &addresses, &OwnAddresses { reflexive: own, local: &own_local });
            peer.resolved_at = Some(now);
            peer.resolving = false;
        });
        self.start_exchange(node);
    }

    /// Climbs the ladder and, without a session, exchanges keys.
    pub(super) fn start_exchange(&mut self, node: NodeId) {
        let now = self.now;
        self.with_peer(node, |peer| peer.path.want(now));
        self.exchange_keys(node);
    }

    /// Without a session, exchanges keys by what ways there are.
    pub(super) fn exchange_keys(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| !peer.tunnel.is_established()) else { return };
        let mut context = Context { crypto: self.crypto, identity: &self.identity, rng: &mut self.rng };
        peer.tunnel.start_exchange(self.now, &mut context);
        self.dirty.insert(node);
    }

    pub(super) fn own_local(&self) -> Vec<Local> {
        self.local_addresses.iter().copied().map(Local).collect()
    }

    fn schedule_peer(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get(&node) else { return };
        let ping = peer.pings.iter().filter_map(Ping::deadline).min();
        let forget = self.forget_at(node, peer);
        let at = [ping, peer.hello_again, peer.resolve_by, forget].into_iter().flatten().min();
        self.timers.set(TimerKind::Peer(node), at);
    }

    fn forget_at(&self, node: NodeId, peer: &Peer) -> Option<Timestamp> {
        let patience = if peer.banished { Duration::ZERO } else { FORGET_AFTER };
        let idle = !peer.is_static && self.streams.of_peer(node).is_empty();
        idle.then_some(peer.used_at + patience)
    }

    fn is_over(&self, node: NodeId) -> bool {
        let forget = self.peers.get(&node).and_then(|peer| self.forget_at(node, peer));
        forget.is_some_and(|at| at <= self.now)
    }

    pub(super) fn peer_timeout(&mut self, node: NodeId) {
        let now = self.now;
        self.expire_pings(node);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        // What we know of the peer says nothing about what it knows of us: the first hello may have come before the key.
        if peer.hello_again.take_if(|at| *at <= now).is_some() {
            self.hello(node);
        }
        self.go_on_unresolved(node);
        self.dirty.insert(node);
    }
}

/// The host's word for a route.
pub(super) fn path_kind(route: Route) -> PathKind {
    match route {
        Route::Direct { address, .. } => PathKind::Direct(address),
        Route::Relay => PathKind::Relay,
    }
}
