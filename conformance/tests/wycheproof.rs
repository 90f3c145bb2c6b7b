//! Project Wycheproof's cases for the three primitives, through every provider there is. Counts are those of the pinned data, so an empty set or a filter that
//! lets nothing through fails.
//!
//! Policy where the cases leave a choice: an X25519 result of zero is refused, every other public key is taken as RFC 7748 reads it (twist points, low-order
//! components and values above the prime included); Ed25519 is strict; AES-256-GCM is used with nonces of 96 and tags of 128 bits only.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use proto_core::crypto::provider::{CryptoProvider, NONCE_LEN, TAG_LEN};
use proto_core::crypto::secret::ExchangeSecret;
use proto_core::crypto::{PublicKey, rust_crypto};
use wycheproof::{TestResult, aead, eddsa, xdh};

/// Every provider; a second one is added here and must pass the same cases.
fn providers() -> [&'static CryptoProvider; 1] {
    [rust_crypto()]
}

/// What came of the cases of one set.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Cases whose lengths the interface cannot even express.
    out_of_shape: usize,
}

impl Tally {
    fn count(&mut self, accepted: bool) {
        if accepted {
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
    }
}

fn xdh_cases(provider: &CryptoProvider) -> Tally {
    let mut tally = Tally::default();
    for test in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups.into_iter().flat_map(|group| group.tests)
    {
        let secret = ExchangeSecret::from_bytes(test.private_key.as_slice().try_into().unwrap());
        let agreed = provider.exchange.agree(&secret, test.public_key.as_slice().try_into().unwrap());
        let expected = Some(test.shared_secret.as_slice()).filter(|shared| shared.iter().any(|byte| *byte != 0));
        assert_eq!(agreed.as_ref().map(|shared| shared.expose().as_slice()), expected, "x25519 case {}", test.tc_id);
        assert_ne!(
            test.result,
            TestResult::Invalid,
            "x25519 case {}: a kind of case this test does not know",
            test.tc_id
        );
        tally.count(agreed.is_some());
    }
    tally
}

//= spec/exchange.md#pp-kex-2
//= type=test
//# An all-zero shared secret is refused.
//= spec/exchange.md#pp-kex-27
//= type=test
//# A peer's X25519 public key is read as RFC 7748 section 5 says: its highest bit is ignored, and values of the prime and above are reduced.
#[test]
fn x25519_agrees_and_refuses_nothing_but_zero() {
    for provider in providers() {
        assert_eq!(xdh_cases(provider), Tally { accepted: 487, refused: 31, out_of_shape: 0 }, "{}", provider.name);
    }
}

fn eddsa_cases(provider: &CryptoProvider) -> Tally {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = PublicKey(group.key.pk.as_slice().try_into().unwrap());
        for test in group.tests {
            let Ok(signature) = test.sig.as_slice().try_into() else {
                assert_eq!(test.result, TestResult::Invalid, "ed25519 case {}", test.tc_id);
                tally.out_of_shape += 1;
                continue;
            };
            let accepted = key.verify_strict(provider, &test.msg, signature);
            assert_eq!(accepted, test.result == TestResult::Valid, "ed25519 case {}: {}", test.tc_id, test.comment);
            tally.count(accepted);
        }
    }
    tally
}

//= spec/exchange.md#pp-kex-7
//= type=test
//# A PILA is verified with the known identity key, strictly: non-canonical signatures and low-order points are refused.
#[test]
fn ed25519_accepts_canonical_signatures_only() {
    for provider in providers() {
        assert_eq!(eddsa_cases(provider), Tally { accepted: 88, refused: 51, out_of_shape: 12 }, "{}", provider.name);
    }
}

/// Opens the case and, when it is a valid one, seals it again.
fn gcm_case(provider: &CryptoProvider, test: &aead::Test, nonce: &[u8; NONCE_LEN], tag: &[u8; TAG_LEN]) -> bool {
    let key = provider.aead.key(test.key.as_slice().try_into().unwrap());
    let mut data = test.ct.to_vec();
    if key.open_in_place(nonce, &test.aad, &mut data, tag).is_err() {
        assert_eq!(data.as_slice(), test.ct.as_slice(), "aes-gcm case {}: a failed open changed the data", test.tc_id);
        return false;
    }
    assert_eq!(data.as_slice(), test.pt.as_slice(), "aes-gcm case {}", test.tc_id);
    assert_eq!(key.seal_in_place(nonce, &test.aad, &mut data), Ok(*tag), "aes-gcm case {}", test.tc_id);
    assert_eq!(data.as_slice(), test.ct.as_slice(), "aes-gcm case {}", test.tc_id);
    true
}

fn gcm_cases(provider: &CryptoProvider) -> Tally {
    let mut tally = Tally::default();
    let groups = aead::TestSet::load(aead::TestName::AesGcm).unwrap().test_groups;
    for group in groups.into_iter().filter(|group| group.key_size == 256) {
        for test in &group.tests {
            let (Ok(nonce), Ok(tag)) = (test.nonce.as_slice().try_into(), test.tag.as_slice().try_into()) else {
                tally.out_of_shape += 1;
                continue;
            };
            let accepted = gcm_case(provider, test, nonce, tag);
            assert_eq!(accepted, test.result == TestResult::Valid, "aes-gcm case {}: {}", test.tc_id, test.comment);
            tally.count(accepted);
        }
    }
    tally
}

#[test]
fn aes_256_gcm_opens_what_is_authentic_and_nothing_else() {
    for provider in providers() {
        assert_eq!(gcm_cases(provider), Tally { accepted: 39, refused: 27, out_of_shape: 39 }, "{}", provider.name);
    }
}
