//! Settings of a daemon: flag, then environment, then file, then default.

use super::compat::CompatSocket;
use crate::cli::args::DaemonArgs;
use crate::cli::{CliError, Kind, Result};
use runtime_tokio::Insecure;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where a registry is when nothing says otherwise.
const DEFAULT_REGISTRY: &str = "127.0.0.1:9000";
/// The beacon's two ports, on the registry's host.
const DEFAULT_BEACON_PORTS: [u16; 2] = [9001, 9002];

/// `config.toml`; an unknown key is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    hostname: Option<String>,
    registry: Option<String>,
    registry_fingerprint: Option<String>,
    beacon: Option<Vec<String>>,
    listen: Option<SocketAddr>,
    endpoint: Option<SocketAddr>,
    public: Option<bool>,
    relay_only: Option<bool>,
    no_spray: Option<bool>,
    port_mapping: Option<bool>,
    metrics_listen: Option<SocketAddr>,
    lan: Option<bool>,
    trust_auto_approve: Option<bool>,
    insecure_plaintext: Option<bool>,
    insecure_anonymous_exchange: Option<bool>,
    email: Option<String>,
    quota: Option<u64>,
    admin_token_file: Option<PathBuf>,
    #[serde(default)]
    ipc: Ipc,
}

/// `[ipc]`: the local socket.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ipc {
    compat_socket: Option<CompatSocket>,
}

/// What a daemon runs with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) hostname: Option<String>,
    pub(crate) registry: SocketAddr,
    pub(crate) registry_fingerprint: Option<String>,
    pub(crate) beacons: Vec<SocketAddr>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) public: bool,
    pub(crate) relay_only: bool,
    pub(crate) no_spray: bool,
    /// Ask the router for a port.
    pub(crate) port_mapping: bool,
    /// Where `/metrics` is served, a loopback address.
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) lan: bool,
    pub(crate) trust_auto_approve: bool,
    pub(crate) insecure: Insecure,
    pub(crate) email: Option<String>,
    pub(crate) quota: u64,
    /// What a local client must say to broadcast.
    pub(crate) admin_token: Option<String>,
    /// A second socket for the reference's clients; they also get `~/.pilot`.
    pub(crate) compat_socket: Option<PathBuf>,
    /// Where to record this run.
    pub(crate) record: Option<PathBuf>,
}

impl Settings {
    /// Merges the command line with the file, and looks names up.
    pub(crate) async fn load(arguments: &DaemonArgs, file: &Path) -> Result<Self> {
        let file = read(file)?;
        let registry_name = arguments.registry.clone().or(file.registry).unwrap_or_else(|| DEFAULT_REGISTRY.to_owned());
        let registry = look_up(&registry_name).await?;
        let beacon_names =
            if arguments.beacon.is_empty() { file.beacon.unwrap_or_default() } else { arguments.beacon.clone() };
        let mut beacons = Vec::new();
        for name in &beacon_names {
            beacons.push(look_up(name).await?);
        }
        if beacons.is_empty() {
            beacons.extend(DEFAULT_BEACON_PORTS.map(|port| SocketAddr::new(registry.ip(), port)));
        }
        Ok(Self {
            hostname: arguments.hostname.clone().or(file.hostname),
            registry,
            registry_fingerprint: arguments.registry_fingerprint.clone().or(file.registry_fingerprint),
            beacons,
            listen: arguments.listen.or(file.listen),
            endpoint: arguments.endpoint.or(file.endpoint),
            public: arguments.public || file.public.unwrap_or(false),
            relay_only: arguments.relay_only || file.relay_only.unwrap_or(false),
            no_spray: arguments.no_spray || file.no_spray.unwrap_or(false),
            port_mapping: !arguments.no_port_mapping && file.port_mapping.unwrap_or(true),
            metrics_listen: loopback(arguments.metrics_listen.or(file.metrics_listen))?,
            // A registry on this very machine or network means that peers are there too.
            lan: arguments.lan || file.lan.unwrap_or(is_private(registry)),
            trust_auto_approve: arguments.trust_auto_approve || file.trust_auto_approve.unwrap_or(false),
            insecure: Insecure {
                plaintext: arguments.insecure_plaintext || file.insecure_plaintext.unwrap_or(false),
                anonymous_exchange: arguments.insecure_anonymous_exchange
                    || file.insecure_anonymous_exchange.unwrap_or(false),
            },
            email: arguments.email.clone().or(file.email),
            admin_token: arguments
                .admin_token_file
                .clone()
                .or(file.admin_token_file)
                .map(|path| super::token(&path))
                .transpose()?,
            compat_socket: arguments
                .compat_socket
                .as_ref()
                .map(|flag| CompatSocket::of_flag(flag.as_ref()))
                .or(file.ipc.compat_socket)
                .and_then(CompatSocket::path),
            record: arguments.record.clone(),
            quota: file.quota.filter(|_| arguments.quota == DaemonArgs::DEFAULT_QUOTA).unwrap_or(arguments.quota),
        })
    }

