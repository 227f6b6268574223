//! Calls of done-hooks on their way: each is a task that waits for its permits. What waits is bounded for each plugin by itself, and within a
//! plugin shared between callers, so that neither a slow plugin nor a busy caller takes room or turns from another one.
//! Invariant: a call either runs to its end or is counted as dropped, with a reason.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::Done;
use crate::chat::{Client, Exchange, RequestId};
use crate::fair::{Share, Shares};
use crate::outbound::Calls;
use crate::sandbox::capability::http::budgets;
use crate::sandbox::plugin::Plugin;
use crate::sandbox::{Hook, ServerLimits};
use crate::telemetry::{Metrics, PluginFigures};

/// Between two lines of the log about calls of one plugin that were dropped.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// Lanes that are kept while they are empty; names come from files, and a file can be renamed for ever.
const LANES_MAX: usize = 1_024;

/// The calls of all done-hooks.
pub struct DoneQueue {
    metrics: Arc<Metrics>,
    runtime: Handle,
    lanes: Mutex<Lanes>,
    /// Bytes kept of exchanges that are under way.
    kept: Shares,
    /// Tasks that have not ended.
    pending: watch::Sender<usize>,
}

/// The plugins' lanes, and the limits that are in force.
struct Lanes {
    limits: ServerLimits,
    by_plugin: HashMap<Arc<str>, Arc<Lane>>,
}

/// A plugin that is told of an exchange.
pub struct Listener {
    plugin: Arc<Plugin>,
    /// What all of its hooks send for the exchange counts together.
    http_calls: Arc<Calls>,
}

/// Room for what is kept of one exchange that is under way, until it is dropped.
pub struct DoneRoom(Share);

/// What waits for one plugin, whichever version of it, and what runs of it.
struct Lane {
    entries: Shares,
    bytes: Shares,
    calls: Shares,
    figures: PluginFigures,
    dropped: Mutex<Dropped>,
}

/// Calls that were dropped since the last line about them.
#[derive(Default)]
struct Dropped {
    calls: u64,
    logged: Option<Instant>,
}

/// A call's place in the queue.
struct Entry {
    lane: Arc<Lane>,
    _shares: [Share; 2],
}

/// A task that counts until it is dropped.
struct Pending(watch::Sender<usize>);

impl Listener {
    pub fn of(plugin: &Arc<Plugin>, exchange: &Exchange) -> Self {
        Self { plugin: plugin.clone(), http_calls: budgets::of(&plugin.callee.name, &exchange.client, &exchange.kept) }
    }

    fn name(&self) -> &str {
        self.plugin.name()
    }
}

impl DoneRoom {
    /// Takes so many bytes more; false if there is no room for them.
    pub fn grow(&mut self, bytes: usize) -> bool {
        self.0.grow(bytes)
    }
}

impl DoneQueue {
    /// On the runtime that this is called on.
    pub fn new(limits: ServerLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        let kept = Shares::new(limits.done_bytes);
        let lanes = Mutex::new(Lanes { limits, by_plugin: HashMap::new() });
        Arc::new(Self { metrics, runtime: Handle::current(), lanes, kept, pending: watch::Sender::new(0) })
    }

    /// Other limits from now on; what waits or runs goes on.
    pub fn renew(&self, limits: &ServerLimits) {
        self.kept.resize(limits.done_bytes);
        let mut lanes = self.lanes();
        lanes.limits = limits.clone();
        lanes.by_plugin.values().for_each(|lane| lane.resize(limits));
    }

    /// Bytes kept of one reply.
    pub fn reply_bytes(&self) -> usize {
        self.lanes().limits.done_reply_bytes
    }

    /// Room for so many bytes of an exchange that is under way, if there is any for its caller.
    pub fn keep(&self, client: &Client, bytes: usize) -> Option<DoneRoom> {
        self.kept.take(client, bytes).map(DoneRoom)
    }

    /// Runs what makes a call ready, or other last work of a plugin that no client waits for: a drain does.
    pub fn prepare(&self, work: impl Future<Output = ()> + Send + 'static) {
        let pending = Pending::begin(&self.pending);
        // A runtime that has ended drops it.
        drop(self.runtime.spawn(async move {
            work.await;
            drop(pending);
        }));
    }

