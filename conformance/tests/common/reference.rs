//! The published reference as a user has it: a home, a daemon, its command line and its Python package.
//!
//! Decides that it reaches nobody but us: it only runs in network namespaces, and what calls home is switched off.
//! A black box: it is started, asked and listened to, never looked into.

use crate::equipment::Kit;
use lab::agent::{PATIENCE, program_at};
use lab::place::Place;
use lab::process::{self, Ended, Running};
use lab::rendezvous::Rendezvous;
use lab::wait;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A program of the reference, or one that loads its library, ready to run for the user of `home`: never in this machine's own network.
pub(crate) fn confined(place: &Place, program: &Path, home: &Path) -> Command {
    assert!(place.path().is_some(), "the reference runs in namespaces only");
    program_at(place, program, home)
}

/// Longest wait for what the reference does when it next looks at the registry, which it does every 60 s.
pub(crate) const NEXT_LOOK: Duration = Duration::from_secs(100);

/// A daemon of the reference with its user. Dropped, the daemon is killed.
#[derive(Debug)]
pub(crate) struct Reference {
    daemon: Running,
    programs: Programs,
    home: TempDir,
    place: Place,
    hostname: String,
    registry: String,
    beacon: String,
    options: Vec<String>,
}

/// Paths of one version's programs.
#[derive(Debug)]
struct Programs {
    daemon: PathBuf,
    pilotctl: PathBuf,
    library: PathBuf,
    python_path: PathBuf,
    silence: Vec<String>,
}

impl Reference {
    /// Starts a private daemon of this version that asks before it trusts, and waits until it answers its user.
    pub(crate) fn start(kit: &Kit, hostname: &str, place: &Place, rendezvous: &Rendezvous) -> Self {
        Self::start_with(kit, hostname, place, rendezvous, &[])
    }

    /// [`Self::start`] with more options of its daemon, such as `-public`.
    pub(crate) fn start_with(
        kit: &Kit,
        hostname: &str,
        place: &Place,
        rendezvous: &Rendezvous,
        options: &[&str],
    ) -> Self {
        let (programs, words) = (Programs::of(kit, place), words(rendezvous, options));
        let (registry, beacon) = (rendezvous.registry().to_owned(), rendezvous.beacon().to_owned());
        let home = tempfile::tempdir().unwrap();
        let daemon = process::start(command(place, &programs, home.path(), hostname, &words));
        let (place, hostname) = (place.clone(), hostname.to_owned());
        let mut reference = Self { daemon, programs, home, place, hostname, registry, beacon, options: words };
        reference.answers();
        reference
    }

    /// Runs a daemon that cannot start to its end.
    pub(crate) fn start_in_vain(
        kit: &Kit,
        hostname: &str,
        place: &Place,
        rendezvous: &Rendezvous,
        options: &[&str],
    ) -> Ended {
        let (programs, home) = (Programs::of(kit, place), tempfile::tempdir().unwrap());
        process::run(command(place, &programs, home.path(), hostname, &words(rendezvous, options)), 4 * PATIENCE)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts the daemon again after [`Self::kill`], with the same home, and waits until it answers its user.
    pub(crate) fn restart(&mut self) {
        self.daemon.kill();
        let command = command(&self.place, &self.programs, self.home.path(), &self.hostname, &self.options);
        self.daemon = process::start(command);
        self.answers();
    }

    fn answers(&mut self) {
        wait::until("the reference's daemon answers", PATIENCE, || {
            assert!(!self.daemon.has_ended(), "the reference's daemon has ended:\n{}", self.log());
            (self.socket().exists() && self.run(&["info"]).status.success()).then_some(())
        });
    }

    /// Its command line with these words, ready to run; answers are JSON.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = confined(&self.place, &self.programs.pilotctl, self.home.path());
        command.arg("--json").args(words).env("PILOT_SOCKET", self.socket());
        // Some commands ask the registry themselves.
        command.env("PILOT_REGISTRY", &self.registry).env("PILOT_BEACON", &self.beacon);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        process::run(self.command(words), 4 * PATIENCE)
    }

    /// Starts a command that lasts.
    pub(crate) fn start_json(&self, words: &[&str]) -> Running {
        process::start(self.command(words))
    }

    /// Runs a command that must succeed, and gives its data.
    pub(crate) fn ok(&self, words: &[&str]) -> Value {
        self.data(&self.run(words))
    }

    /// What a command gave; it must have succeeded.
    pub(crate) fn data(&self, ended: &Ended) -> Value {
        let answer = ended.json();
        assert!(ended.status.success() && answer["status"] == "ok", "{ended}\n{}", self.log());
        answer["data"].clone()
    }

