//! What was asked before in the same conversation: "And for children?" finds nothing by itself. The newest question is looked for alone and together
//! with what was asked before it, and of each chunk the better of the two counts. The second counts less, so that a conversation which has changed
//! its topic is not drawn back: there the newest question alone is the better one.

use std::collections::HashMap;

use super::store::Candidate;

/// What a chunk's likeness to the whole conversation counts beside its likeness to the newest question alone.
const EARLIER: f32 = 0.6;

/// Bytes of each earlier question, and of all that is looked for together: an embedder reads the start of a text.
const TURN_BYTES: usize = 400;

/// The newest question, then those before it, as one text; none if there are none.
pub(super) fn together(newest: &str, earlier: &[String], bytes: usize) -> Option<String> {
    let earlier = earlier.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
    let earlier: Vec<&str> = earlier.map(|text| &text[..text.floor_char_boundary(TURN_BYTES)]).collect();
    if earlier.is_empty() {
        return None;
    }
    let mut text = format!("{newest}\n{}", earlier.join("\n"));
    text.truncate(text.floor_char_boundary(bytes));
    Some(text)
}

/// The candidates of both as those of one question.
pub(super) fn merged(newest: Vec<Candidate>, together: Vec<Candidate>) -> Vec<Candidate> {
    let words = of_words(&newest, &together);
    let mut all: HashMap<i64, Candidate> = newest.into_iter().map(|candidate| (candidate.order, candidate)).collect();
    for candidate in together {
        let mut weighed = Candidate {
            keyword_score: candidate.keyword_score * words,
            context_score: candidate.context_score * words,
            coverage: candidate.coverage * EARLIER,
            matched: candidate.matched * EARLIER,
            ..candidate
        };
        // Below 0 it is no likeness, and less of it would be more.
        weighed.hit.score *= if weighed.hit.score > 0.0 { EARLIER } else { 1.0 };
        let better = |known: f32, new: f32| if new.total_cmp(&known).is_gt() { new } else { known };
        match all.entry(weighed.order) {
            std::collections::hash_map::Entry::Vacant(place) => drop(place.insert(weighed)),
            std::collections::hash_map::Entry::Occupied(mut place) => {
                let known = place.get_mut();
                if weighed.hit.score > known.hit.score {
                    (known.hit.score, known.hit.cosine) = (weighed.hit.score, weighed.hit.cosine);
                }
                known.keyword_score = better(known.keyword_score, weighed.keyword_score);
                known.context_score = better(known.context_score, weighed.context_score);
                known.coverage = better(known.coverage, weighed.coverage);
                known.matched = better(known.matched, weighed.matched);
                known.vector_rank = known.vector_rank.or(weighed.vector_rank);
                known.keyword_rank = known.keyword_rank.or(weighed.keyword_rank);
            }
        }
    }
    let mut all: Vec<Candidate> = all.into_values().collect();
    of_one_state(&mut all);
    rank(&mut all, |candidate| candidate.hit.score, |candidate| &mut candidate.vector_rank);
    rank(&mut all, |candidate| candidate.keyword_score, |candidate| &mut candidate.keyword_rank);
    all
}

/// What a score by words counts that was found for more words: as if the best of both had the same score, the less the fewer of their words they
/// have, for most of a long question's words are in no chunk.
fn of_words(newest: &[Candidate], together: &[Candidate]) -> f32 {
    let best = |of: &[Candidate], score: fn(&Candidate) -> f32| of.iter().map(score).fold(0.0, f32::max);
    let scores = [newest, together].map(|of| best(of, |candidate| candidate.keyword_score));
    let coverages = [newest, together].map(|of| best(of, |candidate| candidate.coverage));
    if scores[0] <= 0.0 || scores[1] <= 0.0 || coverages[0] <= 0.0 {
        return EARLIER;
    }
    EARLIER * scores[0] / scores[1] * (coverages[1] / coverages[0]).sqrt()
}

