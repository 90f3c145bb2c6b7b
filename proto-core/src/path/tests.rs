//! Two sides over a network that can be cut, and single sides fed by hand.

mod meet;
mod moved;
mod net;
mod stale;

use super::{OwnAddresses, PathAction, PathConfig, PathSet, PeerAddresses, Proof, RelayReason, Route};
use crate::limits::{DIAL_TIMEOUT, MAX_CANDIDATES};
use crate::rng::Rng;
use crate::time::Timestamp;
use crate::wire::candidate::{Local, Reflexive};
use net::{A, B, World, at, direct, ms};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Offsets of the probes on a way, in milliseconds after the world began.
fn probes(actions: &[(Timestamp, PathAction)], wanted: impl Fn(Route) -> bool) -> Vec<u64> {
    let probe = |action: &PathAction| matches!(action, PathAction::Probe { route, .. } if wanted(*route));
    let times = actions.iter().filter(|(_, action)| probe(action)).map(|(at, _)| at.as_micros() / 1000 - 1000);
    times.collect()
}

#[test]
fn an_open_network_is_used_directly_in_one_round_trip() {
    let mut world = World::new(true, true);
    world.dial();
    world.run(ms(100));
    assert_eq!(world.a.paths.route(), Some(direct(B)));
    assert_eq!(world.b.paths.route(), Some(direct(A)));
    assert_eq!(world.a.paths.rtt(), Some(ms(20)));
    assert_eq!(world.a.paths.relay_reason(), None);
    assert!(probes(&world.a.actions, |r| r == Route::Relay).is_empty(), "a reference peer must not see relayed frames");
}

//= spec/strategy.md#pp-dial-1
//= type=test
//# A dial tries a peer directly three times before the relay, unless the peer is ours, asks to be relayed, or has no direct address.
//= spec/strategy.md#pp-dial-2
//= type=test
//# After the direct attempts a dial tries three times through the relay, without being asked.
//= spec/relay.md#pp-relay-20
//= type=test
//# A peer of the published implementations is not sent anything through the relay during the first 1.5 seconds of a dial that has a
//# direct address.
#[test]
fn a_blocked_peer_gets_three_direct_and_then_relayed_sends() {
    let mut world = World::new(false, true);
    world.dial();
    world.run(ms(1499));
    assert_eq!(probes(&world.a.actions, Route::is_direct), [0, 250, 750]);
    assert_eq!(world.a.paths.route(), None);
    world.run(ms(200));
    assert_eq!(probes(&world.a.actions, |r| r == Route::Relay).first(), Some(&1500));
    assert_eq!(world.a.paths.route(), Some(Route::Relay));
    assert_eq!(world.b.paths.route(), Some(Route::Relay));
    let reason = world.a.paths.relay_reason().unwrap();
    assert_eq!(reason, RelayReason::NoAnswer);
    let tried: Vec<_> = world.a.paths.tried().iter().map(|path| (path.address, path.outcome)).collect();
    assert_eq!(tried, [(B.parse().unwrap(), "no answer")]);
}

#[test]
fn a_dead_peer_is_told_within_the_dial_timeout() {
    for relay in [true, false] {
        let mut world = World::with(false, PathConfig { relay_available: relay, ..PathConfig::default() });
        world.relay = false;
        world.dial();
        world.run(DIAL_TIMEOUT);
        assert!(world.a.paths.is_unreachable());
        let told = world.a.actions.iter().find(|(_, action)| *action == PathAction::Unreachable).unwrap().0;
        assert_eq!(told, Timestamp::from_micros(5_500_000));
        let relayed = probes(&world.a.actions, |r| r == Route::Relay);
        assert_eq!(relayed, if relay { vec![1500, 2250, 3250] } else { vec![] });
        let direct = probes(&world.a.actions, Route::is_direct);
        assert_eq!(direct.len(), if relay { 3 } else { 6 });
        world.run(ms(60_000));
        assert_eq!(world.a.paths.poll_timeout(), None, "nothing is left to do");
        world.dial();
        assert!(!world.a.paths.is_unreachable());
    }
}

/// Found by random scenarios: a dial that began shortly before another one's attempts were over failed with them.
#[test]
fn a_dial_during_a_climb_has_all_attempts_before_it() {
    let mut world = World::new(false, true);
    world.relay = false;
    world.dial();
    world.run(ms(4400));
    world.dial();
    world.a.paths.want_anew();
    world.run(ms(200));
    world.open = true;
    world.run(ms(300));
    assert_eq!(world.a.paths.route(), Some(direct(B)));
    assert!(world.a.actions.iter().all(|(_, action)| *action != PathAction::Unreachable));
}

