//! Handshakes relayed between nodes that cannot reach each other yet (PP-REG-21, PP-TRUST-16).

use super::call::{Call, Fields, fields};
use super::change::{Change, Letter};
use super::refusal::{Handled, Refusal};
use super::state::{Delivery, Mail, Node};
use super::trust::{give_half, take_halves};
use crate::limits::{INBOX_REDELIVERY, MAX_INBOX_REQUESTS, MAX_INBOX_RESPONSES, MAX_JUSTIFICATION_BYTES};
use proto_core::registry::challenge;
use proto_core::{NodeId, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `request_handshake`: into the target's inbox. Asking is the sender's half of the trust.
pub(super) fn request(call: &mut Call<'_>) -> Handled<Fields> {
    let (from, to) = (call.request.node("from_node_id"), call.request.node("to_node_id"));
    let justification =
        call.request.short_text("justification", MAX_JUSTIFICATION_BYTES)?.unwrap_or_default().to_owned();
    call.authenticate_letter(from, &challenge::request_handshake(from, to))?;
    let target = call.node(to)?;
    if target.requests.get(&from).is_some_and(|mail| mail.delivered.is_none()) {
        return Err(Refusal::new(format!("handshake request already pending from node {from}")));
    }
    //= spec/registry.md#pp-reg-22
    //# An inbox holds at most 100 requests.
    if target.requests.len() >= MAX_INBOX_REQUESTS && !target.requests.contains_key(&from) {
        return Err(Refusal::new(format!("handshake inbox full for node {to}")));
    }
    give_half(call, from, to)?;
    let letter = Letter { justification, accept: false, timestamp: call.wall };
    call.commit(Change::request(to, from, Some(letter)));
    //= spec/relay.md#pp-relay-18
    //# The beacon tells a node when a handshake message waits for it.
    call.notify(to);
    Ok(fields(json!({"status": "delivered"})))
}

/// `respond_handshake`: the answer to a request, which is remembered as the requester's half.
pub(super) fn respond(call: &mut Call<'_>) -> Handled<Fields> {
    let (id, peer) = (call.request.node("node_id"), call.request.node("peer_id"));
    let accept = call.request.flag("accept").unwrap_or(false);
    // A refusal takes a request away, whether there is a pair or not.
    let changes = !accept || !call.state().trusted(id, peer);
    call.authenticate_setting(id, &challenge::respond_handshake(id, peer), changes)?;
    if !call.state().half(peer, id) {
        return Err(Refusal::new(format!("no pending handshake request from node {peer}")));
    }
    if accept {
        give_half(call, id, peer)?;
    } else if !call.state().half(id, peer) {
        take_halves(call, id, peer);
    }
    if call.node(id)?.requests.contains_key(&peer) {
        call.commit(Change::request(id, peer, None));
    }
    let room = call
        .state()
        .node(peer)
        .is_some_and(|node| node.answers.contains_key(&id) || node.answers.len() < MAX_INBOX_RESPONSES);
    if room {
        let letter = Letter { justification: String::new(), accept, timestamp: call.wall };
        call.commit(Change::answer(peer, id, Some(letter)));
        call.notify(peer);
    }
    Ok(fields(json!({"accept": accept, "peer_id": peer.0})))
}

/// `poll_handshakes`: everything that waits. It is kept until the node polls again on the same connection, which shows
/// that it got this reply, or until it was told twice and [`INBOX_REDELIVERY`] has passed.
pub(super) fn poll(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    call.authenticate(id, &challenge::poll_handshakes(id))?;
    let (session, now) = (call.session.id(), call.now);
    let node = call.node(id)?;
    let collected = |mail: &Mail| mail.delivered.as_ref().is_some_and(|delivery| is_collected(delivery, session, now));
    let senders = |letters: &BTreeMap<NodeId, Mail>| -> Vec<NodeId> {
        letters.iter().filter(|(_, mail)| collected(mail)).map(|(from, _)| *from).collect()
    };
    let (requests, answers) = (senders(&node.requests), senders(&node.answers));
    requests.into_iter().for_each(|from| call.commit(Change::request(id, from, None)));
    answers.into_iter().for_each(|from| call.commit(Change::answer(id, from, None)));
    let (mut requests, mut responses) = (Vec::new(), Vec::new());
    if let Some(node) = call.state_mut().node_mut(id) {
        (requests, responses) = deliver(node, session, now);
    }
    Ok(fields(json!({"requests": requests, "responses": responses})))
}

fn is_collected(delivery: &Delivery, session: u64, now: Timestamp) -> bool {
    //= spec/registry.md#pp-reg-21
    //# A relayed handshake stays in the inbox until its delivery is certain.
    delivery.session == session || delivery.again && now.saturating_since(delivery.first) >= INBOX_REDELIVERY
}

fn deliver(node: &mut Node, session: u64, now: Timestamp) -> (Vec<Value>, Vec<Value>) {
    // The first delivery starts the clock; one on another connection moves whose poll acknowledges it.
    let mark = |mail: &mut Mail| {
        let first = mail.delivered.as_ref().map_or(now, |delivery| delivery.first);
        mail.delivered = Some(Delivery { session, first, again: mail.delivered.is_some() });
    };
    let mut requests = Vec::new();
    for (from, mail) in &mut node.requests {
        mark(mail);
        let Letter { justification, timestamp, .. } = &mail.letter;
        requests.push(json!({"from_node_id": from.0, "justification": justification, "timestamp": timestamp}));
    }
    let mut responses = Vec::new();
    for (from, mail) in &mut node.answers {
        mark(mail);
        let Letter { accept, timestamp, .. } = mail.letter;
        responses.push(json!({"from_node_id": from.0, "accept": accept, "timestamp": timestamp}));
    }
    (requests, responses)
}
