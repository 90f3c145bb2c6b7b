use super::*;

type Arrival = (SocketAddr, Option<IpAddr>, Option<Ecn>, Vec<u8>);

fn bind(address: &str) -> UdpIo {
    UdpIo::bind(SocketId(3), address.parse().unwrap()).unwrap().0
}

fn to(receiver: &UdpIo, len: usize, segment: Option<usize>) -> Transmit {
    Transmit { via: SocketId(3), to: receiver.local_address(), from: None, ttl: None, ecn: None, len, segment }
}

/// Blocks until the socket is readable, then takes what is there; tells how many buffers it came in.
fn receive(io: &UdpIo) -> (usize, Vec<Arrival>) {
    let mut batch = UdpBatch::new();
    let mut readable = [rustix::event::PollFd::new(io.socket(), rustix::event::PollFlags::IN)];
    let patience = rustix::time::Timespec { tv_sec: 5, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut readable, Some(&patience)).unwrap(), 1, "nothing arrived in 5 s");
    let buffers = io.receive(&mut batch).unwrap();
    let mut arrivals = Vec::new();
    for received in batch.received() {
        for input in received.datagrams() {
            let Input::Datagram { via, from, to, ecn, data } = input else { panic!("not a datagram") };
            assert_eq!(via, SocketId(3));
            arrivals.push((from, to, ecn, data.to_vec()));
        }
    }
    (buffers, arrivals)
}

fn receive_bytes(io: &UdpIo, total: usize) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    while datagrams.iter().map(Vec::len).sum::<usize>() < total {
        datagrams.extend(receive(io).1.into_iter().map(|arrival| arrival.3));
    }
    datagrams
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

#[test]
fn one_datagram_arrives_with_its_addresses_and_its_mark() {
    let (a, b) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let transmit = Transmit { ecn: Some(Ecn::Ect0), ..to(&b, 5, None) };
    assert_eq!(a.send(&transmit, b"hello").unwrap(), Sent { bytes: 5, lost: 0 });
    let (_, arrivals) = receive(&b);
    let own = Some("127.0.0.1".parse().unwrap());
    assert_eq!(arrivals, [(a.local_address(), own, Some(Ecn::Ect0), b"hello".to_vec())]);
}

//= spec/segmentation.md#pp-seg-4
//= type=test
//# The don't-fragment bit is not set.
#[cfg(target_os = "linux")]
#[test]
fn no_socket_forbids_fragments() {
    for address in ["127.0.0.1:0", "[::]:0"] {
        let io = bind(address);
        let setting = || sockopt::ip_mtu_discover(io.socket()).unwrap();
        assert_eq!(setting(), sockopt::Ipv4PathMtuDiscovery::OMIT, "{address}");
        io.forgive_segmentation();
        assert_eq!(setting(), sockopt::Ipv4PathMtuDiscovery::OMIT, "{address}, begun anew");
    }
}

#[test]
fn a_batch_is_cut_into_its_segments_with_and_without_kernel_help() {
    for segmentation in [true, false] {
        let (mut a, b) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        if !segmentation {
            a.disable_segmentation();
            assert_eq!(a.max_segments(), 1);
        }
        let bytes = pattern(1200 * 20 + 77);
        let sent = a.send(&to(&b, bytes.len(), Some(1200)), &bytes).unwrap();
        assert_eq!(sent, Sent { bytes: bytes.len(), lost: 0 });
        let datagrams = receive_bytes(&b, bytes.len());
        assert_eq!(datagrams.len(), 21);
        assert!(datagrams.iter().take(20).all(|datagram| datagram.len() == 1200));
        assert_eq!(datagrams.concat(), bytes);
    }
}

#[test]
fn a_batch_above_what_ip_carries_is_sent_in_two() {
    let (a, b) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let bytes = pattern(MAX_DATAGRAM);
    assert_eq!(a.send(&to(&b, bytes.len(), Some(1310)), &bytes).unwrap().lost, 0);
    assert_eq!(receive_bytes(&b, bytes.len()).concat(), bytes);
}

#[test]
fn an_impossible_destination_loses_datagrams_and_not_the_segmentation() {
    let (a, b) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let before = a.max_segments();
    let bytes = pattern(3600);
    let nowhere = Transmit { to: "240.0.0.1:9".parse().unwrap(), ..to(&b, bytes.len(), Some(1200)) };
    let sent = a.send(&nowhere, &bytes).unwrap();
    assert_eq!(sent, Sent { bytes: 3600, lost: 3600 });
    assert_eq!(a.lost_bytes(), 3600);
    assert_eq!(a.max_segments(), before);
    assert_eq!(a.send(&to(&b, bytes.len(), Some(1200)), &bytes).unwrap().lost, 0);
    assert_eq!(receive_bytes(&b, bytes.len()).concat(), bytes);
}

#[test]
fn a_datagram_too_large_is_lost_and_the_next_one_goes() {
    let (a, b) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let bytes = pattern(MAX_DATAGRAM);
    assert_eq!(a.send(&to(&b, bytes.len(), None), &bytes).unwrap(), Sent { bytes: MAX_DATAGRAM, lost: MAX_DATAGRAM });
    assert_eq!(a.send(&to(&b, 2, None), b"ok").unwrap().lost, 0);
    assert_eq!(receive(&b).1.len(), 1);
}

#[test]
fn a_refused_port_is_no_error() {
    let (a, gone) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let transmit = to(&gone, 2, None);
    drop(gone);
    for _ in 0..3 {
        a.send(&transmit, b"hi").unwrap();
    }
    assert_eq!(a.receive(&mut UdpBatch::new()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_dual_stack_socket_speaks_plain_ipv4_toward_the_endpoint() {
    let Ok((dual, _)) = UdpIo::bind(SocketId(3), "[::]:0".parse().unwrap()) else { return };
    let v4 = bind("127.0.0.1:0");
    dual.send(&to(&v4, 2, None), b"hi").unwrap();
    let (from, ..) = receive(&v4).1.remove(0);
    assert_eq!(from, format!("127.0.0.1:{}", dual.local_address().port()).parse().unwrap());
    v4.send(&Transmit { to: from, ..to(&v4, 2, None) }, b"yo").unwrap();
    let (back, own, _, data) = receive(&dual).1.remove(0);
    assert_eq!(
        (back, own, data.as_slice()),
        (v4.local_address(), Some("127.0.0.1".parse().unwrap()), b"yo".as_slice())
    );
}

#[test]
fn a_hop_limit_holds_for_one_transmit_only() {
    let (a, b) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let before = sockopt::ip_ttl(a.socket()).unwrap();
    a.send(&Transmit { ttl: Some(3), ..to(&b, 2, None) }, b"hi").unwrap();
    assert_eq!(sockopt::ip_ttl(a.socket()).unwrap(), before);
    assert_eq!(receive(&b).1.len(), 1);
}

#[test]
fn the_kernel_coalesces_what_was_segmented() {
    let (a, b) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    if a.max_segments() == 1 || b.with_state(UdpSocketState::gro_segments) == 1 {
        return;
    }
    let bytes = pattern(1200 * 10);
    a.send(&to(&b, bytes.len(), Some(1200)), &bytes).unwrap();
    let (buffers, arrivals) = receive(&b);
    assert_eq!((buffers, arrivals.len()), (1, 10));
}
