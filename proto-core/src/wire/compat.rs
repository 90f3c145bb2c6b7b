//! The text messages that open a WebSocket to a beacon where UDP is blocked. After them every binary message is one beacon message.

use super::ParseError;
use crate::ids::NodeId;
use serde::{Deserialize, Serialize};

/// Bytes of a text message at most; the longest, a reply, has about 250.
pub const MAX_COMPAT_MESSAGE: usize = 1024;

/// One of the three messages, as JSON with a `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[serde(tag = "type")]
pub enum CompatMessage {
    /// From the beacon: sign this.
    #[serde(rename = "auth_challenge")]
    Challenge {
        /// 32 random bytes in hex; signed as the text it is.
        nonce: String,
        /// When, in Unix seconds; good for 30 s.
        ts: u64,
    },
    /// From the node: the signature.
    #[serde(rename = "auth_reply")]
    Reply {
        /// Who signs.
        node_id: u32,
        /// Its Ed25519 public key in base64.
        public_key: String,
        /// Ed25519 over [`signed_string`] in base64.
        sig: String,
    },
    /// From the beacon: welcome.
    #[serde(rename = "auth_ok")]
    Ok,
}

/// What a reply signs.
#[must_use]
pub fn signed_string(node: NodeId, ts: u64, nonce: &str) -> String {
    format!("compat_auth:{node}:{ts}:{nonce}")
}

impl CompatMessage {
    /// The message in `text`.
    ///
    /// # Errors
    /// [`ParseError::TooLong`] above [`MAX_COMPAT_MESSAGE`]; [`ParseError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > MAX_COMPAT_MESSAGE {
            return Err(ParseError::TooLong);
        }
        serde_json::from_str(text).map_err(|_| ParseError::Malformed)
    }

    /// The message as JSON text.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Strings and numbers only: serialising them cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}
