//! Trust messages: one JSON object on a stream to port 444 (PP-TRUST-2). Knows the seven fields, not what trust is.

use super::{EmitError, ParseError, base64};
use crate::ids::NodeId;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// Bytes of a message at most.
pub const MAX_TRUST_MESSAGE: usize = 64 * 1024;

/// What a message wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum TrustKind {
    /// Asks for trust.
    #[serde(rename = "handshake_request")]
    Request,
    /// Grants it.
    #[serde(rename = "handshake_accept")]
    Accept,
    /// Refuses it.
    #[serde(rename = "handshake_reject")]
    Reject,
    /// Withdraws it.
    #[serde(rename = "handshake_revoke")]
    Revoke,
}

/// One trust message. All seven keys are always written; a missing text or number is read as empty or zero.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct TrustMessage {
    /// What it wants.
    pub kind: TrustKind,
    /// Who says it sent this.
    pub node: NodeId,
    /// Its Ed25519 public key; old peers may leave it out.
    pub public_key: Option<[u8; 32]>,
    /// Why trust is asked for.
    pub justification: String,
    /// Ed25519 over [`signed_string`]; old peers may leave it out.
    pub signature: Option<[u8; 64]>,
    /// Why it was refused or withdrawn.
    pub reason: String,
    /// When it was made, in Unix seconds. Not signed.
    pub timestamp: u64,
}

/// What a trust message signs, whatever it wants.
#[must_use]
pub fn signed_string(sender: NodeId, receiver: NodeId) -> String {
    //= spec/trust.md#pp-trust-3
    //# A trust message signs `handshake:SENDER:RECEIVER` with the sender's key.
    format!("handshake:{sender}:{receiver}")
}

impl TrustMessage {
    /// The message in `bytes`, which are one JSON object and at most white space around it. Unknown keys are ignored.
    ///
    /// # Errors
    /// [`ParseError::TooLong`] above 64 KiB; [`ParseError::Truncated`] when the object is not complete yet; [`ParseError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > MAX_TRUST_MESSAGE {
            return Err(ParseError::TooLong);
        }
        let json: Json = serde_json::from_slice(bytes)
            .map_err(|error| if error.is_eof() { ParseError::Truncated } else { ParseError::Malformed })?;
        Ok(Self {
            kind: json.kind,
            node: NodeId(json.node_id),
            public_key: decode(&json.public_key)?,
            justification: json.justification,
            signature: decode(&json.signature)?,
            reason: json.reason,
            timestamp: json.timestamp,
        })
    }

    /// The message as a JSON object, keys in the order of the reference.
    ///
    /// # Errors
    /// [`EmitError::TooLong`] above 64 KiB.
    pub fn to_vec(&self) -> Result<Vec<u8>, EmitError> {
        let json = Json {
            kind: self.kind,
            node_id: self.node.0,
            public_key: self.public_key.map_or_else(String::new, |key| BASE64.encode(&key)),
            justification: self.justification.clone(),
            signature: self.signature.map_or_else(String::new, |signature| BASE64.encode(&signature)),
            reason: self.reason.clone(),
            timestamp: self.timestamp,
        };
        let bytes = serde_json::to_vec(&json).map_err(|_| EmitError::TooLong)?;
        if bytes.len() > MAX_TRUST_MESSAGE { Err(EmitError::TooLong) } else { Ok(bytes) }
    }
}

/// The object as it is written.
#[derive(Serialize, Deserialize)]
struct Json {
    #[serde(rename = "type")]
    kind: TrustKind,
    node_id: u32,
    #[serde(default)]
    public_key: String,
    #[serde(default)]
    justification: String,
    #[serde(default)]
    signature: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    timestamp: u64,
}

/// Base64 of exactly `N` bytes, or nothing.
fn decode<const N: usize>(text: &str) -> Result<Option<[u8; N]>, ParseError> {
    if text.is_empty() {
        return Ok(None);
    }
    base64::decode(text).map(Some).ok_or(ParseError::Malformed)
}
