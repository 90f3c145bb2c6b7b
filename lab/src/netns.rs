//! A small internet on this machine: a rendezvous host and two sites, each in its own network namespace.
//!
//! ```text
//!            rv 198.51.100.1, .2
//!                   |
//!   ----------- bridge in `net` 198.51.100.0/23 -----------
//!     |                                          |
//!   nat-a .11 (nftables)                       nat-b .12
//!     | 10.0.1.1                                 | 10.0.2.1
//!   a 10.0.1.2                                 b 10.0.2.2
//! ```
//!
//! A site without a NAT is a host directly on the bridge, with the address its router would have. Behind two NATs there is
//! a `cgn-a` on the bridge, and `nat-a` is 100.64.1.2 behind it. What routers do with packets stands in `router`.

use crate::place::Place;
use crate::process::{self, Ended, PATIENCE};
pub use crate::router::Access;
use crate::traffic;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The rendezvous server's address.
pub const RENDEZVOUS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Its second one.
pub const RENDEZVOUS_SECOND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

/// Set in the copy of a test that runs in a user namespace of its own.
const INSIDE: &str = "PILOT_TEST_IN_USER_NAMESPACE";

/// One of the two sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The first.
    A,
    /// The second.
    B,
}

impl Site {
    /// The name of its host's namespace.
    const fn host(self) -> &'static str {
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

    /// The carrier's router of [`Access::Double`].
    const fn carrier(self) -> &'static str {
        match self {
            Self::A => "cgn-a",
            Self::B => "cgn-b",
        }
    }

    /// The interface of a router to this site's host.
    const fn lan(self) -> &'static str {
        match self {
            Self::A => "lan-a",
            Self::B => "lan-b",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::A => 1,
            Self::B => 2,
        }
    }

    /// The same of a router that forwards ports: programs for that take no addresses of documentation for routable ones.
    #[must_use]
    pub const fn routable(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 101, 10 + self.number())
    }

    /// The address the internet sees.
    #[must_use]
    pub const fn public(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, 10 + self.number())
    }
}

/// Runs `test` where namespaces can be made: here when this user may, else in a copy of this test inside a user
/// namespace. Fails with what is missing when neither works. `test` must be written in the test function itself.
pub fn with_namespaces<T: Fn()>(test: T) {
    require_tools();
    match (can_make_namespaces(), std::env::var_os(INSIDE).is_some()) {
        (Ok(()), _) => test(),
        (Err(why), true) => panic!("no network namespaces in a user namespace either: {why}"),
        (Err(why), false) => again_in_user_namespace(std::any::type_name::<T>(), &why),
    }
}

/// For a test program with a `main` of its own: returns when namespaces can be made here. Otherwise runs this program
/// with the same arguments inside a user namespace, to its end, and gives its exit status.
///
/// # Panics
/// When something is missing on this machine, with the remedy.
#[must_use]
pub fn again_where_namespaces_can_be_made() -> Option<i32> {
    require_tools();
    let Err(why) = can_make_namespaces() else { return None };
    assert!(std::env::var_os(INSIDE).is_none(), "no network namespaces in a user namespace either: {why}");
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let status = in_user_namespace().args(arguments).status().unwrap();
    assert!(status.code().is_some(), "{}", needs_namespaces(&why));
    status.code()
}

fn require_tools() {
    for (program, argument, package) in
        [("ip", "-V", "iproute2"), ("nft", "-v", "nftables"), ("nsenter", "-V", "util-linux")]
    {
        let found = Command::new(program).arg(argument).stdout(Stdio::null()).status();
        assert!(found.is_ok_and(|status| status.success()), "this test needs `{program}`: install {package}");
    }
}