    /// Tells these plugins of the exchange, each when its turn comes.
    pub fn push(&self, listeners: Vec<Listener>, done: &Arc<Done>) {
        let bytes = done.bytes();
        for listener in listeners {
            let lane = self.lane(listener.name());
            match lane.enter(&done.client, bytes) {
                Ok(entry) => self.prepare(call(listener, done.clone(), entry)),
                Err(reason) => lane.drop_one(listener.name(), &done.id, reason),
            }
        }
    }

    /// These plugins are not told of an exchange, because what it holds found no room.
    pub fn refuse(&self, listeners: &[Listener], request: &RequestId) {
        listeners.iter().for_each(|listener| self.lane(listener.name()).drop_one(listener.name(), request, "bytes"));
    }

    /// Waits until every call has ended, at most until then. Gives how many have not.
    pub async fn drain(&self, until: Instant) -> usize {
        let mut pending = self.pending.subscribe();
        // Out of time or not, what is left is counted.
        let _ = timeout_at(until, pending.wait_for(|pending| *pending == 0)).await;
        *self.pending.borrow()
    }

    fn lane(&self, plugin: &str) -> Arc<Lane> {
        let mut lanes = self.lanes();
        if let Some(lane) = lanes.by_plugin.get(plugin) {
            return lane.clone();
        }
        if lanes.by_plugin.len() >= LANES_MAX {
            lanes.by_plugin.retain(|_, lane| lane.entries.held() > 0);
        }
        let [entries, bytes, calls] = sizes(&lanes.limits).map(Shares::new);
        let lane = Lane { entries, bytes, calls, figures: self.metrics.plugin(plugin), dropped: Mutex::default() };
        lanes.by_plugin.entry(plugin.into()).or_insert_with(|| Arc::new(lane)).clone()
    }

    /// Each change is complete when the lock is given back.
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many calls wait or run for one plugin, their bytes, and how many run.
fn sizes(limits: &ServerLimits) -> [usize; 3] {
    [limits.done_queue, limits.done_queue_bytes, limits.done_calls_per_plugin as usize]
}

impl Lane {
    fn resize(&self, limits: &ServerLimits) {
        let [entries, bytes, calls] = sizes(limits);
        self.entries.resize(entries);
        self.bytes.resize(bytes);
        self.calls.resize(calls);
    }

    /// A place for a call of so many bytes.
    fn enter(self: &Arc<Self>, client: &Client, bytes: usize) -> Result<Entry, &'static str> {
        let entry = self.entries.take(client, 1).ok_or("queue")?;
        let bytes = self.bytes.take(client, bytes).ok_or("bytes")?;
        self.figures.done_waiting(1);
        Ok(Entry { lane: self.clone(), _shares: [entry, bytes] })
    }

    /// Counts a call that was dropped; the log has a line a second of them at most.
    fn drop_one(&self, plugin: &str, request: &RequestId, reason: &'static str) {
        self.figures.done_dropped(reason);
        let dropped = {
            let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
            dropped.calls += 1;
            if dropped.logged.is_some_and(|logged| logged.elapsed() < LOG_PAUSE) {
                return;
            }
            dropped.logged = Some(Instant::now());
            std::mem::take(&mut dropped.calls)
        };
        let limits = "limits.plugins.done_queue, done_queue_bytes, done_bytes";
        tracing::warn!(plugin, request = &**request, dropped, reason, limits, "calls of a done-hook were dropped");
    }
}

/// One call, from the queue to its end.
async fn call(Listener { plugin, http_calls }: Listener, done: Arc<Done>, entry: Entry) {
    let own = entry.lane.calls.wait(&done.client, 1).await;
    // The plugin's own permit first: a call that waits for it must not hold one that others could use.
    let all = plugin.callee.background().permits.wait(&Client::Key(plugin.callee.name.clone()), 1).await;
    if let Err(fault) = plugin.done_hook(done.clone(), http_calls, [own, all]).await {
        tracing::warn!(request = &*done.id, plugin = plugin.name(), hook = Hook::Done.word(), %fault, "a done-hook failed");
    }
    drop(entry);
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.lane.figures.done_waiting(-1);
    }
}

