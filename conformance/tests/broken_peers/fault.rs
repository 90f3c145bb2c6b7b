//! Faults, each of one kind, put into an endpoint from outside: in its cryptography every packet passes in clear.

use proto_core::crypto::provider::{
    Aead, AeadError, AeadKey, KeyAgreement, NONCE_LEN, SignatureScheme, SigningKey, TAG_LEN,
};
use proto_core::crypto::{CryptoProvider, ExchangeSecret, SharedSecret, rust_crypto};
use proto_core::wire::header::crc32;
use proto_core::wire::{Flags, HEADER_LEN};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// What is wrong with an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Every signature is taken for a right one.
    AcceptsAnySignature,
    /// A shared secret of zero is a secret.
    AcceptsWeakPoints,
    /// A key exchange is answered however often it comes.
    AnswersReplayedExchange,
    /// A sealed frame is opened however often it comes.
    OpensReplays,
    /// A packet with a wrong checksum is a packet.
    AcceptsBadChecksums,
    /// What is held beyond a hole is not told.
    NoSack,
    /// A closed window is no obstacle.
    IgnoresClosedWindows,
    /// Segments are sent once.
    NeverRepeats,
    /// A FIN is answered with FIN and ACK.
    FinWithAck,
    /// Pings are answered with the sequence number where its successor should be.
    WrongPongs,
    /// Everything leaves late.
    LateAnswers,
    /// Whoever has a key is a friend.
    AnswersStrangers,
}

/// What a fault has to remember.
#[derive(Default)]
pub(crate) struct Memory {
    datagrams: Mutex<BTreeSet<Vec<u8>>>,
    disguises: Mutex<BTreeMap<[u8; NONCE_LEN], [u8; NONCE_LEN]>>,
    sent: Mutex<BTreeSet<Vec<u8>>>,
    ending: Mutex<bool>,
}

impl Memory {
    /// True the first time these bytes come.
    pub(crate) fn first_time(&self, datagram: &[u8]) -> bool {
        self.datagrams.lock().unwrap().insert(datagram.to_vec())
    }

    /// Gives a sealed frame a nonce that no window has seen; [`Key`] undoes it.
    pub(crate) fn disguise(&self, frame: &mut [u8]) {
        let mut disguises = self.disguises.lock().unwrap();
        let nonce: [u8; NONCE_LEN] = frame[8..20].try_into().unwrap();
        let mut other = nonce;
        // Ahead of whatever came under this prefix, and never the same.
        let number = u64::from_be_bytes(nonce[4..].try_into().unwrap()) + 100_000 + disguises.len() as u64;
        other[4..].copy_from_slice(&number.to_be_bytes());
        disguises.insert(other, nonce);
        frame[8..20].copy_from_slice(&other);
    }
}

/// Cryptography with the fault in it.
pub(crate) fn provider(fault: Fault, memory: &Arc<Memory>) -> &'static CryptoProvider {
    let crypto: &'static Crypto = Box::leak(Box::new(Crypto { fault, memory: Arc::clone(memory) }));
    Box::leak(Box::new(CryptoProvider { name: "broken", aead: crypto, exchange: crypto, signature: crypto }))
}

struct Crypto {
    fault: Fault,
    memory: Arc<Memory>,
}

impl KeyAgreement for Crypto {
    fn public(&self, secret: &ExchangeSecret) -> [u8; 32] {
        rust_crypto().exchange.public(secret)
    }

    fn agree(&self, secret: &ExchangeSecret, peer: &[u8; 32]) -> Option<SharedSecret> {
        let agreed = rust_crypto().exchange.agree(secret, peer);
        let weak = || (self.fault == Fault::AcceptsWeakPoints).then(|| SharedSecret::from_bytes([0; 32]));
        agreed.or_else(weak)
    }
}

impl SignatureScheme for Crypto {
    fn signing_key(&self, seed: &[u8; 32]) -> Box<dyn SigningKey> {
        rust_crypto().signature.signing_key(seed)
    }

    fn verify_strict(&self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        self.fault == Fault::AcceptsAnySignature || rust_crypto().signature.verify_strict(public, message, signature)
    }
}

impl Aead for Crypto {
    fn key(&self, key: &[u8; 32]) -> Box<dyn AeadKey> {
        Box::new(Key { inner: rust_crypto().aead.key(key), fault: self.fault, memory: Arc::clone(&self.memory) })
    }
}

struct Key {
    inner: Box<dyn AeadKey>,
    fault: Fault,
    memory: Arc<Memory>,
}

impl AeadKey for Key {
    fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG_LEN], AeadError> {
        self.leaving(data);
        self.inner.seal_in_place(nonce, aad, data)
    }

    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), AeadError> {
        let true_nonce = self.memory.disguises.lock().unwrap().get(nonce).copied().unwrap_or(*nonce);
        self.inner.open_in_place(&true_nonce, aad, data, tag)?;
        self.arriving(data);
        Ok(())
    }
}

impl Key {
    fn arriving(&self, packet: &mut [u8]) {
        if packet.len() < HEADER_LEN {
            return;
        }
        *self.memory.ending.lock().unwrap() = flags(packet) == Flags::FIN;
        match self.fault {
            Fault::AcceptsBadChecksums => fit(packet),
            Fault::IgnoresClosedWindows if packet[1] == 1 && packet[28..30] == [0, 0] => {
                packet[28..30].copy_from_slice(&512_u16.to_be_bytes());
                fit(packet);
            }
            _ => {}
        }
    }

    fn leaving(&self, packet: &mut [u8]) {
        let (stream, payload) = (packet[1] == 1, &packet[HEADER_LEN..]);
        match self.fault {
            Fault::NoSack if stream && payload.starts_with(b"SACK") => packet[HEADER_LEN] = b'X',
            // Neither version nor anything else of it is right the second time.
            Fault::NeverRepeats
                if stream
                    && !payload.is_empty()
                    && !payload.starts_with(b"SACK")
                    && !self.memory.sent.lock().unwrap().insert(packet[10..24].to_vec()) =>
            {
                packet[0] = 0;
            }
            Fault::FinWithAck if stream && flags(packet) == Flags::ACK && *self.memory.ending.lock().unwrap() => {
                packet[0] |= Flags::FIN.bits();
            }
            Fault::WrongPongs if packet[1] == 3 && flags(packet) == Flags::ACK => packet.copy_within(20..24, 24),
            _ => return,
        }
        fit(packet);
    }
}

fn flags(packet: &[u8]) -> Flags {
    Flags::from_bits_truncate(packet[0])
}

/// Makes the checksum right for the payload that the header declares.
fn fit(packet: &mut [u8]) {
    let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let Some(whole) = packet.get_mut(..HEADER_LEN + length) else { return };
    whole[30..34].fill(0);
    let sum = crc32([&*whole]);
    whole[30..34].copy_from_slice(&sum.to_be_bytes());
}
