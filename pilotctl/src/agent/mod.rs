//! One agent as a program: a node, what it keeps, and the built-in services. The daemon and `demo` are both this.

mod alarm;
mod events;
mod exchange;
mod metrics;
mod storage;
mod transfer;

pub(crate) use alarm::words as key_warning;
pub(crate) use metrics::Metrics;
pub(crate) use transfer::digest_of;

use crate::cli::{CliError, Kind, Result};
use crate::state::{RecordingFile, Settings, TrustFile};
use alarm::KeyAlarm;
use driver::services::{EVENTS_PORT, EXCHANGE_PORT};
use events::Broker;
use proto_core::NodeId;
use proto_core::crypto::Identity;
use proto_core::endpoint::{self, Ladder, PeerStatus, Status, StreamStatus};
use proto_core::ids::StreamId;
use proto_core::registry::Request as Registry;
use proto_core::wire::SocketAddress;
use runtime_tokio::{
    BindError, Config, Datagrams, DialError, Fingerprint, Listener, Node, NodeClosed, Outcome as Reply, PathKind,
    PingError, Pong, RegistryTls, StartError, Stream,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::Storage;
use tokio::sync::Semaphore;

/// Streams of the data exchange at once: each may hold a frame of 16 MiB.
const MAX_EXCHANGES: usize = 64;
/// Streams of the event stream at once.
const MAX_EVENT_STREAMS: usize = 1024;
/// Between two looks at trust while somebody waits for it.
const TRUST_LOOK: Duration = Duration::from_millis(50);

/// The result of a command to the node; the error goes to a local client as it is.
type Outcome<T> = std::result::Result<T, String>;

/// A running node with its services.
#[derive(Debug)]
pub(crate) struct Agent {
    node: Node,
    settings: Settings,
    mailbox: PathBuf,
    public_key: String,
    started: Instant,
    alarm: KeyAlarm,
    _services: tokio::task::JoinSet<()>,
}

/// A line of the trust lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrustEntry {
    pub(crate) node: NodeId,
    pub(crate) public_key: String,
    /// Seconds since 1970.
    pub(crate) at: i64,
    pub(crate) mutual: bool,
    /// Only of waiting requests.
    pub(crate) justification: Option<String>,
    pub(crate) hostname: Option<String>,
}

impl Agent {
    /// Starts a node as `settings` say, keeping what peers send under `mailbox`. Registration goes on in the background.
    pub(crate) async fn start(
        settings: &Settings,
        identity: Identity,
        trust: TrustFile,
        mailbox: &Path,
    ) -> Result<Self> {
        let storage = Arc::new(Storage::open(mailbox, settings.quota)?);
        let public_key = data_encoding::BASE64.encode(identity.public().as_bytes());
        let node = start_node(settings, identity, trust).await?;
        let mut services = tokio::task::JoinSet::new();
        let failed = |error: BindError| CliError::internal(format!("cannot serve a built-in port: {error}"));
        //= spec/ports.md#pp-port-8
        //# Port 1001 serves data exchange in the daemon.
        services.spawn(serve_exchange(node.listen(EXCHANGE_PORT).map_err(failed)?, storage));
        //= spec/ports.md#pp-port-9
        //# Port 1002 serves the event stream in the daemon.
        services.spawn(serve_events(node.listen(EVENTS_PORT).map_err(failed)?, node.clone()));
        let alarm = KeyAlarm::default();
        services.spawn(alarm.clone().watch(node.events()));
        let (settings, started) = (settings.clone(), Instant::now());
        let mailbox = mailbox.to_owned();
        Ok(Self { node, settings, mailbox, public_key, started, alarm, _services: services })
    }

    /// Connects to a port of a peer; fails within 5 s, with the reason.
    pub(crate) async fn dial(&self, to: SocketAddress) -> Outcome<Stream> {
        self.node.dial(to).await.map_err(|error| dial_words(&error))
    }

    /// Takes a port for streams and datagrams.
    pub(crate) fn bind(&self, port: u16) -> Outcome<(Listener, Datagrams)> {
        let words = |error: BindError| match error {
            BindError::InUse(port) => format!("bind: port {port} already bound"),
            BindError::Reserved(port) => format!("bind: port {port} already bound by the daemon"),
            BindError::NodeClosed => "bind: the daemon is stopping".to_owned(),
        };
        Ok((self.node.listen(port).map_err(words)?, self.node.datagrams(port).map_err(words)?))
    }

