//! What goes over the registry's pipe and into its store: frames, replies, envelopes, durable facts.

use crate::null_crypto::null_crypto;
use crate::script::Script;
use proto_core::crypto::Identity;
use proto_core::registry::codec::{FrameDecoder, FrameError, encode};
use proto_core::registry::envelope::{Envelope, Stamp, seal};
use proto_core::registry::{Handshakes, HostnameReply, Lookup, Registered, Resolved, refusal};
use rendezvous_core::registry::{BINARY_PREAMBLE, binary_protocol_refusal};
use rendezvous_core::{Change, Registry, RegistryConfig};
use serde_json::{Map, Value};

/// A limit that a fuzzer can reach.
const LIMIT: usize = 512;

fn drain(decoder: &mut FrameDecoder, into: &mut Vec<Result<Value, FrameError>>) {
    while let Some(frame) = decoder.next_frame().transpose() {
        let is_end = matches!(frame, Err(FrameError::TooLarge(_)));
        if !is_end || into.last() != Some(&frame) {
            into.push(frame);
        }
        if is_end {
            return;
        }
    }
}

/// A stream has the same messages wherever it is cut; what was read is written so that it is read again; the reference's binary protocol is recognised.
pub fn registry_frames(data: &[u8]) {
    let (cut, stream) = data.split_first().map_or((1, data), |(first, rest)| (usize::from(*first) + 1, rest));
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    let mut decoder = FrameDecoder::new(LIMIT);
    decoder.push(stream);
    drain(&mut decoder, &mut whole);
    assert!(decoder.buffered() <= stream.len());
    let mut decoder = FrameDecoder::new(LIMIT);
    for piece in stream.chunks(cut) {
        decoder.push(piece);
        drain(&mut decoder, &mut pieces);
    }
    assert_eq!(whole, pieces);
    for message in whole.iter().flatten() {
        let mut decoder = FrameDecoder::new(usize::MAX);
        decoder.push(&encode(message));
        assert!(matches!(decoder.next_frame(), Ok(Some(read)) if same(&read, message)));
        assert_eq!(decoder.buffered(), 0);
    }
    if stream.starts_with(&BINARY_PREAMBLE) {
        assert_eq!(whole, [Err(FrameError::TooLarge(u32::from_be_bytes(BINARY_PREAMBLE)))]);
        let answer = binary_protocol_refusal();
        assert_eq!(answer.first_chunk().map(|length| u32::from_be_bytes(*length) as usize), Some(answer.len() - 4));
    }
}

/// Equal, but for what writing and reading a fraction may do to its last digit.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => true,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

/// Replies of a hostile registry are read into bounded values.
pub fn registry_reply(data: &[u8]) {
    let Ok(reply) = serde_json::from_slice::<Value>(data) else { return };
    assert!(refusal(&reply).is_none_or(|text| !text.is_empty()));
    let usable = [
        Registered::parse(&reply).map(|registered| registered.node),
        Resolved::parse(&reply).map(|resolved| resolved.node),
        HostnameReply::parse(&reply).map(|named| named.node),
        Lookup::parse(&reply).map(|lookup| lookup.node),
    ];
    assert!(usable.iter().all(|node| *node == usable[0]), "all replies read the same node number: {usable:?}");
    let handshakes = Handshakes::parse(&reply);
    let most = proto_core::limits::MAX_HANDSHAKES_PER_POLL;
    assert!(handshakes.requests.len() <= most && handshakes.responses.len() <= most);
    let lists = (Resolved::parse(&reply).map(|r| r.lan_addrs.len()), Lookup::parse(&reply).map(|l| l.networks.len()));
    assert!(lists.0.is_none_or(|len| len <= proto_core::limits::MAX_LAN_ADDRESSES));
    assert!(lists.1.is_none_or(|len| len <= proto_core::limits::MAX_NETWORKS_PER_NODE));
}

/// A sealed request verifies also after it was written and read, and with any field changed it does not.
pub fn registry_envelope(data: &[u8]) {
    let mut script = Script::new(data);
    let stamp = Stamp { millis: script.u64() >> 11, nonce: script.u64() };
    let picked = usize::from(script.u8());
    let Ok(Value::Object(mut request)) = serde_json::from_slice::<Value>(script.rest()) else { return };
    let _ = Envelope::read(&request);
    if request.values().any(has_fraction) {
        return;
    }
    let identity = Identity::with_provider([1; 32], null_crypto());
    seal(&mut request, stamp, &identity);
    let request: Map<String, Value> = serde_json::from_str(&Value::Object(request).to_string()).unwrap();
    let envelope = Envelope::read(&request).unwrap().unwrap();
    assert_eq!(envelope.stamp, stamp);
    let mut sealed = request.clone();
    let real = Identity::from_seed([1; 32]);
    seal(&mut sealed, stamp, &real);
    let envelope = Envelope::read(&sealed).unwrap().unwrap();
    assert!(envelope.verifies(&sealed, &real.public()));
    let names: Vec<String> = sealed.keys().filter(|name| *name != "signature").cloned().collect();
    let Some(name) = names.get(picked % names.len().max(1)) else { return };
    sealed.remove(name);
    let still =
        Envelope::read(&sealed).is_ok_and(|read| read.is_some_and(|read| read.verifies(&sealed, &real.public())));
    assert!(!still, "without {name} it still verifies");
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(fields) => fields.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// A fact that is read from a store is kept under the same key and value, and a registry can begin with it.
pub fn registry_change(data: &[u8]) {
    let changes: Vec<Change> = data.split(|byte| *byte == b'\n').filter_map(Change::from_value).collect();
    for change in &changes {
        if let Some(value) = change.value() {
            assert_eq!(Change::from_value(&value).as_ref(), Some(change));
            assert_eq!(Change::from_value(&value).map(|read| read.key()), Some(change.key()));
        }
    }
    let _ = Registry::restore(RegistryConfig::default(), changes);
}