    /// Asks again until the answer is right.
    pub(crate) fn until(&self, limit: Duration, words: &[&str], right: impl Fn(&Value) -> bool) -> Value {
        let mut last = String::new();
        let found = wait::within(limit, || {
            let ended = self.run(words);
            let data = ended.json()["data"].clone();
            last = ended.to_string();
            right(&data).then_some(data)
        });
        found.unwrap_or_else(|| panic!("{}: still after {limit:?}: {last}\n{}", self.hostname, self.log()))
    }

    /// Runs a Python program with the version's package, in the same place.
    pub(crate) fn python(&self, program: &str, arguments: &[&str]) -> Command {
        let interpreter = if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" };
        let mut command = confined(&self.place, Path::new(interpreter), self.home.path());
        command.args(["-c", program]).args(arguments);
        command.env("PYTHONPATH", &self.programs.python_path).env("PILOT_LIB_PATH", &self.programs.library);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PILOT_SOCKET", self.socket());
        command
    }

    /// Its node number.
    pub(crate) fn node(&self) -> u64 {
        self.ok(&["info"])["node_id"].as_u64().unwrap()
    }

    /// Its node number as a word of a command line.
    pub(crate) fn id(&self) -> String {
        self.node().to_string()
    }

    /// Its name.
    pub(crate) fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Where its daemon listens for its user.
    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("pilot.sock")
    }

    /// Its user's folder.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The messages that have arrived, oldest first, as it keeps them: `type`, `from`, `data` or `data_b64`, `bytes`.
    pub(crate) fn inbox(&self) -> Vec<Value> {
        let entries = std::fs::read_dir(self.home().join(".pilot/inbox")).into_iter().flatten().flatten();
        let mut messages: Vec<Value> = entries
            .filter_map(|entry| serde_json::from_str(&std::fs::read_to_string(entry.path()).ok()?).ok())
            .collect();
        messages.sort_by_key(|message| message["received_at"].to_string());
        messages
    }

    /// Waits for a message that is `right`.
    pub(crate) fn message(&self, what: &str, right: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, PATIENCE, || self.inbox().into_iter().find(|message| right(message)))
    }

    /// The files that have arrived whole.
    pub(crate) fn received(&self) -> Vec<PathBuf> {
        let listed = self.ok(&["received"]);
        let files = listed["files"].as_array().cloned().unwrap_or_default();
        files.iter().filter_map(|file| file["path"].as_str().map(PathBuf::from)).collect()
    }

    /// The end of what its daemon has logged.
    pub(crate) fn log(&self) -> String {
        let text = self.daemon.stdout() + &self.daemon.stderr();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(60)..].join("\n");
        format!("-- end of the log of {} --\n{end}\n", self.hostname)
    }
}

impl Programs {
    fn of(kit: &Kit, place: &Place) -> Self {
        Self {
            daemon: kit.program("pilot-daemon"),
            pilotctl: kit.program("pilotctl"),
            library: kit.program("libpilot.so"),
            python_path: kit.python_path().to_owned(),
            silence: silence(place, &kit.program("pilot-daemon")),
        }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.log());
        }
    }
}

/// Options of a daemon, its servers first.
fn words(rendezvous: &Rendezvous, options: &[&str]) -> Vec<String> {
    let servers = ["-registry", rendezvous.registry(), "-beacon", rendezvous.beacon()];
    servers.iter().chain(options).map(ToString::to_string).collect()
}

/// The daemon, with nothing of this machine and everything off that would call home.
fn command(place: &Place, programs: &Programs, home: &Path, hostname: &str, options: &[String]) -> Command {
    let mut command = confined(place, &programs.daemon, home);
    command.current_dir(home).arg("-socket").arg(home.join("pilot.sock"));
    command.arg("-identity").arg(home.join(".pilot/identity.json"));
    command.args(["-email", "agent@example.com", "-hostname", hostname]).args(options);
    command.args(&programs.silence);
    command
}

/// The options that keep this version from calling home, by its own help. It has no way out anyway.
fn silence(place: &Place, daemon: &Path) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    let mut command = confined(place, daemon, home.path());
    command.arg("-help");
    let help = process::run(command, PATIENCE).stderr;
    let known = |option: &&str| help.lines().any(|line| line.trim_start().starts_with(option.trim_end_matches('=')));
    ["-no-skillinject", "-telemetry-url=", "-motd-feed-url="]
        .iter()
        .filter(|o| known(o))
        .map(ToString::to_string)
        .collect()
}
