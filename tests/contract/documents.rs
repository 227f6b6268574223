//! What every `DocumentStore` promises: documents are seen whole or not at all, ranked exactly, and only within their namespace and space.

use std::slice;
use std::sync::Arc;

use cofferdam::chat::Hit;
use cofferdam::rag::{
    Candidate, Chunk, DocumentInfo, DocumentStore, Error, Filling, Filter, Lookup, Metadata, Namespace, NamespaceInfo, NewDocument, Page,
    Put, Recorded, Spaces, StoredDocument, Swap, Unembedded, VectorSpace,
};

use super::backends::Backend;

on_every_backend!(
    the_nearest_chunks_come_best_first_with_their_scores,
    chunks_of_equal_score_come_in_the_order_they_were_put,
    what_was_put_is_found_again_after_reopening,
    a_document_takes_the_place_of_the_one_of_its_name,
    namespaces_do_not_see_each_other,
    a_namespace_takes_just_its_chunks_and_a_replaced_document_makes_room,
    documents_that_are_put_at_once_do_not_pass_the_limit_together,
    a_namespace_has_vectors_of_one_space_and_documents_of_another_are_refused,
    who_makes_the_vectors_is_recorded_and_forgotten_with_the_last_document,
    a_new_space_is_filled_beside_the_old_one_and_takes_its_place_in_one_step,
    what_is_written_while_a_space_is_filled_is_in_the_old_one_and_the_new_one,
    a_swap_waits_for_every_chunk,
    a_space_that_is_being_filled_is_filled_on_after_reopening_or_given_up,
    a_deleted_namespace_takes_what_was_filled_with_it,
    a_large_namespace_is_found_the_same_before_and_after_its_swap_has_settled,
    searches_are_of_one_space_while_it_is_swapped,
    vectors_that_do_not_fit_are_refused_and_nothing_is_stored,
    documents_are_listed_by_id_with_what_is_known_of_them,
    a_page_is_the_same_whatever_was_added_or_deleted_before_it,
    an_api_shows_only_what_is_its_own,
    namespaces_and_apis_are_listed_while_they_hold_a_document,
    a_deleted_document_is_gone,
    a_cleared_namespace_is_gone_whole_and_nothing_else_is,
    a_cleared_namespace_has_all_its_room_again,
    a_large_namespace_is_seen_whole_or_not_at_all_while_it_is_cleared,
    preparing_changes_nothing_that_is_found,
    a_document_is_seen_whole_while_many_tasks_write,
    hits_are_exact_among_many,
    a_namespace_is_the_same_in_every_state_that_it_grows_and_shrinks_through,
    chunks_are_found_by_their_words_headings_and_title,
    the_words_of_what_is_gone_find_nothing,
    a_namespace_weighs_words_by_its_own_chunks_alone,
    the_text_of_a_question_is_words_and_nothing_else,
    words_and_vectors_are_of_one_moment,
    a_filter_leaves_documents_with_such_metadata,
    what_is_kept_of_a_chunk_comes_back,
    the_same_content_is_known_again_in_its_namespace_and_space,
    other_metadata_changes_nothing_else,
);

const ALL: usize = usize::MAX;

async fn store(backend: &impl Backend) -> Arc<dyn DocumentStore> {
    backend.open().await.documents
}

fn namespace(name: &str) -> Namespace {
    Namespace { api: "support".into(), name: name.into() }
}

fn space(model: &str) -> VectorSpace {
    VectorSpace { model: model.into(), dimensions: 3 }
}

/// The unit vector that lies so many degrees from the first axis.
fn at(degrees: f32) -> Vec<f32> {
    let angle = degrees.to_radians();
    vec![angle.cos(), angle.sin(), 0.0]
}

fn document(id: &str, name: &str, chunks: &[(&str, f32)]) -> NewDocument {
    let metadata = Metadata::of(serde_json::json!({"id": id, "number": 7, "draft": false})).unwrap();
    let (sha256, created) = ("00".into(), 1_764_000_000);
    let content = format!("content of {name}");
    let info = DocumentInfo { id: id.into(), name: name.into(), sha256, bytes: 7, content, created, title: None, metadata };
    NewDocument {
        info,
        space: space("m"),
        chunks: Arc::new(chunks.iter().map(|(text, _)| Chunk::of(*text)).collect()),
        vectors: chunks.iter().map(|(_, degrees)| at(*degrees)).collect(),
    }
}

async fn put(store: &Arc<dyn DocumentStore>, document: NewDocument) -> Put {
    store.put(&namespace("n"), document, ALL).await.unwrap()
}

/// Every document of the namespace, by the smallest pages.
async fn listed(store: &Arc<dyn DocumentStore>, namespace: &Namespace) -> Vec<StoredDocument> {
    let mut all: Vec<StoredDocument> = Vec::new();
    loop {
        let after = all.last().map(|document| document.info.id.clone()).unwrap_or_default();
        let page = Page { after: &after, count: 1 };
        let found = store.documents(&namespace.api, Some(&namespace.name), page).await.unwrap();
        if found.is_empty() {
            return all;
        }
        all.extend(found);
    }
}

fn first(count: usize) -> Page<'static> {
    Page { after: "", count }
}

async fn near(store: &Arc<dyn DocumentStore>, degrees: f32, count: usize) -> Vec<Hit> {
    store.nearest(&namespace("n"), &space("m"), at(degrees), count).await.unwrap()
}

fn texts(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.text.as_str()).collect()
}

const STORED: Put = Put::Stored { replaced: false };
const REPLACED: Put = Put::Stored { replaced: true };

async fn the_nearest_chunks_come_best_first_with_their_scores(backend: impl Backend) {
    let store = store(&backend).await;
    assert!(store.is_empty(&namespace("n")).await.unwrap());
    assert_eq!(near(&store, 0.0, 9).await, []);
    assert_eq!(put(&store, document("1", "a.txt", &[("zero", 0.0), ("ninety", 90.0)])).await, STORED);
    assert_eq!(put(&store, document("2", "b.txt", &[("sixty", 60.0), ("opposite", 180.0)])).await, STORED);
    assert!(!store.is_empty(&namespace("n")).await.unwrap());
    let hits = near(&store, 0.0, 9).await;
    assert_eq!(texts(&hits), ["zero", "sixty", "ninety", "opposite"]);
    for (hit, (source, ordinal, score)) in
        hits.iter().zip([("a.txt", 0, 1.0), ("b.txt", 0, 0.5), ("a.txt", 1, 0.0), ("b.txt", 1, -1.0_f32)])
    {
        assert_eq!((hit.source.as_str(), hit.ordinal), (source, ordinal));
        assert!((hit.score - score).abs() < 1e-6 && (-1.0..=1.0).contains(&hit.score), "{hit:?}");
    }
    assert_eq!(texts(&near(&store, 0.0, 2).await), ["zero", "sixty"]);
    assert_eq!(texts(&near(&store, 100.0, 1).await), ["ninety"]);
    assert_eq!(near(&store, 0.0, 0).await, []);
    assert_eq!(near(&store, 0.0, usize::MAX).await.len(), 4);
}

async fn chunks_of_equal_score_come_in_the_order_they_were_put(backend: impl Backend) {
    let store = store(&backend).await;
    for name in ["c", "a", "d", "b"] {
        put(&store, document(&format!("id of {name}"), name, &[(&format!("{name}0"), 10.0), (&format!("{name}1"), 10.0)])).await;
    }
    put(&store, document("new id of a", "a", &[("a2", 10.0)])).await;
    let expected = ["c0", "c1", "d0", "d1", "b0", "b1", "a2"];
    assert_eq!(texts(&near(&store, 0.0, 9).await), expected);
    assert_eq!(texts(&near(&store, 0.0, 3).await), expected[..3]);
    drop(store);
    let store = self::store(&backend).await;
    put(&store, document("5", "e", &[("e0", 10.0)])).await;
    assert_eq!(texts(&near(&store, 0.0, 9).await)[5..], ["b1", "a2", "e0"]);
}

