//! The rendezvous server as a process that can be killed and started again.

use crate::agent::{PATIENCE, program_at};
use crate::netns::{Lab, RENDEZVOUS};
use crate::place::Place;
use crate::process::{self, Running};
use crate::wait;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// `rendezvous start`, with its data in a folder of its own. Dropped, it is killed.
#[derive(Debug)]
pub struct Rendezvous {
    process: Running,
    program: PathBuf,
    place: Place,
    options: Vec<String>,
    folder: TempDir,
    registry: String,
    beacon: String,
    fingerprint: String,
}

impl Rendezvous {
    /// On this machine's loopback, wherever ports are free. `program` is the path of `pilotctl`.
    #[must_use]
    pub fn on_loopback(program: impl AsRef<Path>) -> Self {
        Self::at(program, &Place::here(), &[])
    }

    /// On the loopback of a place, wherever ports are free, with more options of `rendezvous start`.
    #[must_use]
    pub fn at(program: impl AsRef<Path>, place: &Place, options: &[&str]) -> Self {
        Self::start(program, place.clone(), options, "127.0.0.1:0", "127.0.0.1:0,127.0.0.1:0")
    }

    /// On the laboratory's rendezvous host, on the usual ports.
    #[must_use]
    pub fn in_lab(program: impl AsRef<Path>, lab: &Lab) -> Self {
        let [registry, first, second] = [9000, 9001, 9002].map(|port| format!("{RENDEZVOUS}:{port}"));
        Self::start(program, lab.rendezvous(), &[], &registry, &format!("{first},{second}"))
    }

    fn start(program: impl AsRef<Path>, place: Place, options: &[&str], registry: &str, beacon: &str) -> Self {
        let (folder, program) = (tempfile::tempdir().unwrap(), program.as_ref().to_owned());
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let command = Self::command(&program, &place, &options, folder.path(), registry, beacon);
        let mut process = process::start(command);
        let about = Self::announced(&mut process);
        let beacons: Vec<&str> = about["beacon"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let [registry, fingerprint] = ["registry", "fingerprint"].map(|key| about[key].as_str().unwrap().to_owned());
        let beacon = beacons.join(",");
        Self { process, program, place, options, folder, registry, beacon, fingerprint }
    }

    fn command(
        program: &Path,
        place: &Place,
        options: &[String],
        folder: &Path,
        registry: &str,
        beacon: &str,
    ) -> Command {
        let mut command = program_at(place, program, folder);
        command.args(["--json", "rendezvous", "start", "--registry-listen", registry, "--beacon-listen", beacon]);
        command.arg("--data").arg(folder.join("data")).args(options);
        command
    }

    /// The line it says when it listens.
    fn announced(process: &mut Running) -> Value {
        let line = wait::within(PATIENCE, || {
            let said: Option<Value> = process.stdout().lines().next().and_then(|line| serde_json::from_str(line).ok());
            if said.is_none() && process.has_ended() { Some(Value::Null) } else { said }
        });
        match line {
            Some(line) if line["status"] == "ok" => line["data"].clone(),
            _ => panic!("the rendezvous server does not start: {}{}", process.stdout(), process.stderr()),
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Self::kill`]: same addresses, same data.
    pub fn restart(&mut self) {
        let (folder, options) = (self.folder.path(), &self.options);
        let command = Self::command(&self.program, &self.place, options, folder, &self.registry, &self.beacon);
        self.process = process::start(command);
        Self::announced(&mut self.process);
    }

    /// Whether it has ended, which it never should.
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The program it runs.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where its registry listens, in the clear and with TLS.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Its beacon's first address.
    #[must_use]
    pub fn beacon(&self) -> &str {
        self.beacon.split(',').next().unwrap()
    }

    /// All addresses of its beacon, separated by commas.
    #[must_use]
    pub fn beacons(&self) -> &str {
        &self.beacon
    }

    /// SHA-256 of its certificate in hexadecimal digits: who gives it to a client has TLS.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr()
    }
}
