//! Round trips of every codec with arbitrary values, and every parser with arbitrary and damaged bytes.

use super::beacon::{NodeList, PunchGrant, RELAY_HEADER_LEN, write_relay_header};
use super::compat::CompatMessage;
use super::frame::{MAGIC_TABLE, PILS_OVERHEAD, SECURE_HEADER_LEN};
use super::options::{MAX_OPTIONS_LEN, OPTIONS_LEN};
use super::sack::{looks_like_sack, safe_prefix_len};
use super::secure::{AUTH_LEN, ChannelAuth, ChannelRole, FrameHeader, MAX_FRAME_PLAINTEXT};
use super::trust::MAX_TRUST_MESSAGE;
use super::*;
use crate::ids::{NetworkId, NodeId};
use crate::seq::SeqNumber;
use core::net::{IpAddr, SocketAddr};
use hex_literal::hex;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

mod bounds;
mod portmap;
mod tolerance;

fn node() -> impl Strategy<Value = NodeId> {
    any::<u32>().prop_map(NodeId)
}

fn address() -> impl Strategy<Value = Address> {
    (any::<u16>(), node()).prop_map(|(network, node)| Address { network: NetworkId(network), node })
}

prop_compose! {
    fn header()(
        flags in 0u8..16, protocol: u8, src in address(), dst in address(), ports: (u16, u16), numbers: (u32, u32), window: u16,
    ) -> Header {
        Header {
            flags: Flags::from_bits_truncate(flags),
            protocol: Protocol::from(protocol),
            src,
            dst,
            src_port: ports.0,
            dst_port: ports.1,
            seq: SeqNumber(numbers.0),
            ack: SeqNumber(numbers.1),
            window,
        }
    }
}

fn array64() -> impl Strategy<Value = [u8; 64]> {
    (any::<[u8; 32]>(), any::<[u8; 32]>())
        .prop_map(|(low, high)| core::array::from_fn(|i| if i < 32 { low[i] } else { high[i - 32] }))
}

fn endpoint() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

