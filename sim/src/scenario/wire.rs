//! What may be on the wire: judged datagram by datagram, with what anybody can see of them.

use super::world::Checked;
use crate::Sent;
use proto_core::limits::ANTI_AMPLIFICATION_FACTOR;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Names nobody whom a host knows. Nobody ever answers it.
pub(super) const FORGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
/// Sends what it captured, or made up in the name of a friend. It may be asked whether it is who it seems to be.
pub(super) const REPLAYER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));
/// Datagrams kept for attackers.
const CAPTURED: usize = 64;
/// Bytes that a beacon's command may make a host send: three punches, and a burst of probes for each of its peers.
pub(super) const PUNCHES: u64 = 2_048;

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Wire {
    outsider: SocketAddr,
    beacon: Option<IpAddr>,
    pub(super) datagrams: u64,
    /// The last datagrams of hosts.
    pub(super) captured: VecDeque<Sent>,
    /// By attacker: bytes it may be sent, and was sent. Hosts change their addresses, so that all of them have one budget.
    budgets: BTreeMap<IpAddr, (u64, u64)>,
}

impl Wire {
    pub(super) fn new(outsider: SocketAddr, beacon: Option<IpAddr>) -> Self {
        let (captured, budgets) = (VecDeque::new(), BTreeMap::new());
        Self { outsider, beacon, datagrams: 0, captured, budgets }
    }

    /// An attacker sends so many bytes, and that many more may follow from what they say.
    pub(super) fn attacked(&mut self, attacker: IpAddr, bytes: usize, more: u64) {
        let (allowed, _) = self.budgets.entry(attacker).or_default();
        *allowed += if attacker == FORGER { more } else { bytes as u64 * ANTI_AMPLIFICATION_FACTOR + more };
    }

    /// A datagram that an endpoint or the beacon sent.
    pub(super) fn judge(&mut self, sent: &Sent) -> Checked {
        self.datagrams += 1;
        let Sent { from, to, bytes, .. } = sent;
        if [b"PILT", b"PILK"].into_iter().any(|magic| bytes.starts_with(magic)) {
            return Err(format!("{from} sent {to} {}", String::from_utf8_lossy(&bytes[..4])));
        }
        let from_beacon = Some(from.ip()) == self.beacon;
        if !from_beacon && [FORGER, REPLAYER].contains(&to.ip()) {
            let (allowed, got) = self.budgets.entry(to.ip()).or_default();
            *got += bytes.len() as u64;
            if got > allowed {
                return Err(format!("{from} sent {to}, which proved nothing, {got} bytes; {allowed} are allowed"));
            }
        }
        if *to == self.outsider {
            let delivery = bytes.first().is_some_and(|kind| [0x04, 0x06, 0x09].contains(kind));
            if !from_beacon || delivery {
                return Err(format!("{from} sent {} bytes to somebody whom nobody trusts", bytes.len()));
            }
        }
        if !from_beacon && *from != self.outsider {
            if self.captured.len() >= CAPTURED {
                self.captured.pop_front();
            }
            self.captured.push_back(sent.clone());
        }
        Ok(())
    }
}
