//! Beacon messages, and the beacon as a machine.

use crate::script::Script;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto_core::wire::{BeaconMessage, ParseError};
use proto_core::{NodeId, Timestamp};
use rendezvous_core::{Beacon, BeaconConfig, Directory};

/// A message is written as it was read, but for an address that has a shorter form and bytes that were ignored.
pub fn beacon_message(data: &[u8]) {
    let message = match BeaconMessage::parse(data) {
        Ok(message) => message,
        Err(error) => {
            assert!(matches!(error, ParseError::Magic | ParseError::Truncated | ParseError::Malformed), "{error:?}");
            return;
        }
    };
    let bytes = message.to_vec().unwrap();
    assert_eq!(bytes.len(), message.encoded_len());
    assert!(bytes.len() <= data.len());
    assert_eq!(BeaconMessage::parse(&bytes), Ok(message));
    let has_endpoint = matches!(message, BeaconMessage::DiscoverReply(_) | BeaconMessage::PunchCommand(_));
    assert!(has_endpoint && bytes.len() < data.len() || data.starts_with(&bytes));
    if let BeaconMessage::Sync { nodes, .. } = message {
        assert_eq!(nodes.iter().count(), nodes.len());
        assert!(nodes.len() * 4 < data.len());
    }
}

/// Nodes 1 to 8 exist; odd ones may find each other.
struct EightNodes;

impl Directory for EightNodes {
    fn may_resolve(&self, requester: NodeId, target: NodeId) -> bool {
        requester.0 & target.0 & 1 == 1
    }

    fn is_known(&self, node: NodeId) -> bool {
        (1..=8).contains(&node.0)
    }

    fn registered_from(&self, node: NodeId, source: IpAddr, _now: Timestamp) -> bool {
        source == place(node.0 as u8).ip()
    }
}

fn place(octet: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, octet], 4000 + u16::from(octet >> 4)))
}

const PEER_BEACON: u8 = 0xF0;
const LONGEST_REPLY: usize = 20;

/// Any datagrams from sixteen places: at most two go out for each, nothing long to an address that nobody was at, and no more is remembered
/// than nodes exist.
pub fn beacon_machine(data: &[u8]) {
    let config = BeaconConfig { peers: vec![place(PEER_BEACON)], ..BeaconConfig::default() };
    let mut beacon = Beacon::new(config);
    let mut now = Timestamp::from_micros(1_000_000);
    let mut script = Script::new(data);
    let mut heard: Vec<SocketAddr> = vec![place(PEER_BEACON)];
    while !script.is_over() {
        let (kind, from) = (script.u8(), place(script.u8()));
        let mut sent = 0;
        let mut bytes = message(kind, &mut script);
        heard.push(from);
        match kind {
            0xFC..=0xFF => now = now + Duration::from_millis(u64::from(script.u16()) * 16),
            0xFA | 0xFB => beacon.notify(now, NodeId(u32::from(script.u8() & 15)), &mut |out| {
                assert!(heard.contains(&out.to) && out.bytes.len() == 2);
            }),
            _ => {
                let longest = bytes.len().max(LONGEST_REPLY);
                beacon.handle_datagram(now, kind & 1, from, &mut bytes, &EightNodes, &mut |out| {
                    sent += 1;
                    assert!(out.bytes.len() <= longest, "a reply longer than what asked for it");
                    assert!(heard.contains(&out.to), "sent to a place nobody was at");
                });
            }
        }
        assert!(sent <= 2);
        assert!(beacon.endpoint_count() <= 8);
        if beacon.poll_timeout() <= now {
            beacon.handle_timeout(now, &mut |out| assert_eq!(out.to, place(PEER_BEACON)));
            assert!(beacon.poll_timeout() > now, "a due timer was not moved");
        }
    }
}

/// Half of the datagrams are well-formed, with small node numbers; the others are the script's own bytes.
fn message(kind: u8, script: &mut Script<'_>) -> Vec<u8> {
    if kind & 2 == 0 {
        return script.chunk().to_vec();
    }
    let (a, b) = (NodeId(u32::from(script.u8() & 15)), NodeId(u32::from(script.u8() & 15)));
    let nodes = [a, b];
    let made = match kind >> 2 & 7 {
        0 => BeaconMessage::Discover { node: a, key: None },
        1 => BeaconMessage::DiscoverExtended { node: a, key: Some([7; 32]) },
        2 => BeaconMessage::PunchRequest { requester: a, target: b, grant: None },
        3 => BeaconMessage::Sync { beacon: 2, nodes: proto_core::wire::beacon::NodeList::new(&nodes) },
        _ => BeaconMessage::Relay { sender: a, destination: b, frame: script.chunk() },
    };
    made.to_vec().unwrap()
}
