//! Prediction from pairs of ports, and the timing of both sides of a search.

use crate::ids::SocketId;
use crate::limits::{PREDICTION_SOCKETS, SPRAY_SOCKETS, SPRAY_TIME};
use crate::nat::{Follow, Lead, LeadAction, Prediction, Sighting};
use crate::rng::Rng;
use crate::time::Timestamp;
use core::time::Duration;
use std::collections::BTreeSet;

/// Of a second.
const HUNDREDTH: Duration = Duration::from_millis(10);

fn pairs(ports: impl IntoIterator<Item = (u16, u16)>) -> Vec<Sighting> {
    ports.into_iter().map(|(before, after)| Sighting { before, after: Some(after) }).collect()
}

//= spec/nat.md#pp-nat-18
//= type=test
//# A symmetric NAT's next port is predicted from its steps.
#[test]
fn the_port_between_two_that_follow_each_other_is_predicted_first() {
    // Three mappings of each socket, in steps of 2; other hosts' mappings lie between those of the last.
    let seen = pairs([(5000, 5004), (5006, 5010), (5012, 5016), (5018, 5028)]);
    let prediction = Prediction::from_sightings(&seen);
    assert_eq!(prediction.ports[..4], [5002, 5008, 5014, 5023]);
    assert!(prediction.ports.contains(&5020), "other hosts had the ports beside the middle");
    let lost = [Sighting { before: 5000, after: None }, Sighting { before: 5006, after: None }];
    assert!(!Prediction::from_sightings(&lost).is_useful());
    assert_eq!(Prediction::from_sightings(&[]), Prediction::default());
    // At the ends of the number space nothing wraps.
    assert_eq!(Prediction::from_sightings(&pairs([(0, 2), (65_533, 65_535)])).ports, [1, 65_534]);
}

#[test]
fn a_block_is_told_from_chance_and_both_from_too_few_ports() {
    let mut rng = Rng::new([1; 32]);
    let mut draw = |first: u16, count: u64, of: usize| {
        let mut port = || first + u16::try_from(rng.below(count)).unwrap();
        pairs((0..of).map(|_| (port(), port())).collect::<Vec<_>>())
    };
    for _ in 0..50 {
        let block = Prediction::from_sightings(&draw(20_000, 512, 10));
        let (first, last) = block.range.unwrap();
        assert!(block.block, "{block:?}");
        assert!(first >= 19_900 && last <= 20_620 && last - first >= 340, "{block:?}");
        let chance = Prediction::from_sightings(&draw(1024, 64_000, 10));
        assert!(!chance.is_useful(), "{chance:?}");
        assert!(chance.range.is_some_and(|(first, last)| last - first > 30_000));
        assert_eq!(Prediction::from_sightings(&draw(1024, 64_000, 3)).range, None);
    }
}

/// Drives the symmetric side with beacons that see random ports; what it did, with the time.
fn lead(predicts: bool, sprays: bool, answers: impl Fn(u16, usize) -> u16) -> Vec<(Duration, LeadAction)> {
    let start = Timestamp::from_micros(1_000_000);
    let (mut now, mut lead, mut opened, mut done) = (start, Lead::new(start, predicts, sprays), 0, Vec::new());
    loop {
        while let Some(action) = lead.poll_action() {
            if let LeadAction::Open(count) = action {
                let sockets: Vec<SocketId> = (0..count).map(|index| SocketId(1 + opened + index)).collect();
                opened += count;
                lead.opened(now, &sockets);
            } else if let LeadAction::Observe(socket, beacon) = action {
                lead.observed(now, socket, beacon, answers(socket.0, beacon));
            }
            done.push((now.saturating_since(start), action));
        }
        let Some(next) = lead.poll_timeout() else { return done };
        assert!(next >= now, "a past deadline is repeated");
        now = next;
        lead.handle_timeout(now);
    }
}

fn datagrams(done: &[(Duration, LeadAction)]) -> Vec<Duration> {
    let is_one = |action: &LeadAction| matches!(action, LeadAction::Touch(_) | LeadAction::Observe(..));
    done.iter().filter(|(_, action)| is_one(action)).map(|(at, _)| *at).collect()
}

