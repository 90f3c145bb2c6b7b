//! Which bytes beyond the first hole are there: a bounded set of disjoint ranges of stream offsets.

/// Disjoint, non-adjacent, ascending ranges `[start, end)`.
#[derive(Debug, Default)]
pub struct RangeSet {
    ranges: Vec<(u64, u64)>,
    bytes: u64,
}

impl RangeSet {
    /// Adds `[start, end)` and merges. `false` when it would need one more range than `limit`; nothing changes then.
    pub fn insert(&mut self, start: u64, end: u64, limit: usize) -> bool {
        if start >= end {
            return true;
        }
        let first = self.ranges.partition_point(|range| range.1 < start);
        let last = self.ranges.partition_point(|range| range.0 <= end);
        let touched = self.ranges.get(first..last).unwrap_or_default();
        let (Some(lowest), Some(highest)) = (touched.first(), touched.last()) else {
            if self.ranges.len() >= limit {
                return false;
            }
            self.ranges.insert(first, (start, end));
            self.bytes += end - start;
            return true;
        };
        let merged = (lowest.0.min(start), highest.1.max(end));
        let before: u64 = touched.iter().map(|range| range.1 - range.0).sum();
        self.bytes = self.bytes + (merged.1 - merged.0) - before;
        if let Some(slot) = self.ranges.get_mut(first) {
            *slot = merged;
        }
        self.ranges.drain(first + 1..last);
        true
    }

    /// Removes the range that `offset` touches, if one begins at or before it; gives that range's end.
    pub fn take_reached(&mut self, offset: u64) -> Option<u64> {
        let reached = self.ranges.partition_point(|range| range.0 <= offset);
        let end = self.ranges.get(..reached)?.last()?.1;
        self.bytes -= self.ranges.drain(..reached).map(|range| range.1 - range.0).sum::<u64>();
        Some(end)
    }

    /// Forgets everything below `offset`.
    pub fn remove_below(&mut self, offset: u64) {
        let gone = self.ranges.partition_point(|range| range.1 <= offset);
        self.bytes -= self.ranges.drain(..gone).map(|range| range.1 - range.0).sum::<u64>();
        if let Some(first) = self.ranges.first_mut().filter(|first| first.0 < offset) {
            self.bytes -= offset - first.0;
            first.0 = offset;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.ranges.clear();
        self.bytes = 0;
    }

    /// The parts of `[start, end)` that are not in the set, in order, `visit`ed as ranges.
    pub fn for_each_gap(&self, start: u64, end: u64, mut visit: impl FnMut(u64, u64)) {
        let first = self.ranges.partition_point(|range| range.1 <= start);
        let mut at = start;
        for range in self.ranges.get(first..).unwrap_or_default().iter().take_while(|range| range.0 < end) {
            if at < range.0 {
                visit(at, range.0);
            }
            at = at.max(range.1);
        }
        if at < end {
            visit(at, end);
        }
    }

    /// The range that holds `offset`.
    #[must_use]
    pub fn containing(&self, offset: u64) -> Option<(u64, u64)> {
        let after = self.ranges.partition_point(|range| range.0 <= offset);
        self.ranges.get(..after)?.last().copied().filter(|range| offset < range.1)
    }

    /// All ranges, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Bytes in the set.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Nothing in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_bitmap(steps in prop::collection::vec((0_u64..200, 0_u64..40), 1..60), cut in 0_u64..250) {
            let (mut set, mut bitmap) = (RangeSet::default(), [false; 256]);
            for (start, len) in steps {
                let mut gap_bytes = 0;
                set.for_each_gap(start, start + len, |from, to| {
                    assert!(from < to, "an empty gap");
                    gap_bytes += to - from;
                });
                let slots = &mut bitmap[start as usize..(start + len) as usize];
                prop_assert_eq!(gap_bytes as usize, slots.iter().filter(|there| !**there).count());
                slots.fill(true);
                prop_assert!(set.insert(start, start + len, 256));
                prop_assert_eq!(set.bytes() as usize, bitmap.iter().filter(|there| **there).count());
                prop_assert!(set.ranges().windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
            for (at, there) in bitmap.iter().enumerate() {
                let holds = set.containing(at as u64);
                prop_assert_eq!(holds.is_some(), *there);
                prop_assert!(holds.is_none_or(|(from, to)| from <= at as u64 && (at as u64) < to));
            }
            let mut kept = RangeSet::default();
            set.ranges().iter().for_each(|(from, to)| assert!(kept.insert(*from, *to, 256)));
            kept.remove_below(cut);
            prop_assert!(kept.ranges().iter().all(|(from, to)| cut <= *from && from < to));
            prop_assert_eq!(kept.bytes() as usize, bitmap[cut as usize..].iter().filter(|there| **there).count());
            kept.clear();
            prop_assert!(kept.is_empty() && kept.bytes() == 0);
            let end = set.take_reached(50);
            prop_assert_eq!(set.bytes(), set.ranges().iter().map(|(from, to)| to - from).sum::<u64>());
            let reached = (0..=50).rev().find(|at| bitmap[*at]).map(|at| (at..256).find(|i| !bitmap[*i]).unwrap_or(256));
            let expected = reached.filter(|_| end.is_some());
            prop_assert_eq!(end.map(|e| e as usize), expected);
        }
    }

    //= spec/sack.md#pp-sack-11
    //= type=test
    //# A receiver holds at most 1024 ranges beyond the first hole.
    #[test]
    fn is_bounded() {
        let mut set = RangeSet::default();
        assert!(set.insert(0, 1, 2) && set.insert(2, 3, 2));
        assert!(!set.insert(4, 5, 2), "a third range is refused");
        assert!(set.insert(3, 4, 2), "what merges is not");
        assert_eq!(set.ranges(), [(0, 1), (2, 4)]);
    }
}
