//! What is injected for the hits: small chunks are found, and shown with the chunks around them as far as a budget goes.
//! Hits come first in the budget, in their order, and then what stands beside them. Chunks that touch are one excerpt.

use std::collections::BTreeMap;

use super::{Chunk, Error, Knowledge};
use crate::chat::Hit;

/// Chunks on each side of a hit, if nobody says.
pub const NEIGHBOURS: u32 = 1;
/// Tokens of all excerpts together, if nobody says.
pub const BUDGET_TOKENS: usize = 2_000;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Chunks before and after a hit.
    pub neighbours: u32,
    /// Tokens of all excerpts together, estimated from above.
    pub budget_tokens: usize,
}

impl Default for Spread {
    fn default() -> Self {
        Self { neighbours: NEIGHBOURS, budget_tokens: BUDGET_TOKENS }
    }
}

/// A part of a document that is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Excerpt {
    /// Its ordinal, page and heading are those of the first chunk, its score is that of the best hit in it.
    pub hit: Hit,
    /// The ordinal of the last chunk.
    pub last: u32,
    /// The places of the hits that are in it, among all hits.
    pub of: Vec<usize>,
}

/// A chunk that will be shown, and the hit that it is.
struct Part {
    chunk: Chunk,
    hit: Option<usize>,
}

impl Knowledge {
    /// What to show for these hits, in the order of the best hit in each.
    ///
    /// # Errors
    /// `Store`.
    pub async fn excerpts(&self, hits: &[Hit], spread: Spread) -> Result<Vec<Excerpt>, Error> {
        let mut left = spread.budget_tokens;
        let mut take = |tokens: usize| left.checked_sub(tokens).inspect(|now| left = *now).is_some();
        // By the place of the document's first hit and the ordinal.
        let mut parts: BTreeMap<(usize, u32), Part> = BTreeMap::new();
        let first_of = |hit: &Hit| hits.iter().position(|other| other.document == hit.document).unwrap_or(0);
        for (at, hit) in hits.iter().enumerate() {
            let chunk = own_chunk(hit);
            if take(chunk.tokens()) {
                parts.insert((first_of(hit), hit.ordinal), Part { chunk, hit: Some(at) });
            }
        }
        if spread.neighbours > 0 {
            for hit in hits {
                let first = hit.ordinal.saturating_sub(spread.neighbours);
                let around = self.store().chunks(&hit.document, first, hit.ordinal.saturating_add(spread.neighbours)).await?;
                let document = first_of(hit);
                let mut around: Vec<(u32, Chunk)> = (first..).zip(around).collect();
                // The nearest first. One that cannot be had ends its side, or there would be a gap.
                around.sort_by_key(|(ordinal, _)| ordinal.abs_diff(hit.ordinal));
                for (ordinal, chunk) in around {
                    let towards = if ordinal < hit.ordinal { ordinal + 1 } else { ordinal.saturating_sub(1) };
                    let touches = ordinal != hit.ordinal && parts.contains_key(&(document, towards));
                    if touches && !parts.contains_key(&(document, ordinal)) && take(chunk.tokens()) {
                        parts.insert((document, ordinal), Part { chunk, hit: None });
                    }
                }
            }
        }
        Ok(joined(hits, parts))
    }
}

/// The chunk that a hit is; its text holds the headings already.
fn own_chunk(hit: &Hit) -> Chunk {
    let shown = format!("# {}\n\n", hit.heading);
    let text = hit.text.strip_prefix(&shown).filter(|_| !hit.heading.is_empty()).unwrap_or(&hit.text);
    Chunk { text: text.to_owned(), heading: hit.heading.clone(), page: hit.page }
}

/// Chunks that touch as one excerpt each.
fn joined(hits: &[Hit], parts: BTreeMap<(usize, u32), Part>) -> Vec<Excerpt> {
    let mut excerpts: Vec<Excerpt> = Vec::new();
    let mut before: Option<((usize, u32), String)> = None;
    for ((document, ordinal), Part { chunk, hit }) in parts {
        let heading = chunk.heading.clone();
        match (&before, excerpts.last_mut()) {
            (Some(((of, last), above)), Some(excerpt)) if *of == document && last + 1 == ordinal => {
                excerpt.hit.text.push_str(if *above == heading { "\n" } else { "\n\n" });
                excerpt.hit.text.push_str(&if *above == heading { chunk.text } else { chunk.shown() });
                excerpt.last = ordinal;
                excerpt.of.extend(hit);
            }
            _ => {
                let text = chunk.shown();
                let hit_of = Hit { ordinal, heading: chunk.heading, page: chunk.page, text, ..hits[document].clone() };
                excerpts.push(Excerpt { hit: hit_of, last: ordinal, of: hit.into_iter().collect() });
            }
        }
        before = Some(((document, ordinal), heading));
    }
    for excerpt in &mut excerpts {
        excerpt.of.sort_unstable();
        excerpt.hit.score = excerpt.of.first().map_or(0.0, |best| hits[*best].score);
    }
    excerpts.sort_by_key(|excerpt| excerpt.of.first().copied());
    excerpts
}
