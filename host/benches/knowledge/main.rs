//! A knowledge base of many chunks, through `DocumentStore` and without an embedder: ingest, building the index from the database, restart to the
//! first answer, searches by vector and by both, recall against exact arithmetic, memory, and searches beside ingest. Each part runs in a process
//! of its own, because memory is measured; `cargo bench -p cofferdam --bench knowledge`.
//!
//! `KNOWLEDGE_VECTORS` (50000), `KNOWLEDGE_PRECISION` (f16; or f32, i8), `KNOWLEDGE_PARTS` (all; for example `build,search`), `KNOWLEDGE_FOLDER`
//! (a temporary one; what is there is used again), `KNOWLEDGE_EXPORT` (a file for compare.py).

mod corpus;
mod measured;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::chat::Hit;
use cofferdam::rag::{Chunk, DocumentInfo, DocumentStore, Filter, Lookup, Namespace, NewDocument, Precision, Precisions, Put, VectorSpace};
use cofferdam::sandbox::kv::KvLimits;
use cofferdam::storage::sqlite;

use corpus::{CHUNKS, Corpus, DIMENSIONS};
use measured::{memory, ms, quantile};

/// Of which the nearest are known exactly.
const QUESTIONS: usize = 500;
/// Searches that are timed.
const SEARCHES: usize = 4_000;
const HYBRID_SEARCHES: usize = 500;
/// Hits that recall is about.
const HITS: usize = 10;
/// Candidates of each kind that the knowledge base asks for.
const CANDIDATES: usize = 50;
/// Chunks that are put a second while searches are timed: what the program's own embedder computes on two cores.
const INGEST_RATE: u32 = 130;
const PARTS: [&str; 4] = ["fill", "build", "search", "ingest"];

fn main() {
    let vectors = setting("KNOWLEDGE_VECTORS").map_or(50_000, |count| count.parse().expect("KNOWLEDGE_VECTORS is a number"));
    let corpus = Corpus::new(vectors);
    match setting("KNOWLEDGE_PART") {
        Some(part) => run(&part, &corpus, Path::new(&setting("KNOWLEDGE_FOLDER").expect("the parent says where"))),
        None => parts(&corpus),
    }
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn precision() -> Precision {
    let word = setting("KNOWLEDGE_PRECISION").unwrap_or_else(|| "f16".into());
    let known = Precision::WORDS.iter().find(|(known, _)| *known == word);
    known.expect("KNOWLEDGE_PRECISION is f32, f16 or i8").1
}

/// Runs each part in a process of its own.
fn parts(corpus: &Corpus) {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = setting("KNOWLEDGE_FOLDER").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    println!("knowledge: {} chunks of {DIMENSIONS} numbers, {}, in documents of {CHUNKS}", corpus.len(), precision().word());
    if let Some(path) = setting("KNOWLEDGE_EXPORT") {
        corpus.export(Path::new(&path), &nearest(corpus, &folder)).expect("the vectors can be written");
    }
    let wanted = setting("KNOWLEDGE_PARTS").unwrap_or_else(|| PARTS.join(","));
    for part in PARTS.iter().filter(|part| wanted.split(',').any(|wanted| wanted == **part)) {
        if *part == "search" {
            nearest(corpus, &folder);
        }
        let program = std::env::current_exe().expect("this program");
        let status = Command::new(program).env("KNOWLEDGE_PART", part).env("KNOWLEDGE_FOLDER", &folder).status();
        assert!(status.expect("it runs").success(), "{part} failed");
    }
}

fn run(part: &str, corpus: &Corpus, folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match part {
            "fill" => fill(corpus, folder).await,
            "build" => build(folder).await,
            "search" => search(corpus, folder).await,
            "ingest" => ingest(corpus, folder).await,
            other => panic!("there is no part {other}"),
        }
    });
}

