//! The reference's Python package: its own compiled library and its documented methods, on our socket.

use super::SECTION;
use super::world::{PATIENT, World, file, keys};
use crate::case::Case;
use lab::process;
use serde_json::Value;

/// Everything the package documents, on ours and on theirs.
pub(super) fn case(version: &str) -> Case {
    let direction = "Python package";
    let rows = [
        ("Driver: info, health, names, visibility, tags, trust", direction),
        ("Conn, Listener, datagrams", direction),
        ("send_message, send_file, publish_event, subscribe_event", direction),
        ("networks, policies, refusals", direction),
    ];
    let wanted = version.to_owned();
    Case::sharing(SECTION, "python", &rows, version, move |equipment| {
        let world = World::new(equipment, &wanted);
        let path = file(world.ours[0].home(), "from-python.txt", b"some bytes");
        let program = include_str!("sdk.py");
        let [ours, theirs] = [world.sockets(), world.their_sockets()].map(|[first, second]| {
            let ended = process::run(world.python(0, program, &[&first, &second, &path]), 2 * PATIENT);
            assert!(ended.status.success(), "{ended}");
            ended.json()
        });
        for (name, gave) in theirs.as_object().unwrap() {
            let shown = format!("{name}\n-- ours --\n{}\n-- theirs --\n{gave}", ours[name]);
            if ["set_webhook", "rotate_key"].contains(&name.as_str()) {
                assert!(ours[name]["raised"].as_str().is_some_and(|why| why.contains("not supported")), "{shown}");
                continue;
            }
            let missing: Vec<_> = keys(gave).difference(&keys(&ours[name])).cloned().collect();
            assert!(missing.is_empty(), "our answer lacks {missing:?}: {shown}");
        }
        let gave = |name: &str| -> &Value { &ours[name]["gave"] };
        assert_eq!(gave("echo of 1 MB"), 1_000_000);
        assert_eq!(gave("listener")["reply"], "pong", "{ours}");
        assert_eq!(gave("datagram")["data"], "datagram", "{ours}");
        assert_eq!(gave("send_file")["ack"], "ACK FILE 10 bytes", "{ours}");
        assert_eq!(gave("event"), "('news', b'extra')", "{ours}");
        assert!(ours["read deadline"]["raised"].is_string(), "{ours}");
        assert_eq!(world.ours[1].received().len(), 1);
    })
}
