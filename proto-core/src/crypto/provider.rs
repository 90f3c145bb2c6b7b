//! Where the primitives come from: a struct of trait objects, filled once by the host. Decides nothing; knows no key's purpose.

use super::secret::{ExchangeSecret, SharedSecret};
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use core::fmt;
use ed25519_dalek::Signer as _;
use zeroize::Zeroizing;

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;
/// Bytes of an authentication tag.
pub const TAG_LEN: usize = 16;

/// The primitives an endpoint uses.
#[derive(Clone, Copy)]
pub struct CryptoProvider {
    /// Shown in diagnostics.
    pub name: &'static str,
    /// AES-256-GCM.
    pub aead: &'static dyn Aead,
    /// X25519.
    pub exchange: &'static dyn KeyAgreement,
    /// Ed25519.
    pub signature: &'static dyn SignatureScheme,
}

impl fmt::Debug for CryptoProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CryptoProvider").field(&self.name).finish()
    }
}

/// Makes AES-256-GCM keys.
pub trait Aead: Send + Sync {
    /// Expands `key`; the result wipes itself when dropped.
    fn key(&self, key: &[u8; 32]) -> Box<dyn AeadKey>;
}

/// One expanded AES-256-GCM key. Neither method allocates.
pub trait AeadKey: Send + Sync {
    /// Encrypts `data` in place and returns the tag. A nonce must never be used twice.
    ///
    /// # Errors
    /// [`AeadError`] when `data` is longer than the algorithm allows (64 GiB).
    fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG_LEN], AeadError>;

    /// Decrypts `data` in place. **On failure `data` must be unchanged**: callers try several keys on the same bytes.
    ///
    /// # Errors
    /// [`AeadError`] when the tag does not fit.
    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), AeadError>;
}

/// Sealing or opening failed; there is deliberately no more to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AeadError;

impl fmt::Display for AeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("authentication failed")
    }
}

impl std::error::Error for AeadError {}

/// X25519 (RFC 7748).
pub trait KeyAgreement: Send + Sync {
    /// The public half of `secret`.
    fn public(&self, secret: &ExchangeSecret) -> [u8; 32];

    /// The shared secret, or `None` when it would be all zero: the peer sent a low-order point.
    fn agree(&self, secret: &ExchangeSecret, peer: &[u8; 32]) -> Option<SharedSecret>;
}

/// Ed25519 (RFC 8032).
pub trait SignatureScheme: Send + Sync {
    /// Expands `seed`; the result wipes itself when dropped.
    fn signing_key(&self, seed: &[u8; 32]) -> Box<dyn SigningKey>;

    /// `signature` is a canonical one of `message` by `public`, which is no low-order point.
    fn verify_strict(&self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;
}

/// One expanded Ed25519 key.
pub trait SigningKey: Send + Sync {
    /// The public half.
    fn public(&self) -> [u8; 32];

    /// Signs `message`.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// The provider in pure Rust, which builds everywhere the core does.
#[must_use]
pub fn rust_crypto() -> &'static CryptoProvider {
    static PROVIDER: CryptoProvider =
        CryptoProvider { name: "RustCrypto", aead: &RustCrypto, exchange: &RustCrypto, signature: &RustCrypto };
    &PROVIDER
}

struct RustCrypto;

impl Aead for RustCrypto {
    fn key(&self, key: &[u8; 32]) -> Box<dyn AeadKey> {
        Box::new(GcmKey(Aes256Gcm::new(key.into())))
    }
}

struct GcmKey(Aes256Gcm);

impl AeadKey for GcmKey {
    fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG_LEN], AeadError> {
        let nonce = Nonce::from(*nonce);
        self.0.encrypt_inout_detached(&nonce, aad, data.into()).map(Into::into).map_err(|_| AeadError)
    }

    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), AeadError> {
        let (nonce, tag) = (Nonce::from(*nonce), Tag::from(*tag));
        self.0.decrypt_inout_detached(&nonce, aad, data.into(), &tag).map_err(|_| AeadError)
    }
}

