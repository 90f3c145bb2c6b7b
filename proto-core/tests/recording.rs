//! A recorded endpoint, replayed: the same event log, byte for byte; and files that nobody recorded.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here is a failed test")]

use proto_core::crypto::{Identity, rust_crypto};
use proto_core::endpoint::{Logged, ReadError, RecordingError, TrustCommand, WriteError, replay};
use proto_core::rng::Rng;
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Endpoint, Event, Input, NodeId, Sink, SocketId, Timestamp, Transmit, TransmitBuf, drive};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const PORT: u16 = 1000;

struct Host {
    endpoint: Endpoint,
    at: SocketAddr,
    sent: Vec<Vec<u8>>,
    events: Vec<Event>,
    lines: Vec<String>,
    file: Vec<u8>,
}

struct Outside<'h> {
    now: Timestamp,
    buffer: Vec<u8>,
    sent: &'h mut Vec<Vec<u8>>,
    events: &'h mut Vec<Event>,
    lines: &'h mut Vec<String>,
}

impl Sink for Outside<'_> {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        Some(TransmitBuf { bytes: &mut self.buffer, max_segments: 8 })
    }

    fn transmit(&mut self, transmit: Transmit) {
        let bytes = &self.buffer[..transmit.len];
        self.lines.push(Logged::sent(self.now, &transmit, bytes).to_string());
        self.sent.extend(bytes.chunks(transmit.segment.unwrap_or(transmit.len)).map(<[u8]>::to_vec));
    }

    fn event(&mut self, event: Event) {
        self.lines.push(Logged::told(self.now, &event).to_string());
        self.events.push(event);
    }
}

impl Host {
    fn drain(&mut self, now: Timestamp) -> Option<Timestamp> {
        let Self { sent, events, lines, .. } = self;
        let mut outside = Outside { now, buffer: vec![0; 65_535], sent, events, lines };
        let deadline = drive(&mut self.endpoint, now, &mut outside);
        self.file.extend(self.endpoint.take_recording());
        deadline
    }
}

/// Two hosts that know and trust each other, the first of them recorded.
fn pair(limit: u64) -> [Host; 2] {
    let now = Timestamp::from_micros(5);
    let keys = [1, 2].map(|seed| Identity::from_seed([seed; 32]).public());
    let mut hosts = [(1, "10.0.0.1:4000"), (2, "10.0.0.2:4000")].map(|(number, at)| {
        let identity = Identity::from_seed([number; 32]);
        let config = Arc::new(Config { hostname: Some("recorded".to_owned()), ..Config::default() });
        let endpoint = if number == 1 {
            Endpoint::recorded(config, identity, rust_crypto(), [7; 32], now, limit)
        } else {
            Endpoint::new(config, identity, rust_crypto(), [8; 32], now)
        };
        let at = at.parse().unwrap();
        Host { endpoint, at, sent: Vec::new(), events: Vec::new(), lines: Vec::new(), file: Vec::new() }
    });
    for own in [0, 1] {
        let (other, there) = (1 - own, hosts[1 - own].at);
        let snapshot = hosts[own].endpoint.trust_snapshot();
        hosts[own].endpoint.restore_trust(snapshot);
        hosts[own].endpoint.set_node(now, NodeId(own as u32 + 1));
        hosts[own].endpoint.add_static_peer(now, NodeId(other as u32 + 1), keys[other], Some(there), true);
    }
    hosts
}

