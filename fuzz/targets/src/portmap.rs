//! PCP and NAT-PMP, and the machine that keeps a port mapped.

use crate::script::Script;
use core::fmt::Debug;
use core::time::Duration;
use proto_core::Timestamp;
use proto_core::nat::{Gateway, PortMapper, UpnpAnswer};
use proto_core::rng::Rng;
use proto_core::wire::nat_pmp::{NatPmpReply, NatPmpRequest};
use proto_core::wire::pcp::{PcpReply, PcpRequest};
use proto_core::wire::{EmitError, ParseError};
use std::net::SocketAddr;

/// A message is written so that it is read as the same; nothing is a request and a reply.
pub fn port_mapping(data: &[u8]) {
    let (asked, told) = (PcpRequest::parse(data), PcpReply::parse(data));
    assert!(asked.is_err() || told.is_err());
    same(data, asked, PcpRequest::parse, |value, out| value.emit(out));
    same(data, told, PcpReply::parse, |value, out| value.emit(out));
    same(data, NatPmpRequest::parse(data), NatPmpRequest::parse, |value, out| value.emit(out));
    same(data, NatPmpReply::parse(data), NatPmpReply::parse, |value, out| value.emit(out));
}

fn same<T: Copy + Debug + PartialEq>(
    data: &[u8],
    parsed: Result<T, ParseError>,
    parse: fn(&[u8]) -> Result<T, ParseError>,
    emit: fn(&T, &mut [u8]) -> Result<usize, EmitError>,
) {
    let Ok(value) = parsed else { return };
    let mut out = vec![0; data.len()];
    let len = emit(&value, &mut out).unwrap();
    assert_eq!(parse(&out[..len]), Ok(value));
}

/// Whatever a router says: each input is answered by few questions, no due timer stays, and only a mapping that was granted is told.
pub fn port_mapper(data: &[u8]) {
    let mut mapper = PortMapper::new(Rng::new([7; 32]), data.len() & 1 == 0);
    let mut now = Timestamp::from_micros(1_000_000);
    let mut script = Script::new(data);
    let router = SocketAddr::from(([192, 168, 0, 1], 5351));
    let mut question = Vec::new();
    while !script.is_over() {
        match script.u8() {
            0..=0x1F => mapper.set_gateway(now, gateway(script.u8())),
            0x20..=0x2F => mapper.check(now),
            0x30..=0x33 => mapper.release(),
            0x34..=0x3F => {
                let (told, answer) = (gateway(script.u8()), upnp_answer(script.u8()));
                told.map(|told| mapper.handle_upnp(now, told, answer));
            }
            0x40..=0x5F => drop(mapper.handle_reply(now, router, script.chunk())),
            0x60..=0xBF => drop(mapper.handle_reply(now, router, &answer(&question, &mut script))),
            _ => {
                now = now + Duration::from_millis(1 << (script.u8() % 24));
                mapper.handle_timeout(now);
                assert!(mapper.poll_timeout().is_none_or(|at| at > now), "a due timer was not moved");
            }
        }
        let mut sent = 0;
        while let Some(action) = mapper.poll_action() {
            question = action.bytes;
            sent += 1;
            assert!(sent <= 8, "endless questions");
        }
        while mapper.poll_event().is_some() {}
        assert!(mapper.mapped().is_none_or(|mapped| mapped.0.port() != 0));
    }
}

fn gateway(choice: u8) -> Option<Gateway> {
    let socket = SocketAddr::from(([192, 168, 0, 2 + (choice & 1)], 4000));
    (choice & 6 != 6).then_some(Gateway { address: [192, 168, 0, 1].into(), socket })
}

fn upnp_answer(choice: u8) -> UpnpAnswer {
    match choice {
        0..=0x1F => UpnpAnswer::Silence,
        0x20..=0x3F => UpnpAnswer::Refused,
        // No port, no address, or both now and then.
        _ => UpnpAnswer::Mapped(SocketAddr::from(([choice & 4, 0, 0, 0], u16::from(choice & 3)))),
    }
}

/// The answer to the last question: granted, with some bytes of the script in it.
fn answer(question: &[u8], script: &mut Script<'_>) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes.resize(bytes.len().max(24), 0);
    if let Some(opcode) = bytes.get_mut(1) {
        *opcode |= 0x80;
    }
    for _ in 0..script.u8() & 3 {
        let (at, value) = (usize::from(script.u8()) % bytes.len(), script.u8());
        bytes[at] = value;
    }
    bytes
}
