//! Decides whether a message was taken before. Refuses to know what it says.

use crate::limits::TRUST_REPLAY_WINDOW;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, VecDeque};

/// The last [`TRUST_REPLAY_WINDOW`] messages, by their SHA-256.
#[derive(Debug, Default)]
pub(super) struct Replay {
    known: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Replay {
    /// Messages remembered.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// `true` the first time these bytes come.
    pub(super) fn admit(&mut self, message: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(message).into();
        if !self.known.insert(digest) {
            return false;
        }
        self.order.push_back(digest);
        if self.order.len() > TRUST_REPLAY_WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/trust.md#pp-trust-6
    //= type=test
    //# A trust message is taken once.
    #[test]
    fn the_window_forgets_the_oldest_only() {
        let mut replay = Replay::default();
        let last = u32::try_from(TRUST_REPLAY_WINDOW).unwrap();
        assert!((0..=last).all(|n| replay.admit(&n.to_be_bytes())));
        assert!(!replay.admit(&1_u32.to_be_bytes()));
        assert!(replay.admit(&0_u32.to_be_bytes()));
        assert_eq!(replay.known.len(), TRUST_REPLAY_WINDOW);
    }
}