    /// Datagrams to ports that nobody bound; one receiver at a time.
    pub(crate) fn unclaimed_datagrams(&self) -> Outcome<Datagrams> {
        self.node.unclaimed_datagrams().map_err(|error| error.to_string())
    }

    pub(crate) fn send_datagram(&self, to: SocketAddress, data: &[u8]) -> Outcome<()> {
        self.node.send_datagram(to, 0, data).map(|_| ()).map_err(|error| error.to_string())
    }

    pub(crate) async fn ping(&self, node: NodeId, limit: Duration) -> Outcome<Pong> {
        self.node.ping(node, limit).await.map_err(|error| match error {
            PingError::Timeout => format!("timeout: {error}"),
            PingError::Failed(_) | PingError::NodeClosed => error.to_string(),
        })
    }

    /// Any request to the registry, and its reply.
    pub(crate) async fn registry(&self, request: Registry) -> Outcome<Value> {
        let outcome = self.node.registry_request(request).await.map_err(|closed| closed.to_string())?;
        if let Reply::Registry(reply) = outcome { Ok(reply) } else { Err(failure(outcome)) }
    }

    pub(crate) async fn trust_request(&self, node: NodeId, justification: &str) -> Outcome<&'static str> {
        trust_outcome(self.node.trust_request(node, justification).await)
    }

    pub(crate) async fn trust_approve(&self, node: NodeId) -> Outcome<&'static str> {
        trust_outcome(self.node.approve(node).await)
    }

    pub(crate) async fn trust_reject(&self, node: NodeId, reason: &str) -> Outcome<&'static str> {
        trust_outcome(self.node.reject(node, reason).await)
    }

    pub(crate) async fn trust_revoke(&self, node: NodeId) -> Outcome<&'static str> {
        trust_outcome(self.node.revoke(node).await)
    }

    /// Who is trusted.
    pub(crate) fn trusted(&self) -> Vec<TrustEntry> {
        self.trust_list("trusted", "approved_at")
    }

    /// Who waits for a decision.
    pub(crate) fn trust_pending(&self) -> Vec<TrustEntry> {
        self.trust_list("pending", "received_at")
    }

    pub(crate) fn is_trusted(&self, node: NodeId) -> bool {
        self.trusted().iter().any(|entry| entry.node == node)
    }

    /// Both sides have agreed, as far as this one knows.
    pub(crate) fn is_mutual(&self, node: NodeId) -> bool {
        self.trusted().iter().any(|entry| entry.node == node && entry.mutual)
    }

    /// Returns as soon as trust is mutual, or `false` after `limit`.
    pub(crate) async fn wait_for_trust(&self, node: NodeId, limit: Duration) -> bool {
        let looking = async {
            while !self.is_mutual(node) {
                tokio::time::sleep(TRUST_LOOK).await;
            }
        };
        tokio::time::timeout(limit, looking).await.is_ok()
    }

    pub(crate) fn open_streams_with(&self, node: NodeId) -> usize {
        let with_peer =
            |stream: &&StreamStatus| stream.remote.address.node == node && stream.stats.state == "established";
        self.streams().iter().filter(with_peer).count()
    }

    pub(crate) fn node_id(&self) -> Option<NodeId> {
        self.node.address().map(|address| address.node)
    }

    pub(crate) fn path(&self, node: NodeId) -> Option<PathKind> {
        self.peers().iter().find(|peer| peer.node == node)?.path
    }

    pub(crate) fn status(&self) -> Status {
        self.node.status()
    }

    pub(crate) fn peers(&self) -> Vec<PeerStatus> {
        self.node.peers()
    }

    pub(crate) fn streams(&self) -> Vec<StreamStatus> {
        self.node.streams()
    }

    /// One stream, while the node knows it.
    pub(crate) fn stream(&self, id: StreamId) -> Option<StreamStatus> {
        self.streams().into_iter().find(|stream| stream.id == id)
    }

    /// What the kernel refused of the UDP buffers.
    pub(crate) fn buffer_warning(&self) -> Option<String> {
        self.node.buffers().warning().map(|warning| warning.to_string())
    }

    /// Signs with this node's key. What is signed must say what it is for.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.node.sign(message)
    }

    pub(crate) fn public_key(&self) -> &str {
        &self.public_key
    }

    pub(crate) fn email(&self) -> &str {
        self.settings.email.as_deref().unwrap_or_default()
    }

    /// Trusted peers whose number comes with another key than the pinned one.
    pub(crate) fn mistaken_keys(&self) -> Vec<NodeId> {
        self.alarm.nodes().into_iter().filter(|node| self.is_trusted(*node)).collect()
    }

    /// See [`Settings::registry_is_in_the_clear`].
    pub(crate) fn registry_is_in_the_clear(&self) -> bool {
        self.settings.registry_is_in_the_clear()
    }

    /// The folder of `inbox/` and `received/`.
    pub(crate) fn mailbox(&self) -> &Path {
        &self.mailbox
    }

    /// What a local client must say to broadcast.
    pub(crate) fn admin_token(&self) -> Option<&str> {
        self.settings.admin_token.as_deref()
    }

    pub(crate) fn beacon(&self) -> String {
        self.settings.beacons.first().map(ToString::to_string).unwrap_or_default()
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends the node; what was finished is delivered first.
    pub(crate) async fn shutdown(&self) {
        self.node.shutdown().await;
    }

    /// One list of the trust store, read from the form in which it is kept.
    fn trust_list(&self, list: &str, time: &str) -> Vec<TrustEntry> {
        let store = serde_json::to_value(self.node.trust_snapshot()).unwrap_or_default();
        let peers = self.peers();
        let text = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let entry = |item: &Value| {
            let node = NodeId(u32::try_from(item.get("node_id")?.as_u64()?).ok()?);
            let at = text(item, time).parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
            Some(TrustEntry {
                node,
                public_key: text(item, "public_key"),
                at,
                mutual: item.get("mutual") == Some(&Value::Bool(true)),
                justification: (list == "pending").then(|| text(item, "justification")),
                hostname: peers.iter().find(|peer| peer.node == node).and_then(|peer| peer.hostname.clone()),
            })
        };
        store.get(list).and_then(Value::as_array).into_iter().flatten().filter_map(entry).collect()
    }
}