/// Owned stand-in for the beacon messages that borrow.
fn with_beacon_message(
    pick: u8,
    nodes: (NodeId, NodeId),
    tail: &[u8],
    rest: &BeaconParts,
    check: &mut dyn FnMut(BeaconMessage<'_>),
) {
    let list: Vec<NodeId> = tail.iter().map(|byte| NodeId(u32::from(*byte))).collect();
    let (sender, destination) = nodes;
    check(match pick % 10 {
        0 => BeaconMessage::Discover { node: sender, key: rest.key },
        1 => BeaconMessage::DiscoverReply(rest.endpoint),
        2 => BeaconMessage::PunchRequest { requester: sender, target: destination, grant: rest.grant },
        3 => BeaconMessage::PunchCommand(rest.endpoint),
        4 => BeaconMessage::Relay { sender, destination, frame: tail },
        5 => BeaconMessage::RelayDeliver { sender, frame: tail },
        6 => BeaconMessage::Sync { beacon: sender.0, nodes: NodeList::new(&list) },
        7 => BeaconMessage::DiscoverExtended { node: sender, key: rest.key },
        8 => BeaconMessage::RelayDeliverTo { sender, destination, frame: tail },
        _ => BeaconMessage::Notify { kind: pick },
    });
}

#[derive(Clone, Debug)]
struct BeaconParts {
    key: Option<[u8; 32]>,
    endpoint: SocketAddr,
    grant: Option<PunchGrant>,
}

prop_compose! {
    fn beacon_parts()(
        key in option::of(any::<[u8; 32]>()), endpoint in endpoint(), grant in option::of((any::<u64>(), array64())),
    ) -> BeaconParts {
        BeaconParts { key, endpoint, grant: grant.map(|(expiry, signature)| PunchGrant { expiry, signature }) }
    }
}

/// Every parser of the module; the only thing asked is that it returns.
fn parse_everything(bytes: &[u8]) {
    let _ = Header::parse(bytes);
    let _ = Frame::parse(bytes);
    let _ = SecureHeader::parse(bytes);
    if let Ok(BeaconMessage::Sync { nodes, .. }) = BeaconMessage::parse(bytes) {
        assert_eq!(nodes.iter().count(), nodes.len());
    }
    let _ = classify(bytes);
    let _ = Sack::parse_lenient(bytes);
    let _ = Sack::parse_exact(bytes);
    let _ = Options::parse(bytes);
    let _ = FrameHeader::parse(bytes);
    let _ = ChannelAuth::parse(bytes);
    let _ = TrustMessage::parse(bytes);
    if let Ok(text) = core::str::from_utf8(bytes) {
        let _ = CompatMessage::parse(text);
        let _ = text.parse::<Address>();
        let _ = text.parse::<SocketAddress>();
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        parse_everything(&bytes);
    }

    #[test]
    fn nearly_valid_bytes_never_panic(kind in 0usize..20, body in vec(any::<u8>(), 0..160)) {
        let fronts: [&[u8]; 10] = [b"PILT", b"PILS", b"PILK", b"PILA", b"PILP", b"PILF", b"SACK\x04", b"PXO\x01\x00\x20", b"{\"type\":", &[0x10, 1, 0, 4]];
        let beacon = [u8::try_from(kind - kind.min(9)).unwrap_or(0)];
        let front = fronts.get(kind).copied().unwrap_or(&beacon);
        parse_everything(&[front, &body].concat());
    }

    //= spec/addressing.md#pp-addr-1
    //= type=test
    //# An address is 48 bits on the wire: a network of 16 bits, then a node of 32 bits, both big-endian.
    #[test]
    fn addresses_round_trip(address in address(), port: u16) {
        prop_assert_eq!(Address::from_bytes(address.to_bytes()), address);
        prop_assert_eq!(address.to_string().parse(), Ok(address));
        let socket = SocketAddress::new(address, port);
        prop_assert_eq!(socket.to_string().parse(), Ok(socket));
    }

    #[test]
    fn address_text_never_panics(text in "\\PC{0,40}") {
        let _ = text.parse::<SocketAddress>();
        let _ = text.parse::<Address>();
    }

    //= spec/packet.md#pp-pkt-1
    //= type=test
    //# A packet begins with a header of 34 bytes in the layout of wire.md, section 2.
    //= spec/packet.md#pp-pkt-3
    //= type=test
    //# The flags stand in the low four bits of the first byte: SYN 1, ACK 2, FIN 4, RST 8.
    //= spec/packet.md#pp-pkt-5
    //= type=test
    //# The payload length field counts the bytes behind the header, 0 to 65535.
    //= spec/packet.md#pp-pkt-12
    //= type=test
    //# No byte is sent behind the declared payload.
    #[test]
    fn headers_round_trip(header in header(), payload in vec(any::<u8>(), 0..200), trailing in vec(any::<u8>(), 0..9)) {
        let mut packet = vec![0; HEADER_LEN + payload.len()];
        prop_assert_eq!(header.emit(&payload, &mut packet), Ok(packet.len()));
        prop_assert_eq!(Header::parse(&packet), Ok((header, &payload[..])));

        let mut in_place = [&[0xEE; HEADER_LEN][..], &payload].concat();
        prop_assert_eq!(header.emit_in_place(&mut in_place), Ok(()));
        prop_assert_eq!(&in_place, &packet);

        packet.extend(trailing);
        prop_assert_eq!(Header::parse(&packet), Ok((header, &payload[..])));
    }

    //= spec/packet.md#pp-pkt-7
    //= type=test
    //# A packet with a wrong checksum is dropped, inside a sealed frame as well.
    #[test]
    fn one_flipped_bit_never_passes(header in header(), payload in vec(any::<u8>(), 0..64), at: prop::sample::Index, bit in 0u8..8) {
        let mut packet = vec![0; HEADER_LEN + payload.len()];
        header.emit(&payload, &mut packet).unwrap();
        packet[at.index(HEADER_LEN + payload.len())] ^= 1 << bit;
        prop_assert!(Header::parse(&packet).is_err());
    }

    #[test]
    fn frames_round_trip(sender in node(), keys: ([u8; 32], [u8; 32]), signature in array64(), nonce: [u8; 12], body in vec(any::<u8>(), 34..200)) {
        let exchange = AuthenticatedKeyExchange { sender, exchange_public: keys.0, identity_public: keys.1, signature };
        for frame in [
            Frame::Plaintext(&body),
            Frame::Secure(Secure { sender, nonce, sealed: &body }),
            Frame::KeyExchange(KeyExchange { sender, public: keys.0 }),
            Frame::AuthenticatedKeyExchange(exchange),
            Frame::Punch { sender: None },
            Frame::Punch { sender: Some(sender) },
        ] {
            let mut bytes = vec![0; frame.encoded_len()];
            prop_assert_eq!(frame.emit(&mut bytes), Ok(bytes.len()));
            prop_assert_eq!(Frame::parse(&bytes), Ok(frame));
            prop_assert_eq!(classify(&bytes), Datagram::Frame(&bytes));
            let short = bytes.len() - 1;
            prop_assert_eq!(frame.emit(&mut bytes[..short]), Err(EmitError::BufferTooSmall));
        }
        let bytes = exchange.to_bytes();
        prop_assert_eq!(Frame::parse(&bytes), Ok(Frame::AuthenticatedKeyExchange(exchange)));
        let clear = SecureHeader { sender, nonce };
        let sealed = [&clear.to_bytes()[..], &body].concat();
        prop_assert_eq!(SecureHeader::parse(&sealed), Ok(clear));
        prop_assert_eq!(Frame::parse(&sealed), Ok(Frame::Secure(Secure { sender, nonce, sealed: &body })));
    }

    #[test]
    fn beacon_messages_round_trip(pick: u8, nodes in (node(), node()), tail in vec(any::<u8>(), 0..90), parts in beacon_parts()) {
        with_beacon_message(pick, nodes, &tail, &parts, &mut |message| {
            let bytes = message.to_vec().unwrap();
            assert_eq!(bytes.len(), message.encoded_len());
            assert_eq!(BeaconMessage::parse(&bytes), Ok(message));
            assert_eq!(classify(&bytes), Datagram::Beacon(&bytes));
            let mut short = vec![0; bytes.len() - 1];
            assert_eq!(message.emit(&mut short), Err(EmitError::BufferTooSmall));
        });
    }

    //= spec/sack.md#pp-sack-2
    //= type=test
    //# A SACK payload is the magic `SACK`, a count of 1 to 4, and for each block a left and an exclusive right edge of 32 bits.
    //= spec/sack.md#pp-sack-3
    //= type=test
    //# At most four blocks are sent.
    #[test]
    fn sacks_round_trip(edges in vec(any::<(u32, u32)>(), 0..8), extra in vec(any::<u8>(), 1..4)) {
        let sack: Sack = edges.iter().map(|(left, right)| SackBlock { left: SeqNumber(*left), right: SeqNumber(*right) }).collect();
        prop_assert_eq!(sack.blocks().len(), edges.len().min(4));
        let mut bytes = vec![0; sack.encoded_len()];
        prop_assert_eq!(sack.emit(&mut bytes), Ok(bytes.len()));
        prop_assert_eq!(Sack::parse_exact(&bytes), (!sack.is_empty()).then_some(sack));
        bytes.extend(extra);
        prop_assert_eq!(Sack::parse_exact(&bytes), None);
        prop_assert_eq!(Sack::parse_lenient(&bytes), (!sack.is_empty()).then_some(sack));
    }

    #[test]
    fn a_cut_payload_has_no_piece_that_looks_like_a_sack(front in 0usize..14, count in 0u8..7, tail in vec(any::<u8>(), 0..80)) {
        let again = [b"SACK".as_slice(), &[count], &tail].concat();
        let payload = [b"SACK".as_slice(), &[1], &[b'x'; 7][..front.min(7)], &again].concat();
        let mut rest = &payload[..];
        while let Some(cut) = safe_prefix_len(rest) {
            let (piece, tail) = rest.split_at(cut);
            prop_assert!(!looks_like_sack(piece));
            rest = tail;
        }
        prop_assert!(!looks_like_sack(rest));
    }

    #[test]
    fn options_round_trip(capabilities: u32, max_segment: u16, window_shift in 0u8..=14, behind in vec(any::<u8>(), 0..5)) {
        let options = Options { capabilities: Capabilities(capabilities), max_segment, window_shift };
        prop_assert_eq!(Options::parse(&options.to_bytes()), Some(options));
        prop_assert_eq!(Options::parse(&[&options.to_bytes()[..], &behind].concat()), Some(options));
        for cut in 0..OPTIONS_LEN {
            prop_assert_eq!(Options::parse(&options.to_bytes()[..cut]), None);
        }
    }

    #[test]
    fn trust_messages_round_trip(
        kind in prop::sample::select(vec![TrustKind::Request, TrustKind::Accept, TrustKind::Reject, TrustKind::Revoke]),
        node in node(), public_key in option::of(any::<[u8; 32]>()), signature in option::of(array64()),
        texts in ("\\PC{0,60}", ".{0,60}"), timestamp: u64,
    ) {
        let message = TrustMessage { kind, node, public_key, justification: texts.0, signature, reason: texts.1, timestamp };
        let bytes = message.to_vec().unwrap();
        prop_assert_eq!(TrustMessage::parse(&bytes[..bytes.len() - 1]), Err(ParseError::Truncated));
        prop_assert_eq!(TrustMessage::parse(&bytes), Ok(message));
    }

    #[test]
    fn channel_frames_round_trip(counter: u64, len in 0..=MAX_FRAME_PLAINTEXT, server: bool) {
        let role = if server { ChannelRole::Server } else { ChannelRole::Client };
        let header = FrameHeader::new(role, counter, len).unwrap();
        let mut bytes = [0; 16];
        header.emit(&mut bytes).unwrap();
        prop_assert_eq!(FrameHeader::parse(&bytes), Ok(header));
        prop_assert_eq!((header.prefix(), header.counter(), header.sealed_len), (role.prefix(), counter, len + 16));
        prop_assert_ne!(header.prefix(), role.peer().prefix());
    }

    #[test]
    fn channel_authentications_round_trip(node in node(), timestamp: u64, nonce: [u8; 16], signature in array64()) {
        let auth = ChannelAuth { node, timestamp, nonce, signature };
        let mut bytes = [0; AUTH_LEN + 1];
        prop_assert_eq!(auth.emit(&mut bytes), Ok(AUTH_LEN));
        prop_assert_eq!(ChannelAuth::parse(&bytes[..AUTH_LEN]), Ok(auth));
        prop_assert_eq!(ChannelAuth::parse(&bytes), Err(ParseError::TooLong));
        prop_assert_eq!(ChannelAuth::parse(&bytes[..AUTH_LEN - 1]), Err(ParseError::Truncated));
    }

    #[test]
    fn compat_messages_round_trip(node_id: u32, ts: u64, texts in ("\\PC{0,60}", "\\PC{0,60}")) {
        for message in [
            CompatMessage::Challenge { nonce: texts.0.clone(), ts },
            CompatMessage::Reply { node_id, public_key: texts.0.clone(), sig: texts.1.clone() },
            CompatMessage::Ok,
        ] {
            prop_assert_eq!(CompatMessage::parse(&message.to_text()), Ok(message));
        }
    }
}

//= spec/frames.md#pp-frame-3
//= type=test
//# A frame with an unknown magic is dropped without an answer.
//= spec/frames.md#pp-frame-4
//= type=test
//# A frame shorter than the least length of its kind is dropped.
//= spec/frames.md#pp-frame-13
//= type=test
//# A PILF frame is recognised, counted and dropped.
#[test]
fn every_magic_needs_its_least_length() {
    for (magic, least) in MAGIC_TABLE {
        let mut bytes = vec![0; least];
        bytes[..4].copy_from_slice(&magic);
        assert_eq!(Frame::parse(&bytes).is_ok(), magic != *b"PILF", "{magic:?}");
        assert_eq!(Frame::parse(&bytes[..least - 1]), Err(ParseError::Truncated), "{magic:?}");
    }
    assert_eq!(Frame::parse(b"PILX and more"), Err(ParseError::Magic));
    assert_eq!(Frame::parse(&[b"PILF".as_slice(), &[0; 30]].concat()), Err(ParseError::Unsupported));
    assert_eq!((SECURE_HEADER_LEN, PILS_OVERHEAD), (20, 36));
}

//= spec/packet.md#pp-pkt-15
//= type=test
//# The checksum is judged before the version.
//= spec/packet.md#pp-pkt-9
//= type=test
//# A packet whose version is not 1 is dropped.
#[test]
fn checksum_is_judged_before_version() {
    let mut packet = hex!("21010000000000010001000000020002c00003e800000000000000000200f0cce8ad");
    assert_eq!(Header::parse(&packet), Err(ParseError::Version(2)));
    packet[33] ^= 1;
    assert_eq!(Header::parse(&packet), Err(ParseError::Checksum));
}

#[test]
fn a_payload_beyond_the_length_field_is_refused() {
    let header =
        Header::parse(&hex!("1001000000000000000000000000000000000000000000000000000000005235e57a")).unwrap().0;
    assert_eq!(header.emit_in_place(&mut vec![0; HEADER_LEN + 65_535]), Ok(()));
    assert_eq!(header.emit_in_place(&mut vec![0; HEADER_LEN + 65_536]), Err(EmitError::TooLong));
    assert_eq!(header.emit_in_place(&mut [0; HEADER_LEN - 1]), Err(EmitError::BufferTooSmall));
}

//= spec/relay.md#pp-relay-16
//= type=test
//# An IPv4-mapped address is written as IPv4 in beacon messages.
#[test]
fn mapped_addresses_are_written_as_ipv4() {
    let mapped = BeaconMessage::PunchCommand("[::ffff:203.0.113.7]:40000".parse().unwrap());
    assert_eq!(mapped.to_vec().unwrap(), hex!("0404cb0071079c40"));
    let parsed = BeaconMessage::parse(&hex!("041000000000000000000000ffffcb0071079c40"));
    assert_eq!(parsed, Ok(BeaconMessage::PunchCommand("203.0.113.7:40000".parse().unwrap())));
}

#[test]
fn an_incomplete_key_or_grant_is_absent() {
    let key = BeaconMessage::parse(&[&[1, 0, 0, 0, 9][..], &[7; 31]].concat()).map(|message| message.encoded_len());
    assert_eq!(key, Ok(5));
    let grant = [&[3, 0, 0, 0, 9, 0, 0, 0, 8][..], &[7; 71]].concat();
    assert_eq!(BeaconMessage::parse(&grant).map(|message| message.encoded_len()), Ok(9));
}

#[test]
fn a_sync_that_promises_more_nodes_than_it_has_is_refused() {
    assert_eq!(
        BeaconMessage::parse(&hex!("070000004d00020001000100020002")).map(|message| message.encoded_len()),
        Ok(15)
    );
    assert_eq!(BeaconMessage::parse(&hex!("070000004d00030001000100020002")), Err(ParseError::Truncated));
    let nodes = vec![NodeId(1); 65_536];
    let message = BeaconMessage::Sync { beacon: 1, nodes: NodeList::new(&nodes) };
    assert_eq!(message.to_vec(), Err(EmitError::TooLong));
}

//= spec/relay.md#pp-relay-1
//= type=test
//# A relayed frame is wrapped in type 5, sender and destination, in front of the frame unchanged.
#[test]
fn the_relay_header_stands_in_front_of_the_frame() {
    let mut out = *b".........frame";
    write_relay_header(&mut out, NodeId(1), NodeId(2)).unwrap();
    assert_eq!(out.len(), RELAY_HEADER_LEN + 5);
    let expected = BeaconMessage::Relay { sender: NodeId(1), destination: NodeId(2), frame: b"frame" };
    assert_eq!(BeaconMessage::parse(&out), Ok(expected));
}

#[test]
fn flags_name_themselves() {
    assert_eq!(format!("{:?}", Flags::SYN | Flags::ACK), r#"{"SYN", "ACK"}"#);
    assert!((Flags::FIN | Flags::ACK).contains(Flags::FIN) && !Flags::FIN.contains(Flags::FIN | Flags::ACK));
}

/// What the fuzz targets generate must be what the codecs can carry.
#[cfg(feature = "arbitrary")]
mod generated {
    use super::*;
    use arbitrary::{Arbitrary as _, Unstructured};

    proptest! {
        #[test]
        fn values_round_trip(bytes in vec(any::<u8>(), 0..400)) {
            let header = Header::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
            let mut packet = vec![0; HEADER_LEN + bytes.len()];
            header.emit(&bytes, &mut packet).unwrap();
            prop_assert_eq!(Header::parse(&packet), Ok((header, &bytes[..])));

            let options = Options::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
            prop_assert_eq!(Options::parse(&options.to_bytes()), Some(options));

            let message = TrustMessage::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
            prop_assert_eq!(TrustMessage::parse(&message.to_vec().unwrap()), Ok(message));

            let mut out = [0; 64];
            let question = NatPmpRequest::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
            question.emit(&mut out).unwrap();
            prop_assert_eq!(NatPmpRequest::parse(&out), Ok(question));
            let answer = NatPmpReply::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
            answer.emit(&mut out).unwrap();
            prop_assert_eq!(NatPmpReply::parse(&out), Ok(answer));
            let question = PcpRequest::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
            question.emit(&mut out).unwrap();
            prop_assert_eq!(PcpRequest::parse(&out), Ok(question));
            let answer = PcpReply::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
            let len = answer.emit(&mut out).unwrap();
            prop_assert_eq!(PcpReply::parse(&out[..len]), Ok(answer));

            let sack = Sack::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
            let mut encoded = vec![0; sack.encoded_len()];
            sack.emit(&mut encoded).unwrap();
            prop_assert_eq!(Sack::parse_exact(&encoded).unwrap_or_default(), sack);
        }
    }
}