impl Pending {
    fn begin(pending: &watch::Sender<usize>) -> Self {
        pending.send_modify(|pending| *pending += 1);
        Self(pending.clone())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.send_modify(|pending| *pending -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(limits: ServerLimits) -> Arc<DoneQueue> {
        DoneQueue::new(limits, Metrics::new())
    }

    fn client(name: &str) -> Client {
        Client::Key(name.into())
    }

    #[tokio::test]
    async fn a_plugin_whose_queue_is_full_takes_no_place_from_another_one_and_its_busiest_caller_none_from_the_next() {
        let queue = queue(ServerLimits { done_queue: 4, done_queue_bytes: 4_000, ..ServerLimits::default() });
        let slow = queue.lane("slow");
        let held: Vec<Entry> = std::iter::from_fn(|| slow.enter(&client("greedy"), 1).ok()).collect();
        assert_eq!((held.len(), slow.enter(&client("greedy"), 1).err()), (3, Some("queue")));
        let other = slow.enter(&client("modest"), 1);
        assert!(other.is_ok() && queue.lane("quick").enter(&client("greedy"), 1).is_ok());
        drop(held);
        let large = slow.enter(&client("greedy"), 3_000);
        assert_eq!((large.is_ok(), slow.enter(&client("greedy"), 1_001).err()), (true, Some("bytes")));
        assert_eq!(slow.entries.held(), 2, "what found no room for its bytes gives its place back");
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_tells_of_dropped_calls_once_a_second_and_the_figures_of_each() {
        let queue = queue(ServerLimits::default());
        let lane = queue.lane("slow");
        for _ in 0..5 {
            lane.drop_one("slow", &"r".into(), "queue");
        }
        assert_eq!(lane.dropped.lock().expect("no panic").calls, 4, "one was told");
        tokio::time::advance(LOG_PAUSE).await;
        lane.drop_one("slow", &"r".into(), "bytes");
        assert_eq!(lane.dropped.lock().expect("no panic").calls, 0);
        let figures = queue.metrics.render();
        let line = r#"cofferdam_plugin_done_dropped_total{plugin="slow",reason="queue"} 5"#;
        assert!(figures.lines().any(|l| l == line), "{figures}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_what_is_on_its_way_and_no_longer_than_it_may() {
        let queue = queue(ServerLimits::default());
        assert_eq!(queue.drain(Instant::now()).await, 0);
        let (end, ends) = tokio::sync::oneshot::channel::<()>();
        queue.prepare(async {
            let _ = ends.await;
        });
        let begun = Instant::now();
        assert_eq!(queue.drain(begun + Duration::from_secs(1)).await, 1);
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        drop(end);
        assert_eq!(queue.drain(begun + Duration::from_secs(60)).await, 0);
        assert_eq!(begun.elapsed(), Duration::from_secs(1), "it waits no longer than it must");
    }

    #[tokio::test]
    async fn a_reload_changes_the_limits_of_queues_that_are_in_use_and_drops_nothing() {
        let before = ServerLimits { done_queue: 4, done_queue_bytes: 4_000, ..ServerLimits::default() };
        let queue = queue(before.clone());
        let lane = queue.lane("slow");
        let held: Vec<Entry> = std::iter::from_fn(|| lane.enter(&client("a"), 1).ok()).collect();
        queue.renew(&ServerLimits { done_queue: 8, done_bytes: 1_000, done_reply_bytes: 7, ..before.clone() });
        assert!(lane.enter(&client("a"), 1).is_ok() && Arc::ptr_eq(&lane, &queue.lane("slow")));
        assert_eq!((queue.keep(&client("a"), 1_001).is_some(), queue.reply_bytes()), (false, 7));
        queue.renew(&ServerLimits { done_queue: 1, ..before });
        assert_eq!((held.len(), lane.entries.held(), lane.enter(&client("b"), 1).err()), (3, 3, Some("queue")));
        drop(held);
        assert!(lane.enter(&client("b"), 1).is_ok(), "there is room again once enough has ended");
    }

    #[tokio::test]
    async fn names_that_come_and_go_leave_no_lanes() {
        let queue = queue(ServerLimits::default());
        let busy = queue.lane("busy");
        let _held = busy.enter(&client("a"), 1);
        for name in 0..3 * LANES_MAX {
            queue.lane(&name.to_string());
        }
        assert!(queue.lanes().by_plugin.len() <= LANES_MAX && Arc::ptr_eq(&busy, &queue.lane("busy")));
    }
}
