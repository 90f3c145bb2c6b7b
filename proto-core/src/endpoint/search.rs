//! The search for a way through one side's symmetric NAT: one at a time, with one peer of ours.
//!
//! The symmetric side leads: its sockets, its questions to the beacons, its datagrams to the peer. The other follows: it tries ports. The
//! frames of both are sealed and empty, so that one that arrives proves who sent it, and the paths do the rest as with any new address.

use super::Event;
use super::inner::Endpoint;
use super::lifetime::Opener;
use crate::ids::{NodeId, SocketId};
use crate::limits;
use crate::nat::{Follow, Lead, LeadAction};
use crate::path::{RelayReason, Route};
use crate::time::Timestamp;
use crate::wire::candidate::canonical;
use crate::wire::meet::Candidate;
use crate::wire::{Meet, Step};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A search failed: none is begun until then between the same two addresses.
#[derive(Debug)]
pub(super) struct Rest {
    until: Timestamp,
    own: Option<IpAddr>,
}

/// The search under way.
#[derive(Debug)]
pub(super) struct Search {
    node: NodeId,
    /// The peer's.
    ip: IpAddr,
    side: Side,
}

#[derive(Debug)]
enum Side {
    Lead {
        lead: Lead,
        /// Where the beacon sees the peer.
        target: SocketAddr,
    },
    Follow {
        follow: Follow,
        sprays: bool,
    },
}

impl Endpoint {
    pub(super) fn search_timeout_at(&self) -> Option<Timestamp> {
        match &self.search.as_ref()?.side {
            Side::Lead { lead, .. } => lead.poll_timeout(),
            Side::Follow { follow, .. } => follow.poll_timeout(),
        }
    }

    pub(super) fn search_timeout(&mut self) {
        let now = self.now;
        let Some(search) = &mut self.search else { return };
        let (node, ip) = (search.node, search.ip);
        match &mut search.side {
            Side::Lead { lead, .. } => lead.handle_timeout(now),
            Side::Follow { follow, sprays } => {
                let sprays = *sprays;
                if follow.is_over(now) {
                    return self.search_failed(sprays);
                }
                if let Some(port) = follow.poll_port(now) {
                    self.send_keepalive(node, Route::direct(SocketAddr::new(ip, port)));
                }
            }
        }
    }

    /// Carries out what the leading side wants.
    pub(super) fn settle_search(&mut self) -> bool {
        let mut busy = false;
        while let Some(Search { node, side: Side::Lead { lead, target }, .. }) = &mut self.search {
            let (node, target) = (*node, *target);
            let Some(action) = lead.poll_action() else { break };
            self.lead_action(node, target, action);
            busy = true;
        }
        busy
    }

    fn lead_action(&mut self, node: NodeId, target: SocketAddr, action: LeadAction) {
        match action {
            LeadAction::Open(count) => self.open_sockets(Opener::Search, count),
            LeadAction::Observe(socket, number) => self.ask_beacon_from(socket, number),
            LeadAction::Touch(socket) => self.send_keepalive(node, Route::Direct { socket, address: target }),
            LeadAction::Predict(prediction) => {
                let range = prediction.range.filter(|_| prediction.block);
                self.send_hint(node, Step::Predicted, prediction.ports, range);
            }
            LeadAction::Spray(range) => self.send_hint(node, Step::Spray, Vec::new(), range),
            LeadAction::Failed => self.search_failed(true),
        }
    }

    fn send_hint(&mut self, node: NodeId, step: Step, ports: Vec<u16>, range: Option<(u16, u16)>) {
        let hint = Meet { ports, range, ..self.introduction(node, step) };
        self.send_meet(node, &hint);
    }

