//! What the registry promises: identities, names, trust, privacy, and its words when it refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{ADMIN, Agent, WALL, World, home};
use rendezvous_core::RegistryConfig;
use rendezvous_core::rate::Rate;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;

fn elsewhere() -> IpAddr {
    IpAddr::from([203, 0, 113, 66])
}

fn error(reply: &Value) -> &str {
    reply["error"].as_str().unwrap_or_else(|| panic!("not refused: {reply}"))
}

//= spec/registry.md#pp-reg-7
//= type=test
//# A registration carries the node's public key, and the same key always gets the same number.
//= spec/registry.md#pp-reg-9
//= type=test
//# A node number is never given to another key, except by the rotation its holder signed.
#[test]
fn the_same_key_keeps_its_id_through_restart_farewell_and_silence() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(2));
    assert_eq!((a.id, b.id), (1, 2));
    world.restart();
    assert_eq!(world.join(2).id, 2);
    assert_eq!(world.once(&b.about_me("deregister"))["type"], "deregister_ok");
    assert_eq!(error(&world.once(&json!({"type": "lookup", "node_id": 2}))), "node 2: node not found");
    assert_eq!(world.join(2).id, 2);
    world.pass(Duration::from_secs(601));
    assert_eq!(error(&world.once(&b.about_me("heartbeat"))), "node 2: node not found");
    assert_eq!((world.join(2).id, world.join(3).id), (2, 3));
}

//= spec/registry.md#pp-reg-13
//= type=test
//# A heartbeat is sent every 60 seconds and a node counts as gone after 10 minutes without one.
//= spec/registry.md#pp-reg-27
//= type=test
//# Lookups, endpoints and heartbeats never touch the store.
#[test]
fn a_heartbeat_every_minute_keeps_a_node_and_stores_nothing() {
    let mut world = World::new();
    let a = world.join(1);
    let stored = world.stored.clone();
    for _ in 0..60 {
        world.pass(Duration::from_secs(60));
        assert_eq!(world.once(&a.about_me("heartbeat"))["time"], WALL + world.now.as_micros() / 1_000_000);
    }
    assert_eq!(world.stored, stored);
}

//= spec/registry.md#pp-reg-10
//= type=test
//# A node is never found by its owner's e-mail.
#[test]
fn an_owner_is_no_identity() {
    let mut world = World::new();
    let mut register = |seed: u8| {
        let mut request = Agent::new(seed).register("198.51.100.7:1");
        request["owner"] = "one@example.com".into();
        world.once(&request)["node_id"].as_u64()
    };
    assert_eq!((register(1), register(2), register(1)), (Some(1), Some(2), Some(1)));
}

//= spec/registry.md#pp-reg-11
//= type=test
//# An unsigned registration that would move a live node to another address is believed only after something signed came on the same
//# connection.
#[test]
fn an_unsigned_registration_from_elsewhere_moves_nothing_until_something_is_signed() {
    let mut world = World::new();
    let a = Agent { id: 1, ..Agent::new(1) };
    world.once(&a.unsigned("198.51.100.7:4000"));
    world.once(&a.set("set_visibility", "public", true));
    let endpoint = |world: &mut World| world.once(&json!({"type": "lookup", "node_id": 1}))["real_addr"].clone();
    let mut session = world.session(elsewhere());
    assert_eq!(world.ask(&mut session, &a.unsigned("203.0.113.66:4000"))["node_id"], 1);
    assert_eq!(endpoint(&mut world), "198.51.100.7:4000");
    world.ask(&mut session, &a.about_me("heartbeat"));
    assert_eq!(endpoint(&mut world), "203.0.113.66:4000");
}

//= spec/registry.md#pp-reg-8
//= type=test
//# A registration with a signature must verify, and a key that once signed must always sign.
//= spec/registry.md#pp-reg-16
//= type=test
//# A request that changes a node's record is signed with its registered key over the string of its kind.
#[test]
fn who_signed_once_must_always_sign_and_signatures_are_checked() {
    let mut world = World::new();
    let a = world.join(1);
    assert_eq!(error(&world.once(&a.unsigned("1.2.3.4:5"))), "signature required for authenticated node");
    let mut forged = a.register("1.2.3.4:5");
    forged["listen_addr"] = "1.2.3.4:6".into();
    assert_eq!(error(&world.once(&forged)), "signature verification failed");
    world.restart();
    assert_eq!(error(&world.once(&a.unsigned("1.2.3.4:5"))), "signature required for authenticated node");
}

