//! Two and more endpoints on a virtual network: what a host sees of dialling, streams, datagrams, pings and trust.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "what fails here is a failed test")]

use proto_core::endpoint::{CloseReason, DialError, Outcome, PathKind, ReadError, TrustCommand};
use proto_core::{Config, Event};
use sim::{Link, Net, node, pattern, target};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn lossy() -> Link {
    Link { loss: 2, reorder: 5, duplicate: 1, jitter: Duration::from_millis(1), ..Link::default() }
}

#[test]
fn a_stream_carries_bytes_both_ways_and_ends() {
    let mut net = Net::trusting(1, 2, Link::default());
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let (dialled, accepted) = net.connect(0, 1, 1000);
    let data = pattern(300_000, 1);
    assert_eq!(net.transfer((0, dialled), (1, accepted), &data, 10 * SECOND), data);
    net.run_until(SECOND, |net| net.saw(0, &Event::Finished(dialled)));
    let peer = net.hosts[0].endpoint.peer(node(1)).unwrap();
    assert_eq!(peer.path, Some(PathKind::Direct(net.hosts[1].address)));
    assert!(peer.encrypted && peer.ours && peer.trusted);
}

#[test]
fn five_megabytes_survive_loss_reordering_and_duplication() {
    for seed in 1..5 {
        let mut net = Net::trusting(seed, 2, lossy());
        net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
        let (dialled, accepted) = net.connect(0, 1, 1000);
        let data = pattern(5_000_000, seed);
        assert!(net.transfer((0, dialled), (1, accepted), &data, 120 * SECOND) == data, "seed {seed}");
    }
}

//= spec/ports.md#pp-port-5
//= type=test
//# Port 7 returns every byte it receives, until the stream ends, unless the host switched it off.
#[test]
fn port_seven_echoes() {
    let mut net = Net::trusting(3, 2, lossy());
    let stream = net.act(0, |endpoint, now| endpoint.dial(now, target(1, 7))).unwrap();
    net.run_until(5 * SECOND, |net| net.saw(0, &Event::Connected(stream)));
    let data = pattern(100_000, 9);
    assert_eq!(net.act(0, |endpoint, now| endpoint.write(now, stream, &data)), Ok(data.len()));
    let (mut echoed, mut chunk) = (Vec::new(), vec![0; 10_000]);
    net.run_until(20 * SECOND, |net| {
        while let Ok(len) = net.act(0, |endpoint, now| endpoint.read(now, stream, &mut chunk)) {
            echoed.extend_from_slice(&chunk[..len]);
        }
        echoed.len() >= data.len()
    });
    assert_eq!(echoed, data);
}

//= spec/session.md#pp-ses-12
//= type=test
//# A SYN to a port nobody listens on is answered with RST, if its sender is admitted.
//= spec/addressing.md#pp-addr-8
//= type=test
//# Node 0 means unassigned and is never dialled.
//= spec/ports.md#pp-port-4
//= type=test
//# Port 0 cannot be dialled and cannot be listened on.
//= spec/strategy.md#pp-dial-4
//= type=test
//# A dial tells apart: unknown or untrusted, no registry, wrong identity, unreachable, no answer on the port, refused.
#[test]
fn dials_end_with_their_reason() {
    let mut net = Net::trusting(4, 3, Link::default());
    let refused = net.act(0, |endpoint, now| endpoint.dial(now, target(1, 5))).unwrap();
    net.run_until(SECOND, |net| net.saw(0, &Event::DialFailed(refused, DialError::Refused)));

    net.cut.push(net.hosts[2].address);
    let dead = net.act(0, |endpoint, now| endpoint.dial(now, target(2, 7))).unwrap();
    net.run_until(5 * SECOND, |net| net.saw(0, &Event::DialFailed(dead, DialError::Unreachable)));

    assert_eq!(net.act(0, |endpoint, now| endpoint.dial(now, target(1, 0))), Err(DialError::InvalidTarget));
    assert_eq!(net.act(0, |endpoint, now| endpoint.dial(now, target(0, 7))), Err(DialError::InvalidTarget));
}

