//! Peculiar and hostile routers, in a network of their own: the library believes no router on loopback. Each is asked by the real code over
//! real sockets; what it was asked is compared with what it may be asked.

use super::{Router, UpnpAnswer};
use lab::netns::{Access, Lab, Site, with_namespaces};
use proto_core::nat::Gateway;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const PORT: u16 = 4000;
const OUTSIDE: &str = "203.0.113.7";
/// Another host beside the routers: what sends anybody there is hostile.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 90);
/// The most that a router without an end gets rid of: the library's limit of 1 MiB, and what the system's buffers take.
const SENT_AT_MOST: usize = 16 << 20;

/// What a router does with one request; an honest one's answer stands in [`honest`].
enum Reply {
    Says(String),
    Redirects(String),
    /// A body without an end.
    Endless(&'static str),
    Nothing,
}

/// A request as the router sees it.
struct Request {
    /// `search`, `description`, `actions`, or the name of a SOAP action.
    what: String,
    body: String,
}

impl Request {
    /// An argument of a SOAP action.
    fn argument(&self, name: &str) -> &str {
        let (_, rest) = self.body.split_once(&format!("<{name}>")).unwrap_or_default();
        rest.split('<').next().unwrap_or_default()
    }

    /// For comparisons.
    fn told(&self) -> String {
        match self.what.as_str() {
            "AddPortMapping" => {
                format!("{} {} {}", self.what, self.argument("NewExternalPort"), self.argument("NewLeaseDuration"))
            }
            _ => self.what.clone(),
        }
    }
}

/// `None`: as an honest router. With the router's own `address:port`, and those of the host elsewhere.
type Script = fn(&Request, &str, &str) -> Option<Reply>;

struct Fake {
    script: Script,
    own: String,
    elsewhere: String,
    asked: Mutex<Vec<String>>,
    sent: Mutex<usize>,
}

impl Fake {
    fn reply(&self, request: &Request) -> Reply {
        self.asked.lock().unwrap().push(request.told());
        let scripted = (self.script)(request, &self.own, &self.elsewhere);
        scripted.unwrap_or_else(|| Reply::Says(honest(request, &self.own)))
    }
}

fn honest(request: &Request, own: &str) -> String {
    match request.what.as_str() {
        "search" => found(own),
        "description" => description("", "/actions", "/control"),
        "actions" => actions(true),
        "GetExternalIPAddress" => outside(OUTSIDE),
        "AddAnyPortMapping" => success("AddAnyPortMapping", "<NewReservedPort>50001</NewReservedPort>"),
        action => success(action, ""),
    }
}

fn found(at: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nLOCATION: http://{at}/description\r\nST: upnp:rootdevice\r\n\r\n")
}

fn description(base: &str, actions: &str, control: &str) -> String {
    format!(
        "<root>{base}<device><serviceList><service>\
         <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
         <SCPDURL>{actions}</SCPDURL><controlURL>{control}</controlURL></service></serviceList></device></root>"
    )
}

/// The actions it knows; `any`: that for any free port too.
fn actions(any: bool) -> String {
    let action = |name: &str| {
        let arguments = ["NewExternalPort", "NewProtocol", "NewInternalPort", "NewInternalClient", "NewLeaseDuration"];
        let arguments: String =
            arguments.map(|name| format!("<argument><name>{name}</name><direction>in</direction></argument>")).concat();
        format!("<action><name>{name}</name><argumentList>{arguments}</argumentList></action>")
    };
    let any = if any { action("AddAnyPortMapping") } else { String::new() };
    format!("<scpd><actionList>{}{any}</actionList></scpd>", action("AddPortMapping"))
}

fn success(action: &str, inside: &str) -> String {
    format!("<Envelope><Body><{action}Response>{inside}</{action}Response></Body></Envelope>")
}

fn outside(address: &str) -> String {
    success("GetExternalIPAddress", &format!("<NewExternalIPAddress>{address}</NewExternalIPAddress>"))
}

#[allow(clippy::unnecessary_wraps, reason = "what a script gives")]
fn refuses(code: u16) -> Option<Reply> {
    let error = format!("<errorCode>{code}</errorCode><errorDescription>no</errorDescription>");
    says(format!("<Envelope><Body><Fault><detail><UPnPError>{error}</UPnPError></detail></Fault></Body></Envelope>"))
}

#[allow(clippy::unnecessary_wraps, reason = "what a script gives")]
fn says(text: impl Into<String>) -> Option<Reply> {
    Some(Reply::Says(text.into()))
}

/// One who searches is answered, and everybody who comes by TCP.
async fn serve(fake: Arc<Fake>, udp: UdpSocket, tcp: TcpListener) {
    let searches = async {
        let mut buffer = [0; 1500];
        while let Ok((_, from)) = udp.recv_from(&mut buffer).await {
            let search = Request { what: "search".to_owned(), body: String::new() };
            if let Reply::Says(text) = fake.reply(&search) {
                let _ = udp.send_to(text.as_bytes(), from).await;
            }
        }
    };
    let calls = async {
        while let Ok((stream, _)) = tcp.accept().await {
            tokio::spawn(converse(stream, fake.clone()));
        }
    };
    tokio::join!(searches, calls);
}

async fn converse(mut stream: TcpStream, fake: Arc<Fake>) -> Option<()> {
    let request = read_request(&mut stream).await?;
    let send = |status: &str, text: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\n{text}");
    match fake.reply(&request) {
        Reply::Says(body) => {
            let text = send("200 OK", &format!("Content-Length: {}\r\n\r\n{body}", body.len()));
            stream.write_all(text.as_bytes()).await.ok()
        }
        Reply::Redirects(to) => {
            let text = send("302 Found", &format!("Location: http://{to}/\r\nContent-Length: 0\r\n\r\n"));
            stream.write_all(text.as_bytes()).await.ok()
        }
        Reply::Endless(begin) => {
            stream.write_all(send("200 OK", &format!("\r\n{begin}")).as_bytes()).await.ok()?;
            while stream.write_all(&[b'<'; 1 << 14]).await.is_ok() && *fake.sent.lock().unwrap() <= SENT_AT_MOST {
                *fake.sent.lock().unwrap() += 1 << 14;
            }
            Some(())
        }
        Reply::Nothing => stream.read_u8().await.ok().map(|_| ()),
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut text = String::new();
    let mut part = [0; 1500];
    loop {
        let length = stream.read(&mut part).await.ok().filter(|length| *length > 0)?;
        text.push_str(core::str::from_utf8(part.get(..length)?).ok()?);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let header = |name: &str| lines.clone().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        if body.len() >= header("content-length").map_or(0, |length| length.parse().unwrap()) {
            let path = head.split(' ').nth(1)?.trim_start_matches('/');
            let action = header("soapaction").and_then(|action| action.trim_matches('"').rsplit('#').next());
            return Some(Request { what: action.unwrap_or(path).to_owned(), body: body.to_owned() });
        }
    }
}

/// What became of a router.
struct Outcome {
    answer: UpnpAnswer,
    asked: Vec<String>,
    /// Bytes of an endless answer.
    sent: usize,
    took: Duration,
}

/// Asks one router after each script, all at the same time; what became of each, and how often the host elsewhere was called.
fn ask(scripts: &[Script]) -> (Vec<Outcome>, usize) {
    let lab = Lab::new(Access::Masquerade, Access::Open);
    let router = lab.router(Site::A);
    let addresses: Vec<Ipv4Addr> = (100..).map(|host| Ipv4Addr::new(10, 0, 1, host)).take(scripts.len()).collect();
    for address in addresses.iter().chain([&ELSEWHERE]) {
        let mut command = router.command("ip");
        assert!(command.args(["addr", "add", &format!("{address}/24"), "dev", "lan-a"]).status().unwrap().success());
    }
    let sockets = router.inside(|| {
        let udp = |address: &Ipv4Addr| std::net::UdpSocket::bind((*address, super::SSDP_PORT)).unwrap();
        let tcp = |address: &Ipv4Addr| std::net::TcpListener::bind((*address, 0)).unwrap();
        (addresses.iter().map(|address| (udp(address), tcp(address))).collect::<Vec<_>>(), tcp(&ELSEWHERE))
    });
    lab.site(Site::A).inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask_all(scripts, sockets))
    })
}

