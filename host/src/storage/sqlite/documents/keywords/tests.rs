//! BM25 by the book, whatever else is in the table, and that the index goes with the chunks.

use rusqlite::Connection;

use super::*;
use crate::storage::sqlite::migrations;

fn database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrations::run(&mut connection, migrations::STEPS).unwrap();
    connection
}

fn add(connection: &mut Connection, namespace: i64, texts: &[&str]) {
    let transaction = connection.transaction().unwrap();
    let first: i64 = transaction.query_row("SELECT ifnull(max(id), 0) + 1 FROM keywords_docsize", [], |row| row.get(0)).unwrap();
    for (id, text) in (first..).zip(texts) {
        insert(&transaction, namespace, id, &[text]).unwrap();
    }
    transaction.commit().unwrap();
}

/// BM25 as FTS5 has it, with a weight of words that is never negative.
fn expected(texts: &[&str], all_texts: &[&str], question: &[&str], of: usize) -> f64 {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mean = all_texts.iter().map(|text| words(text).len() as f64).sum::<f64>() / all_texts.len() as f64;
    let score = |word: &&str| {
        let hits = texts.iter().filter(|text| words(text).iter().any(|w| w == word)).count() as f64;
        let rarity = (1.0 + (texts.len() as f64 - hits + 0.5) / (hits + 0.5)).ln();
        let times = words(texts[of]).iter().filter(|w| w == word).count() as f64;
        rarity * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * words(texts[of]).len() as f64 / mean))
    };
    question.iter().map(score).sum()
}

#[test]
fn scores_are_those_of_bm25_over_the_namespace() {
    let mut connection = database();
    let texts = ["pump pump hose", "hose clamp", "pump", "rope", "rope clamp hose hose hose"];
    let others = ["pump rope", "pump rope valve", "pump", "pump hose rope", "clamp rope"];
    add(&mut connection, 1, &texts);
    add(&mut connection, 22, &others);
    let all: Vec<&str> = texts.iter().chain(&others).copied().collect();
    let found = search(&connection, 1, texts.len(), "pump, hose or valve?", None).unwrap();
    for (at, id) in (0..5).zip(1..) {
        let OfChunk { score, coverage, matched } = found.of(id);
        let right = expected(&texts, &all, &["pump", "hose"], at);
        assert!((f64::from(score) - right).abs() < 1e-4, "{id}: {score} {right}");
        assert_eq!((score > 0.0, score > 0.0), (coverage > 0.0, matched > 0.0));
        assert!(matched <= 2.0, "of two words, neither rarer than what one chunk has");
        assert!(coverage < 0.9, "no chunk has the valve");
    }
    let order = found.best(9);
    assert_eq!(order.len(), 4);
    assert!(order.is_sorted_by(|a, b| found.of(*a).score >= found.of(*b).score));
    assert_eq!((found.best(2), found.best(0)), (order[..2].to_vec(), vec![]));
    let hose = search(&connection, 1, texts.len(), "hose", None).unwrap();
    let pump = search(&connection, 1, texts.len(), "pump", None).unwrap();
    let (apart, together) = (hose.of(2).score + pump.of(3).score, found.of_all(&[2, 3]));
    assert!(together > 0.5 * apart && together < apart, "two words in a longer text: {together} {apart}");
    assert!((found.of_all(&[1]) - found.of(1).score).abs() < 1e-4, "one chunk is the text that it is");
    assert!(found.of_all(&[1, 2]) > found.of_all(&[1, 4]) && found.of_all(&[1, 4, 4, 4]) < found.of_all(&[1, 4]));
    assert_eq!((found.of_all(&[]), found.of_all(&[4])), (0.0, 0.0));
    let within = HashSet::from([2, 3]);
    let mut some = search(&connection, 1, texts.len(), "pump hose", Some(&within)).unwrap().best(9);
    some.sort_unstable();
    assert_eq!(some, [2, 3]);
}

#[test]
fn words_of_one_stem_count_once_and_equal_chunks_stay_in_order() {
    let mut connection = database();
    add(&mut connection, 1, &["pumps", "pump", "pumping", "hose", "hose"]);
    let once = search(&connection, 1, 5, "pump", None).unwrap();
    let thrice = search(&connection, 1, 5, "pump pumps pumping", None).unwrap();
    assert_eq!((once.of(1), once.of(3)), (thrice.of(1), thrice.of(3)));
    assert_eq!(thrice.best(9), [1, 2, 3]);
}

#[test]
fn the_rarest_words_are_read_as_far_as_the_limit_of_postings() {
    let mut connection = database();
    let common: Vec<&str> = std::iter::repeat_n("common", POSTINGS_MAX - 1).chain(["common rare", "valve"]).collect();
    add(&mut connection, 1, &common);
    let count = common.len();
    let found = |question: &str| search(&connection, 1, count, question, None).unwrap().best(3).len();
    assert_eq!((found("rare"), found("common"), found("rare common"), found("common valve")), (1, 3, 1, 1));
    let mut connection = database();
    add(&mut connection, 1, &vec!["common"; POSTINGS_MAX + 1]);
    assert_eq!(search(&connection, 1, POSTINGS_MAX + 1, "common", None).unwrap().best(3), [0; 0], "it tells no chunk from another");
}

#[test]
fn numbers_of_variable_length_are_read_as_sqlite_writes_them() {
    for (bytes, number) in [(&[0][..], 0), (&[0x7f], 127), (&[0x81, 0x00], 128), (&[0x81, 0x80, 0x01, 9], 16_385), (&[], 0)] {
        assert_eq!(varint(bytes), number);
    }
    assert_eq!(varint(&[0xff; 9]), u64::MAX);
}
