//! What the router's answers mean.

use super::question::{Ask, Protocol};
use super::{CHECK_INTERVAL, Lease, PortMapEvent, PortMapState, PortMapper, RETRY_FIRST, RETRY_LAST};
use crate::time::Timestamp;
use crate::wire::candidate::{Mapped, canonical};
use crate::wire::nat_pmp::NAT_PMP_NETWORK_FAILURE;
use crate::wire::pcp::{PROTOCOL_UDP, result};
use crate::wire::{NatPmpReply, PcpReply};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

impl PortMapper {
    pub(super) fn pcp_reply(&mut self, now: Timestamp, reply: PcpReply) -> bool {
        let (Some(gateway), Some(ask)) = (self.gateway, self.question.as_ref().map(|question| question.ask)) else {
            return false;
        };
        match (reply, ask) {
            (PcpReply::Announce { epoch }, Ask::Check) => self.checked(now, epoch),
            (PcpReply::Map { epoch, lifetime, mapping }, Ask::Map)
                if mapping.nonce == self.nonce
                    && mapping.protocol == PROTOCOL_UDP
                    && mapping.internal_port == gateway.socket.port() =>
            {
                let external = SocketAddr::new(IpAddr::V6(mapping.external_address), mapping.external_port);
                self.epoch.lost_state(now, epoch, Protocol::Pcp);
                self.granted(now, canonical(external), lifetime);
            }
            (PcpReply::Refused { opcode, result, epoch, lifetime, nonce }, _)
                if opcode == ask.opcode() && (ask == Ask::Check || nonce.is_none_or(|nonce| nonce == self.nonce)) =>
            {
                self.pcp_refused(now, result.get(), epoch, lifetime);
            }
            (PcpReply::Announce { .. } | PcpReply::Map { .. } | PcpReply::Refused { .. }, _) => return false,
        }
        true
    }

    fn pcp_refused(&mut self, now: Timestamp, code: u8, epoch: u32, lifetime: u32) {
        if self.question.as_ref().is_some_and(|question| question.ask == Ask::Check) {
            // A router that answers ANNOUNCE with an error is there, and tells its epoch all the same.
            return self.checked(now, epoch);
        }
        let trouble = match code {
            result::ADDRESS_MISMATCH => PortMapState::DoubleNat,
            result::NETWORK_FAILURE => PortMapState::NoExternalAddress,
            _ => PortMapState::Refused,
        };
        self.refusal = Some(trouble).filter(|_| code != result::UNSUPPORTED_VERSION);
        if self.lease.is_none() && !self.answered {
            // Also where a nonce of an earlier run bars the port: NAT-PMP has none.
            return self.use_protocol(now, Protocol::NatPmp);
        }
        self.refused(now, epoch, Some(Duration::from_secs(u64::from(lifetime))));
    }

    pub(super) fn nat_pmp_reply(&mut self, now: Timestamp, reply: NatPmpReply) -> bool {
        let (Some(gateway), Some(ask)) = (self.gateway, self.question.as_ref().map(|question| question.ask)) else {
            return false;
        };
        match (reply, ask) {
            (NatPmpReply::ExternalAddress { epoch, address }, Ask::Check) => self.address_told(now, epoch, address),
            (NatPmpReply::Map { epoch, mapping }, Ask::Map) if mapping.internal_port == gateway.socket.port() => {
                self.epoch.lost_state(now, epoch, Protocol::NatPmp);
                let address = self.address.unwrap_or(Ipv4Addr::UNSPECIFIED);
                self.granted(now, SocketAddr::new(IpAddr::V4(address), mapping.external_port), mapping.lifetime);
            }
            (NatPmpReply::Refused { opcode, result, epoch }, _) if opcode == ask.opcode() => {
                let outward = result.get() != NAT_PMP_NETWORK_FAILURE;
                self.refusal = Some(if outward { PortMapState::Refused } else { PortMapState::NoExternalAddress });
                self.answered = true;
                self.refused(now, epoch, None);
            }
            (NatPmpReply::ExternalAddress { .. } | NatPmpReply::Map { .. } | NatPmpReply::Refused { .. }, _) => {
                return false;
            }
        }
        true
    }

    fn address_told(&mut self, now: Timestamp, epoch: u32, address: Ipv4Addr) {
        self.answered = true;
        self.address = Some(address);
        if address.is_unspecified() {
            self.refusal = Some(PortMapState::NoExternalAddress);
            self.lose();
            return self.refused(now, epoch, None);
        }
        match &mut self.lease {
            None => {
                self.epoch.lost_state(now, epoch, Protocol::NatPmp);
                self.ask(now, Ask::Map);
            }
            Some(lease) => {
                let external = SocketAddr::new(IpAddr::V4(address), lease.external.port());
                if lease.external != external {
                    lease.external = external;
                    self.event(PortMapEvent::Mapped(Mapped(external)));
                }
                self.checked(now, epoch);
            }
        }
    }

    /// The router is there; does it still know our mapping?
    fn checked(&mut self, now: Timestamp, epoch: u32) {
        self.failures = 0;
        self.answered = true;
        self.question = None;
        self.idle_until = Some(now + CHECK_INTERVAL);
        //= spec/port-mapping.md#pp-pmap-5
        //# A router whose epoch went back has lost the mapping, which is asked for again at once.
        if self.epoch.lost_state(now, epoch, self.protocol)
            && let Some(lease) = &mut self.lease
        {
            lease.doubt(now);
        }
        if self.lease.as_ref().is_none_or(|lease| lease.renew <= now) {
            self.ask(now, Ask::Map);
        }
    }

    pub(super) fn granted(&mut self, now: Timestamp, external: SocketAddr, lifetime: u32) {
        if lifetime == 0 || external.port() == 0 || external.ip().is_unspecified() {
            self.trouble = Some(PortMapState::Refused);
            self.lose();
            return self.rest(now, None);
        }
        self.answered = true;
        self.failures = 0;
        self.rounds = 0;
        self.trouble = None;
        self.question = None;
        self.wish = Some(external);
        self.idle_until = (self.protocol != Protocol::Upnp).then(|| now + CHECK_INTERVAL);
        let before = self.lease.replace(Lease::new(now, external, lifetime, self.protocol, &mut self.rng));
        if before.is_none_or(|before| before.external != external) {
            self.event(PortMapEvent::Mapped(Mapped(external)));
        }
    }

    fn refused(&mut self, now: Timestamp, epoch: u32, pause: Option<Duration>) {
        self.failures = 0;
        self.trouble = self.refusal.or(Some(PortMapState::Refused));
        if self.epoch.lost_state(now, epoch, self.protocol) {
            self.lose();
        }
        self.rest(now, pause.map(|pause| pause.clamp(RETRY_FIRST, RETRY_LAST)));
    }
}
