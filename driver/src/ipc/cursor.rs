//! Reading fields off the front of a payload.

use bytes::Bytes;
use proto_core::wire::{Address, SocketAddress};

/// What is left of a payload.
pub(super) struct Cursor(Bytes);

impl Cursor {
    pub(super) fn new(payload: &Bytes) -> Self {
        Self(payload.clone())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let field = *self.0.first_chunk::<N>()?;
        let _ = self.0.split_to(N);
        Some(field)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn socket_address(&mut self) -> Option<SocketAddress> {
        let address = Address::from_bytes(self.array()?);
        Some(SocketAddress::new(address, self.u16()?))
    }

    pub(super) fn bytes(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    /// The rest as it is.
    pub(super) fn rest(self) -> Bytes {
        self.0
    }

    /// The rest as text; bytes that are not UTF-8 are replaced.
    pub(super) fn text(self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}
