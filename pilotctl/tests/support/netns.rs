//! A small internet on this machine: a rendezvous host and two sites, each in its own network namespace.
//!
//! ```text
//!            rv 198.51.100.1, .2
//!                   |
//!   ----------- bridge in `net` 198.51.100.0/24 -----------
//!     |                                          |
//!   nat-a .11 (nftables)                       nat-b .12
//!     | 10.0.1.1                                 | 10.0.2.1
//!   a 10.0.1.2                                 b 10.0.2.2
//! ```
//!
//! A site without a NAT is a host directly on the bridge, with the address its router would have.

use super::process;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The rendezvous server's address.
pub(crate) const RENDEZVOUS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Its second one.
pub(crate) const RENDEZVOUS_SECOND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

/// Where named namespaces are kept by iproute2.
const NAMED: &str = "/run/netns";
/// Set in the copy of a test that runs in a user namespace of its own.
const INSIDE: &str = "PILOT_TEST_IN_USER_NAMESPACE";
/// No single command takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a site reaches the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// A public address, nothing in between.
    Open,
    /// A router with `masquerade`: keeps ports, so every destination sees the same one.
    Masquerade,
    /// A router with `masquerade random,fully-random`: every destination sees another port.
    FullyRandom,
}

/// One of the two sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    A,
    B,
}

impl Site {
    /// The name of its host's namespace.
    pub(crate) const fn host(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    const fn router(self) -> &'static str {
        match self {
            Self::A => "nat-a",
            Self::B => "nat-b",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::A => 1,
            Self::B => 2,
        }
    }

    /// The address the internet sees.
    pub(crate) const fn public(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, 10 + self.number())
    }

    const fn private(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.number(), host)
    }
}

/// The namespaces. Dropped, they are gone, also when a test panics.
#[derive(Debug)]
pub(crate) struct Lab {
    prefix: String,
    names: Vec<&'static str>,
}

/// Runs `test` where namespaces can be made: here when this user may, else in a copy of this test inside a user
/// namespace. Fails with what is missing when neither works. `test` must be written in the test function itself.
pub(crate) fn with_namespaces<T: Fn()>(test: T) {
    for (program, argument, package) in
        [("ip", "-V", "iproute2"), ("nft", "-v", "nftables"), ("nsenter", "-V", "util-linux")]
    {
        let found = Command::new(program).arg(argument).stdout(Stdio::null()).status();
        assert!(found.is_ok_and(|status| status.success()), "this test needs `{program}`: install {package}");
    }
    match (can_make_namespaces(), std::env::var_os(INSIDE).is_some()) {
        (Ok(()), _) => test(),
        (Err(why), true) => panic!("no network namespaces in a user namespace either: {why}"),
        (Err(why), false) => again_in_user_namespace(std::any::type_name::<T>(), &why),
    }
}

fn can_make_namespaces() -> Result<(), String> {
    let name = format!("pilot-{}-probe-{}", std::process::id(), next_number());
    let outcome = process::run(ip(&["netns", "add", &name]), PATIENCE);
    if !outcome.status.success() {
        return Err(outcome.stderr.trim().to_owned());
    }
    let entered = process::run(entering(&name, "true"), PATIENCE);
    process::run(ip(&["netns", "del", &name]), PATIENCE);
    if entered.status.success() { Ok(()) } else { Err(entered.stderr.trim().to_owned()) }
}

/// The test's name as libtest knows it is in the closure's type: `nat::NAME::{{closure}}`.
fn again_in_user_namespace(closure: &str, why: &str) {
    let name = closure.trim_end_matches("::{{closure}}").split_once("::").map(|(_, name)| name).unwrap();
    let script = "mount -t tmpfs tmpfs /run && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-Urnm", "sh", "-c", script, "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let outcome = process::run(command, Duration::from_secs(300));
    let ran = outcome.stdout.contains("1 passed");
    print!("{}{}", outcome.stdout, outcome.stderr);
    assert!(
        outcome.status.success() && ran,
        "this test needs network namespaces: run it as root, or allow user namespaces to this user ({why}); {outcome}"
    );
}

impl Lab {
    pub(crate) fn new(a: Access, b: Access) -> Self {
        let prefix = format!("pilot-{}-{}", std::process::id(), next_number());
        // Made before its content, so that what exists is removed when something fails half way.
        let mut lab = Self { prefix, names: Vec::new() };
        lab.add("net");
        lab.configure("net", &["link add br0 type bridge", "link set br0 up"]);
        lab.attach("rv", &[RENDEZVOUS, RENDEZVOUS_SECOND]);
        lab.site(Site::A, a);
        lab.site(Site::B, b);
        lab
    }

    /// A command that will run in the namespace `name`.
    pub(crate) fn command(&self, name: &str, program: &str) -> Command {
        entering(&self.full(name), program)
    }

    /// What to put before a program's name to run it in the namespace `name`.
    pub(crate) fn prefix(&self, name: &str) -> Vec<String> {
        enter_words(&self.full(name))
    }

