//! Two rankings of the same chunks as one. Candidates come with their likeness to the question in place of a score, and leave with one that means the
//! same for every model.

use super::calibration::Scale;
use super::store::Candidate;
use super::{Chunk, Evidence, Mode, calibration};
use crate::chat::Hit;

/// Relevance alone, if nobody says otherwise.
pub const MMR: f32 = 1.0;

/// How much of a chunk's score by words is that of the text which it stands in: a chunk that lacks a word which stands beside it is better than one
/// without.
const OF_CONTEXT: f32 = 0.75;

/// What words count beside similarity, if the best match has a single word that is as rare as can be, and nothing else was asked for.
const OF_WORDS: f32 = 0.7;

/// So many of the best say together what an answer is like, and how much likeness to them counts.
const BEST: usize = 5;
const OF_BEST: f32 = 0.4;

/// A candidate in its place.
pub(super) struct Ranked {
    pub(super) hit: Hit,
    pub(super) evidence: Evidence,
    vector: Vec<f32>,
    order: i64,
}

/// The candidates, best first; those of equal rank in the order in which they were put.
pub(super) fn rank(candidates: Vec<Candidate>, mode: Mode, scale: Scale) -> Vec<Ranked> {
    let best = Best::of(&candidates, scale);
    let mut ranked: Vec<Ranked> = candidates.into_iter().map(|candidate| ranked(candidate, mode, &best)).collect();
    sort(&mut ranked);
    if mode == Mode::Hybrid {
        like_the_best(&mut ranked);
        sort(&mut ranked);
    }
    ranked
}

fn sort(ranked: &mut [Ranked]) {
    ranked.sort_by(|a, b| b.evidence.rank_score.total_cmp(&a.evidence.rank_score).then(a.order.cmp(&b.order)));
}

