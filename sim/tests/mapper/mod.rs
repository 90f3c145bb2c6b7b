//! What the tests of port mapping share: the host and its router, and virtual time that goes from deadline to deadline.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its part of this support code"
)]

use proto_core::Timestamp;
use proto_core::nat::{Gateway, PortMapEvent, PortMapper};
use proto_core::wire::candidate::Mapped;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
pub const PORT: u16 = 4000;

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn gateway() -> Gateway {
    Gateway { address: ROUTER, socket: "192.168.1.20:4000".parse().unwrap() }
}

pub fn outside(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(OUTSIDE), port)
}

pub fn mapped(port: u16) -> PortMapEvent {
    PortMapEvent::Mapped(Mapped(outside(port)))
}

/// Goes to the mapper's next deadline up to `end` and lets it act; without one, to `end`. Whether there was one.
pub fn next_deadline(mapper: &mut PortMapper, now: &mut Timestamp, end: Timestamp) -> bool {
    let Some(at) = mapper.poll_timeout().filter(|at| *at <= end) else {
        *now = end;
        return false;
    };
    *now = (*now).max(at);
    mapper.handle_timeout(*now);
    assert!(mapper.poll_timeout().is_none_or(|next| next > *now), "a deadline is consumed or moved");
    true
}
