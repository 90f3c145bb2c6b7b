//! The last value that passes and the first that does not, and small operations that everything else takes for granted.

use super::super::beacon::is_relay;
use super::super::compat::{MAX_COMPAT_MESSAGE, signed_string};
use super::super::meet::{MAX_MEET_ADDRESSES, MAX_MEET_LEN, MAX_MEET_PORTS};
use super::super::pcp::PCP_MAX_LEN;
use super::super::sack::MAX_SACK_LEN;
use super::super::secure::MAX_FRAME_LENGTH;
use super::*;
use core::num::NonZeroU16;

//= spec/trust.md#pp-trust-2
//= type=test
//# A trust message is one JSON object of at most 64 KiB on a stream to port 444.
#[test]
fn a_trust_message_has_64_kib_and_no_byte_more() {
    let text = br#"{"type":"handshake_accept","node_id":1,"timestamp":9}"#;
    let padded = |len: usize| [text.as_slice(), &vec![b' '; len - text.len()]].concat();
    let message = TrustMessage::parse(&padded(MAX_TRUST_MESSAGE)).unwrap();
    assert_eq!(TrustMessage::parse(&padded(MAX_TRUST_MESSAGE + 1)), Err(ParseError::TooLong));
    let room = MAX_TRUST_MESSAGE - message.to_vec().unwrap().len();
    let full = TrustMessage { reason: "x".repeat(room), ..message };
    assert_eq!(full.to_vec().map(|bytes| bytes.len()), Ok(MAX_TRUST_MESSAGE));
    let longer = TrustMessage { reason: "x".repeat(room + 1), ..full };
    assert_eq!(longer.to_vec(), Err(EmitError::TooLong));
}

/// In numbers, as every other test names these bounds and so would follow them.
#[test]
fn the_bounds_are_the_written_ones() {
    let block = SackBlock { left: SeqNumber(1), right: SeqNumber(2) };
    assert_eq!(Sack::from_iter([block; 9]).encoded_len(), MAX_SACK_LEN);
    assert_eq!(MAX_SACK_LEN, 37);
    assert_eq!(MAX_TRUST_MESSAGE, 65_536);
    assert_eq!(MAX_FRAME_PLAINTEXT, 16_777_216 - 12 - 16);
    assert!(FrameHeader::new(ChannelRole::Server, 0, MAX_FRAME_PLAINTEXT).is_ok());
    assert_eq!(FrameHeader::new(ChannelRole::Server, 0, MAX_FRAME_PLAINTEXT + 1), Err(EmitError::TooLong));
}

#[test]
fn a_compat_message_has_1024_bytes_and_no_byte_more() {
    let text = r#"{"type":"auth_ok"}"#;
    let padded = |len: usize| format!("{text}{}", " ".repeat(len - text.len()));
    assert_eq!(CompatMessage::parse(text), Ok(CompatMessage::Ok));
    assert_eq!(CompatMessage::parse(&padded(MAX_COMPAT_MESSAGE)), Ok(CompatMessage::Ok));
    assert_eq!(CompatMessage::parse(&padded(MAX_COMPAT_MESSAGE + 1)), Err(ParseError::TooLong));
    assert_eq!(signed_string(NodeId(7), 1_790_000_000, "ab01"), "compat_auth:7:1790000000:ab01");
}

//= spec/secure-channel.md#pp-chan-7
//= type=test
//# A frame length below 28 or above 16 MiB ends the channel.
#[test]
fn a_channel_frame_has_16_mib_and_no_byte_more() {
    assert_eq!(MAX_FRAME_LENGTH, 16 << 20);
    let head = |length: u32| [&length.to_be_bytes()[..], &[0; 12]].concat();
    let parsed = FrameHeader::parse(&head(16 << 20));
    assert_eq!(parsed.map(|header| header.sealed_len), Ok((16 << 20) - 12));
    assert_eq!(FrameHeader::parse(&head((16 << 20) + 1)), Err(ParseError::TooLong));
}

#[test]
fn a_pcp_message_has_1100_bytes_and_no_byte_more() {
    let padded =
        |len: usize| [&hex!("02 80 00 00 00000000 00000000 000000000000000000000000")[..], &vec![0; len - 24]].concat();
    assert!(PcpReply::parse(&padded(PCP_MAX_LEN)).is_ok());
    assert_eq!(PcpReply::parse(&padded(PCP_MAX_LEN + 1)), Err(ParseError::TooLong));
}

//= spec/frames.md#pp-frame-4
//= type=test
//# A frame shorter than the least length of its kind is dropped.
#[test]
fn a_sealed_frame_has_room_for_its_tag() {
    let frame = |len: usize| [b"PILS".as_slice(), &7u32.to_be_bytes(), &vec![9; len - 8]].concat();
    let header = SecureHeader { sender: NodeId(7), nonce: [9; 12] };
    assert_eq!(SecureHeader::parse(&frame(PILS_OVERHEAD - 1)), Err(ParseError::Truncated));
    assert_eq!(SecureHeader::parse(&frame(PILS_OVERHEAD)), Ok(header));
    assert_eq!(SecureHeader::parse(&frame(PILS_OVERHEAD + 70)), Ok(header));
    let mut bytes = [0; SECURE_HEADER_LEN];
    header.emit(&mut bytes).unwrap();
    assert_eq!(bytes[..], frame(SECURE_HEADER_LEN));
    assert_eq!(header.emit(&mut bytes[1..]), Err(EmitError::BufferTooSmall));
}

