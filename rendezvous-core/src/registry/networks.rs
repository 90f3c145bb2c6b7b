//! Networks that may be joined by anybody or by token (PP-REG-23, PP-REG-24). Network 0, the backbone, always exists.

use super::call::{Call, Fields, fields, readable};
use super::change::{Change, JoinRule, NetworkRecord, Role};
use super::keys::SecretHash;
use super::policies;
use super::refusal::{Handled, Refusal};
use super::state::{Member, Network, Node};
use crate::limits::{MAX_LISTED_NODES, MAX_MEMBERS, MAX_NETWORKS, MAX_RULES_BYTES, MAX_TOKEN_BYTES};
use crate::text::rfc3339;
use crate::validate;
use proto_core::registry::challenge;
use proto_core::wire::addr::Address;
use proto_core::{NetworkId, NodeId};
use serde_json::{Value, json};

/// `create_network`, with the admin token. The creator owns it.
pub(super) fn create(call: &mut Call<'_>) -> Handled<Fields> {
    if call.registry.config.admin_token.is_none() {
        return Err(Refusal::new("network creation is disabled: cannot create without an admin token"));
    }
    call.require_admin()?;
    if call.request.flag("enterprise").unwrap_or(false) {
        return Err(Refusal::enterprise("an enterprise network"));
    }
    let owner = call.request.node("node_id");
    call.node(owner)?;
    let name = free_name(call)?;
    let join_rule = match call.request.text("join_rule").unwrap_or("open") {
        "open" => JoinRule::Open,
        "token" => JoinRule::Token,
        "invite" => return Err(Refusal::enterprise("an invite-only network")),
        _ => return Err(Refusal::invalid("join_rule")),
    };
    let secret = |field: &str| Ok(call.request.short_text(field, MAX_TOKEN_BYTES)?.and_then(SecretHash::of));
    let (token, admin_token) = (secret("token")?, secret("network_admin_token")?);
    if join_rule == JoinRule::Token && token.is_none() {
        return Err(Refusal::missing("token"));
    }
    let (rules, expr_policy) = (call.request.document("rules", MAX_RULES_BYTES)?, policies::expression(call.request)?);
    if call.state().network_count() >= MAX_NETWORKS {
        return Err(Refusal::full("networks"));
    }
    let id = call.state().next_network().ok_or_else(|| Refusal::full("networks"))?;
    let created = call.wall;
    let managed = rules.is_some();
    let record =
        NetworkRecord { id: id.0, name: name.clone(), join_rule, token, admin_token, rules, expr_policy, created };
    call.commit(Change::Network(record));
    call.commit(Change::NextNetwork(u32::from(id.0) + 1));
    call.commit(Change::member(id, owner, Some(Role::Owner)));
    let mut reply = fields(json!({"network_id": id.0, "name": name, "enterprise": false}));
    if managed {
        reply.insert("managed".to_owned(), true.into());
    }
    Ok(reply)
}

/// The `name` of the request, if it may be given to a network.
fn free_name(call: &Call<'_>) -> Handled<String> {
    let name = call.request.text("name").unwrap_or_default();
    if !validate::is_name(name) {
        return Err(Refusal::invalid("name"));
    }
    if call.state().networks().any(|network| network.record.name == name) {
        return Err(Refusal::new(format!("network name {name:?} already in use")));
    }
    Ok(name.to_owned())
}

/// `delete_network`, with the admin token or by its owner on a connection that proved it.
pub(super) fn delete(call: &mut Call<'_>) -> Handled<Fields> {
    let id = require_owner(call)?;
    let members: Vec<NodeId> = network(call, id)?.members.keys().copied().collect();
    members.into_iter().for_each(|member| call.commit(Change::member(id, member, None)));
    call.commit(Change::NetworkRemoved(id.0));
    Ok(fields(json!({"network_id": id.0})))
}