async fn what_was_put_is_found_again_after_reopening(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "a.txt", &[("zero", 0.0), ("ninety", 90.0)])).await;
    let (before, documents) = (near(&store, 20.0, 9).await, listed(&store, &namespace("n")).await);
    drop(store);
    let store = self::store(&backend).await;
    assert!(!store.is_empty(&namespace("n")).await.unwrap());
    assert_eq!((near(&store, 20.0, 9).await, listed(&store, &namespace("n")).await), (before, documents));
}

async fn a_document_takes_the_place_of_the_one_of_its_name(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "a.txt", &[("old zero", 0.0), ("old ninety", 90.0)])).await;
    put(&store, document("2", "b.txt", &[("other", 45.0)])).await;
    assert_eq!(put(&store, document("3", "a.txt", &[("new", 1.0)])).await, REPLACED);
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["new", "other"]);
    assert_eq!(store.chunk_count(&namespace("n"), "").await.unwrap(), 2);
    assert_eq!(store.chunks("1", 0, u32::MAX).await.unwrap(), []);
    assert_eq!(store.chunks("3", 0, u32::MAX).await.unwrap(), [Chunk::of("new")]);
}

async fn namespaces_do_not_see_each_other(backend: impl Backend) {
    let store = store(&backend).await;
    let spaces = [("support", "default"), ("support", "other"), ("sales", "default"), ("supportd", "efault")];
    let namespaces = spaces.map(|(api, name)| Namespace { api: api.into(), name: name.into() });
    for (n, namespace) in namespaces.iter().enumerate() {
        let text = format!("{} {}", namespace.api, namespace.name);
        assert_eq!(store.put(namespace, document(&n.to_string(), "a.txt", &[(&text, 0.0)]), ALL).await.unwrap(), STORED);
    }
    for namespace in &namespaces {
        let hits = store.nearest(namespace, &space("m"), at(0.0), 9).await.unwrap();
        assert_eq!(texts(&hits), [format!("{} {}", namespace.api, namespace.name)]);
        assert_eq!(listed(&store, namespace).await.len(), 1);
    }
    assert!(!store.delete(&namespaces[1], "0").await.unwrap(), "it is another one's");
    assert!(store.delete(&namespaces[0], "0").await.unwrap());
    let left = [true, false, false, false];
    for (namespace, empty) in namespaces.iter().zip(left) {
        assert_eq!(store.is_empty(namespace).await.unwrap(), empty);
    }
}

async fn a_namespace_takes_just_its_chunks_and_a_replaced_document_makes_room(backend: impl Backend) {
    let store = store(&backend).await;
    let put = async |document| store.put(&namespace("n"), document, 3).await.unwrap();
    assert_eq!(put(document("1", "a", &[("a0", 0.0), ("a1", 0.0)])).await, STORED);
    assert_eq!(put(document("2", "b", &[("b0", 0.0), ("b1", 0.0)])).await, Put::Full);
    assert_eq!(put(document("3", "b", &[("b0", 0.0)])).await, STORED);
    assert_eq!(put(document("4", "b", &[("b0 again", 0.0)])).await, REPLACED);
    assert_eq!(put(document("5", "b", &[("b0", 0.0), ("b1", 0.0)])).await, Put::Full);
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["a0", "a1", "b0 again"], "what is refused changes nothing");
    assert_eq!(store.chunk_count(&namespace("n"), "a").await.unwrap(), 1);
    assert_eq!(store.chunk_count(&namespace("n"), "nothing").await.unwrap(), 3);
    assert_eq!(store.put(&namespace("other"), document("6", "b", &[("b0", 0.0)]), 1).await.unwrap(), STORED);
}

async fn documents_that_are_put_at_once_do_not_pass_the_limit_together(backend: impl Backend) {
    let store = store(&backend).await;
    let puts: Vec<_> = (0..8)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.put(&namespace("n"), document(&n.to_string(), &n.to_string(), &[("text", 0.0)]), 3).await })
        })
        .collect();
    let mut stored = 0;
    for put in puts {
        stored += usize::from(put.await.unwrap().unwrap() == STORED);
    }
    assert_eq!((stored, store.chunk_count(&namespace("n"), "").await.unwrap(), near(&store, 0.0, 9).await.len()), (3, 3, 3));
}

async fn a_namespace_has_vectors_of_one_space_and_documents_of_another_are_refused(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "old", &[("old", 0.0)])).await;
    let of_other = |id: &str| NewDocument { space: space("other"), ..document(id, "new", &[("new", 0.0)]) };
    assert_eq!(put(&store, of_other("2")).await, Put::OtherSpace);
    assert_eq!(put(&store, NewDocument { space: space("other"), ..document("3", "old", &[("replaced", 0.0)]) }).await, Put::OtherSpace);
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["old"]);
    assert_eq!(store.nearest(&namespace("n"), &space("other"), at(0.0), 9).await.unwrap(), []);
    let longer = VectorSpace { model: "longer".into(), dimensions: 5 };
    assert_eq!(store.nearest(&namespace("n"), &longer, vec![1.0, 0.0, 0.0, 0.0, 0.0], 9).await.unwrap(), []);
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["old"], "to look in one space changes nothing in another");
    assert_eq!(store.put(&namespace("other"), of_other("2"), ALL).await.unwrap(), STORED);
    // What holds nothing any more is of no space.
    assert!(store.delete(&namespace("n"), "1").await.unwrap());
    assert_eq!(put(&store, of_other("4")).await, STORED);
    assert_eq!(put(&store, document("1", "old", &[("old", 0.0)])).await, Put::OtherSpace);
    drop(store);
    let store = self::store(&backend).await;
    assert_eq!(put(&store, document("1", "old", &[("old", 0.0)])).await, Put::OtherSpace);
    assert_eq!(texts(&store.nearest(&namespace("n"), &space("other"), at(0.0), 9).await.unwrap()), ["new"]);
}

fn by(embedder: &str, model: &str) -> Recorded {
    Recorded { embedder: embedder.into(), space: space(model) }
}

async fn spaces(store: &Arc<dyn DocumentStore>, name: &str) -> Option<Spaces> {
    store.spaces(&namespace(name)).await.unwrap()
}

async fn who_makes_the_vectors_is_recorded_and_forgotten_with_the_last_document(backend: impl Backend) {
    let store = store(&backend).await;
    let n = namespace("n");
    assert_eq!((spaces(&store, "n").await, store.all_spaces().await.unwrap()), (None, vec![]));
    store.record(&n, &by("first", "m")).await.unwrap();
    store.record(&n, &by("mini", "m")).await.unwrap();
    assert_eq!(spaces(&store, "n").await, None, "it holds no document");
    put(&store, document("1", "a", &[("a", 0.0)])).await;
    let of = |serves: Recorded| Spaces { serves, next: None };
    assert_eq!(spaces(&store, "n").await, Some(of(by("mini", "m"))));
    store.record(&n, &by("far", "other")).await.unwrap();
    assert_eq!(spaces(&store, "n").await, Some(of(by("mini", "m"))), "its vectors are not of that space");
    store.record(&n, &by("renamed", "m")).await.unwrap();
    store.put(&namespace("o"), document("2", "a", &[("a", 0.0)]), ALL).await.unwrap();
    drop(store);
    let store = self::store(&backend).await;
    let all = store.all_spaces().await.unwrap();
    assert_eq!(all, [(n.clone(), of(by("renamed", "m"))), (namespace("o"), of(by("", "m")))]);
    let listed = store.namespaces("support", first(9)).await.unwrap();
    assert_eq!(listed.into_iter().map(|info| info.spaces.serves.embedder).collect::<Vec<_>>(), ["renamed", ""]);
    assert_eq!(store.clear(&n).await.unwrap(), Some(1));
    assert!(store.delete(&namespace("o"), "2").await.unwrap());
    assert_eq!((spaces(&store, "n").await, spaces(&store, "o").await, store.all_spaces().await.unwrap()), (None, None, vec![]));
}

