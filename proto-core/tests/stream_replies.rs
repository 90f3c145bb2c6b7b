//! What a connection answers, when, and what it keeps to itself: acknowledgements, keepalives, window news, and the end.

mod pair;

use core::time::Duration;
use pair::script::{Script, sack};
use pair::{Packet, params, pattern, reference_params};
use proto_core::stream::{CloseReason, Flags, Params};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const BUFFER: u32 = 128 * 1024;

fn small() -> Params {
    Params { receive_buffer: BUFFER as usize, ..reference_params() }
}

/// A peer of the reference's kind that filled our buffer and knows it.
fn filled() -> Script {
    let mut script = Script::dialled(small(), 512);
    for start in (0..BUFFER).step_by(4096) {
        script.receive(Flags::ACK, 1 + start, 501, 512, &pattern(4096));
    }
    assert_eq!(script.sent().last().map(|p| (p.ack.0, p.window)), Some((1 + BUFFER, 0)));
    script
}

/// The reader takes `len` bytes, which is all there is.
fn read(script: &mut Script, len: u32) {
    assert_eq!(script.ours.read(script.now, &mut vec![0; 1 << 20]), Ok(len as usize));
}

fn pure(packets: &[(u64, Packet)]) -> Vec<(u64, u16)> {
    assert!(packets.iter().all(|(_, p)| p.payload.is_empty() && p.is(Flags::ACK)), "{packets:?}");
    packets.iter().map(|(at, p)| (*at, p.window)).collect()
}

//= spec/delayed-ack.md#pp-ack-7
//= type=test
//# Data that leaves carries the acknowledgement and cancels the delay.
#[test]
fn data_that_leaves_takes_the_acknowledgement_along() {
    let mut script = Script::dialled(params(), 512);
    script.receive(Flags::ACK, 1, 501, 512, b"question");
    script.write(b"answer");
    let sent = script.sent();
    assert_eq!(sent.iter().map(|p| (p.ack.0, &p.payload[..])).collect::<Vec<_>>(), [(9, &b"answer"[..])]);
    script.receive(Flags::ACK, 9, 507, 512, b"");
    assert!(script.wait(SECOND).is_empty(), "nothing is owed any more");
}

/// Whoever sends to it would stop otherwise, and its end never come.
#[test]
fn what_nobody_reads_leaves_the_window_open() {
    let mut script = Script::dialled(small(), 512);
    script.ours.stop_reading();
    for start in (0..4 * BUFFER).step_by(4096) {
        script.receive(Flags::ACK, 1 + start, 501, 512, &pattern(4096));
    }
    assert_eq!(script.sent().last().map(|p| (p.ack.0, p.window)), Some((1 + 4 * BUFFER, 32)));
}

#[test]
fn data_does_not_take_the_place_of_what_tells_of_a_hole() {
    let mut script = Script::dialled(params(), 512);
    script.receive(Flags::ACK, 3, 501, 512, b"later");
    script.write(b"answer");
    let payloads: Vec<_> = script.sent().into_iter().map(|p| p.payload).collect();
    assert_eq!(payloads, [sack(&[(3, 8)]), b"answer".to_vec()]);
}

//= spec/delayed-ack.md#pp-ack-6
//= type=test
//# An ACK without data is never answered, but for a probe of a window we closed.
#[test]
fn an_empty_ack_is_answered_only_as_a_probe_of_a_window_that_was_closed() {
    let mut script = filled();
    read(&mut script, BUFFER);
    assert_eq!(script.sent().len(), 1, "the news that it opened, which is lost");
    script.receive(Flags::ACK, 1 + BUFFER, 501, 512, b"");
    assert_eq!(script.sent().iter().map(|p| p.window).collect::<Vec<_>>(), [32]);
    for _ in 0..5 {
        script.receive(Flags::ACK, 1 + BUFFER, 501, 512, b"");
        assert!(script.wait(SECOND).is_empty(), "once");
    }
}

//= spec/flow.md#pp-flow-12
//= type=test
//# The announcement is repeated after 0.2 seconds and after one more second unless data comes.
#[test]
fn the_news_of_an_open_window_comes_three_times_unless_data_comes() {
    let mut script = filled();
    script.wait(SECOND);
    read(&mut script, BUFFER);
    assert_eq!(pure(&script.wait(SECOND * 20)), [(0, 32), (200, 32), (1200, 32)]);

    let mut script = filled();
    read(&mut script, BUFFER);
    assert_eq!(pure(&script.wait(MILLISECOND * 100)).len(), 1);
    script.receive(Flags::ACK, 1 + BUFFER, 501, 512, b"at last");
    assert_eq!(pure(&script.wait(SECOND * 20)).len(), 1, "its acknowledgement and no more news");
}

