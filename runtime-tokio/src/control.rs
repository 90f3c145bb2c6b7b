//! Decides how commands with a later answer look to a task: registry, trust, ping. Refuses to know their rules.

use crate::error::{NodeClosed, PingError, ResolveError};
use crate::node::{Node, Pong};
use core::time::Duration;
use proto_core::crypto::Identity;
use proto_core::endpoint::{Outcome, TrustCommand};
use proto_core::ids::{NodeId, RequestId};
use proto_core::limits::DIAL_TIMEOUT;
use proto_core::registry::{HostnameReply, Request};
use proto_core::wire::Address;
use proto_core::{Endpoint, Timestamp};
use tokio::sync::oneshot;

impl Node {
    /// The node that holds a hostname, as the registry tells it. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the registry does not know, or does not answer within [`DIAL_TIMEOUT`].
    pub async fn resolve(&self, hostname: &str) -> Result<Address, ResolveError> {
        let request = Request::ResolveHostname(hostname.to_owned());
        // The registry's own patience outlasts a person's: it also serves requests that nobody waits for.
        let Ok(asked) = tokio::time::timeout(DIAL_TIMEOUT, self.registry_request(request)).await else {
            return Err(ResolveError::RegistryUnavailable);
        };
        match asked.map_err(|NodeClosed| ResolveError::NodeClosed)? {
            Outcome::Registry(reply) => {
                HostnameReply::parse(&reply).map(|found| Address::backbone(found.node)).ok_or(ResolveError::BadReply)
            }
            Outcome::RegistryError(words) | Outcome::Failed(words) => Err(ResolveError::Refused(words)),
            Outcome::RegistryUnavailable | Outcome::Timeout => Err(ResolveError::RegistryUnavailable),
            Outcome::Pong { .. } | Outcome::Trust(_) => Err(ResolveError::BadReply),
        }
    }

    /// Asks the registry anything, signed as this node. Cancel-safe: a request that was sent is not taken back.
    ///
    /// # Errors
    ///
    /// When the node was closed; a refusal by the registry is an [`Outcome`].
    pub async fn registry_request(&self, request: Request) -> Result<Outcome, NodeClosed> {
        self.request(|endpoint, now| endpoint.registry_request(now, request)).await
    }

    /// Replaces the node's identity key by `successor`, which must be stored already. With [`Outcome::Registry`] it is in use; what other
    /// outcomes mean stands at [`Endpoint::rotate_identity`]. Cancel-safe: a request that was sent is not taken back.
    ///
    /// # Errors
    ///
    /// When the node was closed.
    pub async fn rotate_identity(&self, successor: Identity) -> Result<Outcome, NodeClosed> {
        self.request(|endpoint, now| endpoint.rotate_identity(now, successor)).await
    }

    /// Asks a peer for trust, or approves it when it asked already. `justification`: at most 1024 bytes. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the node was closed.
    pub async fn trust_request(&self, node: NodeId, justification: &str) -> Result<Outcome, NodeClosed> {
        self.trust(TrustCommand::Request { node, justification: justification.to_owned() }).await
    }

    /// Approves a waiting request. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the node was closed.
    pub async fn approve(&self, node: NodeId) -> Result<Outcome, NodeClosed> {
        self.trust(TrustCommand::Approve(node)).await
    }

    /// Refuses a waiting request. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the node was closed.
    pub async fn reject(&self, node: NodeId, reason: &str) -> Result<Outcome, NodeClosed> {
        self.trust(TrustCommand::Reject { node, reason: reason.to_owned() }).await
    }

    /// Withdraws trust; streams with this peer are closed at once. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the node was closed.
    pub async fn revoke(&self, node: NodeId) -> Result<Outcome, NodeClosed> {
        self.trust(TrustCommand::Revoke(node)).await
    }

    async fn trust(&self, command: TrustCommand) -> Result<Outcome, NodeClosed> {
        self.request(|endpoint, now| endpoint.trust(now, command)).await
    }

    /// Measures the round trip to a peer. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Within `timeout`, with the reason.
    pub async fn ping(&self, node: NodeId, timeout: Duration) -> Result<Pong, PingError> {
        let asked = self.request(|endpoint, now| endpoint.ping(now, node, timeout)).await;
        match asked.map_err(|NodeClosed| PingError::NodeClosed)? {
            Outcome::Pong { rtt, path } => Ok(Pong { rtt, path }),
            Outcome::Failed(why) | Outcome::RegistryError(why) => Err(PingError::Failed(why)),
            Outcome::Timeout | Outcome::Registry(_) | Outcome::RegistryUnavailable | Outcome::Trust(_) => {
                Err(PingError::Timeout)
            }
        }
    }

    async fn request(&self, ask: impl FnOnce(&mut Endpoint, Timestamp) -> RequestId) -> Result<Outcome, NodeClosed> {
        let answer = self.handle.shared().command(|inner, now| {
            if !inner.is_running() {
                return Err(NodeClosed);
            }
            let (answer, later) = oneshot::channel();
            let id = ask(&mut inner.endpoint, now);
            inner.waiting.requests.insert(id, answer);
            Ok(later)
        })?;
        answer.await.map_err(|_| NodeClosed)
    }
}
