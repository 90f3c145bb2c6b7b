//! Two agents of ours beside two of the reference, and the reference's command line on all four.

use crate::equipment::Equipment;
use crate::reference::{Reference, confined};
use lab::agent::{Agent, PATIENCE};
use lab::netns::Isolated;
use lab::process::{self, Ended};
use lab::rendezvous::Rendezvous;
use lab::wait;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest a command may take before it counts as hanging.
pub(super) const PATIENT: std::time::Duration = PATIENCE.saturating_mul(3);

/// Public ones, so that nothing waits for the reference's next look at the registry. The order of fields is the order of
/// the end.
pub(super) struct World {
    pub(super) ours: [Agent; 2],
    pub(super) theirs: [Reference; 2],
    rendezvous: Rendezvous,
    _network: Isolated,
    pilotctl: PathBuf,
    library: PathBuf,
    python_path: PathBuf,
}

/// What a command gave on our daemon and on the reference's.
pub(super) struct Both {
    pub(super) ours: Ended,
    pub(super) theirs: Ended,
}

impl World {
    pub(super) fn new(equipment: &Equipment, version: &str) -> Self {
        let network = Isolated::new();
        let kit = equipment.kit(version);
        let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
        let ours = ["ours-a", "ours-b"].map(|name| Agent::at(name, &rendezvous, network.place(), &["--public"]));
        let theirs = ["theirs-a", "theirs-b"]
            .map(|name| Reference::start_with(kit, name, network.place(), &rendezvous, &["-public"]));
        let [pilotctl, library] = ["pilotctl", "libpilot.so"].map(|name| kit.program(name));
        let python_path = kit.python_path().to_owned();
        Self { ours, theirs, rendezvous, _network: network, pilotctl, library, python_path }
    }

    /// A Python program with the reference's package, run by the user of our agent `who`.
    pub(super) fn python(&self, who: usize, program: &str, arguments: &[&str]) -> Command {
        let interpreter = if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" };
        let mut command = confined(self.ours[who].place(), Path::new(interpreter), self.ours[who].home());
        command.args(["-c", program]).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("PYTHONPATH", &self.python_path).env("PILOT_LIB_PATH", &self.library);
        command
    }

    /// The sockets of our daemons.
    pub(super) fn sockets(&self) -> [String; 2] {
        [0, 1].map(|who| self.ours[who].socket().display().to_string())
    }

    /// The sockets of the reference's daemons.
    pub(super) fn their_sockets(&self) -> [String; 2] {
        [0, 1].map(|who| self.theirs[who].socket().display().to_string())
    }

    /// The reference's command line for our agent `who`.
    pub(super) fn command(&self, who: usize, words: &[&str]) -> Command {
        let agent = &self.ours[who];
        let mut command = confined(agent.place(), &self.pilotctl, agent.home());
        command.arg("--json").args(words).env("PILOT_SOCKET", agent.socket());
        // `lookup` goes to the registry by itself, and without these to one of its own choice.
        command.env("PILOT_REGISTRY", self.rendezvous.registry()).env("PILOT_BEACON", self.rendezvous.beacons());
        command
    }

    /// A command for agent `who` of both kinds. `PEER` and `NAME` in it are the other agent's number and name.
    pub(super) fn run(&self, who: usize, words: &[&str]) -> Both {
        let [ours, theirs] = self.words(who, words);
        let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
        let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
        Both { ours: process::run(self.command(who, &ours), PATIENT), theirs: self.theirs[who].run(&theirs) }
    }

    /// The words for ours and for theirs.
    pub(super) fn words(&self, who: usize, words: &[&str]) -> [Vec<String>; 2] {
        let (ours, theirs) = (&self.ours[1 - who], &self.theirs[1 - who]);
        let put = |id: u64, name: &str| {
            words.iter().map(|word| word.replace("PEER", &id.to_string()).replace("NAME", name)).collect()
        };
        [put(ours.node(), ours.hostname()), put(theirs.node(), theirs.hostname())]
    }

    /// A command of the first agent that must give the same keys on both, and our answer.
    pub(super) fn same(&self, words: &[&str]) -> Value {
        self.same_of(0, words)
    }

    /// As [`Self::same`], of any agent.
    pub(super) fn same_of(&self, who: usize, words: &[&str]) -> Value {
        self.run(who, words).same(words)
    }

    /// Waits until a command's answer is right on both.
    pub(super) fn until(&self, who: usize, words: &[&str], right: impl Fn(&Value) -> bool) {
        wait::until(&format!("{words:?} is right on both"), PATIENT, || {
            let both = self.run(who, words);
            (right(&both.ours.json()["data"]) && right(&both.theirs.json()["data"])).then_some(())
        });
    }

    /// Trust on both sides, of ours and of theirs.
    pub(super) fn befriend(&self) {
        for who in [0, 1] {
            self.same_of(who, &["handshake", "PEER", "shall we"]);
        }
        for who in [0, 1] {
            self.until(who, &["trust"], |data| data["trusted"][0]["mutual"] == true);
        }
    }
}

impl Both {
    /// Both succeed or both fail; ours says whatever theirs says.
    pub(super) fn same(&self, words: &[&str]) -> Value {
        let shown = format!("{words:?}\n-- ours --\n{}\n-- theirs --\n{}", self.ours, self.theirs);
        assert_eq!(self.ours.status.code(), self.theirs.status.code(), "{shown}");
        let (ours, theirs) = (answer(&self.ours), answer(&self.theirs));
        let missing: Vec<_> = keys(&theirs).difference(&keys(&ours)).cloned().collect();
        assert!(missing.is_empty(), "our answer lacks {missing:?}: {shown}");
        assert_eq!(ours["status"], theirs["status"], "{shown}");
        assert_eq!(ours["code"], theirs["code"], "{shown}");
        ours["data"].clone()
    }

    /// Ours refuses, in words, what theirs does.
    pub(super) fn refused(&self, words: &[&str], why: &str) {
        let shown = format!("{words:?}\n-- ours --\n{}", self.ours);
        assert!(!self.ours.status.success() && self.theirs.status.success(), "{shown}\n{}", self.theirs);
        let said = answer(&self.ours);
        assert_eq!(said["status"], "error", "{shown}");
        assert!(said["message"].as_str().is_some_and(|message| message.contains(why)), "{shown}");
    }
}

/// The last line of JSON that a command has written, wherever.
fn answer(ended: &Ended) -> Value {
    let lines = [&ended.stdout, &ended.stderr].into_iter().flat_map(|text| text.lines());
    let mut answers = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(Value::is_object);
    answers.next_back().unwrap_or_else(|| panic!("no JSON in {ended}"))
}

/// Every key by its path, those of all items of a list together. Hints differ with what went wrong.
pub(super) fn keys(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(value, "", &mut found);
    found
}

fn collect(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| *name != "hint") {
                let path = format!("{path}.{name}");
                found.insert(path.clone());
                collect(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, &format!("{path}[]"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A file with these bytes, in the folder.
pub(super) fn file(folder: &Path, name: &str, content: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}
