//! Segments nobody sane sends, in any state: no panic, bounded memory, bounded answers, no stuck timer.

mod pair;

use core::time::Duration;
use pair::{Packet, params, pattern, reference_params};
use proptest::prelude::*;
use proto_core::Timestamp;
use proto_core::seq::SeqNumber;
use proto_core::stream::{Connection, Flags, Params};
use proto_core::wire::options::{Capabilities, Options};
use proto_core::wire::sack::{Sack, SackBlock};

#[derive(Clone, Debug)]
enum Step {
    Segment { flags: u8, seq: i32, ack: i32, window: u16, payload: Payload },
    Wait(u32),
    Write(usize),
    Read(usize),
    Finish,
    Path(u16),
}

#[derive(Clone, Debug)]
enum Payload {
    Data(usize),
    Sack(Vec<(i32, i32)>),
}

fn near() -> impl Strategy<Value = i32> {
    prop_oneof![6 => -10_i32..6000, 2 => -100_000_i32..400_000, 1 => any::<i32>()]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let payload = prop_oneof![
        (0_usize..3000).prop_map(Payload::Data),
        prop::collection::vec((near(), near()), 1..4).prop_map(Payload::Sack),
    ];
    let flags = prop_oneof![12 => Just(2_u8), 1 => 0_u8..16];
    let segment = (flags, near(), near(), prop_oneof![Just(0_u16), Just(512), any::<u16>()], payload)
        .prop_map(|(flags, seq, ack, window, payload)| Step::Segment { flags, seq, ack, window, payload });
    let step = prop_oneof![
        12 => segment,
        4 => (0_u32..3_000_000).prop_map(Step::Wait),
        3 => (0_usize..20_000).prop_map(Step::Write),
        3 => (0_usize..20_000).prop_map(Step::Read),
        1 => (1_u16..9000).prop_map(Step::Path),
    ];
    let rare = prop_oneof![60 => step, 1 => Just(Step::Finish)];
    prop::collection::vec(rare, 1..200)
}

/// `payload` with its numbers counted from the first byte that the connection sends.
fn bytes(payload: &Payload, first: SeqNumber) -> Vec<u8> {
    match payload {
        Payload::Data(len) => pattern(*len),
        Payload::Sack(blocks) => {
            let mut sack = Sack::new();
            for (left, right) in blocks {
                sack.push(SackBlock { left: first + left.cast_unsigned(), right: first + right.cast_unsigned() });
            }
            let mut out = vec![0; sack.encoded_len()];
            let _ = sack.emit(&mut out);
            out
        }
    }
}

/// Polls until nothing comes; the number of segments is bounded by what there is to send.
fn drain(connection: &mut Connection, now: Timestamp, buffer: &mut [u8]) -> usize {
    let mut sent = 0;
    while let Some(header) = connection.poll_segment(now, buffer) {
        assert!(header.payload_len <= 9000);
        assert!(!header.flags.contains(Flags::FIN | Flags::ACK));
        sent += 1;
        assert!(sent < 3000, "endless");
    }
    while connection.poll_event().is_some() {}
    sent
}

fn run(params: Params, answering: bool, steps: &[Step]) {
    let (isn, peer) = (SeqNumber(0x7FFF_FF00), SeqNumber(0xFFFF_FF00));
    let (first, expected) = (isn + 1, peer + 1);
    let mut now = Timestamp::from_micros(5);
    let mut buffer = vec![0; 65_535];
    let options = Options { capabilities: Capabilities::NONE, max_segment: 8832, window_shift: 8 }.to_bytes();
    let mut connection = if answering {
        Connection::accept(params, isn, now, &Packet::of(Flags::SYN, peer.0, 0, 100, &options).segment())
    } else {
        let mut connection = Connection::connect(params, isn, now);
        drain(&mut connection, now, &mut buffer);
        let answer = Packet::of(Flags::SYN | Flags::ACK, peer.0, first.0, 100, &options);
        connection.handle_segment(now, &answer.segment());
        connection
    };
    for step in steps {
        match step {
            Step::Segment { flags, seq, ack, window, payload } => {
                let payload = bytes(payload, first);
                let (seq, ack) = (expected + seq.cast_unsigned(), first + ack.cast_unsigned());
                let flags = Flags::from_bits_truncate(*flags);
                connection.handle_segment(now, &Packet::of(flags, seq.0, ack.0, *window, &payload).segment());
            }
            Step::Wait(micros) => {
                now = now + Duration::from_micros(u64::from(*micros));
                connection.handle_timeout(now);
                assert!(connection.poll_timeout().is_none_or(|(at, _)| at > now), "a deadline stays in the past");
            }
            Step::Write(len) => {
                let _ = connection.write(now, &pattern(*len));
            }
            Step::Read(len) => {
                let _ = connection.read(now, &mut vec![0; *len]);
            }
            Step::Finish => {
                let _ = connection.finish(now);
            }
            Step::Path(mss) => connection.set_path(*mss, None),
        }
        drain(&mut connection, now, &mut buffer);
        assert!(connection.buffered() <= 24 << 20);
    }
    connection.reset();
    assert!(drain(&mut connection, now, &mut buffer) <= 1);
    connection.handle_timeout(now + Duration::from_secs(100));
    assert!(connection.is_gone());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]
    //= spec/reliability.md#pp-rel-6
    //= type=test
    //# An acknowledgment beyond what was sent is ignored.
    #[test]
    fn nothing_breaks_it(steps in steps(), answering in any::<bool>(), ours in any::<bool>()) {
        run(if ours { params() } else { reference_params() }, answering, &steps);
    }
}

#[test]
fn an_acknowledgement_within_a_selectively_acknowledged_segment_counts_it_once() {
    let segment = |ack, blocks: &[(i32, i32)]| Step::Segment {
        flags: 2, // ACK
        seq: 0,
        ack,
        window: 0,
        payload: Payload::Sack(blocks.to_vec()),
    };
    run(reference_params(), false, &[Step::Write(5760), segment(0, &[(1, 2304)]), segment(1153, &[(0, 2304)])]);
}

/// One byte a segment would cost a peer that asks for it nothing, and us an entry of the scoreboard for each.
#[test]
fn no_peer_gets_segments_of_a_byte() {
    let mut buffer = vec![0; 65_535];
    let now = Timestamp::from_micros(5);
    let options = Options { capabilities: Capabilities::NONE, max_segment: 1, window_shift: 8 }.to_bytes();
    let mut connection = Connection::connect(params(), SeqNumber(1), now);
    drain(&mut connection, now, &mut buffer);
    let answer = Packet::of(Flags::SYN | Flags::ACK, 7, 2, 512, &options);
    connection.handle_segment(now, &answer.segment());
    assert_eq!(connection.write(now, &pattern(600)), Ok(600));
    let mut sent = Vec::new();
    while let Some(header) = connection.poll_segment(now, &mut buffer) {
        sent.push(header.payload_len);
    }
    assert!(sent.contains(&64) && sent.len() <= 12, "{sent:?}");
}

#[test]
fn a_path_of_a_byte_ends() {
    let look = Step::Segment { flags: 2, seq: 0, ack: 9, window: 0, payload: Payload::Data(0) };
    let steps = [Step::Path(9), Step::Write(3252), look, Step::Path(3099), Step::Path(1)];
    run(params(), false, &steps);
}
