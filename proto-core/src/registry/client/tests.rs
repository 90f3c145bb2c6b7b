//! The client against a scripted registry, in virtual time.

use super::*;
use crate::limits::{MAX_REGISTRY_REQUESTS, REGISTRY_MAX_BACKOFF, REGISTRY_REPLY_TIMEOUT};
use crate::registry::codec::MAX_REQUEST;
use crate::registry::envelope::Envelope;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const OWN: NodeId = NodeId(7);

/// A client, and the registry's end of its connection.
struct World {
    client: Client,
    now: Timestamp,
    requests: FrameDecoder,
    connects: usize,
    disconnects: usize,
    events: Vec<ClientEvent>,
}

impl World {
    fn new(public: bool) -> Self {
        let config = ClientConfig {
            hostname: Some("agent-a".to_owned()),
            public,
            owner: None,
            version: "pilot-rs/test".to_owned(),
            relay_only: false,
            heartbeat: SECOND * 60,
        };
        let identity = Arc::new(Identity::from_seed([9; 32]));
        let client = Client::new(config, identity, Rng::new([5; 32]));
        let requests = FrameDecoder::new(MAX_REQUEST);
        let now = Timestamp::from_micros(1_000_000);
        Self { client, now, requests, connects: 0, disconnects: 0, events: Vec::new() }
    }

    /// A registered client with nothing outstanding.
    fn registered(public: bool) -> Self {
        let mut world = Self::new(public);
        world.client.set_endpoint(world.now, "203.0.113.9:4000".parse().unwrap(), &[]);
        world.drain();
        world.client.connected(world.now);
        world.settle();
        assert!(world.client.is_registered());
        world
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Connect => {
                    self.connects += 1;
                    self.requests = FrameDecoder::new(MAX_REQUEST);
                }
                Output::Send(bytes) => self.requests.push(&bytes),
                Output::Disconnect => self.disconnects += 1,
            }
        }
        self.events.extend(core::iter::from_fn(|| self.client.poll_event()));
    }

    /// The request the registry reads next.
    fn next_request(&mut self) -> Option<Value> {
        self.drain();
        self.requests.next_frame().unwrap()
    }

    fn expect(&mut self, name: &str) -> Value {
        let request = self.next_request().unwrap_or_else(|| panic!("{name} was not sent"));
        assert_eq!(request["type"], name);
        request
    }

    fn reply(&mut self, reply: &Value) {
        self.client.handle_data(self.now, &encode(reply));
        self.drain();
    }

    /// Answers everything asked with success until nothing more is asked.
    fn settle(&mut self) -> Vec<Value> {
        let mut asked = Vec::new();
        while let Some(request) = self.next_request() {
            let name = request["type"].as_str().unwrap();
            self.reply(&json!({"type": format!("{name}_ok"), "node_id": OWN.0}));
            asked.push(request);
        }
        asked
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..1000 {
            let Some(at) = self.client.poll_timeout().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            self.drain();
            assert!(self.client.poll_timeout() != Some(at), "a past deadline stays");
        }
        self.now = end;
    }

    fn types(requests: &[Value]) -> Vec<&str> {
        requests.iter().map(|request| request["type"].as_str().unwrap()).collect()
    }
}

#[test]
fn start_up_registers_first_and_signs_it() {
    let mut world = World::new(true);
    world.client.set_trusted(&[NodeId(3)]);
    assert_eq!(world.client.poll_timeout(), None);
    let lan = ["192.168.1.5:4000".parse().unwrap()];
    world.client.set_endpoint(world.now, "[::1]:4000".parse().unwrap(), &lan);
    world.drain();
    assert_eq!(world.connects, 1);
    let ticket = world.client.request(world.now, Request::Lookup(NodeId(3))).unwrap();
    assert_eq!(world.next_request(), None, "not connected");
    world.client.connected(world.now);
    let register = world.expect("register");
    assert_eq!(register["listen_addr"], "[::1]:4000");
    assert_eq!(register["lan_addrs"], json!(["192.168.1.5:4000"]));
    assert_eq!(register["hostname"], "agent-a");
    assert!(register.get("owner").is_none() && register.get("relay_only").is_none());
    assert_eq!(world.next_request(), None, "one request at a time");
    world
        .reply(&json!({"type": "register_ok", "node_id": 7, "hostname": "agent-a", "observed_addr": "127.0.0.1:4000"}));
    assert_eq!(world.client.node(), Some(OWN));
    let asked = world.settle();
    assert_eq!(World::types(&asked), ["lookup", "poll_handshakes", "set_visibility", "report_trust"]);
    assert_eq!(asked[2]["public"], true);
    assert!(matches!(&world.events[0], ClientEvent::Registered(registered)
        if registered.observed == Some("127.0.0.1:4000".parse().unwrap())));
    assert!(matches!(&world.events[1], ClientEvent::Reply(answered, Ok(_)) if *answered == ticket));
}

