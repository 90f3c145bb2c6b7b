//! Key dates, and what is left of scores and tasks: both were removed from the reference after 1.9.1, whose daemons
//! still ask (`spec/deviations.md`, D-39).

use super::call::{Call, Fields, fields};
use super::refusal::{Handled, Refusal};
use crate::text::rfc3339;
use proto_core::registry::challenge;
use proto_core::wire::addr::Address;
use serde_json::json;

/// `get_key_info`.
pub(super) fn key_info(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    let record = &call.node(id)?.record;
    let since = record.key_rotated.unwrap_or(record.key_created);
    let mut reply = fields(json!({
        "node_id": id.0, "created_at": rfc3339(record.key_created), "rotate_count": record.rotations,
        "key_age_days": call.wall.saturating_sub(since) / 86_400,
    }));
    if let Some(rotated) = record.key_rotated {
        reply.insert("rotated_at".to_owned(), rfc3339(rotated).into());
    }
    Ok(reply)
}

/// `set_key_expiry`: only for members of enterprise networks, of which there are none.
pub(super) fn set_key_expiry(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    call.authenticate_or_admin(id, &challenge::set_key_expiry(id))?;
    Err(Refusal::enterprise("set_key_expiry"))
}

/// `get_polo_score`: everybody has none.
pub(super) fn polo_score(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    call.node(id)?;
    Ok(fields(json!({"node_id": id.0, "address": Address::backbone(id).to_string(), "polo_score": 0})))
}

/// `update_polo_score` and `set_polo_score`: the reference let anybody write any score; nothing is written here.
pub(super) fn write_polo_score(call: &mut Call<'_>) -> Handled<Fields> {
    polo_score(call)
}

/// `authorize_task_submit`: the registry has no say. Whom a receiver lets connect at all is its own decision.
pub(super) fn authorize_task_submit(call: &mut Call<'_>) -> Handled<Fields> {
    let request = call.request;
    let caller = request.node("caller_node_id");
    let (submitter, receiver) = (request.node("submitter_node_id"), request.node("receiver_node_id"));
    call.authenticate(caller, &challenge::authorize_task_submit(caller, submitter, receiver))?;
    call.node(submitter)?;
    call.node(receiver)?;
    Ok(fields(json!({"authorized": true})))
}
