//! The laboratory of the NAT tests does what a home router does. Without this, `direct` and `relay` prove nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use lab::netns::{Access, Lab, RENDEZVOUS, RENDEZVOUS_SECOND, Site, at, with_namespaces};
use lab::wait;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// The next datagram: its text and its source.
fn next(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).expect("a datagram within the socket's timeout");
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
}

/// A socket of a site, and its endpoints as the rendezvous host's two addresses see them.
fn mapped(lab: &Lab, site: Site) -> (UdpSocket, [SocketAddr; 2]) {
    let socket = Lab::udp(&lab.site(site), ANY);
    let seen = [RENDEZVOUS, RENDEZVOUS_SECOND].map(|address| {
        let server = Lab::udp(&lab.rendezvous(), address);
        socket.send_to(b"who am I", at(address, &server)).unwrap();
        let (_, from) = next(&server);
        server.send_to(from.to_string().as_bytes(), from).unwrap();
        assert_eq!(next(&socket).0, from.to_string(), "the answer comes back through the mapping");
        from
    });
    (socket, seen)
}

#[test]
fn masquerade_shows_one_port_and_lets_answers_in_only() {
    with_namespaces(|| {
        let lab = Lab::new(Access::Masquerade, Access::Masquerade);
        let (a, [first, second]) = mapped(&lab, Site::A);
        assert_eq!(first.ip(), Site::A.public());
        assert_eq!(first, second, "the same port toward two destinations");
        let (b, [b_first, _]) = mapped(&lab, Site::B);
        assert_eq!(b_first.ip(), Site::B.public());

        b.send_to(b"unsolicited", first).unwrap();
        wait::until("the router refuses what nobody asked for", Duration::from_secs(5), || {
            (lab.refused(Site::A) == 1).then_some(())
        });
        // From the other side this punches: b has opened its own mapping toward a.
        a.send_to(b"punch", b_first).unwrap();
        assert_eq!(next(&b), ("punch".to_owned(), first));
        b.send_to(b"through", first).unwrap();
        assert_eq!(next(&a), ("through".to_owned(), b_first), "and nothing unsolicited came before it");
        println!("masquerade: {first} toward both destinations; 1 packet refused; punched to {b_first}");
    });
}

#[test]
fn fully_random_masquerade_shows_another_port_to_everybody_and_cannot_be_punched() {
    with_namespaces(|| {
        let lab = Lab::new(Access::FullyRandom, Access::FullyRandom);
        let (a, [first, second]) = mapped(&lab, Site::A);
        assert_eq!((first.ip(), second.ip()), (Site::A.public().into(), Site::A.public().into()));
        assert_ne!(first.port(), second.port(), "another port toward another destination");
        let (b, [b_first, _]) = mapped(&lab, Site::B);

        for _ in 0..3 {
            a.send_to(b"punch", b_first).unwrap();
            b.send_to(b"punch", first).unwrap();
        }
        wait::until("both routers refuse every punch", Duration::from_secs(5), || {
            (lab.refused(Site::A) == 3 && lab.refused(Site::B) == 3).then_some(())
        });
        println!("fully random: {first} and {second}; 3 + 3 punches refused");
    });
}

#[test]
fn an_open_host_is_seen_as_it_is_and_gets_everything() {
    with_namespaces(|| {
        let lab = Lab::new(Access::Open, Access::FullyRandom);
        let (a, [first, second]) = mapped(&lab, Site::A);
        assert_eq!(first, second);
        assert_eq!(first, at(Site::A.public(), &a));
        let (b, _) = mapped(&lab, Site::B);
        b.send_to(b"hello", first).unwrap();
        let (text, from) = next(&a);
        assert_eq!((text.as_str(), from.ip()), ("hello", Site::B.public().into()));
        a.send_to(b"back", from).unwrap();
        assert_eq!(next(&b), ("back".to_owned(), first));
    });
}

