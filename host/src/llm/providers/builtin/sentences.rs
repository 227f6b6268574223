//! The sentences of a retrieved chunk, plain or Markdown, as a reader would say them: without marks, headings and the lines of tables. A sentence
//! that the chunk's edge cut in two is marked as such.

use unicode_segmentation::UnicodeSegmentation;

/// A chunk of this many bytes may have been cut where it ends; a shorter one is the end of its document or section.
const CUT_BYTES: usize = 200;

/// Words whose point ends no sentence.
const ABBREVIATIONS: [&str; 12] = ["approx", "cf", "dr", "e.g", "fig", "i.e", "mr", "mrs", "ms", "prof", "st", "vs"];

/// What ends a sentence, with what may stand behind it.
const ENDS: [char; 16] = ['.', '!', '?', '…', ':', ';', '"', '\'', ')', ']', '”', '’', '»', '。', '！', '？'];

/// One sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) text: String,
    /// Its beginning is in the chunk before.
    pub(super) cut_before: bool,
    /// Its end is in the next chunk.
    pub(super) cut_after: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Item,
    Row,
}

/// The sentences of a chunk; `first` if it is the first of its document.
pub(super) fn sentences(chunk: &str, first: bool) -> Vec<Sentence> {
    let paragraphs = paragraphs(chunk);
    let mut out = Vec::new();
    for (text, kind) in &paragraphs {
        let plain = plain(text);
        let parts = if *kind == Kind::Row { vec![plain] } else { whole_sentences(&plain) };
        out.extend(parts.into_iter().map(|text| Sentence { text, cut_before: false, cut_after: false }));
    }
    let is_text = |paragraph: Option<&(String, Kind)>| paragraph.is_some_and(|(_, kind)| *kind == Kind::Text);
    if let Some(sentence) = out.first_mut().filter(|_| !first && is_text(paragraphs.first())) {
        sentence.cut_before = sentence.text.starts_with(char::is_lowercase);
    }
    if let Some(sentence) = out.last_mut().filter(|_| chunk.len() >= CUT_BYTES && is_text(paragraphs.last())) {
        sentence.cut_after = !sentence.text.ends_with(ENDS);
    }
    out
}

/// Lines of one paragraph are joined, headings and the heads of tables left out, the marks of lists and quotations taken off.
fn paragraphs(text: &str) -> Vec<(String, Kind)> {
    let mut paragraphs: Vec<(String, Kind)> = Vec::new();
    let mut open = false;
    for line in text.lines().map(str::trim) {
        let item = without_mark(line);
        if line.is_empty() || line.starts_with('#') {
            open = false;
        } else if line.starts_with('|') {
            open = false;
            if line.chars().all(|c| "|-: ".contains(c)) {
                // Above it stand the names of the columns.
                paragraphs.pop_if(|(_, kind)| *kind == Kind::Row);
            } else {
                let cells: Vec<&str> = line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
                paragraphs.push((cells.join(", "), Kind::Row));
            }
        } else if open && item.len() == line.len() {
            let (paragraph, _) = paragraphs.last_mut().expect("open only after a push");
            paragraph.push(' ');
            paragraph.push_str(line);
        } else {
            paragraphs.push((item.to_owned(), if item.len() == line.len() { Kind::Text } else { Kind::Item }));
            open = true;
        }
    }
    paragraphs
}

/// The line without the mark of a quotation or a list item.
fn without_mark(line: &str) -> &str {
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = if digits.len() < line.len() { digits.strip_prefix(". ").or_else(|| digits.strip_prefix(") ")) } else { None };
    let marked = ["- ", "* ", "+ ", "> "].iter().find_map(|mark| line.strip_prefix(mark));
    marked.or(numbered).map_or(line, str::trim_start)
}

/// The sentences of a paragraph; a point behind an abbreviation ends none.
fn whole_sentences(paragraph: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut goes_on = false;
    for part in paragraph.unicode_sentences() {
        match out.last_mut().filter(|_| goes_on) {
            Some(last) => last.push_str(part),
            None => out.push(part.to_owned()),
        }
        goes_on = ends_in_abbreviation(part);
    }
    out.iter().map(|sentence| sentence.trim().to_owned()).filter(|sentence| !sentence.is_empty()).collect()
}