async fn start_node(settings: &Settings, identity: Identity, trust: TrustFile) -> Result<Node> {
    let config = Config {
        endpoint: settings.endpoint,
        hostname: settings.hostname.clone(),
        public: settings.public,
        owner: settings.email.clone(),
        relay_only: settings.relay_only,
        ladder: Ladder { spraying: !settings.no_spray, port_mapping: settings.port_mapping, ..Ladder::default() },
        trust_auto_approve: settings.trust_auto_approve,
        insecure: settings.insecure,
        punch_private_targets: settings.lan,
        ..Config::default()
    };
    let mut builder = Node::builder(identity).config(config).registry(settings.registry.to_string());
    for beacon in &settings.beacons {
        builder = builder.beacon(beacon.to_string());
    }
    if let Some(address) = settings.listen {
        builder = builder.listen(address);
    }
    if let Some(text) = &settings.registry_fingerprint {
        let pin: Fingerprint =
            text.parse().map_err(|error| CliError::usage(format!("registry fingerprint: {error}")))?;
        builder = builder.registry_tls(RegistryTls::Pinned(pin));
    }
    if let Some(snapshot) = trust.load()? {
        builder = builder.trust(snapshot);
    }
    if let Some(path) = &settings.record {
        let mut file = RecordingFile::create(path)?;
        builder = builder.record(RecordingFile::LIMIT, move |bytes| file.append(bytes));
    }
    let save = move |snapshot| {
        if let Err(error) = trust.save(&snapshot) {
            tracing::error!(%error, "trust cannot be saved: it will be forgotten at the next start");
        }
    };
    builder.on_trust_change(save).start().await.map_err(|error| match error {
        StartError::Listen(..) => CliError::new(Kind::AlreadyExists, error),
        StartError::Resolve(..) => CliError::new(Kind::ConnectionFailed, error),
        StartError::Entropy(_) => CliError::internal(error),
    })
}

