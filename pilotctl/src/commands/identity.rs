//! `identity`, `name`, `visibility`.

use super::peer;
use crate::cli::args::{IdentityCommand, NameCommand, Visibility};
use crate::cli::{Context, Result};
use driver::ipc::Request;
use serde_json::json;

pub(super) async fn identity(context: &Context, command: IdentityCommand) -> Result<()> {
    let driver = context.driver().await?;
    match command {
        IdentityCommand::Show => {
            let info = driver.info().await?;
            let data = json!({
                "public_key": info.get("public_key"),
                "node_id": info.get("node_id"),
                "address": info.get("address"),
                "hostname": info.get("hostname"),
                "file": driver.is_extended().then(|| context.paths.identity().display().to_string()),
            });
            context.output.result(&data, || {
                let line = |name: &str, key: &str| format!("{name:<11}{}", peer::words(&data, key));
                let names = [("key", "public_key"), ("address", "address"), ("hostname", "hostname"), ("file", "file")];
                let told = names.into_iter().filter(|(_, key)| !peer::words(&data, key).is_empty());
                told.map(|(name, key)| line(name, key)).collect::<Vec<_>>().join("\n")
            });
        }
        IdentityCommand::Rotate => {
            let reply = driver.request(Request::RotateKey).await?;
            context.output.result(&reply, || format!("new key {}", peer::words(&reply, "public_key")));
        }
    }
    Ok(())
}

pub(super) async fn name(context: &Context, command: NameCommand) -> Result<()> {
    let name = match command {
        NameCommand::Set { name } => name,
        NameCommand::Clear => String::new(),
    };
    let reply = context.driver().await?.request(Request::SetHostname(name)).await?;
    let hostname = peer::words(&reply, "hostname");
    let data = json!({"hostname": hostname, "node_id": reply.get("node_id")});
    context.output.result(&data, || {
        if hostname.is_empty() { "no hostname any more".to_owned() } else { format!("this agent is now {hostname}") }
    });
    Ok(())
}

pub(super) async fn visibility(context: &Context, visibility: Visibility) -> Result<()> {
    let public = visibility == Visibility::Public;
    let reply = context.driver().await?.request(Request::SetVisibility(public)).await?;
    context.output.result(&reply, || format!("this agent is now {}", if public { "public" } else { "private" }));
    Ok(())
}
