//! The beacon: what it answers, what it passes on, and that nobody can make it send elsewhere.

use crate::probe::actor::{Actor, Content, PATIENCE, Received, SILENCE, describe};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, Stop, ensure, expected};
use proto_core::NodeId;
use proto_core::registry::Request;
use proto_core::wire::BeaconMessage;
use std::net::SocketAddr;
use std::time::Duration;

/// A node number nobody has.
const NOBODY: NodeId = NodeId(4_000_000_077);

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Beacon, name, ids, run);
    vec![
        check("beacon/discover", &["PP-RELAY-6"], discover),
        check("beacon/discover-of-nobody", &["PP-RELAY-15"], discover_of_nobody),
        check("beacon/ipv4-is-ipv4", &["PP-RELAY-16"], ipv4),
        check("beacon/relay", &["PP-RELAY-2", "PP-RELAY-3"], relay),
        check("beacon/relay-from-elsewhere", &["PP-RELAY-8"], relay_from_elsewhere),
        check("beacon/relay-to-nobody", &["PP-RELAY-14"], relay_to_nobody),
        check("beacon/gossip-of-a-stranger", &["PP-RELAY-10"], gossip),
        check("beacon/punch", &["PP-RELAY-7"], punch),
        check("beacon/punch-without-consent", &["PP-RELAY-7"], punch_without_consent),
        check("beacon/no-answer-to-answers", &["PP-VER-6"], no_reflection),
    ]
}

fn tell(actor: &Actor, beacon: SocketAddr, message: &BeaconMessage<'_>) {
    actor.send_to(beacon, &message.to_vec().unwrap_or_default());
}

