//! Two nodes that trust each other or not, with a scripted relay between them, in virtual time.

mod withdrawal;

use super::*;
use crate::crypto::rust_crypto;
use crate::limits::*;
use crate::wire::{TrustMessage, trust::signed_string};

const NOW: Timestamp = Timestamp::from_micros(1_000_000);
const WALL: u64 = 1_795_215_358;
const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const STRANGER: NodeId = NodeId(9);

/// Node `A` or `B` and what it was told to do besides sending.
struct Side {
    trust: Trust,
    node: NodeId,
    key: PublicKey,
    seen: Vec<TrustAction>,
}

impl Side {
    fn new(node: NodeId, auto_approve: bool) -> Self {
        let identity = Arc::new(identity(node));
        let key = identity.public();
        let mut trust = Trust::new(identity, rust_crypto(), auto_approve);
        trust.set_own(node);
        Self { trust, node, key, seen: Vec::new() }
    }

    fn command(&mut self, command: Command) -> Result<&'static str, TrustError> {
        self.trust.command(NOW, WALL, command)
    }

    fn add(&mut self, node: NodeId, admits_us: bool) -> Result<&'static str, TrustError> {
        self.command(Command::Request { node, justification: "hello".to_owned(), admits_us })
    }

    fn actions(&mut self) -> Vec<TrustAction> {
        core::iter::from_fn(|| self.trust.poll_action()).collect()
    }

    fn saw(&self, action: &TrustAction) -> bool {
        self.seen.contains(action)
    }
}

fn identity(node: NodeId) -> Identity {
    Identity::from_seed([u8::try_from(node.0).unwrap(); 32])
}

/// How messages get through.
#[derive(Clone, Copy, Default)]
struct Paths {
    direct: bool,
    relay: bool,
    shared_network: bool,
}

const BOTH: Paths = Paths { direct: true, relay: true, shared_network: false };
const RELAY: Paths = Paths { direct: false, relay: true, shared_network: false };
const DIRECT: Paths = Paths { direct: true, relay: false, shared_network: false };

/// Carries messages between the two until neither has anything to say.
fn exchange(a: &mut Side, b: &mut Side, paths: Paths) {
    for _ in 0..10 {
        deliver(a, b, paths);
        deliver(b, a, paths);
    }
    assert!(a.trust.poll_action().is_none() && b.trust.poll_action().is_none(), "the two never stop talking");
}

fn deliver(from: &mut Side, to: &mut Side, paths: Paths) {
    for action in from.actions() {
        match &action {
            TrustAction::SendDirect { kind, message, .. } if paths.direct => {
                let _ = to.trust.handle_message(
                    WALL,
                    from.node,
                    &from.key,
                    message,
                    paths.shared_network,
                    Source::Rendezvous,
                );
                assert!(!message.is_empty() && TrustMessage::parse(message).unwrap().kind == *kind);
            }
            TrustAction::SendDirect { node, kind, .. } => from.trust.direct_failed(*node, *kind),
            TrustAction::RequestHandshake { justification, .. } if paths.relay => {
                to.trust.handle_relayed_request(WALL, from.node, justification, paths.shared_network).unwrap();
            }
            TrustAction::RespondHandshake { accept, .. } if paths.relay => {
                let _ = to.trust.handle_relayed_response(NOW, WALL, from.node, *accept);
            }
            TrustAction::RequestHandshake { .. }
            | TrustAction::RespondHandshake { .. }
            | TrustAction::ReportTrust(_)
            | TrustAction::RevokeTrust(_)
            | TrustAction::CloseStreams(_)
            | TrustAction::Requested { .. }
            | TrustAction::Rejected { .. }
            | TrustAction::Changed { .. }
            | TrustAction::SnapshotChanged => {}
        }
        from.seen.push(action);
    }
}

fn mutual(a: &Side, b: &Side) -> bool {
    a.trust.is_trusted(b.node) && b.trust.is_trusted(a.node)
}

