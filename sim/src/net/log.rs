//! What was sent, in full for tests that look, and as one number for runs that are compared.

use proto_core::Timestamp;
use std::net::{IpAddr, SocketAddr};

/// A datagram as it was put on the wire, outside of the boxes it passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Timestamp,
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// Its payload.
    pub bytes: Vec<u8>,
}

/// FNV-1a over all datagrams: it is for telling runs apart, not for security.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketHash(u64);

impl Default for PacketHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl PacketHash {
    pub(super) fn note(&mut self, at: Timestamp, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.add(&at.as_micros().to_be_bytes());
        for address in [from, to] {
            match address.ip() {
                IpAddr::V4(ip) => self.add(&ip.octets()),
                IpAddr::V6(ip) => self.add(&ip.octets()),
            }
            self.add(&address.port().to_be_bytes());
        }
        self.add(bytes);
    }

    pub(super) const fn value(self) -> u64 {
        self.0
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
