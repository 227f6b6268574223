//! What a request without hooks notices of hostile guests: `/healthz`, streams and a quick hook of another plugin, one by one, while as many
//! calls of one guest run as a plugin may have. The gateway has both cores, which it shares with the mock and with those who ask.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;

use super::load::{self, Latency, Question, Shape};
use super::process::Process;

/// Guests that take what they can get, each in its own way.
const GUESTS: [&str; 12] = [
    "endless_loop",
    "hostcall_loop",
    "memory_fill",
    "page_toucher",
    "grow_loop",
    "memory_hog",
    "table_growth",
    "deep_recursion",
    "huge_return",
    "many_edits",
    "log_flood",
    "sleeper",
];
/// Calls of one plugin at once: the default of `calls_per_plugin`.
const CALLS: usize = 128;
/// Requests of each kind that are timed.
const SAMPLES: usize = 600;

/// Prints a row for each guest.
pub(super) async fn measure(mock: &Process) {
    let only = std::env::args().nth(2);
    for guest in GUESTS.into_iter().filter(|guest| only.as_deref().is_none_or(|only| only == *guest)) {
        let gateway = Process::beside(mock, guest);
        // What is loaded and built once is no difference between the two.
        probe(&gateway, SAMPLES / 4).await;
        let idle = probe(&gateway, SAMPLES).await;
        let hammer = Process::hammer(&gateway, CALLS);
        let beside = probe(&gateway, SAMPLES).await;
        drop(hammer);
        let row = ["/healthz", "stream", "quick hook"].into_iter().zip(idle.into_iter().zip(beside)).map(|(what, (idle, beside))| {
            let more = (beside.p99.as_secs_f64() - idle.p99.as_secs_f64()) * 1e3;
            let ratio = beside.p99.as_secs_f64() / idle.p99.as_secs_f64();
            format!("{what} p99 {:.1} ms, idle {:.1}, {more:+.1} ms, x {ratio:.1}", ms(beside.p99), ms(idle.p99))
        });
        println!("gateway: beside {CALLS} calls of {guest} (limit +20 ms): {}", row.collect::<Vec<_>>().join("; "));
        let ran = ran(&gateway.log());
        println!(
            "gateway: {} calls of {guest} ran for {:.1} ms at most (limit 550 ms, which is 50 ms over `time`)",
            ran.len(),
            ms(ran.into_iter().max().unwrap_or_default())
        );
    }
}

/// The processor time of each hook call in the log, without what it waited or was starved.
fn ran(log: &str) -> Vec<Duration> {
    let calls = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let of_call = |line: serde_json::Value| {
        let spans = line["spans"].as_array()?.clone();
        let call =
            spans.into_iter().chain([line["span"].clone(), line["fields"].clone(), line]).find(|span| span["duration_us"].is_number())?;
        let figure = |name: &str| call[name].as_f64().unwrap_or_default();
        Some(Duration::from_secs_f64((figure("duration_us") - figure("plugin.wait_us") - figure("plugin.starved_us")).max(0.0) / 1e6))
    };
    calls.filter_map(of_call).collect()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The kinds of requests in turn, so that a busy moment hits all of them.
async fn probe(gateway: &Process, samples: usize) -> [Latency; 3] {
    let stream = Question::short("calm", Shape::Stream).burst();
    let quick = Question::short("quick", Shape::Whole);
    let mut sender = load::connect(gateway).await;
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..samples {
        let begun = Instant::now();
        load::get(&mut sender, "/healthz").await;
        times[0].push(begun.elapsed());
        for (times, question) in times[1..].iter_mut().zip([&stream, &quick]) {
            let begun = Instant::now();
            whole(&mut sender, question).await;
            times.push(begun.elapsed());
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        Latency { p50: times[samples / 2], p99: times[samples * 99 / 100] }
    })
}

async fn whole(sender: &mut SendRequest<Full<Bytes>>, question: &Question) {
    load::send(sender, question).await.collect().await.expect("a whole answer");
}

/// Asks for the hook without end, so many times at once; whatever the answers are. Says that it has begun by an address, as all processes do.
pub(super) fn hammer(address: &str, calls: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let address = address.parse().expect("an address");
        let question = Question::short("victim", Shape::Whole);
        let mut callers: Vec<SendRequest<Full<Bytes>>> = Vec::with_capacity(calls);
        for _ in 0..calls {
            callers.push(load::connect_to(address).await);
        }
        println!("listening on http://{address}");
        let asking = callers.into_iter().map(|mut sender| {
            let question = &question;
            async move {
                loop {
                    let Some(answer) = load::try_send(&mut sender, question).await else { return };
                    if answer.collect().await.is_err() {
                        return;
                    }
                }
            }
        });
        futures_util::future::join_all(asking).await;
    });
}