//= spec/registry.md#pp-reg-17
//= type=test
//# A setting whose signature does not cover its value is changed only from the address the node registered from, or with an envelope.
#[test]
fn an_overheard_signature_cannot_set_another_value_from_elsewhere() {
    let mut world = World::new();
    let a = world.join(1);
    let mut session = world.session(elsewhere());
    for (kind, field, value) in [
        ("set_hostname", "hostname", json!("mine")),
        ("set_visibility", "public", json!(true)),
        ("set_tags", "tags", json!(["x"])),
    ] {
        let refused = world.ask(&mut session, &a.set(kind, field, value.clone()));
        assert!(error(&refused).starts_with("cannot change node 1 from another address"), "{refused}");
        assert_eq!(world.once(&a.set(kind, field, value))["type"], format!("{kind}_ok"));
    }
}

#[test]
fn an_unsigned_registration_cannot_rename_a_node() {
    let mut world = World::new();
    let a = Agent { id: 1, ..Agent::new(1) };
    let mut register = a.unsigned("198.51.100.7:4000");
    register["hostname"] = "alpha".into();
    assert_eq!(world.once(&register)["hostname"], "alpha", "a new key may bring its name");
    assert_eq!(world.once(&register)["hostname"], "alpha");
    world.pass(Duration::from_secs(700));
    register["hostname"] = "evil".into();
    assert_eq!(world.once(&register)["hostname_error"], "signature required for authenticated node");
}

//= spec/registry.md#pp-reg-19
//= type=test
//# A hostname has one holder; the first who asked keeps it.
#[test]
fn names_are_unique_first_come_and_survive_a_restart() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(2));
    world.once(&a.set("set_hostname", "hostname", "alpha"));
    world.restart();
    let (a, b) = (world.join(1), Agent { id: b.id, ..world.join(2) });
    let taken = world.once(&b.set("set_hostname", "hostname", "alpha"));
    assert_eq!(error(&taken), r#"hostname "alpha" already in use by node 1"#);
    let mut register = b.register("198.51.100.7:4000");
    register["hostname"] = "alpha".into();
    let reply = world.once(&register);
    assert_eq!((&reply["type"], reply["hostname_error"].is_string()), (&json!("register_ok"), true));
    for bad in ["A", "-a", "backbone", "a.b"] {
        assert!(error(&world.once(&a.set("set_hostname", "hostname", bad))).starts_with("invalid hostname"));
    }
    world.once(&a.set("set_hostname", "hostname", ""));
    assert_eq!(world.once(&b.set("set_hostname", "hostname", "alpha"))["hostname"], "alpha");
}

#[test]
fn a_name_is_free_again_a_week_after_its_holder_fell_silent() {
    let mut world = World::new();
    let a = world.join(1);
    world.once(&a.set("set_hostname", "hostname", "alpha"));
    world.pass(Duration::from_secs(6 * 24 * 3600));
    let b = world.join(2);
    assert!(error(&world.once(&b.set("set_hostname", "hostname", "alpha"))).contains("already in use"));
    world.pass(Duration::from_secs(2 * 24 * 3600));
    let b = Agent { id: b.id, ..world.join(2) };
    assert_eq!(world.once(&b.set("set_hostname", "hostname", "alpha"))["hostname"], "alpha");
    world.restart();
    world.join(2);
    world.once(&b.set("set_visibility", "public", true));
    assert_eq!(world.once(&json!({"type": "resolve_hostname", "hostname": "alpha"}))["node_id"], b.id);
}

