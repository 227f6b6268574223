//! What must hold after every restart, asked through the API, and in the file itself: also in the one that a backup has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::words::{Shape, Version};
use super::work::{Documents, Held, Key, Work, find};
use crate::client::Client;

/// Most chunks that one search shows.
const SHOWN: usize = 50;
/// Documents that were not changed, of which it is asked each time whether they are found.
const OTHERS: usize = 6;

/// How many chunks a text of a shape has.
pub type Chunks = HashMap<Shape, usize>;

/// A document as it is listed.
#[derive(Clone, Debug)]
struct Listed {
    id: String,
    sha256: String,
    chunks: usize,
}

/// Holds what the server shows against what each client knows, which learns from it what became of what was not answered.
pub async fn all(client: &Client, works: &mut [Work], chunks: &Chunks, rng: &mut fastrand::Rng, point: &str) {
    let listed = listed(client).await;
    for work in works.iter_mut() {
        let mine = listed.iter().filter(|((_, name), _)| name.starts_with(&format!("{}-", work.name)));
        let mine: BTreeMap<Key, Listed> = mine.map(|(key, document)| (key.clone(), document.clone())).collect();
        let either = [work.documents.clone(), work.had_it_happened()];
        let is = either.into_iter().find_map(|documents| as_listed(&documents, &mine, chunks));
        let is = is.unwrap_or_else(|| {
            panic!("{point}: {} knows {:#?}\nand asked for {:?}; there is {mine:#?}", work.name, work.documents, work.open)
        });
        work.found(is);
    }
    let known: BTreeSet<&Key> = works.iter().flat_map(|work| work.documents.keys()).collect();
    assert!(listed.keys().all(|key| known.contains(key)), "{point}: nobody put all of {:?}", listed.keys());
    let mut namespaces: BTreeMap<&str, Vec<&Listed>> = BTreeMap::new();
    for ((namespace, _), document) in &listed {
        namespaces.entry(namespace).or_default().push(document);
    }
    let shown = client.get("/api/v1/gateway/apis/kb/knowledge/namespaces?limit=1000").await.ok().json();
    let shown =
        shown["data"].as_array().expect("a list").iter().map(|n| (n["id"].as_str().expect("a name").to_owned(), n["documents"].as_u64()));
    let counted = namespaces.iter().map(|(name, documents)| ((*name).to_owned(), Some(documents.len() as u64)));
    assert_eq!(shown.collect::<Vec<_>>(), counted.collect::<Vec<_>>(), "{point}");
    for (namespace, documents) in namespaces {
        the_index_has_just_these(client, namespace, &documents, point).await;
    }
    for work in works {
        let mut asked: BTreeSet<Key> = std::mem::take(&mut work.changed).into_iter().collect();
        let all: Vec<&Key> = work.documents.keys().collect();
        asked.extend((0..OTHERS.min(all.len())).map(|_| all[rng.usize(..all.len())].clone()));
        for key in asked {
            if let Some(held) = work.documents.get(&key) {
                is_found(client, &key, held, chunks[&held.version.shape], point).await;
            }
        }
        for number in &work.gone {
            let (word, bulk) = (super::words::word(*number), format!("{}-bulk", work.name));
            for namespace in [work.name.as_str(), "shared", bulk.as_str()] {
                assert_eq!(find(client, namespace, "keyword", &word).await, [], "{point}: {word} is gone");
            }
        }
    }
}

/// The documents with their ids, if they are just what is listed.
fn as_listed(documents: &Documents, listed: &BTreeMap<Key, Listed>, chunks: &Chunks) -> Option<Documents> {
    let is = |held: &Held, document: &Listed| {
        held.id.as_ref().is_none_or(|id| *id == document.id)
            && document.sha256 == held.version.sha256()
            && document.chunks == chunks[&held.version.shape]
    };
    let same =
        documents.len() == listed.len() && documents.iter().all(|(key, held)| listed.get(key).is_some_and(|document| is(held, document)));
    let with_id = |(key, held): (&Key, &Held)| (key.clone(), Held { version: held.version, id: Some(listed[key].id.clone()) });
    same.then(|| documents.iter().map(with_id).collect())
}

