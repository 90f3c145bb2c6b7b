//! One module per noun; each turns a command into calls of the daemon and its answer into a page or JSON.

mod connect;
mod control;
mod daemon;
mod demo;
mod file;
mod foreign;
mod gather;
mod identity;
mod lists;
mod meta;
mod msg;
mod nc;
mod peer;
mod ping;
mod pulse;
mod rendezvous;
mod replay;
mod status;
mod talk;
mod topic;
mod trust;
mod why;

use crate::cli::args::{Command, ReferenceCommand};
use crate::cli::{Context, Result};

/// Runs one command.
pub(crate) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Demo => demo::run(context).await,
        Command::Daemon(command) => daemon::run(context, command).await,
        Command::Rendezvous(command) => rendezvous::run(context, command).await,
        Command::Status { watch } => status::run(context, watch).await,
        Command::Trust(command) => trust::run(context, command).await,
        Command::Connect { peer, port, message, data_file } => {
            connect::run(context, &peer, port, message, data_file).await
        }
        Command::Listen { port, count } => nc::listen(context, port, count).await,
        Command::Nc { peer, port, quiet_after } => nc::pipe(context, &peer, port, quiet_after).await,
        Command::Ping { peer, count, until_direct } => ping::ping(context, &peer, count, until_direct).await,
        Command::Bench { peer, megabytes } => ping::bench(context, &peer, megabytes).await,
        Command::File(command) => file::run(context, command).await,
        Command::Msg(command) => msg::run(context, command).await,
        Command::Topic(command) => topic::run(context, command).await,
        Command::Peers => lists::peers(context).await,
        Command::Conns => lists::conns(context).await,
        Command::Disconnect { conn } => control::disconnect(context, conn).await,
        Command::Lookup { peer } => control::lookup(context, &peer).await,
        Command::Find { name } => lists::find(context, &name).await,
        Command::Netcheck => lists::netcheck(context).await,
        Command::Why { peer } => why::run(context, peer.as_deref()).await,
        Command::Identity(command) => identity::identity(context, command).await,
        Command::Name(command) => identity::name(context, command).await,
        Command::Visibility { visibility } => identity::visibility(context, visibility).await,
        Command::Tags(command) => control::tags(context, command).await,
        Command::Net(command) => control::net(context, command).await,
        Command::Deregister => control::deregister(context).await,
        Command::Reference(ReferenceCommand::Health) => control::health(context).await,
        Command::Reference(ReferenceCommand::Traceroute { peer }) => ping::traceroute(context, &peer).await,
        Command::Reference(ReferenceCommand::Dgram { peer, port, data }) => {
            nc::datagram(context, &peer, port, data).await
        }
        Command::Offline(command) => meta::run(context, command),
    }
}
