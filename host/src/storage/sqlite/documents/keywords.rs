//! The keyword index: FTS5 finds the chunks that have a word and weighs it there, and the weights of words are of one namespace alone.
//! A row is written in the transaction of its chunk and goes with it by a trigger, so that the index never differs from the table.
//!
//! One table serves all namespaces, because thousands of tables would slow every statement down. FTS5 weighs a word by how rare it is among all
//! rows of the table; each word is therefore asked for by itself, and that factor replaced.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::words;
use crate::rag::Namespace;

/// Postings that one question reads, of its rarest words first: about 20 milliseconds. A word of so many chunks tells few of them apart.
const POSTINGS_MAX: usize = 20_000;

/// What a word adds at most to a score, in its rarity: `k1 + 1` of BM25 as FTS5 has it.
const SATURATION: f64 = 2.2;
/// As much of that as a word can have, however often it is there.
const SHARE_MAX: f64 = 0.999;
/// How much a text's score suffers from its length, if it consists of several chunks: 1 as in BM25 with `b` = 1. Found with Cranfield's odd questions.
const LENGTH: f64 = 0.75;

/// What a question's words say of chunks.
#[derive(Default)]
pub(super) struct Matches {
    words: Vec<Word>,
    /// Of all words of the question, those that no chunk has included.
    weight: f64,
    /// Of a word that a single chunk has.
    rarest: f64,
}

/// What words say of one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct OfChunk {
    /// By BM25.
    pub(super) score: f32,
    /// The share of the question's words that it has, by their weight.
    pub(super) coverage: f32,
    /// The weight of those, in that of a word which a single chunk has.
    pub(super) matched: f32,
}

/// A word that chunks have.
struct Word {
    rarity: f64,
    /// What it adds to the score of each chunk that has it.
    scores: HashMap<i64, f64>,
}