type Sockets = (Vec<(std::net::UdpSocket, std::net::TcpListener)>, std::net::TcpListener);

async fn ask_all(scripts: &[Script], (sockets, elsewhere): Sockets) -> (Vec<Outcome>, usize) {
    let elsewhere_at = elsewhere.local_addr().unwrap().to_string();
    let mut asking = Vec::new();
    for (script, (udp, tcp)) in scripts.iter().zip(sockets) {
        let own = tcp.local_addr().unwrap();
        let fake = Arc::new(Fake {
            script: *script,
            own: own.to_string(),
            elsewhere: elsewhere_at.clone(),
            asked: Mutex::default(),
            sent: Mutex::default(),
        });
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let (udp, tcp) = (UdpSocket::from_std(udp).unwrap(), TcpListener::from_std(tcp).unwrap());
        tokio::spawn(serve(fake.clone(), udp, tcp));
        asking.push(tokio::spawn(ask_one(own.ip(), fake)));
    }
    let mut outcomes = Vec::new();
    for asked in asking {
        outcomes.push(asked.await.unwrap());
    }
    elsewhere.set_nonblocking(true).unwrap();
    (outcomes, std::iter::from_fn(|| elsewhere.accept().ok()).count())
}

async fn ask_one(router: IpAddr, fake: Arc<Fake>) -> Outcome {
    let gateway = Gateway { address: router, socket: SocketAddr::new(Ipv4Addr::new(10, 0, 1, 2).into(), PORT) };
    let began = Instant::now();
    let answer = bounded(Router::default().map(gateway, PORT, 600)).await;
    let took = began.elapsed();
    // The end of an endless answer is seen by its next byte.
    tokio::task::yield_now().await;
    let (asked, sent) = (fake.asked.lock().unwrap().clone(), *fake.sent.lock().unwrap());
    Outcome { answer, asked, sent, took }
}

