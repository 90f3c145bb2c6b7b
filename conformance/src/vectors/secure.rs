//! The secure channel of port 443 and the WebSocket greeting of compat mode.

use super::File;
use super::check::{Checker, Hex, HexArray, Prose};
use super::crypto;
use super::keys::{self, NodeKeys, Side};
use data_encoding::BASE64;
use proto_core::NodeId;
use proto_core::wire::ParseError;
use proto_core::wire::compat::{self, CompatMessage};
use proto_core::wire::secure::{AUTH_LEN, AUTH_SIGNED_LEN, ChannelAuth, ChannelRole, FRAME_HEADER_LEN, FrameHeader};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecureChannel {
    #[serde(rename = "note")]
    _note: Prose,
    client_hello_hex: HexArray<32>,
    server_hello_hex: HexArray<32>,
    key_hex: HexArray<32>,
    frames: Vec<Frame>,
    auth: Vec<Auth>,
    #[serde(rename = "auth_order")]
    _auth_order: Prose,
    invalid: Vec<Invalid>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Client,
    Server,
}

impl From<Role> for ChannelRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Client => Self::Client,
            Role::Server => Self::Server,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    role: Role,
    counter: u64,
    nonce_hex: HexArray<12>,
    aad_hex: HexArray<4>,
    plaintext_hex: Hex,
    wire_hex: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    node_id: u32,
    timestamp: u64,
    nonce_hex: HexArray<16>,
    signed_message_hex: HexArray<AUTH_SIGNED_LEN>,
    signature_hex: HexArray<64>,
    plaintext_hex: Hex,
    counter: u64,
    wire_hex: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalid {
    name: String,
    #[serde(rename = "source")]
    _source: Prose,
    wire_hex: Hex,
}

pub(super) fn secure_channel(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<SecureChannel>("secure_channel", check) else { return };
    let key = family.key_hex.0;
    let sides = keys::of(file, Side::A).zip(keys::of(file, Side::B));
    if let Some((client, server)) = check.some("the keys of both sides are known", sides) {
        check.entry("handshake");
        check.equal("client_hello_hex", client.exchange_public(), family.client_hello_hex.0);
        check.equal("server_hello_hex", server.exchange_public(), family.server_hello_hex.0);
        let derived = client.shared_with(&server).map(|shared| crypto::channel_key(&shared));
        check.equal("key_hex", derived, Some(key));
        for entry in &family.auth {
            auth(entry, &key, [&client, &server], check);
        }
    }
    for entry in &family.frames {
        check.entry(&entry.name);
        frame(&key, entry.role.into(), entry.counter, &entry.plaintext_hex.0, &entry.wire_hex.0, check);
        let header = FrameHeader::parse(&entry.wire_hex.0);
        check.equal("nonce_hex", header.map(|header| header.nonce), Ok(entry.nonce_hex.0));
        check.equal("aad_hex", header.map(|header| header.prefix()), Ok(entry.aad_hex.0));
    }
    for entry in &family.invalid {
        check.entry(&entry.name);
        check.holds("refused", open(&key, &entry.wire_hex.0).is_none());
    }
}

/// Sealing gives exactly these bytes, and they open to the plaintext.
fn frame(key: &[u8; 32], role: ChannelRole, counter: u64, plaintext: &[u8], wire: &[u8], check: &mut Checker) {
    check.equal("wire_hex", seal(key, role, counter, plaintext).as_deref(), Some(wire));
    check.equal("plaintext_hex", open(key, wire).as_deref(), Some(plaintext));
}

fn seal(key: &[u8; 32], role: ChannelRole, counter: u64, plaintext: &[u8]) -> Option<Vec<u8>> {
    let header = FrameHeader::new(role, counter, plaintext.len()).ok()?;
    let mut front = [0; FRAME_HEADER_LEN];
    header.emit(&mut front).ok()?;
    Some([&front[..], &crypto::seal(key, &header.nonce, &header.prefix(), plaintext)?].concat())
}