/// `rename_network`, by the same.
pub(super) fn rename(call: &mut Call<'_>) -> Handled<Fields> {
    let id = require_owner(call)?;
    let name = free_name(call)?;
    let mut record = network(call, id)?.record.clone();
    record.name.clone_from(&name);
    call.commit(Change::Network(record));
    Ok(fields(json!({"network_id": id.0, "name": name})))
}

/// The network of the request, if the sender may administer it. The reference believes an unsigned `node_id`; here the
/// connection must have proved it.
pub(super) fn require_owner(call: &Call<'_>) -> Handled<NetworkId> {
    let id = call.request.network("network_id");
    let network = network(call, id)?;
    //= spec/registry.md#pp-reg-24
    //# A network's owner must have proved who it is on the connection, or the request must carry the administrator's token.
    let owner = call.identity().and_then(|node| network.members.get(&node)).is_some_and(|m| m.role == Role::Owner);
    let may = owner || call.is_admin() || shows_token(call, network);
    if may { Ok(id) } else { Err(call.not_admin(Refusal::new(format!("rbac: owner of network {id} required")))) }
}

/// The request carries the network's own administrator's token.
fn shows_token(call: &Call<'_>, network: &Network) -> bool {
    call.secret().zip(network.record.admin_token).is_some_and(|(given, kept)| kept.matches(given))
}

pub(super) fn network<'a>(call: &'a Call<'_>, id: NetworkId) -> Handled<&'a Network> {
    call.state().network(id).ok_or_else(|| Refusal::network_not_found(id))
}

/// `join_network`.
pub(super) fn join(call: &mut Call<'_>) -> Handled<Fields> {
    let (node, id) = (call.request.node("node_id"), call.request.network("network_id"));
    call.authenticate_or_admin(node, &challenge::join_network(node, id))?;
    let network = network(call, id)?;
    let NetworkRecord { join_rule, token, .. } = &network.record;
    if network.members.contains_key(&node) {
        return Err(Refusal::new(format!("node {node} already in network {id}")));
    }
    let given = call.request.text("token").unwrap_or_default();
    let token_matches = token.is_some_and(|token| token.matches(given));
    //= spec/registry.md#pp-reg-23
    //# A network is joined by anybody or by token, as its rule says.
    if *join_rule == JoinRule::Token && !token_matches && !call.is_admin() {
        return Err(Refusal::new(format!("invalid token for network {id}")));
    }
    if network.members.len() >= MAX_MEMBERS {
        return Err(Refusal::new(format!("too many members in network {id}")));
    }
    //= spec/addressing.md#pp-addr-11
    //# A node has one number, which is the same in every network it joined.
    let documents = [("rules", network.record.rules.clone()), ("expr_policy", network.record.expr_policy.clone())];
    call.commit(Change::member(id, node, Some(Role::Member)));
    let mut reply = fields(json!({"network_id": id.0, "address": Address { network: id, node }.to_string()}));
    reply.extend(documents.into_iter().filter_map(|(field, document)| Some((field.to_owned(), document?))));
    Ok(reply)
}

/// `leave_network`.
pub(super) fn leave(call: &mut Call<'_>) -> Handled<Fields> {
    let (node, id) = (call.request.node("node_id"), call.request.network("network_id"));
    call.authenticate_or_admin(node, &challenge::leave_network(node, id))?;
    if id == NetworkId::BACKBONE {
        return Err(Refusal::new("cannot leave the backbone"));
    }
    if !network(call, id)?.members.contains_key(&node) {
        return Err(Refusal::not_a_member(node, id));
    }
    call.commit(Change::member(id, node, None));
    Ok(fields(json!({"network_id": id.0})))
}

