//! Section `cli`: our command line and driver on the socket of the reference's daemon.

use crate::case::Case;

/// Its cases, for each version.
pub(crate) fn cases(_versions: &[String]) -> Vec<Case> {
    Vec::new()
}