/// Every command once and a transfer both ways on a network that loses a tenth: 20 s of it.
fn run(limit: u64) -> [Host; 2] {
    let mut hosts = pair(limit);
    let mut now = Timestamp::from_micros(10);
    let mut rng = Rng::new([9; 32]);
    let peer = |port| SocketAddress::new(Address::backbone(NodeId(2)), port);
    hosts[1].endpoint.listen(PORT).unwrap();
    let recorded = &mut hosts[0].endpoint;
    recorded.listen(PORT).unwrap();
    recorded.handle_input(now, Input::WallClock(1_790_000_000));
    recorded.handle_input(now, Input::LocalAddresses(&["10.0.0.1:4000".parse().unwrap()]));
    let stream = recorded.dial(now, peer(PORT)).unwrap();
    recorded.set_no_delay(stream, true);
    recorded.ping(now, NodeId(2), Duration::from_secs(1));
    recorded.send_datagram(now, peer(9), 0, b"a datagram").unwrap();
    recorded.registry_request(now, proto_core::registry::Request::Lookup(NodeId(2)));
    recorded.trust(now, TrustCommand::Approve(NodeId(77)));
    let data = vec![3; 300_000];
    let (mut written, mut echoed) = (0, 0);
    while now < Timestamp::from_micros(20_000_000) {
        let deadlines = hosts.each_mut().map(|host| host.drain(now));
        let quiet = hosts.iter().all(|host| host.sent.is_empty());
        let next = deadlines.into_iter().flatten().min().filter(|_| quiet);
        now = next.unwrap_or(now).max(now + Duration::from_micros(3_000));
        for own in [0, 1] {
            let from = hosts[own].at;
            for mut data in std::mem::take(&mut hosts[own].sent) {
                if rng.below(10) > 0 {
                    let input =
                        Input::Datagram { via: SocketId(0), from, to: Some(from.ip()), ecn: None, data: &mut data };
                    hosts[1 - own].endpoint.handle_input(now, input);
                }
            }
        }
        let recorded = &mut hosts[0].endpoint;
        match recorded.write(now, stream, &data[written..data.len().min(written + 5_000)]) {
            Ok(taken) => written += taken,
            Err(WriteError::Blocked) => {}
            Err(error) => assert!(now.as_micros() > 1_000_000, "{error:?}"),
        }
        let mut chunk = [0; 10_000];
        if let Ok(len) = recorded.read(now, stream, &mut chunk) {
            echoed += len;
        }
        let echo = &mut hosts[1].endpoint;
        if let Some((id, _)) = echo.accept(PORT) {
            echo.write(now, id, &data[..50_000]).unwrap();
        }
        for id in echo.streams().iter().map(|stream| stream.id).collect::<Vec<_>>() {
            while !matches!(echo.read(now, id, &mut chunk), Ok(0) | Err(ReadError::Blocked | ReadError::Closed(_))) {}
        }
        hosts.iter_mut().for_each(|host| host.endpoint.handle_timeout(now));
    }
    assert_eq!((written, echoed), (300_000, 50_000));
    let recorded = &mut hosts[0].endpoint;
    recorded.handle_input(now, Input::NetworkChanged);
    recorded.finish(now, stream).unwrap();
    recorded.set_trusted_by_host(now, NodeId(2), false);
    recorded.reset(now, stream);
    recorded.unlisten(now, PORT);
    hosts[0].drain(now);
    hosts
}

fn log_of(file: &[u8]) -> (Vec<String>, Result<proto_core::endpoint::Replayed, RecordingError>) {
    let mut lines = Vec::new();
    let result = replay(file, rust_crypto(), &mut |line| lines.push(line.to_string()));
    (lines, result)
}

#[test]
fn a_replay_tells_and_sends_what_the_recorded_run_did() {
    let [host, _] = run(u64::MAX);
    let (lines, result) = log_of(&host.file);
    let replayed = result.unwrap();
    assert!(lines == host.lines, "{} lines, recorded {}", lines.len(), host.lines.len());
    assert_eq!(replayed.events + replayed.transmits, lines.len() as u64);
    assert!(replayed.checkpoints > 100 && !replayed.truncated, "{replayed:?}");
    assert!(lines.iter().any(|line| line.contains("Connected(")) && lines.iter().any(|line| line.contains("Pong")));
}

#[test]
fn a_recording_ends_at_its_limit_and_the_endpoint_goes_on() {
    let whole = run(u64::MAX);
    let [host, _] = run(100_000);
    assert!(host.lines == whole[0].lines, "being recorded changed the run");
    assert!((90_000..100_100).contains(&host.file.len()), "{}", host.file.len());
    let (lines, result) = log_of(&host.file);
    assert!(result.unwrap().truncated);
    assert!(lines.len() > 20 && lines[..] == host.lines[..lines.len()]);
}

#[test]
fn a_file_cut_by_a_crash_replays_up_to_the_cut() {
    let [host, _] = run(50_000);
    for cut in [2_000, 20_001, 40_002] {
        let (lines, result) = log_of(&host.file[..cut]);
        assert!(result.is_ok_and(|replayed| replayed.cut), "{result:?}");
        assert!(lines[..] == host.lines[..lines.len()]);
    }
}

#[test]
fn a_run_that_differs_is_told() {
    let [host, _] = run(50_000);
    // A byte of the seed: everything random is another.
    let mut file = host.file;
    file[9 + 32] ^= 1;
    assert!(matches!(log_of(&file).1, Err(RecordingError::Diverged(_))));
}

#[test]
fn damaged_files_are_refused_or_diverge_and_never_panic() {
    assert_eq!(log_of(b"").1, Err(RecordingError::NotARecording));
    assert_eq!(log_of(b"PILOTREC\x07").1, Err(RecordingError::Version(7)));
    let [host, _] = run(9_000);
    let mut rng = Rng::new([5; 32]);
    for _ in 0..300 {
        let mut file = host.file.clone();
        for _ in 0..=rng.below(3) {
            let place = usize::try_from(rng.below(file.len() as u64)).unwrap();
            file[place] = rng.bytes::<1>()[0];
        }
        let _ = log_of(&file);
    }
    for len in 0..600 {
        let _ = log_of(&host.file[..len]);
    }
}
