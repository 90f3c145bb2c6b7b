//! What an endpoint makes of each packet of a peer, and what its own packets look like on the other side.

mod raw;

use core::time::Duration;
use proto_core::endpoint::{DatagramError, Outcome, StreamConfig};
use proto_core::seq::SeqNumber;
use proto_core::wire::options::{OPTIONS_PORT, Options};
use proto_core::wire::{Address, Capabilities, Flags, HEADER_LEN, Header, Protocol, SocketAddress};
use proto_core::{Config, Event, NetworkId, NodeId};
use raw::{OURS, World, packet, stream, target};

const SECOND: Duration = Duration::from_secs(1);

fn world() -> World {
    World::met(Config::default())
}

fn datagrams(world: &World) -> usize {
    world.events.iter().filter(|event| matches!(event, Event::Datagram { .. })).count()
}

//= spec/datagrams.md#pp-dgram-1
//= type=test
//# A datagram has flags, sequence, acknowledgment and window 0 and is not acknowledged.
#[test]
fn a_datagram_is_bare_and_not_acknowledged() {
    let mut world = world();
    let from = world.act(|ours, now| ours.send_datagram(now, target(0, 2000), 0, b"hello"));
    let got = world.take(0);
    let (header, payload) = &got[0];
    assert_eq!((got.len(), header.protocol, &payload[..]), (1, Protocol::Datagram, &b"hello"[..]));
    assert_eq!((header.flags, header.seq.0, header.ack.0, header.window), (Flags::NONE, 0, 0, 0));
    assert_eq!((Ok(header.src_port), header.dst_port), (from, 2000));
    world.send(0, packet(Protocol::Datagram, Flags::NONE, (2000, 3000)), b"and back");
    world.pass(SECOND);
    assert_eq!((datagrams(&world), world.take(0).len()), (1, 0));
}

//= spec/datagrams.md#pp-dgram-2
//= type=test
//# An empty datagram of protocol 2 is not sent, and dropped when received.
#[test]
fn an_empty_datagram_neither_leaves_nor_arrives() {
    let mut world = world();
    assert_eq!(world.act(|ours, now| ours.send_datagram(now, target(0, 2000), 0, b"")), Err(DatagramError::Empty));
    world.send(0, packet(Protocol::Datagram, Flags::NONE, (2000, 3000)), b"");
    assert_eq!((datagrams(&world), world.take(0).len()), (0, 0));
}

//= spec/datagrams.md#pp-dgram-3
//= type=test
//# A datagram that does not fit one segment of the path is refused to its sender.
#[test]
fn a_datagram_is_as_long_as_a_segment_at_most() {
    let mut world = world();
    let mut send = |len| world.act(|ours, now| ours.send_datagram(now, target(0, 2000), 0, &vec![1; len]));
    assert_eq!(send(1153), Err(DatagramError::TooLarge(1152)));
    assert!(send(1152).is_ok());
    assert_eq!(world.take(0).len(), 1);
}

//= spec/datagrams.md#pp-dgram-4
//= type=test
//# A datagram from a node that is not admitted is dropped.
#[test]
fn a_datagram_of_a_stranger_is_dropped() {
    for trusted in [false, true] {
        let mut world = World::new(Config::default(), &[trusted]);
        world.meet(0);
        world.send(0, packet(Protocol::Datagram, Flags::NONE, (2000, 3000)), b"hello");
        assert_eq!(datagrams(&world), usize::from(trusted));
    }
}

//= spec/datagrams.md#pp-dgram-6
//= type=test
//# A control packet with ACK is never answered.
//= spec/datagrams.md#pp-dgram-7
//= type=test
//# An empty control packet from port 0 to port 0 is swallowed.
//= spec/datagrams.md#pp-dgram-11
//= type=test
//# The hello to port 1 is not answered.
#[test]
fn of_control_packets_only_pings_are_answered() {
    let mut world = world();
    let hello =
        Options { capabilities: Capabilities::RELAY_FIRST, max_segment: 1152, window_shift: 0 }.to_bytes().to_vec();
    for (flags, ports, payload, answers) in [
        (Flags::NONE, (5000, 0), b"a ping".to_vec(), 1),
        (Flags::ACK, (5000, 0), b"a pong".to_vec(), 0),
        (Flags::ACK, (0, 0), Vec::new(), 0),
        (Flags::NONE, (0, 0), Vec::new(), 0),
        (Flags::NONE, (5000, OPTIONS_PORT), hello, 0),
        (Flags::NONE, (5000, 0), Vec::new(), 1),
    ] {
        world.send(0, packet(Protocol::Control, flags, ports), &payload);
        world.pass(SECOND);
        assert_eq!(world.take(0).len(), answers, "{flags:?} {ports:?}");
    }
}

