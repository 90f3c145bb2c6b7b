//! Holds what the registry knows and keeps its indices in step. Refuses to know requests: it is changed by [`Change`]s,
//! whether they come from a handler now or from the store at start-up, and by liveness, which is never stored.

use super::change::{Change, Letter, NetworkRecord, NodeRecord, Role};
use super::freshness::{UsedStamps, Window};
use crate::limits::{NAME_HELD_FOR, STALE_AFTER};
use core::net::IpAddr;
use proto_core::crypto::PublicKey;
use proto_core::registry::envelope::Stamp;
use proto_core::{NetworkId, NodeId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Everything known.
#[derive(Debug)]
pub(super) struct State {
    nodes: BTreeMap<NodeId, Node>,
    ids_by_key: BTreeMap<PublicKey, NodeId>,
    ids_by_name: BTreeMap<String, NodeId>,
    /// Where nodes last registered from. May name nodes that left or moved; whoever asks finds out and forgets them.
    seen_from: BTreeSet<(IpAddr, NodeId)>,
    trust: BTreeMap<NodeId, BTreeSet<NodeId>>,
    networks: BTreeMap<NetworkId, Network>,
    next_node: u32,
    next_network: u32,
    pair_count: usize,
}

/// A node: its durable record and what is known only while the server runs.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) record: NodeRecord,
    pub(super) networks: BTreeSet<NetworkId>,
    pub(super) requests: BTreeMap<NodeId, Mail>,
    pub(super) answers: BTreeMap<NodeId, Mail>,
    presence: Option<Presence>,
    used_stamps: UsedStamps,
}

/// Where a node is, as of its last registration and heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Presence {
    /// `ip:port` or `name:port`.
    pub(super) endpoint: String,
    pub(super) lan_addresses: Vec<String>,
    pub(super) relay_only: bool,
    /// Where the registration came from.
    pub(super) source: IpAddr,
    pub(super) last_seen: Timestamp,
    pub(super) last_seen_unix: u64,
}

/// A letter and its last delivery.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) letter: Letter,
    pub(super) delivered: Option<Delivery>,
}

/// A letter was put into a reply, which the node may not have got.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The connection of the reply. A poll on the same one shows that it arrived.
    pub(super) session: u64,
    /// When the letter was put into a reply for the first time.
    pub(super) first: Timestamp,
    /// It was in an earlier reply too.
    pub(super) again: bool,
}

/// A network and its members.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) record: NetworkRecord,
    pub(super) members: BTreeMap<NodeId, Member>,
}

/// Somebody in a network.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) role: Role,
    pub(super) tags: Vec<String>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            nodes: BTreeMap::new(),
            ids_by_key: BTreeMap::new(),
            ids_by_name: BTreeMap::new(),
            seen_from: BTreeSet::new(),
            trust: BTreeMap::new(),
            networks: BTreeMap::new(),
            next_node: 1,
            next_network: 1,
            pair_count: 0,
        }
    }
}

