//! What needs no daemon: completions, replays, manual pages, the version.

use crate::cli::args::{Arguments, OfflineCommand};
use crate::cli::{Context, Result};
use clap::CommandFactory;
use serde_json::json;

pub(crate) fn run(context: &Context, command: OfflineCommand) -> Result<()> {
    match command {
        OfflineCommand::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "pilotctl", &mut script);
            let script = String::from_utf8_lossy(&script).into_owned();
            context.output.result(&json!({"script": script}), || script.clone());
        }
        OfflineCommand::Replay { file } => super::replay::run(context, &file)?,
        OfflineCommand::Man { dir } => {
            std::fs::create_dir_all(&dir)?;
            clap_mangen::generate_to(Arguments::command(), &dir)?;
            let data = json!({"dir": dir.display().to_string()});
            context.output.result(&data, || format!("manual pages are in {}", dir.display()));
        }
        OfflineCommand::Version => {
            let version = env!("CARGO_PKG_VERSION");
            let data = json!({"version": version, "protocol": "draft-teodor-pilot-protocol-01"});
            context.output.result(&data, || format!("pilotctl {version}"));
        }
    }
    Ok(())
}
