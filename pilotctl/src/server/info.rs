//! The daemon's state as JSON: the reference's keys first, then ours.

use super::streams::number;
use super::why;
use crate::agent::{Agent, key_warning};
use crate::state::insecure_warnings;
use proto_core::endpoint::{PathKind, PeerStatus, RelayReason, Status, StreamStatus};
use serde_json::{Value, json};
use std::time::Duration;

/// Info (command 0D).
pub(super) fn info(agent: &Agent) -> Value {
    let status = agent.status();
    let (peers, streams) = (agent.peers(), agent.streams());
    let (encrypted, authenticated) = tunnels(&peers);
    let mut info = json!({
        "accept_queue_drops": accept_queue_drops(&status),
        "address": status.address.unwrap_or_default().to_string(),
        "authenticated_peers": authenticated,
        "beacon_addr": agent.beacon(),
        "bytes_recv": status.totals.bytes_received,
        "bytes_sent": status.totals.bytes_sent,
        "conn_list": streams.iter().map(conn).collect::<Vec<_>>(),
        "connections": streams.iter().filter(|stream| stream.stats.state == "established").count(),
        "email": agent.email(),
        "encrypt": !status.insecure.plaintext,
        "encrypted_peers": encrypted,
        "endpoint": status.endpoint.map(|endpoint| endpoint.to_string()).unwrap_or_default(),
        "features": ["dgram_confirm"],
        "handshake_pending_count": agent.trust_pending().len(),
        "hostname": status.hostname.clone().unwrap_or_default(),
        "identity": true,
        "motd": "",
        "networks": networks(&status),
        "node_id": status.address.map_or(0, |address| address.node.0),
        "peer_list": peers.iter().map(peer).collect::<Vec<_>>(),
        "peers": peers.len(),
        "pkts_recv": status.totals.packets_received,
        "pkts_sent": status.totals.packets_sent,
        "ports": status.ports.len(),
        "public_key": agent.public_key(),
        "relay_peer_count": status.relayed_peers,
        "transport": "udp",
        "tunnel_encryption_failure": 0,
        "tunnel_encryption_success": encrypted,
        "uptime_secs": agent.uptime().as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
        "webhook_circuit_skips": 0,
        "webhook_queue_dropped": 0,
    });
    let ours = json!({
        "insecure": {
            "anonymous_exchange": status.insecure.anonymous_exchange,
            "plaintext": status.insecure.plaintext,
        },
        "mailbox": agent.mailbox().display().to_string(),
        "nat_strategy": status.nat_strategy,
        "nat_type": status.nat,
        "port_mapping": why::port_mapping(&status.port_mapping),
        "relay_share": why::relay_share(&status),
        "pid": std::process::id(),
        "public": status.public,
        "registered": status.registered,
        "registry_connected": status.registry_connected,
        "drops": status.drops.iter().map(|(reason, count)| ((*reason).to_owned(), Value::from(*count)))
            .collect::<serde_json::Map<_, _>>(),
        "warnings": insecure_warnings(status.insecure).into_iter().map(str::to_owned)
            .chain(security_warnings(agent)).chain(warnings(agent, &status)).collect::<Vec<_>>(),
    });
    if let (Some(info), Value::Object(ours)) = (info.as_object_mut(), ours) {
        info.extend(ours);
    }
    info
}

/// Health (command 21).
pub(super) fn health(agent: &Agent) -> Value {
    let status = agent.status();
    let (encrypted, authenticated) = tunnels(&agent.peers());
    json!({
        "accept_queue_drops": accept_queue_drops(&status),
        "authenticated_peers": authenticated,
        "beacon_addr": agent.beacon(),
        "bytes_recv": status.totals.bytes_received,
        "bytes_sent": status.totals.bytes_sent,
        "connections": status.streams,
        "encrypted_peers": encrypted,
        "handshake_pending_count": agent.trust_pending().len(),
        "peers": status.peers,
        "registered": status.registered,
        "relay_peer_count": status.relayed_peers,
        "status": "ok",
        "uptime_seconds": agent.uptime().as_secs(),
        "webhook_circuit_skips": 0,
        "webhook_queue_dropped": 0,
    })
}

/// What this network allows (extension E6), with one sentence of verdict.
pub(super) fn netcheck(agent: &Agent) -> Value {
    let status = agent.status();
    let warnings = warnings(agent, &status);
    let verdict = match warnings.first() {
        Some(warning) => warning.clone(),
        None if status.nat_strategy.is_empty() => "Registered and reachable.".to_owned(),
        None => status.nat_strategy.to_owned(),
    };
    json!({
        "beacon": agent.beacon(),
        "degraded": !warnings.is_empty(),
        "endpoint": status.endpoint.map(|endpoint| endpoint.to_string()),
        "nat_strategy": status.nat_strategy,
        "nat_type": status.nat,
        "port_mapping": why::port_mapping(&status.port_mapping),
        "registered": status.registered,
        "registry_connected": status.registry_connected,
        "verdict": verdict,
        "warnings": warnings,
    })
}

/// Peers with a tunnel, and how many of them proved their identity.
fn tunnels(peers: &[PeerStatus]) -> (usize, usize) {
    let count = |of: fn(&PeerStatus) -> bool| peers.iter().filter(|peer| of(peer)).count();
    (count(|peer| peer.encrypted), count(|peer| peer.authenticated))
}

