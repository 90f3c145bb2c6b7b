//! Every message the registry knows, asked once: the fields of its reply, or the words of its refusal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{ADMIN, Agent, World, home};
use rendezvous_core::{Registry, Session};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A registry with three nodes, the first of which owns network 1, and what was asked of it.
struct Table {
    world: World,
    agents: [Agent; 3],
    session: Session,
    asked: BTreeSet<String>,
}

impl Table {
    fn new() -> Self {
        let mut world = World::new();
        let agents = [world.join(1), world.join(2), world.join(3)];
        let session = world.session(home());
        Self { world, agents, session, asked: BTreeSet::new() }
    }

    fn ask(&mut self, request: &Value) -> Value {
        let kind = request["type"].as_str().unwrap().to_owned();
        let reply = self.world.ask(&mut self.session, request);
        if reply["type"] != "error" {
            assert_eq!(reply["type"], format!("{kind}_ok"), "{reply}");
        }
        self.asked.insert(kind);
        reply
    }

    /// The reply has exactly these fields besides its type.
    fn answers(&mut self, request: &Value, fields: &str) -> Value {
        let reply = self.ask(request);
        let mut told: Vec<&str> =
            reply.as_object().unwrap().keys().map(String::as_str).filter(|key| *key != "type").collect();
        told.sort_unstable();
        assert_eq!(told.join(" "), fields, "{request} -> {reply}");
        reply
    }

    /// The same, signed by agent `n`.
    fn signed(&mut self, n: usize, request: Value, fields: &str) -> Value {
        let request = self.agents[n - 1].signed(request);
        self.answers(&request, fields)
    }

    fn refuses(&mut self, request: &Value, words: &str) {
        let reply = self.ask(request);
        assert_eq!(reply["error"], words, "{request} -> {reply}");
    }
}

#[test]
fn every_message_has_its_documented_shape() {
    let mut table = Table::new();
    nodes(&mut table);
    trust(&mut table);
    networks(&mut table);
    policies(&mut table);
    refused(&mut table);
    let admin = json!({"type": "beacon_register", "beacon_id": 1, "addr": "192.0.2.1:9001", "admin_token": ADMIN});
    table.answers(&admin, "beacon_id");
    table.answers(&json!({"type": "beacon_list"}), "beacons");
    table.signed(3, json!({"type": "deregister", "node_id": 3}), "");
    let known: BTreeSet<String> = Registry::message_types().map(str::to_owned).collect();
    assert_eq!(table.asked, known, "each message has a row here");
}

fn nodes(table: &mut Table) {
    let register = table.agents[0].register("198.51.100.7:4000");
    table.answers(&register, "address network_id node_id observed_addr protocol_version public_key");
    table.signed(1, json!({"type": "heartbeat", "node_id": 1}), "time");
    let task_exec = json!({"type": "set_task_exec", "node_id": 1, "enabled": true});
    table.signed(1, task_exec, "node_id task_exec");
    let hostname = json!({"type": "set_hostname", "node_id": 1, "hostname": "one"});
    assert_eq!(table.signed(1, hostname, "hostname node_id")["hostname"], "one");
    assert_eq!(
        table.signed(1, json!({"type": "set_tags", "node_id": 1, "tags": ["#gpu"]}), "node_id tags")["tags"],
        json!(["gpu"])
    );
    let visible = json!({"type": "set_visibility", "node_id": 1, "public": true});
    assert_eq!(table.signed(1, visible, "node_id visibility")["visibility"], "public");
    let all = "address hostname last_seen_unix networks node_id polo_score public public_key real_addr tags task_exec";
    table.answers(&json!({"type": "lookup", "node_id": 1}), all);
    table.answers(&json!({"type": "resolve_hostname", "hostname": "one"}), "address hostname node_id public");
    table.signed(2, json!({"type": "resolve", "requester_id": 2, "node_id": 1}), "key_age_days node_id real_addr");
    let punch = json!({"type": "punch", "requester_id": 2, "node_a": 2, "node_b": 1});
    table.signed(2, punch, "node_a node_a_addr node_b node_b_addr");
    table.answers(&json!({"type": "get_key_info", "node_id": 1}), "created_at key_age_days node_id rotate_count");
    let key = Agent::new(77).public_key();
    let rotate = json!({"type": "rotate_key", "node_id": 3, "new_public_key": key});
    assert_eq!(table.signed(3, rotate, "address node_id public_key")["public_key"], key.as_str());
    table.agents[2].key = Agent::new(77).key;
    for kind in ["get_polo_score", "set_polo_score", "update_polo_score"] {
        let score = json!({"type": kind, "node_id": 1, "delta": 5, "polo_score": 5});
        assert_eq!(table.answers(&score, "address node_id polo_score")["polo_score"], 0, "{kind}: nobody has any");
    }
    let task =
        json!({"type": "authorize_task_submit", "caller_node_id": 1, "submitter_node_id": 2, "receiver_node_id": 1});
    table.signed(1, task, "authorized");
}

