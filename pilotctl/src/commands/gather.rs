//! What comes one by one: decides between a line for each as it comes, and one answer with all of them when it is known
//! beforehand when to stop.

use crate::cli::{CliError, Context, Kind, Result};
use serde_json::{Value, json};
use std::time::Duration;

/// Bytes of payload in one answer at most.
const MOST: u64 = 64 * 1024 * 1024;

/// Returns after `--timeout`, never without one.
pub(super) async fn time_is_up(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

#[derive(Debug)]
pub(super) struct Gathering<'c> {
    context: &'c Context,
    /// The list's name in the answer.
    name: &'static str,
    /// One answer, in JSON.
    whole: bool,
    left: u64,
    bytes: u64,
    items: Vec<Value>,
    broken: Option<CliError>,
}

impl<'c> Gathering<'c> {
    /// Until `count` came or the time of `--timeout` is over.
    pub(super) fn new(context: &'c Context, name: &'static str, count: Option<u64>) -> Self {
        let whole = context.output.json && (count.is_some() || context.timeout.is_some());
        Self { context, name, whole, left: count.unwrap_or(u64::MAX), bytes: 0, items: Vec::new(), broken: None }
    }

    pub(super) fn wants_more(&self) -> bool {
        self.left > 0
    }

    /// Takes one; people see `title` on stderr and `text` on stdout.
    ///
    /// `broken` says why it is not all of it, which is the failure of the whole in the end.
    pub(super) fn push(&mut self, item: Value, title: &str, text: &str, broken: Option<CliError>) -> Result<()> {
        self.left = self.left.saturating_sub(1);
        self.broken = self.broken.take().or(broken);
        if self.whole {
            self.bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
            if self.bytes > MOST {
                return Err(CliError::new(Kind::Internal, "more than 64 MiB came")
                    .hint("without --count and --timeout it is shown as it comes"));
            }
            self.items.push(item);
        } else if self.context.output.json {
            self.context.output.line(&item.to_string());
        } else {
            self.context.output.say(title);
            self.context.output.line(text);
        }
        Ok(())
    }

    /// Shows the one answer. That the time is up is an ordinary end.
    pub(super) fn finish(self, timed_out: bool) -> Result<()> {
        let data = json!({self.name: self.items, "timeout": timed_out});
        if let Some(error) = self.broken {
            return Err(if self.whole { error.with_data(data) } else { error });
        }
        if self.whole {
            self.context.output.result(&data, String::new);
        }
        Ok(())
    }
}
