//! How placeholders look, and how they are known again in what a model made of them: in another case, with spaces or `-` for `_`, with markdown's
//! escapes, without brackets or with others, or as a URL has them. The first word never stands so in prose, so that nothing else is taken for one.

use std::ops::Range;

/// Of what kind the value is; the model shall know that much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Name,
    Term,
    Email,
    Address,
    Phone,
    Card,
    Iban,
    Ip,
}

const WORDS: [(Kind, &str); 8] = [
    (Kind::Name, "NAME"),
    (Kind::Term, "TERM"),
    (Kind::Email, "EMAIL"),
    (Kind::Address, "ADDRESS"),
    (Kind::Phone, "PHONE"),
    (Kind::Card, "CARD"),
    (Kind::Iban, "IBAN"),
    (Kind::Ip, "IP"),
];

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        WORDS.iter().find(|(kind, _)| *kind == self).expect("each kind has a word").1
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        WORDS.iter().find(|(_, other)| other.eq_ignore_ascii_case(word)).map(|(kind, _)| *kind)
    }
}

pub(crate) fn write(kind: Kind, number: u32) -> String {
    format!("[MASKED_{}_{number}]", kind.word())
}

/// A placeholder in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) number: u32,
    /// What the value takes the place of.
    pub(crate) span: Range<usize>,
    /// Whether it is written as in a URL.
    pub(crate) encoded: bool,
}

/// Why there is no placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Not {
    /// It is something else.
    One,
    /// More of the text must come to know.
    Yet,
}

/// In what kind of text it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    /// The text of JSON, where characters may be escaped by a backslash.
    Json,
}

/// Whether one may begin with that character.
pub(crate) fn may_begin(c: char) -> bool {
    matches!(c, '[' | '［' | '【' | '\\' | '%' | 'm' | 'M')
}

/// The placeholder that begins at `start`; with `last` nothing comes after the text. Looks at so many bytes only, whatever they are.
pub(crate) fn at(text: &str, start: usize, last: bool, form: Form) -> Result<Found, Not> {
    let mut cursor = Cursor { text, at: start, last };
    let escaped_open = cursor.skip(MOST_ESCAPES, |c| c == '\\')?;
    let bracket = cursor.at;
    let open = cursor.bracket(&['[', '［', '【'], "%5b")?;
    if open.is_none() && (escaped_open > 0 || inside_word(&text[..start], form)) {
        return Err(Not::One);
    }
    if open.is_some() {
        cursor.skip(2, |c| c == ' ')?;
    }
    let token = cursor.at;
    cursor.word("MASKED")?;
    let mut escapes = cursor.separator()?;
    let kind = cursor.kind()?;
    escapes += cursor.separator()?;
    let number = cursor.number()?;
    let bare = Found { kind, number, span: token..cursor.at, encoded: false };
    if open.is_none() {
        return Ok(bare);
    }
    cursor.skip(2, |c| c == ' ')?;
    escapes += cursor.skip(MOST_ESCAPES, |c| c == '\\')?;
    let close = cursor.bracket(&[']', '］', '】'], "%5d")?;
    // The brackets of `[text](url)` are markdown's own.
    if close.is_none() || (close == Some(Bracket::Plain) && cursor.peek()? == Some('(')) {
        return Ok(bare);
    }
    // A backslash before the bracket alone is one of the text, as in a path.
    let from = if escapes > 0 { start } else { bracket };
    Ok(Found { span: from..cursor.at, encoded: open == Some(Bracket::Encoded), ..bare })
}

/// Backslashes in one place, where markdown's and those of JSON may come together.
const MOST_ESCAPES: usize = 4;

