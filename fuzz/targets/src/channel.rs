//! The secure channel on port 443: the clear part of its frames, its authentication, and a pair of channels.

use crate::null_crypto::null_crypto;
use crate::script::Script;
use proto_core::crypto::channel::{ChannelError, SecureChannel};
use proto_core::crypto::{ExchangeSecret, NoncePrefix};
use proto_core::wire::ParseError;
use proto_core::wire::secure::{
    AUTH_LEN, CHANNEL_TAG_LEN, ChannelAuth, ChannelRole, FRAME_HEADER_LEN, FrameHeader, MAX_FRAME_LENGTH,
};

/// What is read is written as it was, and a bad length is known from four bytes.
pub fn secure_frame(data: &[u8]) {
    let parsed = FrameHeader::parse(data);
    match (parsed, SecureChannel::frame_len(data)) {
        (Ok(header), Ok(Some(len))) => {
            assert!(len <= 4 + MAX_FRAME_LENGTH && header.sealed_len >= CHANNEL_TAG_LEN);
            let mut out = [0; FRAME_HEADER_LEN];
            assert_eq!(header.emit(&mut out), Ok(()));
            assert_eq!(out, data[..FRAME_HEADER_LEN]);
        }
        (Err(ParseError::Truncated), Ok(None)) => assert!(data.len() < FRAME_HEADER_LEN),
        (Err(error), Err(ChannelError::Malformed)) => assert_eq!(FrameHeader::parse(&data[..4]), Err(error)),
        other => panic!("{other:?}"),
    }
    match ChannelAuth::parse(data) {
        Ok(auth) => {
            let mut out = [0; AUTH_LEN];
            assert_eq!(auth.emit(&mut out), Ok(AUTH_LEN));
            assert_eq!(out, data);
        }
        Err(ParseError::TooLong) => assert!(data.len() > AUTH_LEN),
        Err(error) => assert!(error == ParseError::Truncated && data.len() < AUTH_LEN),
    }
}

/// Frames of one side reach the other once and in order, whatever is done to them on the way; after the first bad one nothing does.
pub fn secure_channel(data: &[u8]) {
    let secrets = [1, 2].map(|byte| ExchangeSecret::from_bytes([byte; 32]));
    let channel =
        |role, own: usize, peer: u8| SecureChannel::new(null_crypto(), role, &secrets[own], &[peer; 32]).unwrap();
    let mut sender = channel(ChannelRole::Client, 0, 2);
    let mut receiver = channel(ChannelRole::Server, 1, 1);
    let (mut sealed, mut next, mut failed) = (Vec::new(), 0..=1, false);
    let mut script = Script::new(data);
    while !script.is_over() {
        let operation = script.u8();
        if operation & 3 < 2 {
            let plaintext = script.chunk();
            let mut frame = Vec::new();
            sender.seal(plaintext, &mut frame).unwrap();
            assert_eq!(SecureChannel::frame_len(&frame), Ok(Some(frame.len())));
            sealed.push((frame, plaintext));
            continue;
        }
        let number = usize::from(script.u8());
        let Some((mut frame, plaintext)) = sealed.get(number).cloned() else { continue };
        let damaged = operation & 3 == 3 && damage(&mut frame, &mut script);
        // Nothing protects the header here, so that a damaged frame may pass for the next one.
        let counter = match FrameHeader::parse(&frame) {
            Ok(header) if damaged => NoncePrefix::split(&header.nonce).1,
            _ => number as u64 + 1,
        };
        match receiver.open(&mut frame) {
            Ok(opened) => {
                assert!(!failed && next.contains(&counter), "counter {counter} instead of {next:?}");
                assert!(damaged || opened == plaintext);
                next = counter + 1..=counter + 1;
            }
            Err(error) => {
                assert!(failed || damaged || !next.contains(&counter), "{error:?}");
                assert_eq!(failed, error == ChannelError::Closed);
                failed = true;
            }
        }
    }
}

/// Whether anything changed.
fn damage(frame: &mut Vec<u8>, script: &mut Script<'_>) -> bool {
    let (at, change) = (usize::from(script.u8()), script.u8());
    match frame.get_mut(at) {
        Some(byte) => *byte ^= change,
        None => {
            frame.push(change);
            return true;
        }
    }
    change != 0
}
