//! Order, permits and failures of the threads that embed, with an embedder that stops at a gate.

use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::mpsc;

use super::*;

/// Tells what it was asked, then waits for one `()` through the gate; "query" passes without. `Err` for the text "fail", a panic for "panic".
struct Gated {
    asked: UnboundedSender<Vec<String>>,
    gate: Mutex<Receiver<()>>,
}

impl Embedder for Gated {
    fn model(&self) -> &str {
        "gated"
    }

    fn dimensions(&self) -> usize {
        1
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        let _ = self.asked.send(texts.iter().map(ToString::to_string).collect());
        if texts[0] != "query" {
            let passed = self.gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
            passed.map_err(|e| e.to_string())?;
        }
        match texts[0] {
            "fail" => Err("it failed".into()),
            "panic" => panic!("on demand"),
            "short" => Ok(Vec::new()),
            "broken" => Ok(vec![vec![f32::NAN]]),
            _ => Ok(texts.iter().map(|text| vec![text.len() as f32]).collect()),
        }
    }
}

fn start(limits: &Limits) -> (Arc<Workers>, mpsc::UnboundedReceiver<Vec<String>>, Sender<()>) {
    let (asked, asks) = unbounded_channel();
    let (open, gate) = channel();
    let embedder = Gated { asked, gate: Mutex::new(gate) };
    (Arc::new(Workers::start(Arc::new(embedder), limits).unwrap()), asks, open)
}

fn texts(texts: &[&str]) -> Arc<Vec<String>> {
    Arc::new(texts.iter().map(ToString::to_string).collect())
}

type Waiting = tokio::task::JoinHandle<Result<Vec<Vec<f32>>, Error>>;

fn spawn(workers: &Arc<Workers>, priority: Priority, of: &[&str]) -> Waiting {
    spawn_for(workers, &Client::Host, priority, of)
}

fn spawn_for(workers: &Arc<Workers>, client: &Client, priority: Priority, of: &[&str]) -> Waiting {
    let (workers, client, of) = (Arc::clone(workers), client.clone(), texts(of));
    tokio::spawn(async move { workers.embed(priority, &client, of).await })
}

fn client(name: &str) -> Client {
    Client::Key(name.into())
}

fn one_thread() -> Limits {
    Limits { embed_threads: 1, ..Limits::default() }
}

#[tokio::test]
async fn a_query_waits_for_no_batch_of_a_document_not_even_for_the_one_at_hand() {
    let (workers, mut asks, open) = start(&one_thread());
    let book = spawn(&workers, Priority::Document, &["book 1", "book 2", "book 3"]);
    assert_eq!(asks.recv().await.unwrap(), ["book 1", "book 2"]);
    // The book stands at the gate, and goes on only after the query was answered.
    assert_eq!(spawn(&workers, Priority::Query, &["query"]).await.unwrap().unwrap(), [[5.0]]);
    assert_eq!(asks.recv().await.unwrap(), ["query"]);
    open.send(()).unwrap();
    assert_eq!(asks.recv().await.unwrap(), ["book 3"]);
    open.send(()).unwrap();
    assert_eq!(book.await.unwrap().unwrap(), [[6.0]; 3]);
}

#[tokio::test]
async fn documents_take_turns() {
    let (workers, mut asks, open) = start(&one_thread());
    let book = spawn(&workers, Priority::Document, &["book 1", "book 2", "book 3", "book 4", "book 5"]);
    assert_eq!(asks.recv().await.unwrap(), ["book 1", "book 2"]);
    let note = spawn(&workers, Priority::Document, &["note"]);
    tokio::task::yield_now().await;
    for expected in [vec!["book 3", "book 4"], vec!["note"], vec!["book 5"]] {
        open.send(()).unwrap();
        assert_eq!(asks.recv().await.unwrap(), expected);
    }
    open.send(()).unwrap();
    assert_eq!(note.await.unwrap().unwrap(), [[4.0]]);
    assert_eq!(book.await.unwrap().unwrap(), [[6.0]; 5]);
}

