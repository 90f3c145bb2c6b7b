//! What links do to datagrams, and what goes wrong with hosts, clocks and the rendezvous.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "what fails here is a failed test")]

use proto_core::endpoint::{PathKind, TrustCommand};
use proto_core::{Event, SocketId};
use sim::{Bursts, Flapping, Link, Net, Rules, pattern};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two hosts that say nothing by themselves.
fn quiet(link: Link) -> Net {
    let mut net = Net::new(3, link, Vec::new());
    net.add_agent("a", None);
    net.add_agent("b", None);
    net
}

fn heard(net: &Net) -> u64 {
    net.hosts[1].endpoint.status().totals.packets_received
}

/// Sends `count` datagrams of `len` bytes from the first host to the second, `every` so often; when each arrived, by number heard.
fn arrivals(net: &mut Net, count: u64, len: usize, every: Duration) -> Vec<Duration> {
    let (begin, to) = (net.now, net.hosts[1].address);
    let mut times = Vec::new();
    let mut known = heard(net);
    let mut watch = |net: &mut Net, span: Duration| {
        let until = net.now + span;
        loop {
            let more = net.step(until);
            while known < heard(net) {
                known += 1;
                times.push(net.now.saturating_since(begin));
            }
            if !more {
                break;
            }
        }
    };
    for _ in 0..count {
        net.emit(0, SocketId(0), to, vec![0; len]);
        watch(net, every);
    }
    watch(net, 3 * SECOND);
    times
}

#[test]
fn a_plain_link_delays_and_nothing_else() {
    let mut net = quiet(Link { delay: millis(20), ..Link::default() });
    assert_eq!(arrivals(&mut net, 3, 100, millis(10)), [millis(20), millis(30), millis(40)]);
}

#[test]
fn jitter_stays_in_bounds_and_correlation_smooths_it() {
    let roughness = |jitter_correlation| {
        let mut net = quiet(Link { delay: millis(20), jitter: millis(10), jitter_correlation, ..Link::default() });
        let times = arrivals(&mut net, 200, 100, millis(50));
        let offset = |(index, at): (usize, &Duration)| *at - millis(50) * u32::try_from(index).unwrap();
        let offsets: Vec<Duration> = times.iter().enumerate().map(offset).collect();
        assert!(offsets.iter().all(|offset| (millis(20)..=millis(30)).contains(offset)));
        offsets.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum::<Duration>()
    };
    let (rough, smooth) = (roughness(0), roughness(90));
    assert!(rough > 5 * smooth, "{rough:?} {smooth:?}");
}

#[test]
fn loss_is_alone_or_in_bursts() {
    let lost_and_runs = |link: Link| {
        let mut net = quiet(link);
        let mut got = Vec::new();
        for _ in 0..2000 {
            let before = heard(&net);
            let to = net.hosts[1].address;
            net.emit(0, SocketId(0), to, vec![0; 40]);
            net.run_for(millis(10));
            got.push(heard(&net) > before);
        }
        let lost = got.iter().filter(|got| !**got).count();
        let runs = got.windows(2).filter(|pair| pair[0] && !pair[1]).count();
        (lost, runs)
    };
    let (lost, runs) = lost_and_runs(Link { loss: 10, ..Link::default() });
    assert!((150..250).contains(&lost) && runs > 130, "{lost} {runs}");
    // In the bad state a sixth of the time, for 20 datagrams each.
    let bursts = Bursts { begin: 10, end: 50, loss: 60 };
    let (lost, runs) = lost_and_runs(Link { bursts: Some(bursts), ..Link::default() });
    assert!((100..330).contains(&lost) && runs < lost * 2 / 3, "{lost} {runs}");
}

#[test]
fn copies_and_disorder_come_as_often_as_asked() {
    let mut net = quiet(Link { duplicate: 20, ..Link::default() });
    let copies = arrivals(&mut net, 500, 40, millis(1)).len();
    assert!((560..640).contains(&copies), "{copies}");
    let mut net = quiet(Link { delay: millis(20), reorder: 20, ..Link::default() });
    let late = arrivals(&mut net, 500, 40, millis(100));
    let held = late.iter().filter(|at| at.as_millis() % 100 == 30).count();
    assert!((60..140).contains(&held), "{held}");
}

