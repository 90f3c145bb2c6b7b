//! The checks, subject by subject.

mod beacon;
mod datagram;
mod dial;
mod exchange;
mod flow;
mod frames;
mod keepalive;
mod nonces;
mod packet;
mod privacy;
mod registry;
mod reliability;
mod sack;
mod session;
mod teardown;
mod timing;
mod trust;

use super::check::Check;

pub(super) use dial::Dialled;

/// The check without which those that need a friend say nothing.
pub(super) const FIRST_CONTACT: &str = "exchange/answered";

/// All checks, in the order in which they run. What may leave traces at the peer comes late in its subject.
pub(super) fn all() -> Vec<Check> {
    [
        registry::checks(),
        beacon::checks(),
        privacy::checks(),
        exchange::checks(),
        packet::checks(),
        frames::checks(),
        nonces::checks(),
        datagram::checks(),
        session::checks(),
        reliability::checks(),
        sack::checks(),
        timing::checks(),
        flow::checks(),
        teardown::checks(),
        trust::checks(),
        dial::checks(),
        keepalive::checks(),
        trust::last_checks(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
