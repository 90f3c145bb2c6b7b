//! Decides which router this host would ask for a port: the IPv4 default gateway, and which address the host has toward it. Refuses to
//! ask it anything.
//!
//! Linux tells its routes in `/proc/net/route`. On other systems no gateway is found, and no port is asked for.

use proto_core::nat::{GATEWAY_PORT, Gateway};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// The default gateway, for a socket bound to `bound`. `None` without one, for a socket that cannot reach it (bound to loopback, or to
/// one IPv6 address), and on systems whose routes are not known how to read.
#[must_use]
pub fn default_gateway(bound: SocketAddr) -> Option<Gateway> {
    let address = IpAddr::V4(first_default(&routes()?)?);
    let source = source_toward(address, bound)?;
    Some(Gateway { address, socket: SocketAddr::new(source, bound.port()) })
}

#[cfg(target_os = "linux")]
fn routes() -> Option<String> {
    std::fs::read_to_string("/proc/net/route").ok()
}

#[cfg(not(target_os = "linux"))]
fn routes() -> Option<String> {
    None
}

/// The gateway of the default route with the smallest metric.
fn first_default(table: &str) -> Option<Ipv4Addr> {
    /// The route is usable; it leads through a gateway (`linux/route.h`).
    const UP_GATEWAY: u32 = 0x1 | 0x2;
    let routes = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let hex = |place: usize| u32::from_str_radix(fields.get(place)?, 16).ok();
        let (destination, gateway, flags, mask) = (hex(1)?, hex(2)?, hex(3)?, hex(7)?);
        let metric: u32 = fields.get(6)?.parse().ok()?;
        let default = destination == 0 && mask == 0 && flags & UP_GATEWAY == UP_GATEWAY && gateway != 0;
        // The kernel prints the four bytes of the address as one number of this machine.
        default.then(|| (metric, Ipv4Addr::from(gateway.to_ne_bytes())))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

/// The address that datagrams from `bound` to `gateway` carry.
fn source_toward(gateway: IpAddr, bound: SocketAddr) -> Option<IpAddr> {
    let bound = bound.ip().to_canonical();
    if !bound.is_unspecified() {
        return Some(bound).filter(|ip| ip.is_ipv4() && !ip.is_loopback());
    }
    // Connecting a UDP socket sends nothing; the kernel chooses the source.
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    probe.connect((gateway, GATEWAY_PORT)).ok()?;
    Some(probe.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    fn hex(address: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(address))
    }

    #[test]
    fn the_default_route_with_the_smallest_metric_is_taken() {
        let (near, far) = (hex([192, 168, 1, 1]), hex([10, 0, 0, 1]));
        let table = [
            HEAD.to_owned(),
            format!("wlan0\t00000000\t{far}\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"),
            format!("eth0\t00000000\t{near}\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"),
            format!("eth0\t{}\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", hex([192, 168, 1, 0])),
        ]
        .concat();
        assert_eq!(first_default(&table), Some(Ipv4Addr::new(192, 168, 1, 1)));
    }

    #[test]
    fn no_gateway_is_no_gateway() {
        let near = hex([192, 168, 1, 1]);
        for line in [
            "",
            "eth0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n",
            &format!("eth0\t00000000\t{near}\t0002\t0\t0\t0\t00000000\t0\t0\t0\n"),
            &format!("eth0\t00000000\t{near}\t0003\t0\t0\t0\t00000080\t0\t0\t0\n"),
            "eth0\tzz\n",
        ] {
            assert_eq!(first_default(&format!("{HEAD}{line}")), None, "{line}");
        }
    }

    #[test]
    fn a_socket_that_cannot_reach_it_has_no_gateway() {
        let gateway = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));
        let source = |bound: &str| source_toward(gateway, bound.parse().unwrap());
        assert_eq!(source("127.0.0.1:9"), None);
        assert_eq!(source("[2001:db8::1]:9"), None);
        assert_eq!(source("192.168.1.7:9"), Some(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7))));
    }
}