//= spec/registry.md#pp-reg-20
//= type=test
//# A trust pair exists when both nodes gave their half, and one revocation ends it.
#[test]
fn trust_needs_both_halves_and_one_revocation_ends_it() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(2));
    let report =
        |from: &Agent, to: &Agent| from.signed(json!({"type": "report_trust", "node_id": from.id, "peer_id": to.id}));
    world.once(&report(&a, &b));
    assert!(!world.trusted(&a, &b));
    let denied = world.once(&a.resolve(&b));
    assert!(error(&denied).starts_with("resolve denied: node 2 is private"));
    world.once(&report(&b, &a));
    assert!(world.trusted(&a, &b) && world.trusted(&b, &a));
    world.restart();
    assert!(world.trusted(&a, &b));
    let revoke =
        |from: &Agent, to: &Agent| from.signed(json!({"type": "revoke_trust", "node_id": from.id, "peer_id": to.id}));
    world.once(&revoke(&b, &a));
    assert!(!world.trusted(&a, &b));
    assert_eq!(error(&world.once(&revoke(&a, &b))), "no trust pair between 1 and 2");
    world.once(&report(&a, &b));
    assert!(!world.trusted(&a, &b), "old consent does not complete a new request");
}

fn request_handshake(from: &Agent, to: &Agent) -> Value {
    from.signed(json!({
        "type": "request_handshake", "from_node_id": from.id, "to_node_id": to.id, "justification": "work",
    }))
}

fn respond(from: &Agent, to: &Agent, accept: bool) -> Value {
    let mut request = from.signed(json!({"type": "respond_handshake", "node_id": from.id, "peer_id": to.id}));
    request["accept"] = accept.into();
    request
}

#[test]
fn a_relayed_handshake_makes_a_pair_even_across_a_restart() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(2));
    assert_eq!(error(&world.once(&respond(&b, &a, true))), "no pending handshake request from node 1");
    assert_eq!(world.once(&request_handshake(&a, &b))["status"], "delivered");
    let again = world.once(&request_handshake(&a, &b));
    assert_eq!(error(&again), "handshake request already pending from node 1");
    world.restart();
    let (a, b) = (world.join(1), world.join(2));
    let mail = world.once(&b.about_me("poll_handshakes"));
    assert_eq!(mail["requests"], json!([{"from_node_id": 1, "justification": "work", "timestamp": WALL}]));
    assert_eq!(
        world.once(&respond(&b, &a, true)),
        json!({"type": "respond_handshake_ok", "accept": true, "peer_id": 1})
    );
    assert!(world.trusted(&a, &b));
    let answer = world.once(&a.about_me("poll_handshakes"));
    assert_eq!(answer["responses"][0]["accept"], true);
    assert_eq!(world.notified, [2, 1]);
}

//= spec/registry.md#pp-reg-21
//= type=test
//# A relayed handshake stays in the inbox until its delivery is certain.
#[test]
fn mail_is_kept_until_its_delivery_is_certain() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(2));
    world.once(&request_handshake(&a, &b));
    let poll = b.about_me("poll_handshakes");
    let count = |reply: &Value| reply["requests"].as_array().unwrap().len();
    assert_eq!(count(&world.once(&poll)), 1, "delivered on a connection that may have died");
    let mut session = world.session(home());
    assert_eq!(count(&world.ask(&mut session, &poll)), 1, "so it is delivered again");
    assert_eq!(count(&world.ask(&mut session, &poll)), 0, "a second poll on one connection shows the first arrived");
    world.once(&request_handshake(&a, &b));
    world.once(&poll);
    world.pass(Duration::from_secs(300));
    assert_eq!(count(&world.once(&poll)), 1, "the only reply may have been lost, and an outage may have followed");
    assert_eq!(count(&world.once(&poll)), 0, "told twice, and long ago");
    assert_eq!(world.once(&request_handshake(&a, &b))["status"], "delivered");
    assert!((0..3).all(|_| count(&world.once(&poll)) == 1), "told twice, but just now");
}

//= spec/registry.md#pp-reg-22
//= type=test
//# An inbox holds at most 100 requests.
#[test]
fn an_inbox_is_bounded() {
    let mut world = World::new();
    let target = world.join(255);
    for seed in 1..=100 {
        let agent = world.join(seed);
        assert_eq!(world.once(&request_handshake(&agent, &target))["status"], "delivered");
    }
    let agent = world.join(101);
    assert_eq!(error(&world.once(&request_handshake(&agent, &target))), "handshake inbox full for node 1");
}