/// As the task of a node does it.
async fn bounded(asking: impl Future<Output = UpnpAnswer>) -> UpnpAnswer {
    tokio::time::timeout(super::PATIENCE, asking).await.unwrap_or(UpnpAnswer::Silence)
}

fn mapped(address: &str, port: u16) -> UpnpAnswer {
    UpnpAnswer::Mapped(SocketAddr::new(address.parse().unwrap(), port))
}

const FIRST: [&str; 3] = ["search", "description", "actions"];

#[test]
fn what_a_router_says_no_to_is_asked_in_another_way_where_there_is_one() {
    with_namespaces(|| {
        const ADD: &str = "AddPortMapping 4000 600";
        const OUTSIDE_ASKED: &str = "GetExternalIPAddress";
        let cases: [(Script, UpnpAnswer, &[&str]); 8] = [
            (|_, _, _| None, mapped(OUTSIDE, PORT), &[ADD, OUTSIDE_ASKED]),
            // 718, conflict: somebody else has the port.
            (
                |asked, _, _| (asked.what == "AddPortMapping").then(|| refuses(718)).flatten(),
                mapped(OUTSIDE, 50_001),
                &[ADD, "AddAnyPortMapping", OUTSIDE_ASKED],
            ),
            // 725, only permanent leases.
            (
                |asked, _, _| (asked.argument("NewLeaseDuration") == "600").then(|| refuses(725)).flatten(),
                mapped(OUTSIDE, PORT),
                &[ADD, "AddPortMapping 4000 0", OUTSIDE_ASKED],
            ),
            (
                |asked, _, _| asked.what.starts_with("Add").then(|| refuses(725)).flatten(),
                UpnpAnswer::Refused,
                &[ADD, "AddPortMapping 4000 0"],
            ),
            // 606, not authorized.
            (|asked, _, _| asked.what.starts_with("Add").then(|| refuses(606)).flatten(), UpnpAnswer::Refused, &[ADD]),
            // 501: it has no line outward.
            (
                |asked, _, _| (asked.what == OUTSIDE_ASKED).then(|| refuses(501)).flatten(),
                mapped("0.0.0.0", PORT),
                &[ADD, OUTSIDE_ASKED],
            ),
            // Whether a private address is of use, the endpoint decides.
            (
                |asked, _, _| (asked.what == OUTSIDE_ASKED).then(|| says(outside("10.9.9.9"))).flatten(),
                mapped("10.9.9.9", PORT),
                &[ADD, OUTSIDE_ASKED],
            ),
            (
                |asked, _, _| (asked.what == OUTSIDE_ASKED).then(|| says(outside("my address"))).flatten(),
                UpnpAnswer::Silence,
                &[ADD, OUTSIDE_ASKED],
            ),
        ];
        let (outcomes, _) = ask(&cases.map(|(script, _, _)| script));
        for (place, ((_, answer, asked), outcome)) in cases.iter().zip(&outcomes).enumerate() {
            // Searches are several, for each kind of device.
            let seen: Vec<&str> =
                outcome.asked.iter().map(String::as_str).filter(|what| !FIRST.contains(what)).collect();
            assert_eq!((outcome.answer, seen.as_slice()), (*answer, *asked), "case {place}: {:?}", outcome.asked);
        }
    });
}

