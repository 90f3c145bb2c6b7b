//! What a peer tells about itself, and where the frames of a search may go.

use super::net::{World, at, direct, ms};
use crate::ids::SocketId;
use crate::path::{OwnAddresses, PathAction, PathConfig, PathSet, PeerAddresses, RelayReason, Route};
use crate::rng::Rng;
use crate::time::Timestamp;
use crate::wire::candidate::{Local, Reflexive};
use crate::wire::meet::Candidate;

const PEER: &str = "203.0.113.2:5000";

fn probed(paths: &mut PathSet, now: Timestamp) -> Vec<Route> {
    let mut rng = Rng::new([1; 32]);
    std::iter::from_fn(|| paths.poll_action(now, &mut rng))
        .filter_map(|action| if let PathAction::Probe { route, .. } = action { Some(route) } else { None })
        .collect()
}

//= spec/nat.md#pp-nat-19
//= type=test
//# An address that a punch command or a peer named is sent at most six probes for it, however often it is named within 30 seconds,
//# unless one is answered.
#[test]
fn told_addresses_are_tried_where_they_make_sense_and_six_times() {
    let start = Timestamp::from_micros(1_000_000);
    let mut paths = PathSet::new(PathConfig::default(), start);
    let told = ["192.168.7.7:1", "[2001:db8::5]:1", "127.0.0.1:1"].map(|text| Candidate::Local(Local(at(text))));
    let told = [&told[..], &[Candidate::Reflexive(Reflexive(at(PEER)))]].concat();
    let own_local = [Local(at("10.0.0.2:1"))];
    let own = OwnAddresses { reflexive: Some(Reflexive(at("198.51.100.1:1"))), local: &own_local };
    let mut count = 0;
    for round in 0..40 {
        let now = start + ms(round * 400);
        paths.told(now, &told, &own, ms(50));
        for step in 0..4 {
            let now = now + ms(50 + step * 100);
            paths.handle_timeout(now);
            for route in probed(&mut paths, now) {
                assert_eq!(route, direct(PEER), "neither foreign networks, nor IPv6 without any, nor loopback");
                count += 1;
            }
        }
    }
    assert_eq!(count, 6, "however often the peer repeats itself");
}

//= spec/nat.md#pp-nat-21
//= type=test
//# Two peers of ours tell each other their addresses inside the tunnel and try them at the same time, the side that was asked after half
//# the round-trip time through the relay, for up to 2 seconds.
#[test]
fn the_side_that_was_asked_begins_when_its_answer_arrives_and_ends_after_two_seconds() {
    for after in [0, 50, 300] {
        let start = Timestamp::from_micros(1_000_000);
        let mut paths = PathSet::new(PathConfig::default(), start);
        paths.told(start, &[Candidate::Reflexive(Reflexive(at(PEER)))], &OwnAddresses::default(), ms(after));
        let mut times = Vec::new();
        for millis in 0..5000 {
            let now = start + ms(millis);
            paths.handle_timeout(now);
            times.extend(probed(&mut paths, now).iter().map(|_| millis));
        }
        assert_eq!(times.first(), Some(&after), "{times:?}");
        assert!(
            times.len() > 3 && times.last().is_some_and(|last| (1000..=2000).contains(&(last - after))),
            "{times:?}"
        );
    }
}

#[test]
fn a_peer_that_names_ever_new_addresses_is_believed_a_few() {
    let start = Timestamp::from_micros(1_000_000);
    let mut paths = PathSet::new(PathConfig::default(), start);
    let mut count = 0;
    for round in 0..60_u64 {
        let now = start + ms(round * 300);
        let names: Vec<Candidate> = (0..12)
            .map(|host| at(&format!("203.0.113.{}:{}", host + 1, 1000 + round)))
            .map(|address| Candidate::Local(Local(address)))
            .collect();
        paths.told(now, &names, &OwnAddresses::default(), ms(0));
        count += probed(&mut paths, now).len();
        paths.handle_timeout(now + ms(200));
        count += probed(&mut paths, now + ms(200)).len();
    }
    assert!((12..=72).contains(&count), "{count} probes in 18 s");
}

/// The registry's addresses are no hints: what a peer says must not have them asked without end.
#[test]
fn a_peer_that_repeats_itself_brings_few_probes_of_the_registrys_addresses() {
    let start = Timestamp::from_micros(1_000_000);
    let mut paths = PathSet::new(PathConfig::default(), start);
    let (own, reflexive) = (OwnAddresses::default(), Reflexive(at(PEER)));
    paths.resolved(start, &PeerAddresses { reflexive: Some(reflexive), ..PeerAddresses::default() }, &own);
    let mut minutes = [0; 3];
    for (minute, count) in minutes.iter_mut().enumerate() {
        for step in 0..600_u64 {
            let now = start + ms(minute as u64 * 60_000 + step * 100);
            if step % 3 == 0 {
                paths.told(now, &[Candidate::Reflexive(reflexive)], &own, ms(0));
            }
            paths.handle_timeout(now);
            *count += probed(&mut paths, now).len();
        }
    }
    assert!((20..=60).contains(&minutes[0]), "{minutes:?}");
    assert!(minutes.iter().sum::<usize>() <= 120, "{minutes:?}");
}

