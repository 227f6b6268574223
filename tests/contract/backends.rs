//! The backends, and what a suite needs of one. A new backend is one `impl Backend` and one line in `on_every_backend`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cofferdam::rag::Precisions;
use cofferdam::sandbox::kv::{KvLimits, UnixClock};
use cofferdam::storage::{Stores, sqlite};

/// A place of its own for a backend's data, which outlives the stores that are opened over it.
pub(super) trait Backend: Sized {
    /// A place that holds nothing yet.
    async fn fresh() -> Self;

    /// The stores over what the place holds, as a process finds them when it starts. A test that opens them again has dropped the old ones,
    /// as one process ends before the next one begins.
    async fn open(&self) -> Stores {
        self.open_with(KvLimits::default(), Time::default().clock()).await
    }

    /// The same, with other limits of what plugins may keep, and another clock.
    async fn open_with(&self, limits: KvLimits, clock: UnixClock) -> Stores;
}

/// A time that a test moves.
#[derive(Clone)]
pub(super) struct Time(Arc<AtomicU64>);

impl Default for Time {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1_764_000_000)))
    }
}

impl Time {
    pub(super) fn clock(&self) -> UnixClock {
        let seconds = self.0.clone();
        Arc::new(move || Duration::from_secs(seconds.load(Ordering::Relaxed)))
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

/// SQLite and usearch, on the disk.
pub(super) struct Sqlite {
    folder: tempfile::TempDir,
}

impl Backend for Sqlite {
    async fn fresh() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    async fn open_with(&self, limits: KvLimits, clock: UnixClock) -> Stores {
        let path = self.folder.path().join("data/cofferdam.db");
        sqlite::open_with(&path, limits, clock, Precisions::default()).expect("the database opens")
    }
}

/// Makes each function of a suite a test of each backend.
macro_rules! on_every_backend {
    ($($test:ident),* $(,)?) => {
        suite!(sqlite: $crate::contract::backends::Sqlite, $($test),*);
    };
}

macro_rules! suite {
    ($name:ident: $backend:path, $($test:ident),*) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    use $crate::contract::backends::Backend;
                    super::$test(<$backend>::fresh().await).await;
                }
            )*
        }
    };
}