/// Fills the space by the rule that a chunk lies where the name of its text says, in a plane turned by a right angle: what was nearest to 0 degrees
/// is nearest to 90.
async fn fill(store: &Arc<dyn DocumentStore>, filling: i64, degrees: impl Fn(&Unembedded) -> f32) -> usize {
    let (mut after, mut count) = (None, 0);
    loop {
        let found = store.unembedded(&namespace("n"), filling, after.as_ref(), 2).await.unwrap();
        let Some(last) = found.last().cloned() else { return count };
        let vectors = found.iter().map(|chunk| (chunk.chunk, at(degrees(chunk)))).collect();
        assert!(store.fill(&namespace("n"), filling, vectors).await.unwrap());
        (after, count) = (Some(last), count + found.len());
    }
}

async fn begin(store: &Arc<dyn DocumentStore>) -> Filling {
    store.begin_filling(&namespace("n"), &by("next", "new")).await.unwrap().expect("it holds a document")
}

async fn near_in(store: &Arc<dyn DocumentStore>, model: &str, degrees: f32) -> Vec<Hit> {
    store.nearest(&namespace("n"), &space(model), at(degrees), 9).await.unwrap()
}

async fn settle(store: &Arc<dyn DocumentStore>) {
    while store.settle(&namespace("n")).await.unwrap() {}
}

async fn a_new_space_is_filled_beside_the_old_one_and_takes_its_place_in_one_step(backend: impl Backend) {
    let store = store(&backend).await;
    assert_eq!(store.begin_filling(&namespace("n"), &by("next", "new")).await.unwrap(), None, "there is nothing");
    put(&store, document("1", "a", &[("zero", 0.0), ("ninety", 90.0)])).await;
    put(&store, document("2", "b", &[("fifty", 50.0)])).await;
    store.put(&namespace("other"), document("3", "c", &[("kept", 0.0)]), ALL).await.unwrap();
    let Filling { id, done, of } = begin(&store).await;
    assert_eq!((done, of), (0, 3));
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Missing);
    // The other way round.
    let other_way = |chunk: &Unembedded| match chunk.text.as_str() {
        "zero" => 90.0,
        "ninety" => 0.0,
        _ => 50.0,
    };
    assert_eq!(fill(&store, id, other_way).await, 3);
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["zero", "fifty", "ninety"], "the old one serves");
    assert_eq!(near_in(&store, "new", 0.0).await, []);
    assert_eq!(spaces(&store, "n").await, Some(Spaces { serves: by("", "m"), next: Some(by("next", "new")) }));
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Done);
    let serves_new = async |store: &Arc<dyn DocumentStore>| {
        assert_eq!(texts(&near_in(store, "new", 0.0).await), ["ninety", "fifty", "zero"]);
        assert_eq!(near(store, 0.0, 9).await, [], "of the old one nothing is left");
        assert_eq!(spaces(store, "n").await, Some(Spaces { serves: by("next", "new"), next: None }));
        assert!(listed(store, &namespace("n")).await.iter().all(|document| document.model == "new"));
        assert_eq!(texts(&store.nearest(&namespace("other"), &space("m"), at(0.0), 9).await.unwrap()), ["kept"]);
    };
    serves_new(&store).await;
    drop(store);
    let store = self::store(&backend).await;
    serves_new(&store).await;
    settle(&store).await;
    serves_new(&store).await;
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Gone);
    assert!(!store.fill(&namespace("n"), id, vec![]).await.unwrap());
    assert_eq!(put(&store, NewDocument { space: space("new"), ..document("4", "d", &[("ten", 10.0)]) }).await, STORED);
    assert_eq!(texts(&near_in(&store, "new", 0.0).await), ["ninety", "ten", "fifty", "zero"]);
}

async fn what_is_written_while_a_space_is_filled_is_in_the_old_one_and_the_new_one(backend: impl Backend) {
    let store = store(&backend).await;
    for (id, name) in [("1", "kept"), ("2", "deleted"), ("3", "replaced")] {
        put(&store, document(id, name, &[(name, 10.0), ("more of it", 80.0)])).await;
    }
    let Filling { id, .. } = begin(&store).await;
    assert_eq!(fill(&store, id, |_| 10.0).await, 6);
    assert_eq!(put(&store, document("4", "added", &[("added", 1.0)])).await, STORED);
    assert_eq!(put(&store, document("5", "replaced", &[("in its place", 2.0)])).await, REPLACED);
    assert!(store.delete(&namespace("n"), "2").await.unwrap());
    assert_eq!(texts(&near(&store, 0.0, 3).await), ["added", "in its place", "kept"]);
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Missing);
    assert_eq!(begin(&store).await, Filling { id, done: 2, of: 4 }, "what was filled stays");
    assert_eq!(fill(&store, id, |chunk| if chunk.text == "added" { 3.0 } else { 4.0 }).await, 2);
    // One more, which goes again.
    put(&store, document("6", "short", &[("short", 0.0)])).await;
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Missing);
    assert!(store.delete(&namespace("n"), "6").await.unwrap());
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Done);
    assert_eq!(texts(&near_in(&store, "new", 0.0).await), ["added", "in its place", "kept", "more of it"]);
    assert_eq!(put(&store, document("7", "late", &[("late", 0.0)])).await, Put::OtherSpace);
    // Before what is left of the swap is done, too.
    let replaced = NewDocument { space: space("new"), ..document("8", "kept", &[("kept again", 0.0)]) };
    assert_eq!(put(&store, replaced).await, REPLACED);
    assert!(store.delete(&namespace("n"), "4").await.unwrap());
    assert_eq!(texts(&near_in(&store, "new", 0.0).await), ["kept again", "in its place"]);
    settle(&store).await;
    assert_eq!(texts(&near_in(&store, "new", 0.0).await), ["kept again", "in its place"]);
}

async fn a_swap_waits_for_every_chunk(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "a", &[("a0", 0.0), ("a1", 10.0), ("a2", 20.0)])).await;
    let Filling { id, .. } = begin(&store).await;
    let mut after = None;
    for (done, ordinal) in [0, 1, 2].into_iter().enumerate() {
        assert_eq!(begin(&store).await, Filling { id, done, of: 3 });
        assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Missing);
        let found = store.unembedded(&namespace("n"), id, after.as_ref(), 1).await.unwrap();
        let [chunk] = &found[..] else { panic!("{found:?}") };
        assert_eq!((chunk.document.as_str(), chunk.ordinal, chunk.text.as_str()), ("1", ordinal, ["a0", "a1", "a2"][done]));
        let wrong = store.fill(&namespace("n"), id, vec![(chunk.chunk, vec![1.0])]).await;
        assert!(matches!(wrong, Err(Error::Store(_))), "{wrong:?}");
        assert!(store.fill(&namespace("n"), id, vec![(chunk.chunk, at(50.0)), (1_000_000, at(0.0))]).await.unwrap(), "one is gone");
        after = Some(chunk.clone());
    }
    assert_eq!(store.unembedded(&namespace("n"), id, after.as_ref(), 1).await.unwrap(), []);
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Done);
    assert_eq!(texts(&near_in(&store, "new", 50.0).await), ["a0", "a1", "a2"]);
}

