//! One request on its way through the registry: what handlers of every family need. Decides who the sender has proved
//! to be; refuses to know what it wants.

use super::Registry;
use super::change::{Change, NodeRecord};
use super::keys::{same_secret, verifies};
use super::refusal::{Handled, Refusal};
use super::request::Request;
use super::session::Session;
use super::state::{Node, State};
use crate::limits::MAX_LIST_BYTES;
use proto_core::crypto::PublicKey;
use proto_core::registry::envelope::Stamp;
use proto_core::{NodeId, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

/// A reply's fields besides `type`.
pub(super) type Fields = Map<String, Value>;

/// The object of a `json!` literal.
pub(super) fn fields(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Fields::new(),
    }
}

/// As many of `rows` as a reply may have.
pub(super) fn readable<T: Serialize>(rows: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let mut room = MAX_LIST_BYTES;
    rows.map_while(move |row| {
        let length = serde_json::to_string(&row).map_or(usize::MAX, |text| text.len().saturating_add(2));
        room = room.checked_sub(length)?;
        Some(row)
    })
}

/// A request being handled.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) registry: &'a mut Registry,
    pub(super) session: &'a mut Session,
    pub(super) request: &'a Request,
    pub(super) now: Timestamp,
    pub(super) wall: u64,
    /// The reply waits for the disk, so durable changes may be made.
    durable: bool,
    /// An envelope showed that the request is fresh and means the values it has.
    sealed: bool,
    changes: Vec<Change>,
    notify: Vec<NodeId>,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        registry: &'a mut Registry,
        session: &'a mut Session,
        request: &'a Request,
        now: Timestamp,
        wall: u64,
        durable: bool,
    ) -> Self {
        let (changes, notify) = (Vec::new(), Vec::new());
        Self { registry, session, request, now, wall, durable, sealed: false, changes, notify }
    }

    pub(super) fn into_effects(self) -> (Vec<Change>, Vec<NodeId>) {
        (self.changes, self.notify)
    }

    pub(super) const fn state(&self) -> &State {
        &self.registry.state
    }

    pub(super) const fn state_mut(&mut self) -> &mut State {
        &mut self.registry.state
    }

    /// Makes a durable change.
    pub(super) fn commit(&mut self, change: Change) {
        self.registry.state.apply(&change);
        self.changes.push(change);
    }

    /// Has the beacon tell `node` to poll.
    pub(super) fn notify(&mut self, node: NodeId) {
        self.notify.push(node);
    }

    pub(super) fn node(&self, id: NodeId) -> Handled<&Node> {
        self.state().node(id).ok_or_else(|| Refusal::node_not_found(id))
    }

    /// Changes the durable record of `id`; nothing is stored when it stays as it is.
    pub(super) fn edit(&mut self, id: NodeId, edit: impl FnOnce(&mut NodeRecord)) -> Handled<()> {
        let before = &self.node(id)?.record;
        let mut after = before.clone();
        edit(&mut after);
        if after != *before {
            self.commit(Change::Node(after));
        }
        Ok(())
    }

    /// The request carries `node`'s signature over `signed`, and an envelope too if it has one or the key ever used one:
    /// from then on every signature that was overheard before is worthless. The connection is `node`'s from then on, and an endpoint
    /// that an unsigned registration on it only claimed is believed.
    pub(super) fn authenticate(&mut self, node: NodeId, signed: &str) -> Handled<()> {
        self.check_signature(node, signed)?;
        self.prove(node);
        Ok(())
    }

    /// As [`Call::authenticate`], for the string that each trust message signs: its receiver has the signature, and must not ask and be
    /// taken for the sender with it. So without an envelope it counts only from the address the node last registered from, or on a
    /// connection that is the node's already.
    pub(super) fn authenticate_letter(&mut self, node: NodeId, signed: &str) -> Handled<()> {
        self.check_signature(node, signed)?;
        if !self.sealed && self.identity() != Some(node) && !self.is_home(node)? {
            return Err(Refusal::not_at_home(node));
        }
        self.prove(node);
        Ok(())
    }

    fn check_signature(&mut self, node: NodeId, signed: &str) -> Handled<()> {
        let NodeRecord { public_key, enveloped, .. } = self.node(node)?.record;
        let signature = self.request.text("signature").filter(|signature| !signature.is_empty());
        let signature = signature.ok_or_else(Refusal::signature_required)?;
        //= spec/registry.md#pp-reg-16
        //# A request that changes a node's record is signed with its registered key over the string of its kind.
        if !verifies(&public_key, signed, signature) {
            return Err(Refusal::signature_failed());
        }
        match self.open_envelope(&public_key)? {
            Some(stamp) => self.use_up(node, stamp)?,
            None if enveloped => return Err(Refusal::envelope_required()),
            None => {}
        }
        if self.sealed && self.durable {
            self.edit(node, |record| record.enveloped = true)?;
        }
        Ok(())
    }

    fn prove(&mut self, node: NodeId) {
        self.session.prove(node);
        if let Some((_, presence)) = self.session.held.take_if(|(held, _)| *held == node) {
            self.state_mut().appear(node, presence);
        }
    }

    /// The connection comes from the address `node` last registered from. A node that is away has none.
    fn is_home(&self, node: NodeId) -> Handled<bool> {
        let presence = self.node(node)?.presence(self.now);
        Ok(presence.is_some_and(|presence| presence.source == self.session.source()))
    }

    /// The stamp of the request's envelope, which is `key`'s, for these values, and of this time; `None` without one.
    pub(super) fn open_envelope(&self, key: &PublicKey) -> Handled<Option<Stamp>> {
        let Some(envelope) = self.request.envelope()? else { return Ok(None) };
        if !self.request.is_sealed_by(key, &envelope) {
            return Err(Refusal::envelope("signature verification failed, or a value was changed"));
        }
        if !self.registry.stamp_window(self.wall).contains(envelope.stamp) {
            return Err(Refusal::stale_envelope("out of time", self.wall));
        }
        Ok(Some(envelope.stamp))
    }

    /// The stamp of an opened envelope serves `node` once.
    pub(super) fn use_up(&mut self, node: NodeId, stamp: Stamp) -> Handled<()> {
        let window = self.registry.stamp_window(self.wall);
        if !self.state_mut().use_stamp(node, stamp, window) {
            return Err(Refusal::stale_envelope("used before", self.wall));
        }
        self.sealed = true;
        Ok(())
    }

    /// The request is fresh and means what it says: nobody can have sent it but the node itself or an administrator.
    pub(super) fn is_intended(&self) -> bool {
        self.sealed || self.is_admin()
    }

    /// As [`Call::authenticate`], or the admin token.
    pub(super) fn authenticate_or_admin(&mut self, node: NodeId, signed: &str) -> Handled<()> {
        if self.is_admin() { self.node(node).map(|_| ()) } else { self.authenticate(node, signed) }
    }

    /// As [`Call::authenticate_or_admin`], for a request whose value the signature does not cover. Such signatures
    /// never expire, so one that was overheard could set any value: without an envelope a new value (`changes`) is only
    /// taken from the address the node last registered from.
    pub(super) fn authenticate_setting(&mut self, node: NodeId, signed: &str, changes: bool) -> Handled<()> {
        self.authenticate_or_admin(node, signed)?;
        //= spec/registry.md#pp-reg-17
        //# A setting whose signature does not cover its value is changed only from the address the node registered from, or with an envelope.
        if changes && !self.is_intended() && !self.is_home(node)? { Err(Refusal::not_at_home(node)) } else { Ok(()) }
    }

    /// The request carries the admin token.
    pub(super) fn is_admin(&self) -> bool {
        let expected = self.registry.config.admin_token.as_deref().filter(|token| !token.is_empty());
        self.secret().zip(expected).is_some_and(|(given, expected)| same_secret(given, expected))
    }

    pub(super) fn require_admin(&self) -> Handled<()> {
        if self.is_admin() { Ok(()) } else { Err(self.not_admin(Refusal::admin_token())) }
    }

    /// What the request shows as the administrator's token or a network's. In the clear it shows nothing: whoever reads along could use it.
    pub(super) fn secret(&self) -> Option<&str> {
        //= spec/registry.md#pp-reg-34
        //# An administrator's token is taken over TLS or from the registry's own host only.
        self.request.text("admin_token").filter(|token| !token.is_empty() && self.session.keeps_secrets())
    }

    /// `otherwise`, unless a token was shown in the clear.
    pub(super) fn not_admin(&self, otherwise: Refusal) -> Refusal {
        let shown = self.request.text("admin_token").is_some_and(|token| !token.is_empty());
        if shown && !self.session.keeps_secrets() { Refusal::token_in_clear() } else { otherwise }
    }

    /// Who the sender is as far as the connection has proved it.
    pub(super) const fn identity(&self) -> Option<NodeId> {
        self.session.identity()
    }

    /// `viewer` may learn names of `node`, and where it is.
    pub(super) fn may_see(&self, viewer: Option<NodeId>, node: &Node) -> bool {
        node.record.public || viewer.is_some_and(|viewer| self.registry.related(viewer, node.id()))
    }
}

impl Registry {
    /// The two are one, trust each other, or share a network.
    pub(super) fn related(&self, a: NodeId, b: NodeId) -> bool {
        a == b || self.state.trusted(a, b) || self.state.share_network(a, b)
    }
}
