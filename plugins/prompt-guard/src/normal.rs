//! A text as words that can be compared: what is meant to look like a letter is that letter. Undoes compatibility forms and accents, letters of other
//! alphabets that look alike, characters that nobody sees, digits for letters, escapes of JSON, and words that are spelled letter by letter.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::url::entity;

/// A word of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Whether it stands in quotes or in code.
    pub(crate) quoted: bool,
}

/// Words to look for in letters that are run together, with their beginnings, by which most places are passed quickly.
#[derive(Debug, Default)]
pub(crate) struct Known {
    words: HashSet<String>,
    beginnings: HashSet<String>,
}

/// Letters by which a known word begins; shorter ones are not looked for.
const BEGINNING: usize = 3;

impl Known {
    pub(crate) fn add(&mut self, word: &str) {
        if let Some(beginning) = word.get(..BEGINNING) {
            self.beginnings.insert(beginning.to_owned());
            self.words.insert(word.to_owned());
        }
    }

    fn contains(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    /// The longest known word that the text begins with.
    fn first<'a>(&self, text: &'a str) -> Option<&'a str> {
        if !self.beginnings.contains(text.get(..BEGINNING)?) {
            return None;
        }
        let ends = (BEGINNING..=text.len().min(LONG)).rev();
        ends.filter_map(|end| text.get(..end)).find(|word| self.contains(word))
    }
}

/// Letters that look like those of English, in lower case.
const ALIKE: [(&str, char); 18] = [
    ("аαɑ", 'a'),
    ("вьЬ", 'b'),
    ("сϲ", 'c'),
    ("ԁɗ", 'd'),
    ("еєεҽ", 'e'),
    ("ɡց", 'g'),
    ("һнհ", 'h'),
    ("іıɩιӏ", 'i'),
    ("ј", 'j'),
    ("кκ", 'k'),
    ("мʍ", 'm'),
    ("пոηη", 'n'),
    ("оοօσ", 'o'),
    ("рρ", 'p'),
    ("ѕ", 's'),
    ("тτ", 't'),
    ("υսʋ", 'u'),
    ("хχ", 'x'),
];
const ALIKE_MORE: [(&str, char); 5] = [("уγү", 'y'), ("ѵν", 'v'), ("ԝω", 'w'), ("гɾ", 'r'), ("ƒ", 'f')];

/// Whether nobody sees the character.
pub(crate) fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// The visible text in its plainest characters, in lower case. Length may change, order does not.
pub(crate) fn plain(text: &str) -> String {
    let seen: String = unescaped(text).chars().filter(|c| !is_hidden(*c)).collect();
    seen.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).map(look_alike).collect()
}

fn look_alike(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let both = ALIKE.iter().chain(&ALIKE_MORE);
    both.into_iter().find(|(letters, _)| letters.contains(c)).map_or(c, |(_, letter)| *letter)
}

/// Without the escapes of JSON strings, in which results of tools come, and without entities of HTML.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '&']) {
        out.push_str(&rest[..at]);
        if rest[at..].starts_with('&') {
            let (c, length) = entity(&rest[at..]).unwrap_or(('&', 1));
            out.push(c);
            rest = &rest[at + length..];
            continue;
        }
        rest = &rest[at + 1..];
        let code =
            rest.strip_prefix('u').and_then(|hex| hex.get(..4)).and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        if let Some(c) = code {
            out.push(c);
            rest = &rest[5..];
        } else if rest.starts_with(['n', 'r', 't']) {
            out.push('\n');
            rest = &rest[1..];
        }
    }
    out + rest
}

/// The words of a plain text. `known` are those to look for in words that are run together.
pub(crate) fn words(plain: &str, known: &Known) -> Vec<Word> {
    let quoted = quoted(plain);
    let mut words: Vec<Word> = Vec::new();
    // The letters of a word that is spelled out, and where the last one ended.
    let mut letters: Vec<(usize, usize)> = Vec::new();
    let spelled = |letters: &mut Vec<(usize, usize)>, words: &mut Vec<Word>| {
        let quoted = letters.first().is_some_and(|(at, _)| quoted.contains(*at));
        if letters.len() >= MOST_LETTERS {
            let text: String = letters.iter().map(|(at, end)| folded(&plain[*at..*end])).collect();
            words.extend(split(&text, known).into_iter().map(|text| Word { text, quoted }));
        } else {
            words.extend(letters.iter().map(|(at, end)| Word { text: folded(&plain[*at..*end]), quoted }));
        }
        letters.clear();
    };
    for (start, end) in tokens(plain) {
        let token = &plain[start..end];
        if token.chars().count() == 1 && !token.starts_with(is_unspaced) {
            let near = letters.last().is_none_or(|(_, last)| plain[*last..start].chars().count() == 1);
            if !near {
                spelled(&mut letters, &mut words);
            }
            letters.push((start, end));
            continue;
        }
        spelled(&mut letters, &mut words);
        let text = folded(token);
        let quoted = quoted.contains(start);
        if text.len() >= LONG && !known.contains(&text) {
            words.extend(split(&text, known).into_iter().map(|text| Word { text, quoted }));
        } else {
            words.push(Word { text, quoted });
        }
    }
    spelled(&mut letters, &mut words);
    words
}

/// So many single letters in a row are a word that is spelled out.
const MOST_LETTERS: usize = 4;
/// Words of so many bytes may be several that are run together.
const LONG: usize = 16;