impl Matches {
    /// The best chunks first; those of equal score in the order in which they were put.
    pub(super) fn best(&self, count: usize) -> Vec<i64> {
        let mut sums: HashMap<i64, f64> = HashMap::new();
        for (id, score) in self.words.iter().flat_map(|word| &word.scores) {
            *sums.entry(*id).or_default() += score;
        }
        let mut all: Vec<(i64, f64)> = sums.into_iter().collect();
        let order = |a: &(i64, f64), b: &(i64, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if all.len() > count && count > 0 {
            all.select_nth_unstable_by(count - 1, order);
        }
        all.truncate(count);
        all.sort_unstable_by(order);
        all.into_iter().map(|(id, _)| id).collect()
    }

    #[expect(clippy::cast_possible_truncation, reason = "scores need no more than an f32 holds")]
    pub(super) fn of(&self, chunk: i64) -> OfChunk {
        let (mut score, mut weight) = (0.0, 0.0);
        for word in &self.words {
            if let Some(of_word) = word.scores.get(&chunk) {
                score += of_word;
                weight += word.rarity;
            }
        }
        let share = |whole: f64| if whole > 0.0 { (weight / whole) as f32 } else { 0.0 };
        OfChunk { score: score as f32, coverage: share(self.weight), matched: share(self.rarest) }
    }

    /// The score of several chunks as if they were one text. Of a word that is there `n` times BM25 takes `n / (n + k)`, so its odds are `n / k`, and
    /// those of several chunks can be added; `k` grows with the text.
    #[expect(clippy::cast_possible_truncation, reason = "scores need no more than an f32 holds")]
    pub(super) fn of_all(&self, chunks: &[i64]) -> f32 {
        let length = (chunks.len().max(1) as f64).powf(LENGTH);
        let together = |word: &Word| {
            let odds = |score: &f64| {
                let share = (score / (word.rarity * SATURATION)).min(SHARE_MAX);
                share / (1.0 - share)
            };
            let odds = chunks.iter().filter_map(|chunk| word.scores.get(chunk)).map(odds).sum::<f64>() / length;
            word.rarity * SATURATION * odds / (1.0 + odds)
        };
        self.words.iter().map(together).sum::<f64>() as f32
    }
}

/// The namespace's number, made if it has none.
pub(super) fn number(transaction: &Transaction<'_>, namespace: &Namespace) -> rusqlite::Result<i64> {
    let place = [&namespace.api, &namespace.name];
    transaction.prepare_cached("INSERT INTO namespaces (api, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?.execute(place)?;
    transaction.prepare_cached("SELECT id FROM namespaces WHERE api = ?1 AND name = ?2")?.query_row(place, |row| row.get(0))
}

/// The number of a namespace that is not hidden.
pub(super) fn known_number(moment: &Connection, namespace: &Namespace) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT id FROM namespaces n WHERE n.api = ?1 AND n.name = ?2
               AND NOT EXISTS (SELECT 1 FROM deleted_namespaces x WHERE x.api = n.api AND x.namespace = n.name)";
    moment.prepare_cached(sql)?.query_row([&namespace.api, &namespace.name], |row| row.get(0)).optional()
}

/// Gives up the number of a namespace that holds nothing any more; it is not used again.
pub(super) fn forget_number(transaction: &Transaction<'_>, namespace: &Namespace) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM namespaces WHERE api = ?1 AND name = ?2", [&namespace.api, &namespace.name])?;
    Ok(())
}

/// Adds the words of a chunk's texts.
pub(super) fn insert(transaction: &Transaction<'_>, namespace: i64, chunk: i64, texts: &[&str]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached("INSERT INTO keywords (rowid, words) VALUES (?1, ?2)")?;
    statement.execute(params![chunk, words::indexed(namespace, texts)])?;
    Ok(())
}

/// What the words of a question say of the chunks of a namespace that holds `count` of them; with `within`, of these alone.
pub(super) fn search(
    moment: &Connection,
    namespace: i64,
    count: usize,
    question: &str,
    within: Option<&HashSet<i64>>,
) -> rusqlite::Result<Matches> {
    let rarity = |hits: usize| (1.0 + (count.saturating_sub(hits) as f64 + 0.5) / (hits as f64 + 0.5)).ln();
    let mut found = Matches { rarest: rarity(1), ..Matches::default() };
    let mut before: Vec<Vec<i64>> = Vec::new();
    let all = rows_of_all(moment)?;
    for (query, hits) in affordable(moment, namespace, question)? {
        // A word that no chunk has counts as one that a single chunk has, or it would outweigh all others in a small namespace.
        let rarity = rarity(hits.max(1));
        if hits == 0 {
            found.weight += rarity;
            continue;
        }
        let mut statement = moment.prepare_cached("SELECT rowid, rank FROM keywords WHERE keywords MATCH ?1")?;
        let postings: Vec<(i64, f64)> = statement.query_map([query], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        // Two words with one stem are one word.
        let chunks: Vec<i64> = postings.iter().map(|(chunk, _)| *chunk).collect();
        if before.contains(&chunks) {
            continue;
        }
        found.weight += rarity;
        // What FTS5 took for the word's rarity, which it counted over all rows.
        let counted = ((all - hits as f64 + 0.5) / (hits as f64 + 0.5)).ln();
        let counted = if counted <= 0.0 { 1e-6 } else { counted };
        let within = |chunk: &i64| within.is_none_or(|within| within.contains(chunk));
        let scores = postings.into_iter().filter(|(chunk, _)| within(chunk)).map(|(chunk, rank)| (chunk, rarity * -rank / counted));
        found.words.push(Word { rarity, scores: scores.collect() });
        before.push(chunks);
    }
    Ok(found)
}

/// The question's words as queries, each with how many chunks have it, the rarest first, as many as may be read.
fn affordable(moment: &Connection, namespace: i64, question: &str) -> rusqlite::Result<Vec<(String, usize)>> {
    let mut counted = Vec::new();
    for term in words::terms(question) {
        let query = words::query(namespace, &term);
        let sql = "SELECT count(*) FROM (SELECT 1 FROM keywords WHERE keywords MATCH ?1 LIMIT ?2)";
        let hits: u32 = moment.prepare_cached(sql)?.query_row(params![query, POSTINGS_MAX as i64 + 1], |row| row.get(0))?;
        counted.push((query, hits as usize));
    }
    counted.sort_by_key(|(_, hits)| *hits);
    let mut left = POSTINGS_MAX;
    let fits = |(_, hits): &(String, usize)| left.checked_sub(*hits).inspect(|now| left = *now).is_some();
    Ok(counted.into_iter().take_while(fits).collect())
}

/// The rows of all namespaces, as FTS5 counts them: the first number of its record of averages
/// (<https://sqlite.org/fts5.html>, "The %_data table").
fn rows_of_all(moment: &Connection) -> rusqlite::Result<f64> {
    let sql = "SELECT block FROM keywords_data WHERE id = 1";
    let record: Vec<u8> = moment.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(varint(&record) as f64)
}

/// SQLite's number of variable length at the start of `bytes`.
fn varint(bytes: &[u8]) -> u64 {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return number << 8 | u64::from(*byte);
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests;
