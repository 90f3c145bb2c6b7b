//! Whatever the network does with frames, and whoever restarts: once it is sane again, both sides can talk.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Start(usize),
    Restart(usize),
    Send(usize),
    Deliver(usize),
    Duplicate(usize),
    Drop(usize),
    Replay(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..2usize).prop_map(Step::Start),
        1 => (0..2usize).prop_map(Step::Restart),
        3 => (0..2usize).prop_map(Step::Send),
        8 => (0..64usize).prop_map(Step::Deliver),
        2 => (0..64usize).prop_map(Step::Duplicate),
        3 => (0..64usize).prop_map(Step::Drop),
        3 => (0..1024usize).prop_map(Step::Replay),
        3 => (1..8000u64).prop_map(Step::Pass),
    ]
}

fn apply(net: &mut Net, step: &Step) {
    let waiting = net.wire.len();
    let pick = |index: usize| (waiting > 0).then(|| index % waiting);
    match *step {
        Step::Start(side) => net.start(side),
        Step::Restart(side) => net.restart(side),
        Step::Send(side) => {
            if let Ok(frame) = net.sealed(side) {
                net.send(side, frame);
            }
        }
        Step::Deliver(index) => {
            if let Some((to, frame)) = pick(index).and_then(|index| net.wire.remove(index)) {
                let _ = net.deliver(to, frame);
            }
        }
        Step::Duplicate(index) => {
            if let Some((to, frame)) = pick(index).and_then(|index| net.wire.get(index).cloned()) {
                let _ = net.deliver(to, frame);
            }
        }
        Step::Drop(index) => {
            pick(index).and_then(|index| net.wire.remove(index));
        }
        Step::Replay(index) => {
            let Some((to, frame)) = net.history.get(index % net.history.len().max(1)).cloned() else { return };
            let _ = net.deliver(to, frame);
        }
        Step::Pass(millis) => {
            net.now = net.now + Duration::from_millis(millis);
            for side in &mut net.sides {
                side.tunnel.handle_timeout(net.now);
            }
        }
    }
    net.act();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_sides_can_talk_in_the_end(steps in prop::collection::vec(step(), 0..120)) {
        let mut net = Net::new();
        for step in &steps {
            apply(&mut net, step);
        }
        // A dial: it wants a session, and sends every second.
        for _ in 0..20 {
            net.start(A);
            for side in [A, B] {
                if let Ok(frame) = net.sealed(side) {
                    net.send(side, frame);
                }
            }
            net.pass(Duration::from_secs(1));
        }
        prop_assert!(net.talks(A) && net.talks(B));
        prop_assert!(net.sides.iter().all(|side| side.tunnel.sessions.len() <= SESSIONS_PER_PEER));
    }
}
