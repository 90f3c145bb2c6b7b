//! Two endpoints through an outage.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod duo;

use core::time::Duration;
use duo::{Duo, node};

const SECOND: Duration = Duration::from_secs(1);

/// Neither side has a way left, and nobody dials again: what the stream has to say is reason enough to look for one.
#[test]
fn an_idle_stream_goes_on_after_an_outage_in_which_both_sides_gave_each_other_up() {
    for speaker in [0, 1] {
        let mut duo = Duo::new();
        let ends = duo.connect(1000);
        let (from, to) = if speaker == 0 { ends } else { (ends.1, ends.0) };
        duo.cut = true;
        for pause in [3, 5] {
            for host in [0, 1] {
                duo.act(host, |endpoint, now| endpoint.ping(now, node(1 - host), SECOND));
            }
            duo.pass(pause * SECOND);
        }
        for host in [0, 1] {
            assert_eq!(duo.hosts[host].endpoint.peer(node(1 - host)).and_then(|peer| peer.path), None);
        }
        duo.cut = false;
        duo.pass(SECOND);
        duo.act(speaker, |endpoint, now| endpoint.write(now, from, b"still there?")).unwrap();
        duo.pass(SECOND);
        let mut out = [0; 100];
        let read = duo.act(1 - speaker, |endpoint, now| endpoint.read(now, to, &mut out));
        assert_eq!(read, Ok(12), "{:?}", duo.events(1 - speaker));
    }
}

/// What was written while there was no way leaves without another word of the host.
#[test]
fn what_was_written_while_there_was_no_way_leaves_when_there_is_one_again() {
    let mut duo = Duo::new();
    let (from, to) = duo.connect(1000);
    duo.cut = true;
    for pause in [3, 5] {
        for host in [0, 1] {
            duo.act(host, |endpoint, now| endpoint.ping(now, node(1 - host), SECOND));
        }
        duo.pass(pause * SECOND);
    }
    duo.act(0, |endpoint, now| endpoint.write(now, from, b"still there?")).unwrap();
    duo.pass(10 * SECOND);
    duo.cut = false;
    duo.pass(40 * SECOND);
    let mut out = [0; 100];
    assert_eq!(duo.act(1, |endpoint, now| endpoint.read(now, to, &mut out)), Ok(12), "{:?}", duo.events(0));
}
