//! Two rankings of the same chunks as one, and which of them are hits.
//! The threshold is one of similarity. A chunk that has nearly all that was asked for, word by word, is a hit below it too; one that shares a word
//! with the question is not.

use super::store::Candidate;
use super::{Chunk, Evidence, Mode};
use crate::chat::Hit;

/// Relevance alone, if nobody says otherwise.
pub const MMR: f32 = 1.0;

/// How much of a chunk's score by words is its document's: a chunk that lacks a word which stands beside it is better than one without.
const OF_DOCUMENT: f32 = 0.25;

/// The least share of a question's words, by weight, that makes a chunk a hit whose similarity is under the threshold.
const COVERED: f32 = 0.6;

/// A candidate in its place.
pub(super) struct Ranked {
    pub(super) hit: Hit,
    pub(super) evidence: Evidence,
    vector: Vec<f32>,
    order: i64,
}

impl Ranked {
    /// Whether it is a hit. Without a vector only the words count.
    pub(super) fn passes(&self, mode: Mode, threshold: f32) -> bool {
        let covered = self.evidence.coverage >= COVERED;
        match mode {
            Mode::Vector => self.hit.score >= threshold,
            Mode::Keyword => covered || threshold <= 0.0,
            Mode::Hybrid => covered || self.hit.score >= threshold,
        }
    }
}

/// The candidates, best first; those of equal rank in the order in which they were put.
pub(super) fn rank(candidates: Vec<Candidate>, mode: Mode) -> Vec<Ranked> {
    let scale = Scale::of(&candidates);
    let mut ranked: Vec<Ranked> = candidates.into_iter().map(|candidate| ranked(candidate, mode, &scale)).collect();
    ranked.sort_by(|a, b| b.evidence.rank_score.total_cmp(&a.evidence.rank_score).then(a.order.cmp(&b.order)));
    ranked
}

/// The best of each score among the candidates, which makes the two comparable.
struct Scale {
    similarity: f32,
    words: f32,
    coverage: f32,
}

impl Scale {
    fn of(candidates: &[Candidate]) -> Self {
        let best = |score: fn(&Candidate) -> f32| candidates.iter().map(score).fold(f32::MIN_POSITIVE, f32::max);
        Self { similarity: best(|c| c.hit.score), words: best(by_words), coverage: best(|c| c.coverage) }
    }

    /// Half by similarity and half by words, which count the less the fewer of the question's words the best match has: then they say little.
    fn both(&self, candidate: &Candidate) -> f32 {
        let similarity = candidate.hit.score.max(0.0) / self.similarity;
        let words = by_words(candidate) / self.words * self.coverage.sqrt();
        (similarity + words) / 2.0
    }
}

/// The score by words within the document.
fn by_words(candidate: &Candidate) -> f32 {
    (1.0 - OF_DOCUMENT) * candidate.keyword_score + OF_DOCUMENT * candidate.document_score
}

fn ranked(candidate: Candidate, mode: Mode, scale: &Scale) -> Ranked {
    let rank_score = match mode {
        Mode::Vector => candidate.hit.score,
        Mode::Keyword => by_words(&candidate),
        Mode::Hybrid => scale.both(&candidate),
    };
    let Candidate { mut hit, order, vector, vector_rank, keyword_rank, keyword_score, coverage, .. } = candidate;
    if mode == Mode::Keyword {
        hit.score = coverage;
    }
    hit.text = Chunk { text: std::mem::take(&mut hit.text), heading: hit.heading.clone(), page: None }.shown();
    Ranked { hit, evidence: Evidence { vector_rank, keyword_rank, keyword_score, coverage, rank_score }, vector, order }
}

