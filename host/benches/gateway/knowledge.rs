//! A knowledge base with the program's own embedder: how fast documents come in, and questions alone and while documents are embedded.
//! The gateway shares both cores with those who ask.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cofferdam_encoder::{Encoder, Purpose};
use http_body_util::BodyExt as _;

use super::load::{self, Question};
use super::process::Process;

const UPLOAD: &str = "/api/v1/gateway/apis/knowledge/knowledge/upload";
/// Questions that are timed, and who asks them at one time.
const QUESTIONS: usize = 400;
const ASKING: usize = 4;
/// Bytes of a document, and how many are on their way in at one time.
const DOCUMENT_BYTES: usize = 200 << 10;
const DOCUMENTS: usize = 2;

/// Prints p50 and p99 of an answer without and beside documents, and how many documents came in meanwhile.
pub(super) async fn measure() {
    let gateway = Process::knowledge();
    load::upload(&mut load::connect(&gateway).await, UPLOAD, "first.txt", &document(0, DOCUMENT_BYTES / 8)).await;
    ingest(&gateway).await;
    ask(&gateway, QUESTIONS / 4).await;
    let idle = ask(&gateway, QUESTIONS).await;
    let mut stored = 0;
    let uploads = async {
        let mut senders = Vec::new();
        for _ in 0..DOCUMENTS {
            senders.push(load::connect(&gateway).await);
        }
        loop {
            // Another text each time: one that is there already is not embedded.
            let texts = stored + DOCUMENTS + 1;
            let documents = senders.iter_mut().enumerate().map(|(n, sender)| async move {
                load::upload(sender, UPLOAD, &format!("document-{n}.txt"), &document(texts + n, DOCUMENT_BYTES)).await;
            });
            futures_util::future::join_all(documents).await;
            stored += DOCUMENTS;
        }
    };
    let beside = tokio::select! {
        found = ask(&gateway, QUESTIONS) => found,
        () = uploads => unreachable!("it never ends"),
    };
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "gateway: questions to a knowledge base, {ASKING} at once: alone p50 {:.1} ms p99 {:.1} ms; beside {DOCUMENTS} documents p50 {:.1} ms p99 {:.1} ms, p99 x {:.1}; {stored} documents of {} KiB stored meanwhile",
        ms(idle[0]),
        ms(idle[1]),
        ms(beside[0]),
        ms(beside[1]),
        beside[1].as_secs_f64() / idle[1].as_secs_f64(),
        DOCUMENT_BYTES >> 10,
    );
}

/// Prints how many chunks are stored in a second, beside what one thread computes that does nothing but embed texts of the same length.
async fn ingest(gateway: &Process) {
    let begun = Instant::now();
    let documents = (0..DOCUMENTS).map(|n| async move {
        let text = document(n + 1, DOCUMENT_BYTES);
        load::upload(&mut load::connect(gateway).await, UPLOAD, &format!("document-{n}.txt"), &text).await
    });
    let chunks: usize = futures_util::future::join_all(documents).await.iter().sum();
    let through = chunks as f64 / begun.elapsed().as_secs_f64();
    let encoder = Encoder::builtin().expect("it is built in");
    let text = document(0, DOCUMENTS * DOCUMENT_BYTES / chunks);
    let each = |text: &str, times: u32| {
        let begun = Instant::now();
        for _ in 0..times {
            encoder.embed(&[text], Purpose::Document).expect("a vector");
        }
        begun.elapsed() / times
    };
    let question = "how is the water kept out of the harbour while the gate is down";
    each(&text, 5);
    let (chunk, question) = (each(&text, 50), each(question, 200));
    let alone = 1.0 / chunk.as_secs_f64();
    println!(
        "gateway: ingest {through:.0} chunks/s of {} bytes (limit 100), {:.2} times what one thread embeds that does nothing else ({alone:.0}); a question's embedding {:.1} ms (limit 5)",
        text.len(),
        through / alone,
        question.as_secs_f64() * 1e3,
    );
}

async fn ask(gateway: &Process, questions: usize) -> [Duration; 2] {
    /// One that was asked before would not be embedded again.
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let askers = (0..ASKING).map(|_| async {
        let mut sender = load::connect(gateway).await;
        let mut times = Vec::new();
        for _ in 0..questions / ASKING {
            let question = Question::new("knowledge", ASKED.fetch_add(1, Ordering::Relaxed));
            let begun = Instant::now();
            load::send(&mut sender, &question).await.collect().await.expect("a whole answer");
            times.push(begun.elapsed());
        }
        times
    });
    let mut times = futures_util::future::join_all(askers).await.concat();
    times.sort_unstable();
    [times[times.len() / 2], times[times.len() * 99 / 100]]
}

/// Sentences of changing words.
fn document(number: usize, bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "pump", "valve", "gate", "water", "lamp", "pier", "night", "storm", "harbour", "crane", "ship", "rope", "engine", "tide", "river",
        "bridge",
    ];
    let mut text = String::with_capacity(bytes + 100);
    let mut at = number;
    while text.len() < bytes {
        at = at * 5 + 3;
        let word = |n: usize| WORDS[(at >> n) % WORDS.len()];
        text += &format!("The {} of the {} is near the {} and the {}, number {}. ", word(0), word(3), word(5), word(7), at % 1000);
        at %= 1 << 20;
    }
    text
}
