//! `miniupnpd` in a router of the laboratory: it forwards ports on request, by UPnP, PCP and NAT-PMP.
//!
//! Decides how it is configured, started and restarted. The router has to let in what it forwards ([`crate::netns::Access::Forwarding`]).

use crate::place::Place;
use crate::process::{self, Running};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Where Debian puts it, which is not in everybody's `PATH`.
const PROGRAM: &str = "/usr/sbin/miniupnpd";

/// The chains that it fills.
const CHAINS: &str = "table inet filter {
    chain miniupnpd { }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain prerouting { type nat hook prerouting priority dstnat; policy accept; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority srcnat - 1; policy accept; jump postrouting_miniupnpd; }
}";

/// What it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// UPnP only.
    Upnp,
    /// PCP and NAT-PMP too.
    Everything,
}

/// One that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Forwarder {
    process: Option<Running>,
    router: Place,
    folder: TempDir,
}

impl Forwarder {
    /// Starts it at the router with this address on its inner side.
    ///
    /// # Panics
    /// When it is not installed, with the remedy.
    #[must_use]
    pub fn start(router: &Place, inside: Ipv4Addr, speaks: Speaks) -> Self {
        let found = Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status();
        assert!(found.is_ok_and(|status| status.success()), "this test needs `miniupnpd`: install miniupnpd-nftables");
        let folder = tempfile::tempdir().unwrap();
        let others = if speaks == Speaks::Everything { "yes" } else { "no" };
        let settings = format!(
            "ext_ifname=eth0\nlistening_ip={inside}/24\nhttp_port=5000\nenable_upnp=yes\nenable_natpmp={others}\nsecure_mode=yes\n\
             uuid=6ad4ab5e-0000-4000-8000-000000000001\nallow 1024-65535 {inside}/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
        );
        std::fs::write(folder.path().join("settings"), settings).unwrap();
        let mut forwarder = Self { process: None, router: router.clone(), folder };
        forwarder.restart();
        forwarder
    }

    /// Loses all that it forwards, and starts it again.
    pub fn restart(&mut self) {
        self.process = None;
        // Added first, so that there is something to delete.
        self.router.rules(&format!("table inet filter {{ }}\ndelete table inet filter\n{CHAINS}"));
        let mut command = self.router.command(PROGRAM);
        command.arg("-d").arg("-f").arg(self.folder.path().join("settings"));
        command.arg("-P").arg(self.folder.path().join("pid"));
        self.process = Some(process::start(command));
    }

    /// The external ports it forwards now.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        let rules = self.router.tool("nft", &["list", "chain", "inet", "filter", "prerouting_miniupnpd"]);
        let ports = rules.lines().filter(|line| line.contains("dnat"));
        let ports = ports.filter_map(|line| line.split_once("th dport ")?.1.split(' ').next()?.parse().ok());
        ports.collect()
    }

    /// What it has said.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Running::stderr).unwrap_or_default()
    }
}