#[test]
fn two_port_restricted_cones_are_punched() {
    for ours in [true, false] {
        let mut world = World::new(true, true);
        world.filtering = Some([false, false]);
        if ours {
            world.set_ours();
        }
        world.dial();
        world.talk(ms(700));
        assert_eq!(world.a.paths.route(), Some(direct(B)), "ours: {ours}");
        assert_eq!(world.b.paths.route(), Some(direct(A)), "ours: {ours}");
        let relayed = !probes(&world.a.actions, |r| r == Route::Relay).is_empty();
        assert_eq!(relayed, ours, "a reference peer must not see relayed frames");
    }
}

#[test]
fn a_dial_on_a_stale_way_climbs_again() {
    let mut world = World::new(true, true);
    world.dial();
    world.talk(ms(500));
    world.run(ms(300_000));
    assert_eq!(world.a.paths.route(), Some(direct(B)));
    world.open = false;
    let dialled = world.now;
    world.dial();
    world.talk(ms(3000));
    assert_eq!(world.a.paths.route(), Some(Route::Relay));
    let first = world.b.data_since(dialled).first().copied().unwrap();
    assert!(first.0.saturating_since(dialled) <= ms(1700), "{:?}", first.0.saturating_since(dialled));
    assert!(world.a.actions.iter().any(|&(at, action)| at >= dialled && action == PathAction::RequestPunch));
}

//= spec/nat.md#pp-nat-15
//= type=test
//# A proven direct path replaces the relay.
//= spec/strategy.md#pp-dial-8
//= type=test
//# A peer of ours is relayed at once and moved to a direct path when that is proven.
#[test]
fn ours_are_relayed_at_once_and_promoted() {
    let mut world = World::new(false, true);
    world.set_ours();
    world.dial();
    world.run(ms(120));
    assert_eq!(world.a.paths.route(), Some(Route::Relay), "the relay carries data within two relayed round trips");
    assert_eq!(world.a.paths.relay_reason(), Some(RelayReason::StillTrying));
    world.talk(ms(1500));
    world.open = true;
    let opened = world.now;
    world.talk(ms(2500));
    assert_eq!(world.a.paths.route(), Some(direct(B)));
    let received = world.b.data_since(opened).len();
    assert!(received >= 49, "promotion lost data: {received} of 50");
    assert!(world.b.data_since(opened).iter().any(|&(_, route)| route == direct(A)));
}

//= spec/nat.md#pp-nat-14
//= type=test
//# A direct path on which for 2.8 seconds nothing shows that what we send arrives is left, whatever comes from there.
#[test]
fn a_dead_direct_way_is_left_within_three_seconds_and_taken_back() {
    for ours in [true, false] {
        let mut world = World::new(true, true);
        if ours {
            world.set_ours();
        }
        world.dial();
        world.talk(ms(1000));
        assert_eq!(world.a.paths.route(), Some(direct(B)));
        world.open = false;
        let cut = world.now;
        world.talk(ms(3000));
        assert_eq!(world.a.paths.route(), Some(Route::Relay));
        let first = world.b.data_since(cut + ms(50)).first().copied().unwrap();
        assert_eq!(first.1, Route::Relay);
        assert!(first.0.saturating_since(cut) <= ms(3000), "{:?}", first.0.saturating_since(cut));
        assert!(world.a.paths.relay_reason() == Some(RelayReason::FellSilent));
        world.open = true;
        world.talk(ms(5000));
        assert_eq!(world.a.paths.route(), Some(direct(B)), "ours: {ours}");
    }
}

#[test]
fn the_registry_is_not_asked_at_every_silence() {
    let mut world = World::new(true, false);
    world.dial();
    world.talk(ms(500));
    world.open = false;
    world.talk(ms(60_000));
    let asked = world.a.actions.iter().filter(|(_, action)| *action == PathAction::Resolve).count();
    assert!((3..=8).contains(&asked), "{asked} questions in a minute of silence");
}

#[test]
fn without_a_relay_a_dead_way_stays_chosen_and_comes_back() {
    let mut world = World::new(true, false);
    world.dial();
    world.talk(ms(500));
    world.open = false;
    world.talk(ms(10_000));
    assert_eq!(world.a.paths.route(), Some(direct(B)));
    world.open = true;
    world.talk(ms(3000));
    let data = world.b.data_since(world.now - ms(500));
    assert!(!data.is_empty());
}

