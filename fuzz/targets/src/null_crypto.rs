//! A provider that protects nothing, so that a fuzzer gets past the primitives. It exists for these targets only.
//!
//! Sealing leaves bytes as they are under a tag of zeros; a tag whose first byte is [`REFUSED`] does not open, every other one does. The public half of a secret
//! is the secret, what two agree on is their exclusive or, and every signature holds that does not begin with [`REFUSED`].

use proto_core::crypto::provider::{
    Aead, AeadError, AeadKey, CryptoProvider, KeyAgreement, NONCE_LEN, SignatureScheme, SigningKey, TAG_LEN,
};
use proto_core::crypto::{ExchangeSecret, SharedSecret};

/// How a tag or signature begins that is refused.
pub(crate) const REFUSED: u8 = 0xFF;

pub(crate) fn null_crypto() -> &'static CryptoProvider {
    static PROVIDER: CryptoProvider =
        CryptoProvider { name: "null", aead: &NullCrypto, exchange: &NullCrypto, signature: &NullCrypto };
    &PROVIDER
}

struct NullCrypto;

impl Aead for NullCrypto {
    fn key(&self, _key: &[u8; 32]) -> Box<dyn AeadKey> {
        Box::new(Self)
    }
}

impl AeadKey for NullCrypto {
    fn seal_in_place(&self, _: &[u8; NONCE_LEN], _: &[u8], _: &mut [u8]) -> Result<[u8; TAG_LEN], AeadError> {
        Ok([0; TAG_LEN])
    }

    fn open_in_place(&self, _: &[u8; NONCE_LEN], _: &[u8], _: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), AeadError> {
        if tag[0] == REFUSED { Err(AeadError) } else { Ok(()) }
    }
}

impl KeyAgreement for NullCrypto {
    fn public(&self, secret: &ExchangeSecret) -> [u8; 32] {
        *secret.expose()
    }

    fn agree(&self, secret: &ExchangeSecret, peer: &[u8; 32]) -> Option<SharedSecret> {
        let shared: [u8; 32] = core::array::from_fn(|i| secret.expose()[i] ^ peer[i]);
        (shared != [0; 32]).then(|| SharedSecret::from_bytes(shared))
    }
}

impl SignatureScheme for NullCrypto {
    fn signing_key(&self, seed: &[u8; 32]) -> Box<dyn SigningKey> {
        Box::new(NullKey(*seed))
    }

    fn verify_strict(&self, _: &[u8; 32], _: &[u8], signature: &[u8; 64]) -> bool {
        signature[0] != REFUSED
    }
}

struct NullKey([u8; 32]);

impl SigningKey for NullKey {
    fn public(&self) -> [u8; 32] {
        self.0
    }

    fn sign(&self, _: &[u8]) -> [u8; 64] {
        [0; 64]
    }
}