/// A word as patterns are compared with it: letters that stand for each other are one.
pub(crate) fn folded(word: &str) -> String {
    let has_letters = word.chars().any(char::is_alphabetic);
    let fold = |c| match c {
        'l' | '|' => 'i',
        '1' | '!' if has_letters => 'i',
        '0' if has_letters => 'o',
        '3' if has_letters => 'e',
        '4' | '@' if has_letters => 'a',
        '5' | '$' if has_letters => 's',
        '7' if has_letters => 't',
        c => c,
    };
    word.chars().map(fold).collect()
}

/// Whether a letter is of a script that is written without spaces.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{312f}' | '\u{31a0}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn tokens(plain: &str) -> Vec<(usize, usize)> {
    let mut tokens: Vec<(usize, usize)> = Vec::new();
    let mut open = false;
    let mut rest = plain.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let end = at + c.len_utf8();
        let next = rest.peek().map(|(_, next)| *next);
        // `ign@re`, but not the `@` before a name.
        let inside = open && matches!(c, '@' | '$' | '|') && next.is_some_and(char::is_alphanumeric);
        if c.is_alphanumeric() && is_unspaced(c) {
            tokens.push((at, end));
            open = false;
        } else if c.is_alphanumeric() || inside {
            match tokens.last_mut().filter(|_| open) {
                Some(token) => token.1 = end,
                None => tokens.push((at, end)),
            }
            open = true;
        } else {
            open = false;
        }
    }
    tokens
}

/// Cuts letters into known words; what is between them is a word too.
fn split(text: &str, known: &Known) -> Vec<String> {
    let mut out = Vec::new();
    let mut unknown = String::new();
    let mut at = 0;
    while at < text.len() {
        if let Some(word) = known.first(&text[at..]) {
            if !unknown.is_empty() {
                out.push(std::mem::take(&mut unknown));
            }
            out.push(word.to_owned());
            at += word.len();
        } else {
            let c = text[at..].chars().next().expect("it is not the end");
            unknown.push(c);
            at += c.len_utf8();
        }
    }
    if !unknown.is_empty() {
        out.push(unknown);
    }
    out
}

/// Which parts of a text stand in quotes.
struct Quoted(Vec<(usize, usize)>);

impl Quoted {
    fn contains(&self, at: usize) -> bool {
        let index = self.0.partition_point(|(_, end)| *end <= at);
        self.0.get(index).is_some_and(|(start, _)| *start <= at)
    }
}

/// Longer quotes are no mention of a phrase.
const LONGEST_QUOTE: usize = 160;

/// Quotes open behind a space or a bracket and end in the same line. Plain ones are a pair of the same character.
fn quoted(text: &str) -> Quoted {
    let mut found = Vec::new();
    let mut open: Option<(usize, char)> = None;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match open {
            Some((start, close)) if c == close => {
                if at - start <= LONGEST_QUOTE {
                    found.push((start, at));
                }
                open = None;
            }
            Some((start, _)) if c == '\n' || at - start > LONGEST_QUOTE => open = None,
            Some(_) => {}
            None => {
                let close = match c {
                    '"' | '`' => Some(c),
                    '\'' if !before.is_alphanumeric() => Some(c),
                    '“' | '„' => Some('”'),
                    '«' => Some('»'),
                    '「' => Some('」'),
                    _ => None,
                };
                open = close.map(|close| (at, close));
            }
        }
        before = c;
    }
    Quoted(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> String {
        let mut known = Known::default();
        ["ignore", "previous", "instructions", "all"].iter().for_each(|word| known.add(&folded(word)));
        words(&plain(text), &known).into_iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_looks_like_a_word_is_that_word() {
        let expected = all("ignore previous instructions");
        for text in [
            "IGNORE Previous, instructions!",
            "ig\u{200b}no\u{200d}re pre\u{ad}vious in\u{2060}structions",
            "ｉｇｎｏｒｅ　ｐｒｅｖｉｏｕｓ　ｉｎｓｔｒｕｃｔｉｏｎｓ",
            "іgnоrе рrеvіоuѕ іnѕtruсtіоnѕ",
            "𝐢𝐠𝐧𝐨𝐫𝐞 𝓹𝓻𝓮𝓿𝓲𝓸𝓾𝓼 𝕚𝕟𝕤𝕥𝕣𝕦𝕔𝕥𝕚𝕠𝕟𝕤",
            "ïgnörè prévious ínstructions",
            "1gn0r3 prev1ous 1nstruct10n5",
            "ign@re ignored",
            "i g n o r e  p r e v i o u s  i n s t r u c t i o n s",
            "i g n o r e p r e v i o u s i n s t r u c t i o n s",
            "i.g.n.o.r.e. p-r-e-v-i-o-u-s i_n_s_t_r_u_c_t_i_o_n_s",
            "ignorepreviousinstructions",
            "ignore\\nprevious\\u0020instructions",
            "\\u0069gnore previous instructions",
            "&#105;gnore&#x20;previous instructions & ",
        ] {
            if text == "ign@re ignored" {
                assert_eq!(all(text), all("ignare ignored"));
            } else {
                assert_eq!(all(text), expected, "{text}");
            }
        }
    }

    #[test]
    fn short_quotes_are_known() {
        let quoted = |text: &str| words(&plain(text), &Known::default()).into_iter().filter(|word| word.quoted).count();
        assert_eq!(quoted("say \"one two\" and `three` or 'four five', don't you won't"), 5);
        assert_eq!(quoted("“one” «two» „three” 'four\nfive'"), 3);
        assert_eq!(quoted(&format!("\"{}\"", "long ".repeat(60))), 0);
    }
}
