//! Registration, signs of life, key rotation and farewell (PP-REG-7 to PP-REG-14).

use super::call::{Call, Fields, fields};
use super::change::{Change, NodeRecord};
use super::keys::verifies;
use super::refusal::{Handled, Refusal};
use super::settings::claim_hostname;
use super::state::Presence;
use crate::limits::{MAX_NODES, MAX_OWNER_BYTES, MAX_VERSION_BYTES};
use crate::rate::source_of;
use crate::validate;
use proto_core::crypto::PublicKey;
use proto_core::registry::challenge;
use proto_core::registry::envelope::Stamp;
use proto_core::wire::addr::Address;
use proto_core::{NetworkId, NodeId};
use serde_json::json;

/// `register`: the same key always gets the same id, and never by way of its owner's e-mail.
pub(super) fn register(call: &mut Call<'_>) -> Handled<Fields> {
    let key = call.request.public_key("public_key")?;
    let listen_addr = call.request.text("listen_addr").unwrap_or_default();
    let endpoint =
        validate::endpoint(listen_addr, call.session.source()).ok_or_else(|| Refusal::invalid("listen_addr"))?;
    let proof = verify_registration(call, key, listen_addr)?;
    let version = call.request.short_text("version", MAX_VERSION_BYTES)?.map(str::to_owned);
    let owner = call.request.short_text("owner", MAX_OWNER_BYTES)?.map(str::to_owned);
    //= spec/registry.md#pp-reg-7
    //# A registration carries the node's public key, and the same key always gets the same number.
    //= spec/registry.md#pp-reg-9
    //# A node number is never given to another key, except by the rotation its holder signed.
    let known = call.state().by_key(&key).map(|node| node.record.clone());
    // Whoever saw a key can register it unsigned; only its owner may rename it.
    let may_name = proof.signed || known.is_none();
    let claim = Claim { version, owner, proof };
    let node = match known {
        Some(known) => welcome_back(call, known, claim)?,
        None => enrol(call, key, claim)?,
    };
    let presence = Presence {
        endpoint: endpoint.clone(),
        lan_addresses: validate::lan_addresses(call.request.texts("lan_addrs")),
        relay_only: call.request.flag("relay_only").unwrap_or(false),
        source: call.session.source(),
        last_seen: call.now,
        last_seen_unix: call.wall,
    };
    take_presence(call, node, presence, proof.signed)?;
    let mut reply = fields(json!({
        "node_id": node.0, "network_id": 0, "address": Address::backbone(node).to_string(),
        "public_key": key.to_string(), "observed_addr": endpoint, "protocol_version": 1,
    }));
    if let Some(name) = call.request.text("hostname").filter(|name| !name.is_empty()) {
        let unchanged = call.node(node)?.record.hostname.as_deref() == Some(name);
        let claimed = if unchanged {
            Ok(())
        } else if may_name {
            claim_hostname(call, node, name)
        } else {
            Err(Refusal::signature_required())
        };
        match claimed {
            Ok(()) => drop(reply.insert("hostname".to_owned(), name.into())),
            Err(refusal) => drop(reply.insert("hostname_error".to_owned(), refusal.text.into())),
        }
    }
    Ok(reply)
}

/// How a registration shows that it is its key's.
#[derive(Clone, Copy, Debug)]
struct Proof {
    signed: bool,
    /// Of its envelope.
    stamp: Option<Stamp>,
}

/// What a registration says besides where the node is.
#[derive(Debug)]
struct Claim {
    version: Option<String>,
    owner: Option<String>,
    proof: Proof,
}

/// The registration's signatures, if they are valid. A key that once signed must always sign, and so with envelopes.
fn verify_registration(call: &Call<'_>, key: PublicKey, listen_addr: &str) -> Handled<Proof> {
    //= spec/registry.md#pp-reg-8
    //# A registration with a signature must verify, and a key that once signed must always sign.
    let known = call.state().by_key(&key).map(|node| (node.record.signed, node.record.enveloped));
    let (must_sign, must_seal) = known.unwrap_or_default();
    let Some(signature) = call.request.text("signature").filter(|signature| !signature.is_empty()) else {
        let proof = Proof { signed: false, stamp: None };
        return if must_sign || must_seal { Err(Refusal::signature_required()) } else { Ok(proof) };
    };
    let key_as_sent = call.request.text("public_key").unwrap_or_default();
    if !verifies(&key, &challenge::register(listen_addr, key_as_sent), signature) {
        return Err(Refusal::signature_failed());
    }
    let stamp = call.open_envelope(&key)?;
    if must_seal && stamp.is_none() { Err(Refusal::envelope_required()) } else { Ok(Proof { signed: true, stamp }) }
}

