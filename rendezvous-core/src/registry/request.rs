//! Reads a request's fields. A field of the wrong type counts as absent, as in the reference.

use super::refusal::{Handled, Refusal};
use proto_core::crypto::PublicKey;
use proto_core::registry::envelope::Envelope;
use proto_core::{NetworkId, NodeId};
use serde_json::{Map, Value};

/// A request: a JSON object.
#[derive(Debug)]
pub(super) struct Request(Map<String, Value>);

impl Request {
    /// The request in `json`, `None` when it is not an object.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        match serde_json::from_slice(json) {
            Ok(Value::Object(fields)) => Some(Self(fields)),
            Ok(_) | Err(_) => None,
        }
    }

    pub(super) fn envelope(&self) -> Handled<Option<Envelope>> {
        Envelope::read(&self.0).map_err(Refusal::envelope)
    }

    /// The envelope is `key`'s, and for these values.
    pub(super) fn is_sealed_by(&self, key: &PublicKey, envelope: &Envelope) -> bool {
        envelope.verifies(&self.0, key)
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    /// A text of at most `longest` bytes; absent and empty are `None`.
    pub(super) fn short_text(&self, field: &str, longest: usize) -> Handled<Option<&str>> {
        let text = self.text(field).filter(|text| !text.is_empty());
        if text.is_some_and(|text| text.len() > longest) { Err(Refusal::too_long(field)) } else { Ok(text) }
    }

    /// An object, or its text, of at most `longest` bytes; absent, null and empty are `None`.
    pub(super) fn document(&self, field: &str, longest: usize) -> Handled<Option<Value>> {
        let document = match self.0.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| Refusal::invalid(field))?,
            Some(value) => value.clone(),
        };
        if !document.is_object() {
            return Err(Refusal::invalid(field));
        }
        if document.to_string().len() > longest { Err(Refusal::too_long(field)) } else { Ok(Some(document)) }
    }

    pub(super) fn flag(&self, field: &str) -> Option<bool> {
        self.0.get(field).and_then(Value::as_bool)
    }

    /// The texts of a list; what is not text is left out.
    pub(super) fn texts(&self, field: &str) -> impl Iterator<Item = &str> {
        self.0.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// A node id; absent, fractional or beyond 32 bits it is zero.
    pub(super) fn node(&self, field: &str) -> NodeId {
        NodeId(self.number(field).and_then(|number| u32::try_from(number).ok()).unwrap_or(0))
    }

    /// A network id; absent, fractional or beyond 16 bits it is zero.
    pub(super) fn network(&self, field: &str) -> NetworkId {
        NetworkId(self.number(field).and_then(|number| u16::try_from(number).ok()).unwrap_or(0))
    }

    pub(super) fn public_key(&self, field: &str) -> Handled<PublicKey> {
        let text = self.text(field).filter(|text| !text.is_empty()).ok_or_else(|| Refusal::missing(field))?;
        text.parse().map_err(|_| Refusal::invalid(field))
    }

    /// A non-negative integer, also when it is written `1.0` or `1e3`.
    fn number(&self, field: &str) -> Option<u64> {
        let value = self.0.get(field)?;
        value.as_u64().or_else(|| {
            let float = value.as_f64().filter(|f| f.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(f))?;
            format!("{float:.0}").parse().ok()
        })
    }
}
