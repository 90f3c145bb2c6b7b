//! Decides whether a key took the place of another one: each key that was given up signed the next.
//! Refuses to know which keys are pinned, and believes nothing that the registry says about them.

use super::challenge;
use crate::crypto::{CryptoProvider, PublicKey, Signature};
use crate::ids::NodeId;
use crate::limits::MAX_KEY_ROTATIONS;
use data_encoding::BASE64;
use serde_json::Value;

/// A key that was given up, and its signature over the next one ([`challenge::rotate_key`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The key that signed.
    pub given_up: PublicKey,
    /// Its signature.
    pub signature: Signature,
}

impl Rotation {
    fn parse(entry: &Value) -> Option<Self> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let given_up = text("public_key")?.parse().ok()?;
        let signature = BASE64.decode(text("signature")?.as_bytes()).ok()?.try_into().ok()?;
        Some(Self { given_up, signature })
    }
}

/// The `key_history` of a reply, the oldest first. One entry that cannot be read breaks the chain, so nothing is left of it.
pub(super) fn parse_history(reply: &Value) -> Vec<Rotation> {
    let entries = reply.get("key_history").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let newest = entries.len().saturating_sub(MAX_KEY_ROTATIONS);
    let history: Option<Vec<_>> = entries.iter().skip(newest).map(Rotation::parse).collect();
    history.unwrap_or_default()
}

/// The rotations from `pinned` on lead to `current`, each signed by the key before it.
//= spec/identity.md#pp-id-8
//# A pinned key is given up for another one only when an unbroken chain of rotations leads there, each signed by the key before it and
//# the first by the pinned key.
#[must_use]
pub fn leads(
    history: &[Rotation],
    node: NodeId,
    (pinned, current): (&PublicKey, &PublicKey),
    crypto: &CryptoProvider,
) -> bool {
    // A key that came back starts the chain where it was given up last.
    let Some(first) = history.iter().rposition(|rotation| rotation.given_up == *pinned) else { return false };
    let chain = history.get(first..).unwrap_or_default();
    let next = chain.iter().skip(1).map(|rotation| &rotation.given_up).chain([current]);
    chain.iter().zip(next).all(|(rotation, next)| {
        let signed = challenge::rotate_key(node, &next.to_string());
        rotation.given_up.verify_strict(crypto, signed.as_bytes(), &rotation.signature)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Identity, rust_crypto};
    use proptest::prelude::*;
    use serde_json::json;

    const NODE: NodeId = NodeId(7);

    fn identity(seed: u8) -> Identity {
        Identity::from_seed([seed; 32])
    }

    /// The history of a node whose keys were these, one after the other.
    fn history(keys: &[Identity]) -> Vec<Rotation> {
        let rotation = |pair: &[Identity]| {
            let signed = challenge::rotate_key(NODE, &pair[1].public().to_string());
            Rotation { given_up: pair[0].public(), signature: pair[0].sign(signed.as_bytes()) }
        };
        keys.windows(2).map(rotation).collect()
    }

    fn leads_from(history: &[Rotation], node: NodeId, pinned: &Identity, current: &Identity) -> bool {
        leads(history, node, (&pinned.public(), &current.public()), rust_crypto())
    }

    //= spec/identity.md#pp-id-8
    //= type=test
    //# A pinned key is given up for another one only when an unbroken chain of rotations leads there, each signed by the key before it and
    //# the first by the pinned key.
    #[test]
    fn every_earlier_key_leads_to_the_present_one_and_no_other_does() {
        let keys = [1, 2, 3, 4].map(identity);
        let whole = history(&keys);
        for pinned in &keys[..3] {
            assert!(leads_from(&whole, NODE, pinned, &keys[3]));
            assert!(!leads_from(&whole, NODE, pinned, &identity(9)), "to a key that nobody signed");
            assert!(!leads_from(&whole, NodeId(8), pinned, &keys[3]), "signed for another node");
        }
        assert!(!leads_from(&whole, NODE, &identity(9), &keys[3]), "from a key that signed nothing");
        assert!(!leads_from(&[], NODE, &keys[0], &keys[3]));
        assert!(!leads_from(&whole[..2], NODE, &keys[0], &keys[3]), "the last rotation is missing");
        let gap = [whole[0], whole[2]];
        assert!(!leads_from(&gap, NODE, &keys[0], &keys[3]) && leads_from(&gap, NODE, &keys[2], &keys[3]));
    }

    #[test]
    fn a_key_that_came_back_leads_on_from_its_last_use() {
        let keys = [1, 2, 1, 3].map(identity);
        assert!(leads_from(&history(&keys), NODE, &keys[0], &keys[3]));
    }

    #[test]
    fn a_damaged_entry_leaves_no_history() {
        let entry = |rotation: &Rotation| json!({"public_key": rotation.given_up.to_string(), "signature": BASE64.encode(&rotation.signature)});
        let whole = history(&[1, 2, 3].map(identity));
        let told: Vec<Value> = whole.iter().map(entry).collect();
        assert_eq!(parse_history(&json!({"key_history": told})), whole);
        for damaged in [json!(7), json!({}), json!({"public_key": "x", "signature": "y"})] {
            assert_eq!(parse_history(&json!({"key_history": [damaged, told[1]]})), []);
        }
        assert_eq!(parse_history(&json!({})), []);
        let many = vec![told[0].clone(); MAX_KEY_ROTATIONS + 5];
        assert_eq!(parse_history(&json!({"key_history": many})).len(), MAX_KEY_ROTATIONS);
    }

    proptest! {
        /// No signature of a chain can be changed.
        #[test]
        fn a_changed_signature_breaks_the_chain(which in 0_usize..3, byte in 0_usize..64, bit in 0_u8..8) {
            let keys = [1, 2, 3, 4].map(identity);
            let mut changed = history(&keys);
            changed[which].signature[byte] ^= 1 << bit;
            prop_assert!(!leads_from(&changed, NODE, &keys[0], &keys[3]));
        }
    }
}