#[test]
fn a_private_node_says_so() {
    let mut world = World::new(false);
    world.client.set_endpoint(world.now, "127.0.0.1:1".parse().unwrap(), &[]);
    world.client.connected(world.now);
    let asked = world.settle();
    assert_eq!(World::types(&asked), ["register", "poll_handshakes", "set_visibility"]);
    assert_eq!(asked[2]["public"], false);
}

#[test]
fn replies_may_come_byte_by_byte() {
    let mut world = World::registered(false);
    let ticket = world.client.request(world.now, Request::Resolve(NodeId(2))).unwrap();
    world.expect("resolve");
    for byte in encode(&json!({"type": "error", "error": "resolve denied: node 2 is private"})) {
        world.client.handle_data(world.now, &[byte]);
    }
    world.drain();
    let refused = RequestError::Refused("resolve denied: node 2 is private".to_owned());
    assert_eq!(world.events.last(), Some(&ClientEvent::Reply(ticket, Err(refused))));
}

//= spec/registry.md#pp-reg-12
//= type=test
//# A heartbeat is signed, and an unknown node is answered `node N: node not found`.
//= spec/registry.md#pp-reg-14
//= type=test
//# A client that is told that its node is unknown registers again.
#[test]
fn heartbeats_come_with_polls_and_not_found_registers_again() {
    let mut world = World::registered(false);
    world.client.set_trusted(&[NodeId(3)]);
    world.wait(SECOND * 60);
    world.expect("poll_handshakes");
    world.reply(&json!({"type": "poll_handshakes_ok",
        "requests": [{"from_node_id": 3, "justification": "hi", "timestamp": 1}, {"from_node_id": 4_294_967_296_u64}],
        "responses": [{"from_node_id": 4, "accept": true, "timestamp": 1}]}));
    assert!(matches!(world.events.last(), Some(ClientEvent::Handshakes(handshakes))
        if handshakes.requests.len() == 1 && handshakes.responses[0].accept));
    world.expect("heartbeat");
    world.reply(&json!({"type": "error", "error": "node 7: node not found"}));
    let asked = world.settle();
    assert_eq!(World::types(&asked), ["register", "poll_handshakes", "set_visibility", "report_trust"]);
}

#[test]
fn a_registry_that_forgets_at_once_is_asked_once_a_second() {
    let mut world = World::registered(false);
    world.wait(SECOND * 60);
    world.expect("poll_handshakes");
    let gone = json!({"type": "error", "error": "node 7: node not found"});
    world.reply(&gone);
    world.expect("register");
    world.reply(&json!({"type": "register_ok", "node_id": 7, "address": "0:0000.0000.0007"}));
    world.expect("poll_handshakes");
    world.reply(&gone);
    assert_eq!(world.next_request(), None);
    world.wait(SECOND);
    world.expect("register");
}

//= spec/registry.md#pp-reg-15
//= type=test
//# A client registers again after three refused heartbeats in a row.
#[test]
fn three_refused_heartbeats_register_again() {
    let mut world = World::registered(false);
    for _ in 0..3 {
        let poll = (0..60).find_map(|_| {
            world.wait(SECOND);
            world.next_request()
        });
        assert_eq!(poll.unwrap()["type"], "poll_handshakes");
        world.reply(&json!({"type": "error", "error": "request failed"}));
        world.expect("heartbeat");
        world.reply(&json!({"type": "error", "error": "request failed"}));
    }
    assert_eq!(World::types(&world.settle())[0], "register");
}

