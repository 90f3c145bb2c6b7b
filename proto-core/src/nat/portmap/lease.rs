//! How long a mapping holds, and when to ask for more.

use super::CHECK_AGAIN;
use super::question::{Protocol, part};
use crate::rng::Rng;
use crate::time::Timestamp;
use core::net::SocketAddr;
use core::time::Duration;

/// The longest that is believed (RFC 6887 section 15).
const LONGEST: u32 = 24 * 3600;
/// The shortest that can be renewed in time; what a router grants below that is taken for it.
const SHORTEST: u32 = 8;
/// The least between two renewals (RFC 6887 section 11.2.1).
const SPACING: Duration = Duration::from_secs(4);

/// A mapping that the router granted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) external: SocketAddr,
    pub(super) expires: Timestamp,
    pub(super) renew: Timestamp,
    /// The router may have forgotten it.
    pub(super) doubted: bool,
}

impl Lease {
    /// `lifetime` in seconds. Renewed at its half, PCP's between that and five eighths, lest all hosts ask at once.
    //= spec/port-mapping.md#pp-pmap-4
    //# A mapping is renewed at half its lifetime, then at half of what is left.
    pub(super) fn new(now: Timestamp, external: SocketAddr, lifetime: u32, protocol: Protocol, rng: &mut Rng) -> Self {
        let lifetime = Duration::from_secs(u64::from(lifetime.clamp(SHORTEST, LONGEST)));
        let spread = match protocol {
            Protocol::NatPmp | Protocol::Upnp => Duration::ZERO,
            Protocol::Pcp => part(lifetime / 8, rng),
        };
        let renew = now + (lifetime / 2 + spread).max(SPACING);
        Self { external, expires: now + lifetime, renew, doubted: false }
    }

    /// There is reason to think that the router does not know it any more: to be asked for at once, until the router grants it again.
    pub(super) fn doubt(&mut self, now: Timestamp) {
        self.renew = now;
        self.doubted = true;
    }

    /// A renewal that was due failed: again at half of what is left, or soon where the router may have forgotten the mapping.
    pub(super) fn postpone(&mut self, now: Timestamp) {
        if self.renew <= now {
            let half = self.expires.saturating_since(now) / 2;
            self.renew = now + if self.doubted { half.min(CHECK_AGAIN) } else { half }.max(SPACING);
        }
    }
}