/// Who learns what of whom: public, private to a stranger, to a trusted peer, to a member of the same network.
//= spec/privacy.md#pp-priv-4
//= type=test
//# The registry tells the endpoint of a private node only to nodes it trusts mutually or shares a network with, on a signed request.
//= spec/privacy.md#pp-priv-5
//= type=test
//# The registry refuses a hostname of a private node to strangers in the words for an unknown name, unless its operator made names
//# public.
//= spec/privacy.md#pp-priv-6
//= type=test
//# The registry tells a stranger of a private node its key and when that changed, its networks and role there, visibility, version,
//# whether it asks to be relayed, when it was last seen and whether it is related to another given node, and nothing else.
//= spec/privacy.md#pp-priv-7
//= type=test
//# A public node admits everybody.
#[test]
fn privacy_matrix() {
    let mut world = World::new();
    let (private, public, friend, stranger) = (world.join(1), world.join(2), world.join(3), world.join(4));
    for (agent, name) in [(&private, "private"), (&public, "public")] {
        world.once(&agent.set("set_hostname", "hostname", name));
        world.once(&agent.set("set_tags", "tags", json!(["#gpu"])));
    }
    world.once(&public.set("set_visibility", "public", true));
    world.trust(&private, &friend);
    let mut view = |viewer: &Agent, target: &Agent, name: &str| {
        let mut session = world.session(home());
        world.ask(&mut session, &viewer.about_me("heartbeat"));
        let lookup = world.ask(&mut session, &json!({"type": "lookup", "node_id": target.id}));
        assert!(lookup["public_key"].is_string() && lookup["networks"] == json!([0]) && lookup["public"].is_boolean());
        let find = world.ask(&mut session, &json!({"type": "resolve_hostname", "hostname": name}));
        let resolve = world.ask(&mut session, &viewer.resolve(target));
        let punch = viewer.signed(json!({
            "type": "punch", "requester_id": viewer.id, "node_a": viewer.id, "node_b": target.id,
        }));
        let punch = world.ask(&mut session, &punch);
        let ok = |reply: &Value| reply["type"] != "error";
        let names = lookup["hostname"] == name && lookup["tags"] == json!(["gpu"]);
        assert_eq!(lookup["hostname"].is_string(), names);
        [names, lookup["real_addr"].is_string(), ok(&find), ok(&resolve), ok(&punch)]
    };
    assert_eq!(view(&stranger, &public, "public"), [true; 5]);
    assert_eq!(view(&stranger, &private, "private"), [false; 5]);
    assert_eq!(view(&friend, &private, "private"), [true, false, true, true, true]);
    assert_eq!(view(&private, &private, "private"), [true, false, true, true, true]);
    // What anybody may ask without saying who it is, and what it does not tell of a private node.
    assert!(world.trusted(&private, &friend) && !world.trusted(&private, &stranger));
    world.once(&json!({"type": "create_network", "node_id": private.id, "name": "lab", "admin_token": ADMIN}));
    let row = world.once(&json!({"type": "list_nodes", "network_id": 1}))["nodes"][0].clone();
    let told: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(told, ["address", "last_seen", "node_id", "polo_score", "public", "role"]);
    let unknown = world.once(&json!({"type": "resolve_hostname", "hostname": "nobody"}));
    let hidden = world.once(&json!({"type": "resolve_hostname", "hostname": "private"}));
    assert_eq!(error(&unknown).replace("nobody", "private"), error(&hidden));
}

