//! Decides how a signed request shows that it is fresh and which values it means: four fields beside the reference's
//! signature, which a registry that does not know them ignores (`spec/wire.md`, section 10).
//! Refuses to know the time and which stamps were seen before; client and server share it.

use crate::crypto::{Identity, PublicKey, Signature, rust_crypto};
use crate::wire::base64;
use core::fmt::{self, Write as _};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Unix milliseconds at which the request was signed.
const TS: &str = "ts";
/// Sixteen hex digits.
const NONCE: &str = "nonce";
/// Hex SHA-256 of the request without the fields named here.
const BODY_HASH: &str = "body_hash";
/// Base64 of the signature over the other three.
const ENVELOPE: &str = "envelope";
/// What the body does not contain.
const OUTSIDE: [&str; 5] = [TS, NONCE, BODY_HASH, ENVELOPE, "signature"];

/// When a request was signed, and a number that makes it the only one of that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Unix milliseconds, below 2^53.
    pub millis: u64,
    /// Random.
    pub nonce: u64,
}

/// The envelope of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What must be recent and new.
    pub stamp: Stamp,
    body_hash: String,
    signature: Signature,
}

/// Some of an envelope's fields are there, but not all, or not as they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the envelope is incomplete or malformed")
    }
}

impl core::error::Error for Malformed {}

/// Adds an envelope to a request that has its other fields.
pub fn seal(request: &mut Map<String, Value>, stamp: Stamp, identity: &Identity) {
    let body_hash = body_hash(request);
    let signature = identity.sign(signed_string(stamp, &body_hash).as_bytes());
    request.insert(TS.to_owned(), stamp.millis.into());
    request.insert(NONCE.to_owned(), format!("{:016x}", stamp.nonce).into());
    request.insert(BODY_HASH.to_owned(), body_hash.into());
    request.insert(ENVELOPE.to_owned(), BASE64.encode(&signature).into());
}

