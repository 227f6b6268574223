//! The sentences of some hits that share the most words with a question, of which rare words count more.
//! Pure text in, text out: the same hits and question always give the same quotes.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use unicode_segmentation::UnicodeSegmentation;

use super::sentences::{Sentence, sentences};
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
    /// Part of it is in a chunk that was not found.
    is_cut: bool,
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
    // Half a sentence is better than nothing, and worse than any whole one.
    if scored.iter().any(|(_, candidate)| !candidate.is_cut) {
        scored.retain(|(_, candidate)| !candidate.is_cut);
    }
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
    for (hit, sentences) in hits.iter().zip(joined(hits)) {
        for Sentence { text, cut_before, cut_after } in sentences {
            if seen.insert(text.clone()) {
                let words = words(&text);
                let sentence = format!("{}{text}{}", if cut_before { "… " } else { "" }, if cut_after { " …" } else { "" });
                let is_cut = cut_before || cut_after;
                out.push(Candidate { quote: Quote { sentence, source: &hit.source }, words, hit_score: hit.score, is_cut });
            }
        }
    }
    out
}

/// The sentences of each hit. One that was cut between two chunks which were both found is one again, in the first.
fn joined(hits: &[Hit]) -> Vec<Vec<Sentence>> {
    let mut all: Vec<Vec<Sentence>> = hits.iter().map(|hit| sentences(&hit.text, hit.ordinal == 0)).collect();
    let places: HashMap<(&str, u32), usize> = hits.iter().enumerate().map(|(at, hit)| ((&*hit.source, hit.ordinal), at)).collect();
    for (at, hit) in hits.iter().enumerate() {
        let next = hit.ordinal.checked_add(1).and_then(|next| places.get(&(&*hit.source, next)).copied());
        let Some(next) = next.filter(|next| *next != at && all[at].last().is_some_and(|last| last.cut_after) && !all[*next].is_empty())
        else {
            continue;
        };
        let rest = all[next].remove(0);
        if let Some(last) = all[at].last_mut() {
            last.text = format!("{} {}", last.text, rest.text);
            last.cut_after = rest.cut_after;
        }
    }
    all
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
}
