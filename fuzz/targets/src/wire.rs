//! The packet header, tunnel frames, relay wrapping, SACK, the options block, kinds of transport address.

use crate::script::Script;
use core::net::{IpAddr, SocketAddr};
use proto_core::NodeId;
use proto_core::wire::beacon::{RELAY_HEADER_LEN, write_relay_header};
use proto_core::wire::candidate::{Reach, canonical, same_network};
use proto_core::wire::frame::{SECURE_HEADER_LEN, TAG_LEN};
use proto_core::wire::header::{MAX_PAYLOAD, VERSION, crc32};
use proto_core::wire::options::{MAX_OPTIONS_LEN, MAX_WINDOW_SHIFT, Options};
use proto_core::wire::sack::{MAX_BLOCKS, Sack, looks_like_sack, safe_prefix_len};
use proto_core::wire::{BeaconMessage, Datagram, Frame, HEADER_LEN, Header, Meet, SecureHeader, classify};

/// A header is written as it was read; one with its version, length and checksum put right is read.
pub fn header(data: &[u8]) {
    header_round_trip(data);
    let Some((fixed, payload)) = data.split_first_chunk::<HEADER_LEN>() else { return };
    if payload.len() > MAX_PAYLOAD {
        return;
    }
    let mut fixed = *fixed;
    fixed[0] = VERSION << 4 | fixed[0] & 0x0F;
    fixed[2..4].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    fixed[30..].fill(0);
    let sum = crc32([&fixed[..], payload]);
    fixed[30..].copy_from_slice(&sum.to_be_bytes());
    let mut packet = [&fixed[..], payload].concat();
    assert!(header_round_trip(&packet), "a packet put right is read");
    let flipped = usize::from(data[0]) % packet.len();
    packet[flipped] ^= 1 << (data[1] & 7);
    assert!(Header::parse(&packet).is_err(), "one flipped bit is noticed");
}

fn header_round_trip(data: &[u8]) -> bool {
    let Ok((header, payload)) = Header::parse(data) else { return false };
    let mut out = vec![0xAA; HEADER_LEN + payload.len()];
    assert_eq!(header.emit(payload, &mut out), Ok(out.len()));
    assert_eq!(out, data[..out.len()]);
    assert_eq!(Header::parse(&out), Ok((header, payload)));
    true
}

/// A frame is written as it was read, its clear part agrees with it, and a relayed one names its sender.
pub fn frame(data: &[u8]) {
    assert_eq!(matches!(classify(data), Datagram::Frame(_)), data.first().is_some_and(|first| *first >= 0x10));
    let secure = SecureHeader::parse(data);
    let Ok(frame) = Frame::parse(data) else {
        assert!(secure.is_err(), "a clear part without a frame");
        return;
    };
    let mut out = vec![0xAA; frame.encoded_len()];
    assert_eq!(frame.emit(&mut out), Ok(out.len()));
    assert_eq!(out, data[..out.len()]);
    assert_eq!(Frame::parse(&out), Ok(frame));
    if let Frame::Secure(whole) = frame {
        assert!(whole.sealed.len() >= TAG_LEN);
        assert_eq!(secure, Ok(SecureHeader { sender: whole.sender, nonce: whole.nonce }));
        assert_eq!(secure.map(|clear| clear.to_bytes()), Ok(data[..SECURE_HEADER_LEN].try_into().unwrap()));
    } else {
        assert!(secure.is_err());
    }
    if let Frame::AuthenticatedKeyExchange(exchange) = frame {
        assert_eq!(exchange.to_bytes(), data[..out.len()]);
        assert_eq!(exchange.signed_message()[8..], exchange.exchange_public);
    }
}

