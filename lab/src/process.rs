//! A program with a deadline: what it said, how it ended, how long it took.

use crate::wait;
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// No tool of the system takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A program that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    shown: String,
    stdout: File,
    stderr: File,
    started: Instant,
}

/// A program that ended.
#[derive(Debug)]
pub struct Ended {
    /// The command line.
    pub shown: String,
    /// How it ended.
    pub status: ExitStatus,
    /// All it said there.
    pub stdout: String,
    /// All it said there.
    pub stderr: String,
    /// From its start to its end.
    pub elapsed: Duration,
}

/// Starts it without input; its output goes to files, so that neither a full pipe nor a child of it can block.
pub fn start(mut command: Command) -> Running {
    let shown = words(&command);
    let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdin(Stdio::null()).stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let child = command.spawn().unwrap_or_else(|error| panic!("cannot start `{shown}`: {error}"));
    Running { child, shown, stdout, stderr, started: Instant::now() }
}

/// Runs it to its end; fails the test when it lasts longer than `limit`.
pub fn run(command: Command, limit: Duration) -> Ended {
    start(command).wait(limit)
}

impl Running {
    /// Its process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has said on stdout so far.
    pub fn stdout(&self) -> String {
        content(&self.stdout)
    }

    /// What it has said on stderr so far.
    pub fn stderr(&self) -> String {
        content(&self.stderr)
    }

    /// Waits for its end; fails the test when that takes longer than `limit`.
    pub fn wait(mut self, limit: Duration) -> Ended {
        let Some(status) = wait::within(limit, || self.child.try_wait().unwrap()) else {
            panic!("`{}` did not end within {limit:?}; it said:\n{}{}", self.shown, self.stdout(), self.stderr());
        };
        Ended {
            shown: self.shown.clone(),
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
            elapsed: self.started.elapsed(),
        }
    }

    /// `kill -9`, and waits until the kernel has taken it away.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Ended {
    /// Its exit status; a signal has none.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The last line of its stdout as JSON, `null` when it is none.
    pub fn json(&self) -> serde_json::Value {
        self.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
    }

    /// Fails the test with everything it said unless it ended well.
    pub fn ok(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shown, status, stdout, stderr, elapsed } = self;
        write!(f, "`{shown}` ended with {status} after {elapsed:?}\n{stdout}{stderr}")
    }
}

/// The whole file through an independent position, as the writer shares this one.
fn content(file: &File) -> String {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    let mut text = Vec::new();
    let mut reader = File::open(path).unwrap();
    reader.rewind().unwrap();
    reader.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