//= spec/privacy.md#pp-priv-1
//= type=test
//# A node is private unless told otherwise.
//= spec/privacy.md#pp-priv-2
//= type=test
//# A SYN from a node that is neither trusted, expected nor in a common network gets no answer from a private node.
//= spec/privacy.md#pp-priv-3
//= type=test
//# A private node in no network answers no key exchange of a stranger.
#[test]
fn a_private_node_is_silent_to_strangers() {
    // Host 1 knows host 0 but does not trust it; host 0 trusts host 1.
    let mut net = Net::new(5, Link::default(), vec![(Config::default(), true), (Config::default(), false)]);
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let stream = net.act(0, |endpoint, now| endpoint.dial(now, target(1, 1000))).unwrap();
    net.run_until(5 * SECOND, |net| {
        net.saw(0, &Event::DialFailed(stream, DialError::Timeout))
            || net.saw(0, &Event::DialFailed(stream, DialError::Unreachable))
    });
    assert!(net.hosts[1].endpoint.accept(1000).is_none());
    let sent = net.act(0, |endpoint, now| endpoint.send_datagram(now, target(1, 2000), 0, b"hello"));
    assert!(sent.is_ok());
    net.run_for(SECOND);
    assert!(!net.hosts[1].events.iter().any(|event| matches!(event, Event::Datagram { .. })));
}

//= spec/datagrams.md#pp-dgram-5
//= type=test
//# A control packet to port 0 without ACK is a ping and is answered with ACK, the ports exchanged, the acknowledgment field one
//# beyond the sequence number and the payload as it came.
//= spec/datagrams.md#pp-dgram-8
//= type=test
//# Pings we send come from a port other than 0 and carry a nonce of 8 bytes.
#[test]
fn datagrams_and_pings_arrive() {
    let mut net = Net::trusting(6, 2, Link::default());
    let port = net.act(0, |endpoint, now| endpoint.send_datagram(now, target(1, 2000), 0, b"first")).unwrap();
    net.run_until(SECOND, |net| net.hosts[1].events.iter().any(|event| matches!(event, Event::Datagram { .. })));
    let expected = Event::Datagram { from: target(0, port), to_port: 2000, data: b"first".as_slice().into() };
    assert!(net.saw(1, &expected), "{:?}", net.hosts[1].events);

    let ping = net.act(1, |endpoint, now| endpoint.ping(now, node(0), SECOND));
    net.run_for(SECOND);
    let path = PathKind::Direct(net.hosts[0].address);
    let rtt = Duration::from_millis(10);
    assert!(
        net.saw(1, &Event::Completed(ping, Outcome::Pong { rtt, path })),
        "{:?} {:?} {:?}",
        net.hosts[1].events,
        net.hosts[0].endpoint.status().drops,
        net.hosts[1].endpoint.status().drops
    );
}

#[test]
fn withdrawn_trust_closes_streams_at_once() {
    let mut net = Net::trusting(7, 2, Link::default());
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let (dialled, accepted) = net.connect(0, 1, 1000);
    net.act(0, |endpoint, now| endpoint.set_trusted_by_host(now, node(1), false));
    net.run_until(SECOND, |net| net.saw(0, &Event::Closed(dialled, CloseReason::Revoked)));
    net.run_until(SECOND, |net| net.saw(1, &Event::Closed(accepted, CloseReason::Reset)));
    let mut byte = [0];
    let read = net.act(1, |endpoint, now| endpoint.read(now, accepted, &mut byte));
    assert_eq!(read, Err(ReadError::Closed(CloseReason::Reset)));
    let refused = net.act(0, |endpoint, now| endpoint.trust(now, TrustCommand::Revoke(node(1))));
    assert!(
        net.hosts[0]
            .events
            .iter()
            .any(|event| matches!(event, Event::Completed(id, Outcome::Failed(_)) if *id == refused))
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut net = Net::trusting(8, 2, lossy());
        net.log = Some(Vec::new());
        net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
        let (dialled, accepted) = net.connect(0, 1, 1000);
        net.transfer((0, dialled), (1, accepted), &pattern(200_000, 1), 60 * SECOND);
        net.log.unwrap()
    };
    let (first, second) = (run(), run());
    assert!(first.len() > 200);
    assert!(first == second);
}

