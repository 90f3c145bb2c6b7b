//! NAT-PMP and PCP: bytes as the RFCs draw them, round trips, and damaged input.

use super::super::nat_pmp::NatPmpMapping;
use super::super::pcp::PcpMapping;
use super::*;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::num::{NonZeroU8, NonZeroU16};

fn nat_pmp_mapping() -> impl Strategy<Value = NatPmpMapping> {
    (any::<(u16, u16)>(), any::<u32>()).prop_map(|((internal_port, external_port), lifetime)| NatPmpMapping {
        internal_port,
        external_port,
        lifetime,
    })
}

fn nat_pmp_request() -> impl Strategy<Value = NatPmpRequest> {
    prop_oneof![Just(NatPmpRequest::ExternalAddress), nat_pmp_mapping().prop_map(NatPmpRequest::Map)]
}

fn nat_pmp_reply() -> impl Strategy<Value = NatPmpReply> {
    prop_oneof![
        any::<(u32, Ipv4Addr)>().prop_map(|(epoch, address)| NatPmpReply::ExternalAddress { epoch, address }),
        (any::<u32>(), nat_pmp_mapping()).prop_map(|(epoch, mapping)| NatPmpReply::Map { epoch, mapping }),
        (0u8..128, any::<NonZeroU16>(), any::<u32>()).prop_map(|(opcode, result, epoch)| NatPmpReply::Refused {
            opcode,
            result,
            epoch
        }),
    ]
}

fn pcp_mapping() -> impl Strategy<Value = PcpMapping> {
    any::<([u8; 12], u8, u16, u16, Ipv6Addr)>().prop_map(
        |(nonce, protocol, internal_port, external_port, external_address)| PcpMapping {
            nonce,
            protocol,
            internal_port,
            external_port,
            external_address,
        },
    )
}

fn pcp_request() -> impl Strategy<Value = PcpRequest> {
    prop_oneof![
        any::<Ipv6Addr>().prop_map(|client| PcpRequest::Announce { client }),
        (any::<(Ipv6Addr, u32)>(), pcp_mapping()).prop_map(|((client, lifetime), mapping)| PcpRequest::Map {
            client,
            lifetime,
            mapping
        }),
    ]
}

fn pcp_reply() -> impl Strategy<Value = PcpReply> {
    prop_oneof![
        any::<u32>().prop_map(|epoch| PcpReply::Announce { epoch }),
        (any::<(u32, u32)>(), pcp_mapping()).prop_map(|((epoch, lifetime), mapping)| PcpReply::Map {
            epoch,
            lifetime,
            mapping
        }),
        (0u8..128, any::<NonZeroU8>(), any::<(u32, u32)>(), option::of(any::<[u8; 12]>())).prop_map(
            |(opcode, result, (epoch, lifetime), nonce)| PcpReply::Refused { opcode, result, epoch, lifetime, nonce }
        ),
    ]
}

/// Writes into a buffer of exactly the right size, and into none that is shorter.
fn emitted(emit: impl Fn(&mut [u8]) -> Result<usize, EmitError>) -> Vec<u8> {
    let mut out = vec![0; 128];
    let len = emit(&mut out).unwrap();
    out.truncate(len);
    assert_eq!(emit(&mut vec![0; len]), Ok(len));
    for short in 0..len {
        assert_eq!(emit(&mut vec![0; short]), Err(EmitError::BufferTooSmall));
    }
    out
}

proptest! {
    #[test]
    fn messages_round_trip(a in nat_pmp_request(), b in nat_pmp_reply(), c in pcp_request(), d in pcp_reply()) {
        prop_assert_eq!(NatPmpRequest::parse(&emitted(|out| a.emit(out))), Ok(a));
        prop_assert_eq!(NatPmpReply::parse(&emitted(|out| b.emit(out))), Ok(b));
        prop_assert_eq!(PcpRequest::parse(&emitted(|out| c.emit(out))), Ok(c));
        prop_assert_eq!(PcpReply::parse(&emitted(|out| d.emit(out))), Ok(d));
    }

    #[test]
    fn any_bytes_are_an_error_or_a_value_that_round_trips(mut bytes in vec(any::<u8>(), 0..80), version in 0u8..3) {
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        if let Ok(value) = NatPmpRequest::parse(&bytes) {
            prop_assert_eq!(NatPmpRequest::parse(&emitted(|out| value.emit(out))), Ok(value));
        }
        if let Ok(value) = NatPmpReply::parse(&bytes) {
            prop_assert_eq!(NatPmpReply::parse(&emitted(|out| value.emit(out))), Ok(value));
        }
        if let Ok(value) = PcpRequest::parse(&bytes) {
            prop_assert_eq!(PcpRequest::parse(&emitted(|out| value.emit(out))), Ok(value));
        }
        if let Ok(value) = PcpReply::parse(&bytes) {
            prop_assert_eq!(PcpReply::parse(&emitted(|out| value.emit(out))), Ok(value));
        }
    }

    #[test]
    fn a_message_cut_short_is_refused(b in nat_pmp_reply(), d in pcp_reply()) {
        let (b, d) = (emitted(|out| b.emit(out)), emitted(|out| d.emit(out)));
        for len in 0..b.len() {
            prop_assert_eq!(NatPmpReply::parse(&b[..len]), Err(ParseError::Truncated));
        }
        for len in 0..d.len().min(24) {
            prop_assert_eq!(PcpReply::parse(&d[..len]), Err(ParseError::Truncated));
        }
    }
}

