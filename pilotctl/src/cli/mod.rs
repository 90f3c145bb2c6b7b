//! From words to a command, and from its outcome to an exit status.

pub(crate) mod args;
pub(crate) mod error;
pub(crate) mod output;
mod words;

pub(crate) use error::{CliError, Kind, Result};
pub(crate) use output::Output;

use args::Arguments;
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What every command may use.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) paths: crate::state::Paths,
    pub(crate) timeout: Option<Duration>,
    pub(crate) instance: Option<String>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) verbose: u8,
}

impl Context {
    /// The daemon of these paths.
    pub(crate) async fn driver(&self) -> Result<driver::Driver> {
        Ok(driver::Driver::connect(&self.paths.socket).await?)
    }

    /// The path of the daemon's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.paths.socket.clone()
    }

    /// The folder of `inbox/` and `received/`: where the daemon says, or would keep them. One of the reference does not
    /// say, and uses a folder in its home.
    pub(crate) async fn mailbox(&self) -> PathBuf {
        let told = async {
            let driver = self.driver().await.ok()?;
            if !driver.is_extended() {
                return self.paths.compat.clone();
            }
            driver.info().await.ok()?.get("mailbox")?.as_str().map(PathBuf::from)
        };
        told.await.unwrap_or_else(|| self.paths.state.clone())
    }

    /// Fails with a timeout when `work` takes longer than asked for, `default` unless told otherwise.
    pub(crate) async fn within<T>(
        &self,
        default: Duration,
        what: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let limit = self.timeout.unwrap_or(default);
        match tokio::time::timeout(limit, self.output.waiting(what, work)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CliError::new(Kind::Timeout, format!("timed out after {limit:?} waiting for {what}"))),
        }
    }
}

/// Parses, runs, reports.
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let json = words::asks_for_json(&words);
    if words::refuses_color(&words) {
        anstream::ColorChoice::Never.write_global();
    }
    let words = words::translate(words);
    if let Some(error) = words::left_out(&words) {
        return Output { json, quiet: false }.failure(&error);
    }
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => return unparsable(&error, json),
    };
    let output = Output { json: json || arguments.json, quiet: arguments.quiet };
    match run(arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.failure(&error),
    }
}

fn run(arguments: Arguments, output: Output) -> Result<()> {
    let mut paths = crate::state::Paths::find(arguments.instance.as_deref(), arguments.socket)?;
    if let Some(config) = &arguments.config {
        // The usual file may be missing; one that was named may not.
        std::fs::metadata(config).map_err(|error| CliError::from(error).context(config.display()))?;
        paths.config.clone_from(config);
    }
    let Arguments { timeout, instance, config, verbose, .. } = arguments;
    let context = Context { output, paths, timeout, instance, config, verbose };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        // Servers stop by themselves on the first signal, in order.
        if arguments.command.handles_interrupt() {
            return crate::commands::run(&context, arguments.command).await;
        }
        tokio::select! {
            outcome = crate::commands::run(&context, arguments.command) => outcome,
            _ = tokio::signal::ctrl_c() => Err(CliError::new(Kind::Interrupted, "interrupted")),
        }
    });
    // A task blocked on the terminal must not hold the process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

/// Help and version are answers; anything else is a usage error with clap's suggestion.
fn unparsable(error: &clap::Error, json: bool) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if !json {
        let _ = error.print();
        return ExitCode::from(Kind::InvalidArgument.exit_status());
    }
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.next().unwrap_or("invalid arguments").trim_start_matches("error: ").to_owned();
    let hint = lines.find(|line| line.starts_with("tip:")).unwrap_or("run `pilotctl --help`").to_owned();
    let output = Output { json, quiet: false };
    output.failure(&CliError::usage(message).hint(hint.trim_start_matches("tip: ")))
}