//= spec/datagrams.md#pp-dgram-9
//= type=test
//# At most 20 pings a second and peer are answered.
#[test]
fn twenty_pings_a_second_are_answered() {
    let mut world = world();
    let mut answered = |wait| {
        world.pass(wait);
        for number in 0..60_u8 {
            world.send(0, packet(Protocol::Control, Flags::NONE, (5000, 0)), &[number]);
        }
        world.take(0).len()
    };
    assert_eq!(answered(SECOND * 2), 20);
    assert_eq!(answered(SECOND), 20);
}

//= spec/datagrams.md#pp-dgram-10
//= type=test
//# A pong counts only when its nonce is that of a ping whose answer is awaited, and once.
#[test]
fn only_the_awaited_pong_counts_and_once() {
    let mut world = world();
    world.peers[0].answers_pings = false;
    let id = world.act(|ours, now| ours.ping(now, NodeId(1), SECOND * 2));
    let pongs = |world: &World| {
        let pong = |event: &&Event| matches!(event, Event::Completed(told, Outcome::Pong { .. }) if *told == id);
        world.events.iter().filter(pong).count()
    };
    let (ping, nonce) = world.take(0).pop().unwrap();
    let header = packet(Protocol::Control, Flags::ACK, (0, ping.src_port));
    let mut other = nonce.clone();
    other[7] ^= 1;
    world.send(0, header, &other);
    assert_eq!(pongs(&world), 0);
    for _ in 0..2 {
        world.send(0, header, &nonce);
        assert_eq!(pongs(&world), 1);
    }
}

//= spec/packet.md#pp-pkt-10
//= type=test
//# A packet of an unknown protocol is ignored.
#[test]
fn an_unknown_protocol_is_ignored() {
    let mut world = world();
    world.ours.listen(1000).unwrap();
    for number in [0, 4, 9, 15, 255] {
        let header = Header { protocol: Protocol::Other(number), ..stream(Flags::SYN, (5000, 1000), 0, 0) };
        world.send(0, header, b"what is it?");
    }
    world.pass(SECOND);
    assert!(world.take(0).is_empty() && world.events.is_empty() && world.ours.streams().is_empty());
    assert!(world.dial_in(0, 5000, 1000).is_some(), "and nothing is broken");
}

// ---- Streams ----

fn read(world: &mut World, id: proto_core::StreamId) -> Vec<u8> {
    let mut out = vec![0; 100_000];
    let len = world.act(|ours, now| ours.read(now, id, &mut out)).unwrap_or(0);
    out.truncate(len);
    out
}

//= spec/session.md#pp-ses-1
//= type=test
//# A connection is found by the local port, the full remote address and the remote port.
#[test]
fn a_stream_is_found_by_both_ports_and_the_whole_remote_address() {
    let mut world = World::new(Config::default(), &[true, true]);
    world.meet(0);
    world.meet(1);
    world.ours.listen(1000).unwrap();
    world.ours.listen(1001).unwrap();
    let in_network = |network, header: Header| {
        let address = |node| Address { network: NetworkId(network), node: NodeId(node) };
        Header { src: address(0), dst: address(OURS.0), ..header }
    };
    let tuples =
        [(0, 0, (5000, 1000)), (0, 0, (5001, 1000)), (0, 0, (5000, 1001)), (1, 0, (5000, 1000)), (0, 3, (5000, 1000))];
    for (number, (peer, network, ports)) in (0..).zip(tuples) {
        world.send(peer, in_network(network, stream(Flags::SYN, ports, 100 * number, 0)), b"");
        let (answer, _) = world.take(peer).pop().unwrap();
        assert_eq!(answer.ack.0, 100 * number + 1, "a stream of its own");
        let ack = stream(Flags::ACK, ports, 100 * number + 1, answer.seq.0 + 1);
        world.send(peer, in_network(network, ack), &[u8::try_from(number).unwrap()]);
    }
    let mut told: Vec<(u16, SocketAddress, Vec<u8>)> = Vec::new();
    for port in [1000, 1001] {
        while let Some((id, remote)) = world.ours.accept(port) {
            let data = read(&mut world, id);
            told.push((port, remote, data));
        }
    }
    told.sort();
    let mut expected: Vec<_> = (0_u8..)
        .zip(tuples)
        .map(|(number, (peer, network, (from, to)))| {
            let node = world.peers[peer].node;
            (to, SocketAddress::new(Address { network: NetworkId(network), node }, from), vec![number])
        })
        .collect();
    expected.sort();
    assert_eq!(told, expected);
}

