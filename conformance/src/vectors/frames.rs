//! Tunnel frames: layouts both ways, signatures and sealing with the given keys, and what must be dropped.

use super::File;
use super::check::{Checker, Hex, HexArray, Prose};
use super::{crypto, keys};
use data_encoding::HEXLOWER;
use proto_core::NodeId;
use proto_core::wire::frame::{MAGIC_TABLE, SIGNED_MESSAGE_LEN};
use proto_core::wire::{AuthenticatedKeyExchange, Frame, Header, KeyExchange, ParseError};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TunnelFrames {
    pilt: Vec<Plain>,
    pilk: Vec<Anonymous>,
    pila: Authenticated,
    pils: SecureFrames,
    pilp: Vec<Punch>,
    pilf: Fragments,
    magic_table: Vec<Magic>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "note")]
    _note: Option<Prose>,
    wire_hex: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Anonymous {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    node_id: u32,
    x25519_public_hex: HexArray<32>,
    wire_hex: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authenticated {
    valid: Vec<ValidExchange>,
    invalid: Vec<InvalidExchange>,
    #[serde(rename = "note")]
    _note: Prose,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidExchange {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    node_id: u32,
    x25519_public_hex: HexArray<32>,
    ed25519_public_hex: HexArray<32>,
    signed_message_hex: HexArray<SIGNED_MESSAGE_LEN>,
    signature_hex: HexArray<64>,
    wire_hex: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InvalidExchange {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "why")]
    _why: Prose,
    wire_hex: Hex,
    registry_key_for_sender_hex: HexArray<32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecureFrames {
    #[serde(rename = "note")]
    _note: Prose,
    valid: Vec<ValidSecure>,
    invalid: Vec<InvalidSecure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidSecure {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    key_hex: HexArray<32>,
    sender_node: u32,
    aad_hex: HexArray<4>,
    nonce_prefix_hex: HexArray<4>,
    counter: u64,
    nonce_hex: HexArray<12>,
    plaintext_packet: String,
    plaintext_hex: Hex,
    wire_hex: Hex,
    #[serde(rename = "note")]
    _note: Option<Prose>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InvalidSecure {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "why")]
    _why: Prose,
    key_hex: HexArray<32>,
    wire_hex: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Punch {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "note")]
    _note: Prose,
    sender_node: Option<u32>,
    wire_hex: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fragments {
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "note")]
    _note: Prose,
    source_node: u32,
    fragment_id: u32,
    whole_frame_hex: Hex,
    fragments_hex: Vec<Hex>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Magic {
    ascii: String,
    hex: HexArray<4>,
    min_total_bytes: usize,
    #[serde(rename = "source")]
    _source: Prose,
}

pub(super) fn tunnel_frames(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<TunnelFrames>("tunnel_frames", check) else { return };
    for entry in &family.pilt {
        check.entry(&entry.name);
        let parsed = Frame::parse(&entry.wire_hex.0);
        let packet = entry.wire_hex.0.get(4..).unwrap_or_default();
        both_ways(Frame::Plaintext(packet), &entry.wire_hex.0, check);
        check
            .holds("a packet is inside", matches!(parsed, Ok(Frame::Plaintext(inner)) if Header::parse(inner).is_ok()));
    }
    for entry in &family.pilk {
        check.entry(&entry.name);
        let exchange = KeyExchange { sender: NodeId(entry.node_id), public: entry.x25519_public_hex.0 };
        both_ways(Frame::KeyExchange(exchange), &entry.wire_hex.0, check);
    }
    family.pila.valid.iter().for_each(|entry| valid_exchange(file, entry, check));
    family.pila.invalid.iter().for_each(|entry| invalid_exchange(entry, check));
    family.pils.valid.iter().for_each(|entry| valid_secure(file, entry, check));
    family.pils.invalid.iter().for_each(|entry| invalid_secure(entry, check));
    for entry in &family.pilp {
        check.entry(&entry.name);
        both_ways(Frame::Punch { sender: entry.sender_node.map(NodeId) }, &entry.wire_hex.0, check);
    }
    fragments(&family.pilf, check);
    magic_table(&family.magic_table, check);
}

fn both_ways(expected: Frame<'_>, wire: &[u8], check: &mut Checker) {
    check.equal("fields", Frame::parse(wire), Ok(expected));
    let mut written = vec![0; expected.encoded_len()];
    check.equal("emitted length", expected.emit(&mut written), Ok(wire.len()));
    check.equal("wire_hex", &written[..], wire);
}

fn valid_exchange(file: &File, entry: &ValidExchange, check: &mut Checker) {
    check.entry(&entry.name);
    let exchange = AuthenticatedKeyExchange {
        sender: NodeId(entry.node_id),
        exchange_public: entry.x25519_public_hex.0,
        identity_public: entry.ed25519_public_hex.0,
        signature: entry.signature_hex.0,
    };
    both_ways(Frame::AuthenticatedKeyExchange(exchange), &entry.wire_hex.0, check);
    check.equal("signed_message_hex", exchange.signed_message(), entry.signed_message_hex.0);
    check.holds("the signature verifies", keys::exchange_is_authentic(&exchange, &entry.ed25519_public_hex.0));
    if let Some(signer) = keys::with_public(file, &entry.ed25519_public_hex.0) {
        signer.check_signature("signature_hex", &entry.signed_message_hex.0, &entry.signature_hex.0, check);
    }
}

fn invalid_exchange(entry: &InvalidExchange, check: &mut Checker) {
    check.entry(&entry.name);
    let welcome = match Frame::parse(&entry.wire_hex.0) {
        Ok(Frame::AuthenticatedKeyExchange(exchange)) => {
            keys::exchange_is_authentic(&exchange, &entry.registry_key_for_sender_hex.0)
        }
        parsed => parsed.is_ok(),
    };
    check.holds("dropped", !welcome);
}

fn valid_secure(file: &File, entry: &ValidSecure, check: &mut Checker) {
    check.entry(&entry.name);
    let (sender, plaintext) = (NodeId(entry.sender_node), &entry.plaintext_hex.0);
    let nonce = crypto::nonce(entry.nonce_prefix_hex.0, entry.counter);
    check.equal("nonce_hex", nonce, entry.nonce_hex.0);
    check.equal("aad_hex", sender.0.to_be_bytes(), entry.aad_hex.0);
    let sealed = crypto::seal_frame(&entry.key_hex.0, sender, entry.nonce_prefix_hex.0, entry.counter, plaintext);
    check.equal("wire_hex", sealed.as_ref(), Some(&entry.wire_hex.0));
    let opened = crypto::open_frame(&entry.key_hex.0, &entry.wire_hex.0);
    check.equal("plaintext_hex", opened, Some((sender, plaintext.clone())));
    check.holds("welcome", welcome_secure(&entry.key_hex.0, &entry.wire_hex.0));

    // A name that no packet has only says what the packet is for.
    match file.named("packets", "/valid", &entry.plaintext_packet) {
        Some(packet) => {
            let wire = packet.get("wire_hex").and_then(Value::as_str);
            check.equal("plaintext_packet", Some(HEXLOWER.encode(plaintext).as_str()), wire);
        }
        None => check.holds("plaintext_packet is a packet", Header::parse(plaintext).is_ok()),
    }
}

fn invalid_secure(entry: &InvalidSecure, check: &mut Checker) {
    check.entry(&entry.name);
    check.holds("dropped", !welcome_secure(&entry.key_hex.0, &entry.wire_hex.0));
}

/// The receiver's rules in order: it opens, a packet is inside, and the packet comes from who sealed it.
fn welcome_secure(key: &[u8; 32], wire: &[u8]) -> bool {
    crypto::open_frame(key, wire).is_some_and(|(sender, packet)| crypto::is_from(sender, &packet))
}

/// Fragments are recognised and refused; what they were cut from is a frame.
fn fragments(entry: &Fragments, check: &mut Checker) {
    check.entry("pilf");
    let count = u8::try_from(entry.fragments_hex.len()).unwrap_or(0);
    let mut whole = Vec::new();
    for (index, fragment) in (0u8..).zip(&entry.fragments_hex) {
        check.equal("fragment refused", Frame::parse(&fragment.0), Err(ParseError::Unsupported));
        let front = [&entry.source_node.to_be_bytes()[..], &entry.fragment_id.to_be_bytes(), &[index, count]].concat();
        check.equal("fragment header", fragment.0.get(4..14), Some(&front[..]));
        whole.extend_from_slice(fragment.0.get(14..).unwrap_or_default());
    }
    check.equal("the pieces together", &whole, &entry.whole_frame_hex.0);
    let sender = match Frame::parse(&entry.whole_frame_hex.0) {
        Ok(Frame::Secure(secure)) => Some(secure.sender),
        _ => None,
    };
    check.equal("source_node", sender, Some(NodeId(entry.source_node)));
}

fn magic_table(table: &[Magic], check: &mut Checker) {
    for entry in table {
        check.entry(&entry.ascii);
        check.equal("ascii", entry.ascii.as_bytes(), &entry.hex.0[..]);
        let known = MAGIC_TABLE.iter().find(|(magic, _)| *magic == entry.hex.0).map(|(_, least)| *least);
        check.equal("min_total_bytes", known, Some(entry.min_total_bytes));
    }
}
