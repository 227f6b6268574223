//! What plugins cost that go along with streams, keep something, or ask another server, and how fast a server with many of them is back. Every
//! figure stands beside what the same would cost without a plugin, in the same run, or is what one of many steps costs.

#[path = "../../tests/support/components.rs"]
#[allow(dead_code, reason = "the benchmark needs few components of the many")]
mod components;
#[path = "../../tests/support/exchange.rs"]
mod exchange;
#[path = "../../tests/support/ports.rs"]
mod ports;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::chat::{Delta, Exchange, Piece};
use cofferdam::sandbox::{
    Compiler, Grants, Hook, Limits, Outside, Plugin, PluginConfig, Ports, PreOutcome, Registry, RegistryConfig, ServerLimits, Step, Watcher,
};
use cofferdam::telemetry::Metrics;
use exchange::exchange;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ROUNDS: usize = 10;
/// Calls, or replies, of one round.
const CALLS: u32 = 500;
/// Deltas of one reply that come alone, and of each of its bursts.
const DELTAS: u32 = 60;
const BURSTS: u32 = 4;
/// Plugins of the server that starts again.
const PLUGINS: usize = 100;
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        streams().await;
        increments().await;
        requests().await;
        restart().await;
    });
}

/// Plugins and what they keep, in a folder.
struct House {
    registry: Arc<Registry>,
    _watcher: Watcher,
    _folder: tempfile::TempDir,
}

impl House {
    async fn with(guest: &str, grants: &[(&str, Value)]) -> Self {
        Self::of(&guest.replace('_', "-"), &components::components().bytes(guest), grants).await
    }

    async fn of(name: &str, bytes: &[u8], grants: &[(&str, Value)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("plugins")).expect("a folder");
        std::fs::write(folder.path().join(format!("plugins/{name}.wasm")), bytes).expect("the component can be written");
        let mut granted = Grants::default();
        grants.iter().for_each(|(name, grant)| granted.insert((*name).into(), grant.clone()));
        let limits = Limits { time: Duration::from_secs(60), ..Limits::default() };
        let config = PluginConfig { grants: granted, limits, ..PluginConfig::default() };
        let (registry, watcher) = open(folder.path(), [(name.to_owned(), config)].into()).await;
        Self { registry, _watcher: watcher, _folder: folder }
    }

    fn plugin(&self, name: &str, hook: Hook) -> Arc<Plugin> {
        self.registry.snapshot().get(name, hook).expect("the plugin is loaded").clone()
    }
}

async fn open(folder: &Path, plugins: std::collections::BTreeMap<String, PluginConfig>) -> (Arc<Registry>, Watcher) {
    let setup = RegistryConfig {
        plugin_dir: folder.join("plugins"),
        cache_dir: folder.join("compiled"),
        last_good_dir: folder.join("last-good"),
        plugins,
        limits: ServerLimits::default(),
        compiler: Compiler::InProcess,
    };
    let outside = Outside::network(Arc::new(|_| Err("is not set".into())));
    let ports = Ports { outside, ..ports::ports(&ports::stores(folder)).await };
    let opened = Registry::open(setup, ports, Metrics::new()).expect("a registry");
    opened.0.loaded().await;
    opened
}

/// Transforming hooks that give back what they get: bursts of sixty deltas that arrived together, and sixty that came alone. The one in Rust is always
/// there; those of `host/benches/streams/build.sh` are measured if `COFFERDAM_BENCH_COMPONENTS` names the folder where it put them.
async fn streams() {
    stream("Rust", "noop-stream", House::with("noop_stream", &[]).await, [2, 25]).await;
    let Some(folder) = std::env::var_os("COFFERDAM_BENCH_COMPONENTS") else {
        println!("platform: stream hooks in other languages: skipped, COFFERDAM_BENCH_COMPONENTS is not set");
        return;
    };
    for (language, name, limits) in
        [("QuickJS", "quickjs", [10, 20]), ("Python", "python", [8, 20]), ("SpiderMonkey", "spidermonkey", [25, 60])]
    {
        let Ok(bytes) = std::fs::read(Path::new(&folder).join(format!("{name}.wasm"))) else {
            println!("platform: a stream hook in {language}: skipped, build.sh has not made it");
            continue;
        };
        stream(language, name, House::of(name, &bytes, &[]).await, limits).await;
    }
}

/// The limits are of a delta among many and of one alone, in microseconds.
async fn stream(language: &str, name: &str, house: House, limits: [u32; 2]) {
    let plugin = house.plugin(name, Hook::Stream);
    let exchange = Exchange { stream: true, ..exchange("hello") };
    let delta = || Delta::Piece { choice: 0, piece: Piece::Text(" word".into()) };
    let [mut together, mut alone, mut opened, mut first] = [Duration::MAX; 4];
    for _ in 0..ROUNDS {
        let [mut open, mut many, mut single, mut begun] = [Duration::ZERO; 4];
        for _ in 0..CALLS / 10 {
            let started = Instant::now();
            let place = plugin.stream_place(&exchange).await.expect("a place");
            let mut hook = plugin.open_stream(place, &exchange, "m").await.expect("it opens").expect("it goes along");
            open += started.elapsed();
            // The first delta of a reply pays for the pages that the guest writes to.
            let started = Instant::now();
            assert!(hook.push(vec![delta()]).await.step.is_ok());
            begun += started.elapsed();
            let started = Instant::now();
            for _ in 0..BURSTS {
                let pushed = hook.push((0..DELTAS).map(|_| delta()).collect()).await;
                assert!(matches!(pushed.step, Ok(Step::Emit(list)) if list.len() == DELTAS as usize));
            }
            many += started.elapsed();
            let started = Instant::now();
            for _ in 0..DELTAS {
                assert!(hook.push(vec![delta()]).await.step.is_ok());
            }
            single += started.elapsed();
        }
        (opened, first, together, alone) = (opened.min(open), first.min(begun), together.min(many), alone.min(single));
    }
    let replies = CALLS / 10;
    println!(
        "platform: a stream hook in {language} takes {:.2} us a delta when {DELTAS} arrive together (limit {}), {:.1} us for one alone (limit {}), {:.1} us for the first, {:.0} us to open",
        us(together / replies / BURSTS / DELTAS),
        limits[0],
        us(alone / replies / DELTAS),
        limits[1],
        us(first / replies),
        us(opened / replies)
    );
}