async fn listed(client: &Client) -> BTreeMap<Key, Listed> {
    let listed = client.get("/api/v1/gateway/apis/kb/knowledge/documents?limit=1000").await.ok().json();
    assert_eq!(listed["has_more"], false);
    let document = |document: &serde_json::Value| {
        let text = |key: &str| document[key].as_str().expect("text").to_owned();
        let chunks = document["chunks"].as_u64().expect("a number") as usize;
        ((text("namespace"), text("name")), Listed { id: text("id"), sha256: text("sha256"), chunks })
    };
    listed["data"].as_array().expect("a list").iter().map(document).collect()
}

/// Every chunk of a namespace is found by its vector, and nothing else is.
async fn the_index_has_just_these(client: &Client, namespace: &str, documents: &[&Listed], point: &str) {
    let there: BTreeSet<(String, u64)> =
        documents.iter().flat_map(|document| (0..document.chunks as u64).map(|ordinal| (document.id.clone(), ordinal))).collect();
    let found = find(client, namespace, "vector", "Bb").await;
    if there.len() <= SHOWN {
        let found: BTreeSet<(String, u64)> = found.into_iter().map(|(id, ordinal, _)| (id, ordinal)).collect();
        assert_eq!(found, there, "{point}: the index of {namespace}");
    } else {
        assert!(found.iter().all(|(id, ordinal, _)| there.contains(&(id.clone(), *ordinal))), "{point}: the index of {namespace}");
    }
}

/// A document is found whole by its word, and each of these chunks by its own text.
async fn is_found(client: &Client, (namespace, name): &Key, held: &Held, chunks: usize, point: &str) {
    let Held { version, id } = held;
    let id = id.as_ref().expect("it is listed");
    let by_word = find(client, namespace, "keyword", &version.word()).await;
    let ordinals: BTreeSet<u64> = by_word.iter().map(|(_, ordinal, _)| *ordinal).collect();
    assert!(by_word.iter().all(|(found, _, text)| found == id && text.contains(&version.word())), "{point}: {name}: {by_word:?}");
    assert_eq!(ordinals.len(), chunks.min(SHOWN), "{point}: {name} by its word: {ordinals:?}");
    if chunks <= SHOWN {
        assert_eq!(ordinals, (0..chunks as u64).collect(), "{point}: {name} by its word");
    }
    for (_, ordinal, text) in by_word.iter().take(4) {
        let by_vector = find(client, namespace, "vector", text).await;
        let first = by_vector.first().map(|(id, ordinal, text)| (id.as_str(), *ordinal, text.as_str()));
        assert_eq!(first, Some((id.as_str(), *ordinal, text.as_str())), "{point}: {name} by its own text");
    }
}

/// What the file itself has: rows that belong together, all words, and no document that nobody sent or that lacks a chunk.
pub fn file(database: &Path, sent: &HashMap<String, Version>, chunks: &Chunks, point: &str) -> BTreeSet<String> {
    let database = rusqlite::Connection::open(database).expect("the database opens");
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect(sql);
    let intact: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(intact, "ok", "{point}");
    assert_eq!(number("SELECT count(*) FROM chunks WHERE document_id NOT IN (SELECT id FROM documents)"), 0, "{point}");
    for (one, other) in [("chunks", "keywords_docsize"), ("keywords_docsize", "chunks")] {
        let alone = number(&format!("SELECT count(*) FROM (SELECT id FROM {one} EXCEPT SELECT id FROM {other})"));
        assert_eq!(alone, 0, "{point}: {one} that are not among {other}");
    }
    let sql = "SELECT d.name, d.sha256, count(c.id), count(DISTINCT c.ordinal), ifnull(max(c.ordinal) + 1, 0)
               FROM live_documents d LEFT JOIN chunks c ON c.document_id = d.id GROUP BY d.id";
    let mut rows = database.prepare(sql).expect("prepared");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, [row.get(2)?, row.get(3)?, row.get(4)?]))).expect("queried");
    let whole = |row: rusqlite::Result<(String, String, [i64; 3])>| {
        let (name, sha256, counts) = row.expect("a row");
        let version = sent.get(&sha256).unwrap_or_else(|| panic!("{point}: nobody sent {name} with {sha256}"));
        assert_eq!(counts, [chunks[&version.shape] as i64; 3], "{point}: {name}");
        name
    };
    rows.map(whole).collect()
}
