//! Words and vectors together: what is a hit, and what is shown around it.

use super::*;

fn both(text: &str) -> Query {
    Query { mode: Mode::Hybrid, ..query(text) }
}

async fn found(house: &House, query: Query) -> Found {
    house.knowledge().search(&space("default"), query).await.unwrap()
}

#[tokio::test]
async fn what_words_find_is_a_hit_whatever_its_similarity_and_a_shared_word_is_not() {
    let house = House::with(Arc::new(Pocket::new()), Limits::default());
    house
        .add(
            "codes.txt",
            "The display shows ERR-4012 while pressure in the second basin is lower than what the operator of the plant has set.",
        )
        .await;
    house.add("rope.txt", "The rope of the second crane is greased in spring.").await;
    let asked = |text: &str| Query { score_threshold: 0.75, ..both(text) };
    let code = found(&house, asked("What does ERR-4012 mean?")).await;
    assert_eq!(sources(&code), ["codes.txt"]);
    assert!(code.hits[0].cosine < Some(0.75) && code.evidence[0].keyword_rank == Some(1), "{code:?}");
    let nothing = found(&house, asked("Who invented the second law of thermodynamics?")).await;
    assert_eq!(sources(&nothing), [""; 0]);
    assert!(!nothing.below.is_empty() && nothing.best_score.is_some(), "{nothing:?}");
}

#[tokio::test]
async fn words_alone_need_no_embedder() {
    let embedder = Arc::new(Fragile::default());
    let house = House::with(embedder.clone(), Limits::default());
    house.add("a.md", "# Pumps\n\nThe pump runs at night.").await;
    embedder.broken.store(true, Ordering::SeqCst);
    let hits = found(&house, Query { mode: Mode::Keyword, score_threshold: 0.75, ..query("pump night") }).await;
    assert_eq!(hits.hits[0].text, "# Pumps\n\nThe pump runs at night.");
    assert_eq!((hits.hits[0].heading.as_str(), hits.best_score), ("Pumps", Some(hits.hits[0].score)));
    assert!(hits.hits[0].score > 0.9 && hits.hits[0].cosine.is_none(), "{hits:?}");
    assert!(matches!(house.knowledge().search(&space("default"), both("pump")).await, Err(Error::Embed(_))));
}

#[tokio::test]
async fn a_filter_and_diversity_reach_the_search() {
    let house = House::new();
    for (name, text, language) in [("a.txt", "pump valve", "en"), ("b.txt", "pump valve", "de"), ("c.txt", "pump hose rope clamp", "en")] {
        let metadata = Metadata::of(serde_json::json!({"language": language})).unwrap();
        let document = Document { metadata, ..document(name, text) };
        house.knowledge().add(&space("default"), document, &Client::Host).await.unwrap();
    }
    let filter = Filter::of(&serde_json::json!({"language": "de"})).unwrap();
    assert_eq!(sources(&found(&house, Query { filter, ..both("pump") }).await), ["b.txt"]);
    let asked = |mmr| Query { score_threshold: 0.0, top_k: 2, mmr, ..both("pump valve") };
    assert_eq!(sources(&found(&house, asked(1.0)).await), ["a.txt", "b.txt"]);
    assert_eq!(sources(&found(&house, asked(0.3)).await), ["a.txt", "c.txt"]);
}

#[tokio::test]
async fn documents_of_an_earlier_release_get_their_words_once() {
    let mut house = House::new();
    for n in 0..450 {
        house.add(&format!("{n}.txt"), &format!("fact number{n}")).await;
    }
    house.knowledge = None;
    let connection = rusqlite::Connection::open(house.database()).unwrap();
    // As a migration leaves it, interrupted in its middle.
    let half: i64 = connection.query_row("SELECT id FROM chunks ORDER BY id LIMIT 1 OFFSET 200", [], |row| row.get(0)).unwrap();
    connection.execute("DELETE FROM keywords WHERE rowid > ?1", [half]).unwrap();
    connection.execute("INSERT INTO keyword_backlog VALUES (?1)", [half - 50]).unwrap();
    drop(connection);
    house.restart();
    while house.count("keyword_backlog") > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((house.count("keywords_docsize"), house.count("chunks")), (450, 450));
    for n in [0, 199, 201, 449] {
        let hits = found(&house, Query { mode: Mode::Keyword, ..query(&format!("number{n}")) }).await;
        assert_eq!(sources(&hits), [format!("{n}.txt")]);
    }
}

/// Four paragraphs, each a chunk of its own.
fn paragraphs() -> String {
    let filler = "and so on and on, ".repeat(14);
    ["alpha", "beta", "gamma", "delta", "epsilon"].map(|word| format!("Paragraph {word}. {filler}")).join("\n\n")
}

