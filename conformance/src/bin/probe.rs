//! Holds any implementation against the requirements of `spec/`, from outside.

use clap::Parser;
use conformance::probe::{Known, Options, run};
use proto_core::NodeId;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Plays a raw peer against an implementation and reports, requirement by requirement, what it does.
///
/// The peer must come to trust the probe, or be public: start it so that it approves every request for trust, or approve the node
/// whose number the probe prints. The exit status is 0 when nothing failed but what the list of known differences names,
/// 1 when something else failed, and 2 when nothing could be judged.
#[derive(Parser)]
struct Arguments {
    /// The implementation's UDP address
    #[arg(long, value_name = "udp://HOST:PORT")]
    peer: String,
    /// Its node number; a private peer answers no stranger who asks for it
    #[arg(long, value_name = "NUMBER")]
    node: Option<u32>,
    /// The beacon's address
    #[arg(long, value_name = "HOST:PORT")]
    beacon: String,
    /// The registry's address, in plaintext
    #[arg(long, value_name = "HOST:PORT")]
    registry: String,
    /// Longest wait for the peer's trust, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 75)]
    trust_timeout: u64,
    /// Known differences, as in `conformance/reference/known-differences.toml`
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// Only the known differences of this version count
    #[arg(long, value_name = "VERSION", requires = "known")]
    known_version: Option<String>,
    /// Only checks whose names begin so, such as `session/`; several may be named
    #[arg(long, value_name = "BEGINNING", value_delimiter = ',')]
    only: Vec<String>,
    /// Say it in one line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match judge(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("error: {why}");
            if arguments.json {
                println!("{}", serde_json::json!({"status": "error", "error": why}));
            }
            ExitCode::from(2)
        }
    }
}

/// Whether nothing failed unexpectedly.
fn judge(arguments: &Arguments) -> Result<bool, String> {
    let known = match &arguments.known {
        None => Known::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            Known::parse(&text, arguments.known_version.as_deref())?
        }
    };
    let options = Options {
        peer: resolve(arguments.peer.trim_start_matches("udp://"))?,
        node: arguments.node.map(NodeId),
        beacon: Some(resolve(&arguments.beacon)?),
        registry: Some(resolve(&arguments.registry)?),
        fixed: None,
        patience: Duration::from_secs(arguments.trust_timeout),
        only: arguments.only.clone(),
        known: known.clone(),
    };
    let report = run(&options, &mut |words| eprintln!("{words}"))?;
    if arguments.json {
        println!("{}", report.to_json(&known));
    } else {
        print!("{report}");
    }
    Ok(report.unexpected(&known).is_empty())
}

fn resolve(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| format!("{text}: {error}"))?;
    found.next().ok_or_else(|| format!("{text}: no address"))
}