    /// A UDP socket of the namespace `name`; it may be used from everywhere.
    pub(crate) fn udp(&self, name: &str, address: Ipv4Addr) -> UdpSocket {
        self.inside(name, || {
            let socket = UdpSocket::bind(SocketAddrV4::new(address, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket
        })
    }

    /// Packets that a site's router refused to let in.
    pub(crate) fn refused(&self, site: Site) -> u64 {
        let mut command = self.command(site.router(), "nft");
        command.args(["-j", "list", "counter", "ip", "lab", "refused"]);
        let listed: serde_json::Value = serde_json::from_str(&process::run(command, PATIENCE).ok().stdout).unwrap();
        let objects = listed["nftables"].as_array().unwrap();
        objects.iter().find_map(|object| object["counter"]["packets"].as_u64()).unwrap()
    }

    /// Runs `work` on a thread that has entered the namespace; sockets made there stay there.
    fn inside<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("{NAMED}/{}", self.full(name))).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn add(&mut self, name: &'static str) {
        self.names.push(name);
        process::run(ip(&["netns", "add", &self.full(name)]), PATIENCE).ok();
        self.configure(name, &["link set lo up"]);
    }

    fn configure(&self, name: &str, lines: &[&str]) {
        let full = self.full(name);
        for line in lines {
            let words: Vec<&str> = ["-n", &full].into_iter().chain(line.split(' ')).collect();
            process::run(ip(&words), PATIENCE).ok();
        }
    }

    /// A namespace with public addresses on the bridge.
    fn attach(&mut self, name: &'static str, addresses: &[Ipv4Addr]) {
        self.add(name);
        let (own, net) = (self.full(name), self.full("net"));
        let port = format!("to-{name}");
        let link = ["link", "add", "eth0", "netns", &own, "type", "veth", "peer", "name", &port, "netns", &net];
        process::run(ip(&link), PATIENCE).ok();
        self.configure("net", &[&format!("link set {port} master br0 up")]);
        for address in addresses {
            self.configure(name, &[&format!("addr add {address}/24 dev eth0")]);
        }
        self.configure(name, &["link set eth0 up"]);
    }

    fn site(&mut self, site: Site, access: Access) {
        let (host, router) = (site.host(), site.router());
        let masquerade = match access {
            Access::Open => return self.attach(host, &[site.public()]),
            Access::Masquerade => "masquerade",
            Access::FullyRandom => "masquerade random,fully-random",
        };
        self.attach(router, &[site.public()]);
        self.add(host);
        let (inner, outer) = (self.full(host), self.full(router));
        let link = ["link", "add", "eth0", "netns", &inner, "type", "veth", "peer", "name", "lan", "netns", &outer];
        process::run(ip(&link), PATIENCE).ok();
        let (own, gateway) = (site.private(2), site.private(1));
        self.configure(router, &[&format!("addr add {gateway}/24 dev lan"), "link set lan up"]);
        self.configure(
            host,
            &[&format!("addr add {own}/24 dev eth0"), "link set eth0 up", &format!("route add default via {gateway}")],
        );
        self.inside(router, || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        self.filter(router, masquerade);
    }

    /// A home router's rules: everything may leave under the router's address, only answers may come in. What is
    /// refused is dropped in silence: a refusal that leaves a conntrack entry would spoil the peer's own mapping.
    fn filter(&self, router: &str, masquerade: &str) {
        let rules = format!(
            "table ip lab {{
                counter refused {{ }}
                chain input {{
                    type filter hook input priority filter; policy accept;
                    iifname \"eth0\" ct state new,invalid counter name refused drop
                }}
                chain forward {{
                    type filter hook forward priority filter; policy accept;
                    iifname \"eth0\" ct state new,invalid counter name refused drop
                }}
                chain postrouting {{
                    type nat hook postrouting priority srcnat; policy accept;
                    oifname \"eth0\" {masquerade}
                }}
            }}"
        );
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(rules.as_bytes()).unwrap();
        let mut command = self.command(router, "nft");
        command.arg("-f").arg(file.path());
        process::run(command, PATIENCE).ok();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in self.names.iter().rev() {
            let _ = ip(&["netns", "del", &self.full(name)]).stderr(Stdio::null()).status();
        }
    }
}

/// An address as a socket's peer sees it.
pub(crate) fn at(address: Ipv4Addr, socket: &UdpSocket) -> SocketAddr {
    SocketAddr::new(address.into(), socket.local_addr().unwrap().port())
}

fn ip(words: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(words);
    command
}

fn enter_words(namespace: &str) -> Vec<String> {
    vec!["nsenter".to_owned(), format!("--net={NAMED}/{namespace}"), "--".to_owned()]
}

fn entering(namespace: &str, program: &str) -> Command {
    let words = enter_words(namespace);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(program);
    command
}

/// Tests of one process run at once.
fn next_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}