fn open(folder: &Path) -> Arc<dyn DocumentStore> {
    let precisions = Precisions { default: precision(), ..Precisions::default() };
    let clock = Arc::new(|| Duration::from_secs(1_764_000_000));
    sqlite::open_with(&folder.join("cofferdam.db"), KvLimits::default(), clock, precisions).expect("the database opens").documents
}

fn namespace() -> Namespace {
    Namespace { api: "support".into(), name: "default".into() }
}

fn space() -> VectorSpace {
    VectorSpace { model: "bench".into(), dimensions: DIMENSIONS }
}

/// A document of some of the corpus' chunks.
fn document(name: &str, chunks: Vec<(String, Vec<f32>)>) -> NewDocument {
    let info = DocumentInfo { id: name.into(), name: name.into(), ..DocumentInfo::default() };
    let (texts, vectors): (Vec<Chunk>, Vec<Vec<f32>>) = chunks.into_iter().map(|(text, vector)| (Chunk::of(text), vector)).unzip();
    NewDocument { info, space: space(), chunks: Arc::new(texts), vectors }
}

async fn fill(corpus: &Corpus, folder: &Path) {
    if folder.join("cofferdam.db").exists() {
        return println!("knowledge: the folder has documents already");
    }
    let store = open(folder);
    let (mut put, mut slowest) = (Duration::ZERO, Duration::ZERO);
    for number in 0..corpus.documents() {
        let document = document(&number.to_string(), corpus.document(number));
        let begun = Instant::now();
        assert!(matches!(store.put(&namespace(), document, usize::MAX).await, Ok(Put::Stored { .. })));
        put += begun.elapsed();
        slowest = slowest.max(begun.elapsed());
    }
    println!(
        "knowledge: ingest without embedding {:.0} chunks/s ({:.1} s), slowest document {:.0} ms; {}",
        corpus.len() as f64 / put.as_secs_f64(),
        put.as_secs_f64(),
        ms(slowest),
        memory(),
    );
}

async fn build(folder: &Path) {
    let index = folder.join("index");
    if index.exists() {
        std::fs::remove_dir_all(&index).expect("the index can be deleted");
    }
    let store = open(folder);
    let begun = Instant::now();
    store.prepare(&namespace(), &space()).await.expect("the index is built");
    println!("knowledge: index built from the database in {:.1} s; {}", begun.elapsed().as_secs_f64(), memory());
}

async fn search(corpus: &Corpus, folder: &Path) {
    let exact = nearest(corpus, folder);
    let questions = corpus.questions(QUESTIONS);
    let begun = Instant::now();
    let store = open(folder);
    let first = near(&store, &questions[0].1).await;
    let restart = begun.elapsed();
    assert_eq!(first.len(), HITS);
    println!("knowledge: restart to the first answer {:.0} ms; {}", ms(restart), memory());

    let mut right = 0;
    for ((_, vector), exact) in questions.iter().zip(&exact) {
        let found: Vec<u32> = near(&store, vector).await.iter().map(number).collect();
        right += exact.iter().filter(|id| found.contains(id)).count();
    }
    let mut times = Vec::with_capacity(SEARCHES);
    for (_, vector) in questions.iter().cycle().take(SEARCHES) {
        let begun = Instant::now();
        near(&store, vector).await;
        times.push(begun.elapsed());
    }
    println!(
        "knowledge: {HITS} hits by vector p50 {:.2} ms p99 {:.2} ms, recall {:.4}; {}",
        ms(quantile(&mut times, 0.5)),
        ms(quantile(&mut times, 0.99)),
        right as f64 / (QUESTIONS * HITS) as f64,
        memory(),
    );
    let [mut by_vector, mut by_both] = [Vec::new(), Vec::new()];
    for (text, vector) in questions.iter().cycle().take(HYBRID_SEARCHES) {
        for (text, times) in [(None, &mut by_vector), (Some(text.clone()), &mut by_both)] {
            let like = Some((space(), vector.as_slice().into()));
            let wanted = Lookup { like, text, count: CANDIDATES, filter: Filter::default() };
            let begun = Instant::now();
            store.look_up(&namespace(), wanted).await.expect("the store answers");
            times.push(begun.elapsed());
        }
    }
    println!(
        "knowledge: {CANDIDATES} candidates by vector p50 {:.2} ms p99 {:.2} ms, by vector and words p50 {:.2} ms p99 {:.2} ms; {}",
        ms(quantile(&mut by_vector, 0.5)),
        ms(quantile(&mut by_vector, 0.99)),
        ms(quantile(&mut by_both, 0.5)),
        ms(quantile(&mut by_both, 0.99)),
        memory(),
    );
}

