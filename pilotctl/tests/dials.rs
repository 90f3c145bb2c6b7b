//! A dial that cannot succeed ends within 5 s with its documented exit status and a reason on stderr.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use lab::agent::{Agent, befriend};
use lab::process::Ended;
use lab::rendezvous::Rendezvous;
use std::time::Duration;

/// From the command line to its end: 5 s for the dial, and the start of a program on a busy machine.
const LIMIT: Duration = Duration::from_millis(5_500);

/// Not found, permission denied, timeout, connection failed (design: exit codes are an API).
const NOT_FOUND: i32 = 4;
const NOT_PERMITTED: i32 = 5;
const TIMEOUT: i32 = 6;
const CONNECTION_FAILED: i32 = 7;

fn fails(what: &str, ended: &Ended, codes: &[i32]) {
    assert!(codes.contains(&ended.code().unwrap_or(-1)), "{what}: expected one of {codes:?}: {ended}");
    assert!(ended.elapsed < LIMIT, "{what}: {ended}");
    let reason = ended.stderr.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
    assert!(!reason.is_empty(), "{what}: a reason on stderr: {ended}");
    assert!(ended.stdout.is_empty(), "{what}: stdout is for data: {ended}");
    println!("{what}: exit {} in {:?}: {reason}", ended.code().unwrap(), ended.elapsed);
}

#[test]
fn nobody_waits_for_an_unknown_an_untrusted_or_a_dead_peer() {
    let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
    let agent = Agent::on_loopback("caller", &rendezvous);
    let stranger = Agent::on_loopback("stranger", &rendezvous);
    let friend = Agent::on_loopback("friend", &rendezvous);
    let message = |peer: &str| agent.run(&["connect", peer, "--message", "hello"]);

    fails("unknown name", &message("nobody-of-this-name"), &[NOT_FOUND, NOT_PERMITTED]);
    fails("unknown node", &message("4000000000"), &[NOT_FOUND, NOT_PERMITTED]);
    fails("untrusted by name", &message("stranger"), &[NOT_FOUND, NOT_PERMITTED]);
    fails("untrusted by number", &message(&stranger.node().to_string()), &[NOT_PERMITTED]);
    fails("untrusted, through nc", &agent.run(&["nc", &stranger.node().to_string(), "7"]), &[NOT_PERMITTED]);

    befriend(&agent, &friend);
    message("friend").ok();
    let closed = agent.run(&["connect", "friend", "4242", "--message", "anybody?"]);
    fails("a port where nothing listens", &closed, &[CONNECTION_FAILED]);
    friend.kill();
    fails("a dead peer", &message("friend"), &[TIMEOUT, CONNECTION_FAILED]);
    fails("a dead peer, again", &message("friend"), &[TIMEOUT, CONNECTION_FAILED]);

    assert_eq!(agent.run(&["daemon", "stop"]).code(), Some(0));
    agent.start_daemon();
    fails("a dead peer after a restart", &message("friend"), &[TIMEOUT, CONNECTION_FAILED]);
}
