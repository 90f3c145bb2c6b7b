//! Where a program runs: in this machine's own network, or in a network namespace.
//!
//! Decides how a process gets there. Knows nothing of how namespaces are made and connected (`netns` does).

use crate::process::{self, PATIENCE};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;

/// Where named namespaces are kept by iproute2.
const NAMED: &str = "/run/netns";

/// A network to run programs in. Copies mean the same network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    namespace: Option<String>,
}

impl Place {
    /// This machine's own network.
    #[must_use]
    pub const fn here() -> Self {
        Self { namespace: None }
    }

    /// The network namespace of this name, whoever made it.
    pub(crate) const fn named(namespace: String) -> Self {
        Self { namespace: Some(namespace) }
    }

    /// The file that stands for the namespace, `None` for this machine's own network.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.namespace.as_ref().map(|name| PathBuf::from(NAMED).join(name))
    }

    /// A command that will run here. Its process is the program itself, so that killing it kills the program.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(path) = self.path() else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", path.display())).arg("--").arg(program);
        command
    }

    /// Runs `work` on a thread that is here; sockets made there stay here.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let Some(path) = self.path() else { return work() };
        let namespace = File::open(path).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    /// Runs a tool of the system here, which must succeed; its stdout.
    pub(crate) fn tool(&self, program: &str, words: &[&str]) -> String {
        let mut command = self.command(program);
        command.args(words);
        process::run(command, PATIENCE).ok().stdout
    }

    /// Loads nftables rules here.
    pub(crate) fn rules(&self, text: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        self.tool("nft", &["-f", file.path().to_str().unwrap()]);
    }
}
