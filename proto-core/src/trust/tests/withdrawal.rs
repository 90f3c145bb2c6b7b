//! Withdrawals: what they end, and that nothing late makes up for them.

use super::super::{Command, MessageError, Source, Told, Trust, TrustAction};
use crate::crypto::{Identity, rust_crypto};
use crate::ids::NodeId;
use crate::time::Timestamp;
use crate::wire::trust::signed_string;
use crate::wire::{TrustKind, TrustMessage};
use core::time::Duration;
use std::sync::Arc;

const WALL: u64 = 1_795_000_000;
const OWN: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);

fn now() -> Timestamp {
    Timestamp::from_micros(1_000_000)
}

fn trust() -> Trust {
    let mut trust = Trust::new(Arc::new(Identity::from_seed([1; 32])), rust_crypto(), false);
    trust.set_own(OWN);
    trust
}

/// The peer asked and was approved.
fn approved() -> Trust {
    let mut trust = trust();
    trust.handle_relayed_request(WALL, PEER, "hello", false).unwrap();
    command(&mut trust, Command::Approve(PEER));
    trust
}

fn command(trust: &mut Trust, command: Command) -> Vec<TrustAction> {
    trust.command(now(), WALL, command).unwrap();
    actions(trust)
}

fn actions(trust: &mut Trust) -> Vec<TrustAction> {
    core::iter::from_fn(|| trust.poll_action()).collect()
}

/// Everything due at `at`.
fn due(trust: &mut Trust, at: Timestamp) -> Vec<TrustAction> {
    trust.handle_timeout(at);
    assert!(trust.poll_timeout().is_none_or(|next| next > at), "a deadline that stays");
    actions(trust)
}

#[test]
fn an_approval_whose_dial_fails_after_the_revocation_is_not_relayed() {
    let mut trust = approved();
    trust.direct_failed(PEER, TrustKind::Accept);
    assert_eq!(actions(&mut trust), [TrustAction::RespondHandshake { node: PEER, accept: true }]);
    command(&mut trust, Command::Revoke(PEER));
    trust.direct_failed(PEER, TrustKind::Accept);
    assert_eq!(actions(&mut trust), []);
}

//= spec/trust.md#pp-trust-18
//= type=test
//# A change of the trust store makes the endpoint ask its host to keep it.
#[test]
fn a_withdrawal_that_ends_an_own_request_is_kept() {
    let mut trust = trust();
    command(&mut trust, Command::Request { node: PEER, justification: String::new(), admits_us: false });
    let identity = Identity::from_seed([2; 32]);
    let message = TrustMessage {
        kind: TrustKind::Revoke,
        node: PEER,
        public_key: Some(*identity.public().as_bytes()),
        justification: String::new(),
        signature: Some(identity.sign(signed_string(PEER, OWN).as_bytes())),
        reason: String::new(),
        timestamp: WALL,
    };
    let bytes = message.to_vec().unwrap();
    let mut take =
        |bytes: &[u8]| trust.handle_message(WALL, PEER, &identity.public(), bytes, false, Source::Rendezvous);
    assert_eq!(take(&bytes), Ok(()));
    let again = TrustMessage { timestamp: WALL + 1, ..message }.to_vec().unwrap();
    assert_eq!(take(&again), Err(MessageError::Unsolicited), "nothing is left to withdraw");
    assert!(!trust.is_expected(PEER));
    assert_eq!(actions(&mut trust), [TrustAction::SnapshotChanged]);
}

//= spec/trust.md#pp-trust-11
//= type=test
//# A revocation ends every stream with the peer at once and tells the peer and the registry.
#[test]
fn the_registry_is_told_until_it_was_told_or_it_does_not_hold_any_more() {
    let mut trust = approved();
    command(&mut trust, Command::Revoke(PEER));
    trust.telling_failed(now(), PEER, Told::Revoked);
    let mut at = now();
    for _ in 0..5 {
        at = trust.poll_timeout().unwrap();
        assert_eq!(due(&mut trust, at), [TrustAction::RevokeTrust(PEER)]);
        assert_eq!(trust.poll_timeout(), None, "told now, or reported as failed");
        trust.telling_failed(at, PEER, Told::Revoked);
    }
    command(&mut trust, Command::Request { node: PEER, justification: String::new(), admits_us: false });
    at = at + Duration::from_secs(60);
    assert_eq!(due(&mut trust, at), []);
    for (told, holds) in [(Told::Revoked, false), (Told::Answered(true), true), (Told::Answered(false), false)] {
        let mut trust = approved();
        trust.telling_failed(at, PEER, told);
        assert_eq!(trust.poll_timeout().is_some(), holds, "{told:?}");
    }
}

#[test]
fn much_that_was_not_told_is_told_a_few_at_a_time() {
    let mut trust = trust();
    for node in 10..110 {
        trust.telling_failed(now(), NodeId(node), Told::Revoked);
    }
    let mut told = Vec::new();
    while let Some(at) = trust.poll_timeout() {
        let now = due(&mut trust, at);
        assert!(now.len() <= crate::limits::UNTOLD_TRUST_AT_ONCE);
        told.extend(now);
    }
    assert_eq!(told.len(), 100);
}
