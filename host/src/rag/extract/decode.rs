//! Text in whichever encoding it was written: what a mark at its start says, else UTF-8, UTF-16, what the page itself names, else what
//! browsers would guess. Invariant: bytes that are no text are told apart, not read as letters of a strange language.

use bytes::Bytes;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE};

/// One character in so many may be one of control: more are not a text.
const CONTROL: usize = 100;
/// One wrong byte for so many right characters of several bytes: it is UTF-8 that was damaged, and nothing else.
const DAMAGED: usize = 10;
/// What switches to Japanese in ISO-2022-JP.
const JAPANESE_BEGINS: &[u8] = b"\x1b$B";
/// Bytes in which a page names its encoding, by the rule of browsers.
const NAMED_WITHIN: usize = 1024;

/// The text, or none if the bytes are not a text.
pub(super) fn text(bytes: Bytes) -> Option<String> {
    let text = decoded(bytes)?;
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    let (mut all, mut strange, mut binary) = (0, 0, 0);
    for c in text.chars() {
        all += 1;
        strange += usize::from(control(c));
        // Those beyond ASCII are what is left of a text that was once read in a wrong encoding, of which the web is full.
        binary += usize::from(c.is_ascii_control() && control(c));
    }
    if binary * CONTROL > all {
        return None;
    }
    // What is left of them would be noise in every chunk, and NUL ends a text for some who read it.
    Some(if strange > 0 { text.chars().filter(|c| !control(*c)).collect() } else { text })
}

fn decoded(bytes: Bytes) -> Option<String> {
    if let Some((encoding, mark)) = Encoding::for_bom(&bytes) {
        if encoding == UTF_8 {
            return Some(String::from_utf8_lossy(&bytes[mark..]).into_owned());
        }
        return whole(encoding, &bytes[mark..]);
    }
    let zeros = memchr_count(&bytes);
    if zeros > 0
        && let Some(encoding) = utf16(&bytes)
        && let Some(text) = whole(encoding, &bytes)
    {
        return Some(text);
    }
    // All of its bytes are ASCII, so that it would be taken for UTF-8.
    if memchr::memmem::find(&bytes, JAPANESE_BEGINS).is_some()
        && let Some(text) = whole(ISO_2022_JP, &bytes)
    {
        return Some(text);
    }
    let bytes = match String::from_utf8(bytes.into()) {
        Ok(text) => return Some(text),
        Err(error) => error.into_bytes(),
    };
    if zeros * CONTROL > bytes.len() {
        return None;
    }
    if is_damaged_utf8(&bytes) {
        return Some(String::from_utf8_lossy(&bytes).into_owned());
    }
    let encoding = named(&bytes).filter(|encoding| !encoding.decode_without_bom_handling(&bytes).1).unwrap_or_else(|| guessed(&bytes));
    Some(encoding.decode_without_bom_handling(&bytes).0.into_owned())
}

fn memchr_count(bytes: &[u8]) -> usize {
    memchr::memchr_iter(0, bytes).count()
}

/// UTF-16 without a mark, from which zeros stand in one half of each character: none is read as it if they stand in both.
fn utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let (mut even, mut odd) = (0_usize, 0_usize);
    for at in memchr::memchr_iter(0, bytes) {
        if at % 2 == 0 { even += 1 } else { odd += 1 }
    }
    let many = bytes.len() / 20;
    match bytes.len() % 2 {
        0 if even == 0 && odd > many => Some(UTF_16LE),
        0 if odd == 0 && even > many => Some(UTF_16BE),
        _ => None,
    }
}

fn whole(encoding: &'static Encoding, bytes: &[u8]) -> Option<String> {
    let (text, wrong) = encoding.decode_without_bom_handling(bytes);
    // The end of a file that was cut is no reason to take it for something else.
    let wrong = wrong && text.trim_end_matches('\u{fffd}').contains('\u{fffd}');
    (!wrong).then(|| text.into_owned())
}

fn is_damaged_utf8(bytes: &[u8]) -> bool {
    let (mut right, mut wrong) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        right += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        wrong += usize::from(!chunk.invalid().is_empty());
    }
    wrong * DAMAGED <= right
}

