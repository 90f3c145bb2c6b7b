//! Operations, carried out.

use super::world::{CLOSED_PORT, CONVALESCENCE, Checked, PORT, World};
use super::{Op, Pair};
use crate::{Flapping, Link};
use proto_core::Timestamp;
use proto_core::endpoint::TrustCommand;
use proto_core::wire::{Address, SocketAddress};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// How long a ping waits.
pub(super) const PING: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(100);

impl World {
    pub(super) fn apply(&mut self, op: Op) -> Checked {
        match op {
            Op::Wait(span) => self.pass(span)?,
            Op::Dial(pair, open) => {
                let (one, other) = self.pair(pair);
                if self.is_awake(one) {
                    self.dial(one, other, if open { PORT } else { CLOSED_PORT });
                }
            }
            Op::Write(conn, len, back) => self.want(conn, u64::from(len), usize::from(back)),
            Op::Finish(conn) => {
                if let Some(index) = self.conn(conn) {
                    self.conns[index].ends[0].finish = true;
                    self.write_end(index, 0);
                }
            }
            Op::Reset(conn, back) => self.let_go(conn, usize::from(back)),
            Op::Rest(conn, rest) => self.rest(conn, rest)?,
            Op::Datagram(pair, len) => self.datagram(pair, usize::from(len)),
            Op::Ping(pair) => {
                let (one, other) = self.pair(pair);
                self.ping(one, other);
            }
            Op::Trust(pair) => {
                let (one, other) = self.pair(pair);
                if self.is_awake(one) {
                    self.trust(one, other);
                }
            }
            Op::Revoke(pair) => self.revoke(pair),
            Op::Intrude(kind, target) => self.intrude(kind, target),
            Op::Attack(attack, which, salt) => self.attack(attack, which, salt),
            Op::Noise(..) | Op::Partition(..) | Op::Flap(..) | Op::Mtu(..) | Op::Rate(..) | Op::Clog(..) | Op::Mend => {
                self.trouble_link(op);
            }
            Op::RebootBox(..) | Op::Crash(..) | Op::Suspend(..) | Op::Jump(..) | Op::Move(..) => self.trouble_host(op),
            Op::Rendezvous(up) => self.rendezvous(up),
            Op::Beacon(up) => {
                if let Some(server) = &mut self.net.rendezvous {
                    server.beacon_down = !up;
                }
                self.excuse_all();
            }
            Op::Stale => {
                if let Some(server) = &mut self.net.rendezvous {
                    server.stale = true;
                }
                self.excuse_all();
            }
        }
        Ok(())
    }

    /// Two different insiders.
    fn pair(&self, (one, other): Pair) -> (usize, usize) {
        let (one, other) = (usize::from(one) % self.insiders, usize::from(other) % self.insiders);
        (one, if one == other { (other + 1) % self.insiders } else { other })
    }

    fn conn(&self, conn: u8) -> Option<usize> {
        usize::from(conn).checked_rem(self.conns.len())
    }

    pub(super) fn is_awake(&self, host: usize) -> bool {
        !self.net.hosts[host].is_asleep()
    }

    /// Something is wrong with the network or with this host.
    pub(super) fn is_troubled(&self, host: usize) -> bool {
        let server_is_well =
            self.net.rendezvous.as_ref().is_some_and(|server| !server.down && !server.beacon_down && !server.stale);
        !self.is_awake(host) || !self.net.links.is_empty() || !server_is_well || self.net.now < self.troubled_until
    }

    pub(super) fn is_trusted_both_ways(&self, one: usize, other: usize) -> bool {
        self.trusts[one][other] && self.trusts[other][one]
    }

    /// Streams may break from here on without that being wrong.
    pub(super) fn excuse_all(&mut self) {
        self.troubled_until = self.net.now + CONVALESCENCE;
        self.conns.iter_mut().for_each(|conn| conn.excused = true);
    }

    fn excuse(&mut self, host: usize) {
        self.troubled_until = self.net.now + CONVALESCENCE;
        let of_host = |conn: &&mut super::streams::Conn| conn.ends.iter().any(|end| end.host == host);
        self.conns.iter_mut().filter(of_host).for_each(|conn| conn.excused = true);
    }