/// The layouts of RFC 6886 sections 3.2 and 3.3.
#[test]
fn nat_pmp_bytes_are_those_of_the_rfc() {
    assert_eq!(emitted(|out| NatPmpRequest::ExternalAddress.emit(out)), hex!("0000"));
    let address = NatPmpReply::ExternalAddress { epoch: 0x0102_0304, address: Ipv4Addr::new(203, 0, 113, 7) };
    assert_eq!(emitted(|out| address.emit(out)), hex!("0080 0000 01020304 cb007107"));
    let mapping = NatPmpMapping { internal_port: 4000, external_port: 4001, lifetime: 7200 };
    let asked = emitted(|out| NatPmpRequest::Map(mapping).emit(out));
    assert_eq!(asked, hex!("0001 0000 0fa0 0fa1 00001c20"));
    let granted = emitted(|out| NatPmpReply::Map { epoch: 9, mapping }.emit(out));
    assert_eq!(granted, hex!("0081 0000 00000009 0fa0 0fa1 00001c20"));
    // Section 3.5: a router that knows no other version says so in eight bytes.
    let refused = NatPmpReply::parse(&hex!("0081 0001 00000009"));
    assert_eq!(refused, Ok(NatPmpReply::Refused { opcode: 1, result: NonZeroU16::new(1).unwrap(), epoch: 9 }));
    assert_eq!(NatPmpReply::parse(&hex!("0001 0000 0fa0 0fa1 00001c20")), Err(ParseError::Malformed), "a request");
    assert_eq!(NatPmpReply::parse(&hex!("0283 0000 00000009")), Err(ParseError::Version(2)));
    assert_eq!(NatPmpRequest::parse(&hex!("0002 0000 0fa0 0fa1 00001c20")), Err(ParseError::Unsupported), "TCP");
}

/// The layouts of RFC 6887 sections 7.1, 7.2 and 11.1.
#[test]
fn pcp_bytes_are_those_of_the_rfc() {
    let client = Ipv4Addr::new(192, 168, 1, 2).to_ipv6_mapped();
    let mapping = PcpMapping {
        nonce: *b"abcdefghijkl",
        protocol: 17,
        internal_port: 4000,
        external_port: 4001,
        external_address: Ipv4Addr::new(203, 0, 113, 7).to_ipv6_mapped(),
    };
    let data = hex!("6162636465666768696a6b6c 11 000000 0fa0 0fa1 00000000000000000000ffffcb007107");
    let head = hex!("02 01 0000 00001c20 00000000000000000000ffffc0a80102");
    let asked = emitted(|out| PcpRequest::Map { client, lifetime: 7200, mapping }.emit(out));
    assert_eq!(asked, [&head[..], &data].concat());
    let head = hex!("02 81 00 00 00000e10 00000009 000000000000000000000000");
    let granted = PcpReply::Map { epoch: 9, lifetime: 3600, mapping };
    assert_eq!(emitted(|out| granted.emit(out)), [&head[..], &data].concat());
    // Section 7.3: options follow; a client that sent none ignores them.
    let option = hex!("03 00 0004 deadbeef");
    assert_eq!(PcpReply::parse(&[&head[..], &data, &option].concat()), Ok(granted));
    let refused =
        PcpReply::parse(&[&hex!("02 81 00 0c 0000001e 00000009 000000000000000000000000")[..], &data].concat());
    let result = NonZeroU8::new(12).unwrap();
    let nonce = Some(mapping.nonce);
    assert_eq!(refused, Ok(PcpReply::Refused { opcode: 1, result, epoch: 9, lifetime: 30, nonce }));
    assert_eq!(PcpReply::parse(&asked), Err(ParseError::Malformed), "a request");
    assert_eq!(PcpReply::parse(&vec![2; 1101]), Err(ParseError::TooLong));
}
