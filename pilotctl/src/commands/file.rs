//! `file send`, `file list`.

use super::pulse::{Pulse, while_alive};
use super::{connect, peer};
use crate::agent::digest_of;
use crate::cli::args::FileCommand;
use crate::cli::output::{size, table};
use crate::cli::{CliError, Context, Result};
use driver::SocketAddress;
use driver::services::{EXCHANGE_PORT, send_file};
use serde_json::{Value, json};
use sha2::Digest;
use std::path::Path;
use std::time::{Duration, Instant};

/// A day: a large file over a slow path is not an error.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn run(context: &Context, command: FileCommand) -> Result<()> {
    match command {
        FileCommand::Send { peer, file } => send(context, &peer, &file).await,
        FileCommand::List { clear } => list(context, &context.mailbox().await.join("received"), clear),
    }
}

async fn send(context: &Context, peer: &str, path: &Path) -> Result<()> {
    let shown = path.display().to_string();
    let name = path.file_name().ok_or_else(|| CliError::usage(format!("{shown} is not a file")))?.to_string_lossy();
    let mut file = std::fs::File::open(path).map_err(|error| CliError::from(error).context(&shown))?;
    if !file.metadata()?.is_file() {
        return Err(CliError::usage(format!("{shown} is not a file")));
    }
    let driver = context.driver().await?;
    let to = peer::resolve(context, &driver, peer).await?;
    let (digest, bytes) = tokio::task::block_in_place(|| digest_of(&mut file))?;
    let sha256: [u8; 32] = digest.finalize().into();
    let mut source = tokio::fs::File::from_std(file);
    let bar = context.output.bar(bytes, &name);
    let started = Instant::now();
    let moved = |at, pulse: &Pulse| {
        bar.set_position(at);
        pulse.beat();
    };
    let pulse = Pulse::watched();
    let work = async {
        let mut conn = connect::dial(&driver, peer, SocketAddress::new(to, EXCHANGE_PORT)).await?;
        pulse.beat();
        let sent = send_file(&mut conn, &name, bytes, sha256, &mut source, |at| moved(at, &pulse)).await?;
        conn.close().await?;
        Ok(sent)
    };
    let work = while_alive(context, peer, to.node.0, &pulse, work);
    let sent = context.within(PATIENCE, &format!("{peer} to take the file"), work).await?;
    bar.finish_and_clear();
    let elapsed = started.elapsed();
    let rate = rate_mb(bytes - sent.resumed, elapsed);
    let data = json!({
        "filename": name,
        "bytes": bytes,
        "destination": to.to_string(),
        "ack": format!("ACK FILE {bytes} bytes"),
        "transport": sent.transport,
        "sha256": data_encoding::HEXLOWER.encode(&sha256),
        "bytes_sent": bytes - sent.resumed,
        "bytes_resumed": sent.resumed,
        "verified": sent.verified,
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        "throughput_mbps": rate * 8.0,
        "mb_per_s": rate,
    });
    context.output.result(&data, || {
        let checked = if sent.verified { "digest verified" } else { "not verified by the receiver" };
        format!("sent {name} ({}) to {peer} at {rate:.1} MB/s; {checked}", size(bytes))
    });
    Ok(())
}

/// Millions of bytes a second.
pub(super) fn rate_mb(bytes: u64, elapsed: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = bytes as f64 / 1e6 / elapsed.as_secs_f64().max(1e-6);
    (rate * 1000.0).round() / 1000.0
}

fn list(context: &Context, dir: &Path, clear: bool) -> Result<()> {
    let mut files: Vec<Value> = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(about) = entry.metadata() else { continue };
        if name.starts_with('.') || !about.is_file() {
            continue;
        }
        let modified = about.modified().ok().and_then(|at| jiff::Timestamp::try_from(at).ok());
        files.push(json!({
            "name": name,
            "path": entry.path().display().to_string(),
            "bytes": about.len(),
            "modified": modified.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        }));
    }
    files.sort_by_key(|file| (peer::words(file, "modified"), peer::words(file, "name")));
    let data = json!({"dir": dir.display().to_string(), "files": files, "shown": files.len(), "total": files.len()});
    context.output.result(&data, || {
        if files.is_empty() {
            return "no files".to_owned();
        }
        let row = |file: &Value| {
            vec![peer::words(file, "modified"), size(peer::number(file, "bytes")), peer::words(file, "path")]
        };
        table(&["RECEIVED", "SIZE", "FILE"], files.iter().map(row))
    });
    if clear {
        for file in &files {
            std::fs::remove_file(peer::words(file, "path"))?;
        }
    }
    Ok(())
}
