//! `replay`: a recorded agent once more.

use crate::cli::{CliError, Context, Kind, Result};
use proto_core::crypto::rust_crypto;
use proto_core::endpoint::{Logged, RecordingError, replay};
use serde_json::json;
use std::path::Path;

pub(super) fn run(context: &Context, file: &Path) -> Result<()> {
    let recording = std::fs::read(file).map_err(|error| CliError::from(error).context(file.display()))?;
    let mut show = |line: Logged<'_>| {
        if context.output.json {
            let kind = if line.is_event() { "event" } else { "sent" };
            context
                .output
                .line(&json!({"at_us": line.at.as_micros(), "kind": kind, "line": line.to_string()}).to_string());
        } else {
            context.output.line(&line.to_string());
        }
    };
    let replayed = replay(&recording, rust_crypto(), &mut show).map_err(|error| {
        let kind = if matches!(error, RecordingError::Diverged(_)) { Kind::Internal } else { Kind::InvalidArgument };
        CliError::new(kind, error).context(file.display())
    })?;
    let data = json!({
        "events": replayed.events,
        "sent": replayed.transmits,
        "checkpoints": replayed.checkpoints,
        "truncated": replayed.truncated,
        "cut": replayed.cut,
        "same": true,
    });
    if context.output.json {
        context.output.result(&data, String::new);
    } else {
        let end = match (replayed.truncated, replayed.cut) {
            (true, _) => "; the recording ended at its limit",
            (_, true) => "; the file ends within an entry",
            (false, false) => "",
        };
        let (events, sent) = (replayed.events, replayed.transmits);
        context.output.say(&format!("{events} events and {sent} batches of datagrams, as recorded{end}"));
    }
    Ok(())
}
