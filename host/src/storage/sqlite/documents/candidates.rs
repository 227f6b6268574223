//! What a search finds, put together: chunks near a vector and chunks with words. Each is there once, with all that is known of it
//! whatever it was found by.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use super::super::error::Error;
use super::keywords::{Matches, OfChunk};
use super::rows::{self, Row};
use super::vector_index::VectorIndex;
use crate::chat::Hit;
use crate::rag::{Candidate, Lookup, VectorSpace};

/// Up to so many chunks that a filter leaves are compared one by one; of more, the index is asked.
const FILTERED_EXACT: usize = 2_048;

/// Chunks on each side of one whose words count with its own: an abstract, or two pages of a book.
const AROUND: u32 = 2;

/// By chunk id.
#[derive(Default)]
pub(super) struct Candidates(HashMap<i64, Candidate>);

/// The `count` rows whose vectors are nearest, best first, with their cosines.
pub(super) fn nearest(
    moment: &Connection,
    index: &VectorIndex,
    space: &VectorSpace,
    vector: &[f32],
    count: usize,
    within: Option<&HashSet<i64>>,
) -> Result<Vec<(f32, Row)>, Error> {
    // More than wanted, because the index ranks by rounded vectors; SQLite has them whole.
    let mut proposed = count.saturating_mul(2).saturating_add(16);
    let rows = loop {
        let ids = match within {
            None => index.nearest(vector, proposed)?,
            Some(within) if within.len() <= FILTERED_EXACT => within.iter().copied().collect(),
            Some(within) => index.nearest_within(vector, proposed, within)?,
        };
        let mut rows = rows::rows(moment, &ids)?;
        rows.retain(|row| *row.model == *space.model);
        // Some are missing only while a document is on its way in.
        let all = within.map_or(index.len(), |within| if within.len() <= FILTERED_EXACT { 0 } else { within.len().min(index.len()) });
        if rows.len() >= count || proposed >= all {
            break rows;
        }
        proposed = proposed.saturating_mul(2);
    };
    let mut scored: Vec<_> = rows.into_iter().map(|row| (cosine(vector, &row.vector), row)).collect();
    scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(left.id.cmp(&right.id)));
    scored.truncate(count);
    Ok(scored)
}

impl Candidates {
    pub(super) fn add_nearest(&mut self, nearest: Vec<(f32, Row)>) {
        for (at, (score, row)) in nearest.into_iter().enumerate() {
            self.add(score, row).vector_rank = Some(at + 1);
        }
    }

    /// Adds the best of the matches, and says of every candidate what the words say.
    pub(super) fn add_matches(&mut self, moment: &Connection, matches: &Matches, wanted: &Lookup) -> Result<(), Error> {
        let best = matches.best(wanted.count);
        let missing: Vec<i64> = best.iter().copied().filter(|id| !self.0.contains_key(id)).collect();
        for row in rows::rows(moment, &missing)? {
            let near = wanted.like.as_ref().filter(|(space, _)| *row.model == *space.model);
            let score = near.map_or(0.0, |(_, vector)| cosine(vector, &row.vector));
            self.add(score, row);
        }
        for (at, id) in best.iter().enumerate() {
            if let Some(candidate) = self.0.get_mut(id) {
                candidate.keyword_rank = Some(at + 1);
            }
        }
        for (id, candidate) in &mut self.0 {
            let Hit { document, ordinal, .. } = &candidate.hit;
            OfChunk { score: candidate.keyword_score, coverage: candidate.coverage, matched: candidate.matched } = matches.of(*id);
            candidate.context_score = matches.of_all(&rows::around(moment, document, *ordinal, AROUND)?);
        }
        Ok(())
    }

    pub(super) fn done(self) -> Vec<Candidate> {
        self.0.into_values().collect()
    }

    fn add(&mut self, score: f32, row: Row) -> &mut Candidate {
        let Row { id, mut hit, vector, .. } = row;
        hit.score = score;
        let found = Candidate {
            hit,
            order: id,
            vector,
            vector_rank: None,
            keyword_rank: None,
            keyword_score: 0.0,
            context_score: 0.0,
            coverage: 0.0,
            matched: 0.0,
        };
        self.0.entry(id).or_insert(found)
    }
}

/// Of unit vectors; rounding may carry the product over 1.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>().clamp(-1.0, 1.0)
}