async fn serve_exchange(mut listener: Listener, storage: Arc<Storage>) {
    let room = Arc::new(Semaphore::new(MAX_EXCHANGES));
    while let Ok((stream, from)) = listener.accept().await {
        // Beyond the limit the stream is reset: its sender tries again.
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let storage = Arc::clone(&storage);
        tokio::spawn(async move {
            if let Err(error) = exchange::serve(stream, from.address, storage).await {
                tracing::debug!(%from, %error, "a data exchange ended early");
            }
            drop(permit);
        });
    }
}

/// Trusted peers only, also on public nodes (PP-SVC-14).
async fn serve_events(mut listener: Listener, node: Node) {
    let (broker, room) = (Broker::default(), Arc::new(Semaphore::new(MAX_EVENT_STREAMS)));
    while let Ok((stream, from)) = listener.accept().await {
        //= spec/services.md#pp-svc-14
        //# Subscribing needs trust.
        let trusted = node.peers().iter().any(|peer| peer.node == from.address.node && peer.trusted);
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        if !trusted {
            continue;
        }
        let broker = broker.clone();
        tokio::spawn(async move {
            if let Err(error) = broker.serve(stream).await {
                tracing::debug!(%from, %error, "an event stream ended early");
            }
            drop(permit);
        });
    }
}

fn trust_outcome(outcome: std::result::Result<Reply, NodeClosed>) -> Outcome<&'static str> {
    let outcome = outcome.map_err(|closed| closed.to_string())?;
    if let Reply::Trust(status) = outcome { Ok(status) } else { Err(failure(outcome)) }
}

/// Why a command was not carried out; the words decide the exit status, see [`driver::ErrorKind`].
fn failure(outcome: Reply) -> String {
    match outcome {
        Reply::RegistryError(words) | Reply::Failed(words) => words,
        Reply::RegistryUnavailable => "registry unavailable: there is no connection to it".to_owned(),
        Reply::Timeout => "timeout: no answer in time".to_owned(),
        Reply::Pong { .. } | Reply::Registry(_) | Reply::Trust(_) => "an answer to something else".to_owned(),
    }
}

/// The reference's words first, then ours.
fn dial_words(error: &DialError) -> String {
    let DialError::Protocol(reason) = error else { return error.to_string() };
    let words = match reason {
        endpoint::DialError::Refused => "connection refused",
        endpoint::DialError::Timeout => "dial timeout",
        endpoint::DialError::Unreachable => "unreachable",
        endpoint::DialError::UnknownOrUntrusted | endpoint::DialError::Identity => "permission denied",
        endpoint::DialError::NotRegistered => "not registered",
        endpoint::DialError::RegistryUnavailable => "registry unavailable",
        endpoint::DialError::InvalidTarget => "invalid target",
        endpoint::DialError::TooManyStreams => "too many streams",
    };
    // To a stranger a private peer looks as if nothing listened: both are possible.
    if *reason == endpoint::DialError::Timeout {
        return format!(
            "{words}: the peer is reachable but silent: it may have no trust in this agent, or nothing listens on this port"
        );
    }
    format!("{words}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver::ErrorKind;

    #[test]
    fn every_failed_dial_has_the_right_kind() {
        for (reason, kind) in [
            (endpoint::DialError::Refused, ErrorKind::ConnectionFailed),
            (endpoint::DialError::Timeout, ErrorKind::Timeout),
            (endpoint::DialError::Unreachable, ErrorKind::ConnectionFailed),
            (endpoint::DialError::UnknownOrUntrusted, ErrorKind::PermissionDenied),
            (endpoint::DialError::Identity, ErrorKind::PermissionDenied),
            (endpoint::DialError::NotRegistered, ErrorKind::ConnectionFailed),
            (endpoint::DialError::InvalidTarget, ErrorKind::InvalidArgument),
        ] {
            let words = dial_words(&DialError::Protocol(reason));
            assert_eq!(ErrorKind::of_text(&words), kind, "{words}");
            let both = words.contains("no trust") && words.contains("nothing listens");
            assert_eq!(both, reason == endpoint::DialError::Timeout, "{words}");
        }
    }
}