impl State {
    /// Makes `change` so.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Node(record) => self.apply_node(record),
            Change::Trust { from, to, holds } => self.apply_trust(NodeId(*from), NodeId(*to), *holds),
            Change::Network(record) => self.apply_network(record),
            Change::NetworkRemoved(id) => self.remove_network(NetworkId(*id)),
            Change::Member { network, node, role, tags } => {
                let member = role.map(|role| Member { role, tags: tags.clone() });
                self.apply_member(NetworkId(*network), NodeId(*node), member);
            }
            Change::Mail { to, from, letter, answer } => {
                self.apply_mail(NodeId(*to), NodeId(*from), letter.as_ref(), *answer);
            }
            Change::NextNetwork(next) => self.next_network = self.next_network.max(*next),
        }
    }

    fn apply_node(&mut self, record: &NodeRecord) {
        let id = NodeId(record.id);
        self.next_node = self.next_node.max(record.id.saturating_add(1));
        if let Some(before) = self.nodes.get(&id).map(|node| &node.record) {
            self.ids_by_key.remove(&before.public_key);
            if let Some(name) = before.hostname.as_ref().filter(|name| self.ids_by_name.get(*name) == Some(&id)) {
                self.ids_by_name.remove(name);
            }
        }
        self.ids_by_key.insert(record.public_key, id);
        if let Some(name) = &record.hostname {
            self.ids_by_name.insert(name.clone(), id);
        }
        let node = self.nodes.entry(id).or_insert_with(|| Node::new(record.clone()));
        node.record.clone_from(record);
        if record.deregistered
            && let Some(presence) = node.presence.take()
        {
            self.seen_from.remove(&(presence.source, id));
        }
    }

    fn apply_trust(&mut self, from: NodeId, to: NodeId, holds: bool) {
        let before = self.trusted(from, to);
        if holds {
            self.trust.entry(from).or_default().insert(to);
        } else if let Some(peers) = self.trust.get_mut(&from) {
            peers.remove(&to);
            if peers.is_empty() {
                self.trust.remove(&from);
            }
        }
        match (before, self.trusted(from, to)) {
            (false, true) => self.pair_count += 1,
            (true, false) => self.pair_count = self.pair_count.saturating_sub(1),
            (false, false) | (true, true) => {}
        }
    }

    fn apply_network(&mut self, record: &NetworkRecord) {
        self.next_network = self.next_network.max(u32::from(record.id) + 1);
        let network = self.networks.entry(NetworkId(record.id));
        let network = network.or_insert_with(|| Network { record: record.clone(), members: BTreeMap::new() });
        network.record.clone_from(record);
    }

    fn remove_network(&mut self, id: NetworkId) {
        for member in self.networks.remove(&id).map(|network| network.members).unwrap_or_default().into_keys() {
            if let Some(node) = self.nodes.get_mut(&member) {
                node.networks.remove(&id);
            }
        }
    }

    fn apply_member(&mut self, network: NetworkId, node: NodeId, member: Option<Member>) {
        let (Some(network_entry), Some(node_entry)) = (self.networks.get_mut(&network), self.nodes.get_mut(&node))
        else {
            return;
        };
        match member {
            Some(member) => {
                network_entry.members.insert(node, member);
                node_entry.networks.insert(network);
            }
            None => {
                network_entry.members.remove(&node);
                node_entry.networks.remove(&network);
            }
        }
    }

    fn apply_mail(&mut self, to: NodeId, from: NodeId, letter: Option<&Letter>, answer: bool) {
        let Some(node) = self.nodes.get_mut(&to) else { return };
        let letters = if answer { &mut node.answers } else { &mut node.requests };
        match letter {
            Some(letter) => drop(letters.insert(from, Mail { letter: letter.clone(), delivered: None })),
            None => drop(letters.remove(&from)),
        }
    }

    /// The node, unless it is unknown or said goodbye.
    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id).filter(|node| !node.record.deregistered)
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id).filter(|node| !node.record.deregistered)
    }

    /// `id` was seen there.
    pub(super) fn appear(&mut self, id: NodeId, presence: Presence) {
        let source = presence.source;
        let Some(node) = self.node_mut(id) else { return };
        if let Some(before) = node.presence.replace(presence).map(|before| before.source).filter(|old| *old != source) {
            self.seen_from.remove(&(before, id));
        }
        self.seen_from.insert((source, id));
    }

    /// A live node registered from `source`.
    pub(super) fn is_home_to_someone(&mut self, source: IpAddr, now: Timestamp) -> bool {
        loop {
            let first = self.seen_from.range((source, NodeId::UNASSIGNED)..=(source, NodeId::BROADCAST)).next();
            let Some(&(_, id)) = first else { return false };
            let presence = self.node(id).and_then(|node| node.presence(now));
            if presence.is_some_and(|presence| presence.source == source) {
                return true;
            }
            self.seen_from.remove(&(source, id));
        }
    }

    /// Uses up an envelope's stamp; false if `id` used it before. Also for nodes that said goodbye.
    pub(super) fn use_stamp(&mut self, id: NodeId, stamp: Stamp, window: Window) -> bool {
        self.nodes.get_mut(&id).is_some_and(|node| node.used_stamps.take(stamp, window))
    }

    /// The node, also when it said goodbye.
    pub(super) fn by_key(&self, key: &PublicKey) -> Option<&Node> {
        self.ids_by_key.get(key).and_then(|id| self.nodes.get(id))
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Node> {
        self.ids_by_name.get(name).and_then(|id| self.node(*id))
    }

    /// Whose record says `name`, however long ago it was heard.
    pub(super) fn named(&self, name: &str) -> Option<&NodeRecord> {
        self.ids_by_name.get(name).and_then(|id| self.nodes.get(id)).map(|node| &node.record)
    }

    /// Who holds `name` against `claimant` now. A holder not heard of for [`NAME_HELD_FOR`] has let it go.
    pub(super) fn name_holder(&self, name: &str, claimant: NodeId, now: Timestamp) -> Option<NodeId> {
        let (&holder, node) = self.ids_by_name.get(name).and_then(|id| self.nodes.get_key_value(id))?;
        let last_seen = node.presence.as_ref().map_or(Timestamp::ZERO, |presence| presence.last_seen);
        (holder != claimant && now.saturating_since(last_seen) < NAME_HELD_FOR).then_some(holder)
    }

    /// `from` said that it trusts `to`.
    pub(super) fn half(&self, from: NodeId, to: NodeId) -> bool {
        self.trust.get(&from).is_some_and(|peers| peers.contains(&to))
    }

    /// Both said so.
    pub(super) fn trusted(&self, a: NodeId, b: NodeId) -> bool {
        //= spec/registry.md#pp-reg-20
        //# A trust pair exists when both nodes gave their half, and one revocation ends it.
        self.half(a, b) && self.half(b, a)
    }

    pub(super) fn trust_given(&self, from: NodeId) -> usize {
        self.trust.get(&from).map_or(0, BTreeSet::len)
    }

    pub(super) fn share_network(&self, a: NodeId, b: NodeId) -> bool {
        let (Some(a), Some(b)) = (self.node(a), self.node(b)) else { return false };
        !a.networks.is_disjoint(&b.networks)
    }

    pub(super) fn network(&self, id: NetworkId) -> Option<&Network> {
        self.networks.get(&id)
    }

    pub(super) fn networks(&self) -> impl Iterator<Item = &Network> {
        self.networks.values()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| !node.record.deregistered)
    }

    /// Keys ever registered.
    pub(super) fn key_count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn network_count(&self) -> usize {
        self.networks.len()
    }

    /// Trust pairs, both halves there.
    pub(super) const fn pair_count(&self) -> usize {
        self.pair_count
    }

    /// The next node id, `None` when all are given; the broadcast id never is.
    pub(super) fn next_node(&self) -> Option<NodeId> {
        Some(NodeId(self.next_node)).filter(|id| *id < NodeId::BROADCAST)
    }

    /// The next network id, `None` when all are given; 65535 is reserved.
    pub(super) fn next_network(&self) -> Option<NetworkId> {
        //= spec/addressing.md#pp-addr-3
        //# Network 65535 is reserved and never given to a network.
        u16::try_from(self.next_network).ok().filter(|id| *id < u16::MAX).map(NetworkId)
    }
}

