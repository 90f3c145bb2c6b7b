//! The endpoint itself: its parts, and the contract with the host.

use super::outbox::Outbox;
use super::peer::Peer;
use super::recording::{Entry, Logged};
use super::status::Drops;
use super::streams::Streams;
use super::timers::{TimerKind, Timers};
use super::{Config, Event, Input, Totals, Transmit, TransmitBuf};
use crate::crypto::{CryptoProvider, Identity};
use crate::ids::{NodeId, RequestId, SocketId};
use crate::limits;
use crate::nat::{Discovery, Lifetime, PortMapper, PunchPolicy};
use crate::rate::RateLimiter;
use crate::registry::Client;
use crate::rng::Rng;
use crate::time::Timestamp;
use crate::trust::Trust;
use crate::wire::beacon::is_relay;
use crate::wire::candidate::{Mapped, canonical};
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Everything of one agent: peers, tunnels, streams, trust, NAT traversal and the registry session.
///
/// The contract, relied upon everywhere:
/// 1. After any `&mut` call, drain with [`super::drive`]: transmits, then events, then the next deadline.
/// 2. `now` is monotone. A regression is counted and clamped, never a panic.
/// 3. [`Self::poll_timeout`] never returns the same past deadline twice: every due timer is consumed or moved.
/// 4. Every queue, table and buffer has a bound in [`crate::limits`]; what overflows is dropped and counted.
/// 5. All randomness comes from the seed. Same seed and same inputs give the same outputs, byte for byte.
/// 6. Network bytes never panic, never allocate more than they pay for, and never make the endpoint send more than three
///    times what an unvalidated address sent.
/// 7. Commands return errors made for them; bad packets are never errors.
/// 8. What the host must supply (a pipe to the registry) is asked for by an event and answered by an input.
#[derive(Debug)]
pub struct Endpoint {
    pub(super) config: Arc<Config>,
    pub(super) identity: Arc<Identity>,
    pub(super) crypto: &'static CryptoProvider,
    pub(super) rng: Rng,
    pub(super) now: Timestamp,
    /// Wall-clock seconds and when they were told.
    pub(super) wall: (Timestamp, u64),
    pub(super) node: Option<NodeId>,
    pub(super) hostname: Option<String>,
    pub(super) public: bool,
    /// Networks other than the backbone this node is in.
    pub(super) networks: Vec<crate::ids::NetworkId>,
    /// The registry did not tell the networks when it was asked last.
    pub(super) own_record_missing: bool,
    pub(super) local_addresses: Vec<SocketAddr>,
    /// What the router forwards to each socket.
    pub(super) mapped: BTreeMap<SocketId, Mapped>,
    /// The host's sockets beside the first.
    pub(super) extra_sockets: BTreeSet<SocketId>,
    /// Who waits for sockets, in order.
    pub(super) opening: VecDeque<super::lifetime::Opener>,
    pub(super) lifetime: Lifetime,
    pub(super) lifetime_socket: Option<SocketId>,
    pub(super) search: Option<super::search::Search>,
    /// With whom, and where, no search is begun before then.
    pub(super) search_rests: BTreeMap<(NodeId, IpAddr), super::search::Rest>,

    pub(super) registry: Client,
    pub(super) awaited: BTreeMap<crate::registry::Ticket, super::registry::Awaited>,
    pub(super) discovery: Discovery,
    /// The first round of discovery ended.
    pub(super) discovered: bool,
    pub(super) punches: PunchPolicy,
    pub(super) portmap: PortMapper,
    pub(super) trust: Trust,

    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// Peers whose machines may have something to say.
    pub(super) dirty: BTreeSet<NodeId>,
    /// Nodes the registry is being asked about.
    pub(super) looking_up: BTreeSet<NodeId>,
    /// Nodes it is not asked about again before then.
    pub(super) lookups_paused: BTreeMap<NodeId, Timestamp>,
    pub(super) strangers: BTreeMap<NodeId, super::exchange::PendingExchange>,
    /// Who may not be spoken to insecurely any more.
    pub(super) identified: super::insecure::Identified,
    pub(super) streams: Streams,
    pub(super) listeners: BTreeMap<u16, super::listen::Listener>,

    pub(super) admission: super::admission::Admission,
    pub(super) syn_rate: RateLimiter<NodeId>,
    pub(super) syn_rate_global: RateLimiter<()>,

