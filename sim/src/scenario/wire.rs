//! What may be on the wire: judged datagram by datagram, with what anybody can see of them.

use super::spy;
use super::world::Checked;
use crate::Sent;
use proto_core::Timestamp;
use proto_core::limits::ANTI_AMPLIFICATION_FACTOR;
use proto_core::wire::{BeaconMessage, Datagram, Frame, classify};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Names nobody whom a host knows. Nobody ever answers it.
pub(super) const FORGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
/// Sends what it captured, or made up in the name of a friend. It may be asked whether it is who it seems to be.
pub(super) const REPLAYER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));
/// Datagrams kept for attackers.
const CAPTURED: usize = 64;
/// Bytes that each command of a beacon may make a host send: three punches of eight, three times its own length.
const PUNCHES: u64 = 24;
/// Bytes that it may make a host send besides for each of its peers: six key exchanges, the largest probes (PP-NAT-19).
const PROBES: u64 = 6 * 136;
/// Named again within this, an address is worth no further probes.
const NAMED_AGAIN: Duration = Duration::from_secs(30);

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
    /// Peers that each host has.
    peers: u64,
    /// When a beacon's command that was worth probes named the address last, by the host that it was for.
    named: BTreeMap<(SocketAddr, SocketAddr), Timestamp>,
}

impl Wire {
    pub(super) fn new(outsider: SocketAddr, beacon: Option<IpAddr>, peers: u64) -> Self {
        let (captured, budgets, named) = (VecDeque::new(), BTreeMap::new(), BTreeMap::new());
        Self { outsider, beacon, datagrams: 0, captured, budgets, peers, named }
    }

    /// An attacker sends so many bytes.
    pub(super) fn attacked(&mut self, attacker: IpAddr, bytes: usize) {
        let (allowed, _) = self.budgets.entry(attacker).or_default();
        *allowed += if attacker == FORGER { 0 } else { bytes as u64 * ANTI_AMPLIFICATION_FACTOR };
    }

    /// A beacon tells the host at `host` to punch `target`, or somebody in its name: a host cannot tell.
    pub(super) fn commanded(&mut self, now: Timestamp, host: SocketAddr, target: SocketAddr) {
        let last = self.named.get(&(host, target));
        let news = last.is_none_or(|at| now.saturating_since(*at) >= NAMED_AGAIN);
        if news {
            self.named.insert((host, target), now);
        }
        let (allowed, _) = self.budgets.entry(target.ip()).or_default();
        *allowed += PUNCHES + if news { PROBES * self.peers } else { 0 };
    }

    /// The host at these addresses forgot peers and what it tried with them, or its clock says that this is long ago.
    pub(super) fn forgot(&mut self, host: [IpAddr; 2]) {
        self.named.retain(|(named_to, _), _| !host.contains(&named_to.ip()));
    }

    /// A datagram that an endpoint or the beacon sent.
    pub(super) fn judge(&mut self, sent: &Sent) -> Checked {
        self.datagrams += 1;
        let Sent { at, from, to, bytes } = sent;
        let from_beacon = Some(from.ip()) == self.beacon;
        if !from_beacon && !is_covered(bytes) {
            return Err(format!("{from} sent {to} something in clear: {bytes:02x?}"));
        }
        if let (true, Ok(BeaconMessage::PunchCommand(target))) = (from_beacon, BeaconMessage::parse(bytes)) {
            self.commanded(*at, *to, target);
        }
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

/// A beacon's business, a key exchange, a punch, or a frame that really was sealed; relayed or not.
fn is_covered(datagram: &[u8]) -> bool {
    match classify(datagram) {
        Datagram::Empty => false,
        Datagram::Beacon(_) => match BeaconMessage::parse(datagram) {
            Ok(BeaconMessage::Relay { frame, .. }) => {
                matches!(classify(frame), Datagram::Frame(_)) && is_covered(frame)
            }
            Ok(_) => true,
            Err(_) => false,
        },
        Datagram::Frame(_) => match Frame::parse(datagram) {
            Ok(Frame::Secure(frame)) => spy::is_sealed(&frame.nonce, frame.sealed),
            Ok(Frame::AuthenticatedKeyExchange(_) | Frame::Punch { .. }) => true,
            Ok(Frame::KeyExchange(_) | Frame::Plaintext(_)) | Err(_) => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_core::NodeId;
    use proto_core::wire::Secure;

    #[test]
    fn what_was_not_sealed_is_in_clear_whatever_it_looks_like_and_however_it_travels() {
        let secure = Frame::Secure(Secure { sender: NodeId(7), nonce: [1; 12], sealed: &[0; 60] });
        let mut bytes = vec![0; secure.encoded_len()];
        secure.emit(&mut bytes).unwrap();
        let relayed =
            |frame: &[u8]| BeaconMessage::Relay { sender: NodeId(7), destination: NodeId(8), frame }.to_vec().unwrap();
        for clear in [&bytes[..], b"PILT and so on", b"PILK and so on"] {
            assert!(!is_covered(clear) && !is_covered(&relayed(clear)));
        }
        let discover = BeaconMessage::Discover { node: NodeId(7), key: None }.to_vec().unwrap();
        assert!(is_covered(&discover) && !is_covered(&relayed(&discover)));
    }
}
