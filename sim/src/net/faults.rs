//! What goes wrong with hosts, clocks, links and the rendezvous.

use super::agents::{identity, start};
use super::{Arrival, Link, Net, Place};
use proto_core::{Config, Endpoint, Input, SocketId};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

impl Net {
    /// A process of a host without rendezvous ends without a word and another one takes its place, with the same identity.
    pub fn restart(&mut self, index: usize, config: Config, seed: u8) {
        let count = self.hosts.len();
        let now = self.hosts[index].clock(self.now);
        self.hosts[index].endpoint = start(index, count, config.clone(), true, [seed; 32], now);
        self.hosts[index].config = config;
        self.hosts[index].events.clear();
        self.hosts[index].asleep = false;
        self.hosts[index].missed.clear();
        self.close_sockets(index);
    }

    /// A host's process ends without a word. [`Self::revive`] starts another one.
    pub fn crash(&mut self, index: usize) {
        self.hosts[index].asleep = true;
        self.hosts[index].missed.clear();
        self.hosts[index].pipe += 1;
        self.close_sockets(index);
    }

    /// An agent's process is there again, with the same identity; `with_state`: with whom it trusts as well.
    pub fn revive(&mut self, index: usize, with_state: bool) {
        self.crash(index);
        let (seed, crypto) = (self.rng.bytes(), self.crypto);
        let host = &mut self.hosts[index];
        let (now, config) = (host.clock(self.now), Arc::new(host.config.clone()));
        let trust = host.endpoint.trust_snapshot();
        host.endpoint = Endpoint::new(config, identity(index), crypto, seed, now);
        if with_state {
            host.endpoint.restore_trust(trust);
        }
        host.events.clear();
        host.asleep = false;
        self.introduce(index);
    }

    /// As [`Self::revive`], with its first socket at another port.
    pub fn revive_at(&mut self, index: usize, with_state: bool, port: u16) {
        self.hosts[index].address.set_port(port);
        self.hosts[index].sockets.insert(SocketId(0), port);
        self.revive(index, with_state);
    }

    /// A host sleeps for `span`: no timer runs and no datagram is heard. It wakes, reads what its registry connection brought, and says so.
    pub fn suspend(&mut self, index: usize, span: Duration) {
        self.hosts[index].asleep = true;
        self.schedule(self.now + span, Arrival::Wake { host: index });
    }

    pub(super) fn wake(&mut self, index: usize) {
        self.hosts[index].asleep = false;
        for missed in std::mem::take(&mut self.hosts[index].missed) {
            self.arrive(missed);
        }
        let pipe = self.hosts[index].pipe;
        // The other end gave up on a connection that nobody read from.
        self.schedule_registry(index, Arrival::RegistryLost { host: index, pipe });
        let wall = self.hosts[index].wall(self.now);
        self.tell(index, Input::WallClock(wall));
        self.tell(index, Input::NetworkChanged);
    }

    /// A host's monotonic clock jumps, by this many microseconds.
    pub fn jump_clock(&mut self, index: usize, micros: i64) {
        self.hosts[index].skew += micros;
    }

    /// A host's wall clock jumps, by this many seconds, and it is told.
    pub fn jump_wall_clock(&mut self, index: usize, seconds: i64) {
        self.hosts[index].wall_skew += seconds;
        let wall = self.hosts[index].wall(self.now);
        self.tell(index, Input::WallClock(wall));
    }

    /// A host is at another place of the network from now on, with `address` and the port it had, and is told. Its registry connection,
    /// which had the old address, breaks.
    pub fn move_host(&mut self, index: usize, address: IpAddr, behind: Option<usize>) {
        let host = &mut self.hosts[index];
        host.address.set_ip(address);
        host.behind = behind;
        let locals = host.local_addresses();
        self.break_registry(index);
        self.tell(index, Input::LocalAddresses(&locals));
        self.tell(index, Input::NetworkChanged);
    }

    /// A box forgets everything and has another external address, as after a reconnection. Registry connections through it break.
    pub fn renumber(&mut self, nat: usize, external: IpAddr) {
        self.boxes[nat].reboot();
        self.boxes[nat].external = external;
        for host in 0..self.hosts.len() {
            if self.chain(host).contains(&nat) {
                self.break_registry(host);
            }
        }
    }

    /// What the open network does to datagrams from one host to another from now on, seen from outside of their boxes.
    pub fn set_link(&mut self, from: usize, to: usize, link: Link) {
        for (from, to) in self.outer_pairs(from, to) {
            self.links.insert((from, to), link);
        }
    }

    /// Nothing sent from one host to another arrives before `span` is over; then all of it does.
    pub fn clog(&mut self, from: usize, to: usize, span: Duration) {
        let until = self.now + span;
        for (from, to) in self.outer_pairs(from, to) {
            self.states.entry((Place::OPEN, from, to)).or_default().clogged = until;
        }
    }

    /// Links are again what [`Self::link`] says, nothing is cut off or clogged, and the rendezvous is there.
    pub fn heal(&mut self) {
        self.links.clear();
        self.states.clear();
        self.cut.clear();
        if let Some(server) = &mut self.rendezvous {
            server.heal();
        }
    }

    fn outer_pairs(&self, from: usize, to: usize) -> Vec<(IpAddr, IpAddr)> {
        let ipv6 = |host: usize| self.hosts[host].ipv6.map(IpAddr::from);
        let v6 = ipv6(from).zip(ipv6(to));
        std::iter::once((self.outer_address(from), self.outer_address(to))).chain(v6).collect()
    }

    /// The box right before a host forwards a port to its first socket, and the host is told. Returns the external address.
    pub fn map_port(&mut self, index: usize) -> Option<SocketAddr> {
        let (address, behind) = (self.hosts[index].address, self.hosts[index].behind);
        let external = self.boxes[behind?].map_port(address.port(), address)?;
        self.tell(index, Input::PortMapped { via: SocketId(0), external });
        Some(external)
    }

    /// A host's registry connection breaks.
    pub fn break_registry(&mut self, index: usize) {
        let pipe = self.hosts[index].pipe;
        self.schedule_registry(index, Arrival::RegistryLost { host: index, pipe });
    }

    /// The rendezvous ends without a word: every connection to it breaks.
    pub fn stop_rendezvous(&mut self) {
        if let Some(server) = &mut self.rendezvous {
            server.down = true;
        }
        for host in 0..self.hosts.len() {
            self.break_registry(host);
        }
    }

    /// It starts again with what it had stored.
    pub fn start_rendezvous(&mut self) {
        if let Some(server) = &mut self.rendezvous {
            server.restart();
            server.down = false;
        }
    }
}
