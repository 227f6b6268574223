//! Whole vectors in SQLite: the index is built from them, and every score is computed from them and from nothing that was rounded.
//! All calls block.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::super::error::Error;
use super::rows::{self, Rows};
use crate::rag::VectorSpace;

impl Rows {
    /// The vectors of those of these chunks that are there.
    pub(super) fn vectors_of(&self, ids: &[i64]) -> Result<Vec<(i64, Vec<f32>)>, Error> {
        let mut reader = self.reader();
        let moment = reader.transaction()?;
        Ok(vectors(&moment, ids)?)
    }
}

fn vectors(moment: &Connection, ids: &[i64]) -> rusqlite::Result<Vec<(i64, Vec<f32>)>> {
    let mut statement = moment.prepare_cached("SELECT vector FROM live_chunks WHERE id = ?1")?;
    let mut vector = |id: &i64| {
        let found = statement.query_row([id], |row| Ok((*id, rows::vector(row.get_ref(0)?.as_blob()?))));
        found.optional().transpose()
    };
    ids.iter().filter_map(&mut vector).collect()
}

/// Those of these chunks that are there and in the space, with the cosines of their vectors to this one. Nothing else is read of them: most are
/// not near enough for more.
pub(super) fn similar(moment: &Connection, ids: &[i64], space: &VectorSpace, vector: &[f32]) -> rusqlite::Result<Vec<(f32, i64)>> {
    let mut chunks = moment.prepare_cached("SELECT document_id, vector FROM live_chunks WHERE id = ?1")?;
    let mut documents = moment.prepare_cached("SELECT EXISTS (SELECT 1 FROM live_documents WHERE id = ?1 AND model = ?2)")?;
    let mut known: HashMap<String, bool> = HashMap::new();
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let mut row = chunks.query([id])?;
        let Some(row) = row.next()? else { continue };
        let document = row.get_ref(0)?.as_str()?;
        let is_there = match known.get(document) {
            Some(is_there) => *is_there,
            None => {
                let is_there = documents.query_row([document, &*space.model], |row| row.get(0))?;
                known.insert(document.to_owned(), is_there);
                is_there
            }
        };
        if is_there {
            found.push((cosine(vector, &rows::vector(row.get_ref(1)?.as_blob()?)), *id));
        }
    }
    Ok(found)
}

/// Of unit vectors; rounding may carry the product over 1. In lanes, so that the compiler may use wide registers.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    (sums.iter().sum::<f32>() + rest).clamp(-1.0, 1.0)
}