#[test]
fn nothing_is_left_when_a_test_panics() {
    with_namespaces(|| {
        let here = format!("pilot-{}-", std::process::id());
        let file = std::sync::Mutex::new(PathBuf::new());
        let outcome = std::panic::catch_unwind(|| {
            let lab = Lab::new(Access::Open, Access::Open);
            *file.lock().unwrap() = lab.rendezvous().path().unwrap();
            assert!(file.lock().unwrap().exists());
            std::panic::resume_unwind(Box::new("a failing test"));
        });
        assert!(outcome.is_err());
        let path = file.lock().unwrap().clone();
        assert!(path.to_string_lossy().contains(&here), "{path:?}");
        assert!(!path.exists(), "{path:?} is left");
    });
}

#[test]
fn a_full_cone_router_lets_everybody_in_where_somebody_went_out() {
    with_namespaces(|| {
        let lab = Lab::new(Access::FullCone, Access::FullyRandom);
        let (a, [first, second]) = mapped(&lab, Site::A);
        assert_eq!(first, second, "the same port toward two destinations");
        let (b, _) = mapped(&lab, Site::B);
        b.send_to(b"unsolicited", first).unwrap();
        let (said, from) = next(&a);
        assert_eq!((said.as_str(), from.ip()), ("unsolicited", Site::B.public().into()));
        a.send_to(b"welcome", from).unwrap();
        assert_eq!(next(&b), ("welcome".to_owned(), first));
        // A port that nobody went out from stays closed.
        let unused = SocketAddr::new(first.ip(), if first.port() == 1 { 2 } else { 1 });
        b.send_to(b"unsolicited", unused).unwrap();
        wait::until("the router refuses an unused port", Duration::from_secs(5), || {
            (lab.refused(Site::A) == 1).then_some(())
        });
    });
}

#[test]
fn a_sequential_router_gives_every_flow_the_next_port() {
    with_namespaces(|| {
        let lab = Lab::new(Access::Sequential, Access::Open);
        let (a, [first, second]) = mapped(&lab, Site::A);
        assert_eq!(second.port(), first.port() + 1, "{first} {second}");
        let b = Lab::udp(&lab.site(Site::B), ANY);
        a.send_to(b"hello", at(Site::B.public(), &b)).unwrap();
        assert_eq!(next(&b).1, SocketAddr::new(first.ip(), second.port() + 1));
        a.send_to(b"again", at(Site::B.public(), &b)).unwrap();
        assert_eq!(next(&b).1, SocketAddr::new(first.ip(), second.port() + 1), "one flow keeps its port");
        let stranger = Lab::udp(&lab.rendezvous(), RENDEZVOUS);
        stranger.send_to(b"unsolicited", first).unwrap();
        wait::until("the router refuses what nobody asked for", Duration::from_secs(5), || {
            (lab.refused(Site::A) == 1).then_some(())
        });
    });
}

#[test]
fn two_routers_in_a_row_look_like_one() {
    with_namespaces(|| {
        let lab = Lab::new(Access::Double, Access::Double);
        let (a, [first, second]) = mapped(&lab, Site::A);
        assert_eq!((first, first.ip()), (second, Site::A.public().into()));
        let (b, [b_first, _]) = mapped(&lab, Site::B);
        b.send_to(b"closed", first).unwrap();
        a.send_to(b"punch", b_first).unwrap();
        assert_eq!(next(&b), ("punch".to_owned(), first));
    });
}

#[test]
fn a_hairpin_router_brings_its_hosts_together_under_its_outside_address_only() {
    with_namespaces(|| {
        let lab = Lab::hairpin();
        let (a, [first, _]) = mapped(&lab, Site::A);
        let (b, [b_first, _]) = mapped(&lab, Site::B);
        assert_eq!(first.ip(), b_first.ip());
        // Straight to the inside address: nothing. Then under the outside address: through.
        b.send_to(b"inside", at(Ipv4Addr::new(10, 0, 1, 2), &a)).unwrap();
        b.send_to(b"hairpin", first).unwrap();
        assert_eq!(next(&a), ("hairpin".to_owned(), b_first));
        a.send_to(b"back", b_first).unwrap();
        assert_eq!(next(&b), ("back".to_owned(), first));
    });
}
