//! What the command line answers when no daemon runs: exit statuses and JSON shapes are an interface.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test that cannot go on has failed the test")]

use serde_json::Value;
use std::process::{Command, Output};

fn pilotctl(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pilotctl"));
    command.args(arguments).env_clear().env("HOME", home.path()).output().unwrap()
}

fn status(arguments: &[&str]) -> i32 {
    pilotctl(arguments).status.code().unwrap()
}

fn json(arguments: &[&str]) -> (i32, Value) {
    let output = pilotctl(arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().last().unwrap_or_else(|| panic!("no output for {arguments:?}"));
    (output.status.code().unwrap(), serde_json::from_str(line).unwrap())
}

#[test]
fn every_command_that_needs_a_daemon_exits_3_without_one() {
    for line in [
        "status",
        "info",
        "trust list",
        "trust",
        "trust add agent-b",
        "pending",
        "trust pending",
        "trust reject 2",
        "trust remove 2",
        "listen 1000",
        "nc 2 7",
        "bench 2",
        "msg send 2 --data x",
        "connect agent-b --message hi",
        "peers",
        "conns",
        "find agent-b",
        "netcheck",
        "why",
        "why 2",
        "ping 2",
        "identity show",
        "name set x",
        "name clear",
        "visibility public",
        "visibility private",
        "tags set x",
        "tags clear",
        "extras set-tags x y",
        "topic sub agent-b news",
        "subscribe agent-b news --count 2",
        "topic pub agent-b news --data x",
        "publish agent-b news --data x",
        "lookup 2",
        "deregister",
        "disconnect 3",
        "net list",
        "net join 1",
        "net leave 1",
        "net members 1",
        "extras network list",
        "identity rotate",
        "rotate-key",
        "health",
        "traceroute 0:0000.0000.0002",
        "send 2 2001 --data x",
        "recv 2001 --count 1",
        "extras dgram 2 2000 --data x",
        "daemon status",
        "daemon stop",
    ] {
        let mut words: Vec<&str> = line.split(' ').collect();
        assert_eq!(status(&words), 3, "{line}");
        words.push("--json");
        let (code, body) = json(&words);
        assert_eq!((code, &body["status"], &body["code"]), (3, &"error".into(), &"not_running".into()), "{line}");
        assert!(body["message"].is_string() && body["hint"].is_string(), "{line}: {body}");
    }
}

#[test]
fn usage_errors_exit_2_and_suggest() {
    for line in ["statsu", "trust remvoe x", "status surplus", "ping", "connect", "ping 2 -c 0", "nc b 70000", "--no"] {
        assert_eq!(status(&line.split(' ').collect::<Vec<_>>()), 2, "{line}");
    }
    let (code, body) = json(&["--json", "statsu"]);
    assert_eq!((code, &body["code"]), (2, &"invalid_argument".into()));
    assert!(body.to_string().contains("status"), "{body}");
    let words = String::from_utf8(pilotctl(&["statsu"]).stderr).unwrap();
    assert!(words.contains("'status'"), "{words}");
}

/// Words of the reference that are not offered say so, and why.
#[test]
fn a_word_that_is_left_out_is_an_error_with_a_reason() {
    for line in ["task submit 2 --task x", "extras my-polo", "set-webhook http://127.0.0.1/"] {
        let words: Vec<&str> = std::iter::once("--json").chain(line.split(' ')).collect();
        let (code, body) = json(&words);
        assert_eq!((code, &body["code"]), (2, &"invalid_argument".into()), "{line}: {body}");
        assert!(body["hint"].as_str().is_some_and(|hint| !hint.contains("--help")), "{line}: {body}");
    }
}

#[test]
fn what_needs_no_daemon_works() {
    let (code, body) = json(&["version", "--json"]);
    assert_eq!((code, &body["status"]), (0, &"ok".into()));
    assert_eq!(body["data"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status(&["--help"]), 0);
    let script = pilotctl(&["completions", "bash"]);
    assert!(script.status.success() && script.stdout.len() > 1000);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(status(&["man", folder.path().to_str().unwrap()]), 0);
    assert!(folder.path().join("pilotctl-daemon-start.1").exists());
    let (_, body) = json(&["--json", "inbox"]);
    assert_eq!(body["data"]["total"], 0);
    let (_, body) = json(&["received", "--json"]);
    assert_eq!(body["data"]["files"], serde_json::json!([]));
}

#[test]
fn a_readable_identity_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join(".local/state/pilot");
    std::fs::create_dir_all(&state).unwrap();
    let identity = state.join("identity.json");
    std::fs::write(&identity, "{}").unwrap();
    std::fs::set_permissions(&identity, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pilotctl"));
    let output = command.args(["daemon", "run"]).env_clear().env("HOME", home.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(std::fs::read_to_string(identity).unwrap(), "{}");
}

#[test]
fn options_of_every_command() {
    assert_eq!(status(&["--no-color", "status"]), 3);
    assert_eq!(status(&["connect", "agent-b", "--no-color", "--data-file", "-"]), 3);
    assert_eq!(status(&["connect", "agent-b", "-"]), 3, "a bare dash is standard input");
    assert_eq!(status(&["connect", "agent-b", "1000", "-"]), 3);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("other.toml");
    let words = ["--json", "--config", config.to_str().unwrap(), "daemon", "run"];
    assert_eq!(json(&words).0, 4, "a file that was named must be there");
    std::fs::write(&config, "regitsry = \"192.0.2.1:9000\"\n").unwrap();
    let (code, body) = json(&words);
    assert_eq!(code, 2, "it is read: {body}");
    assert!(
        body["message"].as_str().is_some_and(|text| text.contains("other.toml") && text.contains("regitsry")),
        "{body}"
    );
}

#[test]
fn a_state_folder_is_closed_and_a_token_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join(".local/state/pilot");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "root\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    for start in [["daemon", "run"], ["rendezvous", "start"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pilotctl"));
        command.args(start).arg("--admin-token-file").arg(&token).env_clear().env("HOME", home.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{start:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("can be read by others"), "{start:?}");
    }
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
}
