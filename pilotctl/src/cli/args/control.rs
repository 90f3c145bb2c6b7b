//! The words of topics, names, networks and other matters of the control plane, and the reference's words without an
//! equal of ours.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Show what a peer's event stream says on a topic
    ///
    /// With --json, --count or --timeout give one answer with all events; without them every event is a line.
    Sub {
        /// Address, node number or hostname
        peer: String,
        /// The topic; `*` is every topic
        topic: String,
        /// Stop after this many; --timeout stops too
        #[arg(long)]
        count: Option<u64>,
    },
    /// Say something on a topic of a peer's event stream
    Pub {
        /// Address, node number or hostname
        peer: String,
        /// The topic
        topic: String,
        /// What to say
        #[arg(long)]
        data: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TagsCommand {
    /// Set this agent's tags, at most three, instead of those it has
    Set {
        /// Lower-case letters, digits and hyphens
        #[arg(required = true)]
        tags: Vec<String>,
    },
    /// Remove all of them
    Clear,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NetCommand {
    /// All networks
    List,
    /// Become a member
    Join {
        /// The network's number
        network: u16,
        /// The network's token, where it has one
        #[arg(long, default_value = "")]
        token: String,
    },
    /// Stop being a member
    Leave {
        /// The network's number
        network: u16,
    },
    /// Who is in a network
    Members {
        /// The network's number
        network: u16,
    },
}

/// Words of the reference that have no equal of ours; not in the help.
#[derive(Debug, Subcommand)]
pub(crate) enum ReferenceCommand {
    /// Short counters of the daemon
    #[command(hide = true)]
    Health,
    /// Time to connect to a peer's echo port, and three round trips
    #[command(hide = true)]
    Traceroute {
        /// Address, node number or hostname
        peer: String,
    },
    /// Send a datagram
    #[command(hide = true)]
    Dgram {
        /// Address, node number or hostname
        peer: String,
        /// The port
        port: u16,
        /// What to send
        #[arg(long)]
        data: String,
    },
}