impl Node {
    fn new(record: NodeRecord) -> Self {
        Self {
            record,
            networks: BTreeSet::new(),
            requests: BTreeMap::new(),
            answers: BTreeMap::new(),
            presence: None,
            used_stamps: UsedStamps::default(),
        }
    }

    pub(super) const fn id(&self) -> NodeId {
        NodeId(self.record.id)
    }

    /// Where it is, unless it was silent for [`STALE_AFTER`].
    pub(super) fn presence(&self, now: Timestamp) -> Option<&Presence> {
        self.presence.as_ref().filter(|presence| now.saturating_since(presence.last_seen) < STALE_AFTER)
    }

    pub(super) fn presence_mut(&mut self, now: Timestamp) -> Option<&mut Presence> {
        self.presence.as_mut().filter(|presence| now.saturating_since(presence.last_seen) < STALE_AFTER)
    }

    /// When it was last seen in this run, Unix seconds.
    pub(super) fn last_seen_unix(&self) -> Option<u64> {
        self.presence.as_ref().map(|presence| presence.last_seen_unix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_core::crypto::Identity;

    #[test]
    fn a_node_that_comes_and_goes_from_many_addresses_is_remembered_at_one() {
        let mut state = State::default();
        let mut record = NodeRecord {
            id: 1,
            public_key: Identity::from_seed([1; 32]).public(),
            hostname: None,
            tags: Vec::new(),
            public: false,
            task_exec: false,
            owner: None,
            version: None,
            signed: false,
            enveloped: false,
            deregistered: false,
            key_created: 0,
            key_rotated: None,
            rotations: 0,
        };
        for number in 0..100 {
            for deregistered in [false, true, false] {
                record.deregistered = deregistered;
                state.apply(&Change::Node(record.clone()));
                state.appear(
                    NodeId(1),
                    Presence {
                        endpoint: String::new(),
                        lan_addresses: Vec::new(),
                        relay_only: false,
                        source: IpAddr::from([10, 0, u8::from(deregistered), number]),
                        last_seen: Timestamp::ZERO,
                        last_seen_unix: 0,
                    },
                );
            }
        }
        assert_eq!(state.seen_from.len(), 1);
    }
}
