//! Who a node is: an Ed25519 pair made locally, whose private half never leaves the machine. Refuses to know where it is kept.

use super::provider::{CryptoProvider, SigningKey, rust_crypto};
use crate::wire::base64;
use core::fmt;
use core::str::FromStr;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// An Ed25519 signature.
pub type Signature = [u8; 64];

/// An Ed25519 public key: what a node is known by. Text form: standard base64 with padding, as in the registry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The key's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `signature` is a canonical one of `message` by this key.
    #[must_use]
    pub fn verify_strict(&self, crypto: &CryptoProvider, message: &[u8], signature: &Signature) -> bool {
        crypto.signature.verify_strict(&self.0, message, signature)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        //= spec/identity.md#pp-id-6
        //# The text of a key is standard base64 with padding.
        BASE64.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A text is not the base64 of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the base64 of 32 bytes")
    }
}

impl std::error::Error for KeyError {}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        base64::decode(text).map(Self).ok_or(KeyError)
    }
}

/// A node's Ed25519 pair.
pub struct Identity {
    seed: Zeroizing<[u8; 32]>,
    public: PublicKey,
    key: Box<dyn SigningKey>,
}

impl Identity {
    /// The identity of `seed`, with the default provider. The host draws the seed from its operating system, once in a node's life.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self::with_provider(seed, rust_crypto())
    }

    /// The identity of `seed`, signing through `crypto`.
    #[must_use]
    pub fn with_provider(seed: [u8; 32], crypto: &CryptoProvider) -> Self {
        //= spec/identity.md#pp-id-1
        //# A node is identified by an Ed25519 key.
        //= spec/identity.md#pp-id-2
        //# The key pair is made on the node and its private half never leaves it.
        let key = crypto.signature.signing_key(&seed);
        Self { seed: Zeroizing::new(seed), public: PublicKey(key.public()), key }
    }

    /// The seed, to be written where only its owner can read.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        self.seed.clone()
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.key.sign(message)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    //= spec/identity.md#pp-id-6
    //= type=test
    //# The text of a key is standard base64 with padding.
    #[test]
    fn rfc_8032_key_has_its_text_form() {
        let seed = hex!("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let identity = Identity::from_seed(seed);
        assert_eq!(*identity.seed(), seed);
        let text = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        assert_eq!(identity.public().to_string(), text);
        assert_eq!(text.parse(), Ok(identity.public()));
        assert_eq!(format!("{identity:?}"), format!("Identity({text})"));
        assert!(identity.public().verify_strict(rust_crypto(), b"m", &identity.sign(b"m")));
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in [
            "",
            "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "AAAA",
            "not base64 at all!",
            "xCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo200=22A8",
        ] {
            assert_eq!(text.parse::<PublicKey>(), Err(KeyError), "{text}");
        }
        assert!(KeyError.to_string().contains("base64"));
    }
}
