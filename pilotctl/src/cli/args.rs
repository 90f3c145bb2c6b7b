//! The words of the command line.

mod control;

pub(crate) use control::{NetCommand, ReferenceCommand, TagsCommand, TopicCommand};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The statuses of [`super::error::Kind`], for people.
const EXIT_CODES: &str = "\
Exit codes:
  0 ok, 1 internal, 2 usage, 3 no daemon runs, 4 not found, 5 not trusted or not allowed, 6 timeout,
  7 connection failed, 8 exists already, 9 degraded (netcheck), 130 interrupted";
const EVERYWHERE: &str = "Options of every command";

/// Agents that find, trust and talk to each other: the Pilot Protocol.
#[derive(Debug, Parser)]
#[command(name = "pilotctl", version, propagate_version = true, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Answer in JSON (also PILOT_JSON=1)
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// Say nothing on stderr that is not an error
    #[arg(short, long, global = true, help_heading = EVERYWHERE)]
    pub(crate) quiet: bool,
    /// Log more (-v, -vv); of interest for `daemon run` and `rendezvous start`
    #[arg(short, long, global = true, help_heading = EVERYWHERE, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The daemon's socket
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "PILOT_SOCKET", value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Settings of the daemon, in place of the usual config.toml
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// No colours on a terminal (also NO_COLOR)
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) no_color: bool,
    /// One of several daemons of this user
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "PILOT_INSTANCE", value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// Give up after this long, such as 10s, 500ms or 2m
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Two agents in this process find, trust and talk to each other; needs no network
    Demo,
    /// The agent that runs in the background
    #[command(subcommand)]
    Daemon(DaemonCommand),
    /// The server that lets agents find each other
    #[command(subcommand)]
    Rendezvous(RendezvousCommand),
    /// The daemon on one page
    Status {
        /// Show it again every second
        #[arg(long)]
        watch: bool,
    },
    /// Who may reach this agent
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Send a message, or bytes to a port and show the reply
    ///
    /// A reply from a port is complete when the peer finishes or says nothing more for a second; a peer that does not
    /// reply at all is given 30 s, or --timeout. A bare `-` means --data-file -.
    Connect {
        /// Address, node number or hostname
        peer: String,
        /// A port; without it the message is acknowledged by the peer's data exchange
        port: Option<u16>,
        /// What to send
        #[arg(long, short, alias = "data", conflicts_with = "data_file")]
        message: Option<String>,
        /// Send what is in this file, `-` for stdin
        #[arg(long, value_name = "FILE")]
        data_file: Option<String>,
    },
    /// Take connections and datagrams on a port and show what arrives
    ///
    /// With --json, --count or --timeout give one answer with everything; without them every arrival is a line.
    Listen {
        /// The port
        port: u16,
        /// Stop after this many; --timeout stops too
        #[arg(long)]
        count: Option<u64>,
    },
    /// Connect stdin and stdout to a peer's port
    Nc {
        /// Address, node number or hostname
        peer: String,
        /// The port
        port: u16,
        /// After the end of the input, finish when nothing came or went for this long
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1s")]
        quiet_after: Duration,
    },
    /// Round-trip time to a peer, and the way it goes
    Ping {
        /// Address, node number or hostname
        peer: String,
        /// How many
        #[arg(short = 'c', long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
        /// Stop when the path is direct; fails when it does not become so
        #[arg(long)]
        until_direct: bool,
    },
    /// Throughput to a peer, through its echo port
    Bench {
        /// Address, node number or hostname
        peer: String,
        /// Megabytes to send
        #[arg(default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=4096))]
        megabytes: u64,
    },
    /// Send and receive files
    #[command(subcommand)]
    File(FileCommand),
    /// Send and read messages
    #[command(subcommand)]
    Msg(MsgCommand),
    /// Publish and follow events
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Peers with a tunnel
    Peers,
    /// Open connections
    Conns,
    /// Close a connection of `conns`, where the daemon allows that; ours leave it to the program that opened it
    Disconnect {
        /// Its number
        conn: u32,
    },
    /// Look a hostname up
    Find {
        /// The hostname
        name: String,
    },
    /// What the registry tells about a node
    Lookup {
        /// Address, node number or hostname
        peer: String,
    },
    /// What this network allows; exit 9 when it is degraded
    Netcheck,
    /// Why a peer goes through the relay, what was tried, and what would help; of all relayed peers when none is named
    Why {
        /// Address, node number or hostname
        peer: Option<String>,
    },
    /// This agent's key
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// This agent's hostname
    #[command(subcommand)]
    Name(NameCommand),
    /// Who may look this agent up and reach it
    Visibility {
        /// Who
        visibility: Visibility,
    },
    /// Words by which this agent can be found
    #[command(subcommand)]
    Tags(TagsCommand),
    /// Networks of agents
    #[command(subcommand)]
    Net(NetCommand),
    /// Have the registry forget where this agent is, until it registers again
    Deregister,
    #[command(flatten)]
    Reference(ReferenceCommand),
    #[command(flatten)]
    Offline(OfflineCommand),
}

