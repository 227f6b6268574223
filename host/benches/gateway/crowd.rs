//! Many slow streams at once: what each costs in memory, and whether every one of them is cancelled upstream when its client leaves.
//! Waits for counts, never for time.

use http_body_util::BodyExt as _;

use super::load::{self, Question, Shape};
use super::process::Process;

/// Streams at once.
const STREAMS: usize = 1_000;

/// Opens the streams, waits until each has begun, measures, hangs up, and waits until the mock has seen every one go.
pub(super) async fn measure(gateway: &Process, mock: &Process) {
    // One stream first, so that what is allocated once is not counted.
    drop(open(gateway, 1).await);
    gone(mock, 1).await;
    let before = gateway.resident_bytes();
    let streams = open(gateway, STREAMS).await;
    let each = gateway.resident_bytes().saturating_sub(before) as f64 / STREAMS as f64 / 1e3;
    drop(streams);
    gone(mock, STREAMS + 1).await;
    println!(
        "gateway: {STREAMS} slow streams at once: {each:.1} KB resident each (limit 40 KB), {STREAMS} of {STREAMS} cancelled upstream"
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
    loop {
        let mut sender = load::connect(mock).await;
        let body = load::get(&mut sender, "/lost").await;
        if std::str::from_utf8(&body).expect("a number").parse() == Ok(count) {
            return;
        }
        tokio::task::yield_now().await;
    }
}
