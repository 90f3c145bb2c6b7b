//! Named scenarios, run by the interpreter that random ones go through. Each proves that it reached the branch it is there for.

#![allow(clippy::panic, reason = "what fails here is a failed test")]

use sim::scenario::{Attack, Kind, Op, Outcome, Scenario, Stand, run_scenario};
use std::time::Duration;

const A_TO_B: (u8, u8) = (0, 1);
const B_TO_A: (u8, u8) = (1, 0);

fn wait(millis: u64) -> Op {
    Op::Wait(Duration::from_millis(millis))
}

/// Runs it, and tells what became of it; its operations must have reached `marks`. What happens before and after them in every scenario,
/// as that hosts meet and that fresh streams finish, counts for nothing.
#[track_caller]
fn play(stands: &[Stand], ops: &[Op], marks: &[&str]) -> Outcome {
    let scenario = Scenario { seed: 1, stands: stands.to_vec(), delay: Duration::from_millis(20), ops: ops.to_vec() };
    match run_scenario(&scenario) {
        Ok(outcome) => {
            let missed: Vec<_> = marks.iter().filter(|mark| !outcome.reached(mark)).collect();
            assert!(missed.is_empty(), "did not reach {missed:?}, but {:?}", outcome.by_ops);
            outcome
        }
        Err(failure) => panic!("{failure}"),
    }
}

fn talk() -> Vec<Op> {
    vec![Op::Dial(A_TO_B, true), Op::Write(0, 60_000, false), Op::Write(0, 20_000, true), wait(1_500)]
}

/// The stream of [`talk`] comes to its end, with all that was written; otherwise it does so at the end of the scenario, where it is excused.
fn finish() -> [Op; 2] {
    [Op::Finish(0), wait(6_000)]
}

fn whole_talk() -> Vec<Op> {
    [talk(), finish().to_vec()].concat()
}

const OPEN: [Stand; 2] = [Stand::Open, Stand::Open];
const RESTRICTED: Stand = Stand::Behind(Kind::PortRestricted);
const SYMMETRIC: Stand = Stand::Behind(Kind::SymmetricRandom);

#[test]
fn two_on_the_open_network() {
    play(&OPEN, &whole_talk(), &["connected", "accepted", "closed_finished"]);
}

#[test]
fn two_restricted_cones_are_punched() {
    let outcome = play(&[RESTRICTED, RESTRICTED], &whole_talk(), &["closed_finished"]);
    assert_eq!(
        (outcome.marks["punch_received"] > 0, outcome.marks["relay_to_direct"]),
        (true, 2),
        "{:?}",
        outcome.marks
    );
}

/// Each question of one side shows at yet another address of the other.
#[test]
fn two_symmetric_nats_fall_silent() {
    let outcome = play(&[SYMMETRIC, SYMMETRIC], &whole_talk(), &["closed_finished"]);
    let direct = ["relay_to_direct", "direct_at_once", "direct_to_direct"].map(|mark| outcome.marks.contains_key(mark));
    assert_eq!((outcome.marks["relay_first"], direct), (2, [false; 3]), "{:?}", outcome.marks);
}

#[test]
fn behind_one_box_and_behind_two() {
    let double = Stand::Double(Kind::PortRestricted, Kind::SymmetricSequential);
    let outcome = play(&[RESTRICTED, Stand::Shared, double], &whole_talk(), &["connected", "closed_finished"]);
    // Neighbours by their network, the others by a search for the ports of the outer box.
    let found = ["relay_to_direct", "ports_found"].map(|mark| outcome.marks[mark]);
    assert_eq!(found, [6, 2], "{:?}", outcome.marks);
}

#[test]
fn a_noisy_link_loses_nothing_of_a_stream() {
    let mut ops = vec![Op::Noise(A_TO_B, [20, 20, 10]), Op::Noise(B_TO_A, [20, 20, 10])];
    ops.extend(talk());
    ops.push(wait(6_000));
    ops.extend(finish());
    play(&OPEN, &ops, &["closed_finished", "secure_replayed"]);
}