/// What needs neither a daemon nor a network.
#[derive(Debug, Subcommand)]
pub(crate) enum OfflineCommand {
    /// Shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Run a recorded agent again (`daemon start --record`) and show what it told and sent
    ///
    /// A line each, with the time in seconds; with --json an object each. Exit 1 when this build does not do what the recorded one did.
    Replay {
        /// The recording
        file: PathBuf,
    },
    /// Write manual pages
    Man {
        /// Where to
        dir: PathBuf,
    },
    /// The version
    Version,
}

impl Command {
    /// Servers stop in order on a signal; everything else just ends.
    pub(crate) const fn handles_interrupt(&self) -> bool {
        matches!(
            self,
            Self::Daemon(DaemonCommand::Run(_) | DaemonCommand::Start(DaemonArgs { foreground: true, .. }))
                | Self::Rendezvous(_)
        )
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Start it and wait until it is registered
    Start(DaemonArgs),
    /// Run it in the foreground
    Run(DaemonArgs),
    /// Stop it
    Stop,
    /// Stop it, then start it
    Restart(DaemonArgs),
    /// Whether it runs; exit 3 when it does not
    Status,
    /// The end of its log
    Logs {
        /// How many lines
        #[arg(short = 'n', long, default_value_t = 50)]
        lines: usize,
    },
}

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DaemonArgs {
    /// The hostname to claim
    #[arg(long)]
    pub(crate) hostname: Option<String>,
    /// The registry's address; 127.0.0.1:9000 unless told otherwise
    #[arg(long, env = "PILOT_REGISTRY", value_name = "HOST:PORT")]
    pub(crate) registry: Option<String>,
    /// The registry's certificate fingerprint (SHA-256, hex); its connection is then TLS
    #[arg(long, env = "PILOT_REGISTRY_FINGERPRINT", value_name = "HEX")]
    pub(crate) registry_fingerprint: Option<String>,
    /// The beacon's addresses; the registry's host at ports 9001 and 9002 unless told otherwise; two allow NAT classification
    #[arg(long, env = "PILOT_BEACON", value_name = "HOST:PORT", value_delimiter = ',')]
    pub(crate) beacon: Vec<String>,
    /// The UDP address to use; any port on IPv4 unless told otherwise
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// A fixed public endpoint; skips discovery
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) endpoint: Option<SocketAddr>,
    /// Anybody may look this agent up and reach it
    #[arg(long)]
    pub(crate) public: bool,
    /// Never use direct paths
    #[arg(long)]
    pub(crate) relay_only: bool,
    /// Do not search for a way through a symmetric NAT with many sockets or ports (256 at most, 100 packets/s, 12 s)
    #[arg(long)]
    pub(crate) no_spray: bool,
    /// Do not ask the router for a port (PCP, NAT-PMP, UPnP)
    #[arg(long)]
    pub(crate) no_port_mapping: bool,
    /// Punch private addresses too; so anyway when the registry's address is private
    #[arg(long)]
    pub(crate) lan: bool,
    /// Approve every request for trust
    #[arg(long)]
    pub(crate) trust_auto_approve: bool,
    /// INSECURE, closed testbeds only: speak in clear with peers that do not answer a key exchange
    #[arg(long)]
    pub(crate) insecure_plaintext: bool,
    /// INSECURE, closed testbeds only: exchange keys with peers that have no identity
    #[arg(long)]
    pub(crate) insecure_anonymous_exchange: bool,
    /// An identity for this run only
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// The owner's e-mail, told to the registry
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// Bytes kept for received files and messages
    #[arg(long, default_value_t = DaemonArgs::DEFAULT_QUOTA, value_name = "BYTES")]
    pub(crate) quota: u64,
    /// Metrics (HTTP, /metrics), on a loopback address; nowhere unless told
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// A file with the token that local clients must know to broadcast
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Serve the reference's clients too: at /tmp/pilot.sock, or PATH, with inbox, received files and pilot.pid in ~/.pilot
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    pub(crate) compat_socket: Option<Option<PathBuf>>,
    /// Record this run in a new FILE for `pilotctl replay`, 256 MB at most; it holds this agent's identity and all it says and hears
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Stay in the foreground, as `daemon run`
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Leave the terminal's session; `daemon start` says so to its child
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

impl DaemonArgs {
    /// 4 GiB.
    pub(crate) const DEFAULT_QUOTA: u64 = 4 * 1024 * 1024 * 1024;
}

#[derive(Debug, Subcommand)]
pub(crate) enum RendezvousCommand {
    /// Run registry and beacon in the foreground
    Start(RendezvousArgs),
}

#[derive(Args, Debug)]
pub(crate) struct RendezvousArgs {
    /// Where the registry listens (TCP)
    #[arg(long, default_value = "0.0.0.0:9000", value_name = "ADDRESS:PORT")]
    pub(crate) registry_listen: SocketAddr,
    /// Where the beacon listens (UDP); a second port lets agents classify their NAT
    #[arg(long, default_value = "0.0.0.0:9001,0.0.0.0:9002", value_delimiter = ',', value_name = "ADDRESS:PORT")]
    pub(crate) beacon_listen: Vec<SocketAddr>,
    /// Where durable state is kept; without it all is in memory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Health and metrics (HTTP), on a loopback address; nowhere unless told
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Tell the node behind a hostname to its trusted peers only; others then need its address
    #[arg(long)]
    pub(crate) private_hostnames: bool,
    /// A file with the administrator's token
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Trust a peer: ask it, or approve what it asked
    #[command(visible_alias = "request")]
    Add {
        /// Address, node number or hostname
        peer: String,
        /// Why, told to the peer
        #[arg(long, visible_alias = "justification")]
        reason: Option<String>,
        /// Wait until trust is mutual
        #[arg(long)]
        wait: bool,
        /// The reason as bare words, as the reference takes it
        #[arg(hide = true, trailing_var_arg = true)]
        words: Vec<String>,
    },
    /// Approve a waiting request
    #[command(hide = true)]
    Approve {
        /// Address, node number or hostname
        peer: String,
    },
    /// Trusted peers
    List,
    /// Requests that wait for a decision
    Pending,
    /// Refuse a waiting request
    Reject {
        /// Address, node number or hostname
        peer: String,
        /// Why, told to the peer
        #[arg(long)]
        reason: Option<String>,
        /// The reason as bare words, as the reference takes it
        #[arg(hide = true, trailing_var_arg = true)]
        words: Vec<String>,
    },
    /// Withdraw trust; connections close at once
    #[command(visible_alias = "revoke")]
    Remove {
        /// Address, node number or hostname
        peer: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FileCommand {
    /// Send a file; resumes where an earlier attempt ended
    Send {
        /// Address, node number or hostname
        peer: String,
        /// The file
        file: PathBuf,
    },
    /// Files that arrived
    List {
        /// Delete them
        #[arg(long)]
        clear: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MsgCommand {
    /// Send a message
    Send {
        /// Address, node number or hostname
        peer: String,
        /// What to send
        #[arg(long)]
        data: String,
        /// How the peer files it
        #[arg(long = "type", value_enum)]
        kind: Option<MessageType>,
    },
    /// Messages that arrived
    Inbox {
        /// Delete them
        #[arg(long)]
        clear: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MessageType {
    Text,
    Binary,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// The public key and the address
    Show,
    /// Make a new key (a daemon of the published Go implementation; ours keeps its key)
    Rotate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NameCommand {
    /// Claim a hostname
    Set {
        /// Lower-case letters, digits and hyphens
        name: String,
    },
    /// Give the hostname up
    Clear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Visibility {
    /// Trusted peers only
    Private,
    /// Everybody
    Public,
}

/// `10s`, `500ms`, `2m`, `1h`, or seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(number.len()..).unwrap_or_default();
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is not a unit of time: use ms, s, m or h")),
    };
    let value: f64 = number.parse().map_err(|_| "a duration is a number and a unit, such as 10s".to_owned())?;
    Duration::try_from_secs_f64(value * seconds_per_unit).map_err(|_| "not a length of time".to_owned())
}