/// Lifts what is like the best of them: where a question is short or in other words, its answers are more like one another than like it.
fn like_the_best(ranked: &mut [Ranked]) {
    let best = &ranked[..ranked.len().min(BEST)];
    let mut centre = vec![0.0_f32; best.first().map_or(0, |ranked| ranked.vector.len())];
    for Ranked { vector, evidence, .. } in best {
        centre.iter_mut().zip(vector).for_each(|(sum, x)| *sum += evidence.rank_score * x);
    }
    let likeness = |ranked: &Ranked| product(&ranked.vector, &centre).max(0.0);
    let most = ranked.iter().map(likeness).fold(f32::MIN_POSITIVE, f32::max);
    for ranked in ranked {
        let likeness = likeness(ranked) / most;
        ranked.evidence.rank_score = (ranked.evidence.rank_score + OF_BEST * likeness) / (1.0 + OF_BEST);
    }
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The best of each score among the candidates, which makes the two comparable.
struct Best {
    scale: Scale,
    similarity: f32,
    words: f32,
    coverage: f32,
    matched: f32,
}

impl Best {
    fn of(candidates: &[Candidate], scale: Scale) -> Self {
        let best = |score: &dyn Fn(&Candidate) -> f32| candidates.iter().map(score).fold(f32::MIN_POSITIVE, f32::max);
        let similarity = best(&|candidate| scale.cosine(candidate.hit.score));
        Self { scale, similarity, words: best(&by_words), coverage: best(&|c| c.coverage), matched: best(&|c| c.matched) }
    }

    /// By similarity and by words, which count for more, the more the best match has of them, and the larger the part of the question that they are.
    /// Similarity is the cosine, as it would be with the newest question: in likeness, which begins at 0, small differences would be large ones.
    fn both(&self, candidate: &Candidate) -> f32 {
        let similarity = self.scale.cosine(candidate.hit.score).max(0.0) / self.similarity;
        let weight = OF_WORDS * self.matched * self.coverage.sqrt();
        (similarity + weight * by_words(candidate) / self.words) / (1.0 + weight)
    }
}

/// The score by words within the text around it.
fn by_words(candidate: &Candidate) -> f32 {
    (1.0 - OF_CONTEXT) * candidate.keyword_score + OF_CONTEXT * candidate.context_score
}

fn ranked(candidate: Candidate, mode: Mode, best: &Best) -> Ranked {
    let rank_score = match mode {
        Mode::Vector => candidate.hit.score,
        Mode::Keyword => by_words(&candidate),
        Mode::Hybrid => best.both(&candidate),
    };
    let Candidate { mut hit, order, vector, vector_rank, keyword_rank, keyword_score, coverage, .. } = candidate;
    let likeness = hit.cosine.map(|_| hit.score);
    hit.score = calibration::score(mode, hit.score, coverage);
    hit.text = Chunk { text: std::mem::take(&mut hit.text), heading: hit.heading.clone(), page: None }.shown();
    let evidence = Evidence { likeness, vector_rank, keyword_rank, keyword_score, coverage, rank_score, ..Evidence::default() };
    Ranked { hit, evidence, vector, order }
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
            let likeness = product(&left.vector, &one.vector);
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
        let hit = Hit { source: order.to_string(), score, cosine: Some(score), ..Hit::default() };
        let keyword_score = keyword_rank.map_or(0.0, |rank| 10.0 / rank as f32);
        let (vector, context_score) = (vec![1.0, 0.0], keyword_score);
        Candidate { hit, order, vector, vector_rank, keyword_rank, keyword_score, context_score, coverage, matched: 2.0 * coverage }
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
        assert_eq!(sources(&rank(all(), Mode::Vector, Scale::PLAIN)), "3 1 4 2");
        assert_eq!(sources(&rank(all(), Mode::Keyword, Scale::PLAIN)), "2 1 4 3");
        assert_eq!(sources(&rank(all(), Mode::Hybrid, Scale::PLAIN)), "2 1 3 4");
        let equal = vec![candidate(2, Some(1), Some(1), 0.5, 0.5), candidate(1, Some(2), Some(1), 0.5, 0.5)];
        assert_eq!(sources(&rank(equal, Mode::Hybrid, Scale::PLAIN)), "1 2");
        assert!(rank(Vec::new(), Mode::Hybrid, Scale::PLAIN).is_empty());
    }

    #[test]
    fn words_of_which_little_was_found_weigh_little_and_the_document_lifts_its_chunks() {
        let similar_or_worded = |coverage| vec![candidate(1, Some(1), None, 0.9, 0.0), candidate(2, Some(2), Some(1), 0.3, coverage)];
        assert_eq!(sources(&rank(similar_or_worded(0.1), Mode::Hybrid, Scale::PLAIN)), "1 2");
        assert_eq!(sources(&rank(similar_or_worded(0.9), Mode::Hybrid, Scale::PLAIN)), "2 1");
        let mut two = vec![candidate(1, None, Some(1), 0.0, 0.5), candidate(2, None, Some(1), 0.0, 0.5)];
        two[1].context_score += 1.0;
        assert_eq!(sources(&rank(two, Mode::Keyword, Scale::PLAIN)), "2 1");
    }

    #[test]
    fn what_is_like_the_best_is_lifted_over_what_is_not() {
        let mut all: Vec<Candidate> = (1..=5).map(|n| candidate(n, Some(n as usize), None, 0.9, 0.0)).collect();
        all.push(candidate(6, Some(6), None, 0.5, 0.0));
        all.push(candidate(7, Some(7), None, 0.45, 0.0));
        all[5].vector = vec![0.0, 1.0];
        assert_eq!(sources(&rank(all.clone(), Mode::Vector, Scale::PLAIN)), "1 2 3 4 5 6 7");
        assert_eq!(sources(&rank(all, Mode::Hybrid, Scale::PLAIN)), "1 2 3 4 5 7 6");
    }

    #[test]
    fn similarities_below_zero_are_none() {
        let below = vec![candidate(1, Some(1), None, -0.2, 0.0), candidate(2, Some(2), None, -0.1, 0.0)];
        assert!(rank(below, Mode::Hybrid, Scale::PLAIN).iter().all(|ranked| ranked.evidence.rank_score == 0.0));
    }

    #[test]
    fn what_words_say_makes_up_for_what_vectors_do_not() {
        let score =
            |mode, likeness, coverage| rank(vec![candidate(1, Some(1), Some(1), likeness, coverage)], mode, Scale::PLAIN)[0].hit.score;
        for mode in [Mode::Vector, Mode::Hybrid] {
            assert!(score(mode, 0.6, 0.0) > 0.75 && score(mode, -0.1, 0.0) < 0.75, "{mode:?}");
        }
        assert!(score(Mode::Hybrid, -0.1, 1.0) > 0.75 && score(Mode::Keyword, 0.0, 1.0) > 0.75);
        assert!(score(Mode::Hybrid, -0.1, 0.2) < 0.75 && score(Mode::Keyword, 0.9, 0.1) < 0.75);
        assert_eq!(score(Mode::Vector, 0.3, 0.0), score(Mode::Vector, 0.3, 1.0));
    }

    #[test]
    fn diversity_puts_what_repeats_a_better_hit_behind_what_does_not() {
        let all = || {
            let mut all: Vec<Candidate> = (1..=4).map(|n| candidate(n, Some(n as usize), None, 1.0 - n as f32 / 10.0, 0.0)).collect();
            all[3].vector = vec![0.0, 1.0];
            rank(all, Mode::Vector, Scale::PLAIN)
        };
        assert_eq!(sources(&diverse(all(), 9, 1.0)), "1 2 3 4");
        assert_eq!(sources(&diverse(all(), 3, 0.5)), "1 4 2");
        assert_eq!(sources(&diverse(all(), 2, 0.0)), "1 4");
        assert_eq!(sources(&diverse(all(), 0, 0.5)), "");
        assert_eq!(sources(&diverse(Vec::new(), 3, 0.5)), "");
    }
}
