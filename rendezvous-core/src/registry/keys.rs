//! Decides whether a signature in a request belongs to a key, and how keys are kept. Refuses to know who owns them.

use core::fmt;
use proto_core::crypto::kdf::sha256;
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

/// The SHA-256 of a secret of operators: whoever reads the store or a backup of it does not learn the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

/// How the text of a [`SecretHash`] begins.
const HASH: &str = "sha256:";

impl SecretHash {
    /// What is kept of `secret`; nothing of none.
    #[must_use]
    pub fn of(secret: &str) -> Option<Self> {
        //= spec/registry.md#pp-reg-35
        //# Of a network's tokens the registry keeps the SHA-256 and not the token.
        (!secret.is_empty()).then(|| Self(sha256(secret.as_bytes())))
    }

    /// `given` is the secret; the time it takes tells nothing.
    pub(super) fn matches(&self, given: &str) -> bool {
        let given = sha256(given.as_bytes());
        self.0.iter().zip(given).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
    }

    /// What a store has: a hash, or of an older version the secret itself.
    fn from_stored(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(HASH).filter(|digits| digits.len() == 64 && digits.is_ascii());
        let byte = |at: usize| digits.and_then(|digits| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok());
        let mut hash = [0; 32];
        for (at, slot) in hash.iter_mut().enumerate() {
            let Some(byte) = byte(at) else { return Self::of(text) };
            *slot = byte;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASH)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is kept of a secret as text, empty without one, for `serde(with)`.
pub(super) mod as_hash {
    use super::SecretHash;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        kept: &Option<SecretHash>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&kept.map(|kept| kept.to_string()).unwrap_or_default())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SecretHash>, D::Error> {
        Ok(SecretHash::from_stored(&String::deserialize(deserializer)?))
    }
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