#[test]
fn a_caller_who_learns_that_the_node_is_forgotten_makes_it_register_again() {
    let mut world = World::registered(false);
    world.client.request(world.now, Request::Lookup(NodeId(8))).unwrap();
    world.expect("lookup");
    world.reply(&json!({"type": "error", "error": "node 8: node not found"}));
    assert_eq!(world.next_request(), None, "that was about another node");
    world.client.request(world.now, Request::Resolve(NodeId(8))).unwrap();
    world.expect("resolve");
    world.reply(&json!({"type": "error", "error": "resolve denied: requester node 7 is not registered"}));
    world.wait(SECOND);
    world.expect("register");
}

#[test]
fn a_changed_endpoint_registers_again_and_the_same_one_does_not() {
    let mut world = World::registered(false);
    world.client.set_endpoint(world.now, "203.0.113.9:4000".parse().unwrap(), &[]);
    assert_eq!(world.next_request(), None);
    world.client.set_endpoint(world.now, "203.0.113.9:4001".parse().unwrap(), &[]);
    assert_eq!(world.expect("register")["listen_addr"], "203.0.113.9:4001");
    // Changed again before the answer: only the last one counts.
    world.client.set_endpoint(world.now, "203.0.113.9:4002".parse().unwrap(), &[]);
    world.reply(&json!({"type": "register_ok", "node_id": 7}));
    assert!(!world.client.is_registered());
    assert_eq!(world.expect("register")["listen_addr"], "203.0.113.9:4002");
    world.reply(&json!({"type": "register_ok", "node_id": 7}));
    assert!(world.client.is_registered());
}

#[test]
fn a_restarted_registry_is_found_within_five_seconds() {
    let mut world = World::registered(false);
    world.client.closed(world.now);
    world.drain();
    assert_eq!(world.events.last(), Some(&ClientEvent::Disconnected));
    for _ in 0..20 {
        world.wait(REGISTRY_MAX_BACKOFF);
        world.client.closed(world.now);
    }
    let attempts = world.connects;
    world.wait(REGISTRY_MAX_BACKOFF);
    assert_eq!(world.connects, attempts + 1);
    world.client.connected(world.now);
    assert_eq!(World::types(&world.settle())[0], "register");
}

#[test]
fn a_lost_connection_repeats_a_harmless_request_once() {
    let mut world = World::registered(false);
    let lookup = world.client.request(world.now, Request::Lookup(NodeId(2))).unwrap();
    world.expect("lookup");
    for attempt in 0..2 {
        world.client.closed(world.now);
        world.wait(SECOND);
        if attempt == 0 {
            world.client.connected(world.now);
            world.expect("register");
            world.reply(&json!({"type": "register_ok", "node_id": 7}));
            world.expect("lookup");
        }
    }
    let failed = ClientEvent::Reply(lookup, Err(RequestError::Unavailable));
    assert!(world.events.contains(&failed));
}

#[test]
fn a_key_rotation_is_never_repeated() {
    let mut world = World::registered(false);
    let rotation = world
        .client
        .request(world.now, Request::RotateKey { new_public_key: crate::crypto::PublicKey([1; 32]) })
        .unwrap();
    world.expect("rotate_key");
    world.client.closed(world.now);
    world.drain();
    assert!(world.events.contains(&ClientEvent::Reply(rotation, Err(RequestError::Unavailable))));
}

//= spec/registry.md#pp-reg-33
//= type=test
//# A client reads replies up to 1 MiB and gives a silent registry up after 8 seconds.
#[test]
fn silence_fails_the_request_and_closes_the_connection() {
    let mut world = World::registered(false);
    let silent = world.client.request(world.now, Request::BeaconList).unwrap();
    let behind = world.client.request(world.now, Request::ListNetworks).unwrap();
    world.expect("beacon_list");
    world.wait(REGISTRY_REPLY_TIMEOUT);
    assert!(world.events.contains(&ClientEvent::Reply(silent, Err(RequestError::Timeout))));
    assert!(world.events.contains(&ClientEvent::Reply(behind, Err(RequestError::Unavailable))));
    assert!(!world.client.is_connected());
    assert_eq!(world.disconnects, 1);
}

#[test]
fn frames_that_cannot_be_read_close_the_connection() {
    for bytes in [b"\xff\xff\xff\xff".as_slice(), b"\0\0\0\x02[]", &encode(&json!({"type": "unasked"}))] {
        let mut world = World::registered(false);
        world.client.handle_data(world.now, bytes);
        world.drain();
        assert!(!world.client.is_connected());
        assert_eq!(world.disconnects, 1);
        world.client.handle_data(world.now, b"late bytes");
        world.wait(SECOND);
        assert_eq!(world.connects, 2);
    }
}

