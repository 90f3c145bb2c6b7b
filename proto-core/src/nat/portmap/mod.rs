//! A port at the router (RFC 6887, RFC 6886, UPnP): asked for, kept, restored, and given back.
//!
//! Decides what to ask the default gateway and when, and what its answers mean. Refuses to know whether the granted address is of use to
//! anybody, and how the gateway is found: the host tells it.
//!
//! One mapping, one question at a time. A round tries PCP, then NAT-PMP, then UPnP where the host speaks it. Three questions without an
//! answer, and the gateway itself is in doubt: the host is asked to look for it again, and whatever it finds gets the mapping anew.

mod epoch;
mod lease;
mod question;
mod replies;
mod status;
mod upnp;

use crate::limits;
use crate::rng::Rng;
use crate::time::Timestamp;
use crate::wire::candidate::{Mapped, canonical};
use crate::wire::nat_pmp::{NAT_PMP_UNSUPPORTED_VERSION, NAT_PMP_VERSION, NatPmpMapping};
use crate::wire::pcp::{Nonce, PCP_MAP_LEN, PCP_VERSION, PROTOCOL_UDP, PcpMapping, result};
use crate::wire::{NatPmpReply, NatPmpRequest, PcpReply, PcpRequest};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use epoch::Epoch;
use lease::Lease;
pub use question::Protocol;
use question::{Ask, Question};
pub use status::{PortMapState, PortMapStatus};
use std::collections::VecDeque;
pub use upnp::{UpnpAnswer, UpnpRequest};

/// Where routers listen for NAT-PMP and PCP.
pub const GATEWAY_PORT: u16 = 5351;
/// Seconds asked for. A router that lost power forgets without a word, so not the 7,200 of RFC 6886.
const LIFETIME: u32 = 3600;
/// Between two looks whether the router still knows: its epoch tells a restart, which costs the mapping.
const CHECK_INTERVAL: Duration = Duration::from_secs(120);
/// The same after one that was not answered.
const CHECK_AGAIN: Duration = Duration::from_secs(30);
/// Pause after a first round without success; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(60);
/// The longest such pause.
const RETRY_LAST: Duration = Duration::from_secs(3600);
/// Questions without an answer until the gateway is looked for again.
//= spec/port-mapping.md#pp-pmap-6
//# After three unanswered questions the host is asked for its gateway again, and the mapping is restored there.
const FAILURES: u32 = 3;

/// The host's default gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Gateway {
    /// The router's address on the host's network.
    pub address: IpAddr,
    /// The endpoint's socket as the router sees it: the host's address on that network, and the socket's port.
    pub socket: SocketAddr,
}

/// A datagram for the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapAction {
    /// The gateway, port 5351.
    pub to: SocketAddr,
    /// The question.
    pub bytes: Vec<u8>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortMapEvent {
    /// The router forwards from there.
    Mapped(Mapped),
    /// It does not any more.
    Lost,
    /// The gateway is silent; [`PortMapper::set_gateway`] has to say whether it is still the one.
    GatewayWanted,
    /// The host has to ask the router; [`PortMapper::handle_upnp`] has to say what came of it.
    Upnp(UpnpRequest),
}

/// Keeps one UDP port mapped.
#[derive(Debug)]
pub struct PortMapper {
    rng: Rng,
    gateway: Option<Gateway>,
    /// The host speaks UPnP.
    upnp: bool,
    protocol: Protocol,
    /// The gateway answered in this protocol.
    answered: bool,
    nonce: Nonce,
    epoch: Epoch,
    question: Option<Question>,
    lease: Option<Lease>,
    /// What to ask for again.
    wish: Option<SocketAddr>,
    /// The router's address, told by NAT-PMP apart from the mapping.
    address: Option<Ipv4Addr>,
    /// Next check of a mapping, or next round without one.
    idle_until: Option<Timestamp>,
    /// What stood in the way in the last round that ended.
    trouble: Option<PortMapState>,
    /// What the router said in this round.
    refusal: Option<PortMapState>,
    failures: u32,
    rounds: u32,
    /// The host was asked for the gateway.
    wanted: bool,
    actions: VecDeque<PortMapAction>,
    events: VecDeque<PortMapEvent>,
}

