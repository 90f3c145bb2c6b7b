//! The end of a scenario: all is made well, and then everything must finish, agree, and fall silent.

use super::streams::Conn;
use super::world::{CONVALESCENCE, Checked, PORT, World};
use crate::{Rung, possible};
use proto_core::endpoint::{PathKind, RelayReason};
use proto_core::limits::SPRAY_PAUSE;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// A host that slept or crashed is there again, and registered.
const RETURN: Duration = Duration::from_secs(90);
/// Streams end, well or by their timeouts.
const END: Duration = Duration::from_secs(240);
/// Fresh streams between those that trust each other.
const TALK: Duration = Duration::from_secs(60);
/// Pings at intervals of 3 s until searches are over: each takes 14 s, and one host does one at a time.
const ROUNDS: usize = 40;
/// Peers without streams are not maintained any more after this.
const CALM: Duration = Duration::from_secs(200);
/// Datagrams of one idle host in a minute: the beacon every 20 s and from two ports, and what a registry says besides.
const IDLE_DATAGRAMS: u64 = 30;

impl World {
    /// # Errors
    /// What does not end.
    pub(super) fn settle(&mut self) -> Checked {
        self.heal()?;
        self.finish_streams()?;
        self.talk()?;
        self.agree_on_paths()?;
        self.be_silent()
    }

    fn heal(&mut self) -> Checked {
        let down = self.net.rendezvous.as_ref().is_some_and(|server| server.down);
        if down {
            self.net.start_rendezvous();
        }
        self.net.heal();
        let well = |world: &mut Self| {
            let up = |host: &crate::Host| !host.is_asleep() && host.endpoint.status().registered;
            world.revivals.is_empty() && world.net.hosts.iter().all(up)
        };
        self.pass_until(RETURN, "return of every host", well)?;
        // A box that forgot its host is open for the beacon again when the host speaks, and the registry hears again whom hosts trust.
        self.pass(CONVALESCENCE)
    }

    fn finish_streams(&mut self) -> Checked {
        for index in 0..self.conns.len() {
            self.conns[index].ends[0].finish = true;
            for side in [0, 1] {
                let end = &mut self.conns[index].ends[side];
                end.rests = false;
                if let (Some(id), None, host) = (end.id, &end.over, end.host) {
                    self.read(host, id)?;
                }
                self.write_end(index, side);
            }
        }
        let ended = |world: &mut Self| world.conns.iter().all(Conn::is_over) && world.pings.is_empty();
        if !self.reaches(END, ended)? {
            let open = self.conns.iter().enumerate().find(|(_, conn)| !conn.is_over());
            return Err(format!("no end within {END:?}: stream {open:?}, pings {:?}", self.pings));
        }
        let wrong = self.conns.iter().enumerate().find(|(_, conn)| !conn.excused && !conn.is_whole());
        wrong.map_or(Ok(()), |(index, conn)| Err(format!("stream {index} did not go through: {conn:?}")))
    }

    /// Not those who parted and made up: what the registry says of them may lag behind what they say.
    fn friends(&self) -> Vec<(usize, usize)> {
        let still =
            |one: usize, other: usize| self.is_trusted_both_ways(one, other) && !self.parted.contains(&(one, other));
        self.pairs().into_iter().filter(|(one, other)| still(*one, *other)).collect()
    }

    /// A fresh stream between all that trust each other: whatever happened, it works again.
    fn talk(&mut self) -> Checked {
        let first = self.conns.len();
        for (one, other) in self.friends() {
            if let Some(index) = self.dial(one, other, PORT) {
                (self.conns[index].ends[0].wanted, self.conns[index].ends[0].finish) = (5_000, true);
                self.conns[index].excused = false;
            }
        }
        let ended = |world: &mut Self| world.conns.iter().skip(first).all(Conn::is_over);
        self.reaches(TALK, ended)?;
        let wrong = self.conns.iter().enumerate().skip(first).find(|(_, conn)| !conn.is_over() || !conn.is_whole());
        wrong.map_or(Ok(()), |(index, conn)| Err(format!("fresh stream {index} did not go through: {conn:?}")))
    }

    /// Every pair that trusts each other and talks is on the best path that the boxes allow.
    fn agree_on_paths(&mut self) -> Checked {
        let firm = [Rung::Lan, Rung::Punch];
        let settled = |world: &Self, one: usize, other: usize| {
            let could = firm.into_iter().any(|rung| possible(&world.net, one, other, rung));
            world.path(one, other).is_some_and(|path| path != PathKind::Relay || !could)
        };
        self.ping_until(20, 3 * SECOND, settled)?;
        self.search_for_ports()
    }