async fn a_space_that_is_being_filled_is_filled_on_after_reopening_or_given_up(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "a", &[("zero", 0.0), ("ninety", 90.0)])).await;
    let Filling { id, .. } = begin(&store).await;
    let found = store.unembedded(&namespace("n"), id, None, 1).await.unwrap();
    assert!(store.fill(&namespace("n"), id, vec![(found[0].chunk, at(30.0))]).await.unwrap());
    drop(store);
    let store = self::store(&backend).await;
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["zero", "ninety"]);
    assert_eq!(begin(&store).await, Filling { id, done: 1, of: 2 });
    // Of a third space nothing is there.
    let third = store.begin_filling(&namespace("n"), &by("third", "third")).await.unwrap().expect("it holds a document");
    assert_eq!((third.done, third.of, third.id == id), (0, 2, false));
    assert!(!store.fill(&namespace("n"), id, vec![(found[0].chunk, at(30.0))]).await.unwrap());
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Gone);
    store.give_up(&namespace("n")).await.unwrap();
    assert_eq!(store.swap(&namespace("n"), third.id).await.unwrap(), Swap::Gone);
    settle(&store).await;
    assert_eq!(spaces(&store, "n").await, Some(Spaces { serves: by("", "m"), next: None }));
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["zero", "ninety"]);
    let again = begin(&store).await;
    assert_eq!((again.done, again.id == id), (0, false));
    assert_eq!(fill(&store, again.id, |_| 0.0).await, 2);
    assert_eq!(store.swap(&namespace("n"), again.id).await.unwrap(), Swap::Done);
}

async fn a_deleted_namespace_takes_what_was_filled_with_it(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "a", &[("zero", 0.0)])).await;
    let Filling { id, .. } = begin(&store).await;
    assert_eq!(fill(&store, id, |_| 0.0).await, 1);
    assert_eq!(store.clear(&namespace("n")).await.unwrap(), Some(1));
    assert_eq!((spaces(&store, "n").await, store.swap(&namespace("n"), id).await.unwrap()), (None, Swap::Gone));
    put(&store, document("2", "a", &[("again", 0.0)])).await;
    assert_eq!(spaces(&store, "n").await, Some(Spaces { serves: by("", "m"), next: None }));
    assert!(!store.fill(&namespace("n"), id, vec![]).await.unwrap());
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["again"]);
    // Swapped and not settled.
    let Filling { id, .. } = begin(&store).await;
    assert_eq!(fill(&store, id, |_| 0.0).await, 1);
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Done);
    assert_eq!(store.clear(&namespace("n")).await.unwrap(), Some(1));
    put(&store, document("3", "a", &[("of old", 0.0)])).await;
    settle(&store).await;
    assert_eq!((texts(&near(&store, 0.0, 9).await), near_in(&store, "new", 0.0).await), (vec!["of old"], vec![]));
}

async fn a_large_namespace_is_found_the_same_before_and_after_its_swap_has_settled(backend: impl Backend) {
    let store = store(&backend).await;
    let degrees = |n: u16| f32::from(n) / 10.0;
    let names: Vec<String> = (0..1200).map(|n| n.to_string()).collect();
    let chunks: Vec<(&str, f32)> = names.iter().map(String::as_str).zip((0..1200).map(degrees)).collect();
    for (id, part) in chunks.chunks(400).enumerate() {
        put(&store, document(&id.to_string(), &id.to_string(), part)).await;
    }
    assert_eq!(texts(&near(&store, 0.0, 2).await), ["0", "1"]);
    let Filling { id, .. } = begin(&store).await;
    // Once before anything was looked for and once after: what a backend saves beside the truth must not bring old vectors back.
    let mut after = None;
    loop {
        let found = store.unembedded(&namespace("n"), id, after.as_ref(), 256).await.unwrap();
        let Some(last) = found.last().cloned() else { break };
        let reversed = |chunk: &Unembedded| (chunk.chunk, at(degrees(1199 - chunk.text.parse::<u16>().unwrap())));
        assert!(store.fill(&namespace("n"), id, found.iter().map(reversed).collect()).await.unwrap());
        after = Some(last);
    }
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Done);
    let is_reversed = async |store: &Arc<dyn DocumentStore>| {
        let hits = store.nearest(&namespace("n"), &space("new"), at(0.0), 1200).await.unwrap();
        assert_eq!((texts(&hits[..2]), hits.len()), (vec!["1199", "1198"], 1200));
    };
    is_reversed(&store).await;
    drop(store);
    let store = self::store(&backend).await;
    is_reversed(&store).await;
    let mut steps = 0;
    while store.settle(&namespace("n")).await.unwrap() {
        is_reversed(&store).await;
        steps += 1;
    }
    assert!(steps > 1, "in steps of bounded size");
    drop(store);
    is_reversed(&self::store(&backend).await).await;
}

async fn searches_are_of_one_space_while_it_is_swapped(backend: impl Backend) {
    let store = store(&backend).await;
    for n in 0..20 {
        let id = format!("{n:02}");
        put(&store, document(&id, &id, &[("a", 0.0), ("b", 40.0)])).await;
    }
    let Filling { id, .. } = begin(&store).await;
    assert_eq!(fill(&store, id, |_| 20.0).await, 40);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let in_space = async |model: &str| store.nearest(&namespace("n"), &space(model), at(20.0), 99).await.unwrap();
                loop {
                    let old = in_space("m").await;
                    let new = in_space("new").await;
                    assert!([0, 40].contains(&old.len()) && [0, 40].contains(&new.len()), "{} and {}", old.len(), new.len());
                    assert!(
                        old.iter().all(|hit| hit.score < 0.95) && new.iter().all(|hit| hit.score > 0.99),
                        "one has the other's vectors"
                    );
                    assert!(old.len() + new.len() >= 40, "the old one was gone before the new one was there");
                    if old.is_empty() {
                        return;
                    }
                }
            })
        })
        .collect();
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Done);
    settle(&store).await;
    for reader in readers {
        reader.await.unwrap();
    }
}

async fn vectors_that_do_not_fit_are_refused_and_nothing_is_stored(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "a", &[("zero", 0.0)])).await;
    let short = NewDocument { vectors: vec![vec![1.0, 0.0]], ..document("2", "a", &[("short", 0.0)]) };
    let few = NewDocument { vectors: Vec::new(), ..document("3", "a", &[("few", 0.0)]) };
    for wrong in [short, few] {
        assert!(matches!(store.put(&namespace("n"), wrong, ALL).await, Err(Error::Store(_))));
    }
    let query = store.nearest(&namespace("n"), &space("m"), vec![1.0], 9).await;
    assert!(matches!(query, Err(Error::Store(_))), "{query:?}");
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["zero"]);
}

async fn documents_are_listed_by_id_with_what_is_known_of_them(backend: impl Backend) {
    let store = store(&backend).await;
    assert_eq!(listed(&store, &namespace("n")).await, []);
    let b = document("2", "b", &[("b0", 0.0)]);
    let a = document("1", "a", &[("a0", 0.0), ("a1", 0.0)]);
    put(&store, b.clone()).await;
    put(&store, a.clone()).await;
    put(&store, document("3", "é", &[("é0", 0.0)])).await;
    let all = listed(&store, &namespace("n")).await;
    assert_eq!(all.iter().map(|document| document.info.name.as_str()).collect::<Vec<_>>(), ["a", "b", "é"]);
    let of = |document: &NewDocument, model: &str, chunks| StoredDocument {
        info: document.info.clone(),
        namespace: "n".into(),
        model: model.into(),
        chunks,
    };
    assert_eq!(all[..2], [of(&a, "m", 2), of(&b, "m", 1)]);
    assert_eq!(store.document("support", "2").await.unwrap(), Some(of(&b, "m", 1)));
    assert_eq!(store.document("support", "4").await.unwrap(), None);
    assert_eq!(store.document("sales", "2").await.unwrap(), None, "it is of another API");
}

fn ids(documents: &[StoredDocument]) -> Vec<&str> {
    documents.iter().map(|document| document.info.id.as_str()).collect()
}

