//! What each request does, and its answer. Every command of the local socket gets one (PP-IPC-5).

use super::session::{MAX_PORTS, Session};
use super::streams::{Outgoing, number};
use super::{envelope, info, network, why};
use crate::agent::{Agent, TrustEntry};
use bytes::Bytes;
use driver::ipc::{HandshakeCommand, Reply, Request, command};
use proto_core::NodeId;
use proto_core::endpoint::PathKind;
use proto_core::registry::Request as Registry;
use proto_core::wire::SocketAddress;
use runtime_tokio::Stream;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// Longest wait for trust, as the reference.
const MAX_TRUST_WAIT: Duration = Duration::from_secs(30);

/// How long a tunnel for `PreferDirect` may take.
const PREFER_DIRECT: Duration = Duration::from_secs(5);

/// A reply, and the stream that starts after it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) stream: Option<(u32, Stream)>,
}

impl Answer {
    pub(super) fn reply(reply: Reply) -> Self {
        Self { reply, stream: None }
    }
}

/// Carries `request` out; `command` is the reply's byte. An error's text goes to the client as it is.
pub(super) async fn answer(session: &Arc<Session>, command: u8, request: Request) -> Result<Answer, String> {
    let agent = &session.hub.agent;
    let json = match request {
        Request::Dial(to) => return dial(session, to).await,
        Request::Bind(port) => return bind(session, port).map(Answer::reply),
        Request::Unbind(port) => {
            if !session.remove_port(port).await {
                return Err(format!("unbind: port {port} not found among yours"));
            }
            return Ok(payload(command, Bytes::copy_from_slice(&port.to_be_bytes())));
        }
        Request::Close(conn) => {
            session.hub.close(session, conn);
            return Ok(Answer::reply(Reply::Closed(conn)));
        }
        Request::Finish(conn) => return finish(session, conn).await.map(|()| payload(command, Bytes::new())),
        Request::Acknowledged(conn) => {
            let count = session.acknowledged(conn).ok_or_else(|| format!("acknowledged: unknown connection {conn}"))?;
            return Ok(payload(command, Bytes::copy_from_slice(&count.to_be_bytes())));
        }
        Request::SendToConfirm { to, data } => {
            agent.send_datagram(to, &data).map_err(|why| format!("sendto: {why}"))?;
            return Ok(payload(command, Bytes::new()));
        }
        Request::Hello(_) => {
            session.extended.store(true, Ordering::Relaxed);
            json!({"version": 1})
        }
        Request::Info => info::info(agent),
        Request::Health => info::health(agent),
        Request::Netcheck => info::netcheck(agent),
        Request::Why(node) => why::why(agent, node)?,
        Request::Ping { node, timeout_ms } => ping(agent, node, timeout_ms).await?,
        Request::Handshake(sub) => trust(agent, sub).await?,
        Request::ResolveHostname(name) => registry(agent, "resolve_hostname", Registry::ResolveHostname(name)).await?,
        Request::SetHostname(name) => {
            let mut reply = registry(agent, "set_hostname", Registry::SetHostname(name.clone())).await?;
            fill(&mut reply, "hostname", name.into());
            reply
        }
        Request::SetVisibility(public) => {
            let mut reply = registry(agent, "set_visibility", Registry::SetVisibility(public)).await?;
            fill(&mut reply, "visibility", if public { "public" } else { "private" }.into());
            reply
        }
        Request::Lookup(node) => registry(agent, "lookup", Registry::Lookup(NodeId(node))).await?,
        Request::Deregister => registry(agent, "deregister", Registry::Deregister).await?,
        Request::SetTags(json) => set_tags(agent, &json).await?,
        Request::Network(sub) => network::network(agent, sub).await?,
        Request::Managed(raw) => network::managed(agent, &raw).await?,
        Request::Broadcast { network, port, token, data } => {
            network::broadcast(agent, network, port, &token, &data).await?
        }
        Request::SignEnvelope(payload) => envelope::sign(agent, &payload)?,
        Request::VerifyEnvelope(payload) => envelope::verify(agent, &payload).await?,
        Request::PreferDirect(node) => prefer_direct(agent, node).await,
        Request::SetWebhook(_)
        | Request::SetTaskExec(_)
        | Request::MyPolo
        | Request::RotateKey
        | Request::SubmitBadge(_)
        | Request::EnrollRecovery(_) => return Err(unsupported(command - 1).to_owned()),
        // The reader has dealt with these: they have no answer, and no way to here.
        Request::Send { .. } | Request::SendTo { .. } | Request::CancelDial => return Err("no answer".to_owned()),
    };
    Ok(payload(command, json.to_string().into()))
}

