//! `topic sub`, `topic pub`: the event stream of a peer.

use super::gather::{Gathering, time_is_up};
use super::{connect, peer};
use crate::cli::args::TopicCommand;
use crate::cli::{CliError, Context, Kind, Result};
use bytes::Bytes;
use driver::services::EVENTS_PORT;
use driver::services::events::{Event, MAX_TOPIC, read_event};
use driver::{Conn, SocketAddress};
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Longest wait for a connection, and for an event to be taken.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(context: &Context, command: TopicCommand) -> Result<()> {
    match command {
        TopicCommand::Sub { peer, topic, count } => subscribe(context, &peer, &topic, count).await,
        TopicCommand::Pub { peer, topic, data } => publish(context, &peer, &topic, data).await,
    }
}

async fn subscribe(context: &Context, name: &str, topic: &str, count: Option<u64>) -> Result<()> {
    let (mut conn, _) = open(context, name, topic).await?;
    context.output.say(&format!("listening for {topic:?} of {name}"));
    let mut gathering = Gathering::new(context, "events", count);
    let time_is_up = time_is_up(context.timeout);
    tokio::pin!(time_is_up);
    let mut timed_out = false;
    while gathering.wants_more() {
        let event = tokio::select! {
            event = read_event(&mut conn) => event.map_err(|error| ended(name).context(error))?,
            () = &mut time_is_up => {
                timed_out = true;
                break;
            }
        };
        let Event { topic, payload } = event.ok_or_else(|| ended(name))?;
        let text = String::from_utf8_lossy(&payload);
        let item = json!({"topic": topic, "data": text, "bytes": payload.len()});
        gathering.push(item, &format!("{topic}, {} bytes:", payload.len()), &text, None)?;
    }
    conn.close().await?;
    gathering.finish(timed_out)
}

async fn publish(context: &Context, name: &str, topic: &str, data: String) -> Result<()> {
    let (mut conn, to) = open(context, name, topic).await?;
    let bytes = data.len();
    let event = Event { topic: topic.to_owned(), payload: data.into() };
    let saying = async {
        conn.write_all(&event.encode()).await?;
        Ok(conn.shutdown().await?)
    };
    context.within(PATIENCE, &format!("{name} to take it"), saying).await?;
    let data = json!({"target": to.address.to_string(), "topic": topic, "bytes": bytes});
    context.output.result(&data, || format!("said {bytes} bytes on {topic:?} to {name}"));
    Ok(())
}

/// A stream that is subscribed to a topic: the peer takes events on no other.
async fn open(context: &Context, name: &str, topic: &str) -> Result<(Conn, SocketAddress)> {
    if topic.is_empty() || topic.len() > MAX_TOPIC {
        return Err(CliError::usage(format!("a topic is 1 to {MAX_TOPIC} bytes long")));
    }
    let driver = context.driver().await?;
    let to = peer::resolve_port(context, &driver, name, EVENTS_PORT).await?;
    let subscription = Event { topic: topic.to_owned(), payload: Bytes::new() };
    let opening = async {
        let mut conn = connect::dial(&driver, name, to).await?;
        conn.write_all(&subscription.encode()).await?;
        Ok(conn)
    };
    // --timeout is how long to listen, not how long to dial.
    let opening = context.output.waiting("a connection", opening);
    let conn = tokio::time::timeout(PATIENCE, opening).await;
    let conn = conn.unwrap_or_else(|_| Err(CliError::new(Kind::Timeout, format!("{name} does not answer"))))?;
    Ok((conn, to))
}

fn ended(name: &str) -> CliError {
    CliError::new(Kind::ConnectionFailed, format!("{name} ended the subscription"))
        .hint("only trusted peers may listen: `pilotctl trust list`, there and here")
}
