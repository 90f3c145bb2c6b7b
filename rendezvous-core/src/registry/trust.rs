//! Who trusts whom. A node can only speak for its own half; a pair needs both (PP-REG-20).

use super::call::{Call, Fields, fields};
use super::change::Change;
use super::refusal::{Handled, Refusal};
use crate::limits::MAX_TRUST_PER_NODE;
use proto_core::NodeId;
use proto_core::registry::challenge;
use serde_json::json;

/// `report_trust`: the sender's half.
pub(super) fn report(call: &mut Call<'_>) -> Handled<Fields> {
    let (id, peer) = (call.request.node("node_id"), call.request.node("peer_id"));
    call.authenticate(id, &challenge::report_trust(id, peer))?;
    call.node(peer)?;
    give_half(call, id, peer)?;
    Ok(Fields::new())
}

/// Notes that `from` trusts `to`.
pub(super) fn give_half(call: &mut Call<'_>, from: NodeId, to: NodeId) -> Handled<()> {
    if from == to {
        return Err(Refusal::invalid("peer_id"));
    }
    if call.state().half(from, to) {
        return Ok(());
    }
    if call.state().trust_given(from) >= MAX_TRUST_PER_NODE {
        return Err(Refusal::new(format!("too many peers trusted by node {from}")));
    }
    call.commit(Change::trust(from, to, true));
    Ok(())
}

/// `revoke_trust`: both halves go, so that the peer's old consent cannot complete a later request.
pub(super) fn revoke(call: &mut Call<'_>) -> Handled<Fields> {
    let (id, peer) = (call.request.node("node_id"), call.request.node("peer_id"));
    call.authenticate(id, &challenge::revoke_trust(id, peer))?;
    let held = take_halves(call, id, peer);
    // A request that nobody collected is taken back with them, and can be made anew.
    if call.state().node(peer).is_some_and(|node| node.requests.contains_key(&id)) {
        call.commit(Change::request(peer, id, None));
    }
    if held { Ok(Fields::new()) } else { Err(Refusal::no_trust_pair(id, peer)) }
}

/// Forgets both halves; false when there was none.
pub(super) fn take_halves(call: &mut Call<'_>, a: NodeId, b: NodeId) -> bool {
    let halves = [(a, b), (b, a)].map(|(from, to)| (from, to, call.state().half(from, to)));
    for (from, to, _) in halves.into_iter().filter(|(_, _, holds)| *holds) {
        call.commit(Change::trust(from, to, false));
    }
    halves.iter().any(|(_, _, holds)| *holds)
}

/// `check_trust`. Asked by private receivers for every stranger's SYN, on whatever connection: never authenticated.
pub(super) fn check(call: &mut Call<'_>) -> Handled<Fields> {
    let (id, peer) = (call.request.node("node_id"), call.request.node("peer_id"));
    let trusted = id != peer && call.registry.related(id, peer);
    Ok(fields(json!({"trusted": trusted})))
}