/// Whether what follows is the end of a word. In JSON the `n` of `\n` is no letter.
fn inside_word(before: &str, form: Form) -> bool {
    let Some(c) = before.chars().next_back().filter(|c| c.is_alphanumeric()) else { return false };
    let escapes = before.len() - c.len_utf8() - before[..before.len() - c.len_utf8()].trim_end_matches('\\').len();
    !(form == Form::Json && matches!(c, 'n' | 'r' | 't' | 'b' | 'f') && escapes % 2 == 1)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bracket {
    Plain,
    Encoded,
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    last: bool,
}

impl Cursor<'_> {
    /// The next character; none if the text is over.
    fn peek(&self) -> Result<Option<char>, Not> {
        match self.text[self.at..].chars().next() {
            None if !self.last => Err(Not::Yet),
            c => Ok(c),
        }
    }

    /// Goes past so many characters that `belongs` takes, and says how many there were.
    fn skip(&mut self, most: usize, belongs: impl Fn(char) -> bool) -> Result<usize, Not> {
        let mut count = 0;
        while count < most
            && let Some(c) = self.peek()?.filter(|c| belongs(*c))
        {
            self.at += c.len_utf8();
            count += 1;
        }
        Ok(count)
    }

    fn bracket(&mut self, plain: &[char], encoded: &str) -> Result<Option<Bracket>, Not> {
        let Some(c) = self.peek()? else { return Ok(None) };
        if plain.contains(&c) {
            self.at += c.len_utf8();
            return Ok(Some(Bracket::Plain));
        }
        let start = self.at;
        match self.word(encoded) {
            Ok(()) => Ok(Some(Bracket::Encoded)),
            Err(Not::Yet) => Err(Not::Yet),
            Err(Not::One) => {
                self.at = start;
                Ok(None)
            }
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Not> {
        for expected in word.chars() {
            match self.peek()? {
                Some(c) if c.eq_ignore_ascii_case(&expected) => self.at += 1,
                _ => return Err(Not::One),
            }
        }
        Ok(())
    }

    /// What stands between words; says how many backslashes are in it.
    fn separator(&mut self) -> Result<usize, Not> {
        let start = self.at;
        match self.skip(4, |c| matches!(c, '_' | '-' | ' ' | '\\' | '\u{a0}' | '\u{2010}' | '\u{2011}' | '＿'))? {
            0 => Err(Not::One),
            _ => Ok(self.text[start..self.at].matches('\\').count()),
        }
    }

    fn kind(&mut self) -> Result<Kind, Not> {
        let start = self.at;
        loop {
            let word = &self.text[start..self.at];
            if !WORDS.iter().any(|(_, other)| other.len() >= word.len() && other[..word.len()].eq_ignore_ascii_case(word)) {
                return Err(Not::One);
            }
            match self.peek()? {
                Some(c) if c.is_ascii_alphabetic() => self.at += 1,
                _ => return Kind::from_word(word).ok_or(Not::One),
            }
        }
    }

    fn number(&mut self) -> Result<u32, Not> {
        let start = self.at;
        self.skip(9, |c| c.is_ascii_digit())?;
        let digits = &self.text[start..self.at];
        let more = self.peek()?.is_some_and(|c| c.is_ascii_digit());
        if more || digits.starts_with('0') { Err(Not::One) } else { digits.parse().map_err(|_| Not::One) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn found(text: &str) -> Option<&str> {
        let starts = text.char_indices().filter(|(_, c)| may_begin(*c)).map(|(at, _)| at);
        let found = starts.filter_map(|start| at(text, start, true, Form::Plain).ok()).next()?;
        assert_eq!((found.kind, found.number), (Kind::Email, 12));
        Some(&text[found.span])
    }

    #[test]
    fn a_placeholder_survives_what_models_make_of_it() {
        for whole in [
            "[MASKED_EMAIL_12]",
            "[masked_email_12]",
            "[Masked Email 12]",
            "[ MASKED_EMAIL_12 ]",
            "\\[MASKED\\_EMAIL\\_12\\]",
            "\\[MASKED\\_EMAIL\\_12]",
            "[MASKED-EMAIL-12]",
            "【MASKED_EMAIL_12】",
            "［MASKED＿EMAIL＿12］",
            "MASKED_EMAIL_12",
            "%5BMASKED_EMAIL_12%5D",
        ] {
            assert_eq!(found(whole), Some(whole));
            assert_eq!(found(&format!("to {whole}, and")), Some(whole), "{whole}");
        }
        assert_eq!(found("`MASKED_EMAIL_12`s"), Some("MASKED_EMAIL_12"));
        assert_eq!(found("[MASKED_EMAIL_12](mailto:x)"), Some("MASKED_EMAIL_12"), "a link keeps its brackets");
        assert_eq!(found("C:\\[MASKED_EMAIL_12]\\docs"), Some("[MASKED_EMAIL_12]"), "a path keeps its backslash");
        assert_eq!(found("[MASKED_EMAIL_12, and]"), Some("MASKED_EMAIL_12"), "a list keeps its brackets");
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for text in [
            "masked emails",
            "[MASKED_MAIL_12]",
            "UNMASKED_EMAIL_12",
            "maskedEmail12",
            "[MASKED_EMAIL]",
            "[MASKED_EMAIL_012]",
            "MASKED_EMAIL_1234567890",
            "[MASKED_EMAIL_x]",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn no_more_is_waited_for_than_what_can_still_be_one() {
        let whole = "\\[MASKED\\_EMAIL\\_12\\] ";
        for end in 1..whole.len() - 1 {
            assert_eq!(at(&whole[..end], 0, false, Form::Plain), Err(Not::Yet), "{}", &whole[..end]);
        }
        for text in ["[a", "mas ", "masked x", "masked emx", "[masked_email_x", "%5c"] {
            assert_eq!(at(text, 0, false, Form::Plain), Err(Not::One), "{text}");
        }
    }

    #[test]
    fn an_escape_of_json_is_no_letter() {
        let text = "Dear\\nMASKED_NAME_1";
        assert!(at(text, 6, true, Form::Json).is_ok());
        assert_eq!(at(text, 6, true, Form::Plain), Err(Not::One));
    }
}