//= spec/nat.md#pp-nat-22
//= type=test
//# A search opens at most 256 sockets on the symmetric side, sends at most 100 datagrams a second on either side, ends after 12 seconds, is
//# the only one of an endpoint, and rests for an hour toward a peer with which it failed, unless one of the two is seen at another IP
//# address.
#[test]
fn the_symmetric_side_keeps_its_budget_and_ends() {
    let scattered =
        |socket: u16, beacon: usize| socket.wrapping_mul(6151).wrapping_add(if beacon == 0 { 7 } else { 30_011 });
    let done = lead(true, true, scattered);
    let opened: u16 =
        done.iter().map(|(_, action)| if let LeadAction::Open(count) = action { *count } else { 0 }).sum();
    assert_eq!((opened, SPRAY_TIME), (256, Duration::from_secs(12)));
    let times = datagrams(&done);
    assert_eq!(times.len(), usize::from(SPRAY_SOCKETS) + 2 * usize::from(PREDICTION_SOCKETS));
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= HUNDREDTH), "100 a second");
    let sprayed = done.iter().find(|(_, action)| matches!(action, LeadAction::Spray(_))).unwrap().0;
    let (end, last) = done.last().unwrap();
    assert_eq!((*last == LeadAction::Failed, *end - sprayed), (true, SPRAY_TIME));
    assert!(sprayed < Duration::from_millis(500), "nothing was predicted, so nothing is waited for");
}

#[test]
fn prediction_alone_opens_few_sockets_and_a_refusal_ends_it() {
    let done = lead(true, false, |socket, beacon| 4000 + 3 * socket + 2 * u16::try_from(beacon).unwrap());
    let predicted =
        done.iter().find_map(|(_, action)| if let LeadAction::Predict(p) = action { Some(p) } else { None });
    assert_eq!(predicted.unwrap().ports[..2], [4004, 4007]);
    assert!(!done.iter().any(|(_, action)| matches!(action, LeadAction::Spray(_))));
    assert_eq!(datagrams(&done).len(), 3 * usize::from(PREDICTION_SOCKETS));
    let now = Timestamp::from_micros(1);
    let mut lead = Lead::new(now, true, true);
    lead.refused();
    let actions: Vec<_> = std::iter::from_fn(|| lead.poll_action()).collect();
    assert_eq!(actions.last(), Some(&LeadAction::Failed));
    assert_eq!(lead.poll_timeout(), None);
}

fn ports(mut follow: Follow, start: Timestamp) -> Vec<(Duration, u16)> {
    let (mut now, mut tried) = (start, Vec::new());
    while !follow.is_over(now) {
        while let Some(port) = follow.poll_port(now) {
            tried.push((now.saturating_since(start), port));
        }
        let Some(next) = follow.poll_timeout() else { break };
        assert!(next > now, "a past deadline is repeated");
        now = next;
    }
    tried
}

#[test]
fn the_other_side_tries_a_hundred_different_ports_a_second_for_twelve_seconds() {
    let start = Timestamp::from_micros(5);
    for seed in 0..20 {
        let mut rng = Rng::new([seed; 32]);
        let tried = ports(Follow::sprayed(start, Some((20_000, 50_000)), &mut rng), start);
        assert_eq!(tried.len(), 1200);
        assert!(tried.windows(2).all(|pair| pair[1].0 - pair[0].0 >= HUNDREDTH));
        let different: BTreeSet<u16> = tried.iter().map(|(_, port)| *port).collect();
        assert_eq!(different.len(), 1200);
        assert!(different.iter().all(|port| (20_000..=50_000).contains(port)));
        let block = ports(Follow::predicted(start, &[7, 8], Some((100, 139)), &mut rng), start);
        let order: Vec<u16> = block.iter().map(|(_, port)| *port).collect();
        assert_eq!(order[..4], [7, 8, 7, 8]);
        assert_eq!(order[4..].iter().collect::<BTreeSet<_>>().len(), 40, "the whole block, each once");
        assert_eq!(ports(Follow::sprayed(start, None, &mut rng), start).len(), 1200);
    }
}
