//! The base64 text of keys and signatures (RFC 4648 section 4): padded, canonical, and of one length.

use data_encoding::BASE64;

/// The `N` bytes that `text` stands for; `None` when it is not exactly their text. Each value has one text: the library would also take several padded
/// texts in a row.
#[must_use]
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.trim_end_matches('=').contains('=') {
        return None;
    }
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_text() {
        let text = BASE64.encode(&[0xC4; 32]);
        assert_eq!(decode(&text), Some([0xC4; 32]));
        assert_eq!(decode::<31>(&text), None);
        // The first 29 bytes with their padding, and three more: 44 characters as well.
        let in_a_row = format!("{}{}", BASE64.encode(&[0xC4; 29]), BASE64.encode(&[0xC4; 3]));
        assert_eq!((in_a_row.len(), decode::<32>(&in_a_row)), (text.len(), None));
        assert_eq!(decode::<32>(text.trim_end_matches('=')), None, "without padding");
        assert_eq!(decode::<1>("AB=="), None, "bits that no byte has");
        assert_eq!(decode::<0>(""), Some([]));
    }
}
