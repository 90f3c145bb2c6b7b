//! One endpoint with the null provider: everything behind the seals is in the fuzzer's hands, and so is the host.

use super::{Outside, drain};
use crate::null_crypto::null_crypto;
use crate::script::Script;
use bytes::Bytes;
use core::time::Duration;
use proto_core::crypto::{Identity, PublicKey};
use proto_core::endpoint::{Insecure, RecordingError, TrustCommand, replay};
use proto_core::registry::codec::encode;
use proto_core::wire::frame::{AuthenticatedKeyExchange, KeyExchange, PILS_OVERHEAD, SECURE_HEADER_LEN, TAG_LEN};
use proto_core::wire::options::{Capabilities, Options};
use proto_core::wire::{
    Address, BeaconMessage, Flags, Frame, HEADER_LEN, Header, Protocol, SecureHeader, SocketAddress,
};
use proto_core::{Config, Endpoint, Event, Input, NodeId, SocketId, StreamId, Timestamp};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

const OWN: NodeId = NodeId(1);
const MOST_STEPS: usize = 400;
const MOST_RECORDED: u64 = 1 << 20;
/// A listener that everybody may reach once trusted.
const PORT: u16 = 1000;

fn place(octet: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, octet & 7], 4000))
}

fn key(node: NodeId) -> PublicKey {
    PublicKey([node.0 as u8; 32])
}

struct Run<'a> {
    endpoint: Endpoint,
    now: Timestamp,
    script: Script<'a>,
    buffer: Vec<u8>,
    /// Frames sealed so far by each of eight senders; counters of fresh ones follow.
    counters: [u64; 8],
    streams: Vec<StreamId>,
    /// What the endpoint sent last, to be answered.
    last: Header,
}

/// No panic, no endless loop, no due timer that stays; and what was recorded of the run is the run.
pub fn endpoint_raw(data: &[u8]) {
    // Twice the time for a property that nearly every input shows: one input in eight is enough.
    if data.first().is_some_and(|byte| byte & 7 != 0) {
        Run::new(data, 0).play();
        return;
    }
    let (outputs, recording) = Run::new(data, MOST_RECORDED).play();
    let (mut told, mut sent) = (0, 0);
    let replayed = replay(&recording, null_crypto(), &mut |line| {
        told += usize::from(line.is_event());
        sent += usize::from(!line.is_event());
    });
    let replayed = replayed.expect("a recording is replayed");
    if !replayed.truncated {
        assert_eq!(told, outputs.iter().map(|outside| outside.told.len()).sum::<usize>());
        assert!(sent <= outputs.iter().map(|outside| outside.sent.len()).sum::<usize>());
    }
}

/// Any bytes as a recording: it is read or refused, and an endpoint does what it says.
pub fn recording(data: &[u8]) {
    let _ = replay(data, null_crypto(), &mut |_| {});
    let begun = [RECORDED_NOTHING.as_slice(), data].concat();
    assert_ne!(replay(&begun, null_crypto(), &mut |_| {}), Err(RecordingError::NotARecording));
}

/// A recording of the run that `data` makes.
pub(crate) fn recorded(data: &[u8]) -> Vec<u8> {
    Run::new(data, MOST_RECORDED).play().1
}

/// How a recording begins.
static RECORDED_NOTHING: LazyLock<Vec<u8>> = LazyLock::new(|| Run::new(&[], MOST_RECORDED).endpoint.take_recording());

