//! Decides whether a signature in a request belongs to a key, and how keys are kept. Refuses to know who owns them.

use proto_core::crypto::{PublicKey, rust_crypto};
use proto_core::wire::base64;

/// The base64 `signature` over `message` is `key`'s.
pub(super) fn verifies(key: &PublicKey, message: &str, signature: &str) -> bool {
    let signature = base64::decode(signature);
    signature.is_some_and(|signature| key.verify_strict(rust_crypto(), message.as_bytes(), &signature))
}

/// The two secrets are the same; the time it takes tells nothing but the length.
pub(super) fn same_secret(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

/// A key as text, for `serde(with)`.
pub(super) mod as_text {
    use proto_core::crypto::PublicKey;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(in super::super) fn serialize<S: Serializer>(key: &PublicKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(key)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PublicKey, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
