use super::*;
use crate::time::Timestamp;
use core::time::Duration;

const SETTINGS: Settings = Settings { mss: 1000, maximum: 100_000, slow_start_limit: Some(2) };

fn acked(bytes: u64) -> Acked {
    Acked { bytes, window_limited: true }
}

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

#[test]
fn nothing_grows_while_the_application_is_the_limit() {
    let mut control = Controller::new_reno(SETTINGS);
    control.on_ack(Acked { bytes: 5000, window_limited: false });
    assert_eq!(control.window(), 10_000);
}

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

#[test]
fn a_timeout_collapses_to_one_segment_and_halves_the_threshold_once() {
    let mut control = Controller::new_reno(SETTINGS);
    control.on_timeout(10_000, true);
    assert_eq!((control.window(), control.ssthresh()), (1000, 5000));
    control.on_timeout(1000, false);
    assert_eq!((control.window(), control.ssthresh()), (1000, 5000));
    assert!(control.in_slow_start());
}

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
