//! Eight who write and thirty-two who read, at the same time: every answer is of one moment, no update is lost, and nothing fails.
//! `COFFERDAM_VERSIONS` says how many versions each writer puts in the place of the one before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::client::Client;
use crate::crash::words::{self, Shape, Version};
use crate::crash::work::{KNOWLEDGE, upload};
use crate::server::Server;

const WRITERS: usize = 8;
const READERS: usize = 32;
const VERSIONS: usize = 12;
/// All chunks together are no more than one search shows.
const SHAPE: Shape = Shape { sections: 4, markdown: true };

/// The version of that number of a writer's document.
fn version(writer: usize, number: usize) -> Version {
    Version { number: (writer * 100_000 + number) as u32, shape: SHAPE }
}

fn name(writer: usize) -> String {
    format!("{writer}.md")
}

/// What the writers know to be there.
struct Board {
    /// Of each document, the number of the version that was acknowledged last.
    acknowledged: [AtomicUsize; WRITERS],
    writing: AtomicUsize,
    /// Of each document.
    chunks: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_of_one_moment_while_many_write_and_many_read() {
    let versions = std::env::var("COFFERDAM_VERSIONS").ok().map_or(VERSIONS, |value| value.parse().expect("a number"));
    let home = Arc::new(tempfile::tempdir().expect("a folder"));
    words::model(&home.path().join("model"));
    let server = Server::with(&words::config(home.path())).folder(home.clone()).start();
    let client = Client::of(server.address);
    let mut chunks = 0;
    for writer in 0..WRITERS {
        let answer = upload(&client, "n", &name(writer), version(writer, 0)).await.expect("the server answers").ok().json();
        chunks = answer["data"][0]["chunks"].as_u64().expect("a number") as usize;
    }
    assert!((SHAPE.sections as usize..=50 / WRITERS).contains(&chunks), "{chunks}");
    let board = Arc::new(Board { acknowledged: Default::default(), writing: AtomicUsize::new(WRITERS), chunks });
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (client, board) = (client.clone(), Arc::clone(&board));
            tokio::spawn(async move {
                for number in 1..=versions {
                    let answer =
                        upload(&client, "n", &name(writer), version(writer, number)).await.expect("the server answers").ok().json();
                    assert_eq!(answer["data"][0]["replaced"], true);
                    board.acknowledged[writer].store(number, Ordering::SeqCst);
                }
                board.writing.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let (client, board) = (client.clone(), Arc::clone(&board));
            tokio::spawn(async move {
                let mut answers = 0;
                while answers < 3 || board.writing.load(Ordering::SeqCst) > 0 {
                    look(&client, &board, ["vector", "hybrid", "keyword"][(reader + answers) % 3]).await;
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let mut answers = 0;
    for reader in readers {
        answers += reader.await.expect("no panic");
    }
    for mode in ["vector", "hybrid", "keyword"] {
        let shown = look(&client, &board, mode).await;
        assert!(shown.values().all(|number| *number == versions), "{mode}: {shown:?}");
    }
    let log = server.log();
    assert!(!log.contains("database is locked") && !log.contains(" ERROR "), "{log}");
    println!("{} versions and {answers} answers", WRITERS * versions);
}

/// Asks for everything. Each document must be there, whole, in one version, and in none that was replaced before the question. Gives the versions.
async fn look(client: &Client, board: &Board, mode: &str) -> BTreeMap<usize, usize> {
    let before: Vec<usize> = board.acknowledged.iter().map(|number| number.load(Ordering::SeqCst)).collect();
    let question = json!({"query": "Who says that gauge Zb Zc Zd Zf stood high that day?", "namespace": "n", "mode": mode, "top_k": 50, "score_threshold": 0.0, "mmr": 1.0});
    let answer = client.post(&format!("{KNOWLEDGE}/test"), &question).await.ok().json();
    let list = |key: &str| answer[key].as_array().expect("a list").clone();
    let (mut versions, mut chunks) = (BTreeMap::new(), BTreeMap::<usize, Vec<u64>>::new());
    for hit in list("data").iter().chain(&list("below")) {
        let (writer, number) = of(hit);
        let other = versions.insert(writer, number);
        assert!(other.is_none_or(|other| other == number), "{mode}: {writer} in the versions {other:?} and {number}");
        chunks.entry(writer).or_default().push(hit["ordinal"].as_u64().expect("a number"));
    }
    for (writer, least) in before.into_iter().enumerate() {
        let mut ordinals = chunks.remove(&writer).unwrap_or_default();
        ordinals.sort_unstable();
        assert_eq!(ordinals, (0..board.chunks as u64).collect::<Vec<_>>(), "{mode}: {writer} is there whole");
        assert!(versions[&writer] >= least, "{mode}: {writer} in version {}, and {least} was acknowledged", versions[&writer]);
    }
    // What a chat is given of a document is of the version that was found.
    for excerpt in list("excerpts") {
        let (writer, number) = of(&excerpt);
        assert_eq!(versions.get(&writer), Some(&number), "{mode}: an excerpt");
    }
    versions
}

/// The document and the version that a text is of: no other version's word may stand in it.
fn of(part: &Value) -> (usize, usize) {
    let (source, text) = (part["source"].as_str().expect("a name"), part["text"].as_str().expect("text"));
    let writer: usize = source.trim_end_matches(".md").parse().expect("a number");
    let mut words = text.split_whitespace().zip(text.split_whitespace().skip(1)).filter(|(_, next)| *next == "says").map(|(word, _)| word);
    let word = words.next().expect("a word");
    assert!(words.all(|other| other == word), "{text}");
    let number = (0..100_000).find(|number| version(writer, *number).word() == word).unwrap_or_else(|| panic!("nobody wrote {word}"));
    (writer, number)
}
