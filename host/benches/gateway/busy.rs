//! Hook calls on a machine that other programs keep busy: how many of them fail. None should, since a plugin's `time` is processor time.
//! The programs are processes of this benchmark's own, two for each core, which never sleep.

use super::load::{self, Question, Shape};
use super::process::Process;

/// Requests, with two hook calls each.
const REQUESTS: usize = 12_000;
const CONNECTIONS: usize = 16;
const SPINNERS: usize = 4;

/// Prints the failures, and where the calls ran.
pub(super) async fn measure(mock: &Process) {
    let gateway = Process::hooked_on_both_cores(mock);
    let spinners: Vec<Process> = (0..SPINNERS).map(|_| Process::peer("spin", &[], "0,1")).collect();
    let question = Question::short("openai", Shape::Whole);
    let before = gateway.cpu_time();
    let workers = (0..CONNECTIONS).map(|_| async {
        let mut sender = load::connect(&gateway).await;
        let mut failed = 0;
        for _ in 0..REQUESTS / CONNECTIONS {
            failed += usize::from(!load::succeeds(&mut sender, &question).await);
        }
        failed
    });
    let failed: usize = futures_util::future::join_all(workers).await.into_iter().sum();
    let spent = gateway.cpu_time_since(&before).as_secs_f64() * 1e6 / REQUESTS as f64;
    drop(spinners);
    let metrics = load::get(&mut load::connect(&gateway).await, "/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics);
    let places: Vec<&str> = metrics.lines().filter_map(|line| line.strip_prefix("cofferdam_plugin_call_places_total")).collect();
    println!(
        "gateway: {} hook calls beside {SPINNERS} programs that never sleep: {failed} failed (limit 0), {spent:.1} us of CPU a request; {}",
        2 * REQUESTS,
        places.join(" ")
    );
}

/// Takes all that it can get, until it is killed.
pub(super) fn spin() {
    println!("listening on http://127.0.0.1:1");
    loop {
        std::hint::spin_loop();
    }
}
