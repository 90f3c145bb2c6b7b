//! A small mutator for stable Rust: no coverage, but the same inputs for the same seed, so a failure can be had again.

use proto_core::rng::Rng;

/// Inputs grow to this many bytes at most.
const MAX_LEN: usize = 2048;

/// Makes inputs from a corpus.
#[derive(Debug)]
pub struct Mutator {
    corpus: Vec<Vec<u8>>,
    rng: Rng,
}

impl Mutator {
    /// A mutator of `corpus`, which may be empty.
    #[must_use]
    pub fn new(mut corpus: Vec<Vec<u8>>, seed: u64) -> Self {
        corpus.push(Vec::new());
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self { corpus, rng: Rng::new(bytes) }
    }

    /// The next input: one of the corpus, changed a few times.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.pick();
        for _ in 0..=self.rng.below(6) {
            self.change(&mut input);
        }
        input.truncate(MAX_LEN);
        input
    }

    fn pick(&mut self) -> Vec<u8> {
        let index = self.below(self.corpus.len());
        self.corpus[index].clone()
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound.max(1) as u64) as usize
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let len = 1 + self.below(16);
        match self.rng.below(7) {
            0 => drop(input.splice(at..at, (0..len).map(|_| self.rng.next_u32() as u8))),
            1 => drop(input.drain(at..(at + len).min(input.len()))),
            2 => {
                let piece: Vec<u8> = input[at..(at + 4 * len).min(input.len())].to_vec();
                drop(input.splice(at..at, piece));
            }
            3 => {
                let other = self.pick();
                let from = self.below(other.len() + 1);
                input.splice(at.., other[from..].iter().copied());
            }
            4 => input.truncate(at),
            kind => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = if kind == 5 { self.rng.next_u32() as u8 } else { *byte ^ 1 << self.rng.below(8) };
                }
            }
        }
    }
}