    pub(super) outbox: Outbox,
    pub(super) events: VecDeque<Event>,
    /// Bytes of datagrams among the events.
    pub(super) datagram_bytes: usize,
    pub(super) timers: Timers,
    pub(super) drops: Drops,
    pub(super) totals: Totals,
    pub(super) next_request: u64,
    /// Working memory of the endpoint's own services.
    pub(super) scratch: Vec<u8>,
    /// Everything the host does, while it wants that kept.
    pub(super) tape: Option<Box<super::recording::Tape>>,
}

/// Bytes of working memory for the endpoint's own services.
const SCRATCH: usize = 64 * 1024;

impl Endpoint {
    /// An endpoint with nothing going on yet. `seed` comes from the host's operating system, once.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        identity: Identity,
        crypto: &'static CryptoProvider,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Self {
        let mut rng = Rng::new(seed);
        let identity = Arc::new(identity);
        let streams = Streams::new(&mut rng);
        let mut endpoint = Self {
            registry: super::registry::client(&config, &identity, rng.fork()),
            discovery: Discovery::new(now, &config.beacons),
            discovered: false,
            portmap: PortMapper::new(rng.fork(), config.upnp),
            punches: PunchPolicy::new(config.punch_private_targets),
            trust: Trust::new(Arc::clone(&identity), crypto, config.trust_auto_approve),
            crypto,
            rng,
            now,
            wall: (now, 0),
            node: None,
            hostname: None,
            public: config.public,
            networks: Vec::new(),
            own_record_missing: false,
            local_addresses: Vec::new(),
            mapped: BTreeMap::new(),
            extra_sockets: BTreeSet::new(),
            opening: VecDeque::new(),
            lifetime: Lifetime::default(),
            lifetime_socket: None,
            search: None,
            search_rests: BTreeMap::new(),
            awaited: BTreeMap::new(),
            peers: BTreeMap::new(),
            dirty: BTreeSet::new(),
            looking_up: BTreeSet::new(),
            lookups_paused: BTreeMap::new(),
            strangers: BTreeMap::new(),
            identified: super::insecure::Identified::default(),
            streams,
            listeners: BTreeMap::new(),
            admission: super::admission::Admission::default(),
            syn_rate: super::listen::rate_limiter(),
            syn_rate_global: super::listen::global_rate_limiter(),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            datagram_bytes: 0,
            timers: Timers::default(),
            drops: Drops::default(),
            totals: Totals::default(),
            next_request: 0,
            scratch: vec![0; SCRATCH],
            tape: None,
            config,
            identity,
        };
        endpoint.settle();
        endpoint
    }

    /// Takes one input. Never fails: bad bytes are counted and dropped.
    pub fn handle_input(&mut self, now: Timestamp, input: Input<'_>) {
        self.record(now, || Entry::of_input(&input));
        let now = self.advance(now);
        match input {
            Input::Datagram { via, from, to: _, ecn: _, data } => self.handle_datagram(via, canonical(from), data),
            Input::RegistryConnected => self.registry.connected(now),
            Input::RegistryData(bytes) => self.registry.handle_data(now, bytes),
            Input::RegistryClosed => self.registry.closed(now),
            Input::WallClock(seconds) => {
                self.wall = (now, seconds);
                self.registry.set_wall_clock(now, seconds);
            }
            Input::LocalAddresses(addresses) => self.local_addresses_changed(addresses),
            Input::NetworkChanged => self.network_changed(),
            Input::Gateway(gateway) => self.gateway_told(gateway),
            Input::Upnp(gateway, answer) => self.upnp_answered(gateway, answer),
            Input::PortMapped { via, external } => self.port_mapped(via, canonical(external)),
            Input::PortMappingLost { via } => self.port_mapping_lost(via),
            Input::SocketsOpened(sockets) => self.sockets_opened(sockets),
        }
        self.settle();
    }

    /// Serves every deadline that is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.record(now, || Entry::Timeout);
        let now = self.advance(now);
        // Deadlines set while serving are left to the next call: whatever a machine does, this loop ends.
        let mut due = Vec::new();
        while let Some(kind) = self.timers.pop_due(now) {
            due.push(kind);
        }
        for kind in due {
            match kind {
                TimerKind::Stream(id) => {
                    if let Some(stream) = self.streams.get_mut(id) {
                        stream.connection.handle_timeout(now);
                    }
                    self.seek_way(id);
                    self.touch_stream(id);
                }
                TimerKind::Dial(id) => self.dial_timed_out(id),
                TimerKind::Tunnel(node) => self.with_peer(node, |peer| peer.tunnel.handle_timeout(now)),
                TimerKind::Path(node) => self.with_peer(node, |peer| peer.path.handle_timeout(now)),
                TimerKind::Peer(node) => self.peer_timeout(node),
                TimerKind::Registry => {
                    self.registry.handle_timeout(now);
                    self.ask_own_record_again();
                }
                TimerKind::Discovery => self.discovery.handle_timeout(now),
                TimerKind::PortMapping => self.portmap.handle_timeout(now),
                TimerKind::Trust => self.trust.handle_timeout(now),
                TimerKind::Search => self.search_timeout(),
                TimerKind::Lifetime => self.lifetime.handle_timeout(now),
            }
        }
        self.settle();
    }

    /// Writes the next datagram, or the next batch of equal ones to the same address, into `out`.
    pub fn poll_transmit(&mut self, now: Timestamp, out: &mut TransmitBuf<'_>) -> Option<Transmit> {
        self.record(now, || Entry::PollTransmit { room: out.bytes.len(), max_segments: out.max_segments });
        self.advance(now);
        let transmit = loop {
            if let Some(transmit) = self.transmit_small(out).or_else(|| self.transmit_streams(out)) {
                break transmit;
            }
            // What was sent moved deadlines of paths and tunnels; they may even want something for it.
            if !self.settle_peers() {
                return None;
            }
        };
        let datagrams = transmit.segment.map_or(1, |size| transmit.len.div_ceil(size.max(1)));
        self.totals.bytes_sent += transmit.len as u64;
        self.totals.packets_sent += datagrams as u64;
        if let Some(tape) = &mut self.tape {
            tape.note(Logged::sent(now, &transmit, out.bytes.get(..transmit.len).unwrap_or_default()));
        }
        if self.config.beacons.first() == Some(&transmit.to) && is_relay(out.bytes) {
            self.totals.bytes_relayed += transmit.len as u64;
        }
        Some(transmit)
    }

    /// The next thing the host should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.record(self.now, || Entry::PollEvent);
        if let Some(tape) = &mut self.tape {
            tape.note(Logged::told(self.now, &event));
        }
        if let Event::Datagram { data, .. } = &event {
            self.datagram_bytes = self.datagram_bytes.saturating_sub(data.len() + limits::DATAGRAM_EVENT_COST);
        }
        Some(event)
    }

    /// The next deadline with its reason.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Timestamp, TimerKind)> {
        self.timers.next()
    }

    /// Moves time forward; a regression is counted and clamped.
    pub(super) fn advance(&mut self, now: Timestamp) -> Timestamp {
        if now < self.now {
            self.drops.count("clock_regression");
        }
        self.now = self.now.max(now);
        self.now
    }

    /// Wall-clock seconds now.
    pub(super) fn wall_now(&self) -> u64 {
        let (at, seconds) = self.wall;
        seconds.saturating_add(self.now.saturating_since(at).as_secs())
    }

    pub(super) fn event(&mut self, event: Event) {
        if self.events.len() < limits::MAX_EVENTS {
            self.events.push_back(event);
        } else {
            self.drops.count("event_queue_full");
        }
    }

    pub(super) fn request_id(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// Carries what each machine has to say to the others, until all are silent.
    pub(super) fn settle(&mut self) {
        loop {
            let busy = self.settle_registry() | self.settle_discovery() | self.settle_portmap() | self.settle_trust();
            let busy = busy | self.settle_peers() | self.settle_search() | self.settle_lifetime();
            if !busy {
                break;
            }
        }
        self.timers.set(TimerKind::Registry, self.registry.poll_timeout());
        self.timers.set(TimerKind::Discovery, self.discovery.poll_timeout());
        self.timers.set(TimerKind::PortMapping, self.portmap.poll_timeout());
        self.timers.set(TimerKind::Trust, self.trust.poll_timeout());
        self.timers.set(TimerKind::Search, self.search_timeout_at());
        self.timers.set(TimerKind::Lifetime, self.lifetime.poll_timeout());
    }

    fn network_changed(&mut self) {
        self.discovery.network_changed(self.now);
        self.lifetime.network_changed();
        self.tell_keepalive();
        self.portmap.check(self.now);
        self.own_endpoint_changed();
    }
}
