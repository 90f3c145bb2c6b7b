//! Our X25519 pair for one peer, and the judgement of the peer's. Knows no sessions.

use super::types::{Context, ExchangeError};
use crate::crypto::{CryptoProvider, ExchangeSecret, Identity, PublicKey};
use crate::ids::NodeId;
use crate::wire::AuthenticatedKeyExchange;
use crate::wire::frame::{AUTHENTICATED_KEY_EXCHANGE_LEN, signed_message};

/// Our pair for one peer. Per peer and not per process, so that no two peers' keys have anything in common.
#[derive(Debug)]
pub(super) struct OwnKeys {
    pub(super) secret: ExchangeSecret,
    pub(super) public: [u8; 32],
    /// The signed frame, made once: whoever makes us repeat it costs us no signature.
    frame: Option<[u8; AUTHENTICATED_KEY_EXCHANGE_LEN]>,
}

impl OwnKeys {
    pub(super) fn generate(context: &mut Context<'_>) -> Self {
        //= spec/exchange.md#pp-kex-19
        //# The own X25519 pair is made for one peer and never used with another.
        let secret = ExchangeSecret::from_bytes(context.rng.bytes());
        let public = context.crypto.exchange.public(&secret);
        Self { secret, public, frame: None }
    }

    /// The PILA that tells `public`.
    pub(super) fn frame(&mut self, local: NodeId, identity: &Identity) -> [u8; AUTHENTICATED_KEY_EXCHANGE_LEN] {
        *self.frame.get_or_insert_with(|| {
            AuthenticatedKeyExchange {
                sender: local,
                exchange_public: self.public,
                identity_public: identity.public().0,
                signature: identity.sign(&signed_message(local, &self.public)),
            }
            .to_bytes()
        })
    }
}

/// `exchange` is signed by `key`. The carried identity must be the same one, but is trusted in nothing.
///
/// # Errors
/// [`ExchangeError::IdentityMismatch`] or [`ExchangeError::Signature`].
pub fn verify(
    exchange: &AuthenticatedKeyExchange,
    key: &PublicKey,
    crypto: &CryptoProvider,
) -> Result<(), ExchangeError> {
    //= spec/exchange.md#pp-kex-6
    //# The identity key carried in a PILA must equal the one known for its sender from the registry, the trust store or the host, or the
    //# frame is dropped.
    if exchange.identity_public != key.0 {
        return Err(ExchangeError::IdentityMismatch);
    }
    //= spec/exchange.md#pp-kex-7
    //# A PILA is verified with the known identity key, strictly: non-canonical signatures and low-order points are refused.
    if !key.verify_strict(crypto, &exchange.signed_message(), &exchange.signature) {
        return Err(ExchangeError::Signature);
    }
    Ok(())
}
