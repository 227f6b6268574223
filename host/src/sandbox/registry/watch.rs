//! When to scan the directory: after the kernel's events, gathered for a moment, and now and then anyway, because events can be lost.
//! One thread with a runtime of its own does all loading, so that neither compiling nor a guest's `describe` holds up a request.

use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::change::{Asked, Desk};
use super::live::Registry;
use super::scan::Scanner;
use crate::sandbox::ServerLimits;

/// If hints keep coming, the directory is read after this many times `debounce`.
const DEBOUNCES_MAX: u32 = 10;

/// Keeps the directory watched until it is dropped.
pub struct Watcher {
    /// Dropped with it, which ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Watcher {
    /// Starts the thread; its first scan begins at once.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub(super) fn start(scanner: Scanner, registry: Arc<Registry>, limits: &ServerLimits) -> std::io::Result<Self> {
        let hints = Arc::new(Notify::new());
        let (stop, stopped) = oneshot::channel();
        let (debounce, poll) = (limits.debounce, limits.poll);
        let events = events(&scanner, hints.clone());
        let (desk, asked) = Desk::open(limits.file_bytes);
        registry.set_desk(desk);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("plugin-loader".into()).spawn(move || {
            let _events = events;
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = load(scanner, &registry, &hints, asked, debounce, poll) => {}
                }
            });
        })?;
        Ok(Self { _stop: stop })
    }
}

/// Scans and admits for ever.
async fn load(
    mut scanner: Scanner,
    registry: &Registry,
    hints: &Notify,
    mut asked: mpsc::Receiver<Asked>,
    debounce: Duration,
    poll: Duration,
) {
    scanner.scan();
    let mut next = Instant::now() + poll;
    // The moment at which hints are acted upon, and the latest one if they keep coming.
    let mut gathered: Option<(Instant, Instant)> = None;
    loop {
        if scanner.is_loaded_now() {
            scanner.warn_of_unused_entries();
            tracing::info!("every plugin file was tried");
            registry.set_loaded();
        }
        let due = gathered.map_or(next, |(quiet, latest)| quiet.min(latest).min(next));
        tokio::select! {
            () = scanner.settle() => {}
            () = hints.notified() => {
                let now = Instant::now();
                let latest = gathered.map_or(now + debounce * DEBOUNCES_MAX, |(_, latest)| latest);
                gathered = Some((now + debounce, latest));
            }
            // Those who wait for it are in `registry`, so that this ends with it.
            Some(Asked { change, made }) = asked.recv() => {
                let outcome = scanner.make(&change);
                (gathered, next) = (None, Instant::now() + poll);
                // Whoever asked may have gone away.
                let _ = made.send(outcome);
            }
            () = sleep_until(due) => {
                scanner.scan();
                (gathered, next) = (None, Instant::now() + poll);
            }
        }
    }
}

fn events(scanner: &Scanner, hints: Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let on_event = move |event: notify::Result<notify::Event>| {
        // Reading the directory makes events too, and acting on those would never end.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            hints.notify_one();
        }
    };
    let started = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        watcher.watch(scanner.directory(), RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    started.inspect_err(|error| tracing::warn!(%error, "the plugin directory is polled; watching it failed")).ok()
}
