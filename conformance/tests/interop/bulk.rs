//! Section `bulk`: our daemon with daemons of the reference under load, loss and NAT.

use crate::case::Case;

/// Its cases, for each version.
pub(crate) fn cases(_versions: &[String]) -> Vec<Case> {
    Vec::new()
}