fn message(kind: TrustKind, from: NodeId, to: NodeId, timestamp: u64) -> TrustMessage {
    let identity = identity(from);
    TrustMessage {
        kind,
        node: from,
        public_key: Some(*identity.public().as_bytes()),
        justification: String::new(),
        signature: Some(identity.sign(signed_string(from, to).as_bytes())),
        reason: String::new(),
        timestamp,
    }
}

//= spec/trust.md#pp-trust-9
//= type=test
//# A request that no rule approves waits for a person.
#[test]
fn a_person_approves_over_every_kind_of_path() {
    for (paths, admits_us) in [(BOTH, true), (RELAY, false), (RELAY, true), (DIRECT, true)] {
        let (mut a, mut b) = (Side::new(A, false), Side::new(B, false));
        assert_eq!(a.add(B, admits_us), Ok("sent"));
        exchange(&mut a, &mut b, paths);
        assert!(!a.trust.is_trusted(B) && !b.trust.is_trusted(A));
        assert!(b.saw(&TrustAction::Requested { node: A, justification: "hello".to_owned() }));
        assert_eq!(b.trust.pending().count(), 1);
        assert_eq!(b.command(Command::Approve(A)), Ok("approved"));
        exchange(&mut a, &mut b, paths);
        assert!(mutual(&a, &b));
        for (side, other) in [(&a, B), (&b, A)] {
            assert!(side.saw(&TrustAction::ReportTrust(other)));
            assert!(side.saw(&TrustAction::Changed { node: other, trusted: true }));
        }
        assert_eq!(b.trust.pending().count() + a.trust.outgoing().count(), 0);
    }
}

//= spec/trust.md#pp-trust-16
//= type=test
//# A request is relayed by the registry when the peer cannot be reached directly.
#[test]
fn a_request_goes_through_the_relay_at_once_and_directly_only_where_it_is_admitted() {
    let mut a = Side::new(A, false);
    a.add(B, false).unwrap();
    let actions = a.actions();
    assert!(actions.contains(&TrustAction::RequestHandshake { node: B, justification: "hello".to_owned() }));
    assert!(!actions.iter().any(|action| matches!(action, TrustAction::SendDirect { .. })));
    a.add(B, true).unwrap();
    assert!(a.actions().iter().any(|action| matches!(action, TrustAction::SendDirect { .. })));

    a.add(B, false).unwrap();
    a.actions();
    for sent in [true, false] {
        a.trust.admits_us(WALL, B);
        assert_eq!(a.actions().len(), usize::from(sent), "as soon as that is known, and once");
    }
    a.trust.admits_us(WALL, STRANGER);
    assert!(a.actions().is_empty(), "nothing was asked of it");
}

//= spec/trust.md#pp-trust-1
//= type=test
//# Trust needs both sides: neither is trusted before it asked or agreed itself.
//= spec/trust.md#pp-trust-8
//= type=test
//# Two nodes that asked each other trust each other without another word.
#[test]
fn adding_each_other_is_agreement() {
    for paths in [BOTH, RELAY] {
        let (mut a, mut b) = (Side::new(A, false), Side::new(B, false));
        a.add(B, true).unwrap();
        b.add(A, true).unwrap();
        exchange(&mut a, &mut b, paths);
        assert!(mutual(&a, &b));
    }
    let (mut a, mut b) = (Side::new(A, false), Side::new(B, false));
    a.add(B, false).unwrap();
    exchange(&mut a, &mut b, RELAY);
    assert_eq!(b.add(A, false), Ok("approved"));
    exchange(&mut a, &mut b, RELAY);
    assert!(mutual(&a, &b));
    assert_eq!(a.add(B, false), Ok("already trusted"));
}

#[test]
fn a_shared_network_or_the_host_s_word_approve_without_a_person() {
    for paths in [BOTH, RELAY, DIRECT] {
        let (mut a, mut b) = (Side::new(A, false), Side::new(B, false));
        a.add(B, true).unwrap();
        exchange(&mut a, &mut b, Paths { shared_network: true, ..paths });
        assert!(mutual(&a, &b));
        let (mut a, mut b) = (Side::new(A, false), Side::new(B, true));
        a.add(B, true).unwrap();
        exchange(&mut a, &mut b, paths);
        assert!(mutual(&a, &b));
    }
}