fn welcome_back(call: &mut Call<'_>, known: NodeRecord, claim: Claim) -> Handled<NodeId> {
    let (id, Claim { version, owner, proof }) = (NodeId(known.id), claim);
    if let Some(stamp) = proof.stamp {
        call.use_up(id, stamp)?;
    }
    let mut record = known.clone();
    if record.deregistered {
        record.deregistered = false;
        record.public = false;
        record.tags.clear();
    }
    if version.is_some() {
        record.version = version;
    }
    //= spec/registry.md#pp-reg-10
    //# A node is never found by its owner's e-mail.
    record.owner = record.owner.or(owner);
    record.signed |= proof.signed;
    record.enveloped |= proof.stamp.is_some();
    if record != known {
        call.commit(Change::Node(record));
    }
    Ok(id)
}

fn enrol(call: &mut Call<'_>, key: PublicKey, claim: Claim) -> Handled<NodeId> {
    let Claim { version, owner, proof } = claim;
    //= spec/rate-limits.md#pp-rate-10
    //# First registrations are limited by address; keys that are known are not.
    if !call.registry.registrations.take(source_of(call.session.source()), call.now, 1) {
        return Err(Refusal::rate_limited("registrations"));
    }
    if call.state().key_count() >= MAX_NODES {
        return Err(Refusal::full("nodes"));
    }
    let id = call.state().next_node().ok_or_else(|| Refusal::full("nodes"))?;
    call.commit(Change::Node(NodeRecord {
        id: id.0,
        public_key: key,
        hostname: None,
        tags: Vec::new(),
        public: false,
        task_exec: false,
        owner,
        version,
        signed: proof.signed,
        enveloped: proof.stamp.is_some(),
        deregistered: false,
        key_created: call.wall,
        key_rotated: None,
        rotations: 0,
    }));
    if let Some(stamp) = proof.stamp {
        call.use_up(id, stamp)?;
    }
    Ok(id)
}

/// Believes where the node says it is; or, when a live node would move to another address without a signature, only
/// once something signed comes on the same connection.
fn take_presence(call: &mut Call<'_>, id: NodeId, presence: Presence, signed: bool) -> Handled<()> {
    let (now, source) = (call.now, call.session.source());
    let moved = call.node(id)?.presence(now).is_some_and(|known| known.source != source);
    if moved && !signed && call.identity() != Some(id) {
        //= spec/registry.md#pp-reg-11
        //# An unsigned registration that would move a live node to another address is believed only after something signed came on the same
        //# connection.
        call.session.held = Some((id, presence));
        return Ok(());
    }
    call.session.held = None;
    if signed {
        call.session.prove(id);
    }
    call.state_mut().appear(id, presence);
    Ok(())
}

/// `heartbeat`. Never touches the store.
pub(super) fn heartbeat(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    if call.node(id)?.presence(call.now).is_none() {
        return Err(Refusal::node_not_found(id));
    }
    call.authenticate(id, &challenge::heartbeat(id))?;
    let (now, wall) = (call.now, call.wall);
    if let Some(presence) = call.state_mut().node_mut(id).and_then(|node| node.presence_mut(now)) {
        //= spec/registry.md#pp-reg-27
        //# Lookups, endpoints and heartbeats never touch the store.
        presence.last_seen = now;
        presence.last_seen_unix = wall;
    }
    Ok(fields(json!({"time": wall})))
}

/// `deregister`: the name and the memberships go, the key keeps its id. When nobody else can have sent it, the key may
/// come back with a client that signs less: so a node moves from this implementation to the reference.
pub(super) fn deregister(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    let Some(networks) = call.state().node(id).map(|node| node.networks.clone()) else { return Ok(Fields::new()) };
    call.authenticate_or_admin(id, &challenge::deregister(id))?;
    let intended = call.is_intended();
    for network in networks {
        call.commit(Change::member(network, id, None));
    }
    call.edit(id, |record| {
        record.hostname = None;
        record.tags.clear();
        record.public = false;
        record.deregistered = true;
        record.signed &= !intended;
        record.enveloped &= !intended;
    })?;
    Ok(Fields::new())
}

/// `rotate_key`, signed by the old key over the new one.
pub(super) fn rotate_key(call: &mut Call<'_>) -> Handled<Fields> {
    let id = call.request.node("node_id");
    let new_key = call.request.public_key("new_public_key")?;
    //= spec/registry.md#pp-reg-28
    //# Key rotation signs the new key by default.
    let bound = challenge::rotate_key(id, call.request.text("new_public_key").unwrap_or_default());
    if let Err(refusal) = call.authenticate(id, &bound) {
        if !call.registry.config.unbound_rotation {
            return Err(refusal);
        }
        call.authenticate(id, &challenge::rotate_key_unbound(id))?;
    }
    if call.state().by_key(&new_key).is_some_and(|holder| holder.id() != id) {
        return Err(Refusal::new("key already in use"));
    }
    let wall = call.wall;
    call.edit(id, |record| {
        if record.public_key != new_key {
            record.public_key = new_key;
            record.key_rotated = Some(wall);
            record.rotations = record.rotations.saturating_add(1);
        }
    })?;
    Ok(fields(json!({
        "node_id": id.0, "address": Address { network: NetworkId::BACKBONE, node: id }.to_string(),
        "public_key": new_key.to_string(),
    })))
}
