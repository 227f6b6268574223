//! The index agrees with SQLite whatever became of its file or of the process.

use super::*;

/// More chunks than it takes for an index to be worth a file.
async fn fill(house: &House, name: &str, first: usize, count: usize) {
    // A paragraph of its own for each chunk: two do not fit into one window.
    let filler = "and so on and on, ".repeat(14);
    let text: String = (first..first + count).map(|n| format!("Fact number{n} about thing{}. {filler}\n\n", n % 97)).collect();
    let receipt = house.add(name, &text).await;
    assert_eq!(receipt.chunks, count);
}

async fn hits(house: &House) -> Vec<(String, u32, f32)> {
    let mut all = Vec::new();
    for text in ["fact number7 about thing7", "number1003 thing33", "number250", "number1290 about thing29", "number42"] {
        let found = house.knowledge().search(&space("default"), Query { top_k: 20, score_threshold: -1.0, ..query(text) }).await.unwrap();
        all.extend(found.hits.into_iter().map(|hit| (hit.source, hit.ordinal, hit.score)));
    }
    assert_eq!(all.len(), 100);
    all
}

fn index_file(house: &House) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(house.folder.path().join("index")).unwrap();
    let file = files.next().expect("one namespace has a file").unwrap().path();
    assert!(files.next().is_none());
    file
}

#[tokio::test]
async fn an_index_is_rebuilt_whether_its_file_is_missing_torn_or_garbage() {
    let mut house = House::new();
    fill(&house, "facts.txt", 0, 1300).await;
    let expected = hits(&house).await;
    let file = index_file(&house);
    let bytes = std::fs::read(&file).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 0x40;
    for content in [Some(&bytes[..]), None, Some(&flipped), Some(&bytes[..bytes.len() / 3]), Some(b"garbage"), Some(b"")] {
        house.knowledge = None;
        std::fs::remove_file(&file).unwrap();
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        house.restart();
        assert_eq!(hits(&house).await, expected);
        assert!(std::fs::read(&file).unwrap().len() >= bytes.len(), "the file is whole again");
    }
}

#[tokio::test]
async fn a_file_older_than_the_database_is_brought_up_to_date() {
    let mut house = House::new();
    fill(&house, "facts.txt", 0, 1200).await;
    house.add("small.txt", "The old small text.").await;
    fill(&house, "more.txt", 2000, 1010).await;
    let file = index_file(&house);
    let old = std::fs::read(&file).unwrap();
    // The file does not know of these: the process dies before it is written again.
    house.add("small.txt", "The new small text.").await;
    fill(&house, "facts.txt", 0, 1300).await;
    let expected = hits(&house).await;
    house.knowledge = None;
    std::fs::write(&file, old).unwrap();
    house.restart();
    assert_eq!(hits(&house).await, expected);
    let small = house.search("old new small text").await;
    assert_eq!(small.hits[0].text, "The new small text.");
    assert!(small.hits.iter().all(|hit| hit.text != "The old small text."));
}

#[tokio::test]
async fn a_process_that_dies_before_its_index_is_written_loses_nothing() {
    let mut house = House::new();
    for n in 0..30 {
        house.add(&format!("{n}.txt"), &format!("small fact number{n}")).await;
    }
    assert!(!house.folder.path().join("index").exists(), "too small for a file");
    // `forget` keeps destructors from tidying up, as a kill does.
    std::mem::forget(house.knowledge.take());
    house.restart();
    for n in 0..30 {
        let found = house.search(&format!("number{n}")).await;
        assert_eq!(sources(&found).first(), Some(&format!("{n}.txt").as_str()));
    }
}
