//! What a node says about itself: name, visibility, tags (PP-REG-17 to PP-REG-19).

use super::call::{Call, Fields, fields};
use super::change::Change;
use super::refusal::{Handled, Refusal};
use crate::validate;
use proto_core::NodeId;
use proto_core::registry::challenge;
use serde_json::json;

/// `set_hostname`; the empty name clears it.
pub(super) fn hostname(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    let name = call.request.text("hostname").unwrap_or_default();
    let changes = call.node(id)?.record.hostname.as_deref().unwrap_or_default() != name;
    call.authenticate_setting(id, &challenge::set_hostname(id), changes)?;
    if name.is_empty() {
        call.edit(id, |record| record.hostname = None)?;
    } else {
        claim_hostname(call, id, name)?;
    }
    Ok(fields(json!({"node_id": id.0, "hostname": name})))
}

/// Gives `name` to `id` unless somebody else holds it.
pub(super) fn claim_hostname(call: &mut Call<'_>, id: NodeId, name: &str) -> Handled<()> {
    if !validate::is_name(name) {
        return Err(Refusal::invalid_hostname(name));
    }
    if let Some(holder) = call.state().name_holder(name, id, call.now) {
        //= spec/registry.md#pp-reg-19
        //# A hostname has one holder; the first who asked keeps it.
        return Err(Refusal::hostname_in_use(name, holder));
    }
    if let Some(mut lapsed) = call.state().named(name).filter(|record| record.id != id.0).cloned() {
        lapsed.hostname = None;
        call.commit(Change::Node(lapsed));
    }
    call.edit(id, |record| record.hostname = Some(name.to_owned()))
}

/// `set_visibility`.
pub(super) fn visibility(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    let public = call.request.flag("public").unwrap_or(false);
    let changes = call.node(id)?.record.public != public;
    call.authenticate_setting(id, &challenge::set_visibility(id), changes)?;
    call.edit(id, |record| record.public = public)?;
    Ok(fields(json!({"node_id": id.0, "visibility": if public { "public" } else { "private" }})))
}

/// `set_tags`.
pub(super) fn tags(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    let tags = validate::tags(call.request.texts("tags")).ok_or_else(|| Refusal::invalid("tags"))?;
    let changes = call.node(id)?.record.tags != tags;
    call.authenticate_setting(id, &challenge::set_tags(id), changes)?;
    call.edit(id, |record| record.tags.clone_from(&tags))?;
    Ok(fields(json!({"node_id": id.0, "tags": tags})))
}

/// `set_task_exec` (versions up to 1.9.1).
pub(super) fn task_exec(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    let enabled = call.request.flag("enabled").unwrap_or(false);
    let changes = call.node(id)?.record.task_exec != enabled;
    call.authenticate_setting(id, &challenge::set_task_exec(id), changes)?;
    call.edit(id, |record| record.task_exec = enabled)?;
    Ok(fields(json!({"node_id": id.0, "task_exec": enabled})))
}
