//! The same cell in the simulator.

use crate::{Cell, Verdict};
use lab::netns::Access;
use proto_core::endpoint::{PathKind, TrustCommand};
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Event, NodeId};
use sim::{Filtering, Link, Mapping, Net, PortChoice, Rules, Rung, Verdict as Ceiling};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// The ladder is over, and what came too late for its first round is not waited for.
const LADDER: Duration = Duration::from_secs(20);

/// How the two reach each other in the end.
pub(crate) fn verdict(cell: Cell) -> Verdict {
    let mut net = Net::with_rendezvous(7, Link::default());
    let behind = match cell {
        Cell::Apart(a, b) => [place(&mut net, a), place(&mut net, b)],
        Cell::Hairpin => {
            // Each in a network of its own behind the common router, so that only its outside address brings them together.
            let router = net.add_box(full_cone(), None);
            [(); 2].map(|()| Some(net.add_box(transparent(), Some(router))))
        }
    };
    for (name, behind) in ["agent-a", "agent-b"].into_iter().zip(behind) {
        let config = Config { hostname: Some(name.to_owned()), punch_private_targets: true, ..Config::default() };
        net.add_agent_with(config, behind, None);
    }
    net.run_until(5 * SECOND, |net| (0..2).all(|host| net.hosts[host].endpoint.status().registered));
    befriend(&mut net);
    talk(&mut net);
    net.run_for(LADDER);
    let paths = [(0, 1), (1, 0)].map(|(host, peer)| {
        let node = number(&net, peer);
        net.hosts[host].endpoint.peer(node).and_then(|peer| peer.path).expect("the two have talked")
    });
    assert_eq!(matches!(paths[0], PathKind::Relay), matches!(paths[1], PathKind::Relay), "{paths:?}");
    let verdict = if paths[0] == PathKind::Relay { Verdict::Relay } else { Verdict::Direct };
    match sim::verdict(&net, 0, 1) {
        // Rungs of luck: what they reach here is what they have to reach in Linux.
        Ceiling::Direct(Rung::Prediction | Rung::Spray) => {}
        Ceiling::Direct(rung) => assert_eq!(verdict, Verdict::Direct, "{} reaches", rung.name()),
        Ceiling::Relay => assert_eq!(verdict, Verdict::Relay, "the boxes allow no direct path"),
        Ceiling::Nothing => panic!("the boxes let nothing through"),
    }
    verdict
}

/// The box of a class, as its nftables rules are.
fn place(net: &mut Net, access: Access) -> Option<usize> {
    let preserve =
        |filtering| Rules { ports: PortChoice::Preserve, ..Rules::new(Mapping::EndpointIndependent, filtering) };
    let restricted = preserve(Filtering::AddressAndPortDependent);
    let symmetric = Rules::new(Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent);
    let rules = match access {
        Access::Open => return None,
        Access::FullCone => full_cone(),
        Access::Masquerade => restricted,
        Access::Sequential => Rules { ports: PortChoice::Sequential(1), ..symmetric },
        // Nobody in the grid asks for a port.
        Access::FullyRandom | Access::Forwarding => Rules { ports: PortChoice::Random, ..symmetric },
        Access::Double => {
            let carrier = net.add_box(restricted, None);
            return Some(net.add_box(restricted, Some(carrier)));
        }
    };
    Some(net.add_box(rules, None))
}

fn full_cone() -> Rules {
    let ports = PortChoice::Preserve;
    Rules { ports, hairpin: true, ..Rules::new(Mapping::EndpointIndependent, Filtering::EndpointIndependent) }
}

/// A network of its own, and nothing that changes ports or keeps anybody out.
fn transparent() -> Rules {
    full_cone()
}

fn number(net: &Net, host: usize) -> NodeId {
    net.hosts[host].endpoint.address().expect("registered").node
}

fn befriend(net: &mut Net) {
    for (from, to) in [(0, 1), (1, 0)] {
        let command = TrustCommand::Request { node: number(net, to), justification: "grid".to_owned() };
        net.act(from, |endpoint, now| endpoint.trust(now, command));
        net.run_for(SECOND / 5);
    }
    let numbers = [number(net, 0), number(net, 1)];
    net.run_until(3 * SECOND, |net| {
        (0..2).all(|host| net.saw(host, &Event::TrustChanged { node: numbers[1 - host], trusted: true }))
    });
}

fn talk(net: &mut Net) {
    let target = SocketAddress::new(Address::backbone(number(net, 1)), 7);
    let dialled = net.act(0, |endpoint, now| endpoint.dial(now, target)).unwrap();
    net.run_until(5 * SECOND, |net| net.saw(0, &Event::Connected(dialled)));
}