async fn shown(house: &House, found: &Found, neighbours: u32, budget_tokens: usize) -> Vec<(String, Vec<usize>)> {
    let excerpts = house.knowledge().excerpts(&found.hits, Spread { neighbours, budget_tokens }).await.unwrap();
    let words = |text: &str| {
        ["alpha", "beta", "gamma", "delta", "epsilon"].into_iter().filter(|word| text.contains(word)).collect::<Vec<_>>().join(" ")
    };
    excerpts.into_iter().map(|excerpt| (words(&excerpt.hit.text), excerpt.of)).collect()
}

#[tokio::test]
async fn hits_are_shown_with_their_neighbours_joined_where_they_touch() {
    let house = House::new();
    assert_eq!(house.add("a.txt", &paragraphs()).await.chunks, 5);
    let search = async |text: &str| found(&house, Query { mode: Mode::Keyword, score_threshold: 0.95, ..query(text) }).await;
    let (gamma, ends, touching) = (search("gamma").await, search("alpha epsilon").await, search("beta gamma").await);
    assert_eq!((gamma.hits.len(), ends.hits.len(), touching.hits.len()), (1, 0, 0), "half of the words is not enough");
    let search = async |text: &str| found(&house, Query { mode: Mode::Keyword, score_threshold: 0.0, ..query(text) }).await;
    let (ends, touching) = (search("alpha epsilon").await, search("beta gamma").await);
    let one = |words: &str, of: &[usize]| (words.to_owned(), of.to_vec());
    assert_eq!(shown(&house, &gamma, 0, 9999).await, [one("gamma", &[0])]);
    assert_eq!(shown(&house, &gamma, 1, 9999).await, [one("beta gamma delta", &[0])]);
    assert_eq!(shown(&house, &gamma, 9, 9999).await, [one("alpha beta gamma delta epsilon", &[0])]);
    assert_eq!(shown(&house, &ends, 1, 9999).await, [one("alpha beta", &[0]), one("delta epsilon", &[1])]);
    assert_eq!(shown(&house, &ends, 2, 9999).await, [one("alpha beta gamma delta epsilon", &[0, 1])]);
    assert_eq!(shown(&house, &touching, 0, 9999).await, [one("beta gamma", &[0, 1])]);
    assert_eq!(shown(&house, &touching, 1, 9999).await, [one("alpha beta gamma delta", &[0, 1])]);
}

#[tokio::test]
async fn the_budget_goes_to_hits_first_and_leaves_no_gap() {
    let house = House::new();
    house.add("a.txt", &paragraphs()).await;
    let search = Query { mode: Mode::Keyword, score_threshold: 0.0, ..query("alpha delta") };
    let ends = found(&house, search).await;
    let first = house.knowledge().excerpts(&ends.hits, Spread { neighbours: 0, budget_tokens: 9999 }).await.unwrap();
    let tokens = first.iter().map(|excerpt| Chunk::of(excerpt.hit.text.as_str()).tokens()).collect::<Vec<_>>();
    let one = |words: &str, of: &[usize]| (words.to_owned(), of.to_vec());
    assert_eq!(shown(&house, &ends, 1, tokens[0] - 1).await.len(), 0);
    assert_eq!(shown(&house, &ends, 1, tokens[0]).await, [one("alpha", &[0])]);
    assert_eq!(shown(&house, &ends, 1, tokens[0] + tokens[1]).await, [one("alpha", &[0]), one("delta", &[1])]);
    let room_for_one_more = tokens[0] + tokens[1] + tokens[0].max(tokens[1]) + 2;
    assert_eq!(shown(&house, &ends, 2, room_for_one_more).await, [one("alpha beta", &[0]), one("delta", &[1])]);
}

#[tokio::test]
async fn excerpts_name_the_headings_that_change_and_survive_a_deletion() {
    let house = House::new();
    let filler = "and so on and on, ".repeat(10);
    let text = format!("# Manual\n\nFirst {filler}\n\n## Pumps\n\nSecond {filler}\n\nThird {filler}\n");
    house.add("a.md", &text).await;
    let hits = found(&house, Query { mode: Mode::Keyword, ..query("second") }).await;
    let excerpts = house.knowledge().excerpts(&hits.hits, Spread::default()).await.unwrap();
    let [excerpt] = &excerpts[..] else { panic!("{excerpts:#?}") };
    let lines: Vec<&str> = excerpt.hit.text.lines().filter(|line| !line.is_empty()).map(|line| &line[..line.len().min(16)]).collect();
    assert_eq!(lines, ["# Manual", "First and so on ", "# Manual > Pumps", "Second and so on", "Third and so on "]);
    assert_eq!((excerpt.hit.ordinal, excerpt.last, excerpt.hit.score), (0, 2, hits.hits[0].score));
    house.knowledge().clear(&space("default")).await.unwrap();
    let excerpts = house.knowledge().excerpts(&hits.hits, Spread::default()).await.unwrap();
    assert!(excerpts.len() == 1 && excerpts[0].hit.text == hits.hits[0].text, "what was found is shown: {excerpts:#?}");
}