fn open(key: &[u8; 32], wire: &[u8]) -> Option<Vec<u8>> {
    let header = FrameHeader::parse(wire).ok()?;
    let sealed = wire.get(FRAME_HEADER_LEN..)?;
    (sealed.len() == header.sealed_len).then(|| crypto::open(key, &header.nonce, &header.prefix(), sealed))?
}

fn auth(entry: &Auth, key: &[u8; 32], [client, server]: [&NodeKeys; 2], check: &mut Checker) {
    check.entry(&entry.name);
    let (role, signer) = if NodeId(entry.node_id) == server.node() {
        (ChannelRole::Server, server)
    } else {
        (ChannelRole::Client, client)
    };
    check.equal("node_id", signer.node(), NodeId(entry.node_id));
    let expected = ChannelAuth {
        node: NodeId(entry.node_id),
        timestamp: entry.timestamp,
        nonce: entry.nonce_hex.0,
        signature: entry.signature_hex.0,
    };
    check.equal("fields", ChannelAuth::parse(&entry.plaintext_hex.0), Ok(expected));
    let mut written = [0; AUTH_LEN];
    check.equal("emitted length", expected.emit(&mut written), Ok(entry.plaintext_hex.0.len()));
    check.equal("plaintext_hex", &written[..], &entry.plaintext_hex.0[..]);
    let signed = expected.signed_message(&signer.exchange_public());
    check.equal("signed_message_hex", signed, entry.signed_message_hex.0);
    signer.check_signature("signature_hex", &signed, &entry.signature_hex.0, check);
    frame(key, role, entry.counter, &entry.plaintext_hex.0, &entry.wire_hex.0, check);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Compat {
    #[serde(rename = "source")]
    _source: Prose,
    challenge: Value,
    signed_message_ascii: String,
    signature_hex: HexArray<64>,
    reply: Value,
    ok: Value,
    #[serde(rename = "after_auth")]
    _after_auth: Prose,
}

pub(super) fn compat_auth(file: &File, check: &mut Checker) {
    let Some(family) = file.entry::<Compat>("compat_auth", check) else { return };
    for (name, value) in [("challenge", &family.challenge), ("reply", &family.reply), ("ok", &family.ok)] {
        check.entry(name);
        let written = parsed(value).and_then(|message| serde_json::from_str::<Value>(&message.to_text()).ok());
        check.equal("fields, both ways", written.as_ref(), Some(value));
    }
    check.entry("signature");
    let (challenge, reply) = (parsed(&family.challenge), parsed(&family.reply));
    let (Some(CompatMessage::Challenge { nonce, ts }), Some(CompatMessage::Reply { node_id, public_key, sig })) =
        (challenge, reply)
    else {
        return check.fail("no challenge or no reply");
    };
    check.equal("ok", parsed(&family.ok), Some(CompatMessage::Ok));
    let signed = compat::signed_string(NodeId(node_id), ts, &nonce);
    check.equal("signed_message_ascii", &signed, &family.signed_message_ascii);
    check.equal("sig", &BASE64.encode(&family.signature_hex.0), &sig);
    let public = BASE64.decode(public_key.as_bytes()).ok().and_then(|key| key.try_into().ok());
    if let Some(public) = check.some("public_key is a key", public) {
        let verified = crypto::verify(&public, signed.as_bytes(), &family.signature_hex.0);
        check.holds("the signature verifies", verified);
        if let Some(signer) = keys::with_public(file, &public) {
            signer.check_signature("signature_hex", signed.as_bytes(), &family.signature_hex.0, check);
        }
    }
    check.equal("nonsense", CompatMessage::parse("{\"type\":\"auth_nothing\"}"), Err(ParseError::Malformed));
}

fn parsed(value: &Value) -> Option<CompatMessage> {
    CompatMessage::parse(&value.to_string()).ok()
}