fn ends_in_abbreviation(part: &str) -> bool {
    let Some(word) = part.trim_end().strip_suffix('.').and_then(|text| text.split_whitespace().next_back()) else { return false };
    let word = word.trim_start_matches(['(', '"', '“', '\'']);
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// The text of a Markdown paragraph without emphasis, code marks and the addresses of links.
fn plain(text: &str) -> String {
    let chars: Vec<char> = without_addresses(text).chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let run = chars[at..].iter().take_while(|next| **next == c).count();
        match c {
            '`' => {
                // What stands in code is no mark.
                let end = chars[at + run..].iter().position(|next| *next == '`').map_or(at + run, |code| at + run + code);
                out.extend(&chars[at + run..end]);
                at = end + chars[end..].iter().take_while(|next| **next == '`').count();
            }
            '*' | '_' => {
                let before = at.checked_sub(1).map(|before| chars[before]);
                if !is_mark(c, run, before, chars.get(at + run).copied()) {
                    out.extend(std::iter::repeat_n(c, run));
                }
                at += run;
            }
            c => {
                out.push(c);
                at += 1;
            }
        }
    }
    out
}

/// Whether a run of `*` or `_` is emphasis: not inside a word, and not alone between blanks. Two stars are nothing else.
fn is_mark(c: char, run: usize, before: Option<char>, after: Option<char>) -> bool {
    let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let blank = |c: Option<char>| c.is_none_or(char::is_whitespace);
    (c == '*' && run >= 2) || !((word(before) && word(after)) || (blank(before) && blank(after)))
}

/// `[label](address)` as its label. Each bracket is looked at once.
fn without_addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(end) = rest.find("](") {
        let (before, link) = (&rest[..end], &rest[end + 2..]);
        match (before.rfind('['), link.find(')')) {
            (Some(label), Some(close)) => {
                out.push_str(before[..label].strip_suffix('!').unwrap_or(&before[..label]));
                out.push_str(&before[label + 1..]);
                rest = &link[close + 1..];
            }
            _ => {
                out.push_str(before);
                out.push_str("](");
                rest = link;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        sentences(text, true).into_iter().map(|sentence| sentence.text).collect()
    }

    #[test]
    fn sentences_of_markdown_are_paragraphs_and_items_without_headings_and_marks() {
        let text =
            "# Hours\nThe gate opens at\nsix. It closes at nine.\n\n- Dogs pay 2.50 euro.\n- Cats do not.\n3. Third\nthing\n> Quoted.";
        let expected = ["The gate opens at six.", "It closes at nine.", "Dogs pay 2.50 euro.", "Cats do not.", "Third thing", "Quoted."];
        assert_eq!(texts(text), expected);
    }

    #[test]
    fn marks_come_off_and_what_only_looks_like_one_stays() {
        for (text, expected) in [
            ("**A** *b* __c__ _d_ ***e***", "A b c d e"),
            ("**never closed", "never closed"),
            ("a * b, A*B, snake_case, `**` and ``x_y``", "a * b, A*B, snake_case, ** and x_y"),
            ("![a](b) [c](d) [e] (f) ](g", "a c [e] (f) ](g"),
            ("one ` tick **x**", "one  tick x"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
        let many = "](".repeat(50_000) + &"*`_[".repeat(50_000);
        assert!(plain(&many).len() <= many.len());
    }

    #[test]
    fn an_edge_cuts_a_sentence_of_a_long_chunk_only() {
        let long = format!("of them. {} And the", "The basin is deep. ".repeat(12));
        let cut = |text: &str, first| {
            let all = sentences(text, first);
            (all[0].cut_before, all[all.len() - 1].cut_after)
        };
        assert_eq!(cut(&long, false), (true, true));
        assert_eq!(cut(&long, true), (false, true));
        assert_eq!(cut("of them. And the", false), (true, false));
        assert_eq!(cut(&format!("{}\n\n- an item", "The basin is deep. ".repeat(12)), false), (false, false));
    }
}