/// `list_networks`, at most [`crate::limits::MAX_LIST_BYTES`]. How many members a network has is for administrators.
pub(super) fn list(call: &mut Call<'_>) -> Handled<Fields> {
    let admin = call.is_admin();
    let describe = |id: NetworkId, name: &str, rule: &str, created: u64, members: usize| {
        // The older command line shows the field to everybody, so it is there for everybody.
        let members = if admin { members } else { 0 };
        fields(json!({
            "id": id.0, "name": name, "join_rule": rule, "enterprise": false, "created": created, "members": members,
        }))
    };
    let backbone = describe(NetworkId::BACKBONE, "backbone", "open", 0, call.state().key_count());
    let others = call.state().networks().map(|network| {
        let NetworkRecord { id, name, join_rule, created, rules, expr_policy, .. } = &network.record;
        let mut row = describe(NetworkId(*id), name, join_rule.as_str(), *created, network.members.len());
        if let Some(rules) = rules {
            row.extend([("managed".to_owned(), true.into()), ("rules".to_owned(), rules.clone())]);
        }
        if expr_policy.is_some() {
            row.insert("has_expr_policy".to_owned(), true.into());
        }
        row
    });
    let networks: Vec<Fields> = readable(core::iter::once(backbone).chain(others)).collect();
    Ok(fields(json!({"networks": networks})))
}

/// `list_nodes`: the members of a network; all nodes are for administrators. At most [`MAX_LISTED_NODES`] rows, and
/// [`crate::limits::MAX_LIST_BYTES`].
pub(super) fn list_nodes(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.network("network_id");
    //= spec/privacy.md#pp-priv-8
    //# Listing all nodes of the backbone needs the administrator's token.
    let nodes: Vec<Value> = if id == NetworkId::BACKBONE {
        call.require_admin()?;
        readable(call.state().nodes().take(MAX_LISTED_NODES).map(|node| row(call, id, node, None))).collect()
    } else {
        let members = network(call, id)?.members.iter().take(MAX_LISTED_NODES);
        let known = members.filter_map(|(member, about)| Some((call.state().node(*member)?, about)));
        readable(known.map(|(node, about)| row(call, id, node, Some(about)))).collect()
    };
    Ok(fields(json!({"nodes": nodes})))
}

fn row(call: &Call<'_>, network: NetworkId, node: &Node, member: Option<&Member>) -> Value {
    let (record, presence) = (&node.record, node.presence(call.now));
    let address = Address { network, node: node.id() }.to_string();
    let seen = rfc3339(node.last_seen_unix().unwrap_or(0));
    let mut row = fields(json!({
        "node_id": record.id, "address": address, "public": record.public, "last_seen": seen, "polo_score": 0,
    }));
    let mut put = |field: &str, value: Value| drop(row.insert(field.to_owned(), value));
    if let Some(member) = member {
        put("role", member.role.as_str().into());
        if !member.tags.is_empty() {
            put("member_tags", member.tags.clone().into());
        }
    }
    if let Some(version) = &record.version {
        put("version", version.as_str().into());
    }
    if presence.is_none() {
        put("offline", true.into());
    }
    if call.is_admin() || call.may_see(call.identity(), node) {
        if let Some(name) = &record.hostname {
            put("hostname", name.as_str().into());
        }
        put("tags", record.tags.clone().into());
        put("task_exec", record.task_exec.into());
    }
    if let Some(presence) = presence.filter(|presence| record.public && !presence.relay_only) {
        put("real_addr", presence.endpoint.as_str().into());
    }
    Value::Object(row)
}

/// `get_network_policy`: no network has one; the backbone answers too, every daemon asks.
pub(super) fn policy(call: &mut Call<'_>) -> Handled<Fields> {
    let id = known_network(call)?;
    Ok(fields(json!({"network_id": id.0, "max_members": 0, "allowed_ports": [], "description": ""})))
}

pub(super) fn known_network(call: &Call<'_>) -> Handled<NetworkId> {
    let id = call.request.network("network_id");
    if id != NetworkId::BACKBONE {
        network(call, id)?;
    }
    Ok(id)
}

/// `get_member_role`.
pub(super) fn member_role(call: &mut Call<'_>) -> Handled<Fields> {
    let (node, id) = (call.request.node("target_node_id"), call.request.network("network_id"));
    let member = network(call, id)?.members.get(&node).ok_or_else(|| Refusal::not_a_member(node, id))?;
    Ok(fields(json!({"role": member.role.as_str()})))
}

impl JoinRule {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Token => "token",
        }
    }
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }
}
