//! Whether a router restarted, from the seconds it counts (RFC 6886 section 3.6, RFC 6887 section 8.5).

use super::question::Protocol;
use crate::time::Timestamp;

/// The router's clock as last told, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Epoch(Option<(Timestamp, u32)>);

impl Epoch {
    /// Takes the epoch of a reply. `true`: the router's mappings are gone.
    pub(super) fn lost_state(&mut self, now: Timestamp, epoch: u32, protocol: Protocol) -> bool {
        let Some((then, before)) = self.0.replace((now, epoch)) else { return false };
        let (epoch, before) = (u64::from(epoch), u64::from(before));
        let here = now.saturating_since(then).as_secs();
        match protocol {
            // Its clock may run 1/8 slow and 2 s late; that it runs fast is no harm.
            Protocol::NatPmp => epoch + 2 < before + here * 7 / 8,
            Protocol::Pcp => {
                let there = epoch.saturating_sub(before);
                epoch + 1 < before || here + 2 < there - there / 16 || there + 2 < here - here / 16
            }
            // It has none.
            Protocol::Upnp => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn lost(protocol: Protocol, elapsed: u64, told: (u32, u32)) -> bool {
        let start = Timestamp::from_micros(5_000_000);
        let mut epoch = Epoch::default();
        assert!(!epoch.lost_state(start, told.0, protocol), "the first is news of nothing");
        epoch.lost_state(start + Duration::from_secs(elapsed), told.1, protocol)
    }

    /// The bounds of RFC 6886 section 3.6.
    #[test]
    fn nat_pmp_allows_a_slow_clock() {
        assert!(!lost(Protocol::NatPmp, 800, (1000, 1800)));
        assert!(!lost(Protocol::NatPmp, 800, (1000, 1698)), "7/8 of the time, and 2 s");
        assert!(lost(Protocol::NatPmp, 800, (1000, 1697)));
        assert!(lost(Protocol::NatPmp, 3600, (1000, 30)));
        assert!(!lost(Protocol::NatPmp, 10, (1000, 5000)), "a fast clock is no restart");
    }

    /// The bounds of RFC 6887 section 8.5.
    #[test]
    fn pcp_allows_a_sixteenth_each_way() {
        assert!(!lost(Protocol::Pcp, 1600, (1000, 2600)));
        assert!(!lost(Protocol::Pcp, 1600, (1000, 2498)));
        assert!(lost(Protocol::Pcp, 1600, (1000, 2497)));
        assert!(!lost(Protocol::Pcp, 0, (1000, 999)), "packets that overtook each other");
        assert!(lost(Protocol::Pcp, 0, (1000, 998)));
        assert!(lost(Protocol::Pcp, 10, (1000, 5000)), "a clock that leapt may have lost its state");
    }
}
