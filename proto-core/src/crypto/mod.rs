//! Keys and what is done with them: identity, key derivation, nonces, replay windows, the secure channel.
//!
//! Decides how bytes are signed, derived, sealed and judged fresh; refuses to know peers, paths, exchanges and the time of day.
//! Every primitive comes through [`CryptoProvider`], so another implementation is a value, not a feature flag.

pub mod channel;
pub mod identity;
pub mod kdf;
pub mod nonce;
pub mod provider;
pub mod replay;
pub mod secret;

pub use identity::{Identity, KeyError, PublicKey, Signature};
pub use nonce::NoncePrefix;
pub use provider::{AeadError, AeadKey, CryptoProvider, rust_crypto};
pub use replay::{ReplaySet, ReplayVerdict, ReplayWindow};
pub use secret::{ChannelKey, ExchangeSecret, SharedSecret, TunnelKey};