    /// Whether a search with `node`, which is at `ip`, may begin; else why not.
    fn may_search(&mut self, node: NodeId, ip: Option<IpAddr>) -> Result<(), RelayReason> {
        let (now, ladder, own) = (self.now, self.config.ladder, self.own_ip());
        self.search_rests.retain(|_, rest| rest.until > now);
        // A peer that is seen at two addresses in turn rests at both, and one that names ever new ones at all.
        let everywhere = (node, IpAddr::V4(Ipv4Addr::UNSPECIFIED))..=(node, IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)));
        let failed = self.search_rests.range(everywhere).filter(|(_, rest)| rest.own == own);
        let failed: Vec<IpAddr> = failed.map(|(&(_, at), _)| at).collect();
        let rests = failed.len() >= limits::SPRAY_ADDRESSES || failed.iter().any(|at| ip.is_none_or(|ip| ip == *at));
        if !self.trusts(node) {
            // Whoever is merely let in may not make us send this much.
            Err(RelayReason::NoAnswer)
        } else if !ladder.prediction && !ladder.spraying {
            Err(RelayReason::SprayingOff)
        } else if rests {
            Err(RelayReason::SprayFailed)
        } else if self.search.as_ref().is_some_and(|search| search.node != node) {
            Err(RelayReason::SprayingBusy)
        } else {
            Ok(())
        }
    }

    /// Where a beacon sees us.
    fn own_ip(&self) -> Option<IpAddr> {
        self.discovery.reflexive().map(|own| canonical(own.0).ip())
    }

    /// Our NAT is symmetric and the peer's is not.
    pub(super) fn lead(&mut self, node: NodeId) {
        let now = self.now;
        let ip = self.peers.get(&node).and_then(|peer| peer.path.beacon_view()).map(|target| target.ip());
        let allowed = self.may_search(node, ip);
        let running = self.search.is_some();
        let Some(peer) = self.peers.get_mut(&node) else { return };
        match (allowed, peer.path.beacon_view()) {
            (Err(reason), _) => peer.path.judge(Some(reason)),
            (Ok(()), Some(target)) if !running => {
                let ladder = self.config.ladder;
                peer.path.begin_search(now, target.ip());
                peer.path.judge(Some(RelayReason::StillTrying));
                let lead = Lead::new(now, ladder.prediction, ladder.spraying);
                self.search = Some(Search { node, ip: target.ip(), side: Side::Lead { lead, target } });
            }
            (Ok(()), _) => {}
        }
    }

    /// The peer's NAT is symmetric and ours is not: it says which of its ports to try.
    pub(super) fn follow(&mut self, node: NodeId, meet: &Meet) {
        let now = self.now;
        let ladder = self.config.ladder;
        let sprays = meet.step == Step::Spray;
        if self.was_followed(node, sprays) {
            return;
        }
        let switched_on = if sprays { ladder.spraying } else { ladder.prediction };
        let told = meet.addresses.iter().find_map(|candidate| match candidate {
            Candidate::Reflexive(reflexive) => Some(canonical(reflexive.0).ip()),
            Candidate::Local(_) | Candidate::Mapped(_) => None,
        });
        let allowed = self.may_search(node, told);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        //= spec/nat.md#pp-nat-23
        //# A search goes only to a peer of ours, at an IP address that the registry named, or the peer itself and the beacon.
        let ip = told.filter(|ip| peer.path.vouches(*ip));
        let allowed = allowed.and(if switched_on { Ok(()) } else { Err(RelayReason::SprayingOff) });
        let ip = match allowed.and(ip.ok_or(RelayReason::NoAddress)) {
            Ok(ip) => ip,
            Err(reason) => {
                peer.path.judge(Some(reason));
                return self.send_meet(node, &Meet::new(Step::Busy));
            }
        };
        if peer.path.is_direct() {
            return;
        }
        let follow = if sprays {
            Follow::sprayed(now, meet.range, &mut self.rng)
        } else {
            Follow::predicted(now, &meet.ports, meet.range, &mut self.rng)
        };
        peer.path.begin_search(now, ip);
        peer.path.judge(Some(RelayReason::StillTrying));
        self.search = Some(Search { node, ip, side: Side::Follow { follow, sprays } });
    }

    /// The peer repeats itself, which must not prolong a search: that one is under way, or its predictions were in vain just now and only
    /// random ports can follow them.
    fn was_followed(&self, node: NodeId, sprays: bool) -> bool {
        let same = self.search.as_ref().filter(|search| search.node == node);
        let under_way =
            same.is_some_and(|search| matches!(search.side, Side::Follow { sprays: all, .. } if all || !sprays));
        let in_vain = || self.peers.get(&node).is_some_and(|peer| peer.meeting.rests_from_predictions(self.now));
        under_way || !sprays && in_vain()
    }

    pub(super) fn search_refused(&mut self, node: NodeId) {
        if let Some(Search { node: searched, side: Side::Lead { lead, .. }, .. }) = &mut self.search
            && *searched == node
        {
            lead.refused();
            self.end_search(None);
            self.with_peer(node, |peer| peer.path.search_was_refused());
            self.next_search();
        }
    }

    fn search_failed(&mut self, sprayed: bool) {
        let Some(&Search { node, ip: peer, .. }) = self.search.as_ref() else { return };
        let spraying = self.config.ladder.spraying;
        if sprayed && spraying {
            if self.search_rests.len() >= limits::MAX_SPRAY_PAUSES {
                let nearest = self.search_rests.iter().min_by_key(|(_, rest)| rest.until).map(|(between, _)| *between);
                nearest.and_then(|between| self.search_rests.remove(&between));
            }
            let rest = Rest { until: self.now + limits::SPRAY_PAUSE, own: self.own_ip() };
            self.search_rests.insert((node, peer), rest);
        } else if !sprayed {
            let now = self.now;
            self.with_peer(node, |peer| peer.meeting.predicted_in_vain = Some(now));
        }
        self.end_search(Some(match (spraying, sprayed) {
            (true, true) => RelayReason::SprayFailed,
            // Ports were predicted in vain: it is for the other side to go on.
            (true, false) => RelayReason::NoAnswer,
            (false, _) => RelayReason::SprayingOff,
        }));
        self.next_search();
    }

    /// Peers whose search waited for the one that has ended are tried again.
    fn next_search(&mut self) {
        let now = self.now;
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            self.with_peer(node, |peer| peer.path.own_search_is_over(now));
        }
    }

    /// A direct way to `node` works: whoever searched for one has found it, or needs none.
    pub(super) fn search_succeeded(&mut self, node: NodeId) {
        if self.search.as_ref().is_some_and(|search| search.node == node) {
            self.end_search(None);
            self.next_search();
        }
    }

    fn end_search(&mut self, verdict: Option<RelayReason>) {
        if let Some(search) = self.search.take() {
            self.with_peer(search.node, |peer| {
                peer.path.end_search();
                peer.path.judge(verdict);
            });
        }
        self.close_idle_sockets();
    }

    pub(super) fn search_sockets_opened(&mut self, sockets: &[SocketId]) {
        let now = self.now;
        let room = limits::MAX_EXTRA_SOCKETS.saturating_sub(self.extra_sockets.len());
        let (kept, surplus) = sockets.split_at(sockets.len().min(room));
        if !surplus.is_empty() {
            self.event(Event::CloseSockets(surplus.to_vec()));
        }
        self.extra_sockets.extend(kept);
        if let Some(Search { side: Side::Lead { lead, .. }, .. }) = &mut self.search {
            lead.opened(now, kept);
        } else {
            // Nobody waits for them any more.
            self.close_idle_sockets();
        }
    }

    /// A beacon's answer to one of the further sockets.
    pub(super) fn socket_observed(&mut self, socket: SocketId, beacon: SocketAddr, seen: SocketAddr) {
        let now = self.now;
        self.lifetime.observed(now, socket, seen.port());
        let number = self.config.beacons.iter().position(|known| *known == beacon);
        if let (Some(Search { side: Side::Lead { lead, .. }, .. }), Some(number)) = (&mut self.search, number) {
            lead.observed(now, socket, number, seen.port());
        }
    }

    /// Closes the further sockets that no path needs, unless a search is under way.
    pub(super) fn close_idle_sockets(&mut self) {
        if self.extra_sockets.is_empty() || self.search.is_some() {
            return;
        }
        let needed = |socket: &SocketId| self.peers.values().any(|peer| peer.path.needs_socket(*socket));
        let idle: Vec<SocketId> = self.extra_sockets.iter().copied().filter(|socket| !needed(socket)).collect();
        if idle.is_empty() {
            return;
        }
        self.extra_sockets.retain(|socket| !idle.contains(socket));
        for peer in self.peers.values_mut() {
            peer.path.forget_sockets(&idle);
        }
        self.event(Event::CloseSockets(idle));
    }
}
