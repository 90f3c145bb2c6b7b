//! The recorded frames of `vectors.json`, byte for byte.

use super::*;
use crate::crypto::ExchangeSecret;
use crate::wire::SecureHeader;
use hex_literal::hex;

const A_SECRET: [u8; 32] = hex!("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
const B_PUBLIC: [u8; 32] = hex!("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");

//= spec/frames.md#pp-frame-5
//= type=test
//# A PILS frame is the magic, the sender's node, a nonce of 12 bytes, the ciphertext of one packet and a tag of 16 bytes.
//= spec/frames.md#pp-frame-6
//= type=test
//# The associated data of a PILS frame are the four bytes of its sender's node.
//= spec/frames.md#pp-frame-7
//= type=test
//# A PILS frame is 36 bytes longer than the packet in it.
//= spec/nonces.md#pp-nonce-1
//= type=test
//# A nonce is a prefix of 4 bytes and a counter of 8 bytes, big-endian.
#[test]
fn sealing_and_opening_match_the_session_transcript() {
    let crypto = rust_crypto();
    let key = derive_key(crypto, &ExchangeSecret::from_bytes(A_SECRET), &B_PUBLIC).unwrap();
    let key = crypto.aead.key(key.expose());
    let syn = hex!("11010000000000010001000000020002c00003e8000000000000000002009e16c248");
    let mut frame = framed(&syn);
    seal_frame(&*key, NODES[A], NoncePrefix([0xa1, 0xa2, 0xa3, 0xa4]), 1, &mut frame).unwrap();
    assert_eq!(
        frame,
        hex!(
            "50494c5300010001a1a2a3a400000000000000015bdc3d767cd5c63a6e915f70083b27aa0004ff33f71d645619959700712d9e138f0c45e6"
            "0427269c0002f0325404634beee3"
        )
    );
    let clear = SecureHeader::parse(&frame).unwrap();
    let sealed = frame.get_mut(SECURE_HEADER_LEN..).unwrap();
    assert_eq!(open_frame(&*key, &clear, sealed), Some(&syn[..]));
}

//= spec/exchange.md#pp-kex-5
//= type=test
//# A PILA signs 40 bytes with Ed25519: `auth`, the sender's node, its X25519 public key.
#[test]
fn the_exchange_frame_matches_the_vectors() {
    let identity = Identity::from_seed(hex!("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
    let public = rust_crypto().exchange.public(&ExchangeSecret::from_bytes(A_SECRET));
    let signature = identity.sign(&crate::wire::frame::signed_message(NODES[A], &public));
    assert_eq!(signature.first_chunk(), Some(&hex!("3e13cc35529c1ae626c10548f16b3def")));
    assert_eq!(signature.last_chunk(), Some(&hex!("f1526c318538c5f04f26070f359602")));
}