async fn a_page_is_the_same_whatever_was_added_or_deleted_before_it(backend: impl Backend) {
    let store = store(&backend).await;
    for id in ["b", "d", "f", "h"] {
        put(&store, document(id, id, &[("text", 0.0)])).await;
    }
    let page = async |after: &str, count| {
        let found = store.documents("support", Some("n"), Page { after, count }).await.unwrap();
        ids(&found).join(" ")
    };
    assert_eq!(page("", 2).await, "b d");
    assert_eq!(page("d", 2).await, "f h");
    put(&store, document("a", "a", &[("text", 0.0)])).await;
    assert!(store.delete(&namespace("n"), "d").await.unwrap());
    assert_eq!(page("d", 2).await, "f h", "what it begins after is gone");
    put(&store, document("g", "f", &[("text", 0.0)])).await;
    assert_eq!(page("d", 9).await, "g h", "what replaced f has an id of its own");
    assert_eq!((page("h", 2).await, page("", 0).await, page("", usize::MAX).await), (String::new(), String::new(), "a b g h".into()));
}

async fn an_api_shows_only_what_is_its_own(backend: impl Backend) {
    let store = store(&backend).await;
    for (id, (api, name)) in [("support", "n"), ("support", "o"), ("sales", "n"), ("supportn", "")].into_iter().enumerate() {
        let namespace = Namespace { api: api.into(), name: name.into() };
        store.put(&namespace, document(&id.to_string(), "a", &[("text", 0.0)]), ALL).await.unwrap();
    }
    let of = async |api: &str, namespace: Option<&str>| ids(&store.documents(api, namespace, first(9)).await.unwrap()).join(" ");
    assert_eq!((of("support", None).await, of("support", Some("n")).await), ("0 1".into(), "0".into()));
    assert_eq!((of("sales", None).await, of("sales", Some("o")).await), ("2".into(), String::new()));
    assert_eq!(store.clear(&Namespace { api: "sales".into(), name: "o".into() }).await.unwrap(), None);
    assert_eq!(store.clear(&Namespace { api: "sales".into(), name: "n".into() }).await.unwrap(), Some(1));
    assert_eq!((of("support", None).await, of("supportn", None).await, of("sales", None).await), ("0 1".into(), "3".into(), String::new()));
}

async fn namespaces_and_apis_are_listed_while_they_hold_a_document(backend: impl Backend) {
    let store = store(&backend).await;
    assert_eq!((store.apis(first(9)).await.unwrap(), store.namespaces("support", first(9)).await.unwrap()), (vec![], vec![]));
    for (id, (api, name)) in [("b", "y"), ("b", "x"), ("b", "x"), ("a", "z"), ("b", "w"), ("c", "x")].into_iter().enumerate() {
        let namespace = Namespace { api: api.into(), name: name.into() };
        store.put(&namespace, document(&id.to_string(), &id.to_string(), &[("text", 0.0), ("more", 1.0)]), ALL).await.unwrap();
    }
    let namespaces = async |after: &str, count| {
        let found = store.namespaces("b", Page { after, count }).await.unwrap();
        found.iter().map(|NamespaceInfo { name, documents, .. }| format!("{name}{documents}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        (namespaces("", 9).await, namespaces("", 2).await, namespaces("x", 9).await),
        ("w1 x2 y1".into(), "w1 x2".into(), "y1".into())
    );
    let apis = async |after: &str, count| store.apis(Page { after, count }).await.unwrap().join(" ");
    assert_eq!((apis("", 9).await, apis("", 1).await, apis("a", 9).await), ("a b c".into(), "a".into(), "b c".into()));
    let (x, z) = (Namespace { api: "b".into(), name: "x".into() }, Namespace { api: "a".into(), name: "z".into() });
    assert_eq!(store.clear(&x).await.unwrap(), Some(2));
    assert!(store.delete(&z, "3").await.unwrap());
    assert_eq!((namespaces("", 9).await, apis("", 9).await), ("w1 y1".into(), "b c".into()));
}

async fn a_deleted_document_is_gone(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "a", &[("a0", 0.0), ("a1", 90.0)])).await;
    put(&store, document("2", "b", &[("b0", 0.0)])).await;
    assert_eq!(near(&store, 0.0, 9).await.len(), 3);
    assert!(!store.delete(&namespace("other"), "1").await.unwrap());
    assert!(!store.delete(&namespace("n"), "a").await.unwrap(), "that is its name");
    assert!(store.delete(&namespace("n"), "1").await.unwrap());
    assert!(!store.delete(&namespace("n"), "1").await.unwrap());
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["b0"]);
    assert_eq!((store.chunks("1", 0, u32::MAX).await.unwrap().len(), store.chunk_count(&namespace("n"), "").await.unwrap()), (0, 1));
    assert_eq!(put(&store, document("3", "a", &[("a again", 0.0)])).await, STORED);
    assert!(store.delete(&namespace("n"), "2").await.unwrap());
    drop(store);
    let store = self::store(&backend).await;
    // Also before anything was looked for.
    assert!(store.delete(&namespace("n"), "3").await.unwrap());
    assert!(store.is_empty(&namespace("n")).await.unwrap());
    assert_eq!(near(&store, 0.0, 9).await, []);
}

async fn a_cleared_namespace_is_gone_whole_and_nothing_else_is(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "a", &[("a0", 0.0), ("a1", 90.0)])).await;
    put(&store, document("2", "b", &[("b0", 0.0)])).await;
    let other = namespace("other");
    store.put(&other, document("3", "a", &[("kept", 0.0)]), ALL).await.unwrap();
    assert_eq!(near(&store, 0.0, 9).await.len(), 3);
    assert_eq!(store.clear(&namespace("n")).await.unwrap(), Some(2));
    assert_eq!(store.clear(&namespace("n")).await.unwrap(), None);
    let is_gone = async |store: &Arc<dyn DocumentStore>| {
        assert_eq!((near(store, 0.0, 9).await, listed(store, &namespace("n")).await), (vec![], vec![]));
        assert_eq!((store.document("support", "1").await.unwrap(), store.chunks("1", 0, 9).await.unwrap()), (None, vec![]));
        assert!(store.is_empty(&namespace("n")).await.unwrap() && !store.delete(&namespace("n"), "1").await.unwrap());
        assert_eq!((store.chunk_count(&namespace("n"), "").await.unwrap(), spaces(store, "n").await), (0, None));
        assert_eq!(texts(&store.nearest(&other, &space("m"), at(0.0), 9).await.unwrap()), ["kept"]);
    };
    is_gone(&store).await;
    drop(store);
    let store = self::store(&backend).await;
    is_gone(&store).await;
    assert_eq!(put(&store, document("4", "a", &[("a again", 0.0)])).await, STORED, "nothing is replaced");
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["a again"]);
}

async fn a_cleared_namespace_has_all_its_room_again(backend: impl Backend) {
    let store = store(&backend).await;
    let put = async |document| store.put(&namespace("n"), document, 2).await.unwrap();
    assert_eq!(put(document("1", "a", &[("a0", 0.0), ("a1", 0.0)])).await, STORED);
    assert_eq!(put(document("2", "b", &[("b0", 0.0)])).await, Put::Full);
    assert_eq!(store.clear(&namespace("n")).await.unwrap(), Some(1));
    assert_eq!(put(document("3", "b", &[("b0", 0.0), ("b1", 0.0)])).await, STORED);
    assert_eq!(put(document("4", "c", &[("c0", 0.0)])).await, Put::Full);
    assert!(store.delete(&namespace("n"), "3").await.unwrap());
    assert_eq!(put(document("5", "c", &[("c0", 0.0), ("c1", 0.0)])).await, STORED);
}

