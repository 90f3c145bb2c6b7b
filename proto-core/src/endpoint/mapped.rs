//! What the router forwards to the host's sockets.

use super::inner::Endpoint;
use crate::ids::SocketId;
use crate::limits;
use crate::wire::candidate::{Mapped, Reach};
use core::net::SocketAddr;

impl Endpoint {
    pub(super) fn port_mapped(&mut self, via: SocketId, external: SocketAddr) {
        let known = self.mapped.contains_key(&via);
        let room = known || self.mapped.len() < limits::MAX_MAPPINGS;
        if !self.config.ladder.port_mapping || Reach::of(external) == Reach::Nowhere || !room {
            return self.drops.count("port_mapping_unusable");
        }
        if self.mapped.insert(via, Mapped(external)) != Some(Mapped(external)) {
            self.tell_endpoint();
            self.own_addresses_changed();
        }
    }

    pub(super) fn port_mapping_lost(&mut self, via: SocketId) {
        if self.mapped.remove(&via).is_some() {
            self.tell_endpoint();
        }
    }

    /// Relayed peers hear of it, and try it.
    pub(super) fn own_addresses_changed(&mut self) {
        let now = self.now;
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            self.with_peer(node, |peer| peer.path.own_addresses_changed(now));
        }
    }

    /// What the router forwards to the first socket, where no second NAT stands before it: anybody can reach that.
    pub(super) fn mapped_endpoint(&self) -> Option<SocketAddr> {
        let mapped = self.mapped.get(&SocketId(0))?.0;
        let outermost = self.discovery.reflexive().is_none_or(|seen| seen.0.ip() == mapped.ip());
        (outermost && Reach::of(mapped) == Reach::Global).then_some(mapped)
    }
}
