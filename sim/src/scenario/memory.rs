//! What endpoints hold: never more than the core's own limits allow for as many peers and streams, and nothing that waits once all is quiet.

use super::world::{Checked, World};
use proto_core::endpoint::Holding;

/// What is left of none of these when nobody talks any more.
const TRANSIENT: [&str; 10] = [
    "streams",
    "packets to send",
    "events",
    "bytes of datagrams",
    "key exchanges of strangers",
    "look-ups",
    "requests for sockets",
    "waiting packets",
    "pings",
    "bytes of streams",
];

impl World {
    /// One host after each step, in turn: what grows without a bound is still there when its turn comes.
    pub(super) fn weigh(&mut self) -> Checked {
        self.turn = (self.turn + 1) % self.net.hosts.len();
        within(self.turn, &self.net.hosts[self.turn].endpoint.holdings())
    }

    /// # Errors
    /// Something waits at a host with which nobody talks.
    pub(super) fn nothing_waits(&self) -> Checked {
        let hosts = self.net.hosts.iter().enumerate();
        let mut left = hosts.flat_map(|(index, host)| waiting(host.endpoint.holdings()).map(move |held| (index, held)));
        left.next().map_or(Ok(()), |(host, held)| Err(format!("host {host} is idle and holds {held:?}")))
    }
}

fn within(host: usize, holdings: &[Holding]) -> Checked {
    let over = holdings.iter().find(|holding| holding.held > holding.bound);
    over.map_or(Ok(()), |holding| Err(format!("host {host} holds more than is allowed: {holding:?}")))
}

fn waiting(holdings: Vec<Holding>) -> impl Iterator<Item = Holding> {
    holdings.into_iter().filter(|holding| holding.held > 0 && TRANSIENT.contains(&holding.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Link, Net};

    /// Of a host that has peers and streams: the same again, one beyond each of its bounds.
    #[test]
    fn one_beyond_any_bound_is_found_and_so_is_anything_that_waits() {
        let net = Net::trusting(1, 2, Link::default());
        let holdings = net.hosts[0].endpoint.holdings();
        assert_eq!(within(0, &holdings), Ok(()));
        assert!(holdings.len() > 25 && holdings.iter().any(|holding| holding.name == "peers" && holding.held == 1));
        for index in 0..holdings.len() {
            let mut grown = holdings.clone();
            grown[index].held = grown[index].bound + 1;
            assert!(within(0, &grown).is_err(), "{:?}", grown[index]);
        }
        for name in TRANSIENT {
            let mut left = holdings.clone();
            left.iter_mut()
                .for_each(|holding| holding.held = usize::from(holding.name == name || holding.name == "peers"));
            assert_eq!(waiting(left).map(|holding| holding.name).collect::<Vec<_>>(), [name]);
        }
    }
}