#[test]
fn a_meeting_has_twelve_addresses_and_48_ports_in_512_bytes() {
    let block = |values: &[u8], total: usize| {
        [b"PXM".as_slice(), &[1, 1], &u16::try_from(total).unwrap().to_be_bytes(), values].concat()
    };
    let address = [1, 7, 4, 10, 0, 0, 1, 0x0f, 0xa0];
    let port = [5, 2, 0x0f, 0xa0];
    let many = |value: &[u8], count: usize| {
        let values = value.repeat(count);
        Meet::parse(&block(&values, 7 + values.len())).unwrap()
    };
    assert_eq!(many(&address, MAX_MEET_ADDRESSES).addresses.len(), 12);
    assert_eq!(many(&address, MAX_MEET_ADDRESSES + 1).addresses.len(), 12);
    assert_eq!(many(&port, MAX_MEET_PORTS).ports.len(), 48);
    assert_eq!(many(&port, MAX_MEET_PORTS + 1).ports.len(), 48);
    let unknown = [&[200, 248][..], &[0; 248], &[200, 253], &[0; 253]].concat();
    assert_eq!(block(&unknown, MAX_MEET_LEN).len(), MAX_MEET_LEN);
    assert!(Meet::parse(&block(&unknown, MAX_MEET_LEN)).is_some());
    let longer = [&[200, 249][..], &[0; 249], &[200, 253], &[0; 253]].concat();
    assert_eq!(Meet::parse(&block(&longer, MAX_MEET_LEN + 1)), None);
}

/// RFC 6886 section 3.5: a refusal is a reply, but who knows no other version may answer with the opcode as it came.
#[test]
fn a_refusal_with_a_requests_opcode_counts_for_the_version_only() {
    let version = Ok(NatPmpReply::Refused { opcode: 1, result: NonZeroU16::new(1).unwrap(), epoch: 9 });
    assert_eq!(NatPmpReply::parse(&hex!("0001 0001 00000009")), version);
    assert_eq!(NatPmpReply::parse(&hex!("0081 0001 00000009")), version);
    let refused = Ok(NatPmpReply::Refused { opcode: 1, result: NonZeroU16::new(2).unwrap(), epoch: 9 });
    assert_eq!(NatPmpReply::parse(&hex!("0081 0002 00000009")), refused);
    assert_eq!(NatPmpReply::parse(&hex!("0001 0002 00000009")), Err(ParseError::Malformed));
}

#[test]
fn sets_of_bits_are_sets() {
    assert_eq!(Flags::SYN | Flags::ACK | Flags::ACK, Flags::from_bits_truncate(3));
    let mut flags = Flags::FIN;
    flags |= Flags::ACK;
    assert_eq!(flags.bits(), 6);
    let both = Capabilities::RELAY_FIRST | Capabilities::MEETS;
    assert_eq!(both | Capabilities::MEETS, Capabilities(3));
    let mut capabilities = Capabilities::NONE;
    capabilities |= Capabilities::MEETS;
    assert_eq!(capabilities, Capabilities(2));
    assert!(both.contains(Capabilities::MEETS) && both.contains(Capabilities::NONE) && both.contains(both));
    assert!(!Capabilities::MEETS.contains(both) && !Capabilities::MEETS.contains(Capabilities::RELAY_FIRST));
}

#[test]
fn lists_are_compared_by_what_is_in_them() {
    let (nodes, others) = ([NodeId(1), NodeId(2)], [NodeId(1), NodeId(3)]);
    assert_eq!(NodeList::new(&nodes[..]), NodeList::new(&nodes[..]));
    assert_ne!(NodeList::new(&nodes[..]), NodeList::new(&others[..]));
    assert_ne!(NodeList::new(&nodes[..]), NodeList::new(&nodes[..1]));
    assert!(NodeList::new(&nodes[..0]).is_empty() && !NodeList::new(&nodes[..]).is_empty());
    let block = |left: u32| SackBlock { left: SeqNumber(left), right: SeqNumber(left + 5) };
    let sack = |blocks: &[u32]| {
        let mut sack = Sack::new();
        sack.extend(blocks.iter().copied().map(block));
        sack
    };
    assert_eq!(sack(&[10, 20]), sack(&[10, 20]));
    assert_ne!(sack(&[10, 20]), sack(&[10, 21]));
    assert_ne!(sack(&[10, 20]), sack(&[10]));
}

#[test]
fn only_type_five_goes_to_the_relay() {
    assert!(is_relay(&[5, 0, 0]));
    assert!(!is_relay(&[6, 0, 0]) && !is_relay(b"PILS") && !is_relay(&[]));
}

#[test]
fn every_error_has_words_of_its_own() {
    let mut words: Vec<String> = [
        ParseError::Truncated,
        ParseError::Checksum,
        ParseError::Version(3),
        ParseError::Magic,
        ParseError::Unsupported,
        ParseError::TooLong,
        ParseError::Malformed,
    ]
    .map(|error| error.to_string())
    .into();
    assert!(words[2].contains('3'), "{}", words[2]);
    words.extend([EmitError::BufferTooSmall, EmitError::TooLong].map(|error| error.to_string()));
    assert!(words.iter().all(|text| text.len() > 10), "{words:?}");
    words.sort();
    words.dedup();
    assert_eq!(words.len(), 9, "{words:?}");
}
