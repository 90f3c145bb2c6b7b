//! Who and where somebody is, as far as the asker may know (PP-PRIV-4 to PP-PRIV-8).

use super::Registry;
use super::call::{Call, Fields, fields};
use super::refusal::{Handled, Refusal};
use super::state::{Node, Presence};
use crate::beacon::Directory;
use core::net::IpAddr;
use proto_core::registry::challenge;
use proto_core::wire::addr::Address;
use proto_core::{NodeId, Timestamp};
use serde_json::{Value, json};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// `lookup`. Strangers learn of a private node what a daemon needs to check its signatures, and no more.
pub(super) fn lookup(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    let node = call.node(id)?;
    let record = &node.record;
    let networks: Vec<u16> = core::iter::once(0).chain(node.networks.iter().map(|network| network.0)).collect();
    let mut reply = fields(json!({
        "node_id": id.0, "address": Address::backbone(id).to_string(), "networks": networks,
        "public_key": record.public_key.to_string(), "public": record.public, "polo_score": 0,
    }));
    let mut put = |field: &str, value: Value| drop(reply.insert(field.to_owned(), value));
    if let Some(version) = &record.version {
        put("version", version.as_str().into());
    }
    if let Some(seen) = node.last_seen_unix() {
        put("last_seen_unix", seen.into());
    }
    let presence = node.presence(call.now);
    if presence.is_some_and(|presence| presence.relay_only) {
        put("relay_only", true.into());
    }
    //= spec/privacy.md#pp-priv-6
    //# The registry tells a stranger of a private node its key and when that changed, its networks and role there, visibility, version,
    //# whether it asks to be relayed, when it was last seen and whether it is related to another given node, and nothing else.
    if call.is_admin() || call.may_see(call.identity(), node) {
        if let Some(name) = &record.hostname {
            put("hostname", name.as_str().into());
        }
        if !record.tags.is_empty() {
            put("tags", record.tags.clone().into());
        }
        if record.task_exec {
            put("task_exec", true.into());
        }
    }
    if let Some(presence) = presence.filter(|presence| record.public && !presence.relay_only) {
        put("real_addr", presence.endpoint.as_str().into());
    }
    Ok(reply)
}

/// `resolve`: where a node is, for the node that signed.
pub(super) fn resolve(call: &mut Call<'_>) -> Handled<Fields> {
    let (target, requester) = (call.request.node("node_id"), call.request.node("requester_id"));
    if call.state().node(requester).is_none() {
        return Err(Refusal::new(format!("resolve denied: requester node {requester} is not registered")));
    }
    call.authenticate(requester, &challenge::resolve(requester, target))?;
    let node = call.node(target)?;
    //= spec/privacy.md#pp-priv-4
    //# The registry tells the endpoint of a private node only to nodes it trusts mutually or shares a network with, on a signed request.
    if !call.may_see(Some(requester), node) {
        return Err(Refusal::new(format!(
            "resolve denied: node {target} is private and does not trust node {requester}"
        )));
    }
    let presence = node.presence(call.now).ok_or_else(|| Refusal::node_not_found(target))?;
    let key_since = node.record.key_rotated.unwrap_or(node.record.key_created);
    let mut reply = fields(json!({
        "node_id": target.0, "real_addr": reachable_at(call, presence),
        "key_age_days": call.wall.saturating_sub(key_since) / DAY,
    }));
    if presence.relay_only {
        reply.insert("relay_only".to_owned(), true.into());
    } else if !presence.lan_addresses.is_empty() {
        reply.insert("lan_addrs".to_owned(), presence.lan_addresses.clone().into());
    }
    Ok(reply)
}

/// The endpoint to give out: the beacon's for a node that wants to be relayed only.
fn reachable_at(call: &Call<'_>, presence: &Presence) -> String {
    if presence.relay_only {
        call.session.beacon().map_or_else(String::new, |beacon| beacon.to_string())
    } else {
        presence.endpoint.clone()
    }
}

/// `resolve_hostname`. The daemons never say who asks, so the asker is whoever the connection has proved to be; a name
/// the asker may not see is worded exactly like one that does not exist. Where names are public, a connection from the
/// address of a live node counts as a node's: 1.18.0 spreads its requests over connections that have proved nothing yet.
pub(super) fn resolve_hostname(call: &mut Call<'_>) -> Handled<Fields> {
    let name = call.request.text("hostname").unwrap_or_default();
    let requester = call.request.node("requester_id");
    if requester != NodeId::UNASSIGNED && call.request.has("signature") {
        call.authenticate(requester, &challenge::resolve_hostname(requester))?;
    }
    let (source, now) = (call.session.source(), call.now);
    let names_are_public = call.registry.config.hostnames_are_public
        && (call.identity().is_some() || call.state_mut().is_home_to_someone(source, now));
    //= spec/privacy.md#pp-priv-5
    //# The registry refuses a hostname of a private node to strangers in the words for an unknown name, unless its operator made names
    //# public.
    let visible = |node: &&Node| names_are_public || call.is_admin() || call.may_see(call.identity(), node);
    let node = call.state().by_name(name).filter(visible).ok_or_else(|| Refusal::hostname_not_found(name))?;
    Ok(fields(json!({
        "node_id": node.id().0, "address": Address::backbone(node.id()).to_string(),
        "public": node.record.public, "hostname": name,
    })))
}

/// `punch`: both endpoints, for one of the two, under the rule of `resolve`.
pub(super) fn punch(call: &mut Call<'_>) -> Handled<Fields> {
    let request = call.request;
    let (requester, a, b) = (request.node("requester_id"), request.node("node_a"), request.node("node_b"));
    if requester != a && requester != b {
        return Err(Refusal::new("punch denied: requester must be one of the two nodes"));
    }
    call.authenticate(requester, &challenge::punch(a, b))?;
    let peer = if requester == a { b } else { a };
    if !call.may_see(Some(requester), call.node(peer)?) {
        return Err(Refusal::new(format!("punch denied: node {peer} is private")));
    }
    let endpoint = |id| {
        let presence = call.node(id)?.presence(call.now).ok_or_else(|| Refusal::node_not_found(id))?;
        Ok::<_, Refusal>(reachable_at(call, presence))
    };
    Ok(fields(json!({"node_a": a.0, "node_a_addr": endpoint(a)?, "node_b": b.0, "node_b_addr": endpoint(b)?})))
}

impl Directory for Registry {
    fn may_resolve(&self, requester: NodeId, target: NodeId) -> bool {
        let public = self.state.node(target).is_some_and(|node| node.record.public);
        self.state.node(requester).is_some() && (public || self.related(requester, target))
    }

    fn is_known(&self, node: NodeId) -> bool {
        self.state.node(node).is_some()
    }

    fn registered_from(&self, node: NodeId, source: IpAddr, now: Timestamp) -> bool {
        let presence = self.state.node(node).and_then(|node| node.presence(now));
        presence.is_some_and(|presence| presence.source == source.to_canonical())
    }
}
