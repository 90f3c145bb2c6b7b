//! Decides whether a signature belongs to a key. Refuses to know who owns the key.

use core::fmt;
use data_encoding::BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A node's Ed25519 public key, 32 bytes; as text in standard base64 with padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key a text names, `None` when it is not 32 bytes of base64 or no point a strict verifier takes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.as_bytes()).ok()?.try_into().ok()?;
        let key = VerifyingKey::from_bytes(&bytes).ok()?;
        (!key.is_weak()).then_some(Self(bytes))
    }

    /// The base64 `signature` over `message` is this key's.
    pub(super) fn verifies(&self, message: &str, signature: &str) -> bool {
        let Some(bytes) = BASE64.decode(signature.as_bytes()).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok())
        else {
            return false;
        };
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message.as_bytes(), &Signature::from_bytes(&bytes)).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not an Ed25519 public key in base64"))
    }
}

/// The two secrets are the same; the time it takes tells nothing but the length.
pub(super) fn same_secret(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}