/// A beacon message that came to `actor`, if `right`.
fn told<T>(received: &Received, right: impl Fn(&BeaconMessage<'_>) -> Option<T>) -> Option<T> {
    match &received.content {
        Content::Beacon(bytes) => BeaconMessage::parse(bytes).ok().and_then(|message| right(&message)),
        Content::Exchange(_) | Content::Packet(_) | Content::Sealed | Content::Other(_) => None,
    }
}

/// Fails with `what` when the beacon tells `actor` anything within a while. What it relays from the peer, which goes its own ways, is not its word.
fn untold(actor: &mut Actor, beacon: SocketAddr, what: &str) -> Outcome {
    actor.listen(SILENCE);
    let word = |received: &&Received| received.from == beacon && matches!(received.content, Content::Beacon(_));
    match actor.seen().iter().find(word) {
        Some(received) => Err(Stop::Failed(format!("{what}: {}", describe(received)))),
        None => Ok(()),
    }
}

/// Asks who `node` is seen as, and gives the answer.
fn observed(actor: &mut Actor, beacon: SocketAddr, node: NodeId) -> Result<SocketAddr, Stop> {
    tell(actor, beacon, &BeaconMessage::Discover { node, key: None });
    let reply = actor.find(PATIENCE, |received| {
        told(received, |message| if let BeaconMessage::DiscoverReply(seen) = message { Some(*seen) } else { None })
    });
    expected(reply, "a discover message is not answered")
}

/// Makes the beacon know where friend and victim are.
fn introduce(bench: &mut Bench) -> Result<SocketAddr, Stop> {
    let beacon = bench.beacon()?;
    for actor in [&mut bench.friend, &mut bench.victim] {
        let node = actor.node;
        observed(actor, beacon, node)?;
    }
    bench.turn_the_page();
    Ok(beacon)
}

fn discover(bench: &mut Bench) -> Outcome {
    let beacon = bench.beacon()?;
    let node = bench.friend.node;
    let (seen, own) = (observed(&mut bench.friend, beacon, node)?, bench.friend.address);
    // Another address is what a NAT on the way makes of it.
    ensure(seen == own || seen.ip() != own.ip(), || format!("{own} is told that it is {seen}"))
}

fn discover_of_nobody(bench: &mut Bench) -> Outcome {
    let beacon = introduce(bench)?;
    observed(&mut bench.stranger, beacon, NodeId::UNASSIGNED)?;
    bench.turn_the_page();
    let (sender, destination) = (bench.friend.node, NodeId::UNASSIGNED);
    tell(&bench.friend, beacon, &BeaconMessage::Relay { sender, destination, frame: b"to nobody" });
    untold(&mut bench.stranger, beacon, "node 0 is remembered")
}

fn ipv4(bench: &mut Bench) -> Outcome {
    let beacon = bench.beacon()?;
    if !beacon.is_ipv4() {
        return Err(Stop::skipped("the beacon is asked over IPv6"));
    }
    let node = bench.friend.node;
    observed(&mut bench.friend, beacon, node)?;
    let right = |received: &Received| matches!(&received.content, Content::Beacon(bytes) if bytes.len() == 8 && bytes.starts_with(&[2, 4]));
    let reply = bench.friend.seen().iter().find(|received| received.from == beacon);
    ensure(reply.is_some_and(right), || "the reply is not type, 4, four bytes of address and two of port".to_owned())
}

/// Where a frame of `sender` for the victim arrives.
fn passed_on(bench: &mut Bench, beacon: SocketAddr, frame: &[u8]) -> bool {
    let (sender, destination) = (bench.friend.node, bench.victim.node);
    tell(&bench.friend, beacon, &BeaconMessage::Relay { sender, destination, frame });
    let right = |message: &BeaconMessage<'_>| (*message == BeaconMessage::RelayDeliver { sender, frame }).then_some(());
    bench.victim.find(PATIENCE, |received| told(received, right)).is_some()
}

fn relay(bench: &mut Bench) -> Outcome {
    let beacon = introduce(bench)?;
    // Nothing that any beacon could open or should look at.
    let arrives = passed_on(bench, beacon, b"\x99 neither a frame nor a message \x00\xFF");
    ensure(arrives, || "a frame does not arrive as type 6, its sender and itself".to_owned())
}

fn relay_from_elsewhere(bench: &mut Bench) -> Outcome {
    let beacon = introduce(bench)?;
    let (sender, destination) = (bench.friend.node, bench.victim.node);
    tell(&bench.stranger, beacon, &BeaconMessage::Relay { sender, destination, frame: b"in another's name" });
    untold(&mut bench.victim, beacon, "a frame arrives in the name of a node that is elsewhere")?;
    ensure(passed_on(bench, beacon, b"in its own name"), || "nothing is relayed at all".to_owned())
}

fn relay_to_nobody(bench: &mut Bench) -> Outcome {
    let beacon = introduce(bench)?;
    let sender = bench.friend.node;
    tell(&bench.friend, beacon, &BeaconMessage::Relay { sender, destination: NOBODY, frame: b"to nobody" });
    untold(&mut bench.friend, beacon, "a frame for nobody is answered")
}

fn gossip(bench: &mut Bench) -> Outcome {
    let beacon = introduce(bench)?;
    let nodes = [NOBODY];
    let nodes = proto_core::wire::beacon::NodeList::new(&nodes);
    tell(&bench.stranger, beacon, &BeaconMessage::Sync { beacon: 99, nodes });
    let sender = bench.friend.node;
    tell(&bench.friend, beacon, &BeaconMessage::Relay { sender, destination: NOBODY, frame: b"to nobody" });
    untold(&mut bench.stranger, beacon, "gossip of a stranger is believed")
}

/// The punch command that `actor` gets.
fn command(actor: &mut Actor) -> Option<SocketAddr> {
    actor.find(PATIENCE, |received| {
        told(received, |message| if let BeaconMessage::PunchCommand(target) = message { Some(*target) } else { None })
    })
}

fn punch(bench: &mut Bench) -> Outcome {
    let beacon = introduce(bench)?;
    let mut directory = bench.directory()?;
    directory.granted(bench.victim.node, &bench.victim.identity, &Request::SetVisibility(true))?;
    let (requester, target) = (bench.friend.node, bench.victim.node);
    tell(&bench.friend, beacon, &BeaconMessage::PunchRequest { requester, target, grant: None });
    let told = [command(&mut bench.friend), command(&mut bench.victim)];
    directory.granted(bench.victim.node, &bench.victim.identity, &Request::SetVisibility(false))?;
    let right = told.iter().all(Option::is_some);
    ensure(right, || format!("asked to let two nodes punch, of which one is public, it tells them {told:?}"))
}

fn punch_without_consent(bench: &mut Bench) -> Outcome {
    let beacon = introduce(bench)?;
    let (requester, target) = (bench.friend.node, bench.victim.node);
    // A second later the budget of the check above is back.
    bench.friend.listen(Duration::from_millis(1000));
    tell(&bench.friend, beacon, &BeaconMessage::PunchRequest { requester, target, grant: None });
    untold(&mut bench.victim, beacon, "a private node is made to punch toward somebody it does not trust")?;
    untold(&mut bench.friend, beacon, "a private node's address is told to somebody it does not trust")
}

fn no_reflection(bench: &mut Bench) -> Outcome {
    let beacon = introduce(bench)?;
    let (address, sender) = (bench.victim.address, bench.friend.node);
    for message in [
        BeaconMessage::DiscoverReply(address),
        BeaconMessage::PunchCommand(address),
        BeaconMessage::RelayDeliver { sender, frame: b"frame" },
        BeaconMessage::RelayDeliverTo { sender, destination: bench.victim.node, frame: b"frame" },
        BeaconMessage::Notify { kind: 1 },
    ] {
        tell(&bench.friend, beacon, &message);
    }
    for bytes in [&[][..], &[1], &[1, 0, 0], &[3, 0, 0, 0, 1], &[5, 0], &[0x0B; 40], &[0x0F; 4], b"PILA"] {
        bench.friend.send_to(beacon, bytes);
    }
    untold(&mut bench.friend, beacon, "what is no question is answered")?;
    untold(&mut bench.victim, beacon, "what is no question makes it send elsewhere")
}
