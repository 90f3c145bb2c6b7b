//! Decides what the registry is told again because it could not be reached: that trust ended, and answers. Trust given is reported with
//! each registration anyway. Refuses to know why the registry could not be reached.

use super::{RELAY_RETRY, Trust, TrustAction};
use crate::ids::NodeId;
use crate::limits::{MAX_TRUSTED, UNTOLD_TRUST_AT_ONCE};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// What the registry is told about one node, besides a request and a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Trust, or a request for it, was withdrawn.
    Revoked,
    /// A request of the node was answered so.
    Answered(bool),
}

/// What the registry was not told yet, and when it is tried again. The last word about a node counts.
#[derive(Debug, Default)]
pub(super) struct Untold(BTreeMap<NodeId, (Told, Timestamp)>);

impl Untold {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.values().map(|(_, at)| *at).min()
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.0.remove(&node);
    }
}

impl Trust {
    /// The registry could not be reached for this: it is tried again as long as it holds.
    pub fn telling_failed(&mut self, now: Timestamp, node: NodeId, told: Told) {
        let known = self.untold.0.contains_key(&node);
        if self.holds(node, told) && (known || self.untold.len() < MAX_TRUSTED) {
            self.untold.0.insert(node, (told, now + RELAY_RETRY));
        }
    }

    /// It is still so. An answer is worth nothing once its request was answered otherwise, or came again.
    pub(super) fn holds(&self, node: NodeId, told: Told) -> bool {
        let trusted = self.is_trusted(node);
        match told {
            Told::Answered(true) => trusted,
            Told::Answered(false) => !trusted && !self.store.pending.contains_key(&node),
            Told::Revoked => !trusted && !self.is_expected(node),
        }
    }

    /// A few at a time: the registry has other things to answer.
    pub(super) fn tell_again(&mut self, now: Timestamp) {
        let mut due = Vec::new();
        for (node, (told, at)) in self.untold.0.iter_mut().filter(|(_, (_, at))| *at <= now) {
            if due.len() < UNTOLD_TRUST_AT_ONCE {
                due.push((*node, *told));
            } else {
                *at = now + RELAY_RETRY;
            }
        }
        for (node, told) in due {
            self.untold.forget(node);
            if self.holds(node, told) {
                self.actions.push_back(match told {
                    Told::Revoked => TrustAction::RevokeTrust(node),
                    Told::Answered(accept) => TrustAction::RespondHandshake { node, accept },
                });
            }
        }
    }
}
