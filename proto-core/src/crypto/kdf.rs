//! From a shared secret to a key: HKDF-SHA256 with an empty salt (PP-KEX-3). Nothing else is mixed in, as in every deployed peer.

use super::secret::{ChannelKey, SECRET_LEN, SharedSecret, TunnelKey};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The SHA-256 of `bytes`, which tells nobody what they were.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The key of a tunnel session.
#[must_use]
pub fn tunnel_key(shared: &SharedSecret) -> TunnelKey {
    TunnelKey::from_bytes(*expand(shared, b"pilot-tunnel-v1"))
}

/// The key of a secure channel on port 443.
#[must_use]
pub fn secure_channel_key(shared: &SharedSecret) -> ChannelKey {
    ChannelKey::from_bytes(*expand(shared, b"pilot-secure-v1"))
}

fn expand(shared: &SharedSecret, info: &[u8]) -> Zeroizing<[u8; SECRET_LEN]> {
    let mut key = Zeroizing::new([0; SECRET_LEN]);
    //= spec/exchange.md#pp-kex-3
    //# The session key is HKDF-SHA256 of the shared secret with an empty salt and the info `pilot-tunnel-v1`.
    //= spec/secure-channel.md#pp-chan-2
    //# The channel's key is HKDF-SHA256 of the shared secret with an empty salt and the info `pilot-secure-v1`.
    let expanded = Hkdf::<Sha256>::new(None, shared.expose()).expand(info, key.as_mut());
    debug_assert!(expanded.is_ok(), "one hash length is never too much for HKDF");
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    //= spec/exchange.md#pp-kex-3
    //= type=test
    //# The session key is HKDF-SHA256 of the shared secret with an empty salt
    //= spec/secure-channel.md#pp-chan-2
    //= type=test
    //# The channel's key is HKDF-SHA256 of the shared secret with an empty salt
    #[test]
    fn keys_match_the_vectors() {
        let shared = SharedSecret::from_bytes(hex!("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"));
        assert_eq!(
            *tunnel_key(&shared).expose(),
            hex!("3e765a2f49fe2a9185dd5d57c08a3525060d2d2c2b2a356fadef25f614d38662")
        );
        assert_eq!(
            *secure_channel_key(&shared).expose(),
            hex!("cddb817500383058931b912ed913882f4a6f0facbe47dd907100dac3913a2dbf")
        );
    }

    /// FIPS 180-4's example.
    #[test]
    fn sha256_is_that_of_the_standard() {
        assert_eq!(sha256(b"abc"), hex!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    }
}
