//! The core's cryptography in the plain bytes the vector file has. Adds nothing to it.

use hkdf::Hkdf;
use proto_core::NodeId;
use proto_core::crypto::{ExchangeSecret, Identity, NoncePrefix, PublicKey, SharedSecret, kdf, rust_crypto};
use proto_core::tunnel;
use proto_core::wire::frame::{SECURE_HEADER_LEN, TAG_LEN};
use proto_core::wire::{Header, SecureHeader};
use sha2::{Digest as _, Sha256};

pub(super) fn exchange_public(private: &[u8; 32]) -> [u8; 32] {
    rust_crypto().exchange.public(&ExchangeSecret::from_bytes(*private))
}

/// `None` for a low-order public key.
pub(super) fn shared_secret(private: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
    let shared = rust_crypto().exchange.agree(&ExchangeSecret::from_bytes(*private), public)?;
    Some(*shared.expose())
}

pub(super) fn tunnel_key(shared: &[u8; 32]) -> [u8; 32] {
    *kdf::tunnel_key(&SharedSecret::from_bytes(*shared)).expose()
}

pub(super) fn channel_key(shared: &[u8; 32]) -> [u8; 32] {
    *kdf::secure_channel_key(&SharedSecret::from_bytes(*shared)).expose()
}

/// What `prk`, the step in between that the core never shows, expands to.
pub(super) fn expand(prk: &[u8; 32], info: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    Hkdf::<Sha256>::from_prk(prk).ok()?.expand(info.as_bytes(), &mut key).ok()?;
    Some(key)
}

/// The keys of February-2026 builds, which nobody must derive any more.
pub(super) fn february_keys(shared: &[u8; 32]) -> [[u8; 32]; 2] {
    ["pilot-tunnel-v1:", "pilot-secure-v1:"]
        .map(|label| Sha256::new().chain_update(label).chain_update(shared).finalize().into())
}

pub(super) fn identity_public(seed: &[u8; 32]) -> [u8; 32] {
    Identity::from_seed(*seed).public().0
}

pub(super) fn sign(seed: &[u8; 32], message: &[u8]) -> [u8; 64] {
    Identity::from_seed(*seed).sign(message)
}

pub(super) fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    PublicKey(*public).verify_strict(rust_crypto(), message, signature)
}

pub(super) fn nonce(prefix: [u8; 4], counter: u64) -> [u8; 12] {
    NoncePrefix(prefix).nonce(counter)
}

/// Ciphertext and tag.
pub(super) fn seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Option<Vec<u8>> {
    let mut data = plaintext.to_vec();
    let tag = rust_crypto().aead.key(key).seal_in_place(nonce, aad, &mut data).ok()?;
    data.extend_from_slice(&tag);
    Some(data)
}

/// The plaintext of ciphertext and tag, if they are authentic.
pub(super) fn open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (data, tag) = sealed.split_last_chunk::<TAG_LEN>()?;
    let mut data = data.to_vec();
    rust_crypto().aead.key(key).open_in_place(nonce, aad, &mut data, tag).ok()?;
    Some(data)
}

/// A PILS frame around `packet`.
pub(super) fn seal_frame(
    key: &[u8; 32],
    sender: NodeId,
    prefix: [u8; 4],
    counter: u64,
    packet: &[u8],
) -> Option<Vec<u8>> {
    let mut frame = [&[0; SECURE_HEADER_LEN][..], packet, &[0; TAG_LEN]].concat();
    tunnel::seal_frame(&*rust_crypto().aead.key(key), sender, NoncePrefix(prefix), counter, &mut frame)?;
    Some(frame)
}

/// Sender and packet of a PILS frame, if it is authentic.
pub(super) fn open_frame(key: &[u8; 32], wire: &[u8]) -> Option<(NodeId, Vec<u8>)> {
    let header = SecureHeader::parse(wire).ok()?;
    let mut sealed = wire.get(SECURE_HEADER_LEN..)?.to_vec();
    let packet = tunnel::open_frame(&*rust_crypto().aead.key(key), &header, &mut sealed)?;
    Some((header.sender, packet.to_vec()))
}

/// A packet is whole and may come from the node that sealed it.
pub(super) fn is_from(sender: NodeId, packet: &[u8]) -> bool {
    Header::parse(packet).is_ok_and(|(header, payload)| tunnel::source_is_bound(&header, payload, sender))
}
