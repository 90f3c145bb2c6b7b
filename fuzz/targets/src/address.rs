//! Texts that name nodes, ports and keys.

use core::fmt::{Debug, Display};
use core::str::FromStr;
use proto_core::crypto::PublicKey;
use proto_core::wire::{Address, SocketAddress};

/// A text that is read is written so that it is read as the same again; bytes and text say the same.
pub fn address_text(data: &[u8]) {
    if let Some(bytes) = data.first_chunk() {
        let address = Address::from_bytes(*bytes);
        assert_eq!(address.to_bytes(), *bytes);
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Some(address) = round_trip::<Address>(text) {
        assert!(address.to_string().ends_with(&text.to_ascii_uppercase()[text.find(':').unwrap()..]));
    }
    round_trip::<SocketAddress>(text);
    if let Some(key) = round_trip::<PublicKey>(text) {
        assert_eq!(key.to_string(), text, "a key has one text");
    }
}

fn round_trip<T: FromStr + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    assert_eq!(value.to_string().parse::<T>().ok().as_ref(), Some(&value), "{text}");
    Some(value)
}
