//! Section `clients`: command line and Python package of the reference on our daemon's socket.

use crate::case::Case;

/// Its cases, for each version.
pub(crate) fn cases(_versions: &[String]) -> Vec<Case> {
    Vec::new()
}
