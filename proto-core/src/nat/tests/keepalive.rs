//! How long a NAT keeps a mapping, measured against NATs that forget after different times.

use crate::ids::SocketId;
use crate::nat::{DEFAULT_KEEPALIVE, Lifetime, LifetimeAction};
use crate::time::Timestamp;
use core::time::Duration;

const SOCKET: SocketId = SocketId(5);

/// The interval found behind a NAT that forgets after `timeout`, how long that took, and whether the socket is closed again.
fn measure(timeout: Duration, answers: bool) -> (Duration, Duration, bool) {
    let start = Timestamp::from_micros(1);
    let (mut now, mut lifetime) = (start, Lifetime::default());
    let (mut last, mut port, mut open) = (None::<Timestamp>, 4000, 0);
    lifetime.begin(now);
    loop {
        while let Some(action) = lifetime.poll_action() {
            match action {
                LifetimeAction::Open => {
                    open += 1;
                    lifetime.opened(now, Some(SOCKET));
                }
                LifetimeAction::Observe(socket) => {
                    assert_eq!(socket, SOCKET);
                    port += u16::from(last.is_none_or(|at| now.saturating_since(at) >= timeout));
                    last = Some(now);
                    if answers {
                        lifetime.observed(now, socket, port);
                    }
                }
                LifetimeAction::Close(_) => open -= 1,
            }
        }
        let Some(next) = lifetime.poll_timeout() else { break };
        assert!(next > now, "a past deadline is repeated");
        now = next;
        lifetime.handle_timeout(now);
    }
    (lifetime.keepalive(), now.saturating_since(start), open == 0)
}

//= spec/keepalive.md#pp-ka-6
//= type=test
//# A direct path without a send for 15 seconds, or for half the time that the NAT was seen to keep an unused mapping, gets a packet that
//# keeps it, while the peer was used within 2 minutes.
#[test]
fn keepalives_come_at_half_of_what_a_mapping_survives() {
    let seconds = Duration::from_secs;
    for (timeout, wanted) in [(17, 7500), (25, 10_000), (31, 15_000), (61, 30_000), (90, 30_000), (300, 60_000)] {
        let (interval, taken, closed) = measure(seconds(timeout), true);
        assert_eq!(interval, Duration::from_millis(wanted), "forgets after {timeout} s");
        assert!(interval * 2 <= seconds(timeout) && taken <= seconds(300) && closed, "{taken:?}");
    }
    assert_eq!(measure(seconds(300), false).0, DEFAULT_KEEPALIVE, "a silent beacon shows nothing");
}

#[test]
fn another_network_is_measured_anew() {
    let now = Timestamp::from_micros(1);
    let mut lifetime = Lifetime::default();
    lifetime.begin(now);
    let later = now + Duration::from_secs(60);
    lifetime.handle_timeout(later);
    assert_eq!(lifetime.poll_action(), Some(LifetimeAction::Open));
    lifetime.opened(later, Some(SOCKET));
    lifetime.network_changed();
    assert_eq!(lifetime.poll_action(), Some(LifetimeAction::Close(SOCKET)));
    assert_eq!((lifetime.poll_timeout(), lifetime.keepalive()), (None, DEFAULT_KEEPALIVE));
    lifetime.begin(later);
    assert!(lifetime.poll_timeout().is_some());
}
