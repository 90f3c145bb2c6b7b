//! Whether a peer that says nothing is still there: decides when silence is asked about, and when it is the end.

use crate::cli::{CliError, Context, Kind, Result};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Longer silence is asked about.
const SILENCE: Duration = Duration::from_secs(2);
/// A peer answers a ping within this time.
const ANSWER: Duration = Duration::from_secs(3);
/// Pings without an answer after which the peer is gone.
const MISSES: u8 = 2;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// When anything last moved.
#[derive(Debug)]
pub(super) struct Pulse {
    last: Cell<Instant>,
    watched: Cell<bool>,
    /// Anything ever moved.
    reached: Cell<bool>,
}

impl Pulse {
    /// Silence counts from now on.
    pub(super) fn watched() -> Self {
        Self { last: Cell::new(Instant::now()), watched: Cell::new(true), reached: Cell::new(false) }
    }

    /// Silence means nothing until [`Self::watch`].
    pub(super) fn unwatched() -> Self {
        Self { last: Cell::new(Instant::now()), watched: Cell::new(false), reached: Cell::new(false) }
    }

    pub(super) fn beat(&self) {
        self.reached.set(true);
        self.last.set(Instant::now());
    }

    pub(super) fn watch(&self) {
        self.last.set(Instant::now());
        self.watched.set(true);
    }

    pub(super) fn silence(&self) -> Duration {
        self.last.get().elapsed()
    }
}

/// Does `work` for as long as the peer lives: one that neither moves anything nor answers a ping ends it, within about 9 s.
pub(super) async fn while_alive<T>(
    context: &Context,
    peer: &str,
    node: u32,
    pulse: &Pulse,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        outcome = work => outcome,
        () = silent(context, node, pulse) => {
            if !pulse.reached.get() {
                let error = CliError::new(Kind::Timeout, format!("{peer} does not answer"));
                return Err(error.hint("is it running, and does it trust this agent? On it: `pilotctl trust list`"));
            }
            let error = CliError::new(Kind::ConnectionFailed, format!("{peer} stopped answering"));
            Err(error.hint("`pilotctl peers` shows the path to it; what has arrived of a file is not sent again"))
        }
    }
}

/// Returns when the peer is gone.
async fn silent(context: &Context, node: u32, pulse: &Pulse) {
    let mut missed = 0;
    while missed < MISSES {
        tokio::time::sleep(LOOK).await;
        if !pulse.watched.get() || pulse.silence() < SILENCE {
            missed = 0;
            continue;
        }
        // A connection of its own: an answer that is awaited must not hold up the work's requests.
        let Ok(driver) = context.driver().await else { continue };
        missed = if driver.ping(node, ANSWER).await.is_ok() { 0 } else { missed + 1 };
    }
}
