//! Secret bytes, one type per purpose, so that none can stand for another. All are wiped when dropped and never printed.

use core::fmt;
use zeroize::Zeroizing;

/// Bytes of every secret here.
pub const SECRET_LEN: usize = 32;

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        //= spec/exchange.md#pp-kex-4
        //# Shared secrets and keys are wiped from memory when they are no longer needed.
        pub struct $name(Zeroizing<[u8; SECRET_LEN]>);

        impl $name {
            /// Takes the bytes over. The caller's copy is the caller's to wipe.
            #[must_use]
            pub fn from_bytes(bytes: [u8; SECRET_LEN]) -> Self {
                Self(Zeroizing::new(bytes))
            }

            /// The bytes, for a primitive.
            #[must_use]
            pub fn expose(&self) -> &[u8; SECRET_LEN] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

secret! {
    /// The private half of an X25519 pair; any 32 bytes, clamped on use (RFC 7748 section 5).
    ExchangeSecret
}
secret! {
    /// What X25519 agreed on, never all zero.
    SharedSecret
}
secret! {
    /// The AES-256 key of a tunnel session (PP-KEX-3).
    TunnelKey
}
secret! {
    /// The AES-256 key of a secure channel (PP-CHAN-2).
    ChannelKey
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/exchange.md#pp-kex-4
    //= type=test
    //# Shared secrets and keys are wiped from memory when they are no longer needed.
    #[test]
    fn whatever_holds_a_secret_wipes_it_when_dropped() {
        fn is_wiped<T: zeroize::ZeroizeOnDrop>(_: &T) {}
        is_wiped(&ExchangeSecret::from_bytes([1; 32]).0);
        is_wiped(&SharedSecret::from_bytes([1; 32]).0);
        is_wiped(&TunnelKey::from_bytes([1; 32]).0);
        is_wiped(&ChannelKey::from_bytes([1; 32]).0);
        is_wiped(&ed25519_dalek::SigningKey::from_bytes(&[1; 32]));
        is_wiped(&x25519_dalek::StaticSecret::from([1; 32]));
        is_wiped(&<aes_gcm::Aes256Gcm as aes_gcm::KeyInit>::new(&[1; 32].into()));
    }

    #[test]
    fn debug_shows_no_contents() {
        assert_eq!(format!("{:?}", TunnelKey::from_bytes([0xAB; 32])), "TunnelKey(..)");
    }
}