#[test]
fn a_rebound_peer_is_followed_once_its_new_address_answers() {
    let mut world = World::new(true, true);
    world.set_ours();
    world.dial();
    world.talk(ms(1000));
    let moved = "203.0.113.2:6111";
    world.b.address = at(moved);
    world.send_data(false);
    world.run(ms(1000));
    assert_eq!(world.a.paths.route(), Some(direct(moved)));
    assert!(world.elapsed() < ms(2100));
}

//= spec/nat.md#pp-nat-12
//= type=test
//# Only a proven path carries data, except for the first packets to an address we chose ourselves.
//= spec/nat.md#pp-nat-13
//= type=test
//# A frame from a new address moves no data; it is a reason to ask there, and only the answer makes it a path.
#[test]
fn a_frame_carried_from_a_strangers_address_moves_nothing() {
    let mut world = World::new(true, true);
    world.dial();
    world.talk(ms(1000));
    let stranger = direct("192.0.2.66:666");
    for _ in 0..20 {
        world.a.paths.handle_frame(world.now, stranger, 100, Proof::Fresh);
        world.a.paths.handle_frame(world.now, stranger, 136, Proof::Signed);
        world.settle();
        assert_eq!(world.a.paths.route(), Some(direct(B)));
        world.talk(ms(200));
    }
    assert_eq!(world.a.paths.route(), Some(direct(B)));
    assert!(!probes(&world.a.actions, |r| r == stranger).is_empty(), "it is asked");
}

//= spec/keepalive.md#pp-ka-6
//= type=test
//# A direct path without a send for 15 seconds, or for half the time that the NAT was seen to keep an unused mapping, gets a packet that
//# keeps it, while the peer was used within 2 minutes.
#[test]
fn an_idle_direct_way_is_kept_open_and_an_abandoned_one_is_not() {
    for ours in [true, false] {
        let mut world = World::new(true, true);
        if ours {
            world.set_ours();
        }
        world.dial();
        world.talk(ms(200));
        world.a.actions.clear();
        world.run(ms(119_000));
        let kept = world.a.actions.iter().filter(|(_, action)| {
            let ping = matches!(action, PathAction::Probe { route, .. } if *route == direct(B));
            if ours { ping } else { *action == PathAction::Keepalive { route: direct(B) } }
        });
        assert!(kept.count() >= 4, "ours: {ours}");
        world.run(ms(10_000));
        world.a.actions.clear();
        world.run(ms(600_000));
        assert_eq!(world.a.actions, []);
    }
}

#[test]
fn forged_frames_create_nothing() {
    let now = Timestamp::from_micros(1);
    let mut paths = PathSet::new(PathConfig::default(), now);
    paths.handle_frame(now, direct("192.0.2.66:666"), 8, Proof::Unproven);
    paths.handle_frame(now, Route::Relay, 145, Proof::Unproven);
    paths.punch_command(now, at("192.0.2.66:666"));
    assert!(!paths.knows(at("192.0.2.66:666")));
    assert_eq!(paths.poll_action(now, &mut Rng::new([0; 32])), None);
    assert_eq!((paths.poll_timeout(), paths.route()), (None, None));
    assert!(!paths.may_send(direct("192.0.2.66:666"), 1));
    assert!(!paths.handle_probe_answer(now, 7));
}

#[test]
fn a_flood_of_signed_sources_does_not_displace_what_was_chosen() {
    let mut world = World::new(false, true);
    world.dial();
    for host in 0..100_u16 {
        let source = Route::direct(std::net::SocketAddr::from(([192, 0, 2, 7], 1000 + host)));
        world.a.paths.handle_frame(world.now, source, 136, Proof::Signed);
    }
    assert!(world.a.paths.knows(at(B)));
    assert!(world.a.paths.ways.direct().count() <= MAX_CANDIDATES);
    assert!(world.a.paths.may_send(direct(B), 10_000));
}

//= spec/strategy.md#pp-dial-9
//= type=test
//# A node that is configured for the relay only, or whose peer is, sends nothing directly.
#[test]
fn relay_only_is_kept_by_either_sides_wish() {
    let mut world = World::with(true, PathConfig { relay_only: true, ..PathConfig::default() });
    world.dial();
    world.talk(ms(2000));
    assert_eq!(world.a.paths.route(), Some(Route::Relay));
    assert!(probes(&world.a.actions, Route::is_direct).is_empty());
    assert!(world.a.paths.relay_reason() == Some(RelayReason::OwnRelayOnly));
    assert_eq!(probes(&world.a.actions, |r| r == Route::Relay).first(), Some(&0));

    let mut world = World::new(true, true);
    world.dial();
    world.talk(ms(500));
    let wish = PeerAddresses { relay_only: true, ..PeerAddresses::default() };
    world.a.paths.resolved(world.now, &wish, &OwnAddresses::default());
    assert_eq!(world.a.paths.route(), Some(Route::Relay));
    assert!(world.a.paths.relay_reason() == Some(RelayReason::PeerRelayOnly));
}