#[test]
fn a_refusal_ends_the_request() {
    for paths in [BOTH, RELAY] {
        let (mut a, mut b) = (Side::new(A, false), Side::new(B, false));
        a.add(B, true).unwrap();
        exchange(&mut a, &mut b, paths);
        assert_eq!(b.command(Command::Reject { node: A, reason: "no".to_owned() }), Ok("rejected"));
        exchange(&mut a, &mut b, paths);
        assert!(!a.trust.is_expected(B) && !a.trust.is_trusted(B) && !b.trust.is_trusted(A));
        assert!(a.seen.iter().any(|action| matches!(action, TrustAction::Rejected { node: B, .. })));
        assert_eq!(b.command(Command::Approve(A)), Err(TrustError::NothingPending(A)));
    }
}

fn trusted_pair() -> (Side, Side) {
    let (mut a, mut b) = (Side::new(A, false), Side::new(B, false));
    a.add(B, true).unwrap();
    b.add(A, true).unwrap();
    exchange(&mut a, &mut b, BOTH);
    assert!(mutual(&a, &b));
    (a, b)
}

//= spec/trust.md#pp-trust-11
//= type=test
//# A revocation ends every stream with the peer at once and tells the peer and the registry.
#[test]
fn a_revocation_closes_both_sides_and_rules_do_not_undo_it() {
    let (mut a, mut b) = trusted_pair();
    assert_eq!(a.command(Command::Revoke(B)), Ok("revoked"));
    let first = a.trust.poll_action();
    assert_eq!(first, Some(TrustAction::CloseStreams(B)), "before anything else");
    exchange(&mut a, &mut b, BOTH);
    assert!(!a.trust.is_trusted(B) && !b.trust.is_trusted(A));
    assert!(a.saw(&TrustAction::RevokeTrust(B)));
    assert!(b.saw(&TrustAction::CloseStreams(A)) && b.saw(&TrustAction::RevokeTrust(A)));
    assert!(b.saw(&TrustAction::Changed { node: A, trusted: false }));
    assert_eq!(a.command(Command::Revoke(B)), Err(TrustError::NotTrusted(B)));

    a.trust.handle_relayed_request(WALL + 1, B, "", true).unwrap();
    assert!(!a.trust.is_trusted(B), "a shared network does not count while cooling down");
    let later = WALL + REVOCATION_COOLDOWN.as_secs() + 1;
    a.trust.handle_relayed_request(later, B, "", true).unwrap();
    assert!(a.trust.is_trusted(B));
}

#[test]
fn an_own_request_ends_the_cool_down() {
    let (mut a, mut b) = trusted_pair();
    a.command(Command::Revoke(B)).unwrap();
    exchange(&mut a, &mut b, BOTH);
    assert_eq!(a.trust.handle_relayed_response(NOW, WALL, B, true), Err(MessageError::Unsolicited));
    a.add(B, false).unwrap();
    a.trust.handle_relayed_response(NOW, WALL, B, true).unwrap();
    assert!(a.trust.is_trusted(B));
}

//= spec/trust.md#pp-trust-7
//= type=test
//# An acceptance nobody asked for changes nothing.
#[test]
fn approvals_that_nobody_asked_for_are_refused() {
    let mut a = Side::new(A, true);
    let accept = message(TrustKind::Accept, B, A, WALL).to_vec().unwrap();
    let key = identity(B).public();
    assert_eq!(
        a.trust.handle_message(WALL, B, &key, &accept, true, Source::Rendezvous),
        Err(MessageError::Unsolicited)
    );
    assert_eq!(a.trust.handle_relayed_response(NOW, WALL, B, true), Err(MessageError::Unsolicited));
    let revoke = message(TrustKind::Revoke, B, A, WALL).to_vec().unwrap();
    assert_eq!(
        a.trust.handle_message(WALL, B, &key, &revoke, true, Source::Rendezvous),
        Err(MessageError::Unsolicited)
    );
    assert!(a.actions().is_empty());
}

