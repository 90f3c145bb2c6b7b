//! Cryptography that remembers what it sealed: under which key and nonce, and which acknowledgement a packet carried. Everything else is
//! the real thing. What it remembers belongs to its thread, as a scenario does.

use proto_core::crypto::provider::{Aead, AeadError, AeadKey, CryptoProvider, rust_crypto};
use proto_core::wire::{Flags, Header, Protocol, SocketAddress};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

const KEY: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;

#[derive(Default)]
struct Seen {
    sealed: HashSet<([u8; KEY], [u8; NONCE])>,
    /// What came out: nonces with their tags.
    frames: HashSet<([u8; NONCE], [u8; TAG])>,
    acknowledged: BTreeMap<(SocketAddress, SocketAddress), u32>,
    wrong: Option<String>,
}

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// The provider for endpoints under observation.
pub(super) fn provider() -> &'static CryptoProvider {
    static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(|| CryptoProvider { aead: &Spy, ..*rust_crypto() });
    &PROVIDER
}

/// Forgets everything: another scenario begins on this thread.
pub(super) fn forget() {
    SEEN.with_borrow_mut(|seen| *seen = Seen::default());
}

/// What was sealed that must not be, since the last call.
pub(super) fn wrong() -> Option<String> {
    SEEN.with_borrow_mut(|seen| seen.wrong.take())
}

/// The frame with this nonce and what follows it was sealed, and is no plaintext in a sealed frame's clothes.
pub(super) fn is_sealed(nonce: &[u8; NONCE], sealed: &[u8]) -> bool {
    let tag = sealed.last_chunk::<TAG>();
    tag.is_some_and(|tag| SEEN.with_borrow(|seen| seen.frames.contains(&(*nonce, *tag))))
}

struct Spy;

impl Aead for Spy {
    fn key(&self, key: &[u8; KEY]) -> Box<dyn AeadKey> {
        Box::new(SpyKey { key: *key, inner: rust_crypto().aead.key(key) })
    }
}

struct SpyKey {
    key: [u8; KEY],
    inner: Box<dyn AeadKey>,
}

impl AeadKey for SpyKey {
    fn seal_in_place(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG], AeadError> {
        SEEN.with_borrow_mut(|seen| seen.note(&self.key, nonce, data));
        let tag = self.inner.seal_in_place(nonce, aad, data)?;
        SEEN.with_borrow_mut(|seen| seen.frames.insert((*nonce, tag)));
        Ok(tag)
    }

    fn open_in_place(
        &self,
        nonce: &[u8; NONCE],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG],
    ) -> Result<(), AeadError> {
        self.inner.open_in_place(nonce, aad, data, tag)
    }
}

impl Seen {
    fn note(&mut self, key: &[u8; KEY], nonce: &[u8; NONCE], packet: &[u8]) {
        if !self.sealed.insert((*key, *nonce)) {
            self.wrong.get_or_insert_with(|| format!("the nonce {nonce:02x?} was used twice under one key"));
        }
        let Ok((header, _)) = Header::parse(packet) else { return };
        if header.protocol != Protocol::Stream {
            return;
        }
        let from = SocketAddress::new(header.src, header.src_port);
        let to = SocketAddress::new(header.dst, header.dst_port);
        if header.flags.contains(Flags::SYN) {
            self.acknowledged.remove(&(from, to));
        } else if header.flags.contains(Flags::ACK) {
            let last = self.acknowledged.entry((from, to)).or_insert(header.ack.0);
            if header.ack.0.wrapping_sub(*last).cast_signed() < 0 {
                let text = format!("{from:?} acknowledged {} to {to:?} after {last}", header.ack.0);
                self.wrong.get_or_insert(text);
            }
            *last = header.ack.0;
        }
    }
}
