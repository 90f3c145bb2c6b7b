//! The channel against the vectors, and against a peer that cheats.

use super::*;
use crate::crypto::rust_crypto;
use hex_literal::hex;

const A_SECRET: [u8; 32] = hex!("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
const A_PUBLIC: [u8; 32] = hex!("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
const B_SECRET: [u8; 32] = hex!("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
const B_PUBLIC: [u8; 32] = hex!("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
const B_SEED: [u8; 32] = hex!("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
const B_NODE: NodeId = NodeId(0x0002_0002);
const NOW: u64 = 1_790_000_000;

fn pair() -> (SecureChannel, SecureChannel) {
    let end = |role, secret, peer| {
        SecureChannel::new(rust_crypto(), role, &ExchangeSecret::from_bytes(secret), &peer).unwrap()
    };
    (end(ChannelRole::Client, A_SECRET, B_PUBLIC), end(ChannelRole::Server, B_SECRET, A_PUBLIC))
}

fn sealed(channel: &mut SecureChannel, plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    channel.seal(plaintext, &mut out).unwrap();
    assert_eq!(SecureChannel::frame_len(&out), Ok(Some(out.len())));
    out
}

//= spec/secure-channel.md#pp-chan-1
//= type=test
//# Each side sends its raw X25519 public key of 32 bytes, the dialler first.
//= spec/secure-channel.md#pp-chan-3
//= type=test
//# A frame is a length, a nonce of 12 bytes, the ciphertext and the tag; the associated data are the nonce's first 4 bytes.
//= spec/secure-channel.md#pp-chan-4
//= type=test
//# The server's nonce prefix is 1, the client's 2.
//= spec/secure-channel.md#pp-chan-6
//= type=test
//# Counters begin at 1 when sent; a first counter of 0 is received as well.
#[test]
fn frames_match_the_vectors_and_open() {
    let (mut client, mut server) = pair();
    let mut first = sealed(&mut client, b"hello");
    assert_eq!(first, hex!("00000021000000020000000000000001ac6348877856f676ca8e5df56170c4ffae1030e819"));
    let mut second = sealed(&mut client, b"world");
    assert_eq!(second, hex!("000000210000000200000000000000023fdbc45aff6f8be2bea599f9e9378b1bf8d463448a"));
    let mut answer = sealed(&mut server, b"hi");
    assert_eq!(answer, hex!("0000001e000000010000000000000001942d250f847ff76e5663da28a855d02ebea6"));
    assert_eq!(server.open(&mut first), Ok(&b"hello"[..]));
    assert_eq!(server.open(&mut second), Ok(&b"world"[..]));
    assert_eq!(client.open(&mut answer), Ok(&b"hi"[..]));
    assert_eq!(server.open(&mut sealed(&mut client, b"")), Ok(&b""[..]), "empty frames are legal");
}

//= spec/secure-channel.md#pp-chan-5
//= type=test
//# A frame with the own prefix, out of order, repeated or forged ends the channel.
#[test]
fn reflection_replay_reordering_and_loss_close_the_channel() {
    let (mut client, _) = pair();
    let mut own = sealed(&mut client, b"mine");
    assert_eq!(client.open(&mut own), Err(ChannelError::WrongRole));
    assert_eq!(client.open(&mut own), Err(ChannelError::Closed));

    let (mut client, mut server) = pair();
    let first = sealed(&mut client, b"1");
    server.open(&mut first.clone()).unwrap();
    assert_eq!(server.open(&mut first.clone()), Err(ChannelError::OutOfOrder));

    let (mut client, mut server) = pair();
    sealed(&mut client, b"lost");
    let mut second = sealed(&mut client, b"2");
    assert_eq!(server.open(&mut second), Err(ChannelError::OutOfOrder));
}

#[test]
fn forged_and_malformed_frames_are_refused() {
    let (_, mut server) = pair();
    let mut wrong_aad = hex!("00000021000000020000000000000001ac63488778dc4ffc21c78fb9a1d7ee5206cce0628f");
    assert_eq!(server.open(&mut wrong_aad), Err(ChannelError::Forged));
    assert_eq!(SecureChannel::frame_len(&hex!("0000000b0000000000000000000000")), Err(ChannelError::Malformed));
    assert_eq!(SecureChannel::frame_len(&hex!("01000001")), Err(ChannelError::Malformed), "over 16 MiB");
    assert_eq!(SecureChannel::frame_len(&hex!("000000")), Ok(None));
    let secret = ExchangeSecret::from_bytes(A_SECRET);
    let low_order = SecureChannel::new(rust_crypto(), ChannelRole::Client, &secret, &[0; 32]);
    assert_eq!(low_order.err(), Some(ChannelError::LowOrderKey));
}

#[test]
fn authentication_matches_the_vectors() {
    let (_, mut server) = pair();
    let nonce = hex!("000102030405060708090a0b0c0d0e0f");
    let plaintext = sign_auth(&Identity::from_seed(B_SEED), B_NODE, &B_PUBLIC, NOW, nonce);
    assert_eq!(
        plaintext,
        hex!(
            "00020002000000006ab13b80000102030405060708090a0b0c0d0e0fb5bc9d9fa7236819a625041b78c4deb097959f9bfb6ad18e969fdf8e6fa842aa"
            "9f38b44026b49fe9c3d5c2e1263c45db6277b11319c0250766f8b006c24f350b"
        )
    );
    let frame = sealed(&mut server, &plaintext);
    assert_eq!(frame.first_chunk::<20>(), Some(&hex!("00000078000000010000000000000001fc467a8e")));
    assert_eq!(frame.last_chunk::<16>(), Some(&hex!("b59e179e88e8b854aee15f32111fbf1c")));
}

//= spec/secure-channel.md#pp-chan-8
//= type=test
//# An authentication is accepted once, and only within 5 seconds of the own clock.
#[test]
fn an_authentication_counts_once_and_only_near_its_time() {
    let identity = Identity::from_seed(B_SEED);
    let auth = |time, nonce| ChannelAuth::parse(&sign_auth(&identity, B_NODE, &B_PUBLIC, time, nonce)).unwrap();
    let mut verifier = AuthVerifier::default();
    let mut verify = |auth: &ChannelAuth, hello: &[u8; 32], now| {
        verifier.verify(rust_crypto(), auth, hello, &identity.public(), now)
    };
    assert_eq!(verify(&auth(NOW, [1; 16]), &B_PUBLIC, NOW + 6), Err(AuthError::Skew));
    assert_eq!(verify(&auth(NOW, [1; 16]), &B_PUBLIC, NOW - 6), Err(AuthError::Skew));
    assert_eq!(verify(&auth(NOW, [1; 16]), &A_PUBLIC, NOW), Err(AuthError::Signature), "another channel's");
    assert_eq!(verify(&auth(NOW, [1; 16]), &B_PUBLIC, NOW + 5), Ok(()));
    assert_eq!(verify(&auth(NOW, [1; 16]), &B_PUBLIC, NOW), Err(AuthError::Replayed));
    assert_eq!(verify(&auth(NOW, [2; 16]), &B_PUBLIC, NOW - 5), Ok(()));
}

/// Only what the clock check refuses anyway may be forgotten.
#[test]
fn a_nonce_is_remembered_for_an_hour() {
    let identity = Identity::from_seed(B_SEED);
    let mut verifier = AuthVerifier::default();
    let mut at = |now| {
        let auth = ChannelAuth::parse(&sign_auth(&identity, B_NODE, &B_PUBLIC, now, [1; 16])).unwrap();
        verifier.verify(rust_crypto(), &auth, &B_PUBLIC, &identity.public(), now)
    };
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(NOW + AUTH_NONCE_SECONDS), Err(AuthError::Replayed));
    assert_eq!(at(NOW + AUTH_NONCE_SECONDS + 1), Ok(()));
    assert_eq!(at(NOW + AUTH_NONCE_SECONDS + 2), Err(AuthError::Replayed));
}

#[test]
fn every_error_has_words_of_its_own() {
    let mut words: Vec<String> =
        [AuthError::Skew, AuthError::Signature, AuthError::Replayed].map(|error| error.to_string()).into();
    words.extend(
        [
            ChannelError::LowOrderKey,
            ChannelError::Malformed,
            ChannelError::WrongRole,
            ChannelError::OutOfOrder,
            ChannelError::Forged,
            ChannelError::TooLong,
            ChannelError::Closed,
        ]
        .map(|error| error.to_string()),
    );
    assert!(words.iter().all(|text| text.len() > 10), "{words:?}");
    words.sort();
    words.dedup();
    assert_eq!(words.len(), 10, "{words:?}");
}
