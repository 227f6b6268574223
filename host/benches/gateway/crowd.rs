//! Many slow streams at once: what each costs in memory, and whether every one of them is cancelled upstream when its client leaves.
//! Waits for counts, never for time.

use http_body_util::BodyExt as _;

use super::load::{self, Question, Shape};
use super::process::Process;

/// Streams at once.
const STREAMS: usize = 1_000;

/// Opens the streams, waits until each has begun, measures, hangs up, and waits until the mock has seen every one go.
pub(super) async fn measure(what: &str, limit_kb: u32, gateway: &Process, mock: &Process) {
    let lost = lost(mock).await;
    // One stream first, so that what is allocated once is not counted.
    drop(open(gateway, 1).await);
    gone(mock, lost + 1).await;
    let before = gateway.resident_bytes();
    let streams = open(gateway, STREAMS).await;
    let each = gateway.resident_bytes().saturating_sub(before) as f64 / STREAMS as f64 / 1e3;
    drop(streams);
    gone(mock, lost + STREAMS + 1).await;
    println!(
        "gateway: {STREAMS} slow streams at once, {what}: {each:.1} KB resident each (limit {limit_kb} KB), {STREAMS} of {STREAMS} cancelled upstream"
    );
}

/// Streams whose first event has arrived.
async fn open(gateway: &Process, count: usize) -> Vec<impl Sized> {
    let question = Question::short("openai", Shape::Stream).slow();
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut sender = load::connect(gateway).await;
        let mut body = load::send(&mut sender, &question).await;
        body.frame().await.expect("a first event").expect("no error");
        streams.push((sender, body));
    }
    streams
}

/// Waits until the mock has lost so many slow streams in all.
async fn gone(mock: &Process, count: usize) {
    while lost(mock).await != count {
        tokio::task::yield_now().await;
    }
}

async fn lost(mock: &Process) -> usize {
    let mut sender = load::connect(mock).await;
    let body = load::get(&mut sender, "/lost").await;
    std::str::from_utf8(&body).expect("a number").parse().expect("a number")
}