//= spec/nat.md#pp-nat-16
//= type=test
//# Among direct paths another one is taken only when it is faster by 10 milliseconds and by a fifth.
#[test]
fn jitter_does_not_make_data_hop_and_a_clear_gain_does() {
    let (mut now, mut rng) = (Timestamp::from_micros(1), Rng::new([9; 32]));
    let mut paths = PathSet::new(PathConfig::default(), now);
    let ways = [direct("192.168.1.2:1"), direct("192.168.1.3:1")];
    for way in ways {
        let Route::Direct { address, .. } = way else { continue };
        paths.add_static(now, address);
        paths.handle_frame(now, way, 100, Proof::Fresh);
    }
    assert_eq!(paths.route(), Some(ways[0]));
    let mut answer = |paths: &mut PathSet, way: Route, rtt| {
        paths.attempt(now, way);
        let nonces: Vec<_> = std::iter::from_fn(|| paths.poll_action(now, &mut rng)).collect();
        now = now + rtt;
        for action in nonces {
            if let PathAction::Probe { nonce, route } = action {
                paths.handle_frame(now, route, 100, Proof::Fresh);
                assert!(paths.handle_probe_answer(now, nonce));
            }
        }
        now = now + ms(300);
        paths.handle_timeout(now);
    };
    let mut jitter = Rng::new([3; 32]);
    for round in 0..500 {
        answer(&mut paths, ways[round % 2], ms(20 + jitter.below(9)));
        assert_eq!(paths.route(), Some(ways[0]), "round {round}");
    }
    for _ in 0..40 {
        answer(&mut paths, ways[1], ms(5));
    }
    assert_eq!(paths.route(), Some(ways[1]));
}

//= spec/nat.md#pp-nat-11
//= type=test
//# A peer's local address is tried when it lies in a network of ours or behind the same public address.
#[test]
fn addresses_are_admitted_by_where_we_are() {
    let now = Timestamp::from_micros(1);
    let admitted = |peer_local: &[&str], peer_reflexive: &str, own_local: &[&str], own_reflexive: Option<&str>| {
        let local = |texts: &[&str]| texts.iter().map(|t| Local(at(t))).collect::<Vec<_>>();
        let (peer_local, own_local) = (local(peer_local), local(own_local));
        let reflexive = Some(Reflexive(at(peer_reflexive)));
        let peer = PeerAddresses { reflexive, local: &peer_local, relay_only: false };
        let own = OwnAddresses { reflexive: own_reflexive.map(|t| Reflexive(at(t))), local: &own_local };
        let mut paths = PathSet::new(PathConfig::default(), now);
        paths.resolved(now, &peer, &own);
        paths.ways.direct().map(|w| w.route).collect::<Vec<_>>()
    };
    let far = "203.0.113.1:1";
    assert_eq!(admitted(&["192.168.1.2:1"], far, &["192.168.2.2:1"], Some("198.51.100.1:1")), [direct(far)]);
    assert_eq!(
        admitted(&["192.168.1.2:1"], far, &["192.168.1.3:1"], Some("198.51.100.1:1")),
        [direct("192.168.1.2:1"), direct(far)]
    );
    assert_eq!(
        admitted(&["10.1.0.2:1"], far, &["10.2.0.3:1"], Some("203.0.113.1:9")),
        [direct("10.1.0.2:1"), direct(far)],
        "behind one public address"
    );
    assert_eq!(
        admitted(&["127.0.0.1:1", "[fe80::1]:1", "224.0.0.1:1"], far, &[], Some("198.51.100.1:1")),
        [direct(far)]
    );
    let global = Some("198.51.100.1:1");
    assert_eq!(admitted(&[], "10.0.0.7:7", &["10.0.0.8:1"], global), [], "nobody makes us send into our own network");
    assert_eq!(admitted(&[], "10.0.0.7:7", &["10.0.0.8:1"], Some("10.0.0.8:1")), [direct("10.0.0.7:7")]);
    assert_eq!(admitted(&[], "127.0.0.1:7", &[], Some("198.51.100.1:1")), []);
    assert_eq!(admitted(&[], "127.0.0.1:7", &[], Some("127.0.0.1:8")), [direct("127.0.0.1:7")]);
    assert!(direct("127.0.0.1:7").is_loopback() && !Route::Relay.is_loopback());
}

