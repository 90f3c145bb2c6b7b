//! Runs a vector file: one module per group of families, each comparing what `proto-core` computes with every expected field.
//!
//! A family or field this runner does not know fails, for otherwise a newer file would seem to pass. Families may be missing; [`FAMILIES`] says which exist.

mod addresses;
mod beacon;
mod check;
mod crypto;
mod frames;
mod keys;
mod packets;
mod prose;
mod receiver;
mod secure;
mod session;

use check::Checker;
pub use check::Report;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A family's check: reads its own entry of the file and may look into the others.
type Check = fn(&File, &mut Checker);

/// Every family, with its check.
const TABLE: [(&str, Check); 16] = [
    ("about", prose::about),
    ("keys", keys::keys),
    ("hkdf", keys::hkdf),
    ("addresses", addresses::addresses),
    ("packets", packets::packets),
    ("tunnel_frames", frames::tunnel_frames),
    ("sack", receiver::sack),
    ("receiver_scenarios", receiver::receiver_scenarios),
    ("seq_arithmetic", receiver::seq_arithmetic),
    ("rtt_estimator", session::rtt_estimator),
    ("replay_window", session::replay_window),
    ("beacon", beacon::beacon),
    ("secure_channel", secure::secure_channel),
    ("compat_auth", secure::compat_auth),
    ("session_transcript", session::session_transcript),
    ("observed_april_2026", prose::observed),
];

/// The names of all families.
pub const FAMILIES: [&str; TABLE.len()] = {
    let mut names = [""; TABLE.len()];
    let mut at = 0;
    while at < TABLE.len() {
        names[at] = TABLE[at].0;
        at += 1;
    }
    names
};

/// A parsed vector file.
#[derive(Clone, Debug)]
pub struct File(Map<String, Value>);

impl File {
    /// The file in `text`.
    ///
    /// # Errors
    /// It is no JSON object; the text says why.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map(Self).map_err(|error| format!("not a JSON object of families: {error}"))
    }

    /// The file as a value that can be changed, for tests of the runner.
    #[must_use]
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// Names of the families in the file, known or not.
    pub fn families(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Runs one family.
    #[must_use]
    pub fn run(&self, family: &str) -> Report {
        let mut checker = Checker::new(family);
        match TABLE.iter().find(|(name, _)| *name == family) {
            Some((_, check)) => {
                check(self, &mut checker);
                prose::sources(self, family, &mut checker);
            }
            None => checker.fail("unknown family"),
        }
        checker.finish()
    }

    /// The entry of `family`, which must have exactly the fields of `T`.
    fn entry<T: DeserializeOwned>(&self, family: &str, check: &mut Checker) -> Option<T> {
        let value = self.0.get(family).cloned().unwrap_or(Value::Null);
        match serde_json::from_value(value) {
            Ok(entry) => Some(entry),
            Err(error) => {
                check.fail(&format!("unexpected shape: {error}"));
                None
            }
        }
    }

    /// The value at a JSON pointer anywhere in the file.
    fn at(&self, family: &str, pointer: &str) -> Option<&Value> {
        self.0.get(family)?.pointer(pointer)
    }

    /// The entry called `name` in a list of a family.
    fn named(&self, family: &str, list: &str, name: &str) -> Option<&Value> {
        let entries = self.at(family, list)?.as_array()?;
        entries.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))
    }
}
