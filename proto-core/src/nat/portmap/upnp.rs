//! What the host asks the router in its stead by UPnP, and what the answers mean.

use super::question::Protocol;
use super::{Gateway, PortMapEvent, PortMapState, PortMapper};
use crate::time::Timestamp;
use core::net::SocketAddr;

/// Seconds asked for. UPnP tells no restart of the router, so that each renewal is also the look whether it still knows.
const LIFETIME: u32 = 600;

/// Something for the host to ask by UPnP Internet Gateway Device, of the gateway's own address only. It gives up by itself within 50 s, and
/// carries out one request after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpnpRequest {
    /// Forward a UDP port to `gateway.socket`; to be answered with a [`UpnpAnswer`].
    Map {
        /// The router, and the socket as it sees it.
        gateway: Gateway,
        /// The external port that would be nice to have.
        external_port: u16,
        /// The lease, seconds.
        lifetime: u32,
    },
    /// Do not forward `external_port` any more; needs no answer.
    Unmap {
        /// The router.
        gateway: Gateway,
        /// The port that it forwards.
        external_port: u16,
    },
}

/// What the router said to [`UpnpRequest::Map`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum UpnpAnswer {
    /// It forwards from there.
    Mapped(SocketAddr),
    /// It answers no.
    Refused,
    /// Nothing, or nothing that could be understood.
    Silence,
}

impl PortMapper {
    /// The host's answer for this gateway. Whether it was taken: only while the question is open.
    pub fn handle_upnp(&mut self, now: Timestamp, gateway: Gateway, answer: UpnpAnswer) -> bool {
        if self.gateway != Some(gateway) || self.protocol != Protocol::Upnp || self.question.is_none() {
            return false;
        }
        match answer {
            UpnpAnswer::Mapped(external) if external.ip().is_unspecified() => {
                self.refusal = Some(PortMapState::NoExternalAddress);
                self.lose();
                self.upnp_refused(now);
            }
            UpnpAnswer::Mapped(external) => self.granted(now, external, LIFETIME),
            UpnpAnswer::Refused => {
                self.refusal = Some(PortMapState::Refused);
                self.upnp_refused(now);
            }
            UpnpAnswer::Silence => self.unanswered(now),
        }
        true
    }

    fn upnp_refused(&mut self, now: Timestamp) {
        self.answered = true;
        self.failures = 0;
        self.trouble = self.refusal;
        self.rest(now, None);
    }

    //= spec/port-mapping.md#pp-pmap-10
    //# A gateway that answers neither PCP nor NAT-PMP is asked by UPnP Internet Gateway Device, where the host speaks it.
    //= spec/port-mapping.md#pp-pmap-11
    //# A UPnP mapping is asked for with a lease of 600 seconds.
    /// Asks for the port that was granted last, else for the one that the socket has; or gives it back.
    pub(super) fn send_upnp(&mut self, gateway: Gateway, wanted: bool) {
        let external_port = self.wish.map_or(gateway.socket.port(), |wish| wish.port());
        self.event(PortMapEvent::Upnp(if wanted {
            UpnpRequest::Map { gateway, external_port, lifetime: LIFETIME }
        } else {
            UpnpRequest::Unmap { gateway, external_port }
        }));
    }
}