#[test]
fn the_queue_is_bounded_and_waits_no_longer_than_told() {
    let mut world = World::new(false);
    for _ in 0..MAX_REGISTRY_REQUESTS {
        world.client.request(world.now, Request::ListNetworks).unwrap();
    }
    assert_eq!(world.client.request(world.now, Request::ListNetworks), Err(QueueFull));
    world.wait(REGISTRY_REPLY_TIMEOUT);
    let unavailable = |event: &&ClientEvent| matches!(event, ClientEvent::Reply(_, Err(RequestError::Unavailable)));
    assert_eq!(world.events.iter().filter(unavailable).count(), MAX_REGISTRY_REQUESTS);
    assert!(world.client.request(world.now, Request::ListNetworks).is_ok());
}

#[test]
fn a_refused_registration_is_tried_again_later() {
    let mut world = World::new(false);
    world.client.set_endpoint(world.now, "127.0.0.1:1".parse().unwrap(), &[]);
    world.client.connected(world.now);
    world.expect("register");
    world.reply(&json!({"type": "error", "error": "rate limited: wait"}));
    assert_eq!(world.events.last(), Some(&ClientEvent::RegistrationFailed("rate limited: wait".to_owned())));
    assert_eq!(world.next_request(), None);
    world.wait(REGISTRATION_RETRY);
    world.expect("register");
    world.reply(&json!({"type": "register_ok", "node_id": 4_294_967_296_u64}));
    assert!(matches!(world.events.last(), Some(ClientEvent::RegistrationFailed(_))));
}

#[test]
fn a_handshake_request_polls_fast_and_a_notification_at_once() {
    let mut world = World::registered(false);
    let request = Request::RequestHandshake { to: NodeId(2), justification: String::new() };
    world.client.request(world.now, request).unwrap();
    world.expect("request_handshake");
    world.reply(&json!({"type": "request_handshake_ok", "status": "delivered"}));
    world.client.notify(world.now);
    world.expect("poll_handshakes");
    world.reply(&json!({"type": "poll_handshakes_ok", "requests": [], "responses": []}));
    assert_eq!(world.next_request(), None);
    world.wait(SECOND * 2);
    world.expect("poll_handshakes");
}

#[test]
fn what_was_set_at_run_time_is_registered_the_next_time() {
    let mut world = World::registered(false);
    world.client.request(world.now, Request::SetHostname("other".to_owned())).unwrap();
    world.client.request(world.now, Request::SetVisibility(true)).unwrap();
    world.settle();
    world.client.set_endpoint(world.now, "127.0.0.1:2".parse().unwrap(), &[]);
    let asked = world.settle();
    assert_eq!(asked[0]["hostname"], "other");
    assert_eq!(asked[2]["public"], true);
}

#[test]
fn signed_requests_carry_an_envelope_once_the_time_is_known() {
    let mut world = World::registered(false);
    world.client.request(world.now, Request::Heartbeat).unwrap();
    assert!(world.expect("heartbeat").get("envelope").is_none());
    world.reply(&json!({"type": "heartbeat_ok", "time": 5}));
    world.client.set_wall_clock(world.now, 1_795_000_000);
    world.client.request(world.now, Request::SetTags(vec!["a".to_owned()])).unwrap();
    let request = world.expect("set_tags");
    let envelope = Envelope::read(request.as_object().unwrap()).unwrap().unwrap();
    assert!(envelope.verifies(request.as_object().unwrap(), &Identity::from_seed([9; 32]).public()));
    assert_eq!(envelope.stamp.millis, 1_795_000_000_000, "the time in a heartbeat's answer is not believed");
    assert!(request["signature"].is_string(), "for registries that know no envelope");
    world.reply(&json!({"type": "set_tags_ok"}));
    world.client.request(world.now, Request::Lookup(NodeId(2))).unwrap();
    assert!(world.expect("lookup").get("ts").is_none());
}

