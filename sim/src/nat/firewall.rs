//! What stands before a host with a global IPv6 address: nothing is rewritten, and only answers come in (RFC 6092).

use proto_core::Timestamp;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A stateful firewall. Filters by address and port.
#[derive(Debug)]
pub struct Firewall {
    idle: Duration,
    /// Local port and remote address, and when they were last used.
    flows: BTreeMap<(u16, SocketAddr), Timestamp>,
}

impl Firewall {
    /// One whose state ends after `idle` without use.
    #[must_use]
    pub const fn new(idle: Duration) -> Self {
        Self { idle, flows: BTreeMap::new() }
    }

    /// Notes a datagram from the local `port` to `to`.
    pub fn outbound(&mut self, now: Timestamp, port: u16, to: SocketAddr) {
        self.flows.insert((port, to), now);
    }

    /// Whether one from `from` to the local `port` passes.
    pub fn inbound(&mut self, now: Timestamp, port: u16, from: SocketAddr) -> bool {
        let Some(used) = self.flows.get_mut(&(port, from)) else { return false };
        let passes = now.saturating_since(*used) < self.idle;
        if passes {
            *used = now;
        }
        passes
    }
}
