//! Data through one connection over good and bad links.

mod pair;

use core::time::Duration;
use pair::{Link, Pair, params, pattern, reference_params};
use proptest::prelude::*;
use proto_core::seq::SeqNumber;
use proto_core::stream::{Params, StreamEvent};

const SECOND: Duration = Duration::from_secs(1);

fn bad_link() -> Link {
    Link { loss: 20, reorder: 50, duplicate: 10, ..Link::with_delay(Duration::from_millis(10)) }
}

//= spec/session.md#pp-ses-3
//= type=test
//# A dial sends SYN with a sequence number of its own choice and no acknowledgment.
//= spec/session.md#pp-ses-5
//= type=test
//# A SYN that is admitted is answered with SYN and ACK, acknowledging the SYN's number plus one.
//= spec/session.md#pp-ses-6
//= type=test
//# The dialler is established when a SYN-ACK acknowledges its own number plus one, and answers with ACK.
#[test]
fn a_small_message_arrives_at_once() {
    let mut pair = Pair::connected(params(), params(), Link::with_delay(Duration::from_millis(5)), 1);
    let before = pair.now;
    assert_eq!(pair.transfer(b"hello", SECOND), b"hello");
    assert_eq!(pair.now.saturating_since(before), Duration::from_millis(5));
    assert!(pair.events[1].contains(&StreamEvent::Readable));
}

//= spec/reliability.md#pp-rel-1
//= type=test
//# Sequence numbers count bytes and wrap at 2^32; they are compared as serial numbers.
#[test]
fn sequence_numbers_wrap_in_both_directions() {
    let data = pattern(300_000);
    for peer in [params(), reference_params()] {
        let (a_isn, b_isn) = (SeqNumber(0x7FFF_FFFF), SeqNumber(0xFFFF_FFF0));
        let mut pair = Pair::numbered(params(), peer, bad_link(), 5, a_isn, b_isn);
        assert!(pair.transfer(&data, SECOND * 60) == data);
        let mut written = 0;
        let (mut got, mut chunk) = (Vec::new(), vec![0; 65_536]);
        pair.run(SECOND * 60, |pair| {
            written += {
                let now = pair.now;
                pair.b().write(now, &data[written..])
            }
            .unwrap_or(0);
            let now = pair.now;
            let taken = pair.a.read(now, &mut chunk).unwrap_or(0);
            got.extend_from_slice(&chunk[..taken]);
            got.len() == data.len()
        });
        assert!(got == data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    //= spec/reliability.md#pp-rel-2
    //= type=test
    //# Bytes are delivered in order, each once, whatever arrived in which order.
    #[test]
    fn five_megabytes_survive_loss_reordering_and_duplication(seed in any::<u64>(), ours in any::<bool>()) {
        let data = pattern(5_000_000);
        let peer = if ours { params() } else { reference_params() };
        let mut pair = Pair::connected(params(), peer, bad_link(), seed);
        let before = pair.now;
        let got = pair.transfer(&data, SECOND * 120);
        prop_assert_eq!(got.len(), data.len());
        prop_assert!(got == data);
        let status = pair.a.status();
        let spurious = status.retransmits as f64 / status.segments_sent as f64;
        eprintln!("seed {seed} ours {ours}: {:?}, {status:?}", pair.now.saturating_since(before));
        prop_assert!(spurious < 0.25, "{} of {} were retransmissions", status.retransmits, status.segments_sent);
    }
}

/// Megabytes a second over `seconds` after the first `warm_up` seconds.
fn goodput(a: Params, b: Params, link: Link, warm_up: u64, seconds: u64) -> f64 {
    let mut pair = Pair::connected(a, b, link, 42);
    let chunk = bytes::Bytes::from(pattern(1 << 20));
    let mut out = vec![0; 1 << 20];
    let mut total = 0_u64;
    let mut drive = |pair: &mut Pair, total: &mut u64| {
        while pair.a.write_chunk(pair.now, &mut chunk.clone()).is_ok_and(|n| n > 0) {}
        let now = pair.now;
        while let Ok(n) = pair.b().read(now, &mut out) {
            *total += n as u64;
        }
        false
    };
    pair.run(SECOND * warm_up as u32, |pair| drive(pair, &mut total));
    let before = total;
    pair.run(SECOND * seconds as u32, |pair| drive(pair, &mut total));
    eprintln!("{:?}", pair.a.status());
    (total - before) as f64 / seconds as f64 / 1e6
}

#[test]
fn a_gigabit_over_fifty_milliseconds_is_filled() {
    let link = Link { rate: 125_000_000, queue: 4 << 20, ..Link::with_delay(Duration::from_millis(25)) };
    let large = Params { receive_buffer: 16 << 20, send_buffer: 16 << 20, ..params() };
    for (buffers, least) in [(params(), 90.0), (large, 90.0)] {
        let rate = goodput(buffers, buffers, link, 2, 3);
        assert!(rate > least, "{rate} MB/s");
    }
}

#[test]
fn goodput_by_loss_delay_and_buffer() {
    let mut table = String::new();
    // loss per mille, one-way delay ms, buffer KiB, least MB/s
    for (loss, delay, buffer, least) in [
        (0, 1, 64, 10.0),
        (0, 10, 1024, 25.0),
        (1, 10, 1024, 1.2),
        (10, 10, 8192, 0.35),
        (20, 10, 8192, 0.25),
        (50, 5, 8192, 0.15),
    ] {
        let link = Link { rate: 125_000_000, queue: 1 << 20, loss, ..Link::with_delay(Duration::from_millis(delay)) };
        let sized = Params { receive_buffer: buffer << 10, send_buffer: buffer << 10, ..params() };
        let rate = goodput(sized, sized, link, 1, 2);
        table += &format!("loss {loss}, delay {delay} ms, buffer {buffer} KiB: {rate:.2} MB/s (at least {least})\n");
        assert!(rate >= least, "{table}");
    }
    eprintln!("{table}");
}

#[test]
fn a_thousand_idle_streams_are_small() {
    let mut pairs: Vec<Pair> = Vec::new();
    let mut total = 0;
    for seed in 0..20 {
        let mut pair = Pair::connected(params(), params(), Link::with_delay(Duration::from_millis(1)), seed);
        let data = pattern(64 * 1024);
        assert!(pair.transfer(&data, SECOND * 5) == data);
        pair.idle(Duration::from_secs(40));
        total += pair.a.buffered() + pair.b().buffered();
        pairs.push(pair);
    }
    assert_eq!(total, 0, "idle connections hold no buffer");
    assert!(core::mem::size_of::<proto_core::stream::Connection>() < 2048);
}
