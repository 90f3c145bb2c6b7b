//! The round-trip time estimator of RFC 6298, in whole nanoseconds with truncating division as in the reference.

use core::time::Duration;

/// The retransmission timeout before any sample (RFC 6298 section 2.1).
//= spec/reliability.md#pp-rel-7
//# The retransmission timeout before any sample is 1 second.
pub const INITIAL_RTO: Duration = Duration::from_secs(1);
/// The retransmission timeout at least.
//= spec/reliability.md#pp-rel-8
//# The retransmission timeout is at least 200 milliseconds.
pub const MINIMUM_RTO: Duration = Duration::from_millis(200);
/// The retransmission timeout at most, backed off or not.
//= spec/reliability.md#pp-rel-9
//# The retransmission timeout is at most 10 seconds, backed off or not.
pub const MAXIMUM_RTO: Duration = Duration::from_secs(10);
/// The clock granularity G of RFC 6298.
const GRANULARITY_NANOS: u64 = 10_000_000;

/// SRTT, RTTVAR and the smallest sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct RttEstimator {
    /// Nanoseconds: smoothed time and variation.
    smoothed: Option<(u64, u64)>,
    minimum: Option<Duration>,
}

impl RttEstimator {
    /// Takes a measurement of a segment that was sent once (Karn's rule is the caller's).
    pub fn sample(&mut self, sample: Duration) {
        let nanos = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX / 8).min(u64::MAX / 8);
        self.smoothed = Some(match self.smoothed {
            None => (nanos, nanos / 2),
            // The variation first, from the old smoothed time; each term is divided by itself, as the reference rounds.
            //= spec/reliability.md#pp-rel-10
            //# The estimator is that of RFC 6298 with alpha 1/8, beta 1/4, K 4 and a granularity of 10 milliseconds.
            Some((srtt, rttvar)) => (srtt * 7 / 8 + nanos / 8, rttvar * 3 / 4 + srtt.abs_diff(nanos) / 4),
        });
        self.minimum = Some(self.minimum.map_or(sample, |least| least.min(sample)));
    }

    /// The smoothed round-trip time, once there is a sample.
    #[must_use]
    pub fn srtt(&self) -> Option<Duration> {
        self.smoothed.map(|(srtt, _)| Duration::from_nanos(srtt))
    }

    /// The variation, zero before any sample.
    #[must_use]
    pub fn rttvar(&self) -> Duration {
        Duration::from_nanos(self.smoothed.map_or(0, |(_, rttvar)| rttvar))
    }

    /// The smallest sample so far.
    #[must_use]
    pub const fn minimum(&self) -> Option<Duration> {
        self.minimum
    }

    /// The retransmission timeout, not backed off.
    #[must_use]
    pub fn rto(&self) -> Duration {
        self.smoothed.map_or(INITIAL_RTO, |(srtt, rttvar)| {
            Duration::from_nanos(srtt.saturating_add((rttvar.saturating_mul(4)).max(GRANULARITY_NANOS)))
                .clamp(MINIMUM_RTO, MAXIMUM_RTO)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/reliability.md#pp-rel-7
    //= type=test
    //# The retransmission timeout before any sample is 1 second.
    //= spec/reliability.md#pp-rel-8
    //= type=test
    //# The retransmission timeout is at least 200 milliseconds.
    //= spec/reliability.md#pp-rel-9
    //= type=test
    //# The retransmission timeout is at most 10 seconds, backed off or not.
    //= spec/reliability.md#pp-rel-10
    //= type=test
    //# The estimator is that of RFC 6298 with alpha 1/8, beta 1/4, K 4 and a granularity of 10 milliseconds.
    #[test]
    fn follows_the_reference_to_the_nanosecond() {
        let steps: [(u64, u64, u64, u64); 7] = [
            (100_000_000, 100_000_000, 50_000_000, 300_000_000),
            (120_000_000, 102_500_000, 42_500_000, 272_500_000),
            (80_000_000, 99_687_500, 37_500_000, 249_687_500),
            (500_000_000, 149_726_562, 128_203_125, 662_539_062),
            (1_000_000, 131_135_741, 133_333_983, 664_471_673),
            (1_000_000, 114_868_773, 132_534_422, 645_006_461),
            (9_000_000_000, 1_225_510_176, 2_320_683_622, 10_000_000_000),
        ];
        let mut estimator = RttEstimator::default();
        assert_eq!(estimator.rto(), INITIAL_RTO);
        for (sample, srtt, rttvar, rto) in steps {
            estimator.sample(Duration::from_nanos(sample));
            assert_eq!(estimator.srtt(), Some(Duration::from_nanos(srtt)));
            assert_eq!(estimator.rttvar(), Duration::from_nanos(rttvar));
            assert_eq!(estimator.rto(), Duration::from_nanos(rto));
        }
    }
}