/// A relaxed increment: a call that makes one against one that makes none.
async fn increments() {
    let house = House::with("keeper", &[("kv", json!({}))]).await;
    let plugin = house.plugin("keeper", Hook::Pre);
    let (with, without) = compared(&plugin, "add plugin n 1", "none").await;
    println!(
        "platform: a relaxed increment takes {:.1} us (limit 15), in a call of {:.1} us",
        us(with.saturating_sub(without)),
        us(without)
    );
}

/// One request to a server on this machine, which keeps its connections unless the path is `/close`: through a plugin and the guard, and the
/// same bytes by the host itself, over a connection each and over one for all.
async fn requests() {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = server.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = server.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                while let Ok(1..) = client.read(&mut request).await {
                    let _ = client.write_all(ANSWER.as_bytes()).await;
                    if request.starts_with(b"GET /close") {
                        break;
                    }
                }
            });
        }
    });
    let grant = json!({"hosts": [address.ip().to_string()], "ports": [address.port()], "plain": true, "private": true});
    let house = House::with("http_asker", &[("http", grant)]).await;
    let plugin = house.plugin("http-asker", Hook::Pre);
    let (mut own, mut kept) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..CALLS {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            ask(&mut stream, "/close").await;
        }
        own = own.min(started.elapsed() / CALLS);
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let started = Instant::now();
        for _ in 0..CALLS {
            ask(&mut stream, "/").await;
        }
        kept = kept.min(started.elapsed() / CALLS);
    }
    let [asked, closed] = ["", "close"].map(|path| format!("GET http://{address}/{path}"));
    for asked in [&asked, &closed] {
        let (_, outcome) = plugin.pre_hook(exchange(asked), "m").await;
        assert!(matches!(&outcome, Ok(PreOutcome::Respond(message)) if message.joined_text().starts_with("200")), "{outcome:?}");
    }
    let (with, without) = compared(&plugin, &asked, "pass").await;
    let (closing, _) = compared(&plugin, &closed, "pass").await;
    let (sent, closing) = (with.saturating_sub(without), closing.saturating_sub(without));
    println!(
        "platform: http.send takes {:.0} us, and {:.0} us if the server hangs up after each reply; the host's own bytes {:.0} us over a \
         connection each and {:.0} us over one, so {:.2} times the former (limit 1.5), {:.2} without keeping, and {:.2} times the latter",
        us(sent),
        us(closing),
        us(own),
        us(kept),
        sent.as_secs_f64() / own.as_secs_f64(),
        closing.as_secs_f64() / own.as_secs_f64(),
        sent.as_secs_f64() / kept.as_secs_f64(),
    );
}

/// One request of the host's own.
async fn ask(stream: &mut TcpStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0);
    }
}

/// The least time of a call with each of the two texts, in turns.
async fn compared(plugin: &Plugin, one: &str, other: &str) -> (Duration, Duration) {
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        for (best, text) in best.iter_mut().zip([one, other]) {
            let started = Instant::now();
            for _ in 0..CALLS {
                // Another one each time: what a plugin may ask of other servers is so much for each exchange.
                let (_, outcome) = plugin.pre_hook(exchange(text), "m").await;
                assert!(outcome.is_ok());
            }
            *best = (*best).min(started.elapsed() / CALLS);
        }
    }
    (best[0], best[1])
}

/// A server whose plugins are all compiled already.
async fn restart() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("plugins")).expect("a folder");
    let bytes = components::components().bytes("bare");
    for at in 0..PLUGINS {
        // A custom section, so that each is a component of its own.
        let name = format!("n{at:03}");
        let section = [&[0, name.len() as u8 + 1, name.len() as u8][..], name.as_bytes()].concat();
        std::fs::write(folder.path().join(format!("plugins/p{at}.wasm")), [bytes.clone(), section].concat()).expect("written");
    }
    let started = Instant::now();
    let (registry, watcher) = open(folder.path(), Default::default()).await;
    let first = started.elapsed();
    assert!(registry.status().iter().all(|plugin| plugin.state == "live"), "{:?}", registry.status().first());
    watcher.stop().await;
    drop(registry);
    let started = Instant::now();
    let (_registry, _watcher) = open(folder.path(), Default::default()).await;
    println!(
        "platform: {PLUGINS} plugins are there after {:.2} s when they are compiled already (limit 1), {:.1} s the first time",
        started.elapsed().as_secs_f64(),
        first.as_secs_f64()
    );
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