/// Searches alone, beside as many chunks as the embedder gives, and beside as many as can be put.
async fn ingest(corpus: &Corpus, folder: &Path) {
    let store = open(folder);
    store.prepare(&namespace(), &space()).await.expect("the index is there");
    let questions = corpus.questions(QUESTIONS);
    let asked = async |seconds: u64| {
        let (begun, mut times) = (Instant::now(), Vec::new());
        for (_, vector) in questions.iter().cycle().take_while(|_| begun.elapsed() < Duration::from_secs(seconds)) {
            let begun = Instant::now();
            near(&store, vector).await;
            times.push(begun.elapsed());
        }
        (ms(quantile(&mut times, 0.5)), ms(quantile(&mut times, 0.99)))
    };
    asked(2).await;
    let idle = asked(10).await;
    println!("knowledge: {HITS} hits by vector alone p50 {:.2} ms p99 {:.2} ms", idle.0, idle.1);
    for (rate, what) in [(Some(INGEST_RATE), "as the embedder gives them"), (None, "as fast as they are stored")] {
        let (beside, stop) = (Arc::clone(&store), Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let (ended, mut source) = (Arc::clone(&stop), corpus.more());
        let putting = tokio::spawn(async move {
            let (begun, mut put) = (Instant::now(), 0_u32);
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                let document = document(&format!("more {put} {rate:?}"), source.take(16));
                assert!(matches!(beside.put(&namespace(), document, usize::MAX).await, Ok(Put::Stored { .. })));
                put += 16;
                if let Some(rate) = rate {
                    let due = begun + Duration::from_secs(1) * put / rate;
                    tokio::time::sleep_until(due.into()).await;
                }
            }
            f64::from(put) / begun.elapsed().as_secs_f64()
        });
        let busy = asked(60).await;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let rate = putting.await.expect("it puts documents");
        println!(
            "knowledge: beside {rate:.0} chunks/s, {what}, p50 {:.2} ms p99 {:.2} ms, x {:.2}; {}",
            busy.0,
            busy.1,
            busy.1 / idle.1,
            memory()
        );
    }
}

async fn near(store: &Arc<dyn DocumentStore>, vector: &[f32]) -> Vec<Hit> {
    store.nearest(&namespace(), &space(), vector.to_vec(), HITS).await.expect("the store answers")
}

fn number(hit: &Hit) -> u32 {
    hit.source.parse::<u32>().map_or(u32::MAX, |document| document * CHUNKS as u32 + hit.ordinal)
}

/// The nearest chunks of each question by exact arithmetic, computed once for a folder.
fn nearest(corpus: &Corpus, folder: &Path) -> Vec<Vec<u32>> {
    let path = folder.join(format!("nearest-{}", corpus.len()));
    if let Ok(bytes) = std::fs::read(&path) {
        let numbers: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number)).collect();
        return numbers.chunks(HITS).map(<[u32]>::to_vec).collect();
    }
    let nearest = corpus.nearest(&corpus.questions(QUESTIONS), HITS);
    let bytes: Vec<u8> = nearest.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
    std::fs::File::create(path).and_then(|mut file| file.write_all(&bytes)).expect("the folder can be written");
    nearest
}
