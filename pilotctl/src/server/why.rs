//! Why peers are relayed: the reason, what was tried, and what would help (extension EC).

use super::info::milliseconds;
use crate::agent::Agent;
use proto_core::endpoint::{PathKind, PeerStatus, RelayReason, Status, TriedPath};
use proto_core::nat::PortMapStatus;
use serde_json::{Value, json};

//= spec/ipc.md#pp-ipc-15
//# Command 0xEC with a node's number tells how that peer is reached, why it is relayed, what was tried and what would help; with 0 it
//# tells so of every relayed peer.
/// Of `node`, or with 0 of all relayed peers.
pub(super) fn why(agent: &Agent, node: u32) -> Result<Value, String> {
    let status = agent.status();
    let mut peers = agent.peers();
    peers.retain(|peer| if node == 0 { peer.path == Some(PathKind::Relay) } else { peer.node.0 == node });
    if node != 0 && peers.is_empty() {
        return Err(format!(
            "why: not found: nothing was tried with node {node} since the daemon started; ping it first"
        ));
    }
    Ok(json!({
        "nat_strategy": status.nat_strategy,
        "nat_type": status.nat,
        "peers": peers.iter().map(|peer| explain(&status, peer)).collect::<Vec<_>>(),
        "port_mapping": port_mapping(&status.port_mapping),
        "relay_share": relay_share(&status),
    }))
}

fn explain(status: &Status, peer: &PeerStatus) -> Value {
    let (path, endpoint) = match peer.path {
        Some(PathKind::Direct(address)) => ("direct", Some(address.to_string())),
        Some(PathKind::Relay) => ("relay", None),
        None => ("none", None),
    };
    json!({
        "endpoint": endpoint,
        "hostname": peer.hostname,
        "node_id": peer.node.0,
        "path": path,
        "reason": peer.relay_reason.map(RelayReason::name),
        "remedies": peer.relay_reason.map(|reason| remedies(reason, status)).unwrap_or_default(),
        "rtt_ms": peer.rtt.map(milliseconds),
        "sentence": peer.relay_reason.map(RelayReason::sentence),
        "tried": peer.tried.iter().map(tried).collect::<Vec<_>>(),
    })
}

/// The reason's own remedy, and what a port at our router would need where that would do.
fn remedies(reason: RelayReason, status: &Status) -> Vec<&'static str> {
    let mapping = reason.is_helped_by_port_mapping().then(|| status.port_mapping.state.remedy()).flatten();
    reason.remedy().into_iter().chain(mapping).collect()
}

fn tried(path: &TriedPath) -> Value {
    json!({
        "address": path.address.to_string(),
        "kind": path.kind,
        "outcome": path.outcome,
        "rtt_ms": path.rtt.map(milliseconds),
    })
}

/// What became of asking the router for a port.
pub(super) fn port_mapping(mapping: &PortMapStatus) -> Value {
    json!({
        "external": mapping.external.map(|external| external.to_string()),
        "gateway": mapping.gateway.map(|gateway| gateway.to_string()),
        "protocol": mapping.protocol,
        "remedy": mapping.state.remedy(),
        "sentence": mapping.state.sentence(),
        "state": mapping.state.name(),
    })
}

/// Relayed peers of all connected ones, and relayed bytes of all bytes; `null` while there is nothing to divide by.
pub(super) fn relay_share(status: &Status) -> Value {
    let bytes = status.totals.bytes_sent + status.totals.bytes_received;
    json!({
        "bytes": bytes,
        "bytes_percent": percent(status.totals.bytes_relayed, bytes),
        "bytes_relayed": status.totals.bytes_relayed,
        "peers": status.peers,
        "peers_percent": percent(status.relayed_peers as u64, status.peers as u64),
        "peers_relayed": status.relayed_peers,
    })
}

/// To a tenth.
fn percent(part: u64, whole: u64) -> Option<f64> {
    let tenths = part.saturating_mul(1000).checked_div(whole)?;
    Some(f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_core::nat::PortMapState;

    #[test]
    fn a_share_of_nothing_is_none() {
        let mut status = Status::default();
        assert_eq!(relay_share(&status)["peers_percent"], Value::Null);
        (status.peers, status.relayed_peers) = (8, 1);
        assert_eq!(relay_share(&status)["peers_percent"], 12.5);
    }

    #[test]
    fn a_router_that_refuses_is_named_as_a_remedy_where_a_port_would_help() {
        let mut status = Status::default();
        status.port_mapping.state = PortMapState::Refused;
        let remedy = PortMapState::Refused.remedy().unwrap();
        assert!(remedies(RelayReason::NoAnswer, &status).contains(&remedy));
        assert!(!remedies(RelayReason::OwnRelayOnly, &status).contains(&remedy));
        status.port_mapping.state = PortMapState::Mapped;
        assert!(!remedies(RelayReason::NoAnswer, &status).contains(&remedy));
    }
}
