//! An agent of ours as a user has it: a home, a daemon and the command line.

use crate::netns::{Lab, Site};
use crate::place::Place;
use crate::process::{self, Ended, Running};
use crate::rendezvous::Rendezvous;
use crate::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for anything that has to happen by itself.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A user with a home and a daemon of their own. Dropped, the daemon is killed.
#[derive(Debug)]
pub struct Agent {
    home: TempDir,
    program: PathBuf,
    place: Place,
    environment: Vec<(String, String)>,
    hostname: String,
    options: Vec<String>,
}

impl Agent {
    /// Starts a daemon on this machine and waits until it is registered.
    #[must_use]
    pub fn on_loopback(hostname: &str, rendezvous: &Rendezvous) -> Self {
        Self::at(hostname, rendezvous, &Place::here(), &[])
    }

    /// Starts a daemon on a site of the laboratory and waits until it is registered.
    #[must_use]
    pub fn in_lab(hostname: &str, rendezvous: &Rendezvous, lab: &Lab, site: Site) -> Self {
        Self::at(hostname, rendezvous, &lab.site(site), &[])
    }

    /// Starts a daemon at a place, with more options of `daemon start`, and waits until it is registered.
    #[must_use]
    pub fn at(hostname: &str, rendezvous: &Rendezvous, place: &Place, options: &[&str]) -> Self {
        // As README's walk-through has it.
        let environment = [
            ("PILOT_REGISTRY", rendezvous.registry()),
            ("PILOT_REGISTRY_FINGERPRINT", rendezvous.fingerprint()),
            ("PILOT_BEACON", rendezvous.beacons()),
        ];
        let agent = Self {
            home: tempfile::tempdir().unwrap(),
            program: rendezvous.program().to_owned(),
            place: place.clone(),
            environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            hostname: hostname.to_owned(),
            options: options.iter().map(ToString::to_string).collect(),
        };
        agent.start_daemon();
        agent
    }

    /// `daemon start`.
    pub fn start_daemon(&self) {
        let mut words = vec!["daemon", "start", "--hostname", &self.hostname];
        words.extend(self.options.iter().map(String::as_str));
        let started = self.ok(&words);
        assert_eq!(started["hostname"], self.hostname.as_str(), "{started}");
    }

    /// Its name.
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// The program with these words, as this user in this place would type them.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = program_at(&self.place, &self.program, self.home.path());
        command.args(words).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command as a person does.
    pub fn run(&self, words: &[&str]) -> Ended {
        process::run(self.command(words), 2 * PATIENCE)
    }

    /// Runs a command that must succeed, as a script does, and gives its data.
    pub fn ok(&self, words: &[&str]) -> Value {
        self.data(self.start_json(words).wait(2 * PATIENCE))
    }

    /// Starts a command as a script does.
    pub fn start_json(&self, words: &[&str]) -> Running {
        let words: Vec<&str> = std::iter::once("--json").chain(words.iter().copied()).collect();
        process::start(self.command(&words))
    }

    /// What a command of [`Self::start_json`] gave; it must have succeeded.
    pub fn data(&self, ended: Ended) -> Value {
        let answer = ended.json();
        assert!(ended.status.success(), "{ended}\n-- daemon.log of {} --\n{}", self.hostname, self.log());
        answer["data"].clone()
    }

    /// Asks again until the answer is right.
    pub fn until(&self, limit: Duration, words: &[&str], right: impl Fn(&Value) -> bool) -> Value {
        let mut last = String::new();
        let found = wait::within(limit, || {
            let ended = self.start_json(words).wait(2 * PATIENCE);
            let data = ended.json()["data"].clone();
            last = ended.to_string();
            right(&data).then_some(data)
        });
        found.unwrap_or_else(|| panic!("still after {limit:?}: {last}\n-- daemon.log --\n{}", self.log()))
    }

    /// Its daemon's process, `None` when none runs.
    pub fn pid(&self) -> Option<u32> {
        let ended = self.start_json(&["daemon", "status"]).wait(PATIENCE);
        ended.json()["data"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// `kill -9` of its daemon; returns when it is gone.
    pub fn kill(&self) {
        let pid = self.pid().expect("a daemon runs");
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
        kill_process(process, Signal::KILL).unwrap();
        wait::until("the killed daemon is gone", PATIENCE, || (self.pid().is_none()).then_some(()));
    }

    /// The path to `peer` in the words of `peers`.
    pub fn peer(&self, peer: u64) -> Option<Value> {
        let peers = self.ok(&["peers"]);
        peers["peers"].as_array()?.iter().find(|item| item["node_id"] == peer).cloned()
    }

    /// Its node number.
    #[must_use]
    pub fn node(&self) -> u64 {
        self.ok(&["status"])["node_id"].as_u64().unwrap()
    }

    /// Where it is.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Its user's folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where it keeps its state.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.home.path().join(".local/state/pilot")
    }

    /// The socket of its daemon.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.path().join("run/pilot/pilot.sock")
    }

    /// What its daemon has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.state().join("daemon.log")).unwrap_or_default()
    }

    /// Files that have arrived whole.
    pub fn received(&self) -> Vec<PathBuf> {
        let files = self.ok(&["file", "list"]);
        let paths = files["files"].as_array().unwrap().iter().filter_map(|file| file["path"].as_str());
        paths.map(PathBuf::from).collect()
    }

    /// Bytes of files that have begun to arrive.
    pub fn arriving(&self) -> u64 {
        let entries = std::fs::read_dir(self.state().join("received")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|about| about.len()).sum()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let stopped = process::run(self.command(&["daemon", "stop"]), PATIENCE);
        if std::thread::panicking() {
            println!("{stopped}\n-- daemon.log of {} --\n{}", self.hostname, self.log());
        }
    }
}

/// Trust on both sides, in the words of the walk-through.
pub fn befriend(a: &Agent, b: &Agent) {
    a.ok(&["trust", "add", b.hostname()]);
    b.until(PATIENCE, &["trust", "pending"], |data| data["total"] == 1);
    b.ok(&["trust", "add", a.hostname()]);
    for agent in [a, b] {
        agent.until(PATIENCE, &["trust", "list"], |data| data["trusted"][0]["mutual"] == true);
    }
}

/// A program at a place, with a home and nothing of this process's environment.
#[must_use]
pub fn program_at(place: &Place, program: &Path, home: &Path) -> Command {
    let mut command = place.command(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", home).env("XDG_RUNTIME_DIR", home.join("run"));
    command
}