//= spec/session.md#pp-ses-4
//= type=test
//# The initial sequence number is random and below 2^31.
#[test]
fn initial_sequence_numbers_are_random_and_below_2_to_the_31() {
    let mut world = world();
    world.ours.listen(1000).unwrap();
    let mut numbers = Vec::new();
    for port in 0..64 {
        world.act(|ours, now| ours.dial(now, target(0, 2000 + port))).unwrap();
        numbers.push(world.take(0).pop().unwrap().0.seq.0);
        numbers.push(world.dial_in(0, 5000 + port, 1000).unwrap());
    }
    assert!(numbers.iter().all(|number| *number < 1 << 31));
    numbers.sort_unstable();
    let quarters: Vec<u32> = numbers.iter().map(|number| number >> 29).collect();
    assert!(quarters.contains(&0) && quarters.contains(&3), "the whole range");
    numbers.dedup();
    assert_eq!(numbers.len(), 128);
}

//= spec/session.md#pp-ses-25
//= type=test
//# Packets other than SYN for an unknown connection of a published implementation get no answer.
#[test]
fn what_belongs_to_no_stream_gets_no_answer_but_a_syn() {
    let mut world = world();
    for flags in [Flags::ACK, Flags::FIN, Flags::RST, Flags::SYN | Flags::ACK, Flags::NONE, Flags::FIN | Flags::ACK] {
        for payload in [&b""[..], b"data"] {
            world.send(0, stream(flags, (5000, 1000), 7, 9), payload);
            world.pass(SECOND);
            assert!(world.take(0).is_empty(), "{flags:?}");
        }
    }
    world.send(0, stream(Flags::SYN, (5000, 1000), 7, 9), b"");
    assert_eq!(world.take_flags(0), [Flags::RST]);
}

//= spec/session.md#pp-ses-28
//= type=test
//# As responder the source address is the destination of the SYN.
#[test]
fn an_answer_comes_from_where_the_syn_went() {
    let mut world = world();
    world.ours.listen(1000).unwrap();
    for network in [0, 5, 65_534] {
        let dst = Address { network: NetworkId(network), node: OURS };
        world.send(0, Header { dst, ..stream(Flags::SYN, (5000 + network % 100, 1000), 0, 0) }, b"");
        assert_eq!(world.take(0).pop().unwrap().0.src, dst);
    }
}

//= spec/session.md#pp-ses-29
//= type=test
//# A SYN-ACK from the backbone address of a peer dialled in another network is taken.
#[test]
fn a_syn_ack_from_the_backbone_address_is_taken() {
    for (network, taken) in [(7, true), (0, true), (8, false)] {
        let mut world = world();
        let remote = Address { network: NetworkId(7), node: NodeId(1) };
        let id = world.act(|ours, now| ours.dial(now, SocketAddress::new(remote, 2000))).unwrap();
        let (syn, _) = world.take(0).pop().unwrap();
        assert_eq!(syn.dst, remote);
        let answer = stream(Flags::SYN | Flags::ACK, (2000, syn.src_port), 0, syn.seq.0 + 1);
        let src = Address { network: NetworkId(network), node: NodeId(0) };
        world.send(0, Header { src, ..answer }, b"");
        assert_eq!(world.saw(&Event::Connected(id)), taken, "network {network}");
        if taken {
            world.act(|ours, now| ours.write(now, id, b"there you are")).unwrap();
            world.pass(SECOND);
            assert!(world.take(0).iter().all(|(header, _)| header.dst.network == NetworkId(network)));
        }
    }
}

