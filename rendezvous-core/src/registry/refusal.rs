//! The texts a refused request is answered with. Clients act on some of them, so the wording is protocol
//! (PP-REG-4).

use core::fmt::Display;
use proto_core::{NetworkId, NodeId};

/// Why a request was refused, in the words the client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) text: String,
    /// The registry's time of day, Unix seconds, for a client whose own is wrong.
    pub(super) time: Option<u64>,
}

/// A handler's result.
pub(super) type Handled<T> = Result<T, Refusal>;

impl Refusal {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), time: None }
    }

    /// Makes both reference daemons register again at once.
    pub(super) fn node_not_found(node: NodeId) -> Self {
        //= spec/registry.md#pp-reg-12
        //# A heartbeat is signed, and an unknown node is answered `node N: node not found`.
        Self::new(format!("node {node}: node not found"))
    }

    pub(super) fn network_not_found(network: NetworkId) -> Self {
        Self::new(format!("network {network}: network not found"))
    }

    /// Also said of private names, so that nobody can probe for them.
    pub(super) fn hostname_not_found(name: &str) -> Self {
        Self::new(format!("hostname {name:?} not found"))
    }

    pub(super) fn hostname_in_use(name: &str, holder: NodeId) -> Self {
        Self::new(format!("hostname {name:?} already in use by node {holder}"))
    }

    pub(super) fn invalid_hostname(name: &str) -> Self {
        Self::new(format!("invalid hostname {name:?}: 1 to 63 of a-z, 0-9 and -, not at either end, not reserved"))
    }

    pub(super) fn signature_required() -> Self {
        Self::new("signature required for authenticated node")
    }

    pub(super) fn signature_failed() -> Self {
        Self::new("signature verification failed")
    }

    pub(super) fn envelope_required() -> Self {
        Self::new("envelope required: this key has signed with one; deregister with that client to use another")
    }

    pub(super) fn not_at_home(node: NodeId) -> Self {
        Self::new(format!("cannot change node {node} from another address than it registered from: register first"))
    }

    pub(super) fn envelope(what: impl Display) -> Self {
        Self::new(format!("cannot take the envelope: {what}"))
    }

    /// `wall` is the time of day a new envelope has to be near.
    pub(super) fn stale_envelope(what: &str, wall: u64) -> Self {
        Self { time: Some(wall), ..Self::envelope(what) }
    }

    pub(super) fn admin_token() -> Self {
        Self::new("invalid admin token")
    }

    pub(super) fn token_in_clear() -> Self {
        Self::new("cannot take an admin token in the clear: use TLS, or ask from the registry's own host")
    }

    pub(super) fn missing(field: &str) -> Self {
        Self::new(format!("{field} is required"))
    }

    pub(super) fn invalid(field: &str) -> Self {
        Self::new(format!("invalid {field}"))
    }

    pub(super) fn too_long(field: &str) -> Self {
        Self::new(format!("{field} is too long"))
    }

    pub(super) fn not_a_member(node: NodeId, network: NetworkId) -> Self {
        Self::new(format!("node {node} is not a member of network {network}"))
    }

    pub(super) fn no_trust_pair(a: NodeId, b: NodeId) -> Self {
        Self::new(format!("no trust pair between {a} and {b}"))
    }

    pub(super) fn rate_limited(what: &str) -> Self {
        Self::new(format!("rate limited: too many {what}"))
    }

    pub(super) fn enterprise(what: impl Display) -> Self {
        Self::new(format!("enterprise feature: {what} is not available on this registry"))
    }

    pub(super) fn full(what: &str) -> Self {
        Self::new(format!("registry full: cannot take more {what}"))
    }
}
