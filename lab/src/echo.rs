//! A stream to a peer's echo port, to see whether it flows.

use crate::agent::{Agent, PATIENCE};
use crate::wait;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A stream to a peer's echo port that stays open, driven through `nc`.
#[derive(Debug)]
pub struct Echo {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    count: u64,
}

impl Echo {
    /// Dials; what goes wrong shows in the first [`Self::round`].
    pub fn open(agent: &Agent, peer: &str) -> Self {
        let mut command = agent.command(&["nc", peer, "7"]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { process, input, lines, count: 0 }
    }

    /// Sends a line and waits for it to come back; how long that took.
    pub fn round(&mut self) -> Duration {
        self.count += 1;
        let (line, began) = (format!("line {}", self.count), Instant::now());
        writeln!(self.input, "{line}").unwrap();
        assert_eq!(self.lines.recv_timeout(PATIENCE).expect("the stream flows"), line);
        began.elapsed()
    }

    /// Waits until the stream has ended, and `nc` with it.
    pub fn ends(&mut self, limit: Duration) -> ExitStatus {
        wait::until("the stream ends", limit, || self.process.try_wait().unwrap())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