fn trust(table: &mut Table) {
    let request = json!({"type": "request_handshake", "from_node_id": 2, "to_node_id": 3, "justification": "why not"});
    assert_eq!(table.signed(2, request, "status")["status"], "delivered");
    table.signed(3, json!({"type": "poll_handshakes", "node_id": 3}), "requests responses");
    let respond = json!({"type": "respond_handshake", "node_id": 3, "peer_id": 2, "accept": true});
    table.signed(3, respond, "accept peer_id");
    let check = json!({"type": "check_trust", "node_id": 3, "peer_id": 2});
    assert_eq!(table.answers(&check, "trusted")["trusted"], true);
    table.signed(3, json!({"type": "revoke_trust", "node_id": 3, "peer_id": 2}), "");
    table.signed(3, json!({"type": "report_trust", "node_id": 3, "peer_id": 2}), "");
    assert_eq!(table.answers(&check, "trusted")["trusted"], false, "one half");
}

fn networks(table: &mut Table) {
    let create = json!({"type": "create_network", "node_id": 1, "name": "lab", "join_rule": "token", "token": "s3cret",
        "network_admin_token": "lab-root", "rules": "{\"links\":3}", "admin_token": ADMIN});
    assert_eq!(table.answers(&create, "enterprise managed name network_id")["network_id"], 1);
    let join = json!({"type": "join_network", "node_id": 2, "network_id": 1, "token": "s3cret"});
    assert_eq!(table.signed(2, join, "address network_id rules")["rules"], json!({"links": 3}));
    let list = table.answers(&json!({"type": "list_networks"}), "networks");
    let backbone =
        json!({"id": 0, "name": "backbone", "join_rule": "open", "enterprise": false, "created": 0, "members": 0});
    assert_eq!(list["networks"][0], backbone, "how many members there are is for administrators");
    assert_eq!(list["networks"][1]["rules"], json!({"links": 3}));
    let counted = table.ask(&json!({"type": "list_networks", "admin_token": ADMIN}));
    assert_eq!((&counted["networks"][0]["members"], &counted["networks"][1]["members"]), (&json!(3), &json!(2)));
    assert_eq!(table.answers(&json!({"type": "list_nodes", "network_id": 1}), "nodes")["nodes"][0]["role"], "owner");
    let role = json!({"type": "get_member_role", "network_id": 1, "target_node_id": 2});
    assert_eq!(table.answers(&role, "role")["role"], "member");
    let policy = "allowed_ports description max_members network_id";
    table.answers(&json!({"type": "get_network_policy", "network_id": 1}), policy);
    // With the network's own token; node 2 spoke last and owns nothing.
    let rename = json!({"type": "rename_network", "network_id": 1, "name": "workshop", "admin_token": "lab-root"});
    assert_eq!(table.answers(&rename, "name network_id")["name"], "workshop");
    table.signed(2, json!({"type": "poll_invites", "node_id": 2}), "invites");
    table.signed(2, json!({"type": "leave_network", "node_id": 2, "network_id": 1}), "network_id");
}

//= spec/registry.md#pp-reg-36
//= type=test
//# A network's expression policy and its members' tags are set by its owner or an administrator and told to anybody.
fn policies(table: &mut Table) {
    let get = json!({"type": "get_expr_policy", "network_id": 1});
    assert_eq!(table.answers(&get, "expr_policy network_id")["expr_policy"], Value::Null);
    let policy = json!({"version": 1, "rules": [{"name": "all", "on": "dial", "match": "true", "actions": [{"type": "allow"}]}]});
    let set = |policy: Value| json!({"type": "set_expr_policy", "network_id": 1, "expr_policy": policy, "node_id": 1});
    table.signed(2, json!({"type": "heartbeat", "node_id": 2}), "time");
    table.refuses(&set(policy.clone()), "rbac: owner of network 1 required");
    table.signed(1, json!({"type": "heartbeat", "node_id": 1}), "time");
    assert_eq!(table.answers(&set(policy.to_string().into()), "expr_policy network_id")["expr_policy"], policy);
    table.refuses(&set(json!({"version": 2})), "invalid expr_policy: its version must be 1");
    table.refuses(&set(json!("{")), "invalid expr_policy");
    table.refuses(&set(json!({"version": 1, "x": "y".repeat(17_000)})), "expr_policy is too long");
    let tags = |node: u32, tags: Value| json!({"type": "set_member_tags", "network_id": 1, "target_node_id": node, "tags": tags});
    assert_eq!(
        table.answers(&tags(1, json!(["#gpu", "eu"])), "network_id tags target_node_id")["tags"],
        json!(["gpu", "eu"])
    );
    table.refuses(&tags(1, json!(["No"])), "invalid tags");
    table.refuses(&tags(2, json!([])), "node 2 is not a member of network 1");
    table.world.restart();
    table.agents.iter().for_each(|agent| drop(table.world.once(&agent.register("198.51.100.7:4000"))));
    table.session = table.world.session(home());
    assert_eq!(table.ask(&get)["expr_policy"], policy, "kept");
    let told = |node: u32| json!({"type": "get_member_tags", "network_id": 1, "target_node_id": node});
    assert_eq!(table.answers(&told(1), "network_id tags target_node_id")["tags"], json!(["gpu", "eu"]));
    assert_eq!(table.answers(&told(0), "members network_id")["members"], json!({"1": ["gpu", "eu"]}));
    table.signed(1, json!({"type": "heartbeat", "node_id": 1}), "time");
    assert_eq!(table.answers(&set(Value::Null), "expr_policy network_id")["expr_policy"], Value::Null);
    assert_eq!(table.ask(&get)["expr_policy"], Value::Null);
    table.answers(&json!({"type": "delete_network", "network_id": 1, "node_id": 1}), "network_id");
}

