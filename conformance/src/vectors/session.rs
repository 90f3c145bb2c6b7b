//! The round-trip estimator, the replay window, and a whole sealed session.

use super::File;
use super::check::{Checker, Hex, Prose};
use super::crypto;
use super::keys::{self, NodeKeys, Side};
use proto_core::crypto::ReplayWindow;
use proto_core::limits::REPLAY_WINDOW;
use proto_core::stream::rtt::RttEstimator;
use proto_core::wire::{Flags, Frame, Header};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Windows {
    #[serde(rename = "note")]
    _note: Prose,
    window: usize,
    scenarios: Vec<Arrivals>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arrivals {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    counters: Vec<u64>,
    accept: Vec<bool>,
    accept_april_go: Vec<bool>,
    #[serde(rename = "note")]
    _note: Option<Prose>,
}

pub(super) fn replay_window(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<Windows>("replay_window", check) else { return };
    check.equal("window", REPLAY_WINDOW, family.window);
    for entry in &family.scenarios {
        check.entry(&entry.name);
        let mut window = ReplayWindow::default();
        let answers: Vec<bool> = entry.counters.iter().map(|counter| window.accept(*counter)).collect();
        check.equal("accept", &answers, &entry.accept);
        check.equal("answers of the April reference", entry.accept_april_go.len(), answers.len());
        let permissive = answers.iter().zip(&entry.accept_april_go).any(|(ours, theirs)| *ours && !theirs);
        check.holds("we accept nothing the April reference refuses", !permissive);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transcript {
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "note")]
    _note: Prose,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    dir: Direction,
    name: String,
    counter: Option<u64>,
    packet_hex: Option<Hex>,
    frame_hex: Hex,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
enum Direction {
    #[serde(rename = "a->b")]
    Forth,
    #[serde(rename = "b->a")]
    Back,
}

/// What a transcript's steps share.
struct Session {
    a: NodeKeys,
    b: NodeKeys,
    key: [u8; 32],
    /// The nonce prefix each sender began with.
    prefixes: BTreeMap<u32, [u8; 4]>,
}

pub(super) fn session_transcript(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<Transcript>("session_transcript", check) else { return };
    let sides = keys::of(file, Side::A).zip(keys::of(file, Side::B));
    let session =
        sides.zip(keys::tunnel_key(file)).map(|((a, b), key)| Session { a, b, key, prefixes: BTreeMap::new() });
    let Some(mut session) = check.some("the keys of both sides are known", session) else { return };
    for (number, step) in family.steps.iter().enumerate() {
        check.entry(format!("step {number} ({})", step.name));
        session.step(step, check);
    }
}

impl Session {
    fn step(&mut self, step: &Step, check: &mut Checker) {
        let (sender, receiver) = match step.dir {
            Direction::Forth => (self.a.clone(), self.b.clone()),
            Direction::Back => (self.b.clone(), self.a.clone()),
        };
        let wire = &step.frame_hex.0;
        match (Frame::parse(wire), &step.packet_hex, step.counter) {
            (Ok(Frame::AuthenticatedKeyExchange(exchange)), None, None) => {
                check.equal("name", step.name.as_str(), "PILA");
                check.equal("sender", exchange.sender, sender.node());
                check.equal("exchange key", exchange.exchange_public, sender.exchange_public());
                check.holds("authentic", keys::exchange_is_authentic(&exchange, &sender.identity_public()));
            }
            (Ok(Frame::Secure(secure)), Some(packet), Some(counter)) => {
                let [p0, p1, p2, p3, ..] = secure.nonce;
                let prefix = *self.prefixes.entry(secure.sender.0).or_insert([p0, p1, p2, p3]);
                check.equal("sender", secure.sender, sender.node());
                let sealed = crypto::seal_frame(&self.key, sender.node(), prefix, counter, &packet.0);
                check.equal("frame_hex", sealed.as_ref(), Some(wire));
                let opened = crypto::open_frame(&self.key, wire);
                check.equal("packet_hex", opened, Some((sender.node(), packet.0.clone())));
                check.holds("welcome", crypto::is_from(sender.node(), &packet.0));
                inner_packet(&step.name, &packet.0, [&sender, &receiver], check);
            }
            _ => check.fail("neither a key exchange nor a sealed packet with its counter"),
        }
    }
}

/// The packet is what the step's name says, it names both ends, and writing it again gives the same bytes.
fn inner_packet(name: &str, packet: &[u8], [sender, receiver]: [&NodeKeys; 2], check: &mut Checker) {
    let Ok((header, payload)) = Header::parse(packet) else { return check.fail("no packet inside") };
    check.equal("ends", (header.src.node, header.dst.node), (sender.node(), receiver.node()));
    let kind = match name.split(' ').next() {
        Some("SYN") => Some((Flags::SYN, false)),
        Some("SYN-ACK") => Some((Flags::SYN | Flags::ACK, false)),
        Some("ACK") => Some((Flags::ACK, false)),
        Some("DATA") => Some((Flags::ACK, true)),
        Some("FIN") => Some((Flags::FIN, false)),
        _ => None,
    };
    check.equal("name", Some((header.flags, !payload.is_empty())), kind);
    let mut written = vec![0; packet.len()];
    check.equal("emitted length", header.emit(payload, &mut written), Ok(packet.len()));
    check.equal("emitted packet", &written[..], packet);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Estimator {
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "note")]
    _note: Prose,
    steps: Vec<Sample>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    sample_ns: u64,
    srtt_ns: u64,
    rttvar_ns: u64,
    rto_ns: u64,
}

pub(super) fn rtt_estimator(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<Estimator>("rtt_estimator", check) else { return };
    let mut estimator = RttEstimator::default();
    for (number, step) in family.steps.iter().enumerate() {
        check.entry(format!("sample {number}"));
        estimator.sample(Duration::from_nanos(step.sample_ns));
        check.equal("srtt_ns", estimator.srtt(), Some(Duration::from_nanos(step.srtt_ns)));
        check.equal("rttvar_ns", estimator.rttvar(), Duration::from_nanos(step.rttvar_ns));
        check.equal("rto_ns", estimator.rto(), Duration::from_nanos(step.rto_ns));
    }
}
