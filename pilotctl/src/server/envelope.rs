//! Signed statements that a request outside the overlay comes from a node (commands 33 and 35):
//! `pilot-req-v1|NETWORK NODE|UNIX TIME|NONCE|SHA-256 OF THE BODY|AUDIENCE`, signed by the node's key.
//!
//! Signs nothing else: the first field keeps these apart from everything that the protocol signs.

use super::answers::registry;
use crate::agent::Agent;
use data_encoding::{BASE64, HEXLOWER};
use proto_core::NodeId;
use proto_core::crypto::{PublicKey, rust_crypto};
use proto_core::ids::NetworkId;
use proto_core::registry::{Lookup, Request as Registry};
use proto_core::wire::{Address, base64};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const VERSION: &str = "pilot-req-v1";
/// How far a statement's time may be from ours unless the client says otherwise, seconds.
const MAX_SKEW: u64 = 300;
/// A node that the registry heard of within this is online, seconds: three of its heartbeats.
const ONLINE: i64 = 180;

#[derive(Deserialize)]
struct ToSign {
    audience: String,
    body_hash: Option<String>,
    body_b64: Option<String>,
    nonce: Option<String>,
}

#[derive(Deserialize)]
struct ToVerify {
    envelope: String,
    signature: String,
    #[serde(default)]
    check_standing: bool,
    max_skew_secs: Option<u64>,
}

/// `SignEnvelope`.
pub(super) fn sign(agent: &Agent, payload: &[u8]) -> Result<Value, String> {
    let wrong = |what: &str| format!("sign_envelope: {what}");
    let wanted: ToSign = serde_json::from_slice(payload).map_err(|error| wrong(&format!("bad payload: {error}")))?;
    if !is_audience(&wanted.audience) {
        return Err(wrong("reqsig: audience must be 1 to 64 of [a-z0-9.-]"));
    }
    let hash = match (wanted.body_hash, wanted.body_b64) {
        (Some(hash), None) if is_hex(&hash, 64) => hash,
        (None, Some(body)) => {
            let body = BASE64.decode(body.as_bytes()).map_err(|_| wrong("invalid body_b64"))?;
            HEXLOWER.encode(&Sha256::digest(body))
        }
        _ => return Err(wrong("either body_hash, 64 lower-case hex digits, or body_b64 is required")),
    };
    let nonce = match wanted.nonce {
        Some(nonce) if is_hex(&nonce, 16) => nonce,
        Some(_) => return Err(wrong("invalid nonce: 16 lower-case hex digits")),
        None => fresh_nonce().map_err(|error| wrong(&error.to_string()))?,
    };
    let address = agent.status().address.ok_or_else(|| wrong("this node is not registered yet"))?;
    let (network, node, now) = (address.network.0, address.node.0, now());
    let envelope = format!("{VERSION}|{network:04x}{node:08x}|{now}|{nonce}|{hash}|{}", wanted.audience);
    let signature = BASE64.encode(&agent.sign(envelope.as_bytes()));
    Ok(json!({"address": address.to_string(), "envelope": envelope, "signature": signature}))
}

/// `VerifyEnvelope`: a verdict, whatever is wrong with the statement.
pub(super) async fn verify(agent: &Agent, payload: &[u8]) -> Result<Value, String> {
    let wanted: ToVerify =
        serde_json::from_slice(payload).map_err(|error| format!("verify_envelope: bad payload: {error}"))?;
    let verdict = match judge(agent, &wanted).await {
        Ok(verdict) => verdict,
        Err(reason) => json!({"reason": reason, "type": "verify_envelope_ok", "valid": false}),
    };
    Ok(verdict)
}

