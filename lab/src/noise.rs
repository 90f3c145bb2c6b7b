//! Bytes that look random and are the same in every run, and what identifies a file of them.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// SplitMix64: small, fast, and good enough to be incompressible.
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// The same seed gives the same bytes.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap();
        usize::try_from(self.next() % limit).unwrap()
    }

    /// Overwrites all of `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    /// So many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}

/// Writes a file of so many bytes and gives its SHA-256 as hexadecimal text.
pub fn write_file(path: &Path, megabytes: usize) -> String {
    let (mut noise, mut digest) = (Noise::new(7), Sha256::new());
    let mut file = File::create(path).unwrap();
    let mut block = vec![0; 1_000_000];
    for _ in 0..megabytes {
        noise.fill(&mut block);
        digest.update(&block);
        file.write_all(&block).unwrap();
    }
    data_encoding::HEXLOWER.encode(&digest.finalize())
}

/// The SHA-256 of a file as hexadecimal text.
pub fn digest(path: &Path) -> String {
    let (mut file, mut digest) = (File::open(path).unwrap(), Sha256::new());
    let mut block = vec![0; 1_000_000];
    loop {
        let length = file.read(&mut block).unwrap();
        if length == 0 {
            return data_encoding::HEXLOWER.encode(&digest.finalize());
        }
        digest.update(&block[..length]);
    }
}
