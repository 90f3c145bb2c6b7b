//! Trust messages, the trust store on disk, and the texts that open a WebSocket.

use crate::null_crypto::null_crypto;
use proto_core::NodeId;
use proto_core::crypto::Identity;
use proto_core::trust::{Snapshot, Trust};
use proto_core::wire::compat::{CompatMessage, MAX_COMPAT_MESSAGE};
use proto_core::wire::trust::MAX_TRUST_MESSAGE;
use proto_core::wire::{ParseError, TrustMessage};
use std::sync::Arc;

/// Missing keys make what is written longer than what was read.
const ADDED_KEYS: usize = 256;
/// Cuts tried.
const CUTS: usize = 64;

/// A message is written so that it is read as the same; every part of it is seen to be incomplete.
pub fn trust_message(data: &[u8]) {
    let message = match TrustMessage::parse(data) {
        Ok(message) => message,
        Err(ParseError::TooLong) => return assert!(data.len() > MAX_TRUST_MESSAGE),
        Err(_) => return,
    };
    let Ok(bytes) = message.to_vec() else {
        return assert!(data.len() > MAX_TRUST_MESSAGE - ADDED_KEYS, "no longer than it was read but for keys");
    };
    assert_eq!(TrustMessage::parse(&bytes).as_ref(), Ok(&message));
    for cut in (0..bytes.len()).rev().take(CUTS) {
        assert_eq!(TrustMessage::parse(&bytes[..cut]), Err(ParseError::Truncated));
    }
}

/// What a store remembers of a file is written, read and remembered alike, and is bounded.
pub fn trust_snapshot(data: &[u8]) {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(data) else { return };
    let identity = Arc::new(Identity::with_provider([1; 32], null_crypto()));
    let mut trust = Trust::new(identity, null_crypto(), false);
    trust.set_own(NodeId(1));
    trust.restore(snapshot);
    let kept = trust.snapshot();
    let text = serde_json::to_string(&kept).unwrap();
    let read: Snapshot = serde_json::from_str(&text).unwrap();
    assert_eq!(read, kept);
    trust.restore(read);
    assert_eq!(trust.snapshot(), kept, "restored once more it is the same");
    assert!(trust.trusted().all(|(node, _)| trust.is_trusted(node)));
}

/// A message is written so that it is read as the same.
pub fn compat_message(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(message) = CompatMessage::parse(text) else { return };
    assert!(text.len() <= MAX_COMPAT_MESSAGE);
    let written = message.to_text();
    assert!(written.len() > MAX_COMPAT_MESSAGE || CompatMessage::parse(&written) == Ok(message));
}