async fn a_large_namespace_is_seen_whole_or_not_at_all_while_it_is_cleared(backend: impl Backend) {
    let store = store(&backend).await;
    let chunks: Vec<(&str, f32)> = (0..700).map(|n| ("text", n as f32 / 10.0)).collect();
    for id in ["1", "2", "3"] {
        put(&store, document(id, id, &chunks)).await;
    }
    assert_eq!(near(&store, 0.0, 9999).await.len(), 2100);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut seen = 1;
                while seen > 0 {
                    let listed = ids(&store.documents("support", Some("n"), first(9)).await.unwrap()).len();
                    seen = near(&store, 0.0, 9999).await.len();
                    assert!([0, 2100].contains(&seen), "{seen} hits");
                    assert!([0, 3].contains(&listed) && (listed > 0 || seen == 0), "{listed} documents and then {seen} hits");
                }
            })
        })
        .collect();
    assert_eq!(store.clear(&namespace("n")).await.unwrap(), Some(3));
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(put(&store, document("4", "1", &[("new", 0.0)])).await, STORED);
    assert_eq!(texts(&near(&store, 0.0, 9999).await), ["new"]);
}

async fn preparing_changes_nothing_that_is_found(backend: impl Backend) {
    let store = store(&backend).await;
    store.prepare(&namespace("n"), &space("m")).await.unwrap();
    put(&store, document("1", "a", &[("zero", 0.0)])).await;
    store.prepare(&namespace("n"), &space("other")).await.unwrap();
    put(&store, document("2", "b", &[("ten", 10.0)])).await;
    store.prepare(&namespace("n"), &space("m")).await.unwrap();
    store.prepare(&namespace("n"), &space("m")).await.unwrap();
    assert_eq!(texts(&near(&store, 0.0, 9).await), ["zero", "ten"]);
}

/// Four chunks whose texts name the version that they are of.
fn version(id: usize) -> NewDocument {
    let texts: Vec<String> = (0..4).map(|part| format!("{id} {part}")).collect();
    let chunks: Vec<(&str, f32)> = texts.iter().zip([0.0, 5.0, 10.0, 15.0]).map(|(text, degrees)| (text.as_str(), degrees)).collect();
    document(&id.to_string(), "shared", &chunks)
}

async fn a_document_is_seen_whole_while_many_tasks_write(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, version(0)).await;
    let writers = (1..=3).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..10 {
                let id = writer * 1000 + n;
                assert_eq!(put(&store, version(id)).await, REPLACED);
                put(&store, document(&format!("own {id}"), &format!("own {id}"), &[("nothing in common", 170.0)])).await;
            }
        })
    });
    let readers = (0..3).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..40 {
                let hits = near(&store, 0.0, 100).await;
                let shared: Vec<&str> = hits.iter().filter(|hit| hit.source == "shared").map(|hit| hit.text.as_str()).collect();
                let id = shared.first().and_then(|text| text.split(' ').next()).expect("it is always there");
                assert_eq!(shared, [0, 1, 2, 3].map(|part| format!("{id} {part}")));
            }
        })
    });
    for task in writers.chain(readers).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(listed(&store, &namespace("n")).await.len(), 31);
}

async fn hits_are_exact_among_many(backend: impl Backend) {
    let store = store(&backend).await;
    // Each a third of a degree from the next one, not in their order.
    let degrees: Vec<f32> = (0..500_u32).map(|n| (n * 271 % 500) as f32 / 3.0).collect();
    for (n, chunk) in degrees.chunks(50).enumerate() {
        let texts: Vec<String> = chunk.iter().map(ToString::to_string).collect();
        let chunks: Vec<(&str, f32)> = texts.iter().zip(chunk).map(|(text, degrees)| (text.as_str(), *degrees)).collect();
        put(&store, document(&n.to_string(), &n.to_string(), &chunks)).await;
    }
    for query in [0.0, 33.1, 77.7, 120.2] {
        let mut expected = degrees.clone();
        expected.sort_by(|a, b| (a - query).abs().total_cmp(&(b - query).abs()));
        let hits = near(&store, query, 20).await;
        // An angle's cosine in an f32 tells neighbours of a third of a degree apart but at its very top.
        let found: Vec<f32> = hits.iter().map(|hit| hit.text.parse().unwrap()).collect();
        assert!(found.iter().zip(&expected).all(|(a, b)| ((a - query).abs() - (b - query).abs()).abs() < 0.2), "{query}: {found:?}");
        assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
    }
}

/// The unit vectors of a spiral over the sphere, of which no two are near each other.
fn on_the_sphere(number: usize) -> Vec<f32> {
    let height = 1.0 - (number as f64 + 0.5) / 12_000.0;
    let (radius, angle) = ((1.0 - height * height).sqrt(), number as f64 * 2.399_963_229_728_653);
    [radius * angle.cos(), radius * angle.sin(), height].map(|x| x as f32).to_vec()
}

/// A document whose chunks are the vectors of these numbers, which are their texts.
fn spiral(id: &str, numbers: std::ops::Range<usize>) -> NewDocument {
    let texts: Vec<String> = numbers.clone().map(|number| number.to_string()).collect();
    let chunks: Vec<(&str, f32)> = texts.iter().map(|text| (text.as_str(), 0.0)).collect();
    NewDocument { vectors: numbers.map(on_the_sphere).collect(), ..document(id, id, &chunks) }
}

/// Each of these chunks is found by its own vector, first and once, and nothing is found that is not there.
async fn finds_its_own(store: &Arc<dyn DocumentStore>, there: &[std::ops::Range<usize>], asked: &[usize]) {
    for number in asked {
        let hits = store.nearest(&namespace("n"), &space("m"), on_the_sphere(*number), 12).await.unwrap();
        let found: Vec<usize> = hits.iter().map(|hit| hit.text.parse().unwrap()).collect();
        let is_there = |number: &usize| there.iter().any(|range| range.contains(number));
        assert_eq!((found.len(), found.first() == Some(number)), (12, is_there(number)), "{number}: {found:?}");
        assert!(found.iter().all(is_there), "{number}: {found:?}");
        let once: std::collections::HashSet<_> = found.iter().collect();
        assert_eq!(once.len(), 12, "{number}: {found:?}");
    }
}

async fn a_namespace_is_the_same_in_every_state_that_it_grows_and_shrinks_through(backend: impl Backend) {
    let mut store = store(&backend).await;
    // Through the sizes at which an index is first saved, and at which it goes over from comparing all to a graph.
    for part in 0..18 {
        put(&store, spiral(&part.to_string(), part * 1_000..(part + 1) * 1_000)).await;
        finds_its_own(&store, slice::from_ref(&(0..(part + 1) * 1_000)), &[part * 1_000 + 7, part * 500]).await;
        if [0, 1, 15, 16].contains(&part) {
            drop(store);
            store = self::store(&backend).await;
            finds_its_own(&store, slice::from_ref(&(0..(part + 1) * 1_000)), &[part * 1_000 + 7, part * 500]).await;
        }
    }
    assert!(store.delete(&namespace("n"), "3").await.unwrap());
    let there = [0..3_000, 4_000..18_000];
    finds_its_own(&store, &there, &[3_500, 3_001, 2_999, 17_000]).await;
    // In place of the others of its name, some of them the same.
    let replaced = NewDocument { info: DocumentInfo { name: "5".into(), ..spiral("new", 0..1).info }, ..spiral("new", 5_500..6_000) };
    assert_eq!(put(&store, replaced).await, REPLACED);
    let there = [0..3_000, 4_000..5_000, 5_500..18_000];
    for _ in 0..2 {
        finds_its_own(&store, &there, &[5_250, 5_750, 3_500, 6_000]).await;
        drop(store);
        store = self::store(&backend).await;
    }
    for part in (6..18).chain([4]) {
        assert!(store.delete(&namespace("n"), &part.to_string()).await.unwrap());
    }
    let there = [0..3_000, 5_500..6_000];
    for _ in 0..2 {
        finds_its_own(&store, &there, &[2_500, 5_750, 17_500, 4_500]).await;
        drop(store);
        store = self::store(&backend).await;
    }
    assert_eq!(store.clear(&namespace("n")).await.unwrap(), Some(4));
    put(&store, spiral("again", 100..200)).await;
    finds_its_own(&store, slice::from_ref(&(100..200)), &[150, 50]).await;
}