/// What the text says of itself, as pages and XML files do.
fn named(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(NAMED_WITHIN)].to_ascii_lowercase();
    if !head.contains(&b'<') {
        return None;
    }
    let after = |word: &[u8]| memchr::memmem::find(&head, word).map(|at| &head[at + word.len()..]);
    let value = after(b"charset=").or_else(|| after(b"encoding="))?;
    let value = value.strip_prefix(b"\"").or_else(|| value.strip_prefix(b"'")).unwrap_or(value);
    let end = value.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"-_:".contains(byte)).unwrap_or(value.len());
    Encoding::for_label(&value[..end]).filter(|encoding| *encoding != UTF_8 && *encoding != UTF_16LE && *encoding != UTF_16BE)
}

fn guessed(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny)
}

#[cfg(test)]
mod tests {
    use encoding_rs::{EUC_KR, GBK, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252};

    use super::*;

    const WESTERN: &str = "Die Pumpe läuft über den Kühler; naïve façade – „schön“ für 20 €.\n";
    const JAPANESE: &str = "ポンプの定期点検は毎月実施し、異常があれば直ちに報告してください。\n";

    fn utf16(text: &str, encode: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(encode).collect()
    }

    #[track_caller]
    fn check(bytes: impl Into<Bytes>, expected: &str) {
        assert_eq!(text(bytes.into()).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_left_of_a_wrong_encoding_is_no_sign_of_something_else_than_text() {
        // UTF-8 that was read as Latin-1, as in one page of six of a crawl of the web.
        let twice = |text: &str| text.bytes().map(char::from).collect::<String>();
        let read = text(format!("{} is Thai.", twice("เบนซ์")).into()).expect("a text");
        assert!(read.ends_with("is Thai.") && read.starts_with("à¹") && !read.contains(|c: char| c.is_control()), "{read:?}");
        assert_eq!(text(Bytes::from_static(b"PK\x01\x02 and \x00\x03")), None);
    }

    #[test]
    fn text_is_read_in_the_encodings_that_browsers_and_offices_write() {
        for text in [WESTERN, JAPANESE] {
            check(text, text);
            check(["\u{feff}", text].concat(), text);
            for encode in [u16::to_le_bytes, u16::to_be_bytes] {
                check(utf16(&["\u{feff}", text].concat(), encode), text);
            }
        }
        for encode in [u16::to_le_bytes, u16::to_be_bytes] {
            check(utf16(WESTERN, encode), WESTERN);
        }
        let russian = "Насос проверяют каждый месяц, а о неисправности сообщают немедленно.\n";
        let korean = "펌프는 매달 점검하고 이상이 있으면 즉시 보고해야 합니다.\n";
        let chinese = "水泵每月检查一次，如有异常请立即报告给值班人员。\n";
        let cases = [
            (WINDOWS_1252, WESTERN),
            (SHIFT_JIS, JAPANESE),
            (ISO_2022_JP, JAPANESE),
            (WINDOWS_1251, russian),
            (EUC_KR, korean),
            (GBK, chinese),
        ];
        for (encoding, text) in cases {
            let (bytes, _, unmappable) = encoding.encode(text);
            assert!(!unmappable, "{encoding:?}");
            check(bytes.repeat(3), &text.repeat(3));
        }
    }

    #[test]
    fn a_page_that_names_its_encoding_is_read_in_it() {
        let page = "<html><head><meta charset=\"iso-8859-2\"></head><body>Příliš žluťoučký kůň</body>";
        check(encoding_rs::ISO_8859_2.encode(page).0.into_owned(), page);
    }

    #[test]
    fn damaged_utf8_stays_utf8() {
        let text = WESTERN.repeat(4);
        let damaged = [text.as_bytes(), b"\xff", text.as_bytes()].concat();
        check(damaged, &format!("{text}\u{fffd}{text}"));
    }

    #[test]
    fn bytes_that_are_no_text_are_told_apart() {
        let noise: Vec<u8> = (0..2000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for bytes in [noise, b"ELF\0\0\0\x01\x02\x03\0\0\0\0".to_vec(), b"\x01\x02\x03\x04\x05\x06".to_vec(), vec![0; 99]] {
            assert_eq!(text(bytes.into()), None);
        }
        check("a\u{0}".to_owned() + &"words ".repeat(99), &("a".to_owned() + &"words ".repeat(99)));
        check("", "");
    }
}