impl KeyAgreement for RustCrypto {
    fn public(&self, secret: &ExchangeSecret) -> [u8; 32] {
        let secret = x25519_dalek::StaticSecret::from(*secret.expose());
        x25519_dalek::PublicKey::from(&secret).to_bytes()
    }

    fn agree(&self, secret: &ExchangeSecret, peer: &[u8; 32]) -> Option<SharedSecret> {
        let secret = x25519_dalek::StaticSecret::from(*secret.expose());
        let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(*peer));
        //= spec/exchange.md#pp-kex-1
        //# The shared secret is X25519 of the own private and the peer's public key.
        //= spec/exchange.md#pp-kex-27
        //# A peer's X25519 public key is read as RFC 7748 section 5 says: its highest bit is ignored, and values of the prime and above are reduced.
        //= spec/exchange.md#pp-kex-2
        //# An all-zero shared secret is refused.
        shared.was_contributory().then(|| SharedSecret::from_bytes(*shared.as_bytes()))
    }
}

impl SignatureScheme for RustCrypto {
    fn signing_key(&self, seed: &[u8; 32]) -> Box<dyn SigningKey> {
        Box::new(Ed25519Key(ed25519_dalek::SigningKey::from_bytes(&Zeroizing::new(*seed))))
    }

    fn verify_strict(&self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        ed25519_dalek::VerifyingKey::from_bytes(public)
            .and_then(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)))
            .is_ok()
    }
}

struct Ed25519Key(ed25519_dalek::SigningKey);

impl SigningKey for Ed25519Key {
    fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn a_failed_open_leaves_the_bytes_for_the_next_key() {
        let (right, wrong) = (rust_crypto().aead.key(&[1; 32]), rust_crypto().aead.key(&[2; 32]));
        let mut data = *b"plain text of some length";
        let tag = right.seal_in_place(&[9; 12], b"aad", &mut data).unwrap();
        let sealed = data;
        assert_eq!(wrong.open_in_place(&[9; 12], b"aad", &mut data, &tag), Err(AeadError));
        assert_eq!(right.open_in_place(&[9; 12], b"aae", &mut data, &tag), Err(AeadError));
        assert_eq!(data, sealed);
        right.open_in_place(&[9; 12], b"aad", &mut data, &tag).unwrap();
        assert_eq!(&data, b"plain text of some length");
    }

    //= spec/exchange.md#pp-kex-1
    //= type=test
    //# The shared secret is X25519 of the own private and the peer's public key.
    //= spec/exchange.md#pp-kex-2
    //= type=test
    //# An all-zero shared secret is refused.
    #[test]
    fn agreement_matches_rfc_7748_and_refuses_low_order_points() {
        let a = ExchangeSecret::from_bytes(hex!("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
        let b_public = hex!("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        let exchange = rust_crypto().exchange;
        assert_eq!(exchange.public(&a), hex!("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
        let shared = exchange.agree(&a, &b_public).unwrap();
        assert_eq!(*shared.expose(), hex!("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"));
        let mut one = [0; 32];
        one[0] = 1;
        assert!(exchange.agree(&a, &[0; 32]).is_none() && exchange.agree(&a, &one).is_none());
    }

    //= spec/exchange.md#pp-kex-7
    //= type=test
    //# A PILA is verified with the known identity key, strictly: non-canonical signatures and low-order points are refused.
    #[test]
    fn verification_is_strict() {
        let signature = rust_crypto().signature;
        let key = signature.signing_key(&[3; 32]);
        let good = key.sign(b"message");
        assert!(signature.verify_strict(&key.public(), b"message", &good));
        assert!(!signature.verify_strict(&key.public(), b"massage", &good));
        // A low-order public key accepts a zero signature of anything unless verification is strict.
        let mut identity_point = [0; 32];
        identity_point[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        assert!(!signature.verify_strict(&identity_point, b"anything", &forged));
    }
}
