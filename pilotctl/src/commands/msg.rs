//! `msg send`, `msg inbox`.

use super::{connect, peer};
use crate::cli::args::{MessageType, MsgCommand};
use crate::cli::output::table;
use crate::cli::{Context, Result};
use driver::services::exchange::MessageKind;
use serde_json::{Value, json};
use std::path::Path;

/// Messages shown at most; the newest.
const SHOWN: usize = 100;

pub(super) async fn run(context: &Context, command: MsgCommand) -> Result<()> {
    match command {
        MsgCommand::Send { peer, data, kind } => {
            let driver = context.driver().await?;
            let to = peer::resolve(context, &driver, &peer).await?;
            let kind = match kind {
                Some(MessageType::Text) => MessageKind::Text,
                Some(MessageType::Binary) => MessageKind::Binary,
                Some(MessageType::Json) => MessageKind::Json,
                None => MessageKind::guess(data.as_bytes()),
            };
            connect::deliver(context, &driver, &peer, to, kind, data.into()).await
        }
        MsgCommand::Inbox { clear } => inbox(context, &context.mailbox().await.join("inbox"), clear),
    }
}

fn inbox(context: &Context, dir: &Path, clear: bool) -> Result<()> {
    let mut messages: Vec<Value> = files(dir).iter().filter_map(|path| read(path)).collect();
    messages.sort_by_key(|message| peer::words(message, "received_at"));
    let total = messages.len();
    let messages = messages.split_off(total.saturating_sub(SHOWN));
    let data = json!({
        "dir": dir.display().to_string(),
        "messages": messages,
        "shown": messages.len(),
        "total": total,
    });
    context.output.result(&data, || {
        if total == 0 {
            return "no messages".to_owned();
        }
        let row = |message: &Value| {
            ["received_at", "from", "type", "data"].iter().map(|name| preview(&peer::words(message, name))).collect()
        };
        table(&["RECEIVED", "FROM", "TYPE", "MESSAGE"], messages.iter().map(row))
    });
    if clear {
        for path in files(dir) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

fn read(path: &Path) -> Option<Value> {
    let mut message: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let id = path.file_stem()?.to_string_lossy().into_owned();
    let preview = preview(&peer::words(&message, "data"));
    let fields = message.as_object_mut()?;
    fields.insert("id".to_owned(), id.into());
    fields.insert("preview".to_owned(), preview.into());
    Some(message)
}

/// One line that a terminal can take.
fn preview(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect();
    if text.chars().count() > 80 { format!("{clean}...") } else { clean }
}