//= spec/versioning.md#pp-ver-4
//= type=test
//# A SYN of another version gets no answer.
#[test]
fn a_syn_of_another_version_gets_no_answer() {
    let mut world = world();
    world.ours.listen(1000).unwrap();
    let header = stream(Flags::SYN, (5000, 1000), 0, 0);
    let header = Header { src: Address::backbone(NodeId(1)), ..header };
    let mut bytes = vec![0; HEADER_LEN];
    header.emit(b"", &mut bytes).unwrap();
    bytes[0] = bytes[0] & 0x0f | 0x20;
    bytes[30..34].fill(0);
    let checksum = crc32(&bytes);
    bytes[30..34].copy_from_slice(&checksum.to_be_bytes());
    let frame = world.sealed_bytes(0, &bytes);
    world.datagram(world.peers[0].address, frame);
    world.pass(SECOND);
    assert!(world.take(0).is_empty() && world.ours.streams().is_empty());
    world.send(0, header, b"");
    assert_eq!(world.take_flags(0), [Flags::SYN | Flags::ACK], "the same as version 1");
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

// ---- Sizes ----

//= spec/segmentation.md#pp-seg-2
//= type=test
//# A data segment to any peer on a path of unknown size carries at most 1152 bytes by default.
//= spec/path-mtu.md#pp-mtu-1
//= type=test
//# A sealed packet has 70 bytes around its payload: 34 of header and 36 of frame.
#[test]
fn segments_carry_1152_bytes_and_70_are_around_them() {
    let mut world = world();
    world.ours.listen(1000).unwrap();
    world.dial_in(0, 5000, 1000).unwrap();
    let (id, _) = world.ours.accept(1000).unwrap();
    world.log.clear();
    world.act(|ours, now| ours.write(now, id, &vec![1; 5 * 1152])).unwrap();
    let payloads: Vec<usize> = world.take(0).iter().map(|(_, payload)| payload.len()).collect();
    let datagrams: Vec<usize> = world.log.iter().map(|sent| sent.bytes.len()).collect();
    assert_eq!((payloads, datagrams), (vec![1152; 5], vec![1152 + 34 + 36; 5]));
}

//= spec/segmentation.md#pp-seg-3
//= type=test
//# Payloads of any size up to 65535 bytes are received.
//= spec/path-mtu.md#pp-mtu-3
//= type=test
//# A received datagram may have any size up to 65535 bytes.
#[test]
fn packets_of_every_size_are_received() {
    let mut world = world();
    world.ours.listen(1000).unwrap();
    let isn = world.dial_in(0, 5000, 1000).unwrap();
    let (id, _) = world.ours.accept(1000).unwrap();
    let mut seq = 1;
    for len in [1, 1152, 4096, 9000, 32_768, 65_535 - 70] {
        world.send(0, stream(Flags::ACK, (5000, 1000), seq, isn + 1), &vec![7; len]);
        assert_eq!(read(&mut world, id).len(), len);
        seq += u32::try_from(len).unwrap();
    }
    let longest = vec![7; 65_535];
    let mut bytes = vec![0; HEADER_LEN + longest.len()];
    stream(Flags::ACK, (1, 2), 3, 4).emit(&longest, &mut bytes).unwrap();
    assert_eq!(Header::parse(&bytes).map(|(header, payload)| (header.seq, payload.len())), Ok((SeqNumber(3), 65_535)));
}

/// A setting that no datagram can carry is no reason to send nothing.
#[test]
fn segments_are_never_larger_than_a_datagram() {
    let stream_config = StreamConfig { loopback_mss: u16::MAX, ..StreamConfig::default() };
    let mut world = World::met(Config { stream: stream_config, ..Config::default() });
    world.ours.listen(1000).unwrap();
    assert!(world.dial_in(0, 5000, 1000).is_some());
}