    /// Pairs that only a search for ports leads to a direct path have found one, or one of the two says that it searched in vain. What it
    /// searched before all was well counts for nothing: it rests for an hour and searches once more.
    fn search_for_ports(&mut self) -> Checked {
        let needed = |world: &Self, one: usize, other: usize| {
            let by = |rung: &Rung| possible(&world.net, one, other, *rung);
            [Rung::Prediction, Rung::Spray].iter().any(by) && ![Rung::Lan, Rung::Punch].iter().any(by)
        };
        let searchers: Vec<_> = self.friends().into_iter().filter(|(one, other)| needed(self, *one, *other)).collect();
        let is_direct =
            |world: &Self, pair: &(usize, usize)| matches!(world.path(pair.0, pair.1), Some(PathKind::Direct(_)));
        let settled = move |world: &Self, one: usize, other: usize| {
            let failed = |one: usize, other: usize| world.reason(one, other) == Some(RelayReason::SprayFailed);
            !needed(world, one, other) || is_direct(world, &(one, other)) || failed(one, other) || failed(other, one)
        };
        // The next attempt may be an hour away, as after many failures.
        self.ping_until(60, 60 * SECOND, settled)?;
        if !searchers.iter().all(|pair| is_direct(self, pair)) {
            self.mark("searched_again");
            self.pass(SPRAY_PAUSE)?;
            self.ping_until(ROUNDS, 3 * SECOND, settled)?;
        }
        for pair in searchers.iter().filter(|(one, other)| one < other) {
            self.mark(if is_direct(self, pair) { "ports_found" } else { "ports_not_found" });
        }
        Ok(())
    }

    /// Everybody pings those who trust it, at most so many times, until all pairs are where they should be.
    fn ping_until(&mut self, rounds: usize, pause: Duration, settled: impl Fn(&Self, usize, usize) -> bool) -> Checked {
        let astray = |world: &Self| world.friends().into_iter().find(|(one, other)| !settled(world, *one, *other));
        for _ in 0..rounds {
            if astray(self).is_none() {
                return Ok(());
            }
            for (one, other) in self.friends() {
                self.ping(one, other);
            }
            self.pass(pause)?;
        }
        astray(self).map_or(Ok(()), |(one, other)| {
            let side = |host: usize, peer: usize| {
                let nat = self.net.hosts[host].endpoint.status().nat;
                format!("host {host} ({nat}): {:?}, {:?}", self.path(host, peer), self.reason(host, peer))
            };
            Err(format!("a direct path is possible; {}; {}", side(one, other), side(other, one)))
        })
    }

    fn path(&self, one: usize, other: usize) -> Option<PathKind> {
        self.net.hosts[one].endpoint.peer(self.numbers[other]).and_then(|peer| peer.path)
    }

    fn reason(&self, one: usize, other: usize) -> Option<RelayReason> {
        self.net.hosts[one].endpoint.peer(self.numbers[other]).and_then(|peer| peer.relay_reason)
    }

    fn be_silent(&mut self) -> Checked {
        self.pass(CALM)?;
        let before: Vec<u64> = self.net.hosts.iter().map(|host| host.sent).collect();
        self.pass(60 * SECOND)?;
        let noisy = self.net.hosts.iter().zip(before).map(|(host, before)| host.sent - before).enumerate();
        match noisy.into_iter().find(|(_, sent)| *sent > IDLE_DATAGRAMS) {
            Some((host, sent)) => Err(format!("host {host} is idle and sent {sent} datagrams in a minute")),
            None => self.nothing_waits(),
        }
    }
}

impl Conn {
    /// The acceptor read everything, up to the end; or nobody listened and the dialler knows.
    fn is_whole(&self) -> bool {
        if self.port != PORT {
            return self.ends[0].over.as_deref() == Some("dial: Refused");
        }
        let [dialler, acceptor] = &self.ends;
        acceptor.saw_end && acceptor.read == dialler.written && dialler.over.as_deref() == Some("Finished")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Op;
    use super::super::tests::talking;
    use super::*;
    use crate::Link;
    use proto_core::RequestId;
    use proto_core::endpoint::TrustCommand;

    fn assert_says(judged: &Checked, words: &str) {
        assert!(judged.as_ref().is_err_and(|wrong| wrong.contains(words)), "{judged:?}");
    }

    #[test]
    fn what_is_well_settles() {
        assert_eq!(talking().settle(), Ok(()));
    }

    #[test]
    fn a_ping_without_an_answer_and_bytes_that_nobody_read_are_noticed() {
        let mut world = talking();
        let never = world.net.now + END * 10;
        world.pings.insert((0, 0, RequestId(u64::MAX)), never);
        assert_says(&world.finish_streams(), "no end");

        let mut world = talking();
        world.finish_streams().unwrap();
        world.conns[0].ends[1].read -= 1;
        assert_says(&world.finish_streams(), "did not go through");
    }

    #[test]
    fn friends_who_cannot_talk_are_noticed() {
        let mut world = talking();
        let node = world.numbers[1];
        // The model is not told.
        world.net.act(0, |endpoint, now| endpoint.trust(now, TrustCommand::Revoke(node)));
        assert_says(&world.talk(), "did not go through");
    }

    #[test]
    fn a_detour_where_a_direct_path_is_possible_is_noticed() {
        let mut world = talking();
        for (one, other) in [(0, 1), (1, 0)] {
            world.net.set_link(one, other, Link::down());
        }
        world.ping(0, 1);
        world.pass(30 * SECOND).unwrap();
        assert_says(&world.agree_on_paths(), "a direct path is possible");
    }

    #[test]
    fn noise_and_what_is_left_over_are_noticed() {
        let mut world = talking();
        assert_says(&world.be_silent(), "is idle and holds");
        for _ in 0..10 {
            world.apply(Op::Dial((0, 1), true)).unwrap();
        }
        assert_says(&world.be_silent(), "is idle and sent");
    }
}
