//! A dial that cannot succeed ends within 5 s with its documented exit status and a reason on stderr.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use lab::agent::{Agent, befriend};
use lab::rendezvous::Rendezvous;
use std::time::Duration;

/// For the dial. What this machine takes to start a program is added, some times: a busy one also holds the program up when it asks the
/// daemon, when it is answered and when it ends.
const LIMIT: Duration = Duration::from_secs(5);

/// Not found, permission denied, connection failed (design: exit codes are an API).
const NOT_FOUND: i32 = 4;
const NOT_PERMITTED: i32 = 5;
const CONNECTION_FAILED: i32 = 7;

fn fails(what: &str, agent: &Agent, words: &[&str], code: i32) {
    let start = agent.run(&["version"]).elapsed;
    let ended = agent.run(words);
    assert_eq!(ended.code(), Some(code), "{what}: {ended}");
    assert!(ended.elapsed < LIMIT + 4 * start, "{what}: {ended}");
    let reason = ended.stderr.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
    assert!(!reason.is_empty(), "{what}: a reason on stderr: {ended}");
    assert!(ended.stdout.is_empty(), "{what}: stdout is for data: {ended}");
    println!("{what}: exit {code} in {:?}, of which the start is {start:?}: {reason}", ended.elapsed);
}

#[test]
fn nobody_waits_for_an_unknown_an_untrusted_or_a_dead_peer() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let agent = Agent::on_loopback("caller", &rendezvous);
    let stranger = Agent::on_loopback("stranger", &rendezvous);
    let friend = Agent::on_loopback("friend", &rendezvous);
    let message =
        |peer: &str, what: &str, code: i32| fails(what, &agent, &["connect", peer, "--message", "hello"], code);

    message("nobody-of-this-name", "unknown name", NOT_FOUND);
    // Whoever asks by number cannot tell the two apart; names are public here, so a name tells that somebody has it.
    let number = stranger.node().to_string();
    message("4000000000", "unknown node", NOT_PERMITTED);
    message(&number, "untrusted by number", NOT_PERMITTED);
    message("stranger", "untrusted by name", NOT_PERMITTED);
    fails("untrusted, through nc", &agent, &["nc", &number, "7"], NOT_PERMITTED);

    befriend(&agent, &friend);
    agent.run(&["connect", "friend", "--message", "hello"]).ok();
    let closed = ["connect", "friend", "4242", "--message", "anybody?"];
    fails("a port where nothing listens", &agent, &closed, CONNECTION_FAILED);
    friend.kill();
    message("friend", "a dead peer", CONNECTION_FAILED);
    message("friend", "a dead peer, again", CONNECTION_FAILED);

    assert_eq!(agent.run(&["daemon", "stop"]).code(), Some(0));
    agent.start_daemon();
    message("friend", "a dead peer after a restart", CONNECTION_FAILED);
}
