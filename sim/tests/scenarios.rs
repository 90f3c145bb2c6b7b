//! Named scenarios, run by the interpreter that random ones go through. Each proves that it reached the branch it is there for.

#![allow(clippy::panic, reason = "what fails here is a failed test")]

use sim::scenario::{Attack, Kind, Op, Outcome, Scenario, Stand, run_scenario};
use std::time::Duration;

const A_TO_B: (u8, u8) = (0, 1);
const B_TO_A: (u8, u8) = (1, 0);

fn wait(millis: u64) -> Op {
    Op::Wait(Duration::from_millis(millis))
}

/// Runs it, and tells what it reached.
#[track_caller]
fn play(stands: &[Stand], ops: &[Op], marks: &[&str]) -> Outcome {
    let scenario = Scenario { seed: 1, stands: stands.to_vec(), delay: Duration::from_millis(20), ops: ops.to_vec() };
    match run_scenario(&scenario) {
        Ok(outcome) => {
            let missed: Vec<_> = marks.iter().filter(|mark| !outcome.reached(mark)).collect();
            assert!(missed.is_empty(), "did not reach {missed:?}, but {:?}", outcome.marks);
            outcome
        }
        Err(failure) => panic!("{failure}"),
    }
}

fn talk() -> Vec<Op> {
    vec![Op::Dial(A_TO_B, true), Op::Write(0, 60_000, false), Op::Write(0, 20_000, true), wait(1_500)]
}

const OPEN: [Stand; 2] = [Stand::Open, Stand::Open];
const RESTRICTED: Stand = Stand::Behind(Kind::PortRestricted);
const SYMMETRIC: Stand = Stand::Behind(Kind::SymmetricRandom);

#[test]
fn two_on_the_open_network() {
    play(&OPEN, &talk(), &["connected", "accepted", "closed_finished"]);
}

#[test]
fn two_restricted_cones_are_punched() {
    play(&[RESTRICTED, RESTRICTED], &talk(), &["punch_received", "closed_finished"]);
}

/// Each question of one side shows at yet another address of the other.
#[test]
fn two_symmetric_nats_fall_silent() {
    play(&[SYMMETRIC, SYMMETRIC], &talk(), &["relay_first", "closed_finished"]);
}

#[test]
fn behind_one_box_and_behind_two() {
    let double = Stand::Double(Kind::PortRestricted, Kind::SymmetricSequential);
    play(&[RESTRICTED, Stand::Shared, double], &talk(), &["connected"]);
}

#[test]
fn a_noisy_link_loses_nothing_of_a_stream() {
    let mut ops = vec![Op::Noise(A_TO_B, [20, 20, 10]), Op::Noise(B_TO_A, [20, 20, 10])];
    ops.extend(talk());
    ops.extend([wait(6_000), Op::Finish(0), wait(6_000)]);
    play(&OPEN, &ops, &["closed_finished"]);
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
    play(&[RESTRICTED, Stand::Open], &ops, &["closed_finished"]);
}

#[test]
fn an_address_that_changes_in_a_transfer() {
    let mut ops = talk();
    ops.extend([Op::Write(0, 60_000, false), wait(20), Op::Move(0), wait(6_000), Op::Move(1), wait(6_000)]);
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
    play(&[RESTRICTED, Stand::Open], &ops, &["connected"]);
}

#[test]
fn a_rendezvous_that_ends_disturbs_no_stream() {
    let mut ops = talk();
    ops.extend([Op::Rendezvous(false), Op::Write(0, 50_000, false), wait(6_000), Op::Finish(0), wait(1_000)]);
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
    play(&[RESTRICTED, Stand::Open], &ops, &["intruder_dialled"]);
}

/// Found by a simulator: during a dial everybody who sent a frame in a peer's name was answered, and tried.
#[test]
fn forged_frames_are_not_answered_in_a_dial() {
    let mut ops =
        vec![Op::Partition(A_TO_B, true), Op::Crash(0, 1, true), wait(4_000), Op::Dial(A_TO_B, true), wait(100)];
    ops.extend([Op::Attack(Attack::Flood, 0, 0), Op::Attack(Attack::Flood, 0, 1), wait(3_000)]);
    play(&OPEN, &ops, &["attack"]);
}

#[test]
fn captured_frames_lead_nobody_astray() {
    let kinds = [Attack::Replay, Attack::ReplayElsewhere, Attack::Mutate, Attack::Overtake, Attack::ForeignDelivery];
    for (index, attack) in kinds.into_iter().enumerate() {
        let mut ops = talk();
        for which in 0..20 {
            ops.extend([Op::Attack(attack, which * 3, u16::from(which)), Op::Write(0, 2_000, false), wait(150)]);
        }
        let outcome = play(&[Stand::Open, RESTRICTED], &ops, &["attack", "connected"]);
        assert!(outcome.datagrams > 100, "{index}");
    }
}

#[test]
fn forged_words_of_the_beacon_lead_nobody_astray() {
    for attack in [Attack::PunchCommand, Attack::Delivery, Attack::Punch, Attack::Noise, Attack::Forge] {
        let mut ops = talk();
        ops.extend([Op::Attack(attack, 0, 0), wait(1_000), Op::Attack(attack, 1, 1), wait(3_000)]);
        ops.extend([Op::Attack(attack, 0, 2), wait(3_000)]);
        play(&OPEN, &ops, &["attack", "connected"]);
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
    play(&[Stand::Behind(Kind::SymmetricSequential), RESTRICTED], &ops, &["attack", "punch_received"]);
}
