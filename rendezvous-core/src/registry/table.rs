//! Which message goes to which handler. The one place that lists what the registry understands.

use super::call::{Call, Fields};
use super::refusal::Handled;
use super::{accounts, beacons, directory, enterprise, handshake, networks, policies, register, settings, trust};

/// One message type.
pub(super) struct Entry {
    pub(super) kind: &'static str,
    pub(super) handler: fn(&mut Call<'_>) -> Handled<Fields>,
    /// Its reply acknowledges durable facts.
    pub(super) acknowledges: bool,
}

const fn reads(kind: &'static str, handler: fn(&mut Call<'_>) -> Handled<Fields>) -> Entry {
    Entry { kind, handler, acknowledges: false }
}

const fn writes(kind: &'static str, handler: fn(&mut Call<'_>) -> Handled<Fields>) -> Entry {
    Entry { kind, handler, acknowledges: true }
}

/// The entry of a message type.
pub(super) fn find(kind: &str) -> Option<&'static Entry> {
    TABLE.binary_search_by(|entry| entry.kind.cmp(kind)).ok().and_then(|index| TABLE.get(index))
}

/// Every type.
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|entry| entry.kind)
}

/// In alphabetical order, which [`find`] relies on.
static TABLE: &[Entry] = &[
    reads("authorize_task_submit", accounts::authorize_task_submit),
    reads("beacon_list", beacons::list),
    reads("beacon_register", beacons::register),
    reads("check_trust", trust::check),
    writes("create_network", networks::create),
    writes("delete_network", networks::delete),
    reads("demote_member", enterprise::administered),
    writes("deregister", register::deregister),
    reads("directory_status", enterprise::administered),
    reads("directory_sync", enterprise::administered),
    reads("enroll_recovery", enterprise::elsewhere),
    reads("get_audit_export", enterprise::administered),
    reads("get_audit_log", enterprise::administered),
    reads("get_expr_policy", policies::tell_expression),
    reads("get_identity", enterprise::administered),
    reads("get_idp_config", enterprise::administered),
    reads("get_key_info", accounts::key_info),
    reads("get_member_role", networks::member_role),
    reads("get_member_tags", policies::tell_tags),
    reads("get_network_policy", networks::policy),
    reads("get_polo_score", accounts::polo_score),
    reads("get_provision_status", enterprise::administered),
    reads("get_webhook", enterprise::administered),
    reads("get_webhook_dlq", enterprise::administered),
    reads("heartbeat", register::heartbeat),
    reads("invite_to_network", enterprise::invitation),
    writes("join_network", networks::join),
    reads("kick_member", enterprise::administered),
    writes("leave_network", networks::leave),
    reads("list_networks", networks::list),
    reads("list_nodes", networks::list_nodes),
    reads("lookup", directory::lookup),
    writes("poll_handshakes", handshake::poll),
    reads("poll_invites", enterprise::poll_invites),
    reads("promote_member", enterprise::administered),
    reads("provision_network", enterprise::administered),
    reads("punch", directory::punch),
    writes("register", register::register),
    writes("rename_network", networks::rename),
    writes("report_trust", trust::report),
    writes("request_handshake", handshake::request),
    reads("resolve", directory::resolve),
    reads("resolve_hostname", directory::resolve_hostname),
    writes("respond_handshake", handshake::respond),
    reads("respond_invite", enterprise::invitation),
    writes("revoke_trust", trust::revoke),
    writes("rotate_key", register::rotate_key),
    reads("set_audit_export", enterprise::administered),
    writes("set_expr_policy", policies::set_expression),
    reads("set_external_id", enterprise::administered),
    writes("set_hostname", settings::hostname),
    reads("set_identity_webhook", enterprise::administered),
    reads("set_idp_config", enterprise::administered),
    reads("set_key_expiry", accounts::set_key_expiry),
    writes("set_member_tags", policies::set_tags),
    reads("set_network_enterprise", enterprise::administered),
    reads("set_network_policy", enterprise::administered),
    reads("set_polo_score", accounts::write_polo_score),
    writes("set_tags", settings::tags),
    writes("set_task_exec", settings::task_exec),
    writes("set_visibility", settings::visibility),
    reads("set_webhook", enterprise::administered),
    reads("submit_badge", enterprise::elsewhere),
    reads("transfer_ownership", enterprise::administered),
    reads("update_polo_score", accounts::write_polo_score),
    reads("validate_token", enterprise::administered),
];

#[cfg(test)]
mod tests {
    use super::TABLE;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by(|a, b| a.kind < b.kind));
    }
}