    /// An address that was named to this host before is news to it again.
    fn forgot(&mut self, host: usize) {
        self.wire.forgot([self.net.hosts[host].address.ip(), self.net.outer_address(host)]);
    }

    fn want(&mut self, conn: u8, len: u64, side: usize) {
        let Some(index) = self.conn(conn) else { return };
        let end = &mut self.conns[index].ends[side];
        if !end.finish {
            end.wanted += len;
            self.write_end(index, side);
        }
    }

    fn let_go(&mut self, conn: u8, side: usize) {
        let Some(index) = self.conn(conn) else { return };
        self.conns[index].excused = true;
        let end = self.conns[index].ends[side].clone();
        if let Some(id) = end.id.filter(|_| end.over.is_none() && self.lives[end.host] == end.life)
            && self.is_awake(end.host)
        {
            self.end_is_over(end.host, id, "let go");
        }
    }

    fn rest(&mut self, conn: u8, rest: bool) -> Checked {
        let Some(index) = self.conn(conn) else { return Ok(()) };
        let end = &mut self.conns[index].ends[1];
        end.rests = rest && end.over.is_none();
        let (host, life, id) = (end.host, end.life, end.id);
        match id {
            Some(id) if !rest && self.lives[host] == life => self.read(host, id),
            Some(_) | None => Ok(()),
        }
    }

    fn datagram(&mut self, pair: Pair, len: usize) {
        let (one, other) = self.pair(pair);
        if !self.is_awake(one) {
            return;
        }
        let to = SocketAddress::new(Address::backbone(self.numbers[other]), PORT);
        let data = super::streams::Conn::pattern(0, 0, 0, len);
        if self.net.act(one, |endpoint, now| endpoint.send_datagram(now, to, 0, data)).is_ok() {
            self.datagrams.entry((one, other)).or_default().0 += 1;
        }
    }

    pub(super) fn ping(&mut self, one: usize, other: usize) {
        if self.is_awake(one) {
            let node = self.numbers[other];
            let id = self.net.act(one, |endpoint, now| endpoint.ping(now, node, PING));
            self.pings.insert((one, self.lives[one], id), self.net.now + PING);
        }
    }

    fn revoke(&mut self, pair: Pair) {
        let (one, other) = self.pair(pair);
        if !self.is_awake(one) {
            return;
        }
        let node = self.numbers[other];
        self.excuse(one);
        self.wants[one][other] = false;
        self.parted.extend([(one, other), (other, one)]);
        self.net.act(one, |endpoint, now| endpoint.trust(now, TrustCommand::Revoke(node)));
        self.forgot(one);
    }

    /// The outsider tries what an agent can try with one whose number it guessed.
    fn intrude(&mut self, kind: u8, target: u8) {
        let (outsider, node) = (self.insiders, self.numbers[usize::from(target) % self.insiders]);
        let to = SocketAddress::new(Address::backbone(node), if kind & 1 == 0 { PORT } else { 7 });
        match kind % 3 {
            0 => {
                if let Ok(id) = self.net.act(outsider, |endpoint, now| endpoint.dial(now, to)) {
                    self.mark("intruder_dialled");
                    let _ = id;
                }
            }
            1 => {
                let _ = self.net.act(outsider, |endpoint, now| endpoint.send_datagram(now, to, 0, b"let me in"));
            }
            _ => {
                let id = self.net.act(outsider, |endpoint, now| endpoint.ping(now, node, PING));
                self.pings.insert((outsider, 0, id), self.net.now + PING);
            }
        }
    }

    fn rendezvous(&mut self, up: bool) {
        let down = self.net.rendezvous.as_ref().is_some_and(|server| server.down);
        self.excuse_all();
        match (up, down) {
            (true, true) => self.net.start_rendezvous(),
            (false, false) => self.net.stop_rendezvous(),
            (true, false) | (false, true) => {}
        }
    }