//= spec/trust.md#pp-trust-3
//= type=test
//# A trust message signs `handshake:SENDER:RECEIVER` with the sender's key.
//= spec/trust.md#pp-trust-4
//= type=test
//# A trust message whose node or key is not that of the tunnel it came by is dropped.
//= spec/trust.md#pp-trust-5
//= type=test
//# A trust message older than 5 minutes or more than 30 seconds from the future is dropped.
#[test]
fn forged_old_and_repeated_messages_change_nothing() {
    let mut a = Side::new(A, true);
    let key = identity(B).public();
    let good = message(TrustKind::Request, B, A, WALL);
    let bad_signature = identity(B).sign(b"handshake:2:3");
    let cases = [
        (STRANGER, key, good.clone(), MessageError::Impersonation),
        (B, identity(STRANGER).public(), good.clone(), MessageError::Impersonation),
        (B, key, TrustMessage { public_key: None, ..good.clone() }, MessageError::Impersonation),
        (B, key, TrustMessage { signature: None, ..good.clone() }, MessageError::Signature),
        (B, key, TrustMessage { signature: Some(bad_signature), ..good.clone() }, MessageError::Signature),
        (B, key, TrustMessage { timestamp: WALL - 301, ..good.clone() }, MessageError::Stale),
        (B, key, TrustMessage { timestamp: WALL + 31, ..good.clone() }, MessageError::Stale),
    ];
    for (peer, key, message, error) in cases {
        let bytes = message.to_vec().unwrap();
        assert_eq!(a.trust.handle_message(WALL, peer, &key, &bytes, true, Source::Rendezvous), Err(error));
    }
    for bytes in [b"".as_slice(), b"{}", b"[", &[b' '; 70_000]] {
        assert_eq!(
            a.trust.handle_message(WALL, B, &key, bytes, true, Source::Rendezvous),
            Err(MessageError::Malformed)
        );
    }
    assert!(a.actions().is_empty());
    for timestamp in [WALL - 300, WALL + 30] {
        let bytes = TrustMessage { timestamp, ..good.clone() }.to_vec().unwrap();
        assert_eq!(a.trust.handle_message(WALL, B, &key, &bytes, true, Source::Rendezvous), Ok(()));
        assert_eq!(
            a.trust.handle_message(WALL, B, &key, &bytes, true, Source::Rendezvous),
            Err(MessageError::Replayed)
        );
    }
    assert_eq!(a.trust.pinned_key(B), Some(key));
}

//= spec/identity.md#pp-id-4
//= type=test
//# The key of a trusted peer is pinned, and another key under its number is refused.
#[test]
fn another_key_under_a_trusted_number_is_refused() {
    let (mut a, _b) = trusted_pair();
    let other = identity(STRANGER);
    assert_eq!(a.trust.note_key(B, &other.public()), Err(KeyMismatch(B)));
    let mut forged = message(TrustKind::Revoke, B, A, WALL);
    forged.public_key = Some(*other.public().as_bytes());
    forged.signature = Some(other.sign(signed_string(B, A).as_bytes()));
    let bytes = forged.to_vec().unwrap();
    assert_eq!(
        a.trust.handle_message(WALL, B, &other.public(), &bytes, false, Source::Rendezvous),
        Err(MessageError::KeyMismatch)
    );
    assert!(a.trust.is_trusted(B));
}

#[test]
fn a_key_learned_later_is_pinned_once() {
    let (mut a, mut b) = (Side::new(A, false), Side::new(B, true));
    a.add(B, false).unwrap();
    exchange(&mut a, &mut b, RELAY);
    assert!(mutual(&a, &b));
    assert_eq!(a.trust.pinned_key(B), None);
    a.trust.note_key(B, &b.key).unwrap();
    assert_eq!(a.actions(), [TrustAction::SnapshotChanged]);
    a.trust.note_key(B, &b.key).unwrap();
    assert_eq!(a.actions(), []);
    assert_eq!(a.trust.pinned_key(B), Some(b.key));
}

