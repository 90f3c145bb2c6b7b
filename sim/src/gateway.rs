//! A home router that maps ports on request, by PCP (RFC 6887), NAT-PMP (RFC 6886) or both. Written from the RFCs' server side.

use proto_core::Timestamp;
use proto_core::wire::nat_pmp::{NAT_PMP_UNSUPPORTED_VERSION, NatPmpMapping};
use proto_core::wire::pcp::{Nonce, PROTOCOL_UDP, PcpMapping, result};
use proto_core::wire::{NatPmpReply, NatPmpRequest, PcpReply, PcpRequest};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU8, NonZeroU16};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
struct Held {
    external_port: u16,
    expires: Timestamp,
    nonce: Option<Nonce>,
}

/// The part of a router that answers on port 5351, and the mappings it granted.
#[derive(Clone, Debug)]
pub struct GatewayModel {
    /// Its address outward; unspecified: it has none.
    pub external: Ipv4Addr,
    /// It speaks PCP.
    pub pcp: bool,
    /// It speaks NAT-PMP.
    pub nat_pmp: bool,
    /// A version it does not speak is not answered at all, though it should be.
    pub rude: bool,
    /// It maps no ports, with this result.
    pub refuse: Option<u8>,
    /// The longest lifetime it grants, seconds.
    pub longest: u32,
    /// When it began to count its epoch.
    started: Timestamp,
    held: BTreeMap<SocketAddr, Held>,
    next_port: u16,
}

impl GatewayModel {
    /// A router that speaks both protocols and grants everything.
    #[must_use]
    pub const fn new(external: Ipv4Addr, started: Timestamp) -> Self {
        Self {
            external,
            pcp: true,
            nat_pmp: true,
            rude: false,
            refuse: None,
            longest: 7200,
            started,
            held: BTreeMap::new(),
            next_port: 50_000,
        }
    }

    /// Loses all mappings, and counts its epoch from now.
    pub fn reboot(&mut self, now: Timestamp) {
        self.held.clear();
        self.started = now;
    }

    /// Whom a datagram to `external_port` is for.
    #[must_use]
    pub fn forward(&self, now: Timestamp, external_port: u16) -> Option<SocketAddr> {
        self.held
            .iter()
            .find(|(_, held)| held.external_port == external_port && held.expires > now)
            .map(|(inside, _)| *inside)
    }

    /// Mappings it holds.
    #[must_use]
    pub fn mappings(&self, now: Timestamp) -> usize {
        self.held.values().filter(|held| held.expires > now).count()
    }

    /// Gives `external_port` to somebody else.
    pub fn occupy(&mut self, external_port: u16) {
        let elsewhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 250)), external_port);
        self.held.insert(elsewhere, Held { external_port, expires: Timestamp::FAR_FUTURE, nonce: None });
    }

    /// What it answers to a datagram that reached its port 5351, if anything.
    #[must_use]
    pub fn answer(&mut self, now: Timestamp, from: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; 64];
        let epoch = u32::try_from(now.saturating_since(self.started).as_secs()).unwrap();
        let len = match (data.first()?, self.pcp, self.nat_pmp) {
            (2, true, _) => self.pcp(now, epoch, from, PcpRequest::parse(data).ok()?).emit(&mut out),
            (0, _, true) => self.nat_pmp(now, epoch, from, NatPmpRequest::parse(data).ok()?).emit(&mut out),
            _ if self.rude => return None,
            (0, true, false) => {
                let result = NonZeroU8::new(result::UNSUPPORTED_VERSION).unwrap();
                PcpReply::Refused { opcode: data[1] & 0x7F, result, epoch, lifetime: 0, nonce: None }.emit(&mut out)
            }
            (_, _, true) => {
                let result = NonZeroU16::new(NAT_PMP_UNSUPPORTED_VERSION).unwrap();
                NatPmpReply::Refused { opcode: data[1] & 0x7F, result, epoch }.emit(&mut out)
            }
            _ => return None,
        };
        out.truncate(len.unwrap());
        Some(out)
    }

    fn pcp(&mut self, now: Timestamp, epoch: u32, from: SocketAddr, request: PcpRequest) -> PcpReply {
        let PcpRequest::Map { client, lifetime, mapping } = request else { return PcpReply::Announce { epoch } };
        let refused = |code: u8| {
            let result = NonZeroU8::new(code).unwrap();
            PcpReply::Refused { opcode: 1, result, epoch, lifetime: 30, nonce: Some(mapping.nonce) }
        };
        if IpAddr::V6(client).to_canonical() != from.ip() {
            return refused(result::ADDRESS_MISMATCH);
        }
        if let Some(code) = self.refuse {
            return refused(code);
        }
        let inside = SocketAddr::new(from.ip(), mapping.internal_port);
        if self.held.get(&inside).is_some_and(|held| held.expires > now && held.nonce != Some(mapping.nonce)) {
            return refused(result::NOT_AUTHORIZED);
        }
        assert_eq!(mapping.protocol, PROTOCOL_UDP);
        let (external_port, lifetime) = self.map(now, inside, mapping.external_port, lifetime, Some(mapping.nonce));
        let mapping = PcpMapping { external_port, external_address: self.external.to_ipv6_mapped(), ..mapping };
        PcpReply::Map { epoch, lifetime, mapping }
    }

    fn nat_pmp(&mut self, now: Timestamp, epoch: u32, from: SocketAddr, request: NatPmpRequest) -> NatPmpReply {
        let NatPmpRequest::Map(asked) = request else {
            return NatPmpReply::ExternalAddress { epoch, address: self.external };
        };
        if let Some(code) = self.refuse {
            let result = NonZeroU16::new(u16::from(code)).unwrap();
            return NatPmpReply::Refused { opcode: 1, result, epoch };
        }
        let inside = SocketAddr::new(from.ip(), asked.internal_port);
        let (external_port, lifetime) = self.map(now, inside, asked.external_port, asked.lifetime, None);
        NatPmpReply::Map { epoch, mapping: NatPmpMapping { external_port, lifetime, ..asked } }
    }

    fn map(
        &mut self,
        now: Timestamp,
        inside: SocketAddr,
        wish: u16,
        lifetime: u32,
        nonce: Option<Nonce>,
    ) -> (u16, u32) {
        if lifetime == 0 {
            assert_eq!(wish, 0, "a deletion names no external port");
            self.held.remove(&inside);
            return (0, 0);
        }
        let lifetime = lifetime.min(self.longest);
        let taken = |port: u16| self.held.iter().any(|(other, held)| *other != inside && held.external_port == port);
        let external_port = match self.held.get(&inside) {
            Some(held) if held.expires > now => held.external_port,
            _ if wish != 0 && !taken(wish) => wish,
            _ => {
                self.next_port += 1;
                self.next_port
            }
        };
        let expires = now + Duration::from_secs(u64::from(lifetime));
        self.held.insert(inside, Held { external_port, expires, nonce });
        (external_port, lifetime)
    }
}