async fn judge(agent: &Agent, wanted: &ToVerify) -> Result<Value, String> {
    let (address, time) = parse(&wanted.envelope)?;
    let skew = wanted.max_skew_secs.filter(|secs| *secs > 0).unwrap_or(MAX_SKEW);
    if now().abs_diff(time) > skew {
        return Err(format!("reqsig: envelope timestamp outside \u{b1}{skew}s window"));
    }
    let signature = base64::decode(&wanted.signature).ok_or("reqsig: signature is not base64 of 64 bytes")?;
    let pinned = agent.trusted().into_iter().find(|entry| entry.node == address.node);
    let trusted = pinned.is_some();
    let record = match &pinned {
        Some(_) if !wanted.check_standing => None,
        _ => Some(look_up(agent, address.node).await?),
    };
    // Of a trusted peer the pinned key is the key, whatever the registry says.
    let key = pinned.and_then(|entry| entry.public_key.parse::<PublicKey>().ok());
    let via = if key.is_some() { "trust" } else { "registry" };
    let told = record.as_ref().and_then(|record| Lookup::parse(record)?.public_key);
    let key = key.or(told).ok_or_else(|| format!("public key for node {} unavailable", address.node))?;
    if !key.verify_strict(rust_crypto(), wanted.envelope.as_bytes(), &signature) {
        return Err("reqsig: signature verification failed".to_owned());
    }
    let mut verdict = json!({
        "address": address.to_string(),
        "node_id": address.node.0,
        "trusted": trusted,
        "type": "verify_envelope_ok",
        "valid": true,
        "verified_via": via,
    });
    if let (Some(record), Some(verdict), true) = (record, verdict.as_object_mut(), wanted.check_standing) {
        let seen = record.get("last_seen_unix").and_then(Value::as_i64);
        verdict.insert("last_seen_unix".to_owned(), seen.into());
        verdict.insert("online".to_owned(), seen.is_some_and(|seen| now().saturating_sub(seen) <= ONLINE).into());
        let member = record.get("networks").and_then(Value::as_array).is_some_and(|networks| !networks.is_empty());
        verdict.insert("network_member".to_owned(), member.into());
    }
    Ok(verdict)
}

async fn look_up(agent: &Agent, node: NodeId) -> Result<Value, String> {
    let unavailable = |why: String| format!("public key for node {node} unavailable: {why}");
    registry(agent, "lookup", Registry::Lookup(node)).await.map_err(unavailable)
}

/// The claimed sender and time of a statement of the right form.
fn parse(envelope: &str) -> Result<(Address, i64), String> {
    let fields: Vec<&str> = envelope.split('|').collect();
    let &[version, sender, time, nonce, hash, audience] = fields.as_slice() else {
        return Err(format!("reqsig: want 6 fields, got {}", fields.len()));
    };
    let malformed = || "reqsig: malformed envelope".to_owned();
    let (network, node) = sender.split_at_checked(4).ok_or_else(malformed)?;
    let well_formed =
        version == VERSION && is_hex(sender, 12) && is_hex(nonce, 16) && is_hex(hash, 64) && is_audience(audience);
    let network = u16::from_str_radix(network, 16).ok().filter(|_| well_formed).ok_or_else(malformed)?;
    let node = u32::from_str_radix(node, 16).map_err(|_| malformed())?;
    let time = time.parse().map_err(|_| malformed())?;
    Ok((Address { network: NetworkId(network), node: NodeId(node) }, time))
}

fn is_audience(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn fresh_nonce() -> std::io::Result<String> {
    let seed = runtime_common::entropy::seed()?;
    Ok(HEXLOWER.encode(seed.get(..8).unwrap_or_default()))
}

/// Seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_s_statement_is_understood_and_others_are_not() {
        let recorded = "pilot-req-v1|000000000001|1795215593|c7e3e5e6d81e7bb5|ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad|x.example";
        assert_eq!(parse(recorded), Ok((Address::backbone(NodeId(1)), 1_795_215_593)));
        assert_eq!(parse("nonsense"), Err("reqsig: want 6 fields, got 1".to_owned()));
        for (part, by) in [("v1", "v2"), ("000000000001", "+00000000001"), ("x.example", "X"), ("179", "x79")] {
            assert!(parse(&recorded.replacen(part, by, 1)).is_err(), "{by}");
        }
        assert!(parse(&recorded.replacen("0000", "\u{e9}00", 1)).is_err());
    }
}