#[test]
fn a_rate_spaces_datagrams_and_its_queue_is_bounded() {
    // 100 bytes of payload are 128 on the wire: 12.8 ms each.
    let link = Link { delay: millis(5), rate: Some(10_000), queue: 512, ..Link::default() };
    let mut net = quiet(link);
    let times = arrivals(&mut net, 10, 100, Duration::ZERO);
    let spaced: Vec<u128> = times.iter().map(Duration::as_micros).collect();
    assert_eq!(spaced, [17_800, 30_600, 43_400, 56_200], "four fit into the queue");
    assert_eq!(arrivals(&mut net, 5, 100, millis(13)).len(), 5, "the queue is empty again");
}

#[test]
fn larger_than_the_mtu_vanishes() {
    let mut net = quiet(Link { mtu: Some(1280), ..Link::default() });
    assert_eq!(arrivals(&mut net, 1, 1252, millis(1)).len(), 1);
    assert_eq!(arrivals(&mut net, 1, 1253, millis(1)).len(), 0);
}

#[test]
fn partitions_have_a_direction_and_flap_and_clogs_only_delay() {
    let mut net = quiet(Link::default());
    net.set_link(1, 0, Link::down());
    assert_eq!(arrivals(&mut net, 2, 40, millis(1)).len(), 2, "the other direction");
    net.set_link(0, 1, Link::down());
    assert_eq!(arrivals(&mut net, 2, 40, millis(1)).len(), 0);
    let flapping = Some(Flapping { period: 2 * SECOND, up: SECOND });
    net.set_link(0, 1, Link { flapping, ..Link::default() });
    assert_eq!(arrivals(&mut net, 40, 40, millis(100)).len(), 20);
    net.heal();
    net.clog(0, 1, SECOND);
    let late = arrivals(&mut net, 3, 40, millis(500));
    assert_eq!(late, [1005, 1005, 1005].map(millis), "all of it, after the clog");
}

#[test]
fn datagrams_inside_a_box_take_the_inner_link() {
    let mut net = Net::new(3, Link { delay: millis(50), ..Link::default() }, Vec::new());
    let nat = net.add_box(Rules::default(), None);
    net.add_agent("a", Some(nat));
    net.add_agent("b", Some(nat));
    assert_eq!(arrivals(&mut net, 1, 40, millis(1)), [millis(1)]);
}

/// Two agents that found each other through a rendezvous and trust each other.
fn met(seed: u8) -> Net {
    let mut net = Net::with_rendezvous(seed, Link { jitter: millis(2), ..Link::default() });
    for name in ["agent-a", "agent-b"] {
        let nat = net.add_box(Rules::default(), None);
        net.add_agent(name, Some(nat));
    }
    let registered = |net: &Net, host: usize| net.hosts[host].endpoint.status().registered;
    net.run_until(5 * SECOND, |net| registered(net, 0) && registered(net, 1));
    for (from, to) in [(0, 1), (1, 0)] {
        let node = net.hosts[to].endpoint.address().unwrap().node;
        let request = TrustCommand::Request { node, justification: "test".to_owned() };
        net.act(from, |endpoint, now| endpoint.trust(now, request));
        net.run_for(SECOND);
    }
    net
}

fn ping(net: &mut Net) -> bool {
    let node = net.hosts[1].endpoint.address().unwrap().node;
    let begin = net.hosts[0].events.len();
    net.act(0, |endpoint, now| endpoint.ping(now, node, 5 * SECOND));
    net.reaches(6 * SECOND, |net| {
        let mut news = net.hosts[0].events.iter().skip(begin);
        news.any(|event| matches!(event, Event::Completed(_, proto_core::endpoint::Outcome::Pong { .. })))
    })
}

/// A ping is one datagram and is lost with the path it took; the next one takes another.
fn talk(net: &mut Net) -> bool {
    ping(net) || ping(net)
}