/// What this daemon does not do, in words: never silence.
//= spec/ipc.md#pp-ipc-11
//# A command this daemon does not do is answered with an error that says so.
const fn unsupported(request: u8) -> &'static str {
    match request {
        command::SET_WEBHOOK => "set_webhook: not supported: any local client could take the events away",
        command::SET_TASK_EXEC => "set_task_exec: not supported: tasks left the protocol",
        command::MY_POLO => "my_polo: not supported: scores left the protocol",
        command::ROTATE_KEY => "rotate_key: not supported by this version",
        command::SUBMIT_BADGE => "submit_badge: not supported: this daemon shows no badges",
        command::ENROLL_RECOVERY => "enroll_recovery: not supported: keep a copy of identity.json instead",
        _ => "not supported by this version",
    }
}

fn payload(command: u8, payload: Bytes) -> Answer {
    Answer::reply(Reply::Answer { command, payload })
}

async fn dial(session: &Arc<Session>, to: SocketAddress) -> Result<Answer, String> {
    if !session.has_room() {
        return Err("dial: too many connections of this client".to_owned());
    }
    let stream = session.hub.agent.dial(to).await?;
    let conn = number(stream.id());
    Ok(Answer { reply: Reply::Dialed(conn), stream: Some((conn, stream)) })
}

fn bind(session: &Arc<Session>, port: u16) -> Result<Reply, String> {
    // The reference takes port 0 literally, and nothing ever arrives there.
    if port == 0 {
        return Ok(Reply::Bound(0));
    }
    if session.ports() >= MAX_PORTS {
        return Err("bind: too many ports of this client".to_owned());
    }
    let (mut listener, mut datagrams) = session.hub.agent.bind(port)?;
    // Weak: a client that left must not be kept by its own port.
    let owner = Arc::downgrade(session);
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (Ok((stream, remote)), Some(session)) = (accepted, owner.upgrade()) else { return };
                    accept(&session, port, stream, remote).await;
                }
                datagram = datagrams.next() => {
                    let (Some(datagram), Some(session)) = (datagram, owner.upgrade()) else { return };
                    let (from, data) = (datagram.from, datagram.data);
                    //= spec/ipc.md#pp-ipc-13
                    //# A datagram goes to the client that bound its port.
                    session.push_or_drop(&Reply::ReceivedFrom { from, to_port: port, data });
                }
            }
        }
    });
    session.add_port(port, task);
    Ok(Reply::Bound(port))
}

async fn accept(session: &Arc<Session>, port: u16, stream: Stream, remote: SocketAddress) {
    if !session.has_room() {
        return;
    }
    let conn = number(stream.id());
    session.announce(&Reply::Accepted { port, conn, remote }, conn, stream).await;
}

async fn finish(session: &Session, conn: u32) -> Result<(), String> {
    let unknown = || format!("finish: unknown connection {conn}");
    let stream = session.stream(conn).ok_or_else(unknown)?;
    let (done, finished) = oneshot::channel();
    stream.send(Outgoing::Finish(done)).await.map_err(|_| unknown())?;
    drop(stream);
    finished.await.map_err(|_| unknown())?.map_err(|why| format!("finish: {why}"))
}

async fn ping(agent: &Agent, node: u32, timeout_ms: u32) -> Result<Value, String> {
    let timeout = Duration::from_millis(u64::from(timeout_ms)).min(MAX_TRUST_WAIT);
    let pong = agent.ping(NodeId(node), timeout).await.map_err(|why| format!("ping: {why}"))?;
    Ok(json!({"node_id": node, "rtt_ms": info::milliseconds(pong.rtt), "path": info::path_words(pong.path)}))
}

