//! Beacon messages, both ways, and what a daemon or beacon must drop.

use super::File;
use super::check::{Checker, Hex, HexArray, Prose};
use super::crypto;
use super::keys::{self, Side};
use data_encoding::HEXLOWER;
use proto_core::NodeId;
use proto_core::wire::beacon::{NodeList, PunchGrant, punch_grant_message};
use proto_core::wire::{BeaconMessage, Datagram, Frame, classify};
use serde::Deserialize;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Beacon {
    #[serde(rename = "note")]
    _note: Prose,
    valid: Vec<Value>,
    invalid: Vec<Invalid>,
}

/// What every message has.
#[derive(Deserialize)]
struct Common {
    name: String,
    wire_hex: Hex,
}

/// The fields of a message by its kind. The first four of each are common; `flatten` would switch the refusal of unknown fields off.
macro_rules! message {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            #[serde(rename = "name")]
            _name: Prose,
            #[serde(rename = "source")]
            _source: Prose,
            #[serde(rename = "wire_hex")]
            _wire_hex: Prose,
            #[serde(rename = "note")]
            _note: Option<Prose>,
            $($field: $type,)*
        }
    };
}

message!(Discover { node_id: u32, ed25519_public_hex: Option<HexArray<32>> });
message!(Endpoint { ip: IpAddr, port: u16 });
message!(Relay { sender: u32, dest: u32, inner: String });
message!(Deliver { src: u32, inner: String });
message!(DeliverTo { sender: u32, dest: u32, inner: String });
message!(Sync { beacon_id: u32, nodes: Vec<u32> });
message!(Notify { kind: u8 });
message!(PunchRequest {
    requester: u32,
    target: u32,
    expiry: Option<u64>,
    signed_message_ascii: Option<String>,
    signature_hex: Option<HexArray<64>>,
    signer: Option<Side>,
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalid {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    wire_hex: Hex,
    #[serde(rename = "why")]
    _why: Prose,
}

pub(super) fn beacon(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<Beacon>("beacon", check) else { return };
    for entry in &family.valid {
        let Ok(common) = Common::deserialize(entry) else {
            check.fail("an entry without name or wire_hex");
            continue;
        };
        check.entry(&common.name);
        check.equal("first byte", classify(&common.wire_hex.0), Datagram::Beacon(&common.wire_hex.0));
        if let Err(error) = message(file, entry, &common.wire_hex.0, check) {
            check.fail(&format!("unexpected shape: {error}"));
        }
    }
    for entry in &family.invalid {
        check.entry(&entry.name);
        check.holds("dropped", !welcome(&entry.wire_hex.0));
    }
}

/// A daemon or a beacon would act on this.
fn welcome(bytes: &[u8]) -> bool {
    match BeaconMessage::parse(bytes) {
        Ok(BeaconMessage::RelayDeliver { sender, frame } | BeaconMessage::RelayDeliverTo { sender, frame, .. }) => {
            Frame::parse_relayed(sender, frame).is_ok()
        }
        parsed => parsed.is_ok(),
    }
}

/// Reads the entry as the kind its first byte says, and compares both ways.
fn message(file: &File, entry: &Value, wire: &[u8], check: &mut Checker) -> serde_json::Result<()> {
    let tail = |at: usize| wire.get(at..).unwrap_or_default();
    match wire.first() {
        Some(1) => {
            let Discover { node_id, ed25519_public_hex, .. } = Discover::deserialize(entry)?;
            let key = ed25519_public_hex.map(|key| key.0);
            both_ways(BeaconMessage::Discover { node: NodeId(node_id), key }, wire, check);
        }
        Some(8) => {
            let Discover { node_id, ed25519_public_hex, .. } = Discover::deserialize(entry)?;
            let key = ed25519_public_hex.map(|key| key.0);
            both_ways(BeaconMessage::DiscoverExtended { node: NodeId(node_id), key }, wire, check);
        }
        Some(2) => {
            let Endpoint { ip, port, .. } = Endpoint::deserialize(entry)?;
            both_ways(BeaconMessage::DiscoverReply(SocketAddr::new(ip, port)), wire, check);
        }
        Some(4) => {
            let Endpoint { ip, port, .. } = Endpoint::deserialize(entry)?;
            both_ways(BeaconMessage::PunchCommand(SocketAddr::new(ip, port)), wire, check);
        }
        Some(3) => punch_request(file, &PunchRequest::deserialize(entry)?, wire, check),
        Some(5) => {
            let Relay { sender, dest, inner, .. } = Relay::deserialize(entry)?;
            let (sender, destination) = (NodeId(sender), NodeId(dest));
            both_ways(BeaconMessage::Relay { sender, destination, frame: tail(9) }, wire, check);
            inner_frame(file, sender, &inner, tail(9), check);
        }
        Some(6) => {
            let Deliver { src, inner, .. } = Deliver::deserialize(entry)?;
            both_ways(BeaconMessage::RelayDeliver { sender: NodeId(src), frame: tail(5) }, wire, check);
            inner_frame(file, NodeId(src), &inner, tail(5), check);
        }
        Some(9) => {
            let DeliverTo { sender, dest, inner, .. } = DeliverTo::deserialize(entry)?;
            let (sender, destination) = (NodeId(sender), NodeId(dest));
            both_ways(BeaconMessage::RelayDeliverTo { sender, destination, frame: tail(9) }, wire, check);
            inner_frame(file, sender, &inner, tail(9), check);
        }
        Some(7) => {
            let Sync { beacon_id, nodes, .. } = Sync::deserialize(entry)?;
            let nodes: Vec<_> = nodes.into_iter().map(NodeId).collect();
            both_ways(BeaconMessage::Sync { beacon: beacon_id, nodes: NodeList::new(&nodes) }, wire, check);
        }
        Some(10) => {
            let Notify { kind, .. } = Notify::deserialize(entry)?;
            both_ways(BeaconMessage::Notify { kind }, wire, check);
        }
        _ => check.fail("a valid message of unknown type"),
    }
    Ok(())
}

fn both_ways(expected: BeaconMessage<'_>, wire: &[u8], check: &mut Checker) {
    check.equal("fields", BeaconMessage::parse(wire), Ok(expected));
    check.equal("wire_hex", expected.to_vec().as_deref(), Ok(wire));
}

fn punch_request(file: &File, entry: &PunchRequest, wire: &[u8], check: &mut Checker) {
    let (requester, target) = (NodeId(entry.requester), NodeId(entry.target));
    let grant = match (entry.expiry, entry.signature_hex) {
        (Some(expiry), Some(signature)) => Some(PunchGrant { expiry, signature: signature.0 }),
        (None, None) => None,
        _ => return check.fail("half a grant"),
    };
    both_ways(BeaconMessage::PunchRequest { requester, target, grant }, wire, check);
    if let Some(grant) = grant {
        let signed = punch_grant_message(requester, target, grant.expiry);
        check.equal("signed_message_ascii", Some(&signed), entry.signed_message_ascii.as_ref());
        let signer = entry.signer.and_then(|side| keys::of(file, side));
        if let Some(signer) = check.some("the signer's keys are known", signer) {
            check.equal("signer", signer.node(), target);
            signer.check_signature("signature_hex", signed.as_bytes(), &grant.signature, check);
        }
    } else {
        check.holds("nothing is signed", entry.signed_message_ascii.is_none() && entry.signer.is_none());
    }
}

/// The frame inside is the one of that name.
fn inner_frame(file: &File, outer: NodeId, name: &str, frame: &[u8], check: &mut Checker) {
    check.holds("inner is a frame of the outer sender", Frame::parse_relayed(outer, frame).is_ok());
    let lists = ["/pilt", "/pilk", "/pila/valid", "/pils/valid", "/pilp"];
    let named = lists.iter().find_map(|list| file.named("tunnel_frames", list, name)?.get("wire_hex")?.as_str());
    match named {
        Some(wire) => check.equal("inner", HEXLOWER.encode(frame).as_str(), wire),
        None => described_frame(file, name, frame, check),
    }
}

/// A name that no frame has, like `a_to_b_ctr1_syn`, says the frame's sender, counter and packet itself.
fn described_frame(file: &File, name: &str, frame: &[u8], check: &mut Checker) {
    let said = keys::sender_counter_and_packet(file, name);
    let Some((sender, counter, packet)) = check.some("inner has a known name", said) else { return };
    let (Some(key), Ok(Frame::Secure(secure))) = (keys::tunnel_key(file), Frame::parse(frame)) else {
        return check.fail("inner is no sealed frame, or its key is not known");
    };
    let [_, _, _, _, written @ ..] = secure.nonce;
    check.equal("counter of inner", u64::from_be_bytes(written), counter);
    let opened = crypto::open_frame(&key, frame).map(|(sender, packet)| (sender, HEXLOWER.encode(&packet)));
    check.equal("inner", opened, Some((sender, packet)));
}
