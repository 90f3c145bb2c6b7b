//! Key material: the two test nodes, key derivation, and what other families need of them.

use super::File;
use super::check::{Checker, HexArray, Prose};
use super::crypto;
use data_encoding::BASE64;
use proto_core::NodeId;
use proto_core::wire::AuthenticatedKeyExchange;
use serde::Deserialize;

/// Which of the two test nodes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "note")]
    _note: Prose,
    a: NodeKeys,
    b: NodeKeys,
    x25519_shared_hex: HexArray<32>,
}

/// The keys of a test node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeKeys {
    node_id: u32,
    x25519_private_hex: HexArray<32>,
    x25519_public_hex: HexArray<32>,
    ed25519_seed_hex: HexArray<32>,
    ed25519_public_hex: HexArray<32>,
    ed25519_public_b64: String,
}

impl NodeKeys {
    pub(super) fn node(&self) -> NodeId {
        NodeId(self.node_id)
    }

    pub(super) fn exchange_public(&self) -> [u8; 32] {
        self.x25519_public_hex.0
    }

    pub(super) fn identity_public(&self) -> [u8; 32] {
        self.ed25519_public_hex.0
    }

    /// What X25519 gives with another node's public key.
    pub(super) fn shared_with(&self, peer: &Self) -> Option<[u8; 32]> {
        crypto::shared_secret(&self.x25519_private_hex.0, &peer.x25519_public_hex.0)
    }

    /// Signing gives this signature (Ed25519 is deterministic), and it verifies.
    pub(super) fn check_signature(&self, field: &str, message: &[u8], expected: &[u8; 64], check: &mut Checker) {
        check.equal(field, crypto::sign(&self.ed25519_seed_hex.0, message), *expected);
        check.holds(&format!("{field} verifies"), crypto::verify(&self.ed25519_public_hex.0, message, expected));
    }

    fn check(&self, peer: &Self, shared: &[u8; 32], check: &mut Checker) {
        check.equal("x25519_public_hex", crypto::exchange_public(&self.x25519_private_hex.0), self.x25519_public_hex.0);
        check.equal("ed25519_public_hex", crypto::identity_public(&self.ed25519_seed_hex.0), self.ed25519_public_hex.0);
        check.equal("ed25519_public_b64", BASE64.encode(&self.ed25519_public_hex.0), self.ed25519_public_b64.as_str());
        check.equal("x25519_shared_hex", self.shared_with(peer), Some(*shared));
        check.holds("node_id is assigned", self.node() != NodeId::UNASSIGNED && self.node_id != peer.node_id);
    }
}

pub(super) fn keys(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<Keys>("keys", check) else { return };
    check.entry("a");
    family.a.check(&family.b, &family.x25519_shared_hex.0, check);
    check.entry("b");
    family.b.check(&family.a, &family.x25519_shared_hex.0, check);
}

/// The keys of one test node, when the file has any.
pub(super) fn of(file: &File, side: Side) -> Option<NodeKeys> {
    let pointer = match side {
        Side::A => "/a",
        Side::B => "/b",
    };
    NodeKeys::deserialize(file.at("keys", pointer)?).ok()
}

/// Whose identity this is.
pub(super) fn with_public(file: &File, public: &[u8; 32]) -> Option<NodeKeys> {
    [Side::A, Side::B].into_iter().filter_map(|side| of(file, side)).find(|keys| keys.identity_public() == *public)
}

/// The key of a tunnel between the two test nodes.
pub(super) fn tunnel_key(file: &File) -> Option<[u8; 32]> {
    Some(crypto::tunnel_key(&of(file, Side::A)?.shared_with(&of(file, Side::B)?)?))
}

/// Sender, counter and packet (in hex) of a frame called like `a_to_b_ctr1_syn`.
pub(super) fn sender_counter_and_packet(file: &File, name: &str) -> Option<(NodeId, u64, String)> {
    let (side, rest) = match name.split_once("_to_")? {
        ("a", rest) => (Side::A, rest.strip_prefix("b_ctr")?),
        ("b", rest) => (Side::B, rest.strip_prefix("a_ctr")?),
        _ => return None,
    };
    let (counter, packet) = rest.split_once('_')?;
    let packet = file.named("packets", "/valid", packet)?.get("wire_hex")?.as_str()?;
    Some((of(file, side)?.node(), counter.parse().ok()?, packet.to_owned()))
}

/// The carried identity is the registry's, and the registry's key signed it.
pub(super) fn exchange_is_authentic(exchange: &AuthenticatedKeyExchange, registry_key: &[u8; 32]) -> bool {
    exchange.identity_public == *registry_key
        && crypto::verify(registry_key, &exchange.signed_message(), &exchange.signature)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hkdf {
    #[serde(rename = "note")]
    _note: Prose,
    vectors: Vec<Derivation>,
    low_order_public_keys_must_be_rejected: Vec<LowOrder>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Derivation {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    #[serde(rename = "note")]
    _note: Option<Prose>,
    interoperable: Option<bool>,
    ikm_hex: Option<HexArray<32>>,
    salt_hex: Option<String>,
    info_ascii: Option<String>,
    prk_hex: Option<HexArray<32>>,
    okm_hex: HexArray<32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LowOrder {
    #[serde(rename = "source")]
    _source: Prose,
    name: String,
    x25519_public_hex: HexArray<32>,
}

pub(super) fn hkdf(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<Hkdf>("hkdf", check) else { return };
    for entry in &family.vectors {
        check.entry(&entry.name);
        derivation(file, entry, check);
    }
    let private = of(file, Side::A).map_or([0x42; 32], |keys| keys.x25519_private_hex.0);
    for entry in &family.low_order_public_keys_must_be_rejected {
        check.entry(&entry.name);
        check.equal("shared secret", crypto::shared_secret(&private, &entry.x25519_public_hex.0), None);
    }
}

fn derivation(file: &File, entry: &Derivation, check: &mut Checker) {
    if entry.interoperable == Some(false) {
        let given = entry.ikm_hex.is_some() || entry.info_ascii.is_some() || entry.prk_hex.is_some();
        check.holds("only the result of a key we must not derive is given", !given && entry.salt_hex.is_none());
        let shared = of(file, Side::A).zip(of(file, Side::B)).and_then(|(a, b)| a.shared_with(&b));
        let Some(shared) = check.some("the keys of both sides are known", shared) else { return };
        let ours = [crypto::tunnel_key(&shared), crypto::channel_key(&shared)];
        check.holds("we do not derive it", !ours.contains(&entry.okm_hex.0));
        let theirs = crypto::february_keys(&shared);
        check.holds("the February builds derived it", theirs.contains(&entry.okm_hex.0));
        return;
    }
    let Some(ikm) = check.some("ikm_hex is given", entry.ikm_hex) else { return };
    check.equal("salt_hex", "", entry.salt_hex.as_deref().unwrap_or_default());
    let derived = match entry.info_ascii.as_deref() {
        Some("pilot-tunnel-v1") => Some(crypto::tunnel_key(&ikm.0)),
        Some("pilot-secure-v1") => Some(crypto::channel_key(&ikm.0)),
        _ => None,
    };
    check.equal("okm_hex", derived, Some(entry.okm_hex.0));
    let expanded = entry.prk_hex.zip(entry.info_ascii.as_deref()).and_then(|(prk, info)| crypto::expand(&prk.0, info));
    check.equal("prk_hex expanded", expanded, derived);
}
