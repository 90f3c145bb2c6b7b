//! The beacon: tells nodes how the world sees them, makes two nodes punch toward each other, and passes frames on
//! between nodes that cannot (`spec/relay.md`).
//!
//! Decides which datagram goes where. Refuses to know what a frame holds, and asks a [`Directory`] who may find whom.

mod endpoints;
mod peers;

use crate::limits;
use crate::rate::{Rate, RateTable};
use core::net::{IpAddr, SocketAddr};
use endpoints::{Endpoint, Endpoints};
use peers::PeerBeacons;
use proto_core::wire::beacon::{BeaconMessage, NOTIFY_HANDSHAKE, RELAY_DELIVER_LEN, RELAY_HEADER_LEN};
use proto_core::{NodeId, Timestamp};

/// What the beacon must know about nodes and cannot: the registry's side of things.
pub trait Directory {
    /// `requester` may learn where `target` is.
    fn may_resolve(&self, requester: NodeId, target: NodeId) -> bool;
    /// The node is registered; endpoints of others are not remembered.
    fn is_known(&self, node: NodeId) -> bool;
    /// The node's last registration came from `source`, lately.
    fn registered_from(&self, node: NodeId, source: IpAddr, now: Timestamp) -> bool;
}

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct BeaconConfig {
    /// This beacon's number, told to its peers.
    pub id: u32,
    /// Beacons whose gossip is believed, at most [`limits::MAX_PEER_BEACONS`].
    pub peers: Vec<SocketAddr>,
    /// Discoveries of one address.
    pub discoveries: Rate,
    /// Punch requests of one address.
    pub punches: Rate,
    /// Frames passed on for one source.
    pub relay_packets: Rate,
    /// Bytes of frames passed on for one source.
    pub relay_bytes: Rate,
}

impl Default for BeaconConfig {
    /// The reference passes on 4,000 frames a second for one source, about 5 MB; a relayed transfer between two of our
    /// own may have a quarter of a gigabit, with a second's worth at once so that a window is not cut.
    fn default() -> Self {
        Self {
            id: 1,
            peers: Vec::new(),
            discoveries: Rate::per_second(100, 1000),
            punches: Rate::per_second(1, 5),
            relay_packets: Rate::per_second(25_000, 50_000),
            relay_bytes: Rate::per_second(32_000_000, 64_000_000),
        }
    }
}

/// A datagram to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Which of the beacon's UDP ports sends it.
    pub socket: u8,
    /// Where to.
    pub to: SocketAddr,
    /// Its payload.
    pub bytes: &'a [u8],
}

/// What a beacon did, counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BeaconCounters {
    /// Discoveries answered.
    pub discoveries: u64,
    /// Punch requests that made two nodes punch.
    pub punches: u64,
    /// Frames passed on.
    pub relayed: u64,
    /// Bytes of frames passed on.
    pub relayed_bytes: u64,
    /// Datagrams refused: malformed, not allowed, over budget, or for nobody known.
    pub dropped: u64,
    /// Endpoint changes of a live node that were not believed.
    pub takeovers_refused: u64,
}

/// The beacon as a machine.
#[derive(Debug)]
pub struct Beacon {
    config: BeaconConfig,
    endpoints: Endpoints,
    peers: PeerBeacons,
    discoveries: RateTable<IpAddr>,
    punches: RateTable<IpAddr>,
    relay_packets: RateTable<SocketAddr>,
    relay_bytes: RateTable<SocketAddr>,
    counters: BeaconCounters,
}

/// A datagram was not for sending on; counted.
#[derive(Clone, Copy, Debug)]
struct Dropped;

impl Beacon {
    /// A beacon that knows nobody.
    #[must_use]
    pub fn new(config: BeaconConfig) -> Self {
        Self {
            endpoints: Endpoints::default(),
            peers: PeerBeacons::new(&config.peers),
            discoveries: RateTable::new(config.discoveries, limits::MAX_RATE_SOURCES),
            punches: RateTable::new(config.punches, limits::MAX_RATE_SOURCES),
            relay_packets: RateTable::new(config.relay_packets, limits::MAX_RATE_SOURCES),
            relay_bytes: RateTable::new(config.relay_bytes, limits::MAX_RATE_SOURCES),
            counters: BeaconCounters::default(),
            config,
        }
    }

