//! When to scan the directory: after the kernel's events, gathered for a moment, and now and then anyway, because events can be lost.
//! One thread owns all loading, so that compiling and waiting for a guest's `describe` never hold up a request.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::oneshot;

use super::scan::Scanner;
use crate::sandbox::ServerLimits;

/// If hints keep coming, the directory is read after this many times `debounce`.
const DEBOUNCES_MAX: u32 = 10;

/// Keeps the directory watched until it is dropped.
pub struct Watcher {
    hints: Sender<Hint>,
}

enum Hint {
    Look,
    Stop,
}

impl Watcher {
    /// Starts the thread and waits for its first scan.
    pub(super) async fn start(scanner: Scanner, limits: &ServerLimits) -> Self {
        let (hints, received) = channel();
        let (first_scan, scanned) = oneshot::channel();
        let (runtime, debounce, poll) = (tokio::runtime::Handle::current(), limits.debounce, limits.poll);
        let events = events(&scanner, hints.clone());
        std::thread::Builder::new()
            .name("plugin-loader".into())
            .spawn(move || {
                let _events = events;
                let mut scanner = scanner;
                runtime.block_on(scanner.scan());
                scanner.warn_of_unused_entries();
                // If the server was stopped meanwhile, nobody waits for this any more.
                let _ = first_scan.send(());
                while wait(&received, debounce, poll) {
                    runtime.block_on(scanner.scan());
                }
            })
            .expect("a thread can be started while the server starts");
        scanned.await.expect("the loader answers after its first scan");
        Self { hints }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.hints.send(Hint::Stop);
    }
}

fn events(scanner: &Scanner, hints: Sender<Hint>) -> Option<notify::RecommendedWatcher> {
    let on_event = move |event: notify::Result<notify::Event>| {
        // Reading the directory makes events too, and acting on those would never end.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ = hints.send(Hint::Look);
        }
    };
    let started = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        watcher.watch(scanner.directory(), RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    started.inspect_err(|error| tracing::warn!(%error, "the plugin directory is polled; watching it failed")).ok()
}

/// Waits for a reason to look and then for quiet; false when it is time to stop.
fn wait(hints: &Receiver<Hint>, debounce: Duration, poll: Duration) -> bool {
    match hints.recv_timeout(poll) {
        Ok(Hint::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        Err(RecvTimeoutError::Timeout) => return true,
        Ok(Hint::Look) => {}
    }
    let latest = Instant::now() + debounce * DEBOUNCES_MAX;
    while Instant::now() < latest {
        match hints.recv_timeout(debounce) {
            Ok(Hint::Look) => {}
            Ok(Hint::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    true
}