//= spec/nat.md#pp-nat-10
//= type=test
//# Hole punching is asked for at the beacon before and with the direct sends of a dial, unless the peer is a neighbour.
#[test]
fn a_neighbour_is_not_punched_unless_silent() {
    let now = Timestamp::from_micros(1_000_000);
    let mut paths = PathSet::new(PathConfig::default(), now);
    let local = [Local(at("192.168.1.2:1"))];
    let peer = PeerAddresses { reflexive: Some(Reflexive(at(B))), local: &local, relay_only: false };
    let own = [Local(at("192.168.1.3:1"))];
    paths.resolved(now, &peer, &OwnAddresses { reflexive: None, local: &own });
    paths.want(now);
    let mut rng = Rng::new([1; 32]);
    let mut drain =
        |paths: &mut PathSet, now| std::iter::from_fn(|| paths.poll_action(now, &mut rng)).collect::<Vec<_>>();
    assert!(!drain(&mut paths, now).contains(&PathAction::RequestPunch));
    paths.handle_timeout(now + ms(250));
    assert!(drain(&mut paths, now + ms(250)).contains(&PathAction::RequestPunch));
}

/// One random thing that happens to a path set.
#[derive(Clone, Debug)]
enum Happening {
    Frame { source: u8, bytes: usize, signed: bool },
    Send { to: u8, bytes: usize },
    Punch { target: u8 },
    Want,
    Wait(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..20_u8, 0..1500_usize, any::<bool>()).prop_map(|(source, bytes, signed)| Happening::Frame {
            source,
            bytes,
            signed
        }),
        (0..20_u8, 0..1500_usize).prop_map(|(to, bytes)| Happening::Send { to, bytes }),
        (0..20_u8).prop_map(|target| Happening::Punch { target }),
        Just(Happening::Want),
        (0..3000_u64).prop_map(Happening::Wait),
    ]
}

proptest! {
    //= spec/frames.md#pp-frame-16
    //= type=test
    //# No received datagram makes the endpoint send more than three times its bytes to an address that is neither proven nor chosen by
    //# us.
    #[test]
    fn unproven_addresses_get_three_times_what_they_sent(happenings in prop::collection::vec(happening(), 1..200)) {
        // No relay, so that no punch is asked for and every address is a stranger's.
        let mut paths = PathSet::new(PathConfig { relay_available: false, ..PathConfig::default() }, Timestamp::ZERO);
        let (mut now, mut rng) = (Timestamp::from_micros(1), Rng::new([5; 32]));
        let mut balance: BTreeMap<Route, (u64, u64)> = BTreeMap::new();
        let place = |number: u8| Route::direct(std::net::SocketAddr::from(([192, 0, 2, number], 9)));
        for happening in happenings {
            match happening {
                Happening::Frame { source, bytes, signed } => {
                    let proof = if signed { Proof::Signed } else { Proof::Unproven };
                    paths.handle_frame(now, place(source), bytes, proof);
                    balance.entry(place(source)).or_default().0 += bytes as u64;
                }
                Happening::Send { to, bytes } if paths.may_send(place(to), bytes) => {
                    paths.sent(now, place(to), bytes);
                    balance.entry(place(to)).or_default().1 += bytes as u64;
                }
                Happening::Send { .. } => {}
                Happening::Punch { target } => {
                    if let Route::Direct { address, .. } = place(target) {
                        paths.punch_command(now, address);
                    }
                }
                Happening::Want => paths.want(now),
                Happening::Wait(millis) => now = now + ms(millis),
            }
            if paths.poll_timeout().is_some_and(|at| at <= now) {
                paths.handle_timeout(now);
            }
            prop_assert!(paths.poll_timeout().is_none_or(|at| at > now));
            while let Some(action) = paths.poll_action(now, &mut rng) {
                if let PathAction::Probe { route, .. } | PathAction::Keepalive { route } = action {
                    prop_assert!(paths.may_send(route, 136));
                    paths.sent(now, route, 136);
                    balance.entry(route).or_default().1 += 136;
                }
            }
            for (route, (received, sent)) in &balance {
                prop_assert!(*sent <= 3 * received, "{route:?}: {sent} for {received}");
            }
            prop_assert!(paths.ways.direct().count() <= MAX_CANDIDATES);
        }
    }
}
