//! Section `bulk`: our daemon with daemons of the reference under load, loss and NAT.
//!
//! Both ends are driven alike, through their daemons' sockets. All nodes are public here: trust is another section's subject.

mod ends;
mod loads;
mod paths;
mod restart;
mod unread;

use crate::case::Case;
use std::sync::{Mutex, MutexGuard, PoisonError};

const SECTION: &str = "bulk";
/// The column of the direction.
const OURS_DIALS: &str = "ours dials";
const THEIRS_DIALS: &str = "theirs dials";

/// Its cases, for each version.
pub(crate) fn cases(versions: &[String]) -> Vec<Case> {
    let all = |version: &String| {
        let version = version.as_str();
        let mut cases = vec![loads::one_stream(version), loads::many_streams(version)];
        cases.extend([unread::case(version), unread::others(version), unread::two_of_theirs(version)]);
        cases.extend([paths::punched(version), paths::relayed(version), paths::lossy(version)]);
        cases.push(restart::case(version));
        cases
    };
    versions.iter().flat_map(all).collect()
}

/// These cases use all processors, and would starve each other.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