/// Of a document that was replaced between the two searches, the new chunks alone. Ids of documents rise.
fn of_one_state(all: &mut Vec<Candidate>) {
    let mut newest: HashMap<String, String> = HashMap::new();
    for Candidate { hit, .. } in &*all {
        let known = newest.entry(hit.source.clone()).or_default();
        if hit.document > *known {
            known.clone_from(&hit.document);
        }
    }
    all.retain(|Candidate { hit, .. }| newest.get(&hit.source).is_none_or(|document| *document == hit.document));
}

/// Numbers those that have a place by their score.
fn rank(all: &mut [Candidate], score: fn(&Candidate) -> f32, place: fn(&mut Candidate) -> &mut Option<usize>) {
    let mut placed: Vec<&mut Candidate> = all.iter_mut().filter_map(|candidate| place(candidate).is_some().then_some(candidate)).collect();
    placed.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.order.cmp(&b.order)));
    for (at, candidate) in placed.into_iter().enumerate() {
        *place(candidate) = Some(at + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Hit;

    fn candidate(order: i64, score: f32, words: f32, coverage: f32) -> Candidate {
        let hit = Hit { document: order.to_string(), source: format!("{order}.md"), score, ..Hit::default() };
        let keyword_rank = (words > 0.0).then_some(1);
        Candidate {
            hit,
            order,
            vector: Vec::new(),
            vector_rank: Some(1),
            keyword_rank,
            keyword_score: words,
            context_score: words,
            coverage,
            matched: coverage,
        }
    }

    fn sorted(mut all: Vec<Candidate>) -> Vec<Candidate> {
        all.sort_by_key(|candidate| candidate.order);
        all
    }

    #[test]
    fn a_question_that_says_little_is_found_by_what_was_asked_before() {
        let newest = vec![candidate(1, 0.25, 0.0, 0.0), candidate(2, 0.3, 2.0, 1.0)];
        let all = sorted(merged(newest, vec![candidate(1, 0.6, 9.0, 0.6), candidate(3, 0.2, 0.0, 0.0)]));
        let scores: Vec<f32> = all.iter().map(|candidate| candidate.hit.score).collect();
        assert_eq!(scores, [0.6 * EARLIER, 0.3, 0.2 * EARLIER]);
        assert_eq!(all.iter().map(|candidate| candidate.vector_rank).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
        // By words the newest question's own best stays before what only the older one names.
        assert_eq!(all.iter().map(|candidate| candidate.keyword_rank).collect::<Vec<_>>(), [Some(2), Some(1), None]);
        assert!((all[0].coverage - 0.6 * EARLIER).abs() < 1e-6 && all[0].keyword_score < 2.0);
    }

    #[test]
    fn a_new_topic_is_not_drawn_back_to_the_old_one() {
        let newest = vec![candidate(1, 0.1, 0.0, 0.0), candidate(2, 0.6, 5.0, 0.9)];
        let all = sorted(merged(newest, vec![candidate(1, 0.55, 9.0, 0.5), candidate(2, 0.5, 5.0, 0.4)]));
        assert!(all[1].hit.score > all[0].hit.score && all[1].keyword_score > all[0].keyword_score && all[1].coverage == 0.9);
    }

    #[test]
    fn a_document_that_was_replaced_meanwhile_is_there_once() {
        let version = |order, document: &str| {
            let mut one = candidate(order, 0.5, 0.0, 0.0);
            (one.hit.document, one.hit.source) = (document.into(), "a.md".into());
            one
        };
        let all = merged(vec![version(1, "01"), candidate(3, 0.1, 0.0, 0.0)], vec![version(2, "02")]);
        assert_eq!(sorted(all).iter().map(|candidate| candidate.order).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn what_is_looked_for_together_begins_with_the_newest_and_is_bounded() {
        let earlier = [" the price? ".to_owned(), " ".to_owned(), "é".repeat(TURN_BYTES)];
        let text = together("And for children?", &earlier, 8_192).expect("some");
        assert!(text.starts_with("And for children?\nthe price?\né") && text.len() <= 8_192);
        assert_eq!(text.len(), "And for children?\nthe price?\n".len() + TURN_BYTES);
        assert_eq!(together("And?", &earlier, 7).as_deref(), Some("And?\nth"));
        assert_eq!(together("And?", &[" ".to_owned()], 99), None);
    }
}
