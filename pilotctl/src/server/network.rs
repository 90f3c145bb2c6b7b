//! Networks, as the registry keeps them, and what this daemon has of the reference's engines for them: none.

use super::answers::{fill, registry};
use crate::agent::Agent;
use driver::ipc::NetworkCommand;
use proto_core::NodeId;
use proto_core::ids::NetworkId;
use proto_core::registry::Request as Registry;
use proto_core::wire::{Address, SocketAddress};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Network (command 1F): the registry's reply.
pub(super) async fn network(agent: &Agent, sub: NetworkCommand) -> Result<Value, String> {
    let (name, request) = match sub {
        NetworkCommand::List => ("network list", Registry::ListNetworks),
        NetworkCommand::Join { network, token } => {
            ("network join", Registry::JoinNetwork { network: NetworkId(network), token })
        }
        NetworkCommand::Leave(network) => ("network leave", Registry::LeaveNetwork(NetworkId(network))),
        NetworkCommand::Members(network) => ("network members", Registry::ListNodes(NetworkId(network))),
        NetworkCommand::Invite { network, node } => {
            ("network invite", Registry::InviteToNetwork { network: NetworkId(network), target: NodeId(node) })
        }
        NetworkCommand::PollInvites => ("network poll-invites", Registry::PollInvites),
        NetworkCommand::Respond { network, accept } => {
            ("network respond-invite", Registry::RespondInvite { network: NetworkId(network), accept })
        }
    };
    registry(agent, name, request).await
}

/// Managed (command 23). Membership rules and policies are the registry's business; no engine runs here.
pub(super) async fn managed(agent: &Agent, raw: &[u8]) -> Result<Value, String> {
    let mut raw = raw;
    match take(&mut raw) {
        Some([1]) => Err("managed: no engine for this network: membership is not scored here".to_owned()),
        Some([2..=4]) => Err("managed: no active managed networks".to_owned()),
        Some([5]) => policy(raw),
        Some([6]) => member_tags(agent, raw).await,
        Some([7]) => Err("managed: no active policy runner for network".to_owned()),
        Some(_) => Err("managed: unknown sub-command".to_owned()),
        None => Err("managed: missing sub-command".to_owned()),
    }
}

fn policy(mut raw: &[u8]) -> Result<Value, String> {
    let missing = || "managed policy: missing network_id".to_owned();
    let sub: [u8; 1] = take(&mut raw).ok_or_else(missing)?;
    let network = u16::from_be_bytes(take(&mut raw).ok_or_else(missing)?);
    match sub {
        [0] => Ok(json!({"engine": "none", "network_id": network, "type": "managed_policy_ok"})),
        [1] => Err("managed policy set: not supported: policies are not evaluated by this daemon".to_owned()),
        _ => Err("managed policy: unknown sub-command".to_owned()),
    }
}

async fn member_tags(agent: &Agent, mut raw: &[u8]) -> Result<Value, String> {
    let missing = || "member-tags: missing network_id or node_id".to_owned();
    let sub: [u8; 1] = take(&mut raw).ok_or_else(missing)?;
    let network = u16::from_be_bytes(take(&mut raw).ok_or_else(missing)?);
    let target = u32::from_be_bytes(take(&mut raw).ok_or_else(missing)?);
    let mut message = json!({"network_id": network, "target_node_id": target});
    let name = match sub {
        [0] => {
            fill(&mut message, "type", "get_member_tags".into());
            "member-tags get"
        }
        [1] => {
            let tags: Vec<String> =
                serde_json::from_slice(raw).map_err(|error| format!("member-tags set: invalid JSON: {error}"))?;
            fill(&mut message, "type", "set_member_tags".into());
            fill(&mut message, "node_id", agent.node_id().map_or(0, |node| node.0).into());
            fill(&mut message, "tags", tags.into());
            "member-tags set"
        }
        _ => return Err("member-tags: unknown sub-command".to_owned()),
    };
    registry(agent, name, Registry::Raw(message)).await
}

/// Broadcast (command 29): the datagram to every member of a network. The token keeps it to whom the operator gave it.
pub(super) async fn broadcast(
    agent: &Agent,
    network: u16,
    port: u16,
    token: &[u8],
    data: &[u8],
) -> Result<Value, String> {
    let denied = |why: &str| format!("broadcast: broadcast denied: {why}");
    let wanted = agent.admin_token().ok_or_else(|| denied("daemon has no admin token configured"))?;
    // Digests: the time a comparison takes says nothing about the token.
    if Sha256::digest(token) != Sha256::digest(wanted) {
        return Err(denied("invalid admin token"));
    }
    let network = NetworkId(network);
    if network == NetworkId::BACKBONE {
        return Err("broadcast: invalid network: the backbone is everybody".to_owned());
    }
    let members = registry(agent, "broadcast", Registry::ListNodes(network)).await?;
    let ids = members.get("nodes").and_then(Value::as_array).into_iter().flatten();
    let ids = ids.filter_map(|node| u32::try_from(node.get("node_id")?.as_u64()?).ok().map(NodeId));
    let (mut sent, mut failed) = (0_u32, 0_u32);
    for node in ids.filter(|node| Some(*node) != agent.node_id()) {
        let to = SocketAddress::new(Address { network, node }, port);
        match agent.send_datagram(to, data) {
            Ok(()) => sent += 1,
            Err(_) => failed += 1,
        }
    }
    Ok(json!({"failed": failed, "network_id": network.0, "sent": sent}))
}

/// The next bytes of a message.
fn take<const N: usize>(raw: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = raw.split_first_chunk::<N>()?;
    *raw = rest;
    Some(*taken)
}