impl<'a> Run<'a> {
    /// At most `limit` bytes of it are recorded.
    fn new(data: &'a [u8], limit: u64) -> Self {
        let mut script = Script::new(data);
        let switches = script.u8();
        let now = Timestamp::from_micros(1_000_000);
        let config = Config {
            beacons: vec![place(6), place(7)],
            registry: switches & 0x10 != 0,
            public: switches & 0x20 != 0,
            insecure: Insecure { anonymous_exchange: switches & 0x40 != 0, plaintext: switches & 0x80 != 0 },
            trust_auto_approve: switches & 8 != 0,
            ..Config::default()
        };
        let identity = Identity::with_provider([1; 32], null_crypto());
        let mut endpoint = match limit {
            0 => Endpoint::new(Arc::new(config), identity, null_crypto(), [9; 32], now),
            limit => Endpoint::recorded(Arc::new(config), identity, null_crypto(), [9; 32], now, limit),
        };
        endpoint.set_node(now, OWN);
        for node in [NodeId(2), NodeId(3)] {
            endpoint.add_static_peer(now, node, key(node), Some(place(node.0 as u8)), node == NodeId(2));
        }
        let _ = endpoint.listen(PORT);
        let last = header(&mut Script::new(&[]), NodeId(2));
        Self { endpoint, now, script, buffer: Vec::new(), counters: [0; 8], streams: Vec::new(), last }
    }

    fn play(mut self) -> (Vec<Outside>, Vec<u8>) {
        let (mut outputs, mut recording) = (Vec::new(), Vec::new());
        for _ in 0..MOST_STEPS {
            if self.script.is_over() {
                break;
            }
            self.step();
            outputs.push(self.drain());
            recording.extend(self.endpoint.take_recording());
        }
        self.pass(Duration::from_secs(200));
        outputs.push(self.drain());
        recording.extend(self.endpoint.take_recording());
        (outputs, recording)
    }

    fn step(&mut self) {
        match self.script.u8() {
            0..=0x1F => self.datagram_of_bytes(),
            0x20..=0x8F => self.sealed(),
            0x90..=0x9F => self.exchange(),
            0xA0..=0xAF => self.beacon(),
            0xB0..=0xBF => self.registry(),
            0xC0..=0xDF => self.command(),
            0xE0..=0xFB => {
                let span = Duration::from_millis(1 << (self.script.u8() & 17));
                self.pass(span);
            }
            _ => self.host(),
        }
    }

    fn input(&mut self, from: SocketAddr, mut data: Vec<u8>) {
        let input = Input::Datagram { via: SocketId(0), from, to: None, ecn: None, data: &mut data };
        self.endpoint.handle_input(self.now, input);
    }

    fn datagram_of_bytes(&mut self) {
        let from = place(self.script.u8());
        let bytes = self.script.chunk().to_vec();
        self.input(from, bytes);
    }

    /// A packet under a seal, directly or through the relay, of whoever the script says.
    fn sealed(&mut self) {
        let choice = self.script.u8();
        let sender = NodeId(u32::from(choice & 7));
        let header = if choice & 8 == 0 { self.answer(sender) } else { header(&mut self.script, sender) };
        let payload = payload(&mut self.script);
        let mut frame = vec![0; PILS_OVERHEAD + HEADER_LEN + payload.len()];
        let end = frame.len() - TAG_LEN;
        if header.emit(&payload, &mut frame[SECURE_HEADER_LEN..end]).is_err() {
            return;
        }
        let counter = &mut self.counters[usize::from(choice & 7)];
        *counter += u64::from(choice & 0x30 != 0x30);
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        frame[..SECURE_HEADER_LEN].copy_from_slice(&SecureHeader { sender, nonce }.to_bytes());
        if choice & 0x40 == 0 {
            return self.input(place(choice), frame);
        }
        let wrapped = BeaconMessage::RelayDeliver { sender, frame: &frame }.to_vec().unwrap_or_default();
        self.input(place(6), wrapped);
    }

    /// The header of something that answers what the endpoint sent last, give or take.
    fn answer(&mut self, sender: NodeId) -> Header {
        let (flags, near) = (self.script.u8(), self.script.array::<2>());
        let last = self.last;
        Header {
            flags: Flags::from_bits_truncate(flags),
            protocol: last.protocol,
            src: Address::backbone(sender),
            dst: last.src,
            src_port: last.dst_port,
            dst_port: last.src_port,
            seq: last.ack + u32::from(near[0]),
            ack: last.seq + u32::from(near[1]),
            window: u16::from(flags) << 4,
        }
    }