impl Envelope {
    /// The envelope of `request`, `None` when it has none.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when it has one that cannot be read.
    pub fn read(request: &Map<String, Value>) -> Result<Option<Self>, Malformed> {
        if ![TS, NONCE, BODY_HASH, ENVELOPE].into_iter().any(|field| request.contains_key(field)) {
            return Ok(None);
        }
        let text = |field: &str| request.get(field).and_then(Value::as_str).ok_or(Malformed);
        let millis = request.get(TS).and_then(Value::as_u64).ok_or(Malformed)?;
        let nonce = HEXLOWER.decode(text(NONCE)?.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let nonce = u64::from_be_bytes(nonce.ok_or(Malformed)?);
        let signature = base64::decode(text(ENVELOPE)?);
        Ok(Some(Self {
            stamp: Stamp { millis, nonce },
            body_hash: text(BODY_HASH)?.to_owned(),
            signature: signature.ok_or(Malformed)?,
        }))
    }

    /// `key` signed it, and for this request with these values.
    #[must_use]
    pub fn verifies(&self, request: &Map<String, Value>, key: &PublicKey) -> bool {
        let signed = signed_string(self.stamp, &self.body_hash);
        self.body_hash == body_hash(request) && key.verify_strict(rust_crypto(), signed.as_bytes(), &self.signature)
    }
}

fn signed_string(stamp: Stamp, body_hash: &str) -> String {
    format!("pilot-registry-v1:{}:{:016x}:{body_hash}", stamp.millis, stamp.nonce)
}

fn body_hash(request: &Map<String, Value>) -> String {
    let mut text = String::new();
    write_object(request.iter().filter(|(field, _)| !OUTSIDE.contains(&field.as_str())), &mut text);
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// RFC 8785, for values without fractions: the keys are sorted here, whatever order the map keeps.
fn write_object<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>, out: &mut String) {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_unstable_by_key(|(field, _)| *field);
    out.push('{');
    for (position, (field, value)) in fields.into_iter().enumerate() {
        out.push_str(if position == 0 { "" } else { "," });
        write_scalar(&Value::from(field.as_str()), out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => write_object(fields.iter(), out),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                out.push_str(if position == 0 { "" } else { "," });
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => write_scalar(value, out),
    }
}

fn write_scalar(value: &Value, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const STAMP: Stamp = Stamp { millis: 1_795_000_000_123, nonce: 0x00AB_0000_0000_0001 };

    fn fields(value: Value) -> Map<String, Value> {
        let Value::Object(fields) = value else { panic!("{value} is not an object") };
        fields
    }

    fn sealed(identity: &Identity) -> Map<String, Value> {
        let mut request =
            fields(json!({"type": "set_tags", "node_id": 7, "tags": ["a", "\u{e9}\n\""], "signature": "S"}));
        seal(&mut request, STAMP, identity);
        request
    }

    /// The example of `spec/wire.md`.
    #[test]
    fn the_layout_is_the_specified_one() {
        let request = sealed(&Identity::from_seed([1; 32]));
        let body = "{\"node_id\":7,\"tags\":[\"a\",\"\u{e9}\\n\\\"\"],\"type\":\"set_tags\"}";
        assert_eq!(request["body_hash"], HEXLOWER.encode(&Sha256::digest(body.as_bytes())));
        assert_eq!((&request["ts"], &request["nonce"]), (&json!(1_795_000_000_123_u64), &json!("00ab000000000001")));
    }

    #[test]
    fn any_other_value_stamp_or_key_is_noticed() {
        let identity = Identity::from_seed([1; 32]);
        let request = sealed(&identity);
        let verifies = |request: &Map<String, Value>, identity: &Identity| {
            Envelope::read(request).unwrap().is_some_and(|envelope| envelope.verifies(request, &identity.public()))
        };
        assert!(verifies(&request, &identity));
        assert!(!verifies(&request, &Identity::from_seed([2; 32])));
        for (field, value) in [
            ("tags", json!(["a"])),
            ("node_id", json!(8)),
            ("type", json!("set_hostname")),
            ("more", json!(null)),
            ("ts", json!(1_795_000_000_124_u64)),
            ("nonce", json!("00ab000000000002")),
            ("body_hash", json!("0".repeat(64))),
        ] {
            let mut changed = request.clone();
            changed.insert(field.to_owned(), value);
            assert!(!verifies(&changed, &identity), "{field}");
        }
        let mut other_signature = request;
        other_signature.insert("signature".to_owned(), "T".into());
        assert!(verifies(&other_signature, &identity), "the reference's signature is checked apart");
    }

    #[test]
    fn half_an_envelope_is_none() {
        let request = sealed(&Identity::from_seed([1; 32]));
        for field in ["ts", "nonce", "body_hash", "envelope"] {
            for value in [None, Some(json!(-1)), Some(json!("zz")), Some(json!(1.5)), Some(json!([]))] {
                let mut broken = request.clone();
                broken.remove(field);
                broken.extend(value.map(|value| (field.to_owned(), value)));
                let read = Envelope::read(&broken);
                let invalid = read.as_ref().is_ok_and(|envelope| {
                    envelope
                        .as_ref()
                        .is_some_and(|envelope| !envelope.verifies(&broken, &Identity::from_seed([1; 32]).public()))
                });
                assert!(read == Err(Malformed) || invalid, "{field}");
            }
        }
        assert_eq!(Envelope::read(&fields(json!({"type": "lookup"}))), Ok(None));
    }

    proptest! {
        #[test]
        fn the_body_is_the_same_after_a_journey_as_text(name in ".{0,40}", number in any::<u32>(), flag in any::<bool>()) {
            let identity = Identity::from_seed([1; 32]);
            let mut request = fields(json!({"z": name, "a": [number, {"y": flag, "b": name}], "type": "x"}));
            seal(&mut request, STAMP, &identity);
            let read = fields(serde_json::from_str(&Value::Object(request).to_string()).unwrap());
            let envelope = Envelope::read(&read).unwrap().unwrap();
            prop_assert!(envelope.stamp == STAMP && envelope.verifies(&read, &identity.public()));
        }
    }
}