    /// Handles a datagram that came in on UDP port number `socket`. `data` is rewritten in place where it is passed on.
    /// `send` is called at most twice; nothing longer than a discover reply goes to an address that was not verified.
    pub fn handle_datagram(
        &mut self,
        now: Timestamp,
        socket: u8,
        from: SocketAddr,
        data: &mut [u8],
        directory: &impl Directory,
        send: &mut impl FnMut(Outgoing<'_>),
    ) {
        let source = SocketAddr::new(from.ip().to_canonical(), from.port());
        let handled = match BeaconMessage::parse(data) {
            Ok(BeaconMessage::Relay { sender, destination, .. }) => {
                self.relay(now, (socket, source), (sender, destination), data, send)
            }
            Ok(BeaconMessage::Discover { node, .. }) => {
                self.discover(now, node, Endpoint::new(source, socket, false, now), directory, send)
            }
            Ok(BeaconMessage::DiscoverExtended { node, .. }) => {
                self.discover(now, node, Endpoint::new(source, socket, true, now), directory, send)
            }
            Ok(BeaconMessage::PunchRequest { requester, target, .. }) => {
                self.punch(now, (socket, source), (requester, target), directory, send)
            }
            Ok(BeaconMessage::Sync { nodes, .. }) => self.peers.learn(source, nodes, now).ok_or(Dropped),
            Ok(
                BeaconMessage::DiscoverReply(_)
                | BeaconMessage::PunchCommand(_)
                | BeaconMessage::RelayDeliver { .. }
                | BeaconMessage::RelayDeliverTo { .. }
                | BeaconMessage::Notify { .. },
            )
            | Err(_) => Err(Dropped),
        };
        self.counters.dropped += u64::from(handled.is_err());
    }

    /// 01 and 08: remembers the endpoint if it is believed; always tells what was seen.
    fn discover(
        &mut self,
        now: Timestamp,
        node: NodeId,
        endpoint: Endpoint,
        directory: &impl Directory,
        send: &mut impl FnMut(Outgoing<'_>),
    ) -> Result<(), Dropped> {
        let source = endpoint.address();
        if !self.discoveries.take(source.ip(), now, 1) {
            return Err(Dropped);
        }
        self.remember(now, node, endpoint, directory);
        self.counters.discoveries += 1;
        //= spec/relay.md#pp-relay-6
        //# The beacon answers a discover message with the source it came from.
        //= spec/relay.md#pp-relay-15
        //# A discover message of node 0 is answered and not remembered.
        emit(&BeaconMessage::DiscoverReply(source), endpoint, send)
    }

    /// Stores where `node` is; false when the claim is not believed, because the node is not registered or lives
    /// elsewhere. Node 0 only asks.
    fn remember(&mut self, now: Timestamp, node: NodeId, endpoint: Endpoint, directory: &impl Directory) -> bool {
        if node == NodeId::UNASSIGNED || !directory.is_known(node) {
            return false;
        }
        let source = endpoint.address();
        let registered = || directory.registered_from(node, source.ip(), now);
        let stored = self.endpoints.update(node, endpoint, now, registered);
        self.counters.takeovers_refused += u64::from(!stored);
        stored
    }

    /// 03: both sides punch, if the registry would have told the requester where the target is.
    fn punch(
        &mut self,
        now: Timestamp,
        (socket, source): (u8, SocketAddr),
        (requester, target): (NodeId, NodeId),
        directory: &impl Directory,
        send: &mut impl FnMut(Outgoing<'_>),
    ) -> Result<(), Dropped> {
        let extended = self.endpoints.find(requester, now).is_some_and(Endpoint::is_extended);
        let endpoint = Endpoint::new(source, socket, extended, now);
        //= spec/rate-limits.md#pp-rate-9
        //# Punch requests are limited to one a second and address, five at once.
        if !self.punches.take(source.ip(), now, 1) || !self.remember(now, requester, endpoint, directory) {
            return Err(Dropped);
        }
        let target_endpoint = self.endpoints.find(target, now).ok_or(Dropped)?;
        //= spec/relay.md#pp-relay-7
        //# The beacon answers a punch request with a punch command to both sides, when the registry would let the requester resolve the
        //# target and it knows both.
        if requester == target || !directory.may_resolve(requester, target) {
            return Err(Dropped);
        }
        self.counters.punches += 1;
        emit(&BeaconMessage::PunchCommand(target_endpoint.address()), endpoint, send)?;
        emit(&BeaconMessage::PunchCommand(source), target_endpoint, send)
    }

    /// 05: on to the destination as 06 (or 09), or to the beacon that serves it. The sender must be where it said it is.
    fn relay(
        &mut self,
        now: Timestamp,
        (socket, source): (u8, SocketAddr),
        (sender, destination): (NodeId, NodeId),
        data: &mut [u8],
        send: &mut impl FnMut(Outgoing<'_>),
    ) -> Result<(), Dropped> {
        let from_peer = self.peers.contains(source);
        let is_sender = || self.endpoints.find(sender, now).is_some_and(|known| known.address() == source);
        //= spec/relay.md#pp-relay-8
        //# The beacon relays only from the address it knows as the sender's, or from a configured peer beacon.
        if !from_peer && !is_sender() {
            return Err(Dropped);
        }
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        //= spec/rate-limits.md#pp-rate-8
        //# A relaying source is limited to 25,000 frames and 32 MB a second.
        if !self.relay_packets.take(source, now, 1) || !self.relay_bytes.take(source, now, bytes) {
            return Err(Dropped);
        }
        if let Some(endpoint) = self.endpoints.find(destination, now) {
            let bytes = readdress(data, sender, endpoint.is_extended()).ok_or(Dropped)?;
            send(Outgoing { socket: endpoint.socket(), to: endpoint.address(), bytes });
        } else {
            // What a peer sent is never sent to a peer again: two beacons with old gossip would play for ever.
            //= spec/relay.md#pp-relay-9
            //# A frame that came from a peer beacon is never sent to another one.
            //= spec/relay.md#pp-relay-14
            //# A frame for a node the beacon does not know is dropped.
            let peer = self.peers.serving(destination, now).filter(|_| !from_peer).ok_or(Dropped)?;
            send(Outgoing { socket, to: peer, bytes: data });
        }
        self.counters.relayed += 1;
        self.counters.relayed_bytes += bytes;
        Ok(())
    }

    /// Tells `node` to poll the registry for handshakes, if it is known where it is.
    pub fn notify(&mut self, now: Timestamp, node: NodeId, send: &mut impl FnMut(Outgoing<'_>)) {
        if let Some(endpoint) = self.endpoints.find(node, now) {
            // A two-byte message always fits.
            let _ = emit(&BeaconMessage::Notify { kind: NOTIFY_HANDSHAKE }, endpoint, send);
        }
    }

    /// Forgets silent endpoints and tells peers whom this beacon serves. To be called at [`Beacon::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Timestamp, send: &mut impl FnMut(Outgoing<'_>)) {
        self.endpoints.forget_silent(now);
        let endpoints = &self.endpoints;
        self.peers.gossip(now, self.config.id, || endpoints.nodes(), send);
    }

    /// When [`Beacon::handle_timeout`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Timestamp {
        self.endpoints.next_sweep().min(self.peers.next_gossip())
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> BeaconCounters {
        self.counters
    }

    /// Endpoints remembered, silent ones that were not forgotten yet included.
    #[must_use]
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }
}

/// Turns a 05 in `data` into what its destination gets: a 09, which differs in the type only, or a 06, which lacks the
/// destination and so begins four bytes later.
fn readdress(data: &mut [u8], sender: NodeId, extended: bool) -> Option<&[u8]> {
    const DELIVER: u8 = 0x06;
    const DELIVER_TO: u8 = 0x09;
    if extended {
        *data.first_mut()? = DELIVER_TO;
        return Some(data);
    }
    //= spec/relay.md#pp-relay-2
    //# The beacon delivers a relayed frame as type 6 and sender in front of the frame.
    //= spec/relay.md#pp-relay-3
    //# The beacon never opens a frame.
    let deliver = data.get_mut(RELAY_HEADER_LEN - RELAY_DELIVER_LEN..)?;
    let (header, _) = deliver.split_at_mut_checked(RELAY_DELIVER_LEN)?;
    let (kind, sender_bytes) = header.split_first_mut()?;
    *kind = DELIVER;
    sender_bytes.copy_from_slice(&sender.0.to_be_bytes());
    Some(deliver)
}

/// Sends a short message.
fn emit(message: &BeaconMessage<'_>, endpoint: Endpoint, send: &mut impl FnMut(Outgoing<'_>)) -> Result<(), Dropped> {
    const LONGEST: usize = 1 + 1 + 16 + 2;
    let mut buffer = [0; LONGEST];
    let len = message.emit(&mut buffer).map_err(|_| Dropped)?;
    let bytes = buffer.get(..len).ok_or(Dropped)?;
    send(Outgoing { socket: endpoint.socket(), to: endpoint.address(), bytes });
    Ok(())
}
