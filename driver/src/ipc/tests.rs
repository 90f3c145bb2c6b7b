use super::*;
use proptest::prelude::*;
use proto_core::NodeId;
use proto_core::ids::NetworkId;
use proto_core::wire::{Address, SocketAddress};

fn remote() -> impl Strategy<Value = SocketAddress> {
    any::<(u16, u32, u16)>().prop_map(|(network, node, port)| {
        SocketAddress::new(Address { network: NetworkId(network), node: NodeId(node) }, port)
    })
}

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from)
}

fn requests() -> impl Strategy<Value = Request> {
    let handshake = prop_oneof![
        (any::<u32>(), ".*").prop_map(|(node, justification)| HandshakeCommand::Send { node, justification }),
        any::<u32>().prop_map(HandshakeCommand::Approve),
        (any::<u32>(), ".*").prop_map(|(node, reason)| HandshakeCommand::Reject { node, reason }),
        Just(HandshakeCommand::Pending),
        Just(HandshakeCommand::Trusted),
        any::<u32>().prop_map(HandshakeCommand::Revoke),
        any::<(u32, u32)>().prop_map(|(node, timeout_ms)| HandshakeCommand::Wait { node, timeout_ms }),
    ];
    let network = prop_oneof![
        Just(NetworkCommand::List),
        (any::<u16>(), ".*").prop_map(|(network, token)| NetworkCommand::Join { network, token }),
        any::<u16>().prop_map(NetworkCommand::Leave),
        any::<u16>().prop_map(NetworkCommand::Members),
        any::<(u16, u32)>().prop_map(|(network, node)| NetworkCommand::Invite { network, node }),
        Just(NetworkCommand::PollInvites),
        any::<(u16, bool)>().prop_map(|(network, accept)| NetworkCommand::Respond { network, accept }),
    ];
    let streams = prop_oneof![
        any::<u16>().prop_map(Request::Bind),
        any::<u16>().prop_map(Request::Unbind),
        remote().prop_map(Request::Dial),
        (any::<u32>(), bytes()).prop_map(|(conn, data)| Request::Send { conn, data }),
        any::<u32>().prop_map(Request::Close),
        any::<u32>().prop_map(Request::Finish),
        any::<u32>().prop_map(Request::Acknowledged),
        (remote(), bytes()).prop_map(|(to, data)| Request::SendTo { to, data }),
        (remote(), bytes()).prop_map(|(to, data)| Request::SendToConfirm { to, data }),
        (any::<(u16, u16)>(), bytes(), bytes())
            .prop_map(|((network, port), token, data)| { Request::Broadcast { network, port, token, data } }),
    ];
    let rest = prop_oneof![
        ".+".prop_map(Request::ResolveHostname),
        ".*".prop_map(Request::SetHostname),
        ".*".prop_map(Request::SetWebhook),
        any::<bool>().prop_map(Request::SetVisibility),
        any::<bool>().prop_map(Request::SetTaskExec),
        bytes().prop_map(Request::SetTags),
        proptest::collection::vec(any::<u8>(), 1..64).prop_map(|raw| Request::Managed(raw.into())),
        bytes().prop_map(Request::SignEnvelope),
        any::<u32>().prop_map(Request::PreferDirect),
        any::<u8>().prop_map(Request::Hello),
        any::<(u32, u32)>().prop_map(|(node, timeout_ms)| Request::Ping { node, timeout_ms }),
        Just(Request::Info),
        Just(Request::Health),
        Just(Request::RotateKey),
        Just(Request::CancelDial),
        Just(Request::Netcheck),
        any::<u32>().prop_map(Request::Lookup),
        any::<u32>().prop_map(Request::Why),
    ];
    prop_oneof![handshake.prop_map(Request::Handshake), network.prop_map(Request::Network), streams, rest]
}

fn replies() -> impl Strategy<Value = Reply> {
    prop_oneof![
        any::<u16>().prop_map(Reply::Bound),
        any::<u32>().prop_map(Reply::Dialed),
        (any::<u16>(), any::<u32>(), remote()).prop_map(|(port, conn, remote)| Reply::Accepted { port, conn, remote }),
        (any::<u32>(), bytes()).prop_map(|(conn, data)| Reply::Received { conn, data }),
        any::<u32>().prop_map(Reply::Closed),
        ".*".prop_map(Reply::Error),
        (remote(), any::<u16>(), bytes()).prop_map(|(from, to_port, data)| Reply::ReceivedFrom { from, to_port, data }),
        (any::<u32>(), ".*").prop_map(|(conn, reason)| Reply::StreamError { conn, reason }),
        bytes().prop_map(|payload| Reply::Answer { command: command::INFO + 1, payload }),
    ]
}

proptest! {
    #[test]
    fn requests_survive_a_round_trip(request in requests()) {
        prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn replies_survive_a_round_trip(reply in replies()) {
        prop_assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(command: u8, payload in bytes()) {
        let frame = Frame { command, payload };
        let _ = Request::decode(&frame);
        let _ = Reply::decode(&frame);
    }
}

//= spec/ipc.md#pp-ipc-14
//= type=test
//# Commands 0xE0 and up are our extensions, answered as unknown by every other daemon.
#[test]
fn extensions_begin_at_0xe0_and_nothing_of_the_reference_lies_there() {
    use super::command;
    let extensions = [
        command::HELLO,
        command::FINISH,
        command::PING,
        command::NETCHECK,
        command::ACKNOWLEDGED,
        command::LOOKUP,
        command::WHY,
    ];
    assert!(extensions.iter().chain([&command::STREAM_ERROR]).all(|command| *command >= 0xE0));
    let known = |command: &u8| {
        let frame = Frame { command: *command, payload: Bytes::new() };
        Request::decode(&frame) != Err(super::RequestError::Unknown(*command))
    };
    let understood: Vec<u8> = (0xE0..=0xFF).filter(known).collect();
    assert_eq!(understood, extensions);
    assert!((0x3A..0xE0).all(|command| !known(&command)), "between the two nothing is");
}
