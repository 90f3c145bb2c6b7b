//! What a site's router does with packets, in nftables. Classes are those of RFC 4787: mapping x filtering.
//!
//! What is refused is dropped in silence: a refusal that leaves a conntrack entry would spoil the peer's own mapping.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// How a site reaches the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// A public address, nothing in between.
    Open,
    /// A router that keeps ports and lets everybody send to a port that was used ("full cone").
    FullCone,
    /// A router with `masquerade`: keeps ports, so every destination sees the same one; lets only answers in ("port-restricted").
    Masquerade,
    /// A router that gives every flow the next port, and lets only answers in ("symmetric", predictable).
    Sequential,
    /// A router with `masquerade random,fully-random`: every destination sees another port ("symmetric").
    FullyRandom,
    /// A [`Self::FullyRandom`] router that lets in what it was asked to forward ([`crate::igd`]).
    Forwarding,
    /// A [`Self::Masquerade`] router behind another one, as behind a carrier's NAT.
    Double,
}

/// First external port of [`Access::Sequential`], and how many there are.
const SEQUENTIAL: (u16, u16) = (20_000, 2_048);

impl Access {
    /// Whether a site has a router of its own.
    #[must_use]
    pub const fn has_router(self) -> bool {
        !matches!(self, Self::Open)
    }

    /// The rules of the router with this outside address. `eth0` is outside; everything else inside.
    pub(crate) fn rules(self, outside: Ipv4Addr) -> String {
        let source = match self {
            Self::Open => String::new(),
            Self::FullCone | Self::Masquerade | Self::Double => "masquerade".to_owned(),
            Self::Sequential => sequential(outside),
            Self::FullyRandom | Self::Forwarding => "masquerade random,fully-random".to_owned(),
        };
        match self {
            Self::FullCone => full_cone(outside),
            Self::Forwarding => answers_only(&source, "ct status & dnat == 0"),
            Self::Open | Self::Masquerade | Self::Sequential | Self::FullyRandom | Self::Double => {
                answers_only(&source, "")
            }
        }
    }
}

/// Everything may leave under the router's address, only answers may come in, and of the rest what is not `refused`.
fn answers_only(source: &str, refused: &str) -> String {
    format!(
        "table ip lab {{
            counter refused {{ }}
            chain input {{
                type filter hook input priority filter; policy accept;
                iifname \"eth0\" ct state new,invalid counter name refused drop
            }}
            chain forward {{
                type filter hook forward priority filter; policy accept;
                iifname \"eth0\" ct state new,invalid {refused} counter name refused drop
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat; policy accept;
                oifname \"eth0\" {source}
            }}
        }}"
    )
}

/// The kernel begins at a random port when it has to choose, so the ports of UDP are counted out here.
fn sequential(outside: Ipv4Addr) -> String {
    let (first, count) = SEQUENTIAL;
    let mut rule = format!("meta l4proto udp snat to {outside} : numgen inc mod {count} map {{ ");
    for step in 0..count {
        let _ = write!(rule, "{step} : {}, ", first + step);
    }
    rule + "}\n oifname \"eth0\" masquerade"
}

/// A port that an inside host has sent from is its own, for everybody, from inside too (hairpinning, RFC 4787 REQ-9). Inside hosts do not
/// reach each other otherwise.
fn full_cone(outside: Ipv4Addr) -> String {
    format!(
        "table ip lab {{
            counter refused {{ }}
            map owner {{ type inet_service : ipv4_addr; flags dynamic,timeout; timeout 5m; size 4096; }}
            chain prerouting {{
                type nat hook prerouting priority dstnat; policy accept;
                ip daddr {outside} udp dport @owner dnat to udp dport map @owner
            }}
            chain input {{
                type filter hook input priority filter; policy accept;
                ip daddr {outside} ct state new,invalid counter name refused drop
            }}
            chain forward {{
                type filter hook forward priority filter; policy accept;
                iifname \"eth0\" ct state new,invalid ct status & dnat == 0 counter name refused drop
                iifname != \"eth0\" oifname != \"eth0\" ct status & dnat == 0 counter name refused drop
                oifname \"eth0\" meta l4proto udp update @owner {{ udp sport : ip saddr }}
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat; policy accept;
                oifname \"eth0\" masquerade
                iifname != \"eth0\" ct status & dnat == dnat snat to {outside}
            }}
        }}"
    )
}
