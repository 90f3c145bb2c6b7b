//! The oracle against the table of what is possible.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use proto_core::Config;
use sim::{Filtering, Link, Mapping, Net, PortChoice, Rules, Rung, Verdict, possible, verdict};

use Filtering::{AddressAndPortDependent as Apdf, AddressDependent as Adf, EndpointIndependent as Eif};
use Mapping::{AddressAndPortDependent as Edm, EndpointIndependent as Eim};

fn net(chains: [&[Rules]; 2]) -> Net {
    let mut net = Net::new(1, Link::default(), Vec::new());
    for chain in chains {
        // The outermost first.
        let mut behind = None;
        for rules in chain {
            behind = Some(net.add_box(*rules, behind));
        }
        net.add_agent("x", behind);
    }
    net
}

fn judge(a: &[Rules], b: &[Rules]) -> Verdict {
    let (one, other) = (net([a, b]), net([b, a]));
    assert_eq!(verdict(&one, 0, 1), verdict(&other, 0, 1), "the two sides are alike");
    verdict(&one, 0, 1)
}

#[test]
fn what_is_possible_between_two_boxes() {
    let cone = |filtering| [Rules::new(Eim, filtering)];
    let symmetric = |ports| [Rules { ports, ..Rules::new(Edm, Apdf) }];
    let random = symmetric(PortChoice::Random);
    let direct = Verdict::Direct;
    for (a, b, expected) in [
        (&[][..], &[][..], direct(Rung::Punch)),
        (&[], &cone(Apdf), direct(Rung::Punch)),
        (&[], &random, direct(Rung::Punch)),
        (&cone(Eif), &random, direct(Rung::Punch)),
        (&cone(Adf), &random, direct(Rung::Punch)),
        (&cone(Apdf), &cone(Apdf), direct(Rung::Punch)),
        (&cone(Apdf), &symmetric(PortChoice::Sequential(1)), direct(Rung::Prediction)),
        (&cone(Apdf), &symmetric(PortChoice::Block(512)), direct(Rung::Prediction)),
        (&cone(Apdf), &random, direct(Rung::Spray)),
        (&random, &random, Verdict::Relay),
        (&symmetric(PortChoice::Sequential(1)), &random, Verdict::Relay),
        (&[Rules { blocks_udp: true, ..Rules::default() }], &cone(Eif), Verdict::Nothing),
    ] {
        assert_eq!(judge(a, b), expected, "{a:?} {b:?}");
    }
}

#[test]
fn the_strictest_box_of_a_chain_decides() {
    let loose = Rules::new(Eim, Eif);
    let random = Rules::new(Edm, Apdf);
    let symmetric = [random];
    // A port-restricted cone before or behind a full cone is a port-restricted cone.
    assert_eq!(judge(&[loose, Rules::default()], &symmetric), Verdict::Direct(Rung::Spray));
    assert_eq!(judge(&[loose, loose], &symmetric), Verdict::Direct(Rung::Punch));
    assert_eq!(judge(&[loose, random], &symmetric), Verdict::Relay);
    // The outer box preserves what the inner one counts.
    let counting = Rules { ports: PortChoice::Sequential(1), ..random };
    let preserving = Rules { ports: PortChoice::Preserve, ..Rules::default() };
    assert_eq!(judge(&[preserving, counting], &[Rules::default()]), Verdict::Direct(Rung::Prediction));
    assert_eq!(judge(&[Rules::default(), counting], &[Rules::default()]), Verdict::Direct(Rung::Spray));
}

#[test]
fn mapped_ports_count_before_the_outermost_box_only() {
    let random = Rules::new(Edm, Apdf);
    let mapping = Rules { maps_ports: true, ..random };
    assert_eq!(judge(&[mapping], &[random]), Verdict::Direct(Rung::PortMap));
    assert_eq!(judge(&[Rules::new(Eim, Eif), mapping], &[random]), Verdict::Relay);
}

#[test]
fn neighbours_ipv6_and_shared_addresses() {
    let symmetric = Rules::new(Edm, Apdf);
    let mut net = Net::new(1, Link::default(), Vec::new());
    let outer = net.add_box(Rules { hairpin: false, ..Rules::default() }, None);
    let inner = net.add_box(symmetric, Some(outer));
    let beside = net.add_box(Rules::default(), Some(outer));
    let elsewhere = net.add_box(symmetric, None);
    for (behind, ipv6) in
        [(inner, None), (inner, None), (beside, Some(true)), (elsewhere, Some(true)), (outer, None), (elsewhere, None)]
    {
        net.add_agent_with(Config::default(), Some(behind), ipv6);
    }
    assert_eq!(verdict(&net, 0, 1), Verdict::Direct(Rung::Lan));
    assert_eq!(verdict(&net, 0, 2), Verdict::Relay, "no hairpin");
    assert_eq!(verdict(&net, 0, 4), Verdict::Direct(Rung::Lan), "in the network of the inner box");
    assert_eq!(verdict(&net, 2, 3), Verdict::Direct(Rung::Ipv6));
    assert_eq!(verdict(&net, 2, 5), Verdict::Direct(Rung::Spray));
    assert!(possible(&net, 2, 3, Rung::Spray) && !possible(&net, 2, 3, Rung::Punch));
    net.boxes[outer].rules.hairpin = true;
    assert_eq!(verdict(&net, 0, 2), Verdict::Direct(Rung::Spray));
}