pub(super) async fn registry(agent: &Agent, name: &str, request: Registry) -> Result<Value, String> {
    agent.registry(request).await.map_err(|why| format!("{name}: registry: {why}"))
}

/// Adds a field the registry's reply may leave out.
pub(super) fn fill(reply: &mut Value, name: &str, value: Value) {
    if let Some(fields) = reply.as_object_mut() {
        fields.entry(name.to_owned()).or_insert(value);
    }
}

async fn set_tags(agent: &Agent, json: &[u8]) -> Result<Value, String> {
    let tags: Vec<String> = serde_json::from_slice(json).map_err(|error| format!("set_tags: invalid JSON: {error}"))?;
    if tags.len() > 3 {
        return Err("set_tags: invalid: at most 3 tags".to_owned());
    }
    registry(agent, "set_tags", Registry::SetTags(tags)).await
}

/// A tunnel if there is none. The way it goes is not to be preferred: direct ones always are.
async fn prefer_direct(agent: &Agent, node: u32) -> Value {
    let peer = agent.peers().into_iter().find(|peer| peer.node == NodeId(node));
    let had_tunnel = peer.as_ref().is_some_and(|peer| peer.encrypted);
    let reached = if had_tunnel { Ok(()) } else { agent.ping(NodeId(node), PREFER_DIRECT).await.map(|_| ()) };
    json!({
        "had_tunnel": had_tunnel,
        "node_id": node,
        "pila_pushed": !had_tunnel && reached.is_ok(),
        "resolve_error": reached.err().unwrap_or_default(),
        "was_relay_active": peer.is_some_and(|peer| peer.path == Some(PathKind::Relay)),
        "was_relay_pinned": false,
    })
}

async fn trust(agent: &Agent, sub: HandshakeCommand) -> Result<Value, String> {
    let done = |node: u32, status: &str| json!({"node_id": node, "status": status});
    match sub {
        HandshakeCommand::Send { node, justification } => {
            let status = agent.trust_request(NodeId(node), &justification).await;
            Ok(done(node, status.map_err(|why| format!("handshake: {why}"))?))
        }
        HandshakeCommand::Approve(node) => {
            agent.trust_approve(NodeId(node)).await.map_err(|why| format!("handshake approve: {why}"))?;
            Ok(done(node, "approved"))
        }
        HandshakeCommand::Reject { node, reason } => {
            agent.trust_reject(NodeId(node), &reason).await.map_err(|why| format!("handshake reject: {why}"))?;
            Ok(done(node, "rejected"))
        }
        HandshakeCommand::Pending => Ok(json!({"pending": entries(agent.trust_pending(), "received_at")})),
        HandshakeCommand::Trusted => Ok(json!({"trusted": entries(agent.trusted(), "approved_at")})),
        HandshakeCommand::Revoke(node) => revoke(agent, NodeId(node)).await,
        HandshakeCommand::Wait { node, timeout_ms } => {
            let limit = Duration::from_millis(u64::from(timeout_ms)).min(MAX_TRUST_WAIT);
            let trusted = agent.wait_for_trust(NodeId(node), limit).await;
            Ok(json!({"node_id": node, "trusted": trusted}))
        }
    }
}

async fn revoke(agent: &Agent, node: NodeId) -> Result<Value, String> {
    if !agent.is_trusted(node) {
        return Err(format!("handshake revoke: node {node} was not trusted"));
    }
    let closed = agent.open_streams_with(node);
    agent.trust_revoke(node).await.map_err(|why| format!("handshake revoke: {why}"))?;
    Ok(json!({"node_id": node.0, "status": "revoked", "closed_connections": closed}))
}

fn entries(list: Vec<TrustEntry>, time_name: &str) -> Vec<Value> {
    let entry = |entry: TrustEntry| {
        let mut item = json!({"node_id": entry.node.0, "public_key": entry.public_key, time_name: entry.at});
        if let Some(justification) = entry.justification {
            fill(&mut item, "justification", justification.into());
        } else {
            fill(&mut item, "mutual", entry.mutual.into());
            fill(&mut item, "network", 0.into());
        }
        fill(&mut item, "hostname", entry.hostname.into());
        item
    };
    list.into_iter().map(entry).collect()
}
