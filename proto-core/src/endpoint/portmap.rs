//! The router's port: what is sent to it, and what becomes of its answer.

use super::Event;
use super::inner::Endpoint;
use super::recording::Command;
use crate::ids::SocketId;
use crate::nat::{Gateway, PortMapEvent, PortMapState, PortMapStatus, UpnpAnswer};
use crate::wire::candidate::{Mapped, Reach};
use core::net::SocketAddr;

/// The socket that is mapped.
const MAPPED: SocketId = SocketId(0);

impl Endpoint {
    pub(super) fn gateway_told(&mut self, gateway: Option<Gateway>) {
        if !self.config.ladder.port_mapping || !self.wants_port_mapping() {
            return;
        }
        // Whoever has a public address itself has no NAT to ask.
        self.portmap.set_gateway(self.now, gateway.filter(|gateway| Reach::of(gateway.socket) == Reach::Site));
    }

    pub(super) fn upnp_answered(&mut self, gateway: Gateway, answer: UpnpAnswer) {
        if !self.portmap.handle_upnp(self.now, gateway, answer) {
            self.drops.count("port_mapping_answer_unusable");
        }
    }

    /// Where all peers are on this host, or none is reached directly, the router is left in peace.
    fn wants_port_mapping(&self) -> bool {
        !self.config.relay_only && self.config.beacons.iter().any(|beacon| Reach::of(*beacon) > Reach::Host)
    }

    /// Whether `data` was for the port mapper: its answers look like beacon messages, but for their source.
    pub(super) fn handle_portmap(&mut self, via: SocketId, from: SocketAddr, data: &[u8]) -> bool {
        if via != MAPPED || !self.portmap.is_reply(from, data) || self.config.beacons.contains(&from) {
            return false;
        }
        if !self.portmap.handle_reply(self.now, from, data) {
            self.drops.count("port_mapping_answer_unusable");
        }
        true
    }

    pub(super) fn settle_portmap(&mut self) -> bool {
        let mut busy = false;
        loop {
            if let Some(action) = self.portmap.poll_action() {
                self.send_raw(MAPPED, action.to, action.bytes);
            } else if let Some(event) = self.portmap.poll_event() {
                match event {
                    PortMapEvent::Mapped(_) => self.offer_mapping(),
                    PortMapEvent::Lost => self.port_mapping_lost(MAPPED),
                    PortMapEvent::GatewayWanted => self.event(Event::GatewayWanted),
                    PortMapEvent::Upnp(request) => self.event(Event::Upnp(request)),
                }
            } else {
                return busy;
            }
            busy = true;
        }
    }

    /// What the beacon sees may make a mapping usable, or show that it is not.
    pub(super) fn offer_mapping(&mut self) {
        let Some(mapped) = self.portmap.mapped() else { return };
        if self.is_usable(mapped) {
            self.port_mapped(MAPPED, mapped.0);
        } else {
            self.port_mapping_lost(MAPPED);
        }
    }

    //= spec/port-mapping.md#pp-pmap-9
    //# A mapped address that is not globally routable is offered to nobody, unless the beacon sees the same address, and is told as a
    //# double NAT.
    fn is_usable(&self, mapped: Mapped) -> bool {
        let seen = self.discovery.reflexive().is_some_and(|seen| seen.0.ip() == mapped.0.ip());
        seen || Reach::of(mapped.0) == Reach::Global
    }

    /// Gives the port at the router back, on the way out. Nothing is asked of the router after it.
    pub fn release_port_mapping(&mut self, now: crate::time::Timestamp) {
        self.record(now, || Command::ReleasePortMapping.into());
        self.advance(now);
        self.portmap.release();
        self.settle();
    }

    /// Whether the router forwards a port to us, and if not, why.
    #[must_use]
    pub fn port_mapping(&self) -> PortMapStatus {
        let own = self.portmap.status();
        if !self.config.ladder.port_mapping {
            return PortMapStatus { state: PortMapState::Off, ..own };
        }
        let public = self.local_addresses.first().is_some_and(|own| Reach::of(*own) == Reach::Global);
        if !self.wants_port_mapping() || own.gateway.is_none() && public {
            return PortMapStatus { state: PortMapState::NotNeeded, ..own };
        }
        let host = self.mapped.get(&MAPPED).filter(|_| own.external.is_none());
        match (own.external, host) {
            (Some(external), _) if !self.is_usable(Mapped(external)) => {
                PortMapStatus { state: PortMapState::DoubleNat, ..own }
            }
            (None, Some(mapped)) => {
                PortMapStatus { state: PortMapState::Mapped, protocol: Some("UPnP"), external: Some(mapped.0), ..own }
            }
            (Some(_) | None, _) => own,
        }
    }
}