/// By words alone, best first.
async fn worded_in(store: &Arc<dyn DocumentStore>, namespace: &Namespace, text: &str) -> Vec<Candidate> {
    let wanted = Lookup { like: None, text: Some(text.into()), count: 50, filter: Filter::default() };
    let mut found = store.look_up(namespace, wanted).await.unwrap();
    found.retain(|candidate| candidate.keyword_rank.is_some());
    found.sort_by_key(|candidate| candidate.keyword_rank);
    found
}

async fn worded(store: &Arc<dyn DocumentStore>, text: &str) -> Vec<String> {
    worded_in(store, &namespace("n"), text).await.into_iter().map(|candidate| candidate.hit.text).collect()
}

async fn chunks_are_found_by_their_words_headings_and_title(backend: impl Backend) {
    let store = store(&backend).await;
    assert_eq!(worded(&store, "pump").await, [""; 0]);
    let mut manual = document("1", "manual", &[("Running pumps are oiled.", 0.0), ("The valve closes.", 1.0), ("Größe und Maße", 2.0)]);
    manual.info.title = Some("Waterworks".into());
    Arc::make_mut(&mut manual.chunks)[1].heading = "Maintenance > Valves".into();
    put(&store, manual).await;
    put(&store, document("2", "codes", &[("Error ERR-4012 means low pressure.", 0.0), ("防水圍堰在施工期間", 1.0)])).await;
    for (question, text) in [
        ("pump", "Running pumps are oiled."),
        ("RUNS", "Running pumps are oiled."),
        ("What is maintenance?", "The valve closes."),
        ("grosse masse", ""),
        ("große", "Größe und Maße"),
        ("MASSE maße", "Größe und Maße"),
        ("err4012", "Error ERR-4012 means low pressure."),
        ("ERR-4012", "Error ERR-4012 means low pressure."),
        ("圍堰", "防水圍堰在施工期間"),
        ("施工の期間", "防水圍堰在施工期間"),
    ] {
        let found = worded(&store, question).await;
        assert_eq!(found.first().map_or("", String::as_str), text, "{question}: {found:?}");
    }
    assert_eq!(worded(&store, "waterworks").await.len(), 3, "every chunk has the title");
    let all = worded_in(&store, &namespace("n"), "low pressure xylophone").await;
    assert!(all.len() == 1 && all[0].keyword_score > 0.0 && (0.3..0.7).contains(&all[0].coverage), "{all:?}");
    assert!((worded_in(&store, &namespace("n"), "the low pressure").await[0].coverage - 1.0).abs() < 1e-6);
    drop(store);
    let store = self::store(&backend).await;
    assert_eq!(worded(&store, "valves").await, ["The valve closes."]);
}

async fn the_words_of_what_is_gone_find_nothing(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "a", &[("old words", 0.0), ("more old words", 90.0)])).await;
    put(&store, document("2", "b", &[("other words", 0.0)])).await;
    put(&store, document("3", "a", &[("new words", 0.0)])).await;
    assert_eq!(worded(&store, "old").await, [""; 0]);
    assert_eq!(worded(&store, "words").await, ["other words", "new words"]);
    assert!(store.delete(&namespace("n"), "2").await.unwrap());
    assert_eq!(worded(&store, "words").await, ["new words"]);
    let kept = document("4", "a", &[("kept words", 0.0)]);
    store.put(&namespace("other"), kept, ALL).await.unwrap();
    assert_eq!(store.clear(&namespace("n")).await.unwrap(), Some(1));
    assert_eq!(worded(&store, "words").await, [""; 0]);
    assert_eq!(worded_in(&store, &namespace("other"), "words").await.len(), 1);
    put(&store, document("5", "a", &[("words again", 0.0)])).await;
    assert_eq!(worded(&store, "words").await, ["words again"]);
    let Filling { id, .. } = begin(&store).await;
    assert_eq!(fill(&store, id, |_| 9.0).await, 1);
    assert_eq!(store.swap(&namespace("n"), id).await.unwrap(), Swap::Done);
    settle(&store).await;
    assert_eq!(worded(&store, "words").await, ["words again"], "words are of no model");
    drop(store);
    let store = self::store(&backend).await;
    assert_eq!(worded(&store, "words kept").await, ["words again"]);
}

async fn a_namespace_weighs_words_by_its_own_chunks_alone(backend: impl Backend) {
    let store = store(&backend).await;
    let chunks = [("pump pump valve", 0.0), ("pump hose", 1.0), ("pump clamp", 2.0), ("gasket", 3.0), ("gasket rope", 4.0)];
    put(&store, document("1", "a", &chunks)).await;
    let scores = async || {
        let found = worded_in(&store, &namespace("n"), "pump valve gasket rope").await;
        found.into_iter().map(|candidate| (candidate.hit.text, candidate.keyword_score, candidate.coverage)).collect::<Vec<_>>()
    };
    let alone = scores().await;
    assert_eq!(alone[0].0, "gasket rope");
    // In the others the rare words are common and the common ones rare.
    for n in 0..20 {
        let of_other = Namespace { api: "support".into(), name: format!("other{n}") };
        store.put(&of_other, document(&format!("o{n}"), "a", &[("valve rope", 0.0), ("rope valve gasket", 1.0)]), ALL).await.unwrap();
        let found = worded_in(&store, &of_other, "pump").await;
        assert_eq!(found, []);
    }
    let beside = scores().await;
    assert_eq!(alone.len(), beside.len());
    for (a, b) in alone.iter().zip(&beside) {
        assert!(a.0 == b.0 && (a.2 - b.2).abs() < 1e-6, "{a:?} {b:?}");
        // Only the mean length of a chunk is that of all.
        assert!((a.1 - b.1).abs() < 0.2 * a.1, "{a:?} {b:?}");
    }
}

async fn the_text_of_a_question_is_words_and_nothing_else(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "a", &[("the near pump", 0.0), ("1zpump rowid words rank", 1.0), ("NOT AND OR", 2.0)])).await;
    let secret = document("2", "a", &[("secret pump", 0.0)]);
    store.put(&namespace("other"), secret, ALL).await.unwrap();
    let megabyte = "pump ".repeat(200_000);
    let quotes = "\"".repeat(10_000);
    for question in [
        "\"",
        "'",
        "\"pump",
        "pump\"",
        "*",
        "pu*",
        "^pump",
        "words:pump",
        "{words}:pump",
        "-words:pump",
        "NEAR(pump near, 5)",
        "pump NEAR near",
        "pump AND",
        "OR",
        "NOT pump",
        "(pump",
        "pump)",
        "pump + near",
        "x\0y",
        "\u{0}",
        "2zpump",
        "2zsecret",
        "secret\" OR \"2zsecret",
        "rowid:1",
        "; DROP TABLE keywords",
        "!?…—",
        "the is a of",
        " ",
        "",
        &megabyte,
        &quotes,
        "\u{202e}\u{200b}\u{feff}",
    ] {
        let found = worded(&store, question).await;
        assert!(!found.iter().any(|text| text.contains("secret")), "{question:.40}: {found:?}");
    }
    assert_eq!(worded(&store, "\"near\" NEAR(pump*, ^").await[0], "the near pump");
    assert_eq!(worded(&store, &megabyte).await, ["the near pump"]);
    assert_eq!(worded(&store, "!?…—").await, [""; 0]);
    assert_eq!(worded(&store, "what is it").await, [""; 0]);
    let nothing = Lookup { like: None, text: Some("pump".into()), count: 0, filter: Filter::default() };
    assert_eq!(store.look_up(&namespace("n"), nothing).await.unwrap(), []);
}

