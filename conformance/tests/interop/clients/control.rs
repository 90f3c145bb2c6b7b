//! Who the agent is, whom it trusts, and what our daemon refuses.

use super::world::World;
use super::{COMMAND_LINE, SECTION};
use crate::case::{Case, is_newer};
use lab::agent::PATIENCE;
use lab::wait;

/// Everything that one agent can be asked about itself and others.
pub(super) fn facts(version: &str) -> Case {
    let rows = [
        ("info, health, daemon status, config", COMMAND_LINE),
        ("find, lookup", COMMAND_LINE),
        ("set-hostname, clear-hostname", COMMAND_LINE),
        ("set-public, set-private, set-tags, clear-tags", COMMAND_LINE),
        ("network list, members, join, leave, invites", COMMAND_LINE),
        ("deregister", COMMAND_LINE),
    ];
    let wanted = version.to_owned();
    Case::sharing(SECTION, "facts", &rows, version, move |equipment| {
        let world = World::new(equipment, &wanted);
        let info = world.same(&["info"]);
        assert_eq!(info["node_id"], world.ours[0].node(), "{info}");
        world.same(&["health"]);
        world.same(&["daemon", "status"]);
        world.same(&["config"]);
        world.same(&["peers"]);
        world.same(&["connections"]);
        let found = world.same(&["find", "NAME"]);
        assert_eq!(found["node_id"], world.ours[1].node(), "{found}");
        world.same(&["find", "nobody-has-this-name"]);
        world.same(&["lookup", "PEER"]);
        let named = world.run(0, &["set-hostname", "renamed-PEER"]).same(&["set-hostname"]);
        assert_eq!(named["hostname"], format!("renamed-{}", world.ours[1].node()), "{named}");
        world.same(&["set-hostname", "Not A Name"]);
        assert_eq!(world.same(&["clear-hostname"])["hostname"], "");
        assert_eq!(world.same(&["set-private"])["visibility"], "private");
        assert_eq!(world.same(&["set-public"])["visibility"], "public");
        assert_eq!(world.same(&["extras", "set-tags", "x", "y"])["tags"], serde_json::json!(["x", "y"]));
        world.same(&["extras", "set-tags", "a", "b", "c", "d"]);
        world.same(&["extras", "clear-tags"]);
        world.same(&["extras", "network", "list"]);
        for action in ["members", "join", "leave", "accept", "reject"] {
            world.same(&["extras", "network", action, "77"]);
        }
        world.same(&["extras", "network", "invites"]);
        world.same(&["extras", "network", "invite", "77", "PEER"]);
        world.same(&["extras", "policy", "get", "--net", "77"]);
        world.same(&["extras", "member-tags", "get", "--net", "77"]);
        world.same(&["extras", "managed", "status", "77"]);
        world.same(&["deregister"]);
    })
}

/// Trust from the first request to its end.
pub(super) fn trust(version: &str) -> Case {
    let rows = [
        ("handshake, pending, approve, trust", COMMAND_LINE),
        ("reject, untrust", COMMAND_LINE),
        ("peers, ping after trust", COMMAND_LINE),
    ];
    let wanted = version.to_owned();
    Case::sharing(SECTION, "trust", &rows, version, move |equipment| {
        let world = World::new(equipment, &wanted);
        world.same(&["trust"]);
        world.same(&["pending"]);
        world.same(&["handshake", "PEER", "no, thanks"]);
        world.until(1, &["pending"], |data| data["pending"][0]["justification"] == "no, thanks");
        world.same_of(1, &["pending"]);
        world.same_of(1, &["reject", "PEER", "not now"]);
        world.until(1, &["pending"], |data| data["pending"].as_array().is_some_and(Vec::is_empty));
        // The other way round: the reference takes a second request of the same node for a replay of the first.
        world.same_of(1, &["handshake", "PEER", "yes, please"]);
        world.until(0, &["pending"], |data| data["pending"][0]["justification"] == "yes, please");
        assert_eq!(world.same(&["approve", "PEER"])["status"], "approved");
        world.until(1, &["trust"], |data| data["trusted"].as_array().is_some_and(|list| list.len() == 1));
        world.same(&["trust"]);
        world.same_of(1, &["trust"]);
        assert_eq!(world.same(&["ping", "PEER", "--count", "2"])["results"][1]["bytes"], 6);
        world.same(&["peers"]);
        world.same(&["peers", "--search", "nothing like this"]);
        world.same(&["connections"]);
        world.same(&["untrust", "PEER"]);
        world.until(1, &["trust"], |data| data["trusted"].as_array().is_some_and(Vec::is_empty));
        world.same(&["untrust", "PEER"]);
    })
}

/// What our daemon does not do is an error with its reason, never silence.
pub(super) fn refusals(version: &str) -> Case {
    let rows = [
        ("set-webhook, rotate-key, tasks, scores, badges", COMMAND_LINE),
        ("approve and reject without a request", COMMAND_LINE),
        ("broadcast with the daemon's token", COMMAND_LINE),
        ("sign-request, verify-request, prefer-direct", COMMAND_LINE),
    ];
    let (first, newer) = rows.split_at(3);
    let wanted = version.to_owned();
    let shown = if is_newer(version) { [first, newer].concat() } else { first.to_vec() };
    Case::sharing(SECTION, "refusals", &shown, version, move |equipment| {
        let newer = is_newer(&wanted);
        let world = World::new(equipment, &wanted);
        let refused = |words: &[&str], why: &str| world.run(0, words).refused(words, why);
        refused(&["approve", "99"], "no pending request");
        refused(&["reject", "99"], "no pending request");
        world.same(&["extras", "broadcast", "77", "hello"]);
        let denied = lab::process::run(with_token(world.command(0, &["extras", "broadcast", "77", "hello"])), PATIENCE);
        assert!(denied.stderr.contains("no admin token configured"), "{denied}");
        if newer {
            let signed = world.same(&["sign-request", "--audience", "shop.example", "--body", "abc"]);
            let [envelope, signature] = ["envelope", "signature"].map(|name| signed[name].as_str().unwrap());
            // Made by our daemon, judged by ours and by the reference's, which asks the registry for the key.
            let words = ["verify-request", "--envelope", envelope, "--signature", signature];
            assert_eq!(world.same_of(1, &words)["valid"], true);
            let forged = envelope.replace("shop", "spoof");
            let words = ["verify-request", "--envelope", &forged, "--signature", signature];
            assert_eq!(world.same_of(1, &words)["valid"], false);
            world.same(&["sign-request", "--audience", "NOT ONE", "--body", "abc"]);
            world.same(&["prefer-direct", "PEER"]);
            world.same(&["verify", "--badge", "x", "--badge-sig", "y"]);
        } else {
            refused(&["extras", "enable-tasks"], "not supported");
            refused(&["extras", "my-polo"], "not supported");
        }
        refused(&["rotate-key"], "not supported");
        let webhook = world.run(0, &["extras", "set-webhook", "http://127.0.0.1:1/"]);
        wait::until("the daemon goes on answering", PATIENCE, || world.ours[0].pid().map(|_| ()));
        assert_ne!(webhook.ours.json()["data"]["applied"], true, "{}", webhook.ours);
    })
}

fn with_token(mut command: std::process::Command) -> std::process::Command {
    command.env("PILOT_ADMIN_TOKEN", "token");
    command
}