/// Connections refused because nobody accepted those before.
fn accept_queue_drops(status: &Status) -> u64 {
    status.drops.iter().find(|(reason, _)| *reason == "accept_queue_full").map_or(0, |(_, count)| *count)
}

/// The networks joined; `null` without any, as the reference says it.
fn networks(status: &Status) -> Value {
    if status.networks.is_empty() { Value::Null } else { status.networks.iter().map(|network| network.0).collect() }
}

/// What weakens this node or is an attack on it, and nothing that a network could do better.
fn security_warnings(agent: &Agent) -> Vec<String> {
    let mut warnings: Vec<String> = agent.mistaken_keys().into_iter().map(key_warning).collect();
    if agent.registry_is_in_the_clear() {
        warnings.push(
            "The registry is spoken to in the clear: whoever is on the way reads names and endpoints and can forge keys of new peers. \
             Give its fingerprint (--registry-fingerprint)."
                .to_owned(),
        );
    }
    warnings
}

fn warnings(agent: &Agent, status: &Status) -> Vec<String> {
    let mut warnings: Vec<String> = agent.buffer_warning().into_iter().collect();
    if !status.registry_connected {
        warnings.push("The registry cannot be reached: names do not resolve and new peers cannot be found.".to_owned());
    } else if !status.registered {
        warnings.push("The registry has not accepted this node yet.".to_owned());
    }
    if status.endpoint.is_none() {
        warnings.push("No beacon answers over UDP: neither direct paths nor the relay will work.".to_owned());
    }
    if status.nat == "symmetric" {
        warnings.push("This NAT gives every peer another port: many paths will go through the relay.".to_owned());
    }
    warnings
}

/// `relay` or `direct`, and where to.
pub(super) fn path_words(path: PathKind) -> Value {
    match path {
        PathKind::Direct(address) => json!({"kind": "direct", "address": address.to_string()}),
        PathKind::Relay => json!({"kind": "relay"}),
    }
}

/// Milliseconds with a fraction.
pub(super) fn milliseconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

fn peer(peer: &PeerStatus) -> Value {
    let endpoint = match peer.path {
        Some(PathKind::Direct(address)) => address.to_string(),
        Some(PathKind::Relay) | None => String::new(),
    };
    json!({
        "authenticated": peer.authenticated,
        "bytes_recv": peer.bytes_received,
        "bytes_sent": peer.bytes_sent,
        "connections": peer.streams,
        "encrypted": peer.encrypted,
        "endpoint": endpoint,
        "hostname": peer.hostname,
        "node_id": peer.node.0,
        "ours": peer.ours,
        "path": match peer.path {
            Some(PathKind::Direct(_)) => "direct",
            Some(PathKind::Relay) => "relay",
            None => "none",
        },
        "relay": peer.path == Some(PathKind::Relay),
        "relay_reason_code": peer.relay_reason.map(RelayReason::name),
        "relay_reason": peer.relay_reason.map(RelayReason::sentence),
        "rtt_ms": peer.rtt.map(milliseconds),
        "trusted": peer.trusted,
    })
}

fn conn(stream: &StreamStatus) -> Value {
    let stats = &stream.stats;
    json!({
        "bytes_recv": stats.bytes_received,
        "bytes_sent": stats.bytes_sent,
        "cong_win": stats.congestion_window,
        "dup_acks": stats.duplicate_acks,
        "fast_retx": stats.fast_retransmits,
        "id": number(stream.id),
        "in_flight": stats.in_flight,
        "in_recovery": stats.in_recovery,
        "local_port": stream.local_port,
        "ooo_buf": stats.reorder_bytes,
        "peer_recv_win": stats.peer_window,
        "recv_win": stats.receive_window,
        "remote_addr": stream.remote.address.to_string(),
        "remote_port": stream.remote.port,
        "retransmits": stats.retransmits,
        "rttvar_ms": milliseconds(stats.rttvar),
        "sack_recv": stats.sack_received,
        "sack_sent": stats.sack_sent,
        "segs_recv": stats.segments_received,
        "segs_sent": stats.segments_sent,
        "srtt_ms": milliseconds(stats.srtt),
        // Not limited yet is the largest number there is; clients read it into a smaller type.
        "ssthresh": stats.ssthresh.min(u64::from(u32::MAX)),
        "state": stats.state.to_ascii_uppercase(),
        "unacked": stats.unacknowledged_segments,
    })
}

#[cfg(test)]
mod tests {
    use super::{PeerStatus, tunnels};
    use proto_core::NodeId;

    fn peer(encrypted: bool, authenticated: bool) -> PeerStatus {
        PeerStatus {
            node: NodeId(1),
            hostname: None,
            path: None,
            rtt: None,
            encrypted,
            authenticated,
            ours: false,
            trusted: false,
            streams: 0,
            relay_reason: None,
            tried: Vec::new(),
            bytes_sent: 0,
            bytes_received: 0,
        }
    }

    #[test]
    fn a_tunnel_without_identity_is_encrypted_and_not_authenticated() {
        assert_eq!(tunnels(&[peer(false, false), peer(true, false), peer(true, true), peer(true, false)]), (3, 1));
    }
}
