//! `lookup`, `deregister`, `disconnect`, `tags`, `net`, `health`: questions to the registry and to the daemon.

use super::peer::{self, items, words};
use crate::cli::args::{NetCommand, TagsCommand};
use crate::cli::output::{size, table};
use crate::cli::{CliError, Context, Kind, Result};
use driver::ipc::{NetworkCommand, Request};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What was written before a connection is closed is delivered first, but not for ever.
const CLOSING: Duration = Duration::from_secs(3);
/// Between two looks at a connection that closes.
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn lookup(context: &Context, name: &str) -> Result<()> {
    let driver = context.driver().await?;
    let node = peer::resolve(context, &driver, name).await?.node.0;
    let reply = driver.request(Request::Lookup(node)).await?;
    context.output.result(&reply, || {
        let names = ["address", "hostname", "public_key", "public", "networks", "tags", "version"];
        let told = names.into_iter().filter(|name| !words(&reply, name).is_empty());
        told.map(|name| format!("{name:<11}{}", words(&reply, name))).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

pub(super) async fn deregister(context: &Context) -> Result<()> {
    let reply = context.driver().await?.request(Request::Deregister).await?;
    context.output.result(&reply, || "the registry has forgotten where this agent is".to_owned());
    Ok(())
}

pub(super) async fn disconnect(context: &Context, conn: u32) -> Result<()> {
    let driver = context.driver().await?;
    let open = |info: &Value| {
        items(info, "conn_list")
            .iter()
            .any(|item| peer::number(item, "id") == u64::from(conn) && words(item, "state") == "ESTABLISHED")
    };
    if !open(&driver.info().await?) {
        return Err(CliError::new(Kind::NotFound, format!("no open connection {conn}")).hint("see `pilotctl conns`"));
    }
    driver.request(Request::Close(conn)).await?;
    let begun = Instant::now();
    while open(&driver.info().await?) {
        if begun.elapsed() > CLOSING {
            return Err(CliError::new(Kind::Timeout, format!("connection {conn} is still open")).hint(
                "it is the daemon's own, or its peer does not read; `pilotctl trust remove` closes all of a peer's",
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
    context.output.result(&json!({"conn_id": conn}), || format!("closed connection {conn}"));
    Ok(())
}

pub(super) async fn tags(context: &Context, command: TagsCommand) -> Result<()> {
    let tags = match command {
        TagsCommand::Set { tags } => tags,
        TagsCommand::Clear => Vec::new(),
    };
    let request = Request::SetTags(json!(tags).to_string().into());
    let reply = context.driver().await?.request(request).await?;
    let set = items(&reply, "tags");
    let data = json!({"node_id": reply.get("node_id"), "tags": set});
    context.output.result(&data, || {
        let set: Vec<&str> = set.iter().filter_map(Value::as_str).collect();
        if set.is_empty() { "no tags any more".to_owned() } else { format!("tags are now {}", set.join(", ")) }
    });
    Ok(())
}

pub(super) async fn net(context: &Context, command: NetCommand) -> Result<()> {
    let driver = context.driver().await?;
    let done = |reply: &Value, text: String| {
        context.output.result(reply, || text);
        Ok(())
    };
    match command {
        NetCommand::List => {
            let reply = driver.network(NetworkCommand::List).await?;
            context.output.result(&reply, || rows(&reply, "networks", &["id", "name", "join_rule", "members"]));
            Ok(())
        }
        NetCommand::Members { network } => {
            let reply = driver.network(NetworkCommand::Members(network)).await?;
            context.output.result(&reply, || rows(&reply, "nodes", &["node_id", "hostname", "role", "public"]));
            Ok(())
        }
        NetCommand::Join { network, token } => {
            let reply = driver.network(NetworkCommand::Join { network, token }).await?;
            done(&reply, format!("this agent is now in network {network}"))
        }
        NetCommand::Leave { network } => {
            let reply = driver.network(NetworkCommand::Leave(network)).await?;
            done(&reply, format!("this agent is not in network {network} any more"))
        }
    }
}

fn rows(reply: &Value, list: &str, columns: &[&str]) -> String {
    let headings: Vec<String> = columns.iter().map(|name| name.to_uppercase().replace('_', " ")).collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    table(&headings, items(reply, list).iter().map(|item| columns.iter().map(|name| words(item, name)).collect()))
}

pub(super) async fn health(context: &Context) -> Result<()> {
    let health = context.driver().await?.health().await?;
    context.output.result(&health, || {
        let count = |name: &str| peer::number(&health, name);
        format!(
            "{}, up {} s, {} peers, {} connections, {} out, {} in",
            words(&health, "status"),
            count("uptime_seconds"),
            count("peers"),
            count("connections"),
            size(count("bytes_sent")),
            size(count("bytes_recv")),
        )
    });
    Ok(())
}