//= spec/flow.md#pp-flow-13
//= type=test
//# No window update is sent to a published implementation that is not waiting for one.
#[test]
fn the_reference_is_told_nothing_while_it_need_not_wait() {
    let mut script = Script::dialled(small(), 512);
    for start in (0..BUFFER / 2).step_by(4096) {
        script.receive(Flags::ACK, 1 + start, 501, 512, &pattern(4096));
    }
    script.wait(SECOND);
    read(&mut script, BUFFER / 2);
    assert!(script.wait(SECOND * 20).is_empty(), "half of the window was open all the time");
}

//= spec/keepalive.md#pp-ka-2
//= type=test
//# A keepalive carries the real window.
#[test]
fn a_keepalive_tells_the_real_window() {
    let mut script = Script::dialled(small(), 512);
    script.receive(Flags::ACK, 1, 501, 512, &pattern(3 * 4096));
    script.wait(SECOND);
    assert_eq!(pure(&script.wait(SECOND * 30)).first().map(|(_, window)| *window), Some(32 - 3));
}

//= spec/keepalive.md#pp-ka-4
//= type=test
//# An idle timeout closes with FIN.
#[test]
fn a_silent_peer_is_sent_a_fin() {
    let mut script = Script::dialled(params(), 512);
    let sent = script.wait(Duration::from_millis(119_999));
    assert!(sent.iter().all(|(_, p)| p.is(Flags::ACK)) && script.closed().is_none());
    let sent = script.wait(MILLISECOND * 2);
    assert!(sent.last().is_some_and(|(_, p)| p.is(Flags::FIN)), "{sent:?}");
    assert_eq!(script.closed(), Some(CloseReason::IdleTimeout));
}

//= spec/keepalive.md#pp-ka-7
//= type=test
//# An idle timeout with data that was not acknowledged closes with RST, as a FIN would say that all of it was sent.
#[test]
fn a_silent_peer_that_lacks_data_is_sent_a_reset() {
    let mut script = Script::dialled(params(), 512);
    script.wait(Duration::from_secs(100));
    assert_eq!(script.ours.write(script.now, b"never acknowledged"), Ok(18));
    let sent = script.wait(Duration::from_secs(21));
    assert!(sent.last().is_some_and(|(_, p)| p.is(Flags::RST)), "{sent:?}");
    assert!(!sent.iter().any(|(_, p)| p.is(Flags::FIN)));
    assert_eq!(script.closed(), Some(CloseReason::IdleTimeout));
}

//= spec/session.md#pp-ses-20
//= type=test
//# TIME_WAIT lasts 10 seconds.
#[test]
fn time_wait_lasts_ten_seconds() {
    let mut script = Script::dialled(params(), 512);
    assert!(script.ours.finish(script.now).is_ok());
    assert!(script.sent()[0].is(Flags::FIN));
    script.receive(Flags::ACK, 1, 502, 512, b"");
    script.wait(Duration::from_millis(9999));
    assert_eq!(script.ours.state_name(), "time_wait");
    script.wait(MILLISECOND * 2);
    assert_eq!(script.ours.state_name(), "closed");
}

//= spec/session.md#pp-ses-24
//= type=test
//# An RST in SYN_SENT that acknowledges another SYN is ignored.
#[test]
fn a_reset_of_another_syn_does_not_refuse_the_dial() {
    let mut script = Script::dialling(params());
    script.receive(Flags::RST, 0, 4711, 0, b"");
    assert_eq!((script.closed(), script.ours.state_name()), (None, "syn_sent"));
    script.receive(Flags::RST, 0, 501, 0, b"");
    assert_eq!(script.closed(), Some(CloseReason::Reset));
}

//= spec/session.md#pp-ses-27
//= type=test
//# The payload of SYN, SYN-ACK, FIN and RST is not user data.
#[test]
fn what_syn_ack_fin_and_rst_carry_is_not_data() {
    for last in [Flags::FIN, Flags::RST] {
        let mut script = Script::answered(params(), 512, b"in the SYN-ACK", Duration::ZERO);
        script.receive(Flags::ACK, 1, 501, 512, b"data");
        script.receive(last, 5, 501, 0, b"in the last one");
        let mut out = [0; 64];
        assert_eq!(script.ours.read(script.now, &mut out), Ok(4));
        assert_eq!(&out[..4], b"data");
        assert!(!script.ours.read(script.now, &mut out).is_ok_and(|len| len > 0));
    }
    let syn = Packet::of(Flags::SYN, 0, 0, 512, b"in the SYN");
    let isn = proto_core::seq::SeqNumber(500);
    let mut ours = proto_core::stream::Connection::accept(params(), isn, proto_core::Timestamp::ZERO, &syn.segment());
    let ack = Packet::of(Flags::ACK, 1, 501, 512, b"data");
    ours.handle_segment(proto_core::Timestamp::ZERO, &ack.segment());
    let mut out = [0; 64];
    assert_eq!(ours.read(proto_core::Timestamp::ZERO, &mut out), Ok(4));
}
