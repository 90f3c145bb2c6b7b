//! What owners tell the members of their networks: expression policies and tags. The registry keeps
//! both and understands neither; daemons do.

use super::call::{Call, Fields, fields, readable};
use super::change::{Change, NetworkRecord};
use super::networks::{known_network, network, require_owner};
use super::refusal::{Handled, Refusal};
use super::request::Request;
use crate::limits::MAX_POLICY_BYTES;
use crate::validate;
use proto_core::{NetworkId, NodeId};
use serde_json::{Map, Value, json};

/// The policy of a request, of the one version there is.
pub(super) fn expression(request: &Request) -> Handled<Option<Value>> {
    let policy = request.document("expr_policy", MAX_POLICY_BYTES)?;
    let known = policy.as_ref().is_none_or(|policy| policy.get("version").and_then(Value::as_f64) == Some(1.0));
    if known { Ok(policy) } else { Err(Refusal::invalid("expr_policy: its version must be 1")) }
}

//= spec/registry.md#pp-reg-36
//# A network's expression policy and its members' tags are set by its owner or an administrator and told to anybody.
/// `set_expr_policy`, by the network's owner or an administrator. None takes it away.
pub(super) fn set_expression(call: &mut Call<'_>) -> Handled<Fields> {
    let id = require_owner(call)?;
    let expr_policy = expression(call.request)?;
    let record = NetworkRecord { expr_policy: expr_policy.clone(), ..network(call, id)?.record.clone() };
    call.commit(Change::Network(record));
    Ok(fields(json!({"network_id": id.0, "expr_policy": expr_policy})))
}

/// `get_expr_policy`; the backbone has none.
pub(super) fn tell_expression(call: &mut Call<'_>) -> Handled<Fields> {
    let id = known_network(call)?;
    let policy = call.state().network(id).and_then(|network| network.record.expr_policy.clone());
    Ok(fields(json!({"network_id": id.0, "expr_policy": policy})))
}

/// `set_member_tags`, by the network's owner or an administrator.
pub(super) fn set_tags(call: &mut Call<'_>) -> Handled<Fields> {
    let (node, id) = (call.request.node("target_node_id"), require_owner(call)?);
    let role = network(call, id)?.members.get(&node).map(|member| member.role);
    let role = role.ok_or_else(|| Refusal::not_a_member(node, id))?;
    let tags = validate::tags(call.request.texts("tags")).ok_or_else(|| Refusal::invalid("tags"))?;
    call.commit(Change::tagged_member(id, node, Some(role), tags.clone()));
    Ok(told(id, node, &tags))
}

/// `get_member_tags`, of one member or, for node 0, of all that have any.
pub(super) fn tell_tags(call: &mut Call<'_>) -> Handled<Fields> {
    let (node, id) = (call.request.node("target_node_id"), call.request.network("network_id"));
    let members = &network(call, id)?.members;
    if node == NodeId::UNASSIGNED {
        let tagged = members.iter().filter(|(_, member)| !member.tags.is_empty());
        let tagged: Map<String, Value> =
            readable(tagged.map(|(node, member)| (node.to_string(), member.tags.clone().into()))).collect();
        return Ok(fields(json!({"network_id": id.0, "members": tagged})));
    }
    Ok(told(id, node, members.get(&node).map_or(&[], |member| &member.tags)))
}

fn told(network: NetworkId, node: NodeId, tags: &[String]) -> Fields {
    fields(json!({"network_id": network.0, "target_node_id": node.0, "tags": tags}))
}