#[test]
fn a_direct_path_that_dies_one_way_is_left_for_the_relay() {
    for pair in [A_TO_B, B_TO_A] {
        let mut ops = talk();
        ops.extend([Op::Partition(pair, false), Op::Write(0, 50_000, false), wait(6_000), wait(6_000)]);
        play(&OPEN, &ops, &["direct_to_relay", "relay_to_direct"]);
    }
}

#[test]
fn a_box_that_reboots_in_a_transfer() {
    let mut ops = talk();
    ops.extend([Op::Write(0, 60_000, false), wait(20), Op::RebootBox(0, true), wait(6_000)]);
    ops.extend(finish());
    play(&[RESTRICTED, Stand::Open], &ops, &["closed_finished", "direct_to_direct"]);
}

#[test]
fn an_address_that_changes_in_a_transfer() {
    let mut ops = talk();
    ops.extend([Op::Write(0, 60_000, false), wait(20), Op::Move(0), wait(6_000), Op::Move(1), wait(6_000)]);
    ops.extend(finish());
    play(&OPEN, &ops, &["closed_finished", "direct_to_direct"]);
}

#[test]
fn a_crash_of_either_end_with_and_without_state() {
    for (host, with_state) in [(0, true), (1, true), (0, false), (1, false)] {
        let mut ops = talk();
        ops.extend([Op::Write(0, 60_000, false), Op::Crash(host, 20, with_state), wait(6_000)]);
        let mark = if with_state { "revived" } else { "revived_without_state" };
        play(&OPEN, &ops, &[mark]);
    }
}

#[test]
fn a_host_that_sleeps_and_clocks_that_jump() {
    let mut ops = talk();
    ops.extend([
        Op::Suspend(1, 200),
        Op::Write(0, 50_000, false),
        wait(6_000),
        Op::Jump(0, 60),
        wait(6_000),
        wait(6_000),
    ]);
    play(&[RESTRICTED, Stand::Open], &ops, &["connected", "direct_to_relay", "closed_idle"]);
}

#[test]
fn a_rendezvous_that_ends_disturbs_no_stream() {
    let mut ops = talk();
    ops.extend([Op::Rendezvous(false), Op::Write(0, 50_000, false), wait(6_000)]);
    ops.extend(finish());
    play(&OPEN, &ops, &["closed_finished", "registry_disconnected"]);
}

#[test]
fn revoked_trust_ends_streams() {
    let mut ops = talk();
    ops.extend([Op::Revoke(A_TO_B), wait(2_000), Op::Dial(B_TO_A, true), wait(6_000)]);
    play(&OPEN, &ops, &["closed_revoked", "trust_withdrawn", "dial_failed"]);
}

/// Found by a simulator: a peer that was shut out came back after both had begun anew without a registry.
#[test]
fn a_revoked_peer_stays_out_when_both_restart_without_a_rendezvous() {
    for before in [true, false] {
        let mut ops = talk();
        ops.push(Op::Rendezvous(false));
        let revoke = [Op::Revoke(A_TO_B), wait(500)];
        let restart = [Op::Crash(0, 10, true), Op::Crash(1, 10, true), wait(3_000)];
        if before {
            ops.extend(revoke);
            ops.extend(restart);
        } else {
            ops.extend(restart);
            ops.extend(revoke);
        }
        ops.extend([Op::Rendezvous(true), wait(6_000), Op::Dial(B_TO_A, true), wait(6_000), Op::Datagram(B_TO_A, 100)]);
        ops.extend([Op::Dial(B_TO_A, true), wait(6_000)]);
        play(&OPEN, &ops, &["revived", "trust_withdrawn", "dial_failed"]);
    }
}

#[test]
fn strangers_learn_nothing() {
    let ops: Vec<Op> = (0..6).flat_map(|kind| [Op::Intrude(kind, kind), wait(5_500)]).collect();
    let outcome =
        play(&[RESTRICTED, Stand::Open], &ops, &["intruder_dialled", "dial_failed", "completed", "waited_in_vain"]);
    assert!(!outcome.marks.contains_key("pong"), "a stranger's ping was answered");
}