    fn exchange(&mut self) {
        let choice = self.script.u8();
        let sender = NodeId(u32::from(choice & 7));
        let public = [self.script.u8(); 32];
        let frame = if choice & 0x80 == 0 {
            let identity_public = *key(sender).as_bytes();
            let signature = [choice & 0x40; 64];
            Frame::AuthenticatedKeyExchange(AuthenticatedKeyExchange {
                sender,
                exchange_public: public,
                identity_public,
                signature,
            })
        } else {
            Frame::KeyExchange(KeyExchange { sender, public })
        };
        let mut bytes = vec![0; frame.encoded_len()];
        if frame.emit(&mut bytes).is_ok() {
            self.input(place(choice >> 3), bytes);
        }
    }

    fn beacon(&mut self) {
        let choice = self.script.u8();
        let told = place(self.script.u8());
        let message = match choice & 3 {
            0 => BeaconMessage::DiscoverReply(told),
            1 => BeaconMessage::PunchCommand(told),
            2 => BeaconMessage::Notify { kind: 1 },
            _ => BeaconMessage::RelayDeliver { sender: NodeId(u32::from(choice >> 5)), frame: self.script.chunk() },
        };
        let bytes = message.to_vec().unwrap_or_default();
        self.input(place(6 + (choice >> 2 & 1)), bytes);
    }

    fn registry(&mut self) {
        match self.script.u8() {
            0..=0x2F => self.endpoint.handle_input(self.now, Input::RegistryConnected),
            0x30..=0x37 => self.endpoint.handle_input(self.now, Input::RegistryClosed),
            0x38..=0x5F => {
                let bytes = self.script.chunk();
                self.endpoint.handle_input(self.now, Input::RegistryData(bytes));
            }
            choice => {
                let reply = crate::registry::reply(choice, &mut self.script);
                self.endpoint.handle_input(self.now, Input::RegistryData(&encode(&reply)));
            }
        }
    }

    fn host(&mut self) {
        match self.script.u8() & 3 {
            0 => {
                let seconds = u64::from(self.script.u32());
                self.endpoint.handle_input(self.now, Input::WallClock(seconds));
            }
            1 => {
                let own = [place(self.script.u8()), SocketAddr::from(([10, 0, 0, 1], 4000))];
                self.endpoint.handle_input(self.now, Input::LocalAddresses(&own));
            }
            2 => self.endpoint.handle_input(self.now, Input::NetworkChanged),
            _ => {
                let snapshot = self.endpoint.trust_snapshot();
                self.endpoint.restore_trust(snapshot);
            }
        }
    }

    fn command(&mut self) {
        let (choice, node) = (self.script.u8(), NodeId(u32::from(self.script.u8() & 7)));
        let now = self.now;
        let picked = self.streams.get(usize::from(choice >> 4) % self.streams.len().max(1)).copied();
        let id = picked.unwrap_or(StreamId(u64::from(choice)));
        match choice & 0x0F {
            0 | 1 => {
                let dialled = self.endpoint.dial(now, SocketAddress::new(Address::backbone(node), PORT));
                self.streams.extend(dialled.ok());
            }
            2 => self.streams.extend(self.endpoint.accept(PORT).map(|(id, _)| id)),
            3..=5 => drop(self.endpoint.write(now, id, &vec![7; usize::from(self.script.u16() & 0x3FFF)])),
            6 => drop(self.endpoint.write_chunk(now, id, &mut Bytes::from_static(&[8; 3000]))),
            7 | 8 => drop(self.endpoint.read(now, id, &mut [0; 5000])),
            9 => drop(self.endpoint.finish(now, id)),
            10 => self.endpoint.reset(now, id),
            11 => {
                let to = SocketAddress::new(Address::backbone(node), PORT);
                let data = self.script.chunk();
                let _ = self.endpoint.send_datagram(now, to, 0, data);
            }
            12 => drop(self.endpoint.ping(now, node, Duration::from_secs(2))),
            13 => self.trust(choice >> 4, node),
            14 => {
                let request = crate::registry::request(choice >> 4, node);
                self.endpoint.registry_request(now, request);
            }
            _ if choice & 0x10 == 0 => self.endpoint.unlisten(now, PORT),
            _ => drop(self.endpoint.listen(PORT)),
        }
    }