#[test]
fn a_late_relayed_approval_asks_again_but_the_peer_s_own_request_is_enough() {
    let mut a = Side::new(A, false);
    a.add(B, false).unwrap();
    a.actions();
    let late = NOW + OUTGOING_TRUST_TTL;
    a.trust.handle_relayed_response(late, WALL + 600, B, true).unwrap();
    assert!(!a.trust.is_trusted(B));
    assert!(a.actions().iter().any(|action| matches!(action, TrustAction::RequestHandshake { node: B, .. })));
    a.trust.handle_relayed_response(late, WALL + 601, B, true).unwrap();
    assert!(a.trust.is_trusted(B));

    let mut a = Side::new(A, false);
    a.add(B, false).unwrap();
    a.trust.handle_relayed_request(WALL + 86_400, B, "", false).unwrap();
    assert!(a.trust.is_trusted(B));
}

/// Many node numbers at one address have one share; the others' requests wait beside it, also after a restart.
#[test]
fn a_flood_of_requests_leaves_room_for_others() {
    let mut a = Side::new(A, false);
    let ask = |a: &mut Side, number: u32, address: &str| {
        let (from, source) = (NodeId(number), Source::direct(address.parse().unwrap()));
        let message = message(TrustKind::Request, from, A, WALL).to_vec().unwrap();
        a.trust.handle_message(WALL, from, &identity(from).public(), &message, false, source)
    };
    for number in 10..110_u32 {
        let flood = ["192.0.2.1", "::ffff:192.0.2.1"][usize::from(number % 2 == 0)];
        let within = usize::try_from(number - 10).unwrap() < PENDING_TRUST_PER_SOURCE;
        assert_eq!(ask(&mut a, number, flood), if within { Ok(()) } else { Err(MessageError::Full) });
    }
    for (number, address) in [(120, "192.0.2.2"), (121, "2001:db8::1")] {
        assert_eq!(ask(&mut a, number, address), Ok(()));
    }
    for number in 122..200_u32 {
        // One network of 64 bits is one source.
        let flooded = ask(&mut a, number, &format!("2001:db8::{number}"));
        assert_eq!(flooded.is_ok(), usize::try_from(number - 121).unwrap() < PENDING_TRUST_PER_SOURCE);
    }
    let mut relayed = (1000..2000_u32).map(|number| a.trust.handle_relayed_request(WALL, NodeId(number), "", false));
    assert_eq!(relayed.by_ref().filter(Result::is_ok).count(), PENDING_TRUST_RELAYED);
    let waiting = 2 * PENDING_TRUST_PER_SOURCE + 1 + PENDING_TRUST_RELAYED;
    assert!(a.trust.pending().count() == waiting && waiting < MAX_PENDING_TRUST);

    let kept = serde_json::to_string(&a.trust.snapshot()).unwrap();
    a.trust.restore(serde_json::from_str(&kept).unwrap());
    assert_eq!(a.trust.pending().count(), waiting);
    assert_eq!(ask(&mut a, 210, "192.0.2.1"), Err(MessageError::Full));
    assert_eq!(ask(&mut a, 211, "192.0.2.3"), Ok(()));
}

//= spec/trust.md#pp-trust-13
//= type=test
//# At most 256 requests wait for a decision, for 30 days at most
#[test]
fn the_waiting_requests_are_bounded_and_age() {
    let mut a = Side::new(A, false);
    let last = u32::try_from(PENDING_TRUST_RELAYED).unwrap() + 10;
    for node in 10..last {
        a.trust.handle_relayed_request(WALL, NodeId(node), "again", false).unwrap();
        a.trust.handle_relayed_request(WALL, NodeId(node), "and again", false).unwrap();
    }
    assert_eq!(a.trust.handle_relayed_request(WALL, NodeId(last), "", false), Err(MessageError::Full));
    let asked = a.actions().iter().filter(|action| matches!(action, TrustAction::Requested { .. })).count();
    assert_eq!(asked, PENDING_TRUST_RELAYED);
    let a_month_later = WALL + 31 * 86_400;
    a.trust.handle_relayed_request(a_month_later, NodeId(last), "", false).unwrap();
    assert_eq!(a.trust.pending().count(), 1);
}

