//! Packets: header fields and checksum, both ways, and what is no packet.

use super::File;
use super::check::{Checker, Hex, HexArray, Prose};
use proto_core::seq::SeqNumber;
use proto_core::wire::header::{VERSION, crc32};
use proto_core::wire::{Address, Flags, HEADER_LEN, Header, ParseError, Protocol};
use proto_core::{NetworkId, NodeId};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Packets {
    valid: Vec<Valid>,
    invalid: Vec<Invalid>,
    trailing_bytes: Trailing,
    crc32_check: CrcCheck,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Valid {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    version: u8,
    flags: u8,
    protocol: u8,
    src_network: u16,
    src_node: u32,
    dst_network: u16,
    dst_node: u32,
    src_port: u16,
    dst_port: u16,
    seq: u32,
    ack: u32,
    window: u16,
    payload_hex: Hex,
    crc32_hex: HexArray<4>,
    wire_hex: Hex,
    #[serde(rename = "note")]
    _note: Option<Prose>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalid {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    why: String,
    wire_hex: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trailing {
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "note")]
    _note: Prose,
    wire_hex: Hex,
    consumed_bytes: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CrcCheck {
    #[serde(rename = "source")]
    _source: Prose,
    input_ascii: String,
    crc32_hex: HexArray<4>,
    #[serde(rename = "note")]
    _note: Prose,
}

impl Valid {
    fn header(&self) -> Header {
        Header {
            flags: Flags::from_bits_truncate(self.flags),
            protocol: Protocol::from(self.protocol),
            src: Address { network: NetworkId(self.src_network), node: NodeId(self.src_node) },
            dst: Address { network: NetworkId(self.dst_network), node: NodeId(self.dst_node) },
            src_port: self.src_port,
            dst_port: self.dst_port,
            seq: SeqNumber(self.seq),
            ack: SeqNumber(self.ack),
            window: self.window,
        }
    }
}

pub(super) fn packets(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<Packets>("packets", check) else { return };
    family.valid.iter().for_each(|entry| valid(entry, check));
    family.invalid.iter().for_each(|entry| invalid(entry, check));

    check.entry("trailing_bytes");
    let trailing = &family.trailing_bytes;
    let consumed = Header::parse(&trailing.wire_hex.0).map(|(_, payload)| HEADER_LEN + payload.len());
    check.equal("consumed_bytes", consumed, Ok(trailing.consumed_bytes));
    check.holds("there are trailing bytes", trailing.consumed_bytes < trailing.wire_hex.0.len());

    check.entry("crc32_check");
    let sum = crc32([family.crc32_check.input_ascii.as_bytes()]).to_be_bytes();
    check.equal("crc32_hex", sum, family.crc32_check.crc32_hex.0);
}

fn valid(entry: &Valid, check: &mut Checker) {
    check.entry(&entry.name);
    let (header, payload) = (entry.header(), &entry.payload_hex.0);
    check.equal("version", VERSION, entry.version);
    check.equal("flags", header.flags.bits(), entry.flags);
    check.equal("fields and payload_hex", Header::parse(&entry.wire_hex.0), Ok((header, &payload[..])));
    let mut written = vec![0; HEADER_LEN + payload.len()];
    check.equal("emitted length", header.emit(payload, &mut written), Ok(entry.wire_hex.0.len()));
    check.equal("crc32_hex", written.get(30..HEADER_LEN), Some(&entry.crc32_hex.0[..]));
    check.equal("wire_hex", &written, &entry.wire_hex.0);
}

/// The reason names the first thing that is wrong; the parser must find that one.
fn invalid(entry: &Invalid, check: &mut Checker) {
    check.entry(&entry.name);
    let outcome = Header::parse(&entry.wire_hex.0).map(|_| ());
    let version = entry.why.strip_prefix("version ").and_then(|rest| rest.split([',', ' ']).next()?.parse().ok());
    match version {
        Some(version) => check.equal("refused for its version", outcome, Err(ParseError::Version(version))),
        None if entry.why.starts_with("shorter") || entry.why.starts_with("fewer") => {
            check.equal("refused for its length", outcome, Err(ParseError::Truncated));
        }
        None if entry.why.starts_with("checksum") => {
            check.equal("refused for its checksum", outcome, Err(ParseError::Checksum));
        }
        None => check.holds("refused", outcome.is_err()),
    }
}
