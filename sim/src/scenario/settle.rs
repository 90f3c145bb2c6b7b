//! The end of a scenario: all is made well, and then everything must finish, agree, and fall silent.

use super::streams::Conn;
use super::world::{CONVALESCENCE, Checked, PORT, World};
use crate::{Rung, possible};
use proto_core::endpoint::PathKind;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// A host that slept or crashed is there again, and registered.
const RETURN: Duration = Duration::from_secs(90);
/// Streams end, well or by their timeouts.
const END: Duration = Duration::from_secs(240);
/// Fresh streams between those that trust each other.
const TALK: Duration = Duration::from_secs(60);
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

    /// Every pair that trusts each other and talks is on a direct path where one is possible.
    fn agree_on_paths(&mut self) -> Checked {
        for _ in 0..20 {
            if self.astray().is_none() {
                return Ok(());
            }
            for (one, other) in self.friends() {
                self.ping(one, other);
            }
            self.pass(3 * SECOND)?;
        }
        self.astray().map_or(Ok(()), |(one, other, path)| {
            let reason = self.net.hosts[one].endpoint.peer(self.numbers[other]).and_then(|peer| peer.relay_reason);
            Err(format!("host {one} reaches host {other} by {path:?} where a direct path is possible: {reason:?}"))
        })
    }

    /// A pair whose path is not what it can be.
    fn astray(&self) -> Option<(usize, usize, Option<PathKind>)> {
        let path = |one: usize, other: usize| {
            self.net.hosts[one].endpoint.peer(self.numbers[other]).and_then(|peer| peer.path)
        };
        let friends = self.friends().into_iter().map(|(one, other)| (one, other, path(one, other)));
        friends.into_iter().find(|(one, other, path)| match path {
            Some(PathKind::Direct(_)) => false,
            Some(PathKind::Relay) => self.could_be_direct(*one, *other),
            None => true,
        })
    }

    /// By a rung that always leads there. Searches for ports may fail.
    fn could_be_direct(&self, one: usize, other: usize) -> bool {
        [Rung::Lan, Rung::Punch].into_iter().any(|rung| possible(&self.net, one, other, rung))
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