/// Found by a simulator: during a dial everybody who sent a frame in a peer's name was answered, and tried.
#[test]
fn forged_frames_are_not_answered_in_a_dial() {
    let mut ops =
        vec![Op::Partition(A_TO_B, true), Op::Crash(0, 1, true), wait(4_000), Op::Dial(A_TO_B, true), wait(100)];
    ops.extend([Op::Attack(Attack::Flood, 0, 0), Op::Attack(Attack::Flood, 0, 1), wait(3_000)]);
    play(&OPEN, &ops, &["attack", "exchange_identity_mismatch", "exchange_from_stranger"]);
}

#[test]
fn captured_frames_lead_nobody_astray() {
    let kinds = [
        (Attack::Replay, "secure_replayed"),
        (Attack::ReplayElsewhere, "secure_replayed"),
        (Attack::Mutate, "secure_undecryptable"),
        (Attack::Overtake, "direct_to_relay"),
        (Attack::ForeignDelivery, "beacon_message_from_elsewhere"),
    ];
    for (index, (attack, mark)) in kinds.into_iter().enumerate() {
        let mut ops = talk();
        for which in 0..20 {
            ops.extend([Op::Attack(attack, which * 3, u16::from(which)), Op::Write(0, 2_000, false), wait(150)]);
        }
        let outcome = play(&[Stand::Open, RESTRICTED], &ops, &["attack", "connected", mark]);
        assert!(outcome.datagrams > 100, "{index}");
    }
}

#[test]
fn forged_words_of_the_beacon_lead_nobody_astray() {
    let kinds = [
        (Attack::PunchCommand, "sent_to_attacker"),
        (Attack::Delivery, "relayed_beacon_message"),
        (Attack::Punch, "punch_received"),
        (Attack::Noise, "frame_unusable"),
        (Attack::Forge, "secure_undecryptable"),
    ];
    for (attack, mark) in kinds {
        let mut ops = talk();
        ops.extend([Op::Attack(attack, 0, 0), wait(1_000), Op::Attack(attack, 1, 1), wait(3_000)]);
        ops.extend([Op::Attack(attack, 0, 2), wait(3_000)]);
        play(&OPEN, &ops, &["attack", "connected", mark]);
    }
}

/// Found by random scenarios: the end that an idle timeout told was believed to be the end of what was written.
#[test]
fn an_idle_timeout_with_bytes_on_their_way_is_no_end() {
    let mut ops = talk();
    ops.extend([
        Op::Partition(A_TO_B, true),
        Op::Write(0, 50_000, false),
        wait(100),
        Op::Jump(0, 45),
        wait(10),
        Op::Mend,
    ]);
    ops.push(wait(6_000));
    play(&OPEN, &ops, &["closed_idle"]);
}

/// Found by random scenarios: a dial that began shortly before another one's attempts were over failed with them.
#[test]
fn a_dial_does_not_inherit_an_attempt_about_to_give_up() {
    let mut ops = vec![Op::Crash(1, 60, true), Op::Crash(0, 5, true), wait(1_500)];
    ops.extend([Op::Dial(A_TO_B, true), wait(4_400), Op::Dial(A_TO_B, true), wait(6_000)]);
    let outcome = play(&OPEN, &ops, &["dial_failed", "connected"]);
    assert_eq!(outcome.marks["dial_failed"], 1, "the first one's host was not there: {:?}", outcome.marks);
}

/// Found by random scenarios: a beacon's command that anybody can forge drew a search for ports, of hundreds of datagrams.
#[test]
fn a_forged_punch_command_draws_no_search() {
    let mut ops = vec![Op::Partition(A_TO_B, true), Op::Partition(B_TO_A, true)];
    ops.extend([Op::Crash(0, 1, true), wait(3_000), Op::Dial(A_TO_B, true)]);
    for which in [0, 1, 0, 1] {
        ops.extend([Op::Attack(Attack::PunchCommand, which, 0), wait(200), Op::Write(0, 5_000, false)]);
    }
    ops.extend([wait(6_000), Op::Write(0, 5_000, false), wait(6_000)]);
    play(&[Stand::Behind(Kind::SymmetricSequential), RESTRICTED], &ops, &["attack", "connected", "sent_to_attacker"]);
}
