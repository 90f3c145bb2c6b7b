//! The host's sockets beside the first: who asked for them, and the one by which the NAT's memory is measured.

use super::Event;
use super::inner::Endpoint;
use crate::ids::{NodeId, SocketId};
use crate::limits;
use crate::nat::{LifetimeAction, NatType};
use crate::path::Route;
use crate::wire::BeaconMessage;
use crate::wire::candidate::{Reach, canonical};

/// Whom the host's next answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    Search,
    Lifetime,
}

impl Endpoint {
    pub(super) fn open_sockets(&mut self, opener: Opener, count: u16) {
        let measuring = usize::from(self.lifetime_socket.is_some());
        let room = limits::MAX_EXTRA_SOCKETS.saturating_sub(self.extra_sockets.len() + measuring);
        if self.opening.len() >= limits::MAX_OPENINGS {
            self.opening.pop_front();
        }
        self.opening.push_back(opener);
        self.event(Event::OpenSockets(count.min(u16::try_from(room).unwrap_or(count))));
    }

    pub(super) fn sockets_opened(&mut self, sockets: &[SocketId]) {
        let now = self.now;
        match self.opening.pop_front() {
            Some(Opener::Search) => self.search_sockets_opened(sockets),
            Some(Opener::Lifetime) => {
                self.lifetime_socket = sockets.first().copied();
                self.lifetime.opened(now, self.lifetime_socket);
                if let Some(surplus) = sockets.get(1..).filter(|surplus| !surplus.is_empty()) {
                    self.event(Event::CloseSockets(surplus.to_vec()));
                }
            }
            // Nobody asked.
            None if !sockets.is_empty() => self.event(Event::CloseSockets(sockets.to_vec())),
            None => {}
        }
    }

    /// A direct path through our NAT is in use: how long that keeps a mapping becomes of interest, if it can be seen at all.
    pub(super) fn measure_lifetime(&mut self, route: Route) {
        let Route::Direct { address, .. } = route else { return };
        let locals = self.own_local();
        let natted = matches!(self.discovery.nat_type(&locals), NatType::EndpointIndependent | NatType::Symmetric(_));
        let seen = self.discovery.reflexive().map(|seen| seen.0.port());
        // A NAT that gives every mapping the inside port shows the same one whether it forgot or not.
        let preserves = locals.iter().any(|local| Some(canonical(local.0).port()) == seen);
        if natted && !preserves && Reach::of(address) == Reach::Global {
            self.lifetime.begin(self.now);
        }
    }

    pub(super) fn settle_lifetime(&mut self) -> bool {
        let Some(action) = self.lifetime.poll_action() else { return false };
        match action {
            LifetimeAction::Open => self.open_sockets(Opener::Lifetime, 1),
            LifetimeAction::Observe(socket) => self.ask_beacon_from(socket, 0),
            LifetimeAction::Close(socket) => {
                self.lifetime_socket = None;
                self.event(Event::CloseSockets(vec![socket]));
                self.tell_keepalive();
            }
        }
        true
    }

    pub(super) fn tell_keepalive(&mut self) {
        let interval = self.lifetime.keepalive();
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            self.with_peer(node, |peer| peer.path.set_keepalive(interval));
        }
    }

    /// Asks one of the beacon's addresses what it sees of one of the further sockets. As nobody: the beacon's entry for us is the first's.
    pub(super) fn ask_beacon_from(&mut self, socket: SocketId, number: usize) {
        let question = BeaconMessage::Discover { node: NodeId::UNASSIGNED, key: None };
        if let (Some(beacon), Ok(bytes)) = (self.config.beacons.get(number).copied(), question.to_vec()) {
            self.send_raw(socket, beacon, bytes);
        }
    }
}
