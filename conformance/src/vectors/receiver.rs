//! Selective acknowledgements, what a receiver acknowledges, and serial-number order.

use super::File;
use super::check::{Checker, Hex, Prose};
use proto_core::Timestamp;
use proto_core::seq::SeqNumber;
use proto_core::stream::{Connection, Flags, Params, Segment};
use proto_core::wire::sack::{MAX_SACK_LEN, looks_like_sack, safe_prefix_len};
use proto_core::wire::{Sack, SackBlock};
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SackFamily {
    #[serde(rename = "note")]
    _note: Prose,
    valid: Vec<Valid>,
    not_sack: Vec<NotSack>,
    user_data_collisions: Vec<Collision>,
    encode_caps: EncodeCaps,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Valid {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    blocks: Vec<Block>,
    payload_hex: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    left: u32,
    right: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotSack {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    payload_hex: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Collision {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    payload_hex: Hex,
    #[serde(rename = "note")]
    _note: Prose,
    split_first_hex: Hex,
    split_rest_hex: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncodeCaps {
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "note")]
    _note: Prose,
    blocks_in: Vec<(u32, u32)>,
    payload_hex: Hex,
}

fn block((left, right): (u32, u32)) -> SackBlock {
    SackBlock { left: SeqNumber(left), right: SeqNumber(right) }
}

fn encoded(sack: &Sack) -> Option<Vec<u8>> {
    let mut out = [0; MAX_SACK_LEN];
    let len = sack.emit(&mut out).ok()?;
    out.get(..len).map(<[u8]>::to_vec)
}

pub(super) fn sack(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<SackFamily>("sack", check) else { return };
    for entry in &family.valid {
        check.entry(&entry.name);
        let sack: Sack = entry.blocks.iter().map(|edges| block((edges.left, edges.right))).collect();
        check.equal("blocks read", Sack::parse_exact(&entry.payload_hex.0), Some(sack));
        check.equal("payload_hex", encoded(&sack).as_ref(), Some(&entry.payload_hex.0));
        check.holds("recognised", looks_like_sack(&entry.payload_hex.0));
    }
    for entry in &family.not_sack {
        check.entry(&entry.name);
        check.equal("taken exactly", Sack::parse_exact(&entry.payload_hex.0), None);
        check.holds("not recognised", !looks_like_sack(&entry.payload_hex.0));
        check.equal("cut", safe_prefix_len(&entry.payload_hex.0), None);
    }
    for entry in &family.user_data_collisions {
        check.entry(&entry.name);
        let payload = &entry.payload_hex.0;
        check.holds("recognised", looks_like_sack(payload));
        let pieces = safe_prefix_len(payload).and_then(|cut| payload.split_at_checked(cut));
        check.equal("pieces", pieces, Some((&entry.split_first_hex.0[..], &entry.split_rest_hex.0[..])));
        check.holds("the first piece is not recognised", !looks_like_sack(&entry.split_first_hex.0));
    }
    check.entry("encode_caps");
    let capped: Sack = family.encode_caps.blocks_in.iter().copied().map(block).collect();
    check.equal("payload_hex", encoded(&capped).as_ref(), Some(&family.encode_caps.payload_hex.0));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenarios {
    #[serde(rename = "note")]
    _note: Prose,
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    start: u32,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    seq: u32,
    len: usize,
    ack: u32,
    sack: Vec<(u32, u32)>,
}

pub(super) fn receiver_scenarios(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<Scenarios>("receiver_scenarios", check) else { return };
    for scenario in &family.scenarios {
        check.entry(&scenario.name);
        let mut peer = Acknowledger::new(SeqNumber(scenario.start), check);
        for (number, step) in scenario.steps.iter().enumerate() {
            check.entry(format!("{} step {number}", scenario.name));
            let told = peer.take(SeqNumber(step.seq), &vec![0xA5; step.len]);
            let Some((ack, sack)) = check.some("it is acknowledged", told) else { continue };
            check.equal("ack", ack, SeqNumber(step.ack));
            check.equal("sack", sack, step.sack.iter().copied().map(block).collect());
        }
    }
}

/// A connection of ours that only receives, and what it acknowledges.
struct Acknowledger {
    connection: Connection,
    now: Timestamp,
    /// Its first sequence number, acknowledged once and for all.
    own: SeqNumber,
}

impl Acknowledger {
    /// An established connection that expects `start` next.
    fn new(start: SeqNumber, check: &mut Checker) -> Self {
        let syn = Segment {
            flags: Flags::SYN,
            seq: SeqNumber(start.0.wrapping_sub(1)),
            ack: SeqNumber(0),
            window: 512,
            payload: &[],
        };
        let (now, isn) = (Timestamp::from_micros(1_000_000), SeqNumber(7000));
        let connection = Connection::accept(params(), isn, now, &syn);
        let mut this = Self { connection, now, own: isn + 1 };
        let answer = this.last_sent().map(|(ack, _)| ack);
        check.equal("ack of the SYN", answer, Some(start));
        this.handle(Flags::ACK, start, &[]);
        this
    }

    /// The acknowledgement after a data segment, at once or when the delay is over.
    fn take(&mut self, seq: SeqNumber, payload: &[u8]) -> Option<(SeqNumber, Sack)> {
        self.handle(Flags::ACK, seq, payload);
        self.last_sent().or_else(|| {
            self.now = self.now + Duration::from_millis(50);
            self.connection.handle_timeout(self.now);
            self.last_sent()
        })
    }

    fn handle(&mut self, flags: Flags, seq: SeqNumber, payload: &[u8]) {
        self.connection.handle_segment(self.now, &Segment { flags, seq, ack: self.own, window: 512, payload });
    }

    /// Polls until nothing more is to be sent; the acknowledgement and blocks of the last segment.
    fn last_sent(&mut self) -> Option<(SeqNumber, Sack)> {
        let (mut payload, mut last) = ([0; 2048], None);
        while let Some(header) = self.connection.poll_segment(self.now, &mut payload) {
            let sack = payload.get(..header.payload_len).and_then(Sack::parse_exact);
            last = Some((header.ack, sack.unwrap_or_default()));
        }
        last
    }
}

fn params() -> Params {
    Params {
        mss: 1152,
        max_segment_accepted: 1152,
        receive_buffer: 1 << 20,
        send_buffer: 1 << 20,
        no_delay: false,
        idle_timeout: Duration::from_secs(120),
        keepalive: Duration::from_secs(30),
        initial_rtt: None,
        offer_capabilities: None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeqArithmetic {
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "rule")]
    _rule: Prose,
    vectors: Vec<Order>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    a: u32,
    b: u32,
    after: bool,
}

pub(super) fn seq_arithmetic(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<SeqArithmetic>("seq_arithmetic", check) else { return };
    for Order { a, b, after } in &family.vectors {
        check.entry(format!("{a} after {b}"));
        check.equal("after", SeqNumber(*a).after(SeqNumber(*b)), *after);
        check.equal("the other way round", SeqNumber(*b).before(SeqNumber(*a)), *after);
    }
}
