//! stdout is data, stderr is talk: the JSON envelope, the human form, and what is said while waiting.

use super::error::{CliError, Kind};
use serde_json::{Value, json};
use std::future::Future;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How a command shows its result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

/// Longer waits are explained.
const SILENCE: Duration = Duration::from_secs(2);

impl Output {
    /// The result: its JSON data in the envelope, or `human`.
    pub(crate) fn result(self, data: &Value, human: impl FnOnce() -> String) {
        if self.json {
            self.line(&json!({"status": "ok", "data": data}).to_string());
        } else {
            let text = human();
            if !text.is_empty() {
                self.line(&text);
            }
        }
    }

    /// One line of data.
    pub(crate) fn line(self, text: &str) {
        let mut out = anstream::stdout().lock();
        // A closed pipe is the reader's decision, not our failure.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// One line for the person, unless a quiet run was asked for.
    pub(crate) fn say(self, text: &str) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// Waits for `work` and says what for, when it takes longer than a moment.
    pub(crate) async fn waiting<T>(self, what: &str, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        if let Ok(done) = tokio::time::timeout(SILENCE, &mut work).await {
            return done;
        }
        self.say(&format!("waiting for {what} ..."));
        work.await
    }

    /// A bar on stderr when a person watches; hidden otherwise.
    pub(crate) fn bar(self, bytes: u64, what: &str) -> indicatif::ProgressBar {
        if self.quiet || !std::io::stderr().is_terminal() {
            return indicatif::ProgressBar::hidden();
        }
        let template = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let style = indicatif::ProgressStyle::with_template(template)
            .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar())
            .progress_chars("=> ");
        indicatif::ProgressBar::new(bytes).with_style(style).with_message(what.to_owned())
    }

    /// Shows a failure and gives its exit status.
    pub(crate) fn failure(self, error: &CliError) -> ExitCode {
        // A degraded network is an ordinary result, which was shown; only the exit status is left to tell.
        if error.kind() == Kind::Degraded {
            return ExitCode::from(error.kind().exit_status());
        }
        if self.json {
            let mut body = json!({
                "status": "error",
                "code": error.kind().code(),
                "message": error.message(),
            });
            if let Some(fields) = body.as_object_mut() {
                fields.extend(error.hint_text().map(|hint| ("hint".to_owned(), hint.into())));
                fields.extend(error.found().map(|data| ("data".to_owned(), data.clone())));
            }
            // Scripts read one stream: the envelope is data, also when it tells a failure.
            self.line(&body.to_string());
        } else {
            let _ = writeln!(anstream::stderr(), "error: {}", error.message());
            if let Some(hint) = error.hint_text() {
                let _ = writeln!(anstream::stderr(), "hint:  {hint}");
            }
        }
        ExitCode::from(error.kind().exit_status())
    }
}

/// Rows under headings, without lines; nothing but the headings when there are no rows.
pub(crate) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(headings.to_vec());
    for row in rows {
        table.add_row(row);
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// `1.5 MB` and the like.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}
