//! Where nodes are, as their own datagrams show. Decides when a node may be somewhere else; refuses to know why it asks.

use crate::limits::{ENDPOINT_LIFETIME, ENDPOINT_TAKEOVER_SILENCE, MAX_ENDPOINTS};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use proto_core::{NodeId, Timestamp};
use std::collections::BTreeMap;

/// How often silent endpoints are looked for; until then they only count as forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// One node's place, in 32 bytes: there may be half a million.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    /// IPv4 addresses are mapped.
    ip: Ipv6Addr,
    port: u16,
    socket: u8,
    extended: bool,
    seen: Timestamp,
}

impl Endpoint {
    /// `address`, seen on UDP port number `socket`; `extended` when it wants 09 instead of 06.
    pub(super) const fn new(address: SocketAddr, socket: u8, extended: bool, now: Timestamp) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip, port: address.port(), socket, extended, seen: now }
    }

    pub(super) fn address(self) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.ip).to_canonical(), self.port)
    }

    pub(super) const fn socket(self) -> u8 {
        self.socket
    }

    pub(super) const fn is_extended(self) -> bool {
        self.extended
    }

    const fn silence(self, now: Timestamp) -> Duration {
        now.saturating_since(self.seen)
    }
}

/// All places.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    places: BTreeMap<NodeId, Endpoint>,
    next_sweep: Timestamp,
}

impl Endpoints {
    /// Where `node` is, unless it was silent too long.
    pub(super) fn find(&self, node: NodeId, now: Timestamp) -> Option<Endpoint> {
        //= spec/relay.md#pp-relay-12
        //# A beacon forgets an endpoint after 10 minutes of silence.
        self.places.get(&node).copied().filter(|known| known.silence(now) < ENDPOINT_LIFETIME)
    }

    /// Notes that `node` was seen at `endpoint`; false when that is not believed or there is no room. A live node may
    /// move when it keeps its IP address, when `registered` says that the registry saw it there, or after
    /// [`ENDPOINT_TAKEOVER_SILENCE`].
    pub(super) fn update(
        &mut self,
        node: NodeId,
        endpoint: Endpoint,
        now: Timestamp,
        registered: impl FnOnce() -> bool,
    ) -> bool {
        let Some(known) = self.places.get_mut(&node) else {
            let room = self.places.len() < MAX_ENDPOINTS;
            if room {
                self.places.insert(node, endpoint);
            }
            return room;
        };
        let lapsed = known.silence(now) >= ENDPOINT_TAKEOVER_SILENCE;
        //= spec/relay.md#pp-relay-13
        //# A live node's endpoint moves to another IP address only when the registry saw its registration from there or after 90 seconds of
        //# silence.
        if !lapsed && known.ip != endpoint.ip && !registered() {
            return false;
        }
        // Behind some NATs each of our ports sees another mapping. The first port's one is kept, so that frames sent
        // to that port go on to be recognised as the node's while it measures its NAT through the others.
        let measuring = endpoint.socket > known.socket && known.ip == endpoint.ip && !lapsed;
        if !measuring {
            *known = endpoint;
        }
        true
    }

    /// Forgets who was silent for [`ENDPOINT_LIFETIME`], at most once in [`SWEEP_INTERVAL`].
    pub(super) fn forget_silent(&mut self, now: Timestamp) {
        if now >= self.next_sweep {
            self.places.retain(|_, known| known.silence(now) < ENDPOINT_LIFETIME);
            self.next_sweep = now + SWEEP_INTERVAL;
        }
    }

    pub(super) const fn next_sweep(&self) -> Timestamp {
        self.next_sweep
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.places.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}
