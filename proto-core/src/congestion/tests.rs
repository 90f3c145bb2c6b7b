use super::*;
use crate::time::Timestamp;
use core::time::Duration;

const SETTINGS: Settings = Settings { mss: 1000, maximum: 100_000, slow_start_limit: Some(2) };

fn acked(bytes: u64) -> Acked {
    Acked { bytes, window_limited: true }
}

//= spec/congestion.md#pp-cc-3
//= type=test
//# In slow start the window grows by the bytes acknowledged, at most two segments for each ACK of a peer that is not known to be
//# ours.
//= spec/congestion.md#pp-cc-1
//= type=test
//# The initial congestion window is 10 segments.
#[test]
fn slow_start_counts_bytes_and_at_most_two_segments_an_ack() {
    let mut control = Controller::new_reno(SETTINGS);
    assert_eq!(control.window(), 10_000);
    control.on_ack(acked(500));
    assert_eq!(control.window(), 10_500);
    control.on_ack(acked(8000));
    assert_eq!(control.window(), 12_500);
    control.set(Settings { slow_start_limit: None, ..SETTINGS });
    control.on_ack(acked(8000));
    assert_eq!(control.window(), 20_500);
}

//= spec/congestion.md#pp-cc-2
//= type=test
//# The congestion window toward a peer that is not known to be ours is at most 1 MiB.
#[test]
fn toward_the_reference_the_window_ends_at_one_mebibyte() {
    let mut control = Controller::new_reno(Settings::reference(1152));
    for _ in 0..1000 {
        control.on_ack(acked(1_000_000));
    }
    assert_eq!(control.window(), 1024 * 1024);
}

//= spec/congestion.md#pp-cc-9
//= type=test
//# The window does not grow while the application, and not the window, holds the sender back.
#[test]
fn nothing_grows_while_the_application_is_the_limit() {
    let mut control = Controller::new_reno(SETTINGS);
    control.on_ack(Acked { bytes: 5000, window_limited: false });
    assert_eq!(control.window(), 10_000);
}

//= spec/congestion.md#pp-cc-4
//= type=test
//# In congestion avoidance the window grows by one segment for each window of acknowledged bytes.
#[test]
fn avoidance_adds_one_segment_a_window_and_stops_at_the_maximum() {
    let mut control = Controller::new_reno(SETTINGS);
    control.on_loss(10_000);
    assert_eq!((control.window(), control.ssthresh()), (5000, 5000));
    for _ in 0..5 {
        control.on_ack(acked(1000));
    }
    assert_eq!(control.window(), 6000);
    for _ in 0..100_000 {
        control.on_ack(acked(1000));
    }
    assert_eq!(control.window(), SETTINGS.maximum);
}

//= spec/congestion.md#pp-cc-6
//= type=test
//# A loss found by acknowledgements halves what was in flight to get threshold and window, at least two segments.
#[test]
fn a_loss_halves_what_was_in_flight_and_leaves_two_segments() {
    let mut control = Controller::new_reno(SETTINGS);
    control.on_loss(9000);
    assert_eq!((control.window(), control.ssthresh()), (4500, 4500));
    control.on_loss(1000);
    assert_eq!((control.window(), control.ssthresh()), (2000, 2000));
}

//= spec/congestion.md#pp-cc-7
//= type=test
//# A retransmission timeout sets the threshold to half of what was in flight, at least two segments, and the window to one segment.
//= spec/congestion.md#pp-cc-8
//= type=test
//# Repeated timeouts of one segment halve the threshold once.
#[test]
fn a_timeout_collapses_to_one_segment_and_halves_the_threshold_once() {
    let mut control = Controller::new_reno(SETTINGS);
    control.on_timeout(10_000, true);
    assert_eq!((control.window(), control.ssthresh()), (1000, 5000));
    control.on_timeout(1000, false);
    assert_eq!((control.window(), control.ssthresh()), (1000, 5000));
    assert!(control.in_slow_start());
}

//= spec/congestion.md#pp-cc-10
//= type=test
//# Segments are spaced over the round-trip time, two windows a round trip in slow start and 1.25 after it.
#[test]
fn the_pacer_spreads_a_window_over_a_round_trip_in_bursts() {
    let mut pacer = Pacer::default();
    let (mut now, window) = (Timestamp::ZERO, 6_250_000_u64);
    assert!(pacer.allow(now).is_ok(), "no pacing before a round-trip time is known");
    pacer.set(now, window, Some(Duration::from_millis(50)), false);
    let (mut sent, mut bursts) = (0_u64, 0);
    while sent < window {
        match pacer.allow(now) {
            Ok(()) => {
                pacer.sent(1152);
                sent += 1152;
            }
            Err(until) => {
                assert!(until > now);
                now = until;
                bursts += 1;
            }
        }
    }
    let millis = now.as_micros() / 1000;
    assert!((36..=42).contains(&millis), "one window took {millis} ms");
    assert!((20..=60).contains(&bursts), "{bursts} bursts");
}

/// A host that slept once measures a round trip of minutes; what follows is not held back by it.
#[test]
fn a_wait_at_a_low_rate_is_not_kept_at_a_higher_one() {
    let mut pacer = Pacer::default();
    let now = Timestamp::from_micros(1);
    pacer.set(now, 20_000, Some(Duration::from_secs(120)), true);
    pacer.sent(1 << 20);
    let until = pacer.allow(now).unwrap_err();
    assert!(until > now + Duration::from_secs(60), "{until:?}");
    let now = now + Duration::from_secs(1);
    pacer.set(now, 20_000, Some(Duration::from_millis(50)), true);
    let until = pacer.allow(now).err().unwrap_or(now);
    assert!(until < now + Duration::from_millis(100), "{until:?}");
}
