//! A fresh hook call through our code against the same by a bare wasmtime loop: same engine settings, same component, same input.
//! Prints both times and their ratio; the ratio is the figure, for it holds on any machine. Then what it costs a call to run on a thread of the
//! guests': a conversation that is just short enough to be handed over inline against one that is not. Last, what a long conversation costs a hook that
//! reads one message of it.

#[path = "../../tests/support/components.rs"]
#[allow(dead_code, reason = "the benchmark needs one component of the many")]
mod components;
#[path = "../../tests/support/exchange.rs"]
mod exchange;
#[path = "../../tests/support/ports.rs"]
mod ports;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::chat::{Exchange, Message};
use cofferdam::sandbox::{Compiler, Hook, Limits, PluginConfig, PreOutcome, Registry, RegistryConfig, ServerLimits, Watcher};
use cofferdam::telemetry::Metrics;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, ResourceLimiter, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

mod contract {
    wasmtime::component::bindgen!({
        inline: "package bench:guest; world bare-pre {
            import cofferdam:hooks/log@0.2.0; import cofferdam:hooks/config@0.2.0; export cofferdam:hooks/pre-hook@0.2.0;
        }",
        world: "bench:guest/bare-pre",
        path: "../wit",
        imports: { default: trappable },
        exports: { default: async },
    });
}
use contract::cofferdam::hooks::{config, log, shapes as types};
use contract::exports::cofferdam::hooks::pre_hook::{Outcome, Request};

/// Calls in one round; rounds alternate between the two, so that a busy moment hits both.
const CALLS: u32 = 2_000;
const ROUNDS: usize = 15;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let bytes = components::components().bytes("noop_pre");
    let [folder, other] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let (ours, bare, [inline, apart], [short, long]) = runtime.block_on(async {
        let (registry, _watcher) = opened(folder.path(), &bytes, PluginConfig::default()).await;
        let bare = Bare::new(&bytes);
        let (mut ours_best, mut bare_best) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            ours_best = ours_best.min(ours(&registry, messages()).await.0);
            bare_best = bare_best.min(bare.round().await);
        }
        let mut places = [(Duration::MAX, Duration::MAX); 2];
        for _ in 0..ROUNDS {
            for (best, bytes) in places.iter_mut().zip([INLINE_BYTES, INLINE_BYTES + 1_024]) {
                let (wall, processor) = ours(&registry, vec![Message::text("user", "x".repeat(bytes))]).await;
                *best = (best.0.min(wall / CALLS), best.1.min(processor / CALLS));
            }
        }
        let newest = PluginConfig { reads: Some(vec!["last-user-message".into()]), ..PluginConfig::default() };
        let (registry, _watcher) = opened(other.path(), &bytes, newest).await;
        let mut lengths = [Duration::MAX; 2];
        for _ in 0..ROUNDS {
            for (best, bytes) in lengths.iter_mut().zip([1_000, 100_000]) {
                *best = (*best).min(ours(&registry, conversation(bytes)).await.0 / CALLS);
            }
        }
        (ours_best / CALLS, bare_best / CALLS, places, lengths)
    });
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    println!("sandbox: fresh noop pre-hook over two messages, best of {ROUNDS} rounds of {CALLS} calls");
    println!("sandbox: ours {:.1} us, bare wasmtime {:.1} us, ratio {ratio:.2} (limit 1.5)", us(ours), us(bare));
    println!(
        "sandbox: a hook that reads the newest message of the user: {:.1} us of 1 KB, {:.1} us of 100 KB, ratio {:.2} (limit 1.3)",
        us(short),
        us(long),
        long.as_secs_f64() / short.as_secs_f64()
    );
    println!(
        "sandbox: 64 KiB of conversation, one call after the other: inline {:.1} us ({:.1} us of processor time), on a thread of the guests' {:.1} us ({:.1} us)",
        us(inline.0),
        us(inline.1),
        us(apart.0),
        us(apart.1)
    );
}

/// A sandbox with that component and what the operator says about it.
async fn opened(folder: &Path, bytes: &[u8], entry: PluginConfig) -> (Arc<Registry>, Watcher) {
    std::fs::create_dir_all(folder.join("plugins")).expect("a folder");
    std::fs::write(folder.join("plugins/noop-pre.wasm"), bytes).expect("the component can be written");
    let setup = RegistryConfig {
        plugin_dir: folder.join("plugins"),
        cache_dir: folder.join("compiled"),
        last_good_dir: folder.join("last-good"),
        plugins: [("noop-pre".to_owned(), entry)].into(),
        limits: ServerLimits::default(),
        compiler: Compiler::InProcess,
    };
    let opened = Registry::open(setup, ports::ports(&ports::stores(folder)).await, Metrics::new()).expect("a registry");
    opened.0.loaded().await;
    opened
}

