//! Which external port a symmetric NAT gave to a mapping that nobody outside has seen.
//!
//! Each fresh socket asks one beacon address, writes to the peer, and asks another beacon address, in this order: the mapping toward the
//! peer lies between two that were seen. Decides from these pairs alone; it refuses to know when and how they were taken.

use crate::limits::MAX_PREDICTED_PORTS;

/// Pairs further apart than this say nothing about what lies between them.
const LARGEST_GAP: u16 = 16;
/// Ports within fewer than this many are a block of the NAT's; by chance ten of them would not be.
const LARGEST_BLOCK: u16 = 4096;
/// Fewer ports than this show no block.
const LEAST_SAMPLES: usize = 8;
/// Ports below this are not given to mappings.
const FIRST_PORT: u16 = 1024;

/// What the beacons saw of one fresh socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The port toward the first address asked.
    pub before: u16,
    /// The port toward the second one, if its answer came.
    pub after: Option<u16>,
}

/// Where the mappings toward the peer probably are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prediction {
    /// Single ports, the likeliest first; at most [`MAX_PREDICTED_PORTS`].
    pub ports: Vec<u16>,
    /// First and last of the ports that this NAT seems to give out at all.
    pub range: Option<(u16, u16)>,
    /// That range is small enough to be searched at once.
    pub block: bool,
}

impl Prediction {
    //= spec/nat.md#pp-nat-18
    //# A symmetric NAT's next port is predicted from its steps.
    /// Judges the pairs. Half of them at least must agree that ports follow each other.
    #[must_use]
    pub fn from_sightings(sightings: &[Sighting]) -> Self {
        let between: Vec<Vec<u16>> = sightings.iter().map(|s| ports_between(*s)).collect();
        let sequential = between.iter().filter(|ports| !ports.is_empty()).count() * 2 >= sightings.len().max(1);
        let mut ports = Vec::new();
        if sequential {
            // The likeliest of each socket before the second likeliest of any.
            let longest = between.iter().map(Vec::len).max().unwrap_or_default();
            for rank in 0..longest {
                ports.extend(between.iter().filter_map(|list| list.get(rank)));
            }
            ports.truncate(MAX_PREDICTED_PORTS);
        }
        let seen: Vec<u16> = sightings.iter().flat_map(|s| [Some(s.before), s.after]).flatten().collect();
        let range = range_of(&seen);
        let block = range.is_some_and(|(first, last)| last - first < LARGEST_BLOCK) && seen.len() >= LEAST_SAMPLES;
        Self { ports, range, block }
    }

    /// There is something better to try than any port.
    #[must_use]
    pub const fn is_useful(&self) -> bool {
        !self.ports.is_empty() || self.block
    }
}

/// Ports strictly between the two that were seen, from the middle outward: other hosts' mappings fall on both sides of ours.
fn ports_between(sighting: Sighting) -> Vec<u16> {
    let Some(after) = sighting.after else { return Vec::new() };
    let (low, high) = (sighting.before.min(after), sighting.before.max(after));
    if high - low > LARGEST_GAP {
        return Vec::new();
    }
    let middle = low + (high - low) / 2;
    let mut inner: Vec<u16> = (low.saturating_add(1)..high).collect();
    inner.sort_by_key(|port| port.abs_diff(middle));
    inner
}

/// The range that `seen` were drawn from: of n drawn evenly, about one n-th lies beyond each extreme.
fn range_of(seen: &[u16]) -> Option<(u16, u16)> {
    let (low, high) = (*seen.iter().min()?, *seen.iter().max()?);
    if seen.len() < LEAST_SAMPLES {
        return None;
    }
    let margin = (high - low) / u16::try_from(seen.len()).unwrap_or(u16::MAX) + 1;
    Some((low.saturating_sub(margin).max(FIRST_PORT.min(low)), high.saturating_add(margin)))
}