/// 1.18.0 asks for names on connections that have proved nothing; its address shows that a node is behind them.
#[test]
fn public_names_are_told_where_a_node_lives_and_nowhere_else() {
    let mut world = World::with(RegistryConfig { hostnames_are_public: true, ..RegistryConfig::default() });
    let find = json!({"type": "resolve_hostname", "hostname": "private"});
    let private = world.join(1);
    world.once(&private.set("set_hostname", "hostname", "private"));
    assert_eq!(world.once(&find)["node_id"], private.id);
    let mut outside = world.session(elsewhere());
    assert_eq!(error(&world.ask(&mut outside, &find)), r#"hostname "private" not found"#);
    let visitor = Agent { id: 2, ..Agent::new(2) };
    world.ask(&mut outside, &visitor.unsigned("203.0.113.66:1"));
    assert_eq!(world.ask(&mut outside, &find)["public"], false);
    world.once(&visitor.register("198.51.100.7:1"));
    assert_eq!(error(&world.ask(&mut outside, &find)), r#"hostname "private" not found"#, "it moved away");
    world.pass(Duration::from_secs(601));
    assert!(error(&world.once(&find)).ends_with("not found"), "all are gone");
}

#[test]
fn relay_only_nodes_are_found_at_the_beacon() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(2));
    let mut register = b.register("198.51.100.7:4000");
    register["relay_only"] = true.into();
    register["lan_addrs"] = json!(["10.0.0.1:4000"]);
    world.once(&register);
    world.once(&b.set("set_visibility", "public", true));
    let resolved = world.once(&a.resolve(&b));
    assert_eq!((&resolved["real_addr"], &resolved["relay_only"]), (&json!("192.0.2.1:9001"), &json!(true)));
    assert!(resolved["lan_addrs"].is_null());
    assert!(world.once(&json!({"type": "lookup", "node_id": b.id}))["real_addr"].is_null());
}

//= spec/registry.md#pp-reg-28
//= type=test
//# Key rotation signs the new key by default.
#[test]
fn rotation_is_bound_to_the_new_key_and_the_old_one_is_worthless() {
    let mut world = World::new();
    let mut a = world.join(1);
    let new = Agent { id: a.id, ..Agent::new(9) };
    let rotate = json!({"type": "rotate_key", "node_id": a.id, "new_public_key": new.public_key()});
    let mut unbound = rotate.clone();
    unbound["signature"] = a.sign(&format!("rotate:{}", a.id)).into();
    assert_eq!(error(&world.once(&unbound)), "signature verification failed");
    assert_eq!(world.once(&a.signed(rotate))["public_key"], new.public_key());
    assert_eq!(error(&world.once(&a.about_me("heartbeat"))), "signature verification failed");
    assert_eq!(world.once(&new.about_me("heartbeat"))["type"], "heartbeat_ok");
    assert_eq!(world.join(9).id, a.id);
    a.id = 0;
    assert_eq!(world.join(1).id, 2, "the old key is a newcomer");
    assert_eq!(world.once(&json!({"type": "get_key_info", "node_id": 1}))["rotate_count"], 1);
}

//= spec/addressing.md#pp-addr-2
//= type=test
//# Network 0 is the backbone, which every node is in.
//= spec/addressing.md#pp-addr-11
//= type=test
//# A node has one number, which is the same in every network it joined.
//= spec/registry.md#pp-reg-23
//= type=test
//# A network is joined by anybody or by token, as its rule says.
//= spec/registry.md#pp-reg-24
//= type=test
//# A network's owner must have proved who it is on the connection, or the request must carry the administrator's token.
#[test]
fn networks_by_token_and_open() {
    let mut world = World::new();
    let (owner, member) = (world.join(1), world.join(2));
    let create = |rule: &str, name: &str, token: &str| json!({"type": "create_network", "node_id": 1, "name": name, "join_rule": rule, "token": "s3cret", "admin_token": token});
    assert_eq!(error(&world.once(&create("open", "lab", "wrong"))), "invalid admin token");
    assert_eq!(world.once(&create("token", "lab", ADMIN))["network_id"], 1);
    assert!(error(&world.once(&create("open", "lab", ADMIN))).contains("already in use"));
    assert!(error(&world.once(&create("invite", "vip", ADMIN))).starts_with("enterprise feature:"));
    let join = |token: &str| {
        let mut request = member.signed(json!({"type": "join_network", "node_id": member.id, "network_id": 1}));
        request["token"] = token.into();
        request
    };
    assert_eq!(error(&world.once(&join("guess"))), "invalid token for network 1");
    assert_eq!(world.once(&join("s3cret"))["address"], "1:0001.0000.0002");
    assert_eq!(error(&world.once(&join("s3cret"))), "node 2 already in network 1");
    assert!(world.trusted(&owner, &member), "members of one network may meet");
    world.restart();
    assert_eq!(world.once(&json!({"type": "lookup", "node_id": 2}))["networks"], json!([0, 1]));
    let nodes = world.once(&json!({"type": "list_nodes", "network_id": 1}));
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 2);
    let leave = member.signed(json!({"type": "leave_network", "node_id": 2, "network_id": 1}));
    world.once(&leave);
    assert_eq!(error(&world.once(&leave)), "node 2 is not a member of network 1");
    let delete = json!({"type": "delete_network", "network_id": 1, "node_id": 1});
    assert_eq!(error(&world.once(&delete)), "rbac: owner of network 1 required", "an unsigned node_id proves nothing");
    world.join(1);
    let mut session = world.session(home());
    world.ask(&mut session, &owner.about_me("heartbeat"));
    assert_eq!(world.ask(&mut session, &delete)["network_id"], 1);
    world.restart();
    assert_eq!(world.once(&create("open", "lab", ADMIN))["network_id"], 2, "ids are never given twice");
    assert_eq!(world.once(&json!({"type": "get_network_policy", "network_id": 1}))["type"], "error");
}