    fn trust(&mut self, choice: u8, node: NodeId) {
        let command = match choice & 3 {
            0 => TrustCommand::Request { node, justification: "let me in".to_owned() },
            1 => TrustCommand::Approve(node),
            2 => TrustCommand::Reject { node, reason: "no".to_owned() },
            _ => TrustCommand::Revoke(node),
        };
        self.endpoint.trust(self.now, command);
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        self.endpoint.handle_timeout(self.now);
    }

    fn drain(&mut self) -> Outside {
        let (mut outside, deadline) = drain(&mut self.endpoint, self.now, &mut self.buffer);
        for (_, bytes) in &outside.sent {
            self.last = sent_header(bytes).unwrap_or(self.last);
        }
        let accepted = outside.told.iter().filter(|event| matches!(event, Event::Incoming(_))).count();
        assert!(accepted <= 64, "endless events");
        self.serve(deadline, &mut outside);
        outside
    }
}

impl Run<'_> {
    /// What is due is done or moved: the deadlines that are reached go on until none is.
    fn serve(&mut self, mut deadline: Option<Timestamp>, outside: &mut Outside) {
        let mut rounds = 0;
        while deadline.is_some_and(|at| at <= self.now) {
            rounds += 1;
            assert!(rounds < 64, "a due timer stays: {:?}", self.endpoint.poll_timeout());
            self.endpoint.handle_timeout(self.now);
            let (more, next) = drain(&mut self.endpoint, self.now, &mut self.buffer);
            outside.sent.extend(more.sent);
            outside.told.extend(more.told);
            deadline = next;
        }
    }
}

fn sent_header(datagram: &[u8]) -> Option<Header> {
    let frame = match BeaconMessage::parse(datagram) {
        Ok(BeaconMessage::Relay { frame, .. }) => frame,
        _ => datagram,
    };
    match Frame::parse(frame).ok()? {
        Frame::Secure(secure) => Some(Header::parse(secure.sealed).ok()?.0),
        Frame::Plaintext(packet) => Some(Header::parse(packet).ok()?.0),
        Frame::KeyExchange(_) | Frame::AuthenticatedKeyExchange(_) | Frame::Punch { .. } => None,
    }
}

fn header(script: &mut Script<'_>, sender: NodeId) -> Header {
    let kind = script.u8();
    Header {
        flags: Flags::from_bits_truncate(kind),
        protocol: Protocol::from(kind >> 4 & 3),
        src: Address::backbone(sender),
        dst: Address::backbone(OWN),
        src_port: u16::from(script.u8()),
        dst_port: [0, 1, 7, 443, 444, 1001, PORT, 50_000][usize::from(kind >> 6) + usize::from(script.u8() & 4)],
        seq: proto_core::seq::SeqNumber(script.u32()),
        ack: proto_core::seq::SeqNumber(script.u32()),
        window: script.u16(),
    }
}

/// Bytes of the script, an options block, or something long.
fn payload(script: &mut Script<'_>) -> Vec<u8> {
    match script.u8() & 7 {
        0 => Vec::new(),
        1 => vec![5; usize::from(script.u16() & 0x0FFF)],
        2 => {
            let options = Options {
                capabilities: Capabilities(u32::from(script.u8())),
                max_segment: script.u16(),
                window_shift: script.u8() & 15,
            };
            options.to_bytes().to_vec()
        }
        _ => script.chunk().to_vec(),
    }
}