#[test]
fn an_unreachable_relay_is_tried_again() {
    let mut a = Side::new(A, false);
    a.add(B, false).unwrap();
    a.actions();
    assert_eq!(a.trust.poll_timeout(), None);
    a.trust.relay_failed(NOW, B);
    let at = a.trust.poll_timeout().unwrap();
    a.trust.handle_timeout(at);
    assert!(matches!(a.actions()[..], [TrustAction::RequestHandshake { node: B, .. }]));
    assert_eq!(a.trust.poll_timeout(), None);
    a.trust.relay_failed(NOW + OUTGOING_TRUST_TTL, B);
    assert_eq!(a.trust.poll_timeout(), None);
}

#[test]
fn targets_that_are_not_other_nodes_are_refused() {
    let mut a = Side::new(A, false);
    for node in [A, NodeId::UNASSIGNED, NodeId::BROADCAST] {
        assert_eq!(a.add(node, true), Err(TrustError::InvalidTarget));
        assert_eq!(a.trust.handle_relayed_request(WALL, node, "", true), Err(MessageError::Impersonation));
    }
    let mut unregistered = Trust::new(Arc::new(identity(A)), rust_crypto(), false);
    assert_eq!(unregistered.command(NOW, WALL, Command::Approve(B)), Err(TrustError::NotRegistered));
}

//= spec/trust.md#pp-trust-14
//= type=test
//# A justification is cut to 1024 bytes of printable text.
#[test]
fn what_is_shown_is_printable_and_short() {
    let mut a = Side::new(A, false);
    let text = format!("\u{1b}[2J\n{}", "ä".repeat(2000));
    a.trust.handle_relayed_request(WALL, B, &text, false).unwrap();
    let (_, pending) = a.trust.pending().next().unwrap();
    assert!(pending.justification.len() <= MAX_JUSTIFICATION && pending.justification.starts_with("[2Jä"));
}

//= spec/trust.md#pp-trust-18
//= type=test
//# A change of the trust store makes the endpoint ask its host to keep it.
#[test]
fn snapshots_survive_and_the_reference_s_file_is_read() {
    let (mut a, _b) = trusted_pair();
    a.trust.handle_relayed_request(WALL, STRANGER, "hi", false).unwrap();
    a.add(NodeId(5), false).unwrap();
    let json = serde_json::to_string(&a.trust.snapshot()).unwrap();
    let mut restored = Side::new(A, false);
    restored.trust.restore(serde_json::from_str(&json).unwrap());
    assert_eq!(restored.trust.snapshot(), a.trust.snapshot());
    assert_eq!(restored.trust.pinned_key(B), Some(identity(B).public()));
    assert!(restored.trust.is_expected(NodeId(5)));

    let reference = r#"{"trusted":[
        {"node_id":2,"public_key":"DRW0P8JcH2BoRJ9vZVeasAn7ed5xBCKYqEwQ5RldeKw=","approved_at":"2026-11-20T23:55:58.5+01:00","mutual":true,"network":0},
        {"node_id":3,"public_key":"not a key","approved_at":"2026-11-20T22:35:58Z","mutual":true},
        {"node_id":0,"public_key":"","approved_at":"","mutual":false}]}"#;
    restored.trust.restore(serde_json::from_str(reference).unwrap());
    let trusted: Vec<_> = restored.trust.trusted().map(|(node, record)| (node, record.approved_at)).collect();
    assert_eq!(trusted, [(B, WALL)]);
}
