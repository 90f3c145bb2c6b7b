//! A probe that cannot fail is worthless: agents of ours, each with one fault, must fail exactly the checks about it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure of the equipment fails the test")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a fault concerns one place and no other")]

mod fault;
mod host;

use conformance::probe::{Report, Verdict, run};
use fault::Fault;
use host::Host;

/// What the probe says about an agent with this fault; only checks whose names begin so are run.
fn probed(fault: Fault, only: &[&str]) -> Report {
    let host = Host::start(fault);
    let report = run(&host.options(only), &mut |_| {}).unwrap();
    println!("{report}");
    report
}

/// Exactly these checks fail with the fault, and `also` may.
fn fails(fault: Fault, only: &[&str], must: &[&str], also: &[&str]) {
    let failed = probed(fault, only).checks(Verdict::Fail);
    assert!(must.iter().all(|check| failed.contains(check)), "{fault:?} fails {failed:?}, and not all of {must:?}");
    let more: Vec<_> = failed.iter().filter(|check| !must.contains(check) && !also.contains(check)).collect();
    assert!(more.is_empty(), "{fault:?} fails {more:?} as well");
}

// Named so that it begins first: it takes as long as all others.
#[test]
fn a_whole_peer_fails_nothing() {
    let report = probed(Fault::None, &[]);
    let failed: Vec<_> = report.rows.iter().filter(|row| row.verdict == Verdict::Fail).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(report.count(Verdict::Pass) > 70, "{report}");
}

#[test]
fn any_signature() {
    fails(Fault::AcceptsAnySignature, &["exchange/"], &["exchange/bad-signature"], &[]);
}

#[test]
fn weak_points() {
    fails(Fault::AcceptsWeakPoints, &["exchange/"], &["exchange/small-order"], &[]);
}

#[test]
fn replayed_exchanges() {
    // What is answered once more may be taken for the answer to something else.
    let also = ["exchange/bad-signature", "exchange/other-identity", "exchange/small-order"];
    fails(Fault::AnswersReplayedExchange, &["exchange/"], &["exchange/replay-unanswered"], &also);
}

#[test]
fn replayed_frames() {
    let must = ["nonces/replay", "nonces/counter-zero-once"];
    fails(Fault::OpensReplays, &["nonces/"], &must, &["nonces/retired-prefix"]);
}

#[test]
fn bad_checksums() {
    fails(Fault::AcceptsBadChecksums, &["packet/"], &["packet/bad-checksum", "packet/no-checksum"], &[]);
}

#[test]
fn no_sack() {
    fails(Fault::NoSack, &["sack/"], &["sack/hole", "sack/blocks", "sack/filled-hole"], &[]);
}

#[test]
fn closed_windows() {
    fails(Fault::IgnoresClosedWindows, &["flow/"], &["flow/closed", "flow/probe"], &["flow/opens-again"]);
}

#[test]
fn no_retransmission() {
    let must = ["reliability/retransmission", "reliability/acknowledgment-of-the-unsent"];
    fails(Fault::NeverRepeats, &["reliability/"], &must, &[]);
}

#[test]
fn fin_with_ack() {
    fails(Fault::FinWithAck, &["end/"], &["end/no-fin-with-ack"], &["end/fin-waits-for-missing-data"]);
}

#[test]
fn wrong_pongs() {
    fails(Fault::WrongPongs, &["datagram/"], &["datagram/ping"], &["datagram/long-ping"]);
}

#[test]
fn late_answers() {
    let must =
        ["acknowledgment/delayed-40-ms", "acknowledgment/every-second-at-once", "acknowledgment/nothing-new-at-once"];
    fails(Fault::LateAnswers, &["acknowledgment/"], &must, &[]);
}

#[test]
fn open_to_strangers() {
    let must = ["privacy/exchange-of-a-stranger", "privacy/stream-of-a-stranger"];
    fails(Fault::AnswersStrangers, &["privacy/"], &must, &["privacy/datagram-of-a-stranger"]);
}