#[test]
fn a_registration_refused_for_the_time_is_repeated_in_the_registrys_time() {
    let mut world = World::new(false);
    world.client.set_wall_clock(world.now, 100);
    world.client.set_endpoint(world.now, "127.0.0.1:1".parse().unwrap(), &[]);
    world.client.connected(world.now);
    assert_eq!(world.expect("register")["ts"], 100_000);
    world.reply(&json!({"type": "error", "error": "cannot take the envelope: out of time", "time": 1_795_000_000}));
    world.wait(REGISTRATION_RETRY);
    let again = world.expect("register");
    assert_eq!(again["ts"], 1_795_000_000_000_u64 + u64::try_from(REGISTRATION_RETRY.as_millis()).unwrap());
    world.reply(&json!({"type": "register_ok", "node_id": 7}));
    assert!(world.client.is_registered());
}

//= spec/registry.md#pp-reg-37
//= type=test
//# A request that is refused for the time of its envelope is asked once more in the registry's time.
#[test]
fn a_request_refused_for_the_time_is_asked_once_more_in_the_registrys_time() {
    let late =
        |seconds: u64| json!({"type": "error", "error": "cannot take the envelope: out of time", "time": seconds});
    let mut world = World::registered(false);
    world.client.set_wall_clock(world.now, 100);
    let ticket = world.client.request(world.now, Request::Resolve(NodeId(9))).unwrap();
    world.client.request(world.now, Request::SetVisibility(true)).unwrap();
    assert_eq!(world.expect("resolve")["ts"], 100_000);
    world.reply(&late(1_795_000_000));
    assert_eq!(world.expect("resolve")["ts"], 1_795_000_000_000_u64);
    assert!(world.events.iter().all(|event| !matches!(event, ClientEvent::Reply(..))), "nobody is told");
    world.reply(&late(1_795_000_100));
    let refused = RequestError::Refused("cannot take the envelope: out of time".to_owned());
    assert_eq!(world.events.last(), Some(&ClientEvent::Reply(ticket, Err(refused))), "once is enough");
    assert_eq!(world.expect("set_visibility")["ts"], 1_795_000_100_000_u64);
    world.reply(&json!({"type": "set_visibility_ok"}));

    // What the client asks of its own accord is not lost either.
    let mut world = World::new(false);
    world.client.set_trusted(&[NodeId(3)]);
    world.client.set_endpoint(world.now, "127.0.0.1:1".parse().unwrap(), &[]);
    world.client.connected(world.now);
    world.client.set_wall_clock(world.now, 100);
    for name in ["register", "poll_handshakes", "set_visibility"] {
        world.expect(name);
        world.reply(&json!({"type": format!("{name}_ok"), "node_id": OWN.0}));
    }
    world.expect("report_trust");
    world.reply(&late(1_795_000_000));
    assert_eq!(world.expect("report_trust")["ts"], 1_795_000_000_000_u64);
}

/// A registry that lost its nodes does not know the peer yet, or is asked for too much at once.
#[test]
fn trust_whose_report_was_refused_is_reported_again_with_the_heartbeats() {
    let refused = json!({"type": "error", "error": "node 3: node not found"});
    let peers: Vec<NodeId> = (3..603).map(NodeId).collect();
    let mut world = World::new(false);
    world.client.set_trusted(&peers);
    world.client.set_endpoint(world.now, "203.0.113.9:4000".parse().unwrap(), &[]);
    world.client.connected(world.now);
    let answer = |world: &mut World, refusals: bool| {
        let mut reported = Vec::new();
        while let Some(request) = world.next_request() {
            let name = request["type"].as_str().unwrap();
            if name == "report_trust" {
                reported.push(request["peer_id"].as_u64().unwrap());
            }
            let ok = json!({"type": format!("{name}_ok"), "node_id": OWN.0});
            world.reply(if refusals && name == "report_trust" { &refused } else { &ok });
        }
        reported
    };
    assert_eq!(answer(&mut world, true), (3..603).collect::<Vec<_>>());
    assert_eq!(answer(&mut world, true), [0; 0], "not at once");
    let mut reported = Vec::new();
    // The last one is trusted no more.
    world.client.set_trusted(&peers[..599]);
    for second in 0..300 {
        world.wait(SECOND);
        let news = answer(&mut world, second < 60);
        assert!(news.len() <= 256, "{}", news.len());
        if second >= 60 {
            reported.extend(news);
        }
    }
    reported.sort_unstable();
    assert_eq!(reported, (3..602).collect::<Vec<_>>(), "each once when it is taken");
}
