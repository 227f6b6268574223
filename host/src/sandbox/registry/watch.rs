//! When to scan the directory: after the kernel's events, gathered for a moment, and now and then anyway, because events can be lost.
//! One thread with a runtime of its own does all loading, so that neither compiling nor a guest's `describe` holds up a request. Changes of the
//! operator's settings are made there too, between two scans.

use std::sync::Arc;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::change::{Asked, Desk};
use super::live::Registry;
use super::refresh::{Lists, ask};
use super::scan::{Scanner, Settings};

/// If hints keep coming, the directory is read after this many times `debounce`.
const DEBOUNCES_MAX: u32 = 10;

/// Keeps the directory watched until it is dropped.
pub struct Watcher {
    changes: mpsc::UnboundedSender<Change>,
    /// Dropped with it, which ends the thread.
    _stop: oneshot::Sender<()>,
    /// Dropped by the thread when it ends.
    ended: oneshot::Receiver<()>,
}

/// New settings of plugins, and who waits for the registry with them.
type Change = (Settings, oneshot::Sender<Arc<Registry>>);

/// The thread that loads plugins is gone.
#[derive(Debug, thiserror::Error)]
#[error("the thread that loads plugins has ended")]
pub struct LoaderEnded;

impl Watcher {
    /// The registry of the next configuration: with these settings from its start on.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub async fn renew(&self, settings: Settings) -> Result<Arc<Registry>, LoaderEnded> {
        let (answer, renewed) = oneshot::channel();
        self.changes.send((settings, answer)).map_err(|_| LoaderEnded)?;
        renewed.await.map_err(|_| LoaderEnded)
    }

    /// Starts the thread; its first scan begins at once.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub(super) fn start(scanner: Scanner) -> std::io::Result<Self> {
        let hints = Arc::new(Notify::new());
        let (stop, stopped) = oneshot::channel();
        let (ends, ended) = oneshot::channel();
        let (changes, changed) = mpsc::unbounded_channel();
        let events = events(&scanner, hints.clone());
        let (desk, asked) = Desk::open();
        scanner.registry().set_desk(desk);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("plugin-loader".into()).spawn(move || {
            let (_events, _ends): (_, oneshot::Sender<()>) = (events, ends);
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = load(scanner, &hints, changed, asked) => {}
                }
            });
        })?;
        Ok(Self { changes, _stop: stop, ended })
    }

    /// Ends the watching, and waits until nothing is written any more.
    pub async fn stop(self) {
        let Self { _stop: stop, ended, .. } = self;
        drop(stop);
        // Nothing is ever sent.
        let _ = ended.await;
    }
}

/// Scans and admits for ever.
async fn load(mut scanner: Scanner, hints: &Notify, mut changed: mpsc::UnboundedReceiver<Change>, mut asked: mpsc::Receiver<Asked>) {
    let mut lists = Lists::new();
    scanner.scan();
    let mut next = Instant::now() + scanner.pauses().1;
    // The moment at which hints are acted upon, and the latest one if they keep coming.
    let mut gathered: Option<(Instant, Instant)> = None;
    loop {
        if scanner.is_loaded_now() {
            scanner.warn_of_unused_entries();
            tracing::info!("every plugin file was tried");
            scanner.set_loaded();
        }
        let ((debounce, poll), models_ttl) = (scanner.pauses(), scanner.models_ttl());
        let due = gathered.map_or(next, |(quiet, latest)| quiet.min(latest).min(next));
        let settings = scanner.settings_change();
        tokio::select! {
            () = settings => {
                scanner.settings_changed();
                lists.ask(scanner.models_without_list());
            }
            () = scanner.settle() => lists.ask(scanner.models_without_list()),
            Some((settings, answer)) = changed.recv() => {
                let registry = scanner.renew(settings);
                // Their settings may decide which models there are, and nobody sees the registry yet.
                ask(scanner.models_without_list()).await;
                // Who asked may have gone; the settings hold all the same.
                let _ = answer.send(registry);
            }
            () = lists.old(models_ttl) => lists.ask_all(scanner.models()),
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
