//! The messages of the reference's enterprise edition. Their authorisation is checked first, so that the answer is the
//! documented one; then they are refused (PP-REG-29).

use super::call::{Call, Fields, fields};
use super::refusal::{Handled, Refusal};
use proto_core::registry::challenge;
use serde_json::json;

/// Everything an administrator of an enterprise registry would ask.
pub(super) fn administered(call: &mut Call<'_>) -> Handled<Fields> {
    if call.registry.config.admin_token.is_some() {
        call.require_admin()?;
    }
    Err(Refusal::enterprise(call.request.text("type").unwrap_or_default()))
}

/// `submit_badge` and `enroll_recovery`: no provider vouches for addresses here, and a lost key is a new node.
pub(super) fn elsewhere(call: &mut Call<'_>) -> Handled<Fields> {
    Err(Refusal::enterprise(call.request.text("type").unwrap_or_default()))
}

/// `invite_to_network` and `respond_invite`: only enterprise networks invite.
pub(super) fn invitation(_: &mut Call<'_>) -> Handled<Fields> {
    Err(Refusal::enterprise("an invite-only network"))
}

/// `poll_invites`: nothing can wait.
pub(super) fn poll_invites(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    call.authenticate(id, &challenge::poll_invites(id))?;
    Ok(fields(json!({"invites": []})))
}