#[test]
fn a_restarted_peer_is_reached_again_without_help() {
    let mut net = Net::trusting(9, 2, Link::default());
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let (first, _) = net.connect(0, 1, 1000);
    net.run_for(SECOND);
    net.restart(1, Config::default(), 99);
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    net.act(0, |endpoint, now| endpoint.write(now, first, b"into nothing")).unwrap();
    net.run_until(5 * SECOND, |net| net.saw(0, &Event::Closed(first, CloseReason::Reset)));
    let second = net.act(0, |endpoint, now| endpoint.dial(now, target(1, 1000))).unwrap();
    net.run_until(5 * SECOND, |net| net.saw(0, &Event::Connected(second)));
    assert_ne!(first, second);
}

/// The dial's SYN goes out under a key that nobody has any more; it does not wait for its timer once there is another.
#[test]
fn a_dial_to_a_restarted_peer_waits_for_no_timer() {
    let link = Link { delay: Duration::from_millis(100), ..Link::default() };
    let mut net = Net::trusting(9, 2, link);
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    net.connect(0, 1, 1000);
    net.run_for(10 * SECOND);
    net.restart(1, Config::default(), 99);
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let began = net.now;
    let stream = net.act(0, |endpoint, now| endpoint.dial(now, target(1, 1000))).unwrap();
    net.run_until(5 * SECOND, |net| net.saw(0, &Event::Connected(stream)));
    // SYN and PILA, PILA and the first frame under its key, SYN and SYN-ACK: three round trips.
    let took = net.now.saturating_since(began);
    assert!(took <= Duration::from_millis(650), "{took:?}");
}

#[test]
fn mutated_datagrams_change_nothing() {
    let mut net = Net::trusting(10, 2, Link::default());
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let (dialled, accepted) = net.connect(0, 1, 1000);
    net.log = Some(Vec::new());
    let data = pattern(100_000, 2);
    let (to, from) = (net.hosts[1].address, net.hosts[0].address);
    assert_eq!(net.act(0, |endpoint, now| endpoint.write(now, dialled, &data)), Ok(data.len()));
    net.run_for(SECOND);
    let recorded = net.log.take().unwrap();
    let mut rng = proto_core::rng::Rng::new([3; 32]);
    for round in 0..20_000 {
        let mut bytes = recorded[round % recorded.len()].bytes.clone();
        match rng.below(4) {
            0 => rng.fill(&mut bytes),
            1 => bytes.truncate(usize::try_from(rng.below(bytes.len() as u64)).unwrap()),
            2 => {}
            _ => {
                let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
                bytes[at] ^= 1 << rng.below(8);
            }
        }
        net.send(from, to, bytes);
        if round % 500 == 0 {
            net.run_for(Duration::from_millis(20));
        }
    }
    net.run_for(SECOND);
    let (mut received, mut chunk) = (Vec::new(), vec![0; 65_536]);
    while let Ok(len) = net.act(1, |endpoint, now| endpoint.read(now, accepted, &mut chunk)) {
        received.extend_from_slice(&chunk[..len]);
    }
    assert!(received == data, "{} of {} bytes", received.len(), data.len());
    let more = pattern(50_000, 3);
    assert!(net.transfer((0, dialled), (1, accepted), &more, 20 * SECOND) == more);
}

#[test]
fn one_stream_fills_a_gigabit_over_fifty_milliseconds() {
    let link = Link { delay: Duration::from_millis(25), ..Link::default() };
    let mut net = Net::trusting(11, 2, link);
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let (dialled, accepted) = net.connect(0, 1, 1000);
    let data = pattern(60_000_000, 4);
    // The first second is slow start and the growth of the receive buffer.
    let warmed_up = net.transfer_part((0, dialled), (1, accepted), &data, 60 * SECOND);
    let began = net.now;
    let rest = net.transfer((0, dialled), (1, accepted), &data, 60 * SECOND);
    assert!(warmed_up == data && rest == data);
    let bits = 8.0 * 60_000_000.0 / net.now.saturating_since(began).as_secs_f64();
    assert!(bits > 1e9, "{:.0} Mbit/s", bits / 1e6);
}
