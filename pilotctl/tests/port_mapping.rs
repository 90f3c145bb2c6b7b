//! A port at a real router's program, `miniupnpd`, in network namespaces: asked for by the daemon in whatever that speaks, used by a peer who
//! could not come in otherwise, restored after a restart of the router, given back at the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

use lab::agent::{Agent, PATIENCE, befriend};
use lab::igd::{Forwarder, Speaks};
use lab::netns::{Access, Lab, Site, with_namespaces};
use lab::rendezvous::Rendezvous;
use lab::wait;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// The inner address of site A's router.
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
/// A restart is seen by the daemon when it looks, or when the beacon sees another port.
const LOOKS: Duration = Duration::from_secs(150);

/// Waits until the daemon says so of its port at the router.
fn port_is(agent: &Agent, state: &str) -> Value {
    let status = agent.until(2 * PATIENCE, &["status"], |data| data["port_mapping"]["state"] == state);
    status["port_mapping"].clone()
}

/// One of two agents whom nobody could reach directly asks its router for a port.
fn a_port_makes_it_direct(speaks: Speaks, protocol: &str) {
    let lab = Lab::new(Access::Forwarding, Access::FullyRandom);
    let mut forwarder = Forwarder::start(&lab.router(Site::A), ROUTER, speaks);
    let rendezvous = Rendezvous::in_lab(env!("CARGO_BIN_EXE_pilotctl"), &lab);
    let began = Instant::now();
    let a = Agent::in_lab("agent-a", &rendezvous, &lab, Site::A);
    let b = Agent::in_lab("agent-b", &rendezvous, &lab, Site::B);

    let mapping = port_is(&a, "mapped");
    assert_eq!(mapping["protocol"], protocol, "{mapping}\n{}", forwarder.log());
    let [port] = forwarder.ports()[..] else { panic!("one port is forwarded: {:?}", forwarder.ports()) };
    let external = format!("{}:{port}", Site::A.routable());
    assert_eq!(mapping["external"], external.as_str());
    println!("{protocol}: {external} after {:?}", began.elapsed());

    befriend(&a, &b);
    a.ok(&["connect", "agent-b", "--message", "hello"]);
    let direct =
        |data: &Value| data["peers"].as_array().is_some_and(|peers| peers.iter().any(|peer| peer["path"] == "direct"));
    let seen = b.until(PATIENCE, &["peers"], direct);
    assert_eq!(seen["peers"][0]["endpoint"], external.as_str(), "b comes in by the port: {seen}");
    a.until(PATIENCE, &["peers"], direct);

    lab.switch_off_and_on(Site::A);
    forwarder.restart();
    assert!(forwarder.ports().is_empty(), "a router that starts forwards nothing");
    let off = Instant::now();
    wait::until("the router forwards again", LOOKS, || (forwarder.ports() == [port]).then_some(()));
    println!("{protocol}: restored after {:?}", off.elapsed());
    a.until(LOOKS, &["connect", "agent-b", "--message", "again"], |sent| sent["acked"] == true);

    a.ok(&["daemon", "stop"]);
    wait::until("the port is given back", PATIENCE, || forwarder.ports().is_empty().then_some(()));
}

#[test]
fn a_router_with_upnp_only_forwards_a_port() {
    with_namespaces(|| a_port_makes_it_direct(Speaks::Upnp, "UPnP"));
}

#[test]
fn a_router_with_everything_is_asked_by_pcp() {
    with_namespaces(|| a_port_makes_it_direct(Speaks::Everything, "PCP"));
}

//= spec/port-mapping.md#pp-pmap-12
//= type=test
//# Over UPnP only a device at the default gateway's own address is believed.
#[test]
fn a_device_that_is_not_the_default_gateway_is_not_believed() {
    with_namespaces(|| {
        let lab = Lab::new(Access::Forwarding, Access::Open);
        let forwarder = Forwarder::start(&lab.router(Site::A), ROUTER, Speaks::Upnp);
        let gateway = lab.move_gateway(Site::A);
        let rendezvous = Rendezvous::in_lab(env!("CARGO_BIN_EXE_pilotctl"), &lab);
        let a = Agent::in_lab("agent-a", &rendezvous, &lab, Site::A);
        let mapping = port_is(&a, "unanswered");
        assert_eq!(mapping["gateway"], gateway.to_string());
        assert!(forwarder.log().contains("M-SEARCH"), "it was found and not taken: {}", forwarder.log());
        assert!(forwarder.ports().is_empty());
    });
}