    /// Whoever is between this node and its registry reads and alters what they say.
    pub(crate) fn registry_is_in_the_clear(&self) -> bool {
        self.registry_fingerprint.is_none() && !self.registry.ip().is_loopback()
    }
}

fn read(path: &Path) -> Result<ConfigFile> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(ConfigFile::default()),
        Err(error) => return Err(CliError::from(error).context(path.display())),
    };
    toml::from_str(&text).map_err(|error| CliError::usage(format!("{}: {}", path.display(), error.message())))
}

async fn look_up(name: &str) -> Result<SocketAddr> {
    let mut found = tokio::net::lookup_host(name).await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::InvalidInput {
            CliError::usage(format!("`{name}` is not of the form HOST:PORT"))
        } else {
            CliError::new(Kind::ConnectionFailed, format!("cannot look up {name}: {error}"))
        }
    })?;
    found.next().ok_or_else(|| CliError::new(Kind::ConnectionFailed, format!("{name} has no address")))
}

/// What a person has to be told about `insecure`, at every start and in `status`.
pub(crate) fn insecure_warnings(insecure: Insecure) -> Vec<&'static str> {
    let plaintext = "INSECURE: plaintext is on. Peers that do not answer a key exchange are spoken to in clear: anybody on the \
        way can read and alter it, and pass for them.";
    let anonymous =
        "INSECURE: anonymous key exchange is on. Peers without identity are talked to: anybody can pass for them.";
    let words = [(insecure.plaintext, plaintext), (insecure.anonymous_exchange, anonymous)];
    words.into_iter().filter(|(on, _)| *on).map(|(_, text)| text).collect()
}

/// Metrics tell who talks to whom: to this machine only.
fn loopback(address: Option<SocketAddr>) -> Result<Option<SocketAddr>> {
    match address {
        Some(address) if !address.ip().is_loopback() => {
            Err(CliError::usage(format!("metrics must listen on a loopback address, not {address}")))
        }
        address => Ok(address),
    }
}

fn is_private(address: SocketAddr) -> bool {
    match address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flag_wins_over_the_file_and_unknown_keys_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "registry = \"192.0.2.1:9000\"\nhostname = \"from-file\"\n").unwrap();
        let arguments = DaemonArgs { hostname: Some("from-flag".into()), ..DaemonArgs::default() };
        let settings = Settings::load(&arguments, &path).await.unwrap();
        assert_eq!(settings.hostname.as_deref(), Some("from-flag"));
        assert_eq!(
            settings.beacons.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["192.0.2.1:9001", "192.0.2.1:9002"]
        );
        assert!(!settings.lan && settings.port_mapping && settings.registry_is_in_the_clear());
        std::fs::write(&path, "port_mapping = false\nmetrics_listen = \"127.0.0.1:9100\"\n").unwrap();
        let settings = Settings::load(&arguments, &path).await.unwrap();
        assert!(!settings.registry_is_in_the_clear(), "on loopback nobody is between");
        assert_eq!((settings.port_mapping, settings.metrics_listen), (false, Some("127.0.0.1:9100".parse().unwrap())));
        let arguments = DaemonArgs { metrics_listen: Some("192.0.2.1:9100".parse().unwrap()), ..arguments };
        assert_eq!(Settings::load(&arguments, &path).await.unwrap_err().kind(), Kind::InvalidArgument);
        std::fs::write(&path, "regitsry = \"192.0.2.1:9000\"\n").unwrap();
        assert_eq!(Settings::load(&arguments, &path).await.unwrap_err().kind(), Kind::InvalidArgument);
    }
    #[tokio::test]
    async fn the_compat_socket_is_off_unless_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let asked = |text: &str, flag: Option<Option<PathBuf>>| {
            std::fs::write(&path, text).unwrap();
            let arguments = DaemonArgs { compat_socket: flag, ..DaemonArgs::default() };
            let path = path.clone();
            async move { Settings::load(&arguments, &path).await.unwrap().compat_socket }
        };
        assert_eq!(asked("", None).await, None);
        assert_eq!(asked("[ipc]\ncompat_socket = false\n", None).await, None);
        let usual = Some(PathBuf::from("/tmp/pilot.sock"));
        assert_eq!(asked("[ipc]\ncompat_socket = true\n", None).await, usual);
        assert_eq!(asked("[ipc]\ncompat_socket = \"/run/x.sock\"\n", Some(None)).await, usual);
        assert_eq!(asked("[ipc]\ncompat_socket = \"/run/x.sock\"\n", None).await, Some(PathBuf::from("/run/x.sock")));
    }
}