async fn words_and_vectors_are_of_one_moment(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, version(0)).await;
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for id in 1..60 {
                put(&store, version(id)).await;
            }
        })
    };
    let mut seen = 0;
    while !writer.is_finished() || seen < 20 {
        seen += 1;
        let like = Some((space("m"), at(0.0).into()));
        let wanted = Lookup { like, text: Some((0..60).map(|id| format!("{id} ")).collect()), count: 3, filter: Filter::default() };
        let found = store.look_up(&namespace("n"), wanted).await.unwrap();
        let documents: std::collections::BTreeSet<&str> = found.iter().map(|candidate| candidate.hit.document.as_str()).collect();
        assert!(documents.len() == 1 && found.len() >= 3, "{documents:?}");
    }
    writer.await.unwrap();
}

async fn a_filter_leaves_documents_with_such_metadata(backend: impl Backend) {
    let store = store(&backend).await;
    for (n, metadata) in [
        serde_json::json!({"language": "en", "year": 2025, "draft": false}),
        serde_json::json!({"language": "de", "year": 2026.5, "draft": true}),
        serde_json::json!({"language": "en", "year": "2025"}),
        serde_json::json!({"odd \"name'": "x"}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut one =
            document(&n.to_string(), &n.to_string(), &[(&format!("pump{n} pump"), n as f32), (&format!("more{n} pump"), n as f32)]);
        one.info.metadata = Metadata::of(metadata).unwrap();
        put(&store, one).await;
    }
    let found = async |filter: serde_json::Value, count| {
        let like = Some((space("m"), at(0.0).into()));
        let wanted = Lookup { like, text: Some("pump".into()), count, filter: Filter::of(&filter).unwrap() };
        let found = store.look_up(&namespace("n"), wanted).await.unwrap();
        assert!(found.iter().all(|candidate| candidate.keyword_rank.is_some() || found.len() > count), "{found:?}");
        let ids: std::collections::BTreeSet<String> = found.into_iter().map(|candidate| candidate.hit.document).collect();
        ids.into_iter().collect::<Vec<_>>().join(" ")
    };
    use serde_json::json;
    for (filter, documents) in [
        (json!({}), "0 1 2 3"),
        (json!({"language": "en"}), "0 2"),
        (json!({"language": {"in": ["de", "fr"]}}), "1"),
        (json!({"language": "en", "year": 2025}), "0"),
        (json!({"year": 2025.0}), "0"),
        (json!({"year": "2025"}), "2"),
        (json!({"year": {"in": [2026.5, "2025"]}}), "1 2"),
        (json!({"draft": true}), "1"),
        (json!({"draft": 1}), ""),
        (json!({"draft": "true"}), ""),
        (json!({"odd \"name'": "x"}), "3"),
        (json!({"nothing": "x"}), ""),
        (json!({"language": "en' OR 1=1 --"}), ""),
    ] {
        assert_eq!(found(filter.clone(), 50).await, documents, "{filter}");
    }
    assert_eq!(found(json!({"language": "de"}), 1).await, "1", "the nearest of those that pass, however many are nearer");
}

async fn what_is_kept_of_a_chunk_comes_back(backend: impl Backend) {
    let store = store(&backend).await;
    let mut one = document("1", "a", &[("first", 0.0), ("second", 10.0), ("third", 20.0)]);
    one.info.title = Some("Handbook".into());
    let chunks = Arc::make_mut(&mut one.chunks);
    chunks[1] = Chunk { text: "second".into(), heading: "A > B".into(), page: Some(7) };
    let chunks = chunks.clone();
    put(&store, one.clone()).await;
    let hits = near(&store, 10.0, 1).await;
    let hit = &hits[0];
    assert_eq!((hit.document.as_str(), hit.source.as_str(), hit.heading.as_str(), hit.page), ("1", "a", "A > B", Some(7)));
    assert_eq!(store.chunks("1", 0, 9).await.unwrap(), chunks);
    assert_eq!(store.chunks("1", 1, 1).await.unwrap(), chunks[1..2]);
    assert_eq!((store.chunks("1", 3, 9).await.unwrap(), store.chunks("2", 0, 9).await.unwrap()), (vec![], vec![]));
    let Filling { id, .. } = begin(&store).await;
    let again = store.unembedded(&namespace("n"), id, None, 9).await.unwrap();
    assert_eq!(again[1].text, chunks[1].embedded(Some("Handbook")), "what is embedded again is what was embedded");
    assert_eq!(store.document("support", "1").await.unwrap().unwrap().info, one.info);
    assert_eq!(store.clear(&namespace("n")).await.unwrap(), Some(1));
    assert_eq!(store.chunks("1", 0, 9).await.unwrap(), []);
}

async fn the_same_content_is_known_again_in_its_namespace_and_space(backend: impl Backend) {
    let store = store(&backend).await;
    let with = |id: &str, name: &str, content: &str| {
        let mut document = document(id, name, &[("zero", 0.0), ("ninety", 90.0)]);
        document.info.content = content.into();
        document
    };
    for (id, name, content) in [("1", "a", "x"), ("2", "b", "x"), ("3", "c", "y"), ("4", "d", "")] {
        put(&store, with(id, name, content)).await;
    }
    store.put(&namespace("other"), with("5", "a", "z"), ALL).await.unwrap();
    let alike = async |name: &str, content: &str, model: &str| {
        store.alike(&namespace("n"), name, content, model).await.unwrap().map(|document| document.info.id)
    };
    assert_eq!(alike("a", "x", "m").await.as_deref(), Some("1"), "that of the name");
    assert_eq!(alike("e", "x", "m").await.as_deref(), Some("2"), "else the newest");
    assert_eq!(alike("a", "y", "m").await.as_deref(), Some("3"));
    for (name, content, model) in [("a", "x", "other"), ("a", "z", "m"), ("a", "w", "m"), ("d", "", "m")] {
        assert_eq!(alike(name, content, model).await, None, "{name} {content} {model}");
    }
    let vectors = async |id: &str, model: &str| store.vectors(id, model).await.unwrap();
    assert_eq!(vectors("1", "m").await, [at(0.0), at(90.0)]);
    assert_eq!((vectors("1", "other").await, vectors("9", "m").await), (vec![], vec![]));
    store.clear(&namespace("n")).await.unwrap();
    assert_eq!((alike("a", "x", "m").await, vectors("1", "m").await), (None, vec![]));
}

async fn other_metadata_changes_nothing_else(backend: impl Backend) {
    let store = store(&backend).await;
    put(&store, document("1", "a", &[("zero", 0.0), ("ninety", 90.0)])).await;
    let (before, hits) = (listed(&store, &namespace("n")).await, near(&store, 20.0, 9).await);
    let metadata = Metadata::of(serde_json::json!({"language": "en"})).unwrap();
    assert!(store.describe(&namespace("n"), "1", metadata.clone()).await.unwrap());
    let after = listed(&store, &namespace("n")).await;
    let expected = StoredDocument { info: DocumentInfo { metadata: metadata.clone(), ..before[0].info.clone() }, ..before[0].clone() };
    assert_eq!((after, near(&store, 20.0, 9).await), (vec![expected], hits));
    for (place, id) in [(namespace("n"), "2"), (namespace("other"), "1"), (Namespace { api: "sales".into(), name: "n".into() }, "1")] {
        assert!(!store.describe(&place, id, Metadata::default()).await.unwrap(), "{place:?} {id}");
    }
    assert_eq!(listed(&store, &namespace("n")).await[0].info.metadata, metadata);
}