/// What is refused, and says so by its name.
fn refused(table: &mut Table) {
    let unavailable = |what: &str| format!("enterprise feature: {what} is not available on this registry");
    for kind in [
        "demote_member",
        "directory_status",
        "directory_sync",
        "get_audit_export",
        "get_audit_log",
        "get_identity",
        "get_idp_config",
        "get_provision_status",
        "get_webhook",
        "get_webhook_dlq",
        "kick_member",
        "promote_member",
        "provision_network",
        "set_audit_export",
        "set_external_id",
        "set_identity_webhook",
        "set_idp_config",
        "set_network_enterprise",
        "set_network_policy",
        "set_webhook",
        "transfer_ownership",
        "validate_token",
    ] {
        table.refuses(&json!({"type": kind}), "invalid admin token");
        table.refuses(&json!({"type": kind, "admin_token": ADMIN}), &unavailable(kind));
    }
    for kind in ["submit_badge", "enroll_recovery"] {
        table.refuses(&json!({"type": kind, "node_id": 1}), &unavailable(kind));
    }
    for kind in ["invite_to_network", "respond_invite"] {
        table.refuses(
            &json!({"type": kind, "node_id": 2, "network_id": 1, "accept": true}),
            &unavailable("an invite-only network"),
        );
    }
    let expiry = table.agents[0].signed(json!({"type": "set_key_expiry", "node_id": 1, "expires_at": "never"}));
    table.refuses(&expiry, &unavailable("set_key_expiry"));
    table.refuses(&json!({"type": "make_coffee"}), "invalid request: unknown type");
    table.asked.remove("make_coffee");
}

//= spec/registry.md#pp-reg-34
//= type=test
//# An administrator's token is taken over TLS or from the registry's own host only.
#[test]
fn a_token_in_the_clear_counts_from_the_own_host_only() {
    let mut world = World::new();
    world.join(1);
    let create = |name: &str| json!({"type": "create_network", "node_id": 1, "name": name, "network_admin_token": "lab-root", "admin_token": ADMIN});
    let clear = "cannot take an admin token in the clear: use TLS, or ask from the registry's own host";
    let mut plain = world.plain_session(home());
    assert_eq!(world.ask(&mut plain, &create("lab"))["error"], clear);
    let guess = json!({"type": "list_nodes", "network_id": 0, "admin_token": "guess"});
    assert_eq!(world.ask(&mut plain, &guess)["error"], clear, "nor does it tell whether the token is right");
    let mut local = world.plain_session([127, 0, 0, 1].into());
    assert_eq!(world.ask(&mut local, &create("lab"))["network_id"], 1);
    assert_eq!(world.once(&create("workshop"))["network_id"], 2, "over TLS");
    let delete = json!({"type": "delete_network", "network_id": 1, "admin_token": "lab-root"});
    assert_eq!(world.ask(&mut plain, &delete)["error"], clear);
    assert_eq!(world.ask(&mut local, &delete)["network_id"], 1);
    let other = json!({"type": "delete_network", "network_id": 2, "admin_token": "wrong"});
    assert_eq!(world.ask(&mut local, &other)["error"], "rbac: owner of network 2 required");
}

//= spec/registry.md#pp-reg-35
//= type=test
//# Of a network's tokens the registry keeps the SHA-256 and not the token.
#[test]
fn no_token_is_kept() {
    let mut world = World::new();
    let agent = world.join(1);
    world.once(&json!({"type": "create_network", "node_id": 1, "name": "lab", "join_rule": "token", "token": "s3cret",
        "network_admin_token": "lab-root", "admin_token": ADMIN}));
    for value in world.stored.values() {
        let text = String::from_utf8_lossy(value);
        assert!(!text.contains("s3cret") && !text.contains("lab-root"), "{text}");
    }
    world.restart();
    world.once(&agent.register("198.51.100.7:4000"));
    let member = world.join(2);
    let mut join = member.signed(json!({"type": "join_network", "node_id": member.id, "network_id": 1}));
    join["token"] = "s3cret".into();
    assert_eq!(world.once(&join)["type"], "join_network_ok");
}