    /// Nothing from the first to the second host arrives any more.
    pub(super) fn partition(&mut self, one: usize, other: usize) {
        self.excuse_all();
        self.net.set_link(one, other, Link::down());
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the caller passes operations on links only")]
    fn trouble_link(&mut self, op: Op) {
        self.excuse_all();
        let plain = self.net.link;
        let percent = u64::from;
        let mut set = |pair: Pair, link: Link| {
            let (one, other) = self.pair(pair);
            self.net.set_link(one, other, link);
        };
        match op {
            Op::Noise(pair, [loss, reorder, duplicate]) => {
                let (loss, reorder, duplicate) = (percent(loss), percent(reorder), percent(duplicate));
                set(pair, Link { loss, reorder, duplicate, jitter: plain.delay / 4, ..plain });
            }
            Op::Partition((one, other), both) => {
                set((one, other), Link::down());
                if both {
                    let (one, other) = self.pair((one, other));
                    self.net.set_link(other, one, Link::down());
                }
            }
            Op::Flap(pair, ticks) => {
                let up = TICK * u32::from(ticks);
                set(pair, Link { flapping: Some(Flapping { period: up * 2, up }), ..plain });
            }
            Op::Mtu(pair, bytes) => set(pair, Link { mtu: Some(usize::from(bytes)), ..plain }),
            Op::Rate(pair, tens) => set(pair, Link { rate: Some(u64::from(tens) * 10_000), queue: 50_000, ..plain }),
            Op::Clog(pair, ticks) => {
                let (one, other) = self.pair(pair);
                self.net.clog(one, other, TICK * u32::from(ticks));
            }
            _ => self.net.links.clear(),
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the caller passes operations on hosts and boxes only")]
    fn trouble_host(&mut self, op: Op) {
        match op {
            Op::RebootBox(nat, renumber) => {
                let Some(index) = usize::from(nat).checked_rem(self.net.boxes.len()) else { return };
                self.excuse_all();
                let external = self.net.boxes[index].external;
                match (external, renumber && self.net.boxes[index].behind.is_none()) {
                    (IpAddr::V4(ip), true) => {
                        let [a, b, c, d] = ip.octets();
                        self.net.renumber(index, Ipv4Addr::new(a, b, c, d.wrapping_add(50)).into());
                    }
                    _ => self.net.boxes[index].reboot(),
                }
            }
            Op::Crash(host, ticks, with_state) => {
                let host = usize::from(host) % self.insiders;
                if self.is_awake(host) {
                    self.crash(host, self.net.now + TICK * u32::from(ticks), with_state);
                }
            }
            Op::Suspend(host, ticks) => {
                let host = usize::from(host) % self.insiders;
                if self.is_awake(host) {
                    self.excuse(host);
                    self.net.suspend(host, TICK * u32::from(ticks));
                }
            }
            Op::Jump(host, seconds) => {
                let host = usize::from(host) % self.insiders;
                self.excuse(host);
                self.net.jump_clock(host, i64::from(seconds) * 1_000_000);
                self.forgot(host);
                if self.is_awake(host) {
                    self.net.jump_wall_clock(host, i64::from(seconds));
                }
            }
            Op::Move(host) => self.walk(usize::from(host) % self.insiders),
            _ => {}
        }
    }

    /// To another address of the same network.
    fn walk(&mut self, host: usize) {
        self.excuse(host);
        if let IpAddr::V4(ip) = self.net.hosts[host].address.ip()
            && self.is_awake(host)
        {
            let [a, b, c, d] = ip.octets();
            let behind = self.net.hosts[host].behind;
            self.net.move_host(host, Ipv4Addr::new(a, b, c, d.wrapping_add(40).max(1)).into(), behind);
        }
    }

    fn crash(&mut self, host: usize, until: Timestamp, with_state: bool) {
        self.excuse(host);
        self.net.crash(host);
        self.forgot(host);
        self.lives[host] += 1;
        self.revivals.insert((until, host), with_state);
        for end in self.conns.iter_mut().flat_map(|conn| &mut conn.ends).filter(|end| end.host == host) {
            end.over.get_or_insert_with(|| "its host ended".to_owned());
        }
        let life = self.lives[host];
        self.pings.retain(|(pinger, of, _), _| *pinger != host || *of == life);
    }

    /// A host's process is there again.
    pub(super) fn revive(&mut self, host: usize, with_state: bool) {
        self.net.revive(host, with_state);
        let _ = self.net.act(host, |endpoint, _| endpoint.listen(PORT));
        if !with_state {
            self.trusts[host].fill(false);
        }
        self.mark(if with_state { "revived" } else { "revived_without_state" });
    }
}
