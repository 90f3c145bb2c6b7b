//! Nonces: a 4-byte prefix and an 8-byte counter, big-endian. Decides only how the two directions of one key stay apart (PP-NONCE-1, PP-NONCE-5).

use super::provider::NONCE_LEN;
use crate::ids::NodeId;

/// The first four bytes of a nonce: one sender's frames under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoncePrefix(pub [u8; 4]);

/// The bit that says the sealer has the larger node ID.
const DIRECTION: u32 = 1 << 31;

impl NoncePrefix {
    /// A prefix from 31 of the 32 `random` bits. The top bit is set by whoever has the larger ID, so the two ends of a key never share a prefix.
    #[must_use]
    pub const fn for_direction(random: u32, own: NodeId, peer: NodeId) -> Self {
        //= spec/nonces.md#pp-nonce-5
        //# The prefix is drawn once for each key and keeps the top bit set when the own node is the larger of the two, clear otherwise.
        let bits = if own.0 > peer.0 { random | DIRECTION } else { random & !DIRECTION };
        Self(bits.to_be_bytes())
    }

    /// The nonce of this prefix and `counter`.
    #[must_use]
    //= spec/nonces.md#pp-nonce-1
    //# A nonce is a prefix of 4 bytes and a counter of 8 bytes, big-endian.
    pub const fn nonce(self, counter: u64) -> [u8; NONCE_LEN] {
        let [p0, p1, p2, p3] = self.0;
        let [c0, c1, c2, c3, c4, c5, c6, c7] = counter.to_be_bytes();
        [p0, p1, p2, p3, c0, c1, c2, c3, c4, c5, c6, c7]
    }

    /// The two parts of `nonce`.
    #[must_use]
    pub const fn split(nonce: &[u8; NONCE_LEN]) -> (Self, u64) {
        let [p0, p1, p2, p3, c0, c1, c2, c3, c4, c5, c6, c7] = *nonce;
        (Self([p0, p1, p2, p3]), u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/nonces.md#pp-nonce-5
    //= type=test
    //# The prefix is drawn once for each key and keeps the top bit set when the own node is the larger of the two, clear otherwise.
    #[test]
    fn directions_never_share_a_prefix() {
        for random in [0, 1, u32::MAX, 0x8000_0000, 0x7FFF_FFFF] {
            let (low, high) = (NodeId(1), NodeId(2));
            assert_eq!(NoncePrefix::for_direction(random, low, high).0[0] & 0x80, 0);
            assert_eq!(NoncePrefix::for_direction(random, high, low).0[0] & 0x80, 0x80);
        }
    }

    #[test]
    fn parts_come_back() {
        let prefix = NoncePrefix([1, 2, 3, 4]);
        assert_eq!(NoncePrefix::split(&prefix.nonce(u64::MAX - 1)), (prefix, u64::MAX - 1));
    }
}