//= spec/nat.md#pp-nat-23
//= type=test
//# A search goes only to a peer of ours, at an IP address that the registry named, or the peer itself and the beacon.
#[test]
fn only_the_registry_and_the_beacon_vouch_and_a_search_keeps_to_one_address() {
    let now = Timestamp::from_micros(1_000_000);
    let mut paths = PathSet::new(PathConfig::default(), now);
    let own = OwnAddresses::default();
    paths.told(now, &[Candidate::Reflexive(Reflexive(at(PEER)))], &own, ms(0));
    assert!(!paths.vouches(at(PEER).ip()) && paths.beacon_view().is_none(), "the peer's own word");
    paths.resolved(now, &PeerAddresses { reflexive: Some(Reflexive(at(PEER))), ..PeerAddresses::default() }, &own);
    assert!(paths.vouches(at(PEER).ip()));
    assert_eq!(paths.beacon_view(), Some(at(PEER)));
    let other_port = Route::Direct { socket: SocketId(9), address: at("203.0.113.2:777") };
    assert!(!paths.may_send(other_port, 70));
    paths.begin_search(now, at(PEER).ip());
    assert!(paths.may_send(other_port, 70) && !paths.may_send(direct("203.0.113.3:777"), 70));
    let mut frames = 0;
    while paths.may_send(other_port, 70) {
        paths.sent(now, other_port, 70);
        frames += 1;
    }
    assert_eq!(frames, 2 * 256 + 1200, "and to its budget");
    paths.begin_search(now, at(PEER).ip());
    paths.end_search();
    assert!(!paths.may_send(other_port, 70));
}

//= spec/strategy.md#pp-dial-10
//= type=test
//# A relayed peer of ours is tried directly again when the network changes, and 1 minute after the first attempts, doubling up to 1 hour,
//# while there is traffic.
#[test]
fn a_relayed_peer_of_ours_is_tried_again_after_ever_longer_pauses_and_at_once_after_a_change() {
    let mut world = World::new(false, true);
    world.set_ours();
    world.dial();
    world.talk(ms(20_000));
    let rounds = |world: &World| world.a.actions.iter().filter(|(_, action)| *action == PathAction::Escalate).count();
    assert_eq!(rounds(&world), 1);
    world.talk(ms(60_000));
    assert_eq!(rounds(&world), 2);
    world.talk(ms(60_000));
    assert_eq!(rounds(&world), 2, "the pause has doubled");
    world.a.paths.own_endpoint_changed(world.now);
    world.talk(ms(3000));
    assert_eq!(rounds(&world), 3);
}

/// Found by random scenarios: a punch command that anybody sent in the beacon's name drew a search of hundreds of datagrams.
#[test]
fn a_punch_command_alone_leads_no_search() {
    let now = Timestamp::from_micros(1_000_000);
    let mut paths = PathSet::new(PathConfig::default(), now);
    let own = OwnAddresses::default();
    paths.want(now);
    probed(&mut paths, now);
    paths.punch_command(now, at(PEER));
    assert!(paths.vouches(at(PEER).ip()), "it bears out what the peer itself says");
    assert_eq!(paths.beacon_view(), None);
    paths.told(now, &[Candidate::Reflexive(Reflexive(at(PEER)))], &own, ms(0));
    assert_eq!(paths.beacon_view(), Some(at(PEER)), "as the peer itself says");
}

/// Found by a soak: a dial has the beacon name one address many times, and each time counted as news.
#[test]
fn an_address_that_the_beacon_names_again_and_again_is_tried_six_times_in_half_a_minute() {
    let start = Timestamp::from_micros(1_000_000);
    let mut paths = PathSet::new(PathConfig::default(), start);
    let mut count = 0;
    for round in 0..80 {
        let now = start + ms(round * 250);
        paths.want(now);
        paths.punch_command(now, at(PEER));
        paths.handle_timeout(now);
        count += probed(&mut paths, now).iter().filter(|route| **route == direct(PEER)).count();
    }
    assert_eq!(count, 6);
    let later = start + ms(60_000);
    paths.handle_timeout(later);
    paths.want(later);
    paths.punch_command(later, at(PEER));
    paths.handle_timeout(later + ms(300));
    assert!(probed(&mut paths, later).contains(&direct(PEER)));
}

/// Found by random scenarios: a path once lost hid for ever what had become of the search for another one.
#[test]
fn a_search_that_failed_is_the_reason_once_it_was_done_and_until_a_direct_way_works() {
    let mut world = World::new(true, true);
    world.set_ours();
    world.dial();
    world.talk(ms(1000));
    world.open = false;
    world.talk(ms(4000));
    world.a.paths.judge(Some(RelayReason::SprayFailed));
    assert_eq!(world.a.paths.relay_reason(), Some(RelayReason::FellSilent), "it is still tried hard");
    world.talk(ms(9000));
    assert_eq!(world.a.paths.relay_reason(), Some(RelayReason::SprayFailed));
    world.open = true;
    world.talk(ms(90_000));
    assert_eq!(world.a.paths.relay_reason(), None);
    world.open = false;
    world.talk(ms(20_000));
    assert_eq!(world.a.paths.relay_reason(), Some(RelayReason::FellSilent), "the verdict was taken back");
}