impl PortMapper {
    /// Nothing is asked until the gateway is told. `upnp`: the host can ask by UPnP.
    #[must_use]
    pub fn new(mut rng: Rng, upnp: bool) -> Self {
        Self {
            nonce: rng.bytes(),
            rng,
            gateway: None,
            upnp,
            protocol: Protocol::Pcp,
            answered: false,
            epoch: Epoch::default(),
            question: None,
            lease: None,
            wish: None,
            address: None,
            idle_until: None,
            trouble: Some(PortMapState::NoGateway),
            refusal: None,
            failures: 0,
            rounds: 0,
            wanted: false,
            actions: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The host's gateway now, `None` when there is none (or none that could be asked: only IPv4 routers map ports). Telling it again
    /// changes nothing, unless [`PortMapEvent::GatewayWanted`] asked for it.
    pub fn set_gateway(&mut self, now: Timestamp, gateway: Option<Gateway>) {
        let gateway = gateway.filter(|gateway| gateway.address.is_ipv4() && gateway.socket.is_ipv4());
        let asked_for = core::mem::take(&mut self.wanted);
        if gateway != self.gateway {
            //= spec/port-mapping.md#pp-pmap-7
            //# A mapping at another gateway, or for another socket, counts as lost.
            self.lose();
            self.wish = None;
            self.nonce = self.rng.bytes();
            self.epoch = Epoch::default();
            self.rounds = 0;
            self.gateway = gateway;
        } else if !asked_for {
            return;
        } else if let Some(lease) = &mut self.lease {
            // Whatever the router says of its past, it is asked for the mapping anew.
            lease.doubt(now);
        }
        self.question = None;
        self.idle_until = None;
        self.failures = 0;
        self.answered = false;
        self.trouble = None;
        if self.gateway.is_some() {
            self.begin_round(now);
        } else {
            self.trouble = Some(PortMapState::NoGateway);
        }
    }

    /// There is reason to doubt the mapping: asks for it at once. The epoch does not show a restart soon after another one.
    pub fn check(&mut self, now: Timestamp) {
        if self.gateway.is_none() {
            return;
        }
        self.rounds = 0;
        match &mut self.lease {
            Some(lease) => lease.doubt(now),
            None => self.idle_until = Some(now),
        }
        if self.question.is_none() {
            self.handle_timeout(now);
        }
    }

    /// `data` is for [`Self::handle_reply`]: it comes from the gateway, and nothing of Pilot begins with such a byte there.
    #[must_use]
    pub fn is_reply(&self, from: SocketAddr, data: &[u8]) -> bool {
        self.destination() == Some(canonical(from)) && matches!(data.first(), Some(&(NAT_PMP_VERSION | PCP_VERSION)))
    }

    /// An answer of the router. Whether it was taken.
    pub fn handle_reply(&mut self, now: Timestamp, from: SocketAddr, data: &[u8]) -> bool {
        //= spec/port-mapping.md#pp-pmap-2
        //# An answer counts only from the gateway's port 5351, while a question is open, and with that question's nonce or port.
        if self.destination() != Some(canonical(from)) || self.question.is_none() {
            return false;
        }
        match self.protocol {
            Protocol::Pcp => match (PcpReply::parse(data), NatPmpReply::parse(data)) {
                (Ok(reply), _) => self.pcp_reply(now, reply),
                (_, Ok(NatPmpReply::Refused { result, .. })) if result.get() == NAT_PMP_UNSUPPORTED_VERSION => {
                    self.use_protocol(now, Protocol::NatPmp);
                    true
                }
                _ => false,
            },
            Protocol::NatPmp => match (NatPmpReply::parse(data), PcpReply::parse(data)) {
                (Ok(reply), _) => self.nat_pmp_reply(now, reply),
                // A first PCP question was lost.
                (_, Ok(PcpReply::Refused { result, .. }))
                    if result.get() == result::UNSUPPORTED_VERSION && !self.answered =>
                {
                    self.use_protocol(now, Protocol::Pcp);
                    self.answered = true;
                    true
                }
                _ => false,
            },
            Protocol::Upnp => false,
        }
    }

    /// Gives the port back, on the way out. Nothing is asked any more until another gateway is told.
    pub fn release(&mut self) {
        let asked = self.question.as_ref().is_some_and(|question| question.ask == Ask::Map);
        if self.lease.is_some() || asked {
            //= spec/port-mapping.md#pp-pmap-8
            //# At its end a node deletes its mapping.
            self.send_map(0, None);
        }
        self.lose();
        self.question = None;
        self.gateway = None;
        self.idle_until = None;
        self.trouble = Some(PortMapState::Off);
    }

    /// The address the router forwards from.
    #[must_use]
    pub fn mapped(&self) -> Option<Mapped> {
        self.lease.as_ref().map(|lease| Mapped(lease.external))
    }

    /// For a person, and for lists.
    #[must_use]
    pub fn status(&self) -> PortMapStatus {
        let state = match (&self.lease, self.trouble) {
            (Some(_), _) => PortMapState::Mapped,
            (None, Some(trouble)) => trouble,
            (None, None) => PortMapState::Asking,
        };
        PortMapStatus {
            state,
            protocol: self.answered.then_some(self.protocol.name()),
            gateway: self.gateway.map(|gateway| gateway.address),
            external: self.lease.as_ref().map(|lease| lease.external),
        }
    }

    /// The next datagram to send.
    pub fn poll_action(&mut self) -> Option<PortMapAction> {
        self.actions.pop_front()
    }

    /// The next finding.
    pub fn poll_event(&mut self) -> Option<PortMapEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.gateway?;
        let expires = self.lease.as_ref().map(|lease| lease.expires);
        let next = match &self.question {
            Some(question) => Some(question.next),
            None => self.lease.as_ref().map(|lease| lease.renew).into_iter().chain(self.idle_until).min(),
        };
        expires.into_iter().chain(next).min()
    }

    /// Asks again, gives up, renews or checks, whichever is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.gateway.is_none() {
            return;
        }
        if self.lease.as_ref().is_some_and(|lease| lease.expires <= now) {
            self.lose();
            if self.question.is_none() {
                return self.begin_round(now);
            }
        }
        match &mut self.question {
            Some(question) if question.next > now => {}
            Some(question) if question.may_repeat(self.answered, self.upnp) => {
                question.repeat(now, &mut self.rng);
                let ask = question.ask;
                self.send(ask);
            }
            Some(_) => self.unanswered(now),
            None => self.idle_over(now),
        }
    }

    fn idle_over(&mut self, now: Timestamp) {
        let renew = self.lease.as_ref().is_some_and(|lease| lease.renew <= now);
        let doubted = self.lease.as_ref().is_some_and(|lease| lease.doubted);
        let idle = self.idle_until.is_some_and(|at| at <= now);
        match (renew, idle, self.lease.is_some()) {
            // Over NAT-PMP the address may be another one too, and is told apart: the mapping is asked for behind it.
            (true, _, _) if doubted && self.protocol == Protocol::NatPmp => self.ask(now, Ask::Check),
            (true, _, _) => self.ask(now, Ask::Map),
            (false, true, true) => self.ask(now, Ask::Check),
            (false, true, false) => self.begin_round(now),
            (false, false, _) => {}
        }
    }

    //= spec/nat.md#pp-nat-17
    //# A router is asked for a port mapping.
    //= spec/port-mapping.md#pp-pmap-1
    //# The default gateway, and nobody else, is asked for a mapping: at its port 5351 by PCP first, and by NAT-PMP when it does not speak that.
    fn begin_round(&mut self, now: Timestamp) {
        self.refusal = None;
        self.use_protocol(now, Protocol::Pcp);
    }

    fn use_protocol(&mut self, now: Timestamp, protocol: Protocol) {
        self.protocol = protocol;
        self.answered = false;
        self.ask(now, if protocol == Protocol::NatPmp { Ask::Check } else { Ask::Map });
    }

    fn ask(&mut self, now: Timestamp, ask: Ask) {
        // UPnP has nothing to check but the mapping itself.
        let ask = if self.protocol == Protocol::Upnp { Ask::Map } else { ask };
        self.idle_until = None;
        self.question = Some(Question::new(now, self.protocol, ask, &mut self.rng));
        self.send(ask);
    }

    fn unanswered(&mut self, now: Timestamp) {
        match self.protocol {
            Protocol::Pcp if !self.answered => return self.use_protocol(now, Protocol::NatPmp),
            Protocol::NatPmp if !self.answered && self.upnp => return self.use_protocol(now, Protocol::Upnp),
            Protocol::Pcp | Protocol::NatPmp | Protocol::Upnp => {}
        }
        self.failures += 1;
        // A refusal in the other protocol says more than silence in this one.
        self.trouble = self.refusal.or(Some(PortMapState::Unanswered));
        self.rest(now, None);
        if self.failures >= FAILURES && !self.wanted {
            self.wanted = true;
            self.event(PortMapEvent::GatewayWanted);
        }
    }

    /// Nothing more to ask for now.
    fn rest(&mut self, now: Timestamp, pause: Option<Duration>) {
        self.question = None;
        let backoff = RETRY_FIRST.saturating_mul(1 << self.rounds.min(6)).min(RETRY_LAST);
        let pause = match &mut self.lease {
            Some(lease) => {
                lease.postpone(now);
                CHECK_AGAIN
            }
            None => {
                self.rounds += 1;
                pause.unwrap_or(backoff)
            }
        };
        self.idle_until = Some(now + pause);
    }

    fn lose(&mut self) {
        if self.lease.take().is_some() {
            self.event(PortMapEvent::Lost);
        }
    }

    fn destination(&self) -> Option<SocketAddr> {
        self.gateway.map(|gateway| SocketAddr::new(gateway.address, GATEWAY_PORT))
    }

    fn send(&mut self, ask: Ask) {
        match (ask, self.protocol) {
            (Ask::Map, _) | (Ask::Check, Protocol::Upnp) => self.send_map(LIFETIME, self.wish),
            (Ask::Check, Protocol::Pcp) => {
                if let Some(gateway) = self.gateway {
                    let request = PcpRequest::Announce { client: mapped_v6(gateway.socket.ip()) };
                    self.action(|out| request.emit(out));
                }
            }
            (Ask::Check, Protocol::NatPmp) => self.action(|out| NatPmpRequest::ExternalAddress.emit(out)),
        }
    }

    /// `wish`: the external address that would be nice to have; where none is known, the port that the socket has. A deletion has none.
    fn send_map(&mut self, lifetime: u32, wish: Option<SocketAddr>) {
        let Some(gateway @ Gateway { socket, .. }) = self.gateway else { return };
        let own_port = if lifetime == 0 { 0 } else { socket.port() };
        let external_port = wish.map_or(own_port, |wish| wish.port());
        match self.protocol {
            Protocol::Pcp => {
                let external = wish.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |wish| wish.ip());
                let mapping = PcpMapping {
                    nonce: self.nonce,
                    protocol: PROTOCOL_UDP,
                    internal_port: socket.port(),
                    external_port,
                    external_address: mapped_v6(external),
                };
                let request = PcpRequest::Map { client: mapped_v6(socket.ip()), lifetime, mapping };
                self.action(|out| request.emit(out));
            }
            Protocol::NatPmp => {
                let request =
                    NatPmpRequest::Map(NatPmpMapping { internal_port: socket.port(), external_port, lifetime });
                self.action(|out| request.emit(out));
            }
            Protocol::Upnp => self.send_upnp(gateway, lifetime > 0),
        }
    }

    fn action(&mut self, emit: impl Fn(&mut [u8]) -> Result<usize, crate::wire::EmitError>) {
        let mut bytes = vec![0; PCP_MAP_LEN];
        if let (Some(to), Ok(len)) = (self.destination(), emit(&mut bytes))
            && self.actions.len() < limits::PORT_MAPPING_QUEUE
        {
            bytes.truncate(len);
            self.actions.push_back(PortMapAction { to, bytes });
        }
    }

    fn event(&mut self, event: PortMapEvent) {
        if self.events.len() < limits::PORT_MAPPING_QUEUE {
            self.events.push_back(event);
        }
    }
}

fn mapped_v6(address: IpAddr) -> core::net::Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}