/// A frame passed on by a beacon: the header in front is written and read, and only a frame that names the same sender comes through.
pub fn relay_wrapping(data: &[u8]) {
    let mut script = Script::new(data);
    let (sender, destination) = (NodeId(script.u32()), NodeId(script.u32()));
    let inner = script.rest();
    let mut wrapped = vec![0; RELAY_HEADER_LEN];
    write_relay_header(&mut wrapped, sender, destination).unwrap();
    wrapped.extend_from_slice(inner);
    assert_eq!(BeaconMessage::parse(&wrapped), Ok(BeaconMessage::Relay { sender, destination, frame: inner }));
    let named = match Frame::parse_relayed(sender, inner) {
        Ok(Frame::Secure(frame)) => frame.sender,
        Ok(Frame::KeyExchange(frame)) => frame.sender,
        Ok(Frame::AuthenticatedKeyExchange(frame)) => frame.sender,
        Ok(Frame::Plaintext(_) | Frame::Punch { .. }) => panic!("a frame without a sender came through a relay"),
        Err(_) => return,
    };
    assert_eq!(named, sender);
    assert!(Frame::parse_relayed(NodeId(sender.0 ^ 1), inner).is_err());
}

/// Blocks are written as they were read; cut data never looks like blocks.
pub fn sack(data: &[u8]) {
    let lenient = Sack::parse_lenient(data);
    let exact = Sack::parse_exact(data);
    assert_eq!(lenient.is_some(), looks_like_sack(data));
    assert!(exact.is_none() || exact == lenient);
    if let Some(sack) = lenient {
        assert!((1..=MAX_BLOCKS).contains(&sack.blocks().len()));
        let mut out = vec![0; sack.encoded_len()];
        assert_eq!(sack.emit(&mut out), Ok(out.len()));
        assert_eq!(out, data[..out.len()]);
        assert_eq!(exact.is_some(), out.len() == data.len());
        assert_eq!(sack.blocks().iter().copied().collect::<Sack>(), sack);
    }
    let mut rest = data;
    while let Some(cut) = safe_prefix_len(rest) {
        let (head, tail) = rest.split_at(cut);
        assert!(cut > 0 && !looks_like_sack(head));
        rest = tail;
    }
    assert!(!looks_like_sack(rest));
}

/// A block that is read is written as the same offer.
pub fn options(data: &[u8]) {
    let Some(options) = Options::parse(data) else { return };
    assert!(options.window_shift <= MAX_WINDOW_SHIFT);
    let bytes = options.to_bytes();
    assert!(bytes.len() <= MAX_OPTIONS_LEN);
    assert_eq!(Options::parse(&bytes), Some(options));
    assert_eq!(Options::parse(&[&bytes[..], data].concat()), Some(options), "what follows is ignored");
    assert_eq!(Options::parse(&bytes[..bytes.len() - 1]), None);
}

/// One place has one name and one reach; networks are shared mutually.
pub fn candidates(data: &[u8]) {
    let mut script = Script::new(data);
    let mut endpoint = || {
        let ip =
            if script.u8() & 1 == 0 { IpAddr::from(script.array::<4>()) } else { IpAddr::from(script.array::<16>()) };
        SocketAddr::new(ip, script.u16())
    };
    let (a, b) = (endpoint(), endpoint());
    let named = canonical(a);
    assert_eq!(canonical(named), named);
    assert_eq!(named.port(), a.port());
    assert_eq!(Reach::of(a), Reach::of(named));
    if let IpAddr::V4(ip) = named.ip() {
        let mapped = SocketAddr::new(ip.to_ipv6_mapped().into(), named.port());
        assert_eq!((canonical(mapped), Reach::of(mapped)), (named, Reach::of(named)));
    }
    assert!(same_network(a.ip(), a.ip()));
    assert_eq!(same_network(a.ip(), b.ip()), same_network(b.ip(), a.ip()));
}

/// What a peer says of its addresses is written so that it is read as the same.
pub fn meet(data: &[u8]) {
    let Some(told) = Meet::parse(data) else { return };
    let bytes = told.to_vec().expect("what was read can be written");
    assert_eq!(Meet::parse(&bytes), Some(told));
}
