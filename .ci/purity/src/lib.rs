//! Reaches the whole endpoint, registry and beacon from one exported function, so that the linker keeps all of them and shows what they
//! need from outside.

use proto_core::endpoint::TrustCommand;
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Endpoint, Event, Input, NodeId, Sink, SocketId, Timestamp, Transmit, TransmitBuf, drive};
use rendezvous_core::{Beacon, BeaconConfig, Change, Outgoing, Registry, RegistryConfig, Session};
use std::sync::Arc;

struct Drain(Vec<u8>, u64);

impl Sink for Drain {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        Some(TransmitBuf { bytes: &mut self.0, max_segments: 16 })
    }
    fn transmit(&mut self, transmit: Transmit) {
        self.1 += transmit.len as u64;
    }
    fn event(&mut self, event: Event) {
        self.1 += u64::from(matches!(event, Event::Readable(_)));
    }
}

/// Feeds `len` bytes at `data` to a fresh endpoint, registry and beacon in every way there is.
///
/// # Safety
/// `data` points to `len` readable and writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn purity_run(data: *mut u8, len: usize) -> u64 {
    let data = unsafe { core::slice::from_raw_parts_mut(data, len) };
    let crypto = proto_core::crypto::rust_crypto();
    let identity = proto_core::crypto::Identity::from_seed([1; 32]);
    let config = Config { registry: true, ..Config::default() };
    let mut endpoint = Endpoint::new(Arc::new(config), identity, crypto, [2; 32], Timestamp::ZERO);
    let mut drain = Drain(vec![0; 65_536], 0);
    let now = Timestamp::from_micros(1);
    endpoint.handle_input(now, Input::RegistryConnected);
    endpoint.handle_input(now, Input::RegistryData(data));
    endpoint.set_node(now, NodeId(1));
    let target = SocketAddress::new(Address::backbone(NodeId(2)), 7);
    if let Ok(stream) = endpoint.dial(now, target) {
        let _ = endpoint.write(now, stream, data);
        let _ = endpoint.read(now, stream, data);
    }
    endpoint.trust(now, TrustCommand::Request { node: NodeId(2), justification: String::new() });
    let from = core::net::SocketAddr::from(([127, 0, 0, 1], 1));
    endpoint.handle_input(now, Input::Datagram { via: SocketId(0), from, to: None, ecn: None, data });
    endpoint.handle_timeout(now);
    drive(&mut endpoint, now, &mut drain);
    drain.1 + rendezvous(now, from, data)
}

/// The same bytes as a request, as what a store kept and as a datagram.
fn rendezvous(now: Timestamp, from: core::net::SocketAddr, data: &mut [u8]) -> u64 {
    let mut registry = Registry::restore(RegistryConfig::default(), Change::from_value(data).into_iter().collect());
    let outcome = registry.handle_frame(now, 1, &mut Session::new(1, from.ip()), data);
    let (mut beacon, mut sent) = (Beacon::new(BeaconConfig::default()), 0);
    let mut send = |outgoing: Outgoing<'_>| sent += outgoing.bytes.len() as u64;
    beacon.handle_datagram(now, 0, from, data, &registry, &mut send);
    beacon.notify(now, NodeId(1), &mut send);
    beacon.handle_timeout(now, &mut send);
    sent + outcome.reply.len() as u64
}
