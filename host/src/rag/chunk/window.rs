//! How many of the embedder's tokens a text takes, estimated from above: what is cut off at the window is never found.
//! The embedder keeps its vocabulary to itself, so the counts were fitted to WordPiece with BERT's uncased vocabulary.

use text_splitter::ChunkSizer;

/// The budget of one chunk. The window is 128 tokens, two of which are the embedder's own; the rest is margin: over READMEs, manual
/// pages, source code, translations into 16 languages, hashes and numbers, one chunk in 500 of this size loses some words at its end.
pub(super) const WINDOW: usize = 116;

/// One accented letter in so many: the text is not English but in Latin script.
const ACCENTED_LETTERS_ONE_IN: usize = 200;
/// Bytes of a chunk for each token at most, so that blanks, which cost no token, cannot fill a chunk without end.
const BYTES_PER_TOKEN: usize = 32;

/// Prices words by the language of the document they stand in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    /// The vocabulary is English: words of other languages fall into more pieces.
    foreign: bool,
}

impl Window {
    pub(super) fn of(document: &str) -> Self {
        let letters = document.chars().filter(|c| c.is_alphabetic()).count();
        let accented = document.chars().filter(|c| matches!(c, '\u{c0}'..='\u{24f}')).count();
        Self { foreign: accented * ACCENTED_LETTERS_ONE_IN > letters }
    }

    /// For a text that stands beside one of any language.
    pub(super) const fn strict() -> Self {
        Self { foreign: true }
    }

    fn word(self, word: &str) -> usize {
        let chars = word.chars().count();
        if word.bytes().all(|b| b.is_ascii_alphabetic()) {
            return match chars {
                ..=2 => 1,
                _ if self.foreign => (chars * 2).div_ceil(5),
                3..=8 => chars.div_ceil(4),
                9..=12 => chars.div_ceil(3),
                // Compounds and identifiers without separators.
                _ => chars.div_ceil(2),
            };
        }
        if word.bytes().all(|b| b.is_ascii_digit()) {
            return (chars * 3).div_ceil(5);
        }
        if word.is_ascii() {
            // Hashes, base64, version tags.
            return chars;
        }
        if word.chars().all(|c| c.is_ascii() || matches!(c, '\u{c0}'..='\u{24f}')) {
            return chars.div_ceil(2);
        }
        word.chars().map(letter).sum()
    }
}

impl ChunkSizer for Window {
    fn size(&self, chunk: &str) -> usize {
        let mut tokens = 0;
        let mut start = 0;
        for (at, c) in chunk.char_indices() {
            if c.is_alphanumeric() && !is_ideograph(c) {
                continue;
            }
            tokens += if start < at { self.word(&chunk[start..at]) } else { 0 };
            tokens += usize::from(!c.is_whitespace());
            start = at + c.len_utf8();
        }
        tokens += if start < chunk.len() { self.word(&chunk[start..]) } else { 0 };
        tokens.max(chunk.len() / BYTES_PER_TOKEN)
    }
}

/// Letters of scripts that the vocabulary has letter by letter; a Hangul syllable is taken apart into up to three.
fn letter(c: char) -> usize {
    if matches!(c, '\u{ac00}'..='\u{d7a3}') { 3 } else { 1 }
}

/// The ranges that BERT's tokenizer sets apart as words of their own.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2ceaf}' | '\u{2f800}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, tokens: usize) {
        assert_eq!(Window::of(text).size(text), tokens, "{text}");
    }

    #[test]
    fn punctuation_and_ideographs_are_tokens_and_words_go_by_length() {
        check("", 0);
        check("the cat sat.", 4);
        check("configuration", 7);
        check("a, b", 3);
        check("漢字", 2);
        check("한국어", 9);
        check("2026", 3);
        check("3fa9c0d1", 8);
        check("snake_case", 4);
        check("für", 2);
    }

    #[test]
    fn words_cost_more_in_a_document_that_is_not_english() {
        let german = Window::of("Die Prüfung der Verträge erfolgt jährlich.");
        assert!(german.size("Versicherung") > Window::of("The yearly audit.").size("Versicherung"));
    }

    #[test]
    fn blanks_cannot_fill_a_chunk_without_end() {
        assert_eq!(Window::of("").size(&" ".repeat(6400)), 200);
    }
}
