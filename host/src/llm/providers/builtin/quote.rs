//! The sentences of some hits that share the most words with a question, of which rare words count more.
//! Pure text in, text out: the same hits and question always give the same quotes.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use unicode_segmentation::UnicodeSegmentation;

use crate::chat::Hit;

/// Sentences that are quoted at most.
const QUOTES_MAX: usize = 3;

/// A further sentence is quoted if it scores at least this share of the best; one below shares only common words.
const SCORE_SHARE: f32 = 0.6;

/// The share that a sentence needs if it has a word of the question that no better sentence has.
const SCORE_SHARE_IF_NEW: f32 = 0.35;

/// Words that only ask or join.
static STOP_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "a about an and any are as at be by can could did do does for from had has have he her his how i if in into is it its me my no not \
     of on or our please she should so some tell than that the their them there these they this to us was we were what when where \
     which who whom whose why will with would you your"
        .split_whitespace()
        .collect()
});

#[derive(Debug, PartialEq)]
pub(super) struct Quote<'a> {
    pub(super) sentence: String,
    pub(super) source: &'a str,
}

struct Candidate<'a> {
    quote: Quote<'a>,
    words: HashSet<String>,
    hit_score: f32,
}

/// One to three sentences, the best first; none if no word is shared.
pub(super) fn quotes<'a>(question: &str, hits: &'a [Hit]) -> Vec<Quote<'a>> {
    let candidates = candidates(hits);
    let mut frequencies: HashMap<&str, f32> = HashMap::new();
    for word in candidates.iter().flat_map(|candidate| &candidate.words) {
        *frequencies.entry(word).or_default() += 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of sentences")]
    let all = candidates.len() as f32;
    let asked = words(question);
    let score = |candidate: &Candidate<'_>| -> f32 {
        let shared = asked.iter().filter(|word| candidate.words.contains(*word));
        shared.map(|word| (1.0 + all / frequencies.get(word.as_str()).copied().unwrap_or(all)).ln()).sum()
    };
    let scores: Vec<f32> = candidates.iter().map(score).collect();
    let mut scored: Vec<(f32, Candidate<'a>)> = scores.into_iter().zip(candidates).collect();
    scored.retain(|(score, _)| *score > 0.0);
    // The sort is stable, so sentences with equal scores stay in reading order.
    scored.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(y.hit_score.total_cmp(&x.hit_score)));
    let best = scored.first().map_or(0.0, |(best, _)| *best);
    let mut uncovered: HashSet<String> = asked;
    let worth_quoting = |(score, candidate): (f32, Candidate<'a>)| {
        let new = candidate.words.iter().filter(|word| uncovered.remove(*word)).count() > 0;
        (score >= best * if new { SCORE_SHARE_IF_NEW } else { SCORE_SHARE }).then_some(candidate.quote)
    };
    scored.into_iter().filter_map(worth_quoting).take(QUOTES_MAX).collect()
}

/// Every sentence once, because chunks of one document overlap.
fn candidates(hits: &[Hit]) -> Vec<Candidate<'_>> {
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    for hit in hits {
        for sentence in sentences(&hit.text) {
            if seen.insert(sentence.clone()) {
                let words = words(&sentence);
                out.push(Candidate { quote: Quote { sentence, source: &hit.source }, words, hit_score: hit.score });
            }
        }
    }
    out
}

/// The sentences of a plain or Markdown text. Lines of one paragraph are joined, headings left out, list marks taken off.
fn sentences(text: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines().map(str::trim) {
        let item = without_mark(line);
        if line.is_empty() || line.starts_with('#') {
            open = false;
        } else if open && item.len() == line.len() {
            let paragraph = paragraphs.last_mut().expect("open only after a push");
            paragraph.push(' ');
            paragraph.push_str(line);
        } else {
            paragraphs.push(item.to_owned());
            open = true;
        }
    }
    let sentences = paragraphs.iter().flat_map(|paragraph| paragraph.unicode_sentences());
    sentences.map(|sentence| sentence.trim().to_owned()).collect()
}

/// The line without the mark of a quotation or a list item.
fn without_mark(line: &str) -> &str {
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = if digits.len() < line.len() { digits.strip_prefix(". ").or_else(|| digits.strip_prefix(") ")) } else { None };
    let marked = ["- ", "* ", "+ ", "> "].iter().find_map(|mark| line.strip_prefix(mark));
    marked.or(numbered).map_or(line, str::trim_start)
}

/// The words without stop words, in lower case and stemmed.
fn words(text: &str) -> HashSet<String> {
    let words = text.unicode_words().map(str::to_lowercase);
    words
        .filter_map(|word| Some(word.trim_end_matches("'s").trim_end_matches("’s")).filter(|w| !STOP_WORDS.contains(w)).map(stemmed))
        .collect()
}

/// The word without the commonest English endings, so that `opens` matches `opening`. It may be crude, because both sides are cut alike.
fn stemmed(word: &str) -> String {
    let cut = ["ings", "ing", "ed", "es", "ly", "s"].iter().find_map(|ending| {
        let stem = word.strip_suffix(ending)?;
        // The last letter of `class` is no ending.
        (stem.chars().count() >= 3 && !(*ending == "s" && stem.ends_with('s'))).then_some(stem)
    });
    let stem = cut.unwrap_or(word).trim_end_matches('e');
    stem.strip_suffix('y').map_or_else(|| stem.to_owned(), |stem| format!("{stem}i"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_meet() {
        for (one, other) in [
            ("opens", "opening"),
            ("opened", "open"),
            ("address", "addresses"),
            ("city", "cities"),
            ("base", "based"),
            ("The gate's", "gates"),
            ("É", "é"),
        ] {
            assert_eq!(words(one), words(other), "{one} {other}");
        }
        assert_ne!(words("gate"), words("gates of hell"));
        assert!(words("What is the, and WHY?").is_empty());
    }

    #[test]
    fn sentences_of_markdown_are_paragraphs_and_items_without_headings_and_marks() {
        let text =
            "# Hours\nThe gate opens at\nsix. It closes at nine.\n\n- Dogs pay 2.50 euro.\n- Cats do not.\n3. Third\nthing\n> Quoted.";
        let expected = ["The gate opens at six.", "It closes at nine.", "Dogs pay 2.50 euro.", "Cats do not.", "Third thing", "Quoted."];
        assert_eq!(sentences(text), expected);
    }
}
