//! Section `clients`: command line and Python package of the reference on our daemon's socket.
//!
//! Every command runs twice: on our daemon and on the reference's own. What it prints there is what it must print here,
//! key by key; ours may say more.

mod control;
mod python;
mod traffic;
mod world;

use crate::case::Case;

const SECTION: &str = "clients";
/// The column of the direction.
const COMMAND_LINE: &str = "command line";

/// Its cases, for each version.
pub(crate) fn cases(versions: &[String]) -> Vec<Case> {
    let all = |version: &String| {
        let version = version.as_str();
        let mut cases = vec![control::facts(version), control::trust(version), control::refusals(version)];
        cases.extend([traffic::services(version), traffic::datagrams(version), traffic::compat_socket(version)]);
        cases.extend([traffic::disconnect(version), python::case(version)]);
        cases
    };
    versions.iter().flat_map(all).collect()
}
