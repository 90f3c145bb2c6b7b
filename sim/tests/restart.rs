//! A peer dies in the middle of a transfer and is there again at another port: a dial reaches it within its time.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "what fails here is a failed test")]

use proto_core::endpoint::{PathKind, TrustCommand};
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Event, NodeId, StreamId};
use sim::{Filtering, Link, Mapping, Net, Rules};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const PORT: u16 = 1000;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Where the two are.
#[derive(Clone, Copy, Debug)]
enum Place {
    OneHost,
    Open,
    /// By IPv4 and by IPv6.
    TwoWays,
    BehindBoxes,
}

fn number(net: &Net, host: usize) -> NodeId {
    net.hosts[host].endpoint.address().expect("registered").node
}

fn is_direct(net: &Net) -> bool {
    (0..2).all(|host| {
        let peer = net.hosts[host].endpoint.peer(number(net, 1 - host));
        matches!(peer.and_then(|peer| peer.path), Some(PathKind::Direct(_)))
    })
}

fn registered(net: &mut Net) {
    net.run_until(5 * SECOND, |net| net.hosts.iter().all(|host| host.endpoint.status().registered));
}

/// Two agents that trust each other.
fn pair(seed: u8, place: Place, delay: Duration) -> Net {
    let mut net = Net::with_rendezvous(seed, Link { delay, ..Link::default() });
    for name in ["agent-a", "agent-b"] {
        let rules = Rules::new(Mapping::EndpointIndependent, Filtering::AddressAndPortDependent);
        let behind = matches!(place, Place::BehindBoxes).then(|| net.add_box(rules, None));
        let config = Config { hostname: Some(name.to_owned()), ..Config::default() };
        net.add_agent_with(config, behind, matches!(place, Place::TwoWays).then_some(false));
    }
    if matches!(place, Place::OneHost) {
        for (index, port) in [(0, 4001), (1, 4002)] {
            net.hosts[index].address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
            net.revive_at(index, true, port);
        }
    }
    registered(&mut net);
    for (from, to) in [(0, 1), (1, 0)] {
        let command = TrustCommand::Request { node: number(&net, to), justification: "test".to_owned() };
        net.act(from, |endpoint, now| endpoint.trust(now, command));
        net.run_for(millis(200));
    }
    net.run_for(3 * SECOND);
    net
}

fn dial(net: &mut Net) -> StreamId {
    let target = SocketAddress::new(Address::backbone(number(net, 1)), PORT);
    net.act(0, |endpoint, now| endpoint.dial(now, target)).unwrap()
}

/// How long a dial takes that begins `after` the peer's death, which was there again `gone` after it.
fn dial_after_death(net: &mut Net, gone: Duration, after: Duration) -> Result<Duration, Event> {
    let _ = net.act(1, |endpoint, _| endpoint.listen(PORT));
    let sending = dial(net);
    let mut receiving = None;
    let mut chunk = vec![0; 65_536];
    let (began, mut arrived) = (net.now, 0);
    while arrived < 200_000 || !is_direct(net) {
        assert!(net.now.saturating_since(began) < 20 * SECOND, "{arrived} bytes arrived");
        let _ = net.act(0, |endpoint, now| endpoint.write(now, sending, &[7; 10_000]));
        net.run_for(millis(10));
        receiving = receiving.or_else(|| net.hosts[1].endpoint.accept(PORT).map(|(stream, _)| stream));
        if let Some(stream) = receiving {
            arrived += net.act(1, |endpoint, now| endpoint.read(now, stream, &mut chunk)).unwrap_or_default();
        }
    }
    net.crash(1);
    let died = net.now;
    // The sender goes on writing all the time.
    let until = |net: &mut Net, span: Duration| {
        while net.now.saturating_since(died) < span {
            let _ = net.act(0, |endpoint, now| endpoint.write(now, sending, &[7; 10_000]));
            net.run_for(millis(10));
        }
    };
    until(net, gone);
    net.revive_at(1, true, 4700);
    let _ = net.act(1, |endpoint, _| endpoint.listen(PORT));
    until(net, after);
    registered(net);
    let dialled = dial(net);
    let began = net.now;
    net.run_until(10 * SECOND, |net| {
        let failed = |event: &Event| matches!(event, Event::DialFailed(id, _) if *id == dialled);
        net.saw(0, &Event::Connected(dialled)) || net.hosts[0].events.iter().any(failed)
    });
    let failed = |event: &&Event| matches!(event, Event::DialFailed(id, _) if *id == dialled);
    match net.hosts[0].events.iter().find(failed) {
        Some(event) => Err(event.clone()),
        None => Ok(net.now.saturating_since(began)),
    }
}

//= spec/nat.md#pp-nat-24
//= type=test
//# With a path that is left for its silence, every other direct path is left that was asked meanwhile and did not answer.
#[test]
fn a_peer_that_dies_in_a_transfer_and_comes_back_at_another_port_is_reached_by_the_next_dial() {
    // How long the peer is away, and when it is dialled.
    let moments = [(20, 60), (100, 400), (300, 301), (300, 1500), (1000, 1001), (2700, 2900), (3500, 3600)];
    for place in [Place::OneHost, Place::Open, Place::TwoWays, Place::BehindBoxes] {
        for (delay, seeds) in [(1, 1..9), (20, 9..13), (60, 13..17)] {
            for seed in seeds {
                for (gone, dialled) in moments {
                    let mut net = pair(seed, place, millis(delay));
                    let outcome = dial_after_death(&mut net, millis(gone), millis(dialled));
                    let told =
                        format!("{place:?}, delay {delay} ms, seed {seed}, gone {gone} ms, dialled at {dialled} ms");
                    assert!(outcome.as_ref().is_ok_and(|taken| *taken < millis(2500)), "{told}: {outcome:?}");
                }
            }
        }
    }
}