fn can_make_namespaces() -> Result<(), String> {
    let name = format!("pilot-{}-probe-{}", std::process::id(), next_number());
    let outcome = process::run(ip(&["netns", "add", &name]), PATIENCE);
    if !outcome.status.success() {
        return Err(outcome.stderr.trim().to_owned());
    }
    let entered = process::run(Place::named(name.clone()).command("true"), PATIENCE);
    process::run(ip(&["netns", "del", &name]), PATIENCE);
    if entered.status.success() { Ok(()) } else { Err(entered.stderr.trim().to_owned()) }
}

/// The test's name as libtest knows it is in the closure's type: `nat::NAME::{{closure}}`.
fn again_in_user_namespace(closure: &str, why: &str) {
    let name = closure.trim_end_matches("::{{closure}}").split_once("::").map(|(_, name)| name).unwrap();
    let mut command = in_user_namespace();
    command.args(["--exact", name, "--nocapture"]);
    let outcome: Ended = process::run(command, Duration::from_secs(300));
    let ran = outcome.stdout.contains("1 passed");
    print!("{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.status.success() && ran, "{}; {outcome}", needs_namespaces(why));
}

/// This very program as root of a user namespace, with a `/run` of its own for the names of network namespaces.
fn in_user_namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["-Urnm", "sh", "-c", "mount -t tmpfs tmpfs /run && exec \"$@\"", "sh"]);
    command.arg(std::env::current_exe().unwrap()).env(INSIDE, "1");
    command
}

fn needs_namespaces(why: &str) -> String {
    format!("this test needs network namespaces: run it as root, or allow user namespaces to this user ({why})")
}

/// One network namespace with nothing but loopback: its programs reach each other and nobody else. Dropped, it is
/// gone, also when a test panics.
#[derive(Debug)]
pub struct Isolated {
    place: Place,
    name: String,
}

impl Isolated {
    /// Makes it.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it is an action on the machine, not a value")]
    pub fn new() -> Self {
        let name = prefix();
        let isolated = Self { place: Place::named(name.clone()), name };
        process::run(ip(&["netns", "add", &isolated.name]), PATIENCE).ok();
        process::run(ip(&["-n", &isolated.name, "link", "set", "lo", "up"]), PATIENCE).ok();
        isolated
    }

    /// Where it is.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// The rendezvous host, two sites and what connects them. Dropped, all namespaces are gone, also when a test panics.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    names: Vec<&'static str>,
}

impl Lab {
    /// Makes it, each site with its way of access.
    #[must_use]
    pub fn new(a: Access, b: Access) -> Self {
        let mut lab = Self::internet();
        lab.connect(Site::A, a);
        lab.connect(Site::B, b);
        lab
    }

    /// Both sites behind the same full-cone router, which lets them reach each other only under its outside address.
    #[must_use]
    pub fn hairpin() -> Self {
        let mut lab = Self::internet();
        let (router, outside) = (Site::A.router(), Site::A.public());
        lab.attach(router, &[outside]);
        for site in [Site::A, Site::B] {
            lab.join(router, site.host(), site.lan(), [10, 0, site.number()]);
        }
        lab.route(router, Access::FullCone, outside);
        lab
    }

    /// The bridge and the rendezvous host.
    fn internet() -> Self {
        let prefix = prefix();
        // Made before its content, so that what exists is removed when something fails half way.
        let mut lab = Self { prefix, names: Vec::new() };
        lab.add("net");
        lab.configure("net", &["link add br0 type bridge", "link set br0 up"]);
        lab.attach("rv", &[RENDEZVOUS, RENDEZVOUS_SECOND]);
        lab
    }

    /// The host of a site.
    #[must_use]
    pub fn site(&self, site: Site) -> Place {
        self.place(site.host())
    }

    /// The router of a site, which must have one.
    #[must_use]
    pub fn router(&self, site: Site) -> Place {
        self.place(site.router())
    }

    /// What a router loses when it is switched off: its line, and whatever it knew of connections.
    pub fn switch_off_and_on(&self, site: Site) {
        let routes = ["link set eth0 down", "link set eth0 up"];
        self.configure(site.router(), &routes);
    }