#[test]
fn the_same_seed_gives_the_same_packets_and_another_one_others() {
    let run = |seed| {
        let mut net = met(seed);
        assert!(talk(&mut net));
        net.packet_hash()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_suspended_host_hears_nothing_and_comes_back() {
    let mut net = met(9);
    assert!(talk(&mut net));
    net.suspend(1, 60 * SECOND);
    let before = heard(&net);
    assert!(!talk(&mut net));
    assert_eq!(heard(&net), before);
    net.run_for(60 * SECOND);
    assert!(!net.hosts[1].is_asleep() && talk(&mut net));
}

#[test]
fn clocks_that_jump_disturb_nobody() {
    let mut net = met(10);
    for micros in [3_600_000_000, -7_200_000_000] {
        net.jump_clock(1, micros);
        net.jump_wall_clock(1, 86_400);
        net.run_for(10 * SECOND);
        assert!(talk(&mut net), "{micros}");
    }
}

#[test]
fn a_process_that_starts_again_knows_its_friends_only_with_its_state() {
    let mut net = met(11);
    let trusted = |net: &Net| net.hosts[1].endpoint.trust_snapshot() != Default::default();
    assert!(trusted(&net));
    net.revive(1, true);
    net.run_for(10 * SECOND);
    assert!(trusted(&net) && talk(&mut net));
    net.revive(1, false);
    assert!(!trusted(&net));
}

#[test]
fn a_host_that_moves_is_found_where_it_is() {
    let mut net = met(12);
    assert!(talk(&mut net));
    let elsewhere = IpAddr::from([192, 0, 2, 99]);
    net.move_host(1, elsewhere, None);
    net.run_for(20 * SECOND);
    assert!(talk(&mut net));
    net.run_for(5 * SECOND);
    let node = net.hosts[1].endpoint.address().unwrap().node;
    let path = net.hosts[0].endpoint.peer(node).unwrap().path;
    assert_eq!(path, Some(PathKind::Direct(net.hosts[1].address)));
}

#[test]
fn a_box_with_another_address_and_a_beacon_that_is_away_are_survived() {
    let mut net = met(13);
    assert!(talk(&mut net));
    net.rendezvous.as_mut().unwrap().beacon_down = true;
    assert!(talk(&mut net), "a direct path needs no beacon");
    net.rendezvous.as_mut().unwrap().beacon_down = false;
    net.renumber(1, IpAddr::from([203, 0, 113, 200]));
    net.run_for(60 * SECOND);
    assert!(talk(&mut net));
}

/// Where a host sends that starts anew and is told by the registry where the other one is, which moved before and is silent now.
fn sends_to(stale: bool) -> BTreeSet<IpAddr> {
    let mut net = met(14);
    // It asks for a peer that does not reach out by itself.
    net.crash(1);
    net.revive(0, true);
    net.run_for(3 * SECOND);
    assert!(!talk(&mut net));
    net.revive(1, true);
    net.run_for(3 * SECOND);
    net.rendezvous.as_mut().unwrap().stale = stale;
    net.renumber(1, NEW);
    net.run_for(60 * SECOND);
    net.crash(1);
    net.revive(0, true);
    net.run_for(3 * SECOND);
    net.log = Some(Vec::new());
    assert!(!talk(&mut net));
    net.log.take().unwrap().iter().map(|sent| sent.to.ip()).filter(|ip| [OLD, NEW].contains(ip)).collect()
}

const OLD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 2));
const NEW: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 200));

#[test]
fn a_stale_registry_tells_old_addresses() {
    assert!(sends_to(true).contains(&OLD));
    assert_eq!(sends_to(false), BTreeSet::from([NEW]));
}

#[test]
fn streams_survive_a_hostile_link() {
    let bursts = Some(Bursts { begin: 5, end: 200, loss: 50 });
    let link = Link { jitter: millis(3), jitter_correlation: 50, bursts, reorder: 3, duplicate: 2, ..Link::default() };
    let mut net = Net::trusting(15, 2, Link { rate: Some(1_000_000), queue: 64 * 1024, mtu: Some(1280), ..link });
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let (from, to) = net.connect(0, 1, 1000);
    let data = pattern(300_000, 1);
    assert!(net.transfer((0, from), (1, to), &data, 120 * SECOND) == data);
}