//= spec/privacy.md#pp-priv-8
//= type=test
//# Listing all nodes of the backbone needs the administrator's token.
//= spec/registry.md#pp-reg-25
//= type=test
//# A beacon is announced only with the administrator's token.
#[test]
fn administrators_prove_it_and_enterprise_features_are_named() {
    let mut world = World::new();
    let beacon = json!({"type": "beacon_register", "beacon_id": 7, "addr": "192.0.2.1:9001"});
    assert_eq!(error(&world.once(&beacon)), "invalid admin token");
    let mut allowed = beacon;
    allowed["admin_token"] = ADMIN.into();
    world.once(&allowed);
    let list = world.once(&json!({"type": "beacon_list"}));
    assert_eq!(list["beacons"], json!([{"id": 7, "addr": "192.0.2.1:9001"}]));
    world.pass(Duration::from_secs(61));
    assert_eq!(world.once(&json!({"type": "beacon_list"}))["beacons"], json!([]));
    assert_eq!(error(&world.once(&json!({"type": "list_nodes", "network_id": 0}))), "invalid admin token");
    let audit = world.once(&json!({"type": "get_audit_log", "admin_token": ADMIN}));
    assert!(error(&audit).starts_with("enterprise feature: get_audit_log"));
    let mut closed = World::with(RegistryConfig::default());
    let created = closed.once(&json!({"type": "create_network", "node_id": 1, "name": "x", "admin_token": ""}));
    assert!(error(&created).starts_with("network creation is disabled"));
}

//= spec/rate-limits.md#pp-rate-10
//= type=test
//# First registrations are limited by address; keys that are known are not.
#[test]
fn newcomers_are_limited_by_address_and_known_keys_are_not() {
    let mut world = World::with(RegistryConfig { registrations: Rate::per_minute(10, 2), ..RegistryConfig::default() });
    let (a, _) = (world.join(1), world.join(2));
    assert!(error(&world.once(&Agent::new(3).register("1.2.3.4:5"))).starts_with("rate limited:"));
    assert_eq!(world.once(&a.register("1.2.3.4:5"))["node_id"], 1);
    let mut session = world.session(elsewhere());
    assert_eq!(world.ask(&mut session, &Agent::new(3).register("1.2.3.4:5"))["node_id"], 3);
}

//= spec/rate-limits.md#pp-rate-11
//= type=test
//# Requests at the registry are limited by address and by node.
#[test]
fn requests_are_limited_by_address_but_a_proved_node_has_its_own_share() {
    let limit = Rate::per_second(1, 5);
    let mut world = World::with(RegistryConfig { requests_per_address: limit, ..RegistryConfig::default() });
    let a = world.join(1);
    let mut session = world.session(home());
    world.ask(&mut session, &a.about_me("heartbeat"));
    for _ in 0..10 {
        world.once(&json!({"type": "beacon_list"}));
    }
    assert!(error(&world.once(&json!({"type": "beacon_list"}))).starts_with("rate limited:"));
    assert_eq!(world.ask(&mut session, &a.about_me("heartbeat"))["type"], "heartbeat_ok");
    for _ in 0..3 {
        assert_eq!(world.once(&a.about_me("heartbeat"))["type"], "heartbeat_ok", "also on new connections");
    }
    assert!(error(&world.once(&a.about_me("heartbeat"))).starts_with("rate limited:"), "within limits");
}
