//! Token buckets per source, in a bounded table. Decides how often a source may ask; refuses to know for what, and needs no randomness.

use crate::time::Timestamp;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// Limits each source to a rate with a burst. When the table is full the longest-idle source is forgotten, in O(log n).
#[derive(Debug)]
pub struct RateLimiter<K> {
    /// Time one token takes to grow.
    interval: Duration,
    /// Tokens an idle source has.
    burst: u32,
    /// Sources remembered.
    capacity: usize,
    buckets: BTreeMap<K, Bucket>,
    /// The same sources by when they last asked.
    idle: BTreeSet<(Timestamp, K)>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// When the bucket is full again: every token taken moves it on by one interval.
    full_at: Timestamp,
    last_asked: Timestamp,
}

impl<K: Ord + Clone> RateLimiter<K> {
    /// `per_second` requests a second, `burst` at once, for at most `capacity` sources. Zeroes count as one.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, capacity: usize) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            burst: burst.max(1),
            capacity: capacity.max(1),
            buckets: BTreeMap::new(),
            idle: BTreeSet::new(),
        }
    }

    /// Takes a token of `source`; `false` when it has none left. A refused request costs nothing but counts as activity.
    pub fn allow(&mut self, now: Timestamp, source: &K) -> bool {
        let known = self.buckets.get(source).copied();
        match known {
            Some(bucket) => {
                self.idle.remove(&(bucket.last_asked, source.clone()));
            }
            None => self.make_room(),
        }
        let full_at = known.map_or(now, |bucket| bucket.full_at.max(now));
        let after = full_at + self.interval;
        let allowed = after.saturating_since(now) <= self.interval.saturating_mul(self.burst);
        let full_at = if allowed { after } else { full_at };
        self.buckets.insert(source.clone(), Bucket { full_at, last_asked: now });
        self.idle.insert((now, source.clone()));
        allowed
    }

    /// Sources remembered.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.buckets.len()
    }

    fn make_room(&mut self) {
        while self.buckets.len() >= self.capacity {
            //= spec/rate-limits.md#pp-rate-7
            //# A table of sources has a bound and forgets the longest idle first.
            let Some((_, source)) = self.idle.pop_first() else { return };
            self.buckets.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    #[test]
    fn burst_then_rate() {
        let mut limiter = RateLimiter::new(5, 5, 16);
        let taken = (0..20).filter(|_| limiter.allow(at(0), &1)).count();
        assert_eq!(taken, 5);
        assert!(!limiter.allow(at(199), &1));
        assert!(limiter.allow(at(200), &1) && !limiter.allow(at(200), &1));
        assert!(limiter.allow(at(200), &2), "sources do not share");
        let in_ten_seconds = (1000..11_000).filter(|millis| limiter.allow(at(*millis), &1)).count();
        assert!((50..=55).contains(&in_ten_seconds), "{in_ten_seconds}");
    }

    //= spec/rate-limits.md#pp-rate-7
    //= type=test
    //# A table of sources has a bound and forgets the longest idle first.
    #[test]
    fn the_longest_idle_source_is_forgotten() {
        let mut limiter = RateLimiter::new(1, 1, 2);
        assert!(limiter.allow(at(0), &1) && limiter.allow(at(1), &2));
        assert!(!limiter.allow(at(2), &1), "1 is now the more recent");
        assert!(limiter.allow(at(3), &3));
        assert!(!limiter.allow(at(4), &1), "still remembered");
        assert_eq!(limiter.sources(), 2);
    }
}