/// So many bytes of turns before the user's newest message.
fn conversation(bytes: usize) -> Vec<Message> {
    let turns = (0..bytes / 100).map(|_| Message::text("assistant", "x".repeat(100)));
    turns.chain([Message::text("user", "Write me a poem about the sea.")]).collect()
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn messages() -> Vec<Message> {
    vec![Message::text("system", "You are a helpful assistant."), Message::text("user", "Write me a poem about the sea. ".repeat(14))]
}

/// A message so long is still handed over inline.
const INLINE_BYTES: usize = (64 << 10) - 512;

/// The processor time of this process.
fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let spent =
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok());
    Duration::from_nanos(spent.sum())
}

/// The wall clock and the processor time of a round.
async fn ours(registry: &Registry, messages: Vec<Message>) -> (Duration, Duration) {
    let plugins = registry.snapshot();
    let plugin = plugins.get("noop-pre", Hook::Pre).expect("the plugin is loaded");
    let mut exchange = Exchange { messages, ..exchange::exchange("") };
    let (started, processor) = (Instant::now(), processor_time());
    for _ in 0..CALLS {
        let outcome;
        (exchange, outcome) = plugin.pre_hook(exchange, "gpt-4o").await;
        assert!(matches!(outcome, Ok(PreOutcome::Proceed)));
    }
    (started.elapsed(), processor_time() - processor)
}

/// The least that one can do with wasmtime and still be safe: fuel, a memory limit, a time limit, empty WASI.
struct Bare {
    engine: Engine,
    pre: contract::BarePrePre<State>,
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    memory: usize,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory += desired - current;
        Ok(self.memory <= 64 << 20)
    }
    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 100_000)
    }
}

impl types::Host for State {}
impl log::Host for State {
    fn write(&mut self, _: log::Level, _: String) -> wasmtime::Result<()> {
        Ok(())
    }
}
impl config::Host for State {
    fn all(&mut self) -> wasmtime::Result<String> {
        Ok("{}".into())
    }
    fn get(&mut self, _: String) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl Bare {
    fn new(bytes: &[u8]) -> Arc<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(16 << 20).table_keep_resident(1 << 20).pagemap_scan(Enabled::Auto);
        pool.total_component_instances(256).total_core_instances(2048).total_memories(768).total_tables(1024).total_stacks(256);
        pool.max_memory_size(1 << 30).table_elements(1 << 20).max_tables_per_module(8).max_memories_per_module(4);
        let mut config = Config::new();
        config.cranelift_opt_level(OptLevel::Speed).consume_fuel(true).concurrency_support(false);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).expect("an engine");
        let component = Component::from_binary(&engine, bytes).expect("a component");
        component.initialize_copy_on_write_image().expect("an image");
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("WASI");
        contract::BarePre::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut State| state).expect("imports");
        let pre = contract::BarePrePre::new(linker.instantiate_pre(&component).expect("links")).expect("a pre-hook");
        Arc::new(Self { engine, pre })
    }

    async fn round(&self) -> Duration {
        let started = Instant::now();
        for _ in 0..CALLS {
            tokio::time::timeout(Duration::from_millis(500), self.call()).await.expect("in time");
        }
        started.elapsed()
    }

    async fn call(&self) {
        let state = State { wasi: WasiCtx::builder().build(), table: ResourceTable::new(), memory: 0 };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| state);
        store.set_fuel(Limits::default().fuel).expect("fuel");
        store.fuel_async_yield_interval(Some(200_000)).expect("fuel");
        let instance = self.pre.instantiate_async(&mut store).await.expect("instantiates");
        let outcome = instance.cofferdam_hooks_pre_hook().call_on_request(&mut store, &request()).await.expect("no trap");
        assert!(matches!(outcome, Ok(Outcome::Proceed(_))));
    }
}

fn request() -> Request {
    let message = |role: &str, text: String| types::Message {
        role: role.into(),
        content: vec![types::Part::Text(types::TextPart { text, extra: Vec::new() })],
        tool_calls: Vec::new(),
        tool_call_id: None,
        name: None,
        extra: Vec::new(),
    };
    Request {
        context: types::Context {
            request_id: "bench".into(),
            pipeline: "bench".into(),
            caller: None,
            streamed: false,
            attempt: 0,
            deadline_ms: 600_000,
        },
        model: "gpt-4o".into(),
        messages: vec![
            message("system", "You are a helpful assistant.".into()),
            message("user", "Write me a poem about the sea. ".repeat(14)),
        ],
        params: Vec::new(),
        metadata: Vec::new(),
    }
}