/// The first `count` by maximal marginal relevance: each next one is the best after what it repeats of those before it was taken off. `weight` is that
/// of its own rank against that; at 1 the order stays.
pub(super) fn diverse(mut ranked: Vec<Ranked>, count: usize, weight: f32) -> Vec<Ranked> {
    if weight >= 1.0 || ranked.len() < 2 {
        ranked.truncate(count);
        return ranked;
    }
    let (best, worst) = (ranked[0].evidence.rank_score, ranked[ranked.len() - 1].evidence.rank_score);
    let relevance = |ranked: &Ranked| if best > worst { (ranked.evidence.rank_score - worst) / (best - worst) } else { 1.0 };
    let mut taken: Vec<Ranked> = Vec::new();
    // Of each one that is left, its likeness to the most alike that was taken.
    let mut repeated = vec![0.0_f32; ranked.len()];
    while taken.len() < count && !ranked.is_empty() {
        let worth = |at: &usize| weight * relevance(&ranked[*at]) - (1.0 - weight) * repeated[*at];
        // The first of equals, where `max_by` gives the last.
        let next = (0..ranked.len()).rev().max_by(|a, b| worth(a).total_cmp(&worth(b))).expect("one is left");
        let one = ranked.remove(next);
        repeated.remove(next);
        for (left, repeated) in ranked.iter().zip(&mut repeated) {
            let likeness = left.vector.iter().zip(&one.vector).map(|(a, b)| a * b).sum::<f32>();
            *repeated = repeated.max(likeness);
        }
        taken.push(one);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(order: i64, vector_rank: Option<usize>, keyword_rank: Option<usize>, score: f32, coverage: f32) -> Candidate {
        let hit = Hit { source: order.to_string(), score, ..Hit::default() };
        let keyword_score = keyword_rank.map_or(0.0, |rank| 10.0 / rank as f32);
        let (vector, document_score) = (vec![1.0, 0.0], keyword_score);
        Candidate { hit, order, vector, vector_rank, keyword_rank, keyword_score, document_score, coverage }
    }

    fn sources(ranked: &[Ranked]) -> String {
        ranked.iter().map(|ranked| ranked.hit.source.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_mode_has_its_own_order_and_equals_stay_as_they_were_put() {
        let all = || {
            vec![
                candidate(4, Some(3), Some(3), 0.5, 0.1),
                candidate(3, Some(1), None, 0.9, 0.0),
                candidate(2, None, Some(1), 0.1, 0.9),
                candidate(1, Some(2), Some(2), 0.6, 0.7),
            ]
        };
        assert_eq!(sources(&rank(all(), Mode::Vector)), "3 1 4 2");
        assert_eq!(sources(&rank(all(), Mode::Keyword)), "2 1 4 3");
        assert_eq!(sources(&rank(all(), Mode::Hybrid)), "1 2 3 4");
        let equal = vec![candidate(2, Some(1), Some(1), 0.5, 0.5), candidate(1, Some(2), Some(1), 0.5, 0.5)];
        assert_eq!(sources(&rank(equal, Mode::Hybrid)), "1 2");
        assert!(rank(Vec::new(), Mode::Hybrid).is_empty());
    }

    #[test]
    fn words_of_which_little_was_found_weigh_little_and_the_document_lifts_its_chunks() {
        let similar_or_worded = |coverage| vec![candidate(1, Some(1), None, 0.9, 0.0), candidate(2, Some(2), Some(1), 0.3, coverage)];
        assert_eq!(sources(&rank(similar_or_worded(0.1), Mode::Hybrid)), "1 2");
        assert_eq!(sources(&rank(similar_or_worded(0.9), Mode::Hybrid)), "2 1");
        let mut two = vec![candidate(1, None, Some(1), 0.0, 0.5), candidate(2, None, Some(1), 0.0, 0.5)];
        two[1].document_score += 1.0;
        assert_eq!(sources(&rank(two, Mode::Keyword)), "2 1");
    }

    #[test]
    fn similarities_below_zero_are_none() {
        let below = vec![candidate(1, Some(1), None, -0.2, 0.0), candidate(2, Some(2), None, -0.1, 0.0)];
        assert!(rank(below, Mode::Hybrid).iter().all(|ranked| ranked.evidence.rank_score == 0.0));
    }

    #[test]
    fn a_hit_is_similar_enough_or_has_nearly_all_words() {
        let passes = |mode, score, coverage, threshold| {
            let ranked = rank(vec![candidate(1, Some(1), Some(1), score, coverage)], mode);
            ranked[0].passes(mode, threshold)
        };
        assert!(passes(Mode::Vector, 0.5, 0.0, 0.5) && !passes(Mode::Vector, 0.49, 1.0, 0.5));
        assert!(passes(Mode::Hybrid, 0.5, 0.0, 0.5) && passes(Mode::Hybrid, 0.1, COVERED, 0.75));
        assert!(!passes(Mode::Hybrid, 0.49, COVERED.next_down(), 0.5));
        assert!(passes(Mode::Keyword, 0.0, COVERED, 0.75) && !passes(Mode::Keyword, 0.0, COVERED.next_down(), 0.1));
        assert!(passes(Mode::Keyword, 0.0, 0.1, 0.0));
    }

    #[test]
    fn diversity_puts_what_repeats_a_better_hit_behind_what_does_not() {
        let all = || {
            let mut all: Vec<Candidate> = (1..=4).map(|n| candidate(n, Some(n as usize), None, 1.0 - n as f32 / 10.0, 0.0)).collect();
            all[3].vector = vec![0.0, 1.0];
            rank(all, Mode::Vector)
        };
        assert_eq!(sources(&diverse(all(), 9, 1.0)), "1 2 3 4");
        assert_eq!(sources(&diverse(all(), 3, 0.5)), "1 4 2");
        assert_eq!(sources(&diverse(all(), 2, 0.0)), "1 4");
        assert_eq!(sources(&diverse(all(), 0, 0.5)), "");
        assert_eq!(sources(&diverse(Vec::new(), 3, 0.5)), "");
    }
}
