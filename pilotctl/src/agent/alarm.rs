//! Decides what a person is told when a peer's key is not the one that was pinned. Refuses to judge whose fault it is.

use proto_core::endpoint::Event;
use proto_core::ids::NodeId;
use runtime_tokio::{Events, EventsError};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Nodes remembered: whoever forges one key can forge them all, and a person is told so by the first few.
const MAX_NODES: usize = 64;

/// The nodes for which another key was seen since the daemon started.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyAlarm(Arc<Mutex<BTreeSet<NodeId>>>);

impl KeyAlarm {
    /// Notes what happens until the node is closed; each node is logged once.
    pub(crate) async fn watch(self, mut events: Events) {
        loop {
            match events.next().await {
                Ok(Event::KeyMismatch(node)) => self.note(node),
                Ok(_) | Err(EventsError::Lagged(_)) => {}
                Err(EventsError::Closed) => return,
            }
        }
    }

    fn note(&self, node: NodeId) {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() < MAX_NODES && nodes.insert(node) {
            tracing::warn!("{}", words(node));
        }
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// What a person has to know and can do.
pub(crate) fn words(node: NodeId) -> String {
    format!(
        "Another key than the pinned one is given for node {node}: somebody pretends to be it, or it has a new key. Nothing is said to it. \
         If it says that it has a new key: `pilotctl trust remove {node}`, then `pilotctl trust add {node}`."
    )
}