/// A router without the action for any port is asked for random ones, not for ever.
#[test]
fn a_router_whose_ports_are_all_taken_is_asked_a_bounded_number_of_times() {
    with_namespaces(|| {
        let script: Script = |asked, _, _| match asked.what.as_str() {
            "actions" => says(actions(false)),
            "AddPortMapping" => refuses(718),
            _ => None,
        };
        let (outcomes, _) = ask(&[script]);
        let asked = outcomes[0].asked.iter().filter(|what| what.starts_with("AddPortMapping")).count();
        assert_eq!((outcomes[0].answer, asked), (UpnpAnswer::Refused, 21));
    });
}

//= spec/port-mapping.md#pp-pmap-12
//= type=test
//# Over UPnP only a device at the default gateway's own address is believed.
#[test]
fn a_router_sends_nobody_elsewhere() {
    with_namespaces(|| {
        let cases: [Script; 6] = [
            |asked, _, other| (asked.what == "search").then(|| says(found(other))).flatten(),
            |asked, own, _| (asked.what == "search").then(|| says(found(&format!("gateway.invalid{own}")))).flatten(),
            |asked, _, other| {
                let control = format!("http://{other}/control");
                (asked.what == "description").then(|| says(description("", "/actions", &control))).flatten()
            },
            |asked, _, other| {
                let list = format!("http://{other}/actions");
                (asked.what == "description").then(|| says(description("", &list, "/control"))).flatten()
            },
            |asked, _, other| {
                let base = format!("<URLBase>http://{other}/</URLBase>");
                (asked.what == "description").then(|| says(description(&base, "actions", "control"))).flatten()
            },
            |asked, _, other| (asked.what != "search").then(|| Reply::Redirects(other.to_owned())),
        ];
        let (outcomes, elsewhere) = ask(&cases);
        assert_eq!(elsewhere, 0, "calls at a host that is not the router");
        for (place, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome.answer, UpnpAnswer::Silence, "case {place}");
            let described = outcome.asked.iter().any(|what| what == "description");
            assert!(outcome.asked[0] == "search" && described == (place >= 2), "case {place}: {:?}", outcome.asked);
            assert!(!outcome.asked.iter().any(|what| what.starts_with("Add")), "case {place}: {:?}", outcome.asked);
        }
    });
}

#[test]
fn what_is_no_answer_is_silence_and_costs_little() {
    with_namespaces(|| {
        /// Ten entities, each ten times the one before.
        fn laughs() -> String {
            let entities: String =
                (1..10).map(|n| format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10))).collect();
            format!("<!DOCTYPE root [<!ENTITY e0 \"ha\">{entities}]><root>&e9;</root>")
        }
        let cases: [Script; 9] = [
            |asked, _, _| (asked.what == "search").then(|| says("\u{1}\u{2} no headers")).flatten(),
            |asked, _, _| (asked.what == "description").then(|| says("")).flatten(),
            |asked, _, _| (asked.what == "description").then(|| says("<root><device></root>")).flatten(),
            |asked, _, _| (asked.what == "description").then(|| says("<root>".repeat(100_000))).flatten(),
            |asked, _, _| (asked.what == "description").then(|| says(laughs())).flatten(),
            |asked, _, _| (asked.what == "description").then_some(Reply::Endless("<root>")),
            |asked, _, _| (asked.what == "AddPortMapping").then_some(Reply::Endless("<Envelope>")),
            |asked, _, _| (asked.what == "description").then_some(Reply::Nothing),
            |asked, _, _| (asked.what == "AddPortMapping").then_some(Reply::Nothing),
        ];
        let (outcomes, _) = ask(&cases);
        for (place, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome.answer, UpnpAnswer::Silence, "case {place}: {:?}", outcome.asked);
            let last = ["search", "description", "AddPortMapping 4000 600"][[0, 1, 1, 1, 1, 1, 2, 1, 2][place]];
            assert!(outcome.asked.iter().any(|what| what == last), "case {place}: {:?}", outcome.asked);
            assert!(outcome.sent < SENT_AT_MOST, "case {place}: {} bytes were taken", outcome.sent);
            assert!(outcome.took < super::PATIENCE, "case {place}: {:?}", outcome.took);
        }
        assert!(outcomes[5].sent > 0 && outcomes[6].sent > 0, "an endless answer was begun");
    });
}
