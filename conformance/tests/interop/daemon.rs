//! Section `daemon`: our daemon with daemons of the reference, each as dialer and as listener.

use crate::case::Case;

/// Its cases, for each version.
pub(crate) fn cases(_versions: &[String]) -> Vec<Case> {
    Vec::new()
}
