//! Base64 as others write it: with its padding, with less of it, or without any, and with any bits behind the last whole byte.

use std::sync::LazyLock;

use data_encoding::{BASE64_NOPAD, Encoding};

static LENIENT: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().expect("the common alphabet makes an encoding")
});

/// The bytes that `text` stands for in the common alphabet; none if it is something else.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(text.trim_end_matches('=').as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_whatever_its_padding() {
        for (text, bytes) in [("", ""), ("YQ==", "a"), ("YQ", "a"), ("YWI=", "ab"), ("YWJj", "abc"), ("w6nDqQ==", "éé"), ("Pz8/", "???")]
        {
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for text in ["Y", "Y*==", "YWJjZ", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn bits_behind_the_last_byte_say_nothing() {
        assert_eq!(decode("YR==").as_deref(), Some(&b"a"[..]));
    }
}
