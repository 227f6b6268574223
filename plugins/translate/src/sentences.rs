//! Where a text that is still coming may be cut, so that each piece can be translated by itself.

/// A text without an end of a sentence is cut between words at this many bytes.
const LONG: usize = 4_000;
/// What ends a sentence if a space follows.
const ENDS: [char; 4] = ['.', '!', '?', '…'];
/// What ends a sentence whatever follows.
const FULL_ENDS: [char; 3] = ['。', '！', '？'];

/// The bytes of the whole sentences at the beginning of the text; 0 if they are fewer than `least`. A block of code is not cut.
pub(crate) fn whole(text: &str, least: usize) -> usize {
    let mut end = 0;
    let mut before = ' ';
    let (mut ticks, mut code) = (0, false);
    for (at, char) in text.char_indices() {
        ticks = if char == '`' { ticks + 1 } else { 0 };
        if ticks == 3 {
            (ticks, code) = (0, !code);
        }
        let after = at + char.len_utf8();
        if !code && (char == '\n' || FULL_ENDS.contains(&char) || (char.is_whitespace() && ENDS.contains(&before))) {
            end = after;
        }
        before = char;
    }
    if end == 0 && text.len() >= LONG {
        end = text.rfind(char::is_whitespace).map_or(text.len(), |at| at + 1);
        // A space may have more bytes than one.
        end = (end..=text.len()).find(|&end| text.is_char_boundary(end)).unwrap_or(text.len());
    }
    if end >= least.min(LONG) { end } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_behind_its_last_whole_sentence() {
        for (text, whole_part) in [
            ("One. Two", "One. "),
            ("One.", ""),
            ("One. Two! Three? Fo", "One. Two! Three? "),
            ("It is 3.14 and", ""),
            ("A line\nAnother", "A line\n"),
            ("一。二", "一。"),
            ("no end at all", ""),
            ("Look:\n```\na. b\nc", "Look:\n"),
            ("Look:\n```\na. b\n```\nYes. N", "Look:\n```\na. b\n```\nYes. "),
            ("", ""),
        ] {
            assert_eq!(&text[..whole(text, 1)], whole_part, "{text}");
        }
    }

    #[test]
    fn few_sentences_wait_for_more_and_a_text_without_ends_is_cut_between_words() {
        assert_eq!((whole("One. Two", 6), whole("One. Two. T", 6)), (0, 10));
        let words = "word\u{3000}".repeat(LONG / 7 + 1);
        assert_eq!(whole(&(words.clone() + "half"), 300), words.len());
        let long = "é".repeat(LONG);
        assert_eq!(whole(&long, 300), long.len());
        assert_eq!(whole(&long, 20_000), long.len(), "the most that is held back");
    }
}
