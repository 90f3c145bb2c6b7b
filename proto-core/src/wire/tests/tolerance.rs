//! What is skipped, and what is refused.

use super::*;

//= spec/datagrams.md#pp-dgram-12
//= type=test
//# An options block that cannot be read counts as absent.
//= spec/versioning.md#pp-ver-3
//= type=test
//# An unknown type in an options block is skipped, and an unknown capability bit ignored.
#[test]
fn options_skip_what_they_do_not_know_and_refuse_what_is_wrong() {
    let block = |values: &[u8], version: u8| {
        let total = u16::try_from(6 + values.len()).unwrap().to_be_bytes();
        [b"PXO".as_slice(), &[version], &total, values].concat()
    };
    let known = [1, 4, 0, 0, 0, 1, 2, 2, 4, 0x80, 3, 1, 7];
    let expected = Options { capabilities: Capabilities::RELAY_FIRST, max_segment: 1152, window_shift: 7 };
    assert_eq!(Options::parse(&block(&known, 1)), Some(expected));
    assert_eq!(Options::parse(&block(&[&known[..], &[200, 3, 1, 2, 3]].concat(), 1)), Some(expected));
    assert_eq!(Options::parse(&block(&[&[200, 0][..], &known].concat(), 1)), Some(expected));
    assert_eq!(Options::parse(&block(&known, 2)), None, "unknown version");
    assert_eq!(Options::parse(&block(&known[..10], 1)), None, "type missing");
    assert_eq!(Options::parse(&block(&[&known[..], &known[..6]].concat(), 1)), None, "type repeated");
    assert_eq!(Options::parse(&block(&[&known[..], &[200]].concat(), 1)), None, "half a type");
    assert_eq!(Options::parse(&block(&[&known[..], &[200, 9, 1]].concat(), 1)), None, "value beyond the block");
    let full = [&known[..], &[200, 43], &[0; 43]].concat();
    assert_eq!(block(&full, 1).len(), MAX_OPTIONS_LEN);
    assert_eq!(Options::parse(&block(&full, 1)), Some(expected));
    let too_long = [&known[..], &[200, 44], &[0; 44]].concat();
    assert_eq!(Options::parse(&block(&too_long, 1)), None, "longer than 64 bytes");
    let steep = Options { window_shift: 200, ..expected };
    assert_eq!(Options::parse(&steep.to_bytes()).map(|options| options.window_shift), Some(14));
}

//= spec/trust.md#pp-trust-2
//= type=test
//# A trust message is one JSON object of at most 64 KiB on a stream to port 444.
#[test]
fn trust_messages_keep_all_seven_keys_and_tolerate_missing_ones() {
    let message = TrustMessage {
        kind: TrustKind::Revoke,
        node: NodeId(5),
        public_key: None,
        justification: String::new(),
        signature: None,
        reason: "done".into(),
        timestamp: 9,
    };
    let text = r#"{"type":"handshake_revoke","node_id":5,"public_key":"","justification":"","signature":"","reason":"done","timestamp":9}"#;
    assert_eq!(message.to_vec().unwrap(), text.as_bytes());
    let sparse = br#" {"node_id":5,"reason":"done","type":"handshake_revoke","timestamp":9,"new":[1]} "#;
    assert_eq!(TrustMessage::parse(sparse), Ok(message.clone()));
    assert_eq!(TrustMessage::parse(br#"{"type":"handshake_revoke","node_id":-1}"#), Err(ParseError::Malformed));
    assert_eq!(TrustMessage::parse(br#"{"type":"other","node_id":1}"#), Err(ParseError::Malformed));
    assert_eq!(
        TrustMessage::parse(br#"{"type":"handshake_accept","node_id":1,"public_key":"AAAA"}"#),
        Err(ParseError::Malformed)
    );
    assert_eq!(TrustMessage::parse(b""), Err(ParseError::Truncated));
    assert_eq!(TrustMessage::parse(&[b' '; MAX_TRUST_MESSAGE + 1]), Err(ParseError::TooLong));
    let huge = TrustMessage { reason: "x".repeat(MAX_TRUST_MESSAGE), ..message };
    assert_eq!(huge.to_vec(), Err(EmitError::TooLong));
    assert_eq!(trust::signed_string(NodeId(2), NodeId(1)), "handshake:2:1");
}

//= spec/secure-channel.md#pp-chan-7
//= type=test
//# A frame length below 28 or above 16 MiB ends the channel.
#[test]
fn channel_lengths_are_judged_from_four_bytes() {
    assert_eq!(FrameHeader::parse(&hex!("0000001b")), Err(ParseError::Malformed));
    assert_eq!(FrameHeader::parse(&hex!("0000001c")), Err(ParseError::Truncated));
    assert_eq!(FrameHeader::parse(&hex!("01000001")), Err(ParseError::TooLong));
    assert_eq!(FrameHeader::new(ChannelRole::Client, 1, MAX_FRAME_PLAINTEXT + 1), Err(EmitError::TooLong));
}

//= spec/exchange.md#pp-kex-26
//= type=test
//# A PILA whose relayed envelope names another sender is dropped.
#[test]
fn a_relayed_frame_names_the_sender_the_beacon_named() {
    let exchange = Frame::KeyExchange(KeyExchange { sender: NodeId(7), public: [1; 32] });
    let mut bytes = vec![0; exchange.encoded_len()];
    exchange.emit(&mut bytes).unwrap();
    assert_eq!(Frame::parse_relayed(NodeId(7), &bytes), Ok(exchange));
    assert_eq!(Frame::parse_relayed(NodeId(8), &bytes), Err(ParseError::Malformed));
    assert_eq!(Frame::parse_relayed(NodeId(7), b"PILP\0\0\0\x07"), Err(ParseError::Unsupported));
    assert_eq!(Frame::parse_relayed(NodeId(7), &[b"PILT".as_slice(), &[0; 40]].concat()), Err(ParseError::Unsupported));
}

#[test]
fn a_punch_grant_signs_who_may_reach_whom_until_when() {
    let message = beacon::punch_grant_message(NodeId(7), NodeId(9), 1_790_000_000);
    assert_eq!(message, "punch-grant:7:9:1790000000");
}

#[test]
fn a_wrong_address_is_told_what_is_wrong_with_it() {
    for (text, word) in [("nonsense", "form"), ("1:0002.0000.0003", "network")] {
        let error = text.parse::<Address>().unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    let error = "0:0000.0000.0003:70000".parse::<SocketAddress>().unwrap_err();
    assert!(error.to_string().contains("port"), "{error}");
}
