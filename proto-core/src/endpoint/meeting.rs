//! Meetings with peers of ours: both sides' addresses and NATs, told inside the tunnel, and what follows from them.

use super::control::PING_PORT;
use super::inner::Endpoint;
use super::outbox::Packet;
use crate::ids::NodeId;
use crate::limits::PREDICTION_PAUSE;
use crate::nat::NatType;
use crate::path::{OwnAddresses, RelayReason};
use crate::time::Timestamp;
use crate::wire::candidate::{Mapped, Reach};
use crate::wire::meet::{Candidate, MAX_MEET_ADDRESSES, MappingKind};
use crate::wire::options::OPTIONS_PORT;
use crate::wire::{Meet, Step};
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

/// Messages of one peer are heeded at most this often, and offers sent: what they make us send is bounded so.
const SPACING: Duration = Duration::from_millis(300);

/// What is known of one peer's side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meeting {
    /// It understands.
    pub(super) able: bool,
    /// What NAT it is behind, as it says.
    pub(super) nat: MappingKind,
    offered: Option<Timestamp>,
    heeded: Option<Timestamp>,
    /// The ports that it predicted last were tried until then, and none was right.
    pub(super) predicted_in_vain: Option<Timestamp>,
    /// Through the relay and back.
    rtt: Option<Duration>,
}

impl Meeting {
    pub(super) fn rests_from_predictions(&self, now: Timestamp) -> bool {
        self.predicted_in_vain.is_some_and(|at| now.saturating_since(at) < PREDICTION_PAUSE)
    }
}

fn recent(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| now.saturating_since(at) < SPACING)
}

impl Endpoint {
    /// Tells a peer of ours where we are, and asks where it is.
    pub(super) fn offer_meeting(&mut self, node: NodeId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if !peer.ours {
            // Only the registry said that it is ours: the hellos of one side or of both were lost.
            return self.hello(node);
        }
        if !self.config.ladder.candidates || !peer.meeting.able || recent(peer.meeting.offered, now) {
            return;
        }
        peer.meeting.offered = Some(now);
        let rtt = peer.meeting.rtt.or_else(|| peer.path.relay_rtt());
        let mut offer = self.introduction(node, Step::Offer);
        offer.rtt = rtt.and_then(|rtt| u32::try_from(rtt.as_micros()).ok());
        self.send_meet(node, &offer);
    }

    /// A message of `step` with our addresses and NAT.
    pub(super) fn introduction(&self, node: NodeId, step: Step) -> Meet {
        let nat = self.mapping_kind();
        Meet { nat, addresses: self.candidates_for(node), ..Meet::new(step) }
    }

    fn mapping_kind(&self) -> MappingKind {
        match self.discovery.nat_type(&self.own_local()) {
            NatType::Unknown => MappingKind::Unknown,
            NatType::None | NatType::EndpointIndependent => MappingKind::Independent,
            NatType::Symmetric(_) => MappingKind::Symmetric,
        }
    }

    /// Where we can be reached. The own network's addresses are told to trusted peers only.
    fn candidates_for(&self, node: NodeId) -> Vec<Candidate> {
        let configured = self.config.endpoint.map(|address| Candidate::Mapped(Mapped(address)));
        let mapped = self.mapped.values().copied().map(Candidate::Mapped);
        let reflexive = self.discovery.reflexive().map(Candidate::Reflexive);
        let trusted = self.trusts(node);
        let shown = |address: SocketAddr| trusted || Reach::of(address) == Reach::Global;
        let local = self.own_local().into_iter().filter(|local| shown(local.0)).map(Candidate::Local);
        configured.into_iter().chain(mapped).chain(reflexive).chain(local).take(MAX_MEET_ADDRESSES).collect()
    }

    pub(super) fn send_meet(&mut self, node: NodeId, meet: &Meet) {
        let (Some(header), Ok(bytes)) = (self.control_header(node, PING_PORT, OPTIONS_PORT), meet.to_vec()) else {
            return;
        };
        self.send_packet(Packet { node, route: None, session: None, header, payload: Bytes::from(bytes) });
    }

    /// The peer is of ours and understands meetings: it hears at once where we are.
    pub(super) fn can_meet(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let news = !core::mem::replace(&mut peer.meeting.able, true);
        if news && !peer.path.is_direct() {
            self.offer_meeting(node);
        }
    }

    pub(super) fn handle_meet(&mut self, node: NodeId, meet: &Meet) {
        if !self.config.ladder.candidates {
            return self.drops.count("meeting_refused");
        }
        // Who answers our hello so is ours, even if its own hello was lost.
        self.is_ours(node);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.meeting.able = true;
        if meet.nat != MappingKind::Unknown {
            peer.meeting.nat = meet.nat;
        }
        match meet.step {
            Step::Offer | Step::Answer => self.handle_addresses(node, meet),
            Step::Predicted | Step::Spray => self.follow(node, meet),
            Step::Busy => self.search_refused(node),
        }
    }

    fn handle_addresses(&mut self, node: NodeId, meet: &Meet) {
        let now = self.now;
        let (own_local, reflexive) = (self.own_local(), self.discovery.reflexive());
        let trusted = self.trusts(node);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let after = if meet.step == Step::Offer {
            if recent(peer.meeting.heeded, now) {
                return self.drops.count("meeting_too_often");
            }
            peer.meeting.heeded = Some(now);
            // Our answer arrives after half a round trip, and is the other side's sign to begin.
            meet.rtt.map_or(Duration::ZERO, |rtt| Duration::from_micros(u64::from(rtt) / 2).min(SPACING))
        } else {
            let Some(offered) = peer.meeting.offered.filter(|at| now.saturating_since(*at) < 4 * SPACING) else {
                return self.drops.count("meeting_answer_unexpected");
            };
            peer.meeting.rtt = Some(now.saturating_since(offered));
            Duration::ZERO
        };
        let own = OwnAddresses { reflexive, local: &own_local };
        peer.path.told(now, &meet.addresses, &own, after);
        if trusted {
            peer.path.seek_vouchers(now, &meet.addresses);
        }
        if meet.step == Step::Offer && self.search.is_none() {
            // It may have refused a search because of another one, and be free now.
            peer.path.search_is_free(now);
        }
        self.dirty.insert(node);
        if meet.step == Step::Offer {
            let answer = self.introduction(node, Step::Answer);
            self.send_meet(node, &answer);
        }
    }

    /// Trying every address was in vain: what both sides' NATs allow beyond that.
    pub(super) fn escalate(&mut self, node: NodeId) {
        let own = self.mapping_kind();
        let Some(peer) = self.peers.get_mut(&node) else { return };
        match (own, peer.meeting.nat) {
            (MappingKind::Symmetric, MappingKind::Symmetric) => peer.path.judge(Some(RelayReason::BothSymmetric)),
            (MappingKind::Symmetric, MappingKind::Independent) => self.lead(node),
            // The symmetric side leads, or nobody.
            (MappingKind::Independent, MappingKind::Symmetric) => {
                let ladder = self.config.ladder;
                if !ladder.spraying && !ladder.prediction {
                    peer.path.judge(Some(RelayReason::SprayingOff));
                }
            }
            (MappingKind::Unknown | MappingKind::Independent, _) | (_, MappingKind::Unknown) => {}
        }
    }
}