    /// Another address of a site's router on its inner side, which becomes the default gateway.
    pub fn move_gateway(&self, site: Site) -> Ipv4Addr {
        let gateway = Ipv4Addr::new(10, 0, site.number(), 254);
        self.configure(site.router(), &[&format!("addr add {gateway}/24 dev {}", site.lan())]);
        self.configure(site.host(), &[&format!("route replace default via {gateway}")]);
        gateway
    }

    /// The rendezvous server's host.
    #[must_use]
    pub fn rendezvous(&self) -> Place {
        self.place("rv")
    }

    /// A UDP socket at `place`; it may be used from everywhere, and waits 5 s for a datagram.
    #[must_use]
    pub fn udp(place: &Place, address: Ipv4Addr) -> UdpSocket {
        place.inside(|| {
            let socket = UdpSocket::bind(SocketAddrV4::new(address, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket
        })
    }

    /// Packets that a site's router refused to let in. The site must have one.
    #[must_use]
    pub fn refused(&self, site: Site) -> u64 {
        traffic::named_counter(&self.place(site.router()), "ip", "lab", "refused").packets
    }

    fn place(&self, name: &str) -> Place {
        Place::named(self.full(name))
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
            self.configure(name, &[&format!("addr add {address}/23 dev eth0")]);
        }
        self.configure(name, &["link set eth0 up"]);
    }

    fn connect(&mut self, site: Site, access: Access) {
        if !access.has_router() {
            return self.attach(site.host(), &[site.public()]);
        }
        if access == Access::Forwarding {
            self.attach(site.router(), &[site.routable()]);
        } else if access == Access::Double {
            self.attach(site.carrier(), &[site.public()]);
            self.join(site.carrier(), site.router(), site.lan(), [100, 64, site.number()]);
            self.route(site.carrier(), access, site.public());
        } else {
            self.attach(site.router(), &[site.public()]);
        }
        self.join(site.router(), site.host(), site.lan(), [10, 0, site.number()]);
        let outside = if access == Access::Forwarding { site.routable() } else { site.public() };
        self.route(site.router(), access, outside);
    }

    /// A namespace behind a router: the router is `.1`, it is `.2`.
    fn join(&mut self, router: &str, inner: &'static str, lan: &str, network: [u8; 3]) {
        self.add(inner);
        let (own, outer) = (self.full(inner), self.full(router));
        let link = ["link", "add", "eth0", "netns", &own, "type", "veth", "peer", "name", lan, "netns", &outer];
        process::run(ip(&link), PATIENCE).ok();
        let [gateway, address] = [1, 2].map(|host| Ipv4Addr::new(network[0], network[1], network[2], host));
        self.configure(router, &[&format!("addr add {gateway}/24 dev {lan}"), &format!("link set {lan} up")]);
        self.configure(
            inner,
            &[
                &format!("addr add {address}/24 dev eth0"),
                "link set eth0 up",
                &format!("route add default via {gateway}"),
            ],
        );
    }

    /// Makes a router of a namespace.
    fn route(&self, router: &str, access: Access, outside: Ipv4Addr) {
        let place = self.place(router);
        place.inside(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        place.rules(&access.rules(outside));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in self.names.iter().rev() {
            remove(&self.full(name));
        }
    }
}

/// An address as a socket's peer sees it.
#[must_use]
pub fn at(address: Ipv4Addr, socket: &UdpSocket) -> SocketAddr {
    SocketAddr::new(address.into(), socket.local_addr().unwrap().port())
}

fn ip(words: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(words);
    command
}

fn remove(namespace: &str) {
    let _ = ip(&["netns", "del", namespace]).stderr(Stdio::null()).status();
}

/// What the names of one test's namespaces begin with, its own on this machine.
fn prefix() -> String {
    format!("pilot-{}-{}", std::process::id(), next_number())
}

/// Tests of one process run at once.
fn next_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}
