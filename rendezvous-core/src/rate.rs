//! Decides whether a source may do one more thing now: token buckets in a table of bounded size.
//! Refuses to know what the thing is.

use core::fmt::Debug;
use core::net::{IpAddr, Ipv6Addr};
use proto_core::Timestamp;
use std::collections::BTreeMap;

/// How often something may happen: so many a second on average, so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens refilled in a span of `per_micros`.
    pub tokens: u64,
    /// The span, microseconds.
    pub per_micros: u64,
    /// Tokens a full bucket holds.
    pub burst: u64,
}

impl Rate {
    /// No limit that anybody reaches.
    pub const UNLIMITED: Self = Self { tokens: 1 << 40, per_micros: 1, burst: 1 << 40 };

    /// `tokens` a second, `burst` at once.
    #[must_use]
    pub const fn per_second(tokens: u64, burst: u64) -> Self {
        Self { tokens, per_micros: 1_000_000, burst }
    }

    /// `tokens` a minute, `burst` at once.
    #[must_use]
    pub const fn per_minute(tokens: u64, burst: u64) -> Self {
        Self { tokens, per_micros: 60_000_000, burst }
    }
}

/// What counts as one source: an IPv4 address, or the /64 an IPv6 host picks its addresses from.
#[must_use]
pub fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// One source's bucket, in millionths of the rate's span so that slow rates refill evenly.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u128,
    filled: Timestamp,
}

impl Bucket {
    fn take(&mut self, rate: Rate, now: Timestamp, tokens: u64) -> bool {
        let unit = u128::from(rate.per_micros);
        let elapsed = now.saturating_since(self.filled).as_micros();
        self.level = (self.level + elapsed * u128::from(rate.tokens)).min(u128::from(rate.burst) * unit);
        self.filled = self.filled.max(now);
        let price = u128::from(tokens) * unit;
        let allowed = self.level >= price;
        if allowed {
            self.level -= price;
        }
        allowed
    }
}

/// Buckets by source. Two generations of half the bound each: what was not used in either is forgotten, so a flood of
/// forged sources costs a constant amount of memory and a forgotten source merely starts with a full bucket.
#[derive(Clone, Debug)]
pub struct RateTable<K> {
    rate: Rate,
    capacity: usize,
    recent: BTreeMap<K, Bucket>,
    older: BTreeMap<K, Bucket>,
}

impl<K: Ord + Copy + Debug> RateTable<K> {
    /// A table of at most `capacity` sources, each at `rate`.
    #[must_use]
    pub const fn new(rate: Rate, capacity: usize) -> Self {
        Self { rate, capacity, recent: BTreeMap::new(), older: BTreeMap::new() }
    }

    /// Takes `tokens` from `source`'s bucket if they are there.
    pub fn take(&mut self, source: K, now: Timestamp, tokens: u64) -> bool {
        let rate = self.rate;
        if let Some(bucket) = self.recent.get_mut(&source) {
            return bucket.take(rate, now, tokens);
        }
        let full = Bucket { level: u128::from(rate.burst) * u128::from(rate.per_micros), filled: now };
        let mut bucket = self.older.remove(&source).unwrap_or(full);
        let allowed = bucket.take(rate, now, tokens);
        if self.recent.len() >= self.capacity / 2 {
            self.older = core::mem::take(&mut self.recent);
        }
        self.recent.insert(source, bucket);
        allowed
    }

    /// Sources remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.recent.len() + self.older.len()
    }

    /// Nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut table = RateTable::new(Rate::per_minute(10, 3), 100);
        assert_eq!((0..5).filter(|_| table.take(1, at(0), 1)).count(), 3);
        assert!(!table.take(1, at(5), 1) && table.take(1, at(6), 1));
        assert!(table.take(2, at(0), 1), "sources do not share a bucket");
    }

    #[test]
    fn a_clock_that_goes_back_refills_nothing() {
        let mut table = RateTable::new(Rate::per_second(1, 1), 100);
        assert!(table.take(1, at(10), 1));
        assert!(!table.take(1, at(3), 1) && !table.take(1, at(10), 1) && table.take(1, at(11), 1));
    }

    #[test]
    fn a_flood_of_sources_stays_within_the_bound_and_keeps_the_active_one() {
        let mut table = RateTable::new(Rate::per_minute(1, 1), 100);
        assert!(table.take(0, at(0), 1));
        for source in 1..10_000_u32 {
            table.take(source, at(1), 1);
            assert!(!table.take(0, at(1), 1), "still empty after {source} others");
            assert!(table.len() <= 100);
        }
    }
}
