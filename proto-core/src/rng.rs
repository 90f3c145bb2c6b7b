//! All randomness of the core: one ChaCha20 stream from the host's 32-byte seed.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use core::fmt;

/// A cryptographically strong generator. Same seed, same numbers.
pub struct Rng(ChaCha20Rng);

impl Rng {
    /// A generator from `seed`. The host draws the seed from its operating system, once.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..bound`, zero when `bound` is zero. The bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// An independent generator, for a part that must not disturb the order of the others' draws.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.bytes())
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_bytes_and_bounds_hold() {
        let (mut a, mut b) = (Rng::new([7; 32]), Rng::new([7; 32]));
        assert_eq!(a.bytes::<64>(), b.bytes::<64>());
        assert_ne!(a.fork().bytes::<16>(), b.bytes::<16>());
        assert!((0..1000).all(|_| a.below(10) < 10));
        assert_eq!(a.below(0), 0);
    }
}
