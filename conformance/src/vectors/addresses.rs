//! Addresses: text and bytes, both ways, and what is no address.

use super::File;
use super::check::{Checker, HexArray, Prose};
use proto_core::wire::{Address, SocketAddress};
use proto_core::{NetworkId, NodeId};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addresses {
    valid: Vec<Valid>,
    broadcast: Vec<Valid>,
    parse_also_accepts: Vec<AlsoAccepted>,
    invalid: Vec<Invalid>,
    socket_valid: Vec<Socket>,
    socket_invalid: Vec<Invalid>,
    draft_text_examples: Vec<DraftExample>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Valid {
    #[serde(rename = "source")]
    _source: Prose,
    network: u16,
    node: u32,
    text: String,
    wire_hex: HexArray<6>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlsoAccepted {
    #[serde(rename = "source")]
    _source: Prose,
    text: String,
    network: u16,
    node: u32,
    #[serde(rename = "note")]
    _note: Prose,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalid {
    #[serde(rename = "source")]
    _source: Prose,
    text: String,
    #[serde(rename = "why")]
    _why: Option<Prose>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Socket {
    #[serde(rename = "source")]
    _source: Prose,
    text: String,
    network: u16,
    node: u32,
    port: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftExample {
    #[serde(rename = "source")]
    _source: Prose,
    text: String,
    #[serde(rename = "note")]
    _note: Prose,
}

fn address(network: u16, node: u32) -> Address {
    Address { network: NetworkId(network), node: NodeId(node) }
}

fn both_ways(entry: &Valid, check: &mut Checker) {
    check.entry(&entry.text);
    let expected = address(entry.network, entry.node);
    check.equal("text parsed", entry.text.parse(), Ok(expected));
    check.equal("text written", expected.to_string(), entry.text.as_str());
    check.equal("wire_hex read", Address::from_bytes(entry.wire_hex.0), expected);
    check.equal("wire_hex written", expected.to_bytes(), entry.wire_hex.0);
}

pub(super) fn addresses(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<Addresses>("addresses", check) else { return };
    family.valid.iter().for_each(|entry| both_ways(entry, check));
    for entry in &family.broadcast {
        both_ways(entry, check);
        check.equal("node", NodeId::BROADCAST, NodeId(entry.node));
    }
    for entry in &family.parse_also_accepts {
        check.entry(&entry.text);
        check.equal("text parsed", entry.text.parse(), Ok(address(entry.network, entry.node)));
        check.holds("it is written differently", address(entry.network, entry.node).to_string() != entry.text);
    }
    for entry in &family.invalid {
        check.entry(format!("{:?}", entry.text));
        check.holds("refused", entry.text.parse::<Address>().is_err());
    }
    for entry in &family.socket_valid {
        check.entry(&entry.text);
        let expected = SocketAddress::new(address(entry.network, entry.node), entry.port);
        check.equal("text parsed", entry.text.parse(), Ok(expected));
        check.equal("text written", expected.to_string(), entry.text.as_str());
    }
    for entry in &family.socket_invalid {
        check.entry(format!("{:?}", entry.text));
        check.holds("refused", entry.text.parse::<SocketAddress>().is_err());
    }
    for entry in &family.draft_text_examples {
        check.entry(&entry.text);
        check.holds("the draft's own form is refused", entry.text.parse::<Address>().is_err());
    }
}