#[tokio::test]
async fn one_document_is_spread_over_as_many_threads_as_the_limit_says() {
    let (workers, mut asks, open) = start(&Limits { embed_threads: 3, ..Limits::default() });
    let names: Vec<String> = (0..8).map(|n| "x".repeat(n + 1)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let book = spawn(&workers, Priority::Document, &names);
    // Nobody has passed the gate yet: three are at it.
    for _ in 0..3 {
        asks.recv().await.unwrap();
    }
    assert!(asks.try_recv().is_err());
    for _ in 0..4 {
        open.send(()).unwrap();
    }
    let vectors = book.await.unwrap().unwrap();
    assert_eq!(vectors, (1..=8_u8).map(|n| vec![f32::from(n)]).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_queue_that_is_full_is_busy_for_its_own_kind_only() {
    let (workers, _asks, _open) = start(&Limits { queue: 2, ..one_thread() });
    let first = workers.permit(Priority::Document, &Client::Host).unwrap();
    let _second = workers.permit(Priority::Document, &Client::Host).unwrap();
    assert!(matches!(workers.permit(Priority::Document, &Client::Host), Err(Error::Busy)));
    let query = workers.permit(Priority::Query, &Client::Host).unwrap();
    assert_eq!(workers.held(), 3);
    drop((first, query));
    assert_eq!(workers.held(), 1);
    assert!(workers.permit(Priority::Document, &Client::Host).is_ok());
}

#[tokio::test]
async fn who_goes_away_leaves_the_queue() {
    let (workers, mut asks, open) = start(&one_thread());
    let book = spawn(&workers, Priority::Document, &["book 1", "book 2", "book 3"]);
    assert_eq!(asks.recv().await.unwrap(), ["book 1", "book 2"]);
    book.abort();
    assert!(book.await.unwrap_err().is_cancelled());
    let note = spawn(&workers, Priority::Document, &["note"]);
    tokio::task::yield_now().await;
    open.send(()).unwrap();
    assert_eq!(asks.recv().await.unwrap(), ["note"]);
    open.send(()).unwrap();
    assert!(note.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_failure_a_panic_and_a_broken_vector_are_errors_and_the_thread_lives_on() {
    let (workers, _asks, open) = start(&one_thread());
    for (text, expected) in [("fail", "it failed"), ("panic", "it panicked"), ("short", "too few vectors"), ("broken", "broken ones")] {
        open.send(()).unwrap();
        let error = workers.embed(Priority::Document, &Client::Host, texts(&[text])).await.unwrap_err();
        assert!(matches!(&error, Error::Embed(cause) if cause.contains(expected)), "{error}");
    }
    open.send(()).unwrap();
    assert!(workers.embed(Priority::Query, &Client::Host, texts(&["fine"])).await.is_ok());
}

#[tokio::test]
async fn one_client_s_queries_wait_behind_one_of_each_other_client() {
    for priority in [Priority::Query, Priority::Document] {
        let (workers, mut asks, open) = start(&one_thread());
        let (flood, other) = (client("flood"), client("other"));
        let first = spawn_for(&workers, &flood, priority, &["flood 0"]);
        assert_eq!(asks.recv().await.unwrap(), ["flood 0"]);
        let many: Vec<_> = (1..6).map(|n| spawn_for(&workers, &flood, priority, &[&format!("flood {n}")])).collect();
        tokio::task::yield_now().await;
        let one = spawn_for(&workers, &other, priority, &["other"]);
        tokio::task::yield_now().await;
        for expected in ["flood 1", "other", "flood 2"] {
            open.send(()).unwrap();
            assert_eq!(asks.recv().await.unwrap(), [expected]);
        }
        for _ in 0..4 {
            open.send(()).unwrap();
        }
        for done in many.into_iter().chain([first, one]) {
            assert!(done.await.unwrap().is_ok());
        }
    }
}

/// Gives the niceness of its thread. A query says that it has begun, and then goes on until the test is over.
struct Endless {
    begun: UnboundedSender<()>,
    end: Mutex<Receiver<()>>,
}

impl Embedder for Endless {
    fn model(&self) -> &str {
        "endless"
    }

    fn dimensions(&self) -> usize {
        1
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        let niceness = rustix::process::getpriority_process(None).map_err(|e| e.to_string())?;
        if texts[0] == "query" {
            let _ = self.begun.send(());
            let _ = self.end.lock().unwrap_or_else(PoisonError::into_inner).recv();
        }
        Ok(vec![vec![niceness as f32]; texts.len()])
    }
}

#[tokio::test]
async fn queries_that_never_end_do_not_keep_documents_out_which_have_the_lower_priority() {
    let ((begun, mut begins), (end, ends)) = (unbounded_channel(), channel());
    let embedder = Endless { begun, end: Mutex::new(ends) };
    let workers = Arc::new(Workers::start(Arc::new(embedder), &one_thread()).unwrap());
    let queries: Vec<_> = (0..3).map(|_| spawn(&workers, Priority::Query, &["query"])).collect();
    begins.recv().await.unwrap();
    let book = spawn_for(&workers, &client("other"), Priority::Document, &["book 1", "book 2", "book 3"]).await.unwrap().unwrap();
    assert!(begins.try_recv().is_err() && queries.iter().all(|query| !query.is_finished()), "the first query goes on");
    drop(end);
    for query in queries {
        let [of_query] = *query.await.unwrap().unwrap().remove(0) else { panic!("one dimension") };
        if cfg!(target_os = "linux") {
            assert_eq!(book, vec![vec![(of_query + DOCUMENT_NICENESS as f32).min(19.0)]; 3]);
        }
    }
}

#[tokio::test]
async fn a_client_that_fills_its_share_of_the_queue_leaves_room_for_another() {
    let (workers, _asks, _open) = start(&Limits { queue: 8, ..one_thread() });
    for priority in [Priority::Query, Priority::Document] {
        let held: Vec<_> = std::iter::from_fn(|| workers.permit(priority, &client("flood")).ok()).collect();
        assert_eq!(held.len(), 6);
        assert!(workers.permit(priority, &client("other")).is_ok());
    }
}
