//! Compiling is a child's work, and its processor time and memory are limited: by a component that is nothing but work.

use std::path::PathBuf;
use std::time::Duration;

use cofferdam::sandbox::{Compiler, Registry, RegistryConfig, ServerLimits};
use cofferdam::telemetry::Metrics;

use crate::components::components;
use crate::ports::{ports, stores};

/// A number in sevens of bits.
pub(crate) fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

/// Bytes behind their length.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    [&leb(bytes.len()), bytes].concat()
}

/// A section of so many entries.
pub(crate) fn section(id: u8, entries: usize, bytes: &[u8]) -> Vec<u8> {
    [vec![id], sized(&[&leb(entries), bytes].concat())].concat()
}

/// A component that holds one core module with so many functions, each a kilobyte of arithmetic and branches on its parameter.
pub(crate) fn heavy(functions: usize) -> Vec<u8> {
    // block; local.get 0; i32.const 7; i32.mul; local.tee 0; br_if 0; local.get 0; i32.const 3; i32.rem_u; local.set 0; end
    let round = [0x02, 0x40, 0x20, 0, 0x41, 7, 0x6c, 0x22, 0, 0x0d, 0, 0x20, 0, 0x41, 3, 0x70, 0x21, 0, 0x0b];
    let function = sized(&[&[0][..], &round.repeat(54), &[0x20, 0, 0x0b]].concat());
    let one_type = [0x60, 1, 0x7f, 1, 0x7f];
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, 1, &one_type),
        section(3, functions, &vec![0; functions]),
        section(10, functions, &function.repeat(functions)),
    ]
    .concat();
    // An instance of nothing, exported as the hook's interface, so that nothing but the compiler finds a fault.
    let hook = b"cofferdam:hooks/pre-hook@0.2.0";
    let export = [&[0][..], &leb(hook.len()), hook, &[5, 0, 0]].concat();
    [b"\0asm\x0d\0\x01\0\x01".to_vec(), sized(&module), section(5, 1, &[1, 0]), section(11, 1, &export)].concat()
}

/// What becomes of the component under those limits: its state, and why it was refused.
async fn loaded(bytes: &[u8], limits: ServerLimits) -> (&'static str, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = RegistryConfig {
        plugin_dir: folder.path().join("plugins"),
        cache_dir: folder.path().join("compiled"),
        last_good_dir: folder.path().join("last-good"),
        plugins: Default::default(),
        limits: ServerLimits { calls: 4, ..limits },
        compiler: Compiler::Child(PathBuf::from(env!("CARGO_BIN_EXE_cofferdam"))),
    };
    std::fs::create_dir(&setup.plugin_dir).expect("a folder");
    std::fs::write(setup.plugin_dir.join("it.wasm"), bytes).expect("written");
    let (registry, _watcher) = Registry::open(setup, ports(&stores(folder.path())).await, Metrics::new()).expect("a registry");
    registry.loaded().await;
    let status = registry.status();
    let left = std::fs::read_dir(folder.path().join("compiled")).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".compiling-")).collect();
    assert!(left.is_empty(), "nothing half compiled is left: {left:?}");
    (status[0].state, status[0].reason.clone().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn compiling_within_its_limits_works() {
    let (state, reason) = loaded(&components().bytes("bare"), ServerLimits::default()).await;
    assert_eq!((state, reason.as_str()), ("live", ""));
    let (state, reason) = loaded(&heavy(10), ServerLimits::default()).await;
    assert!(state == "refused" && reason.contains("it has no function `on-request`"), "it compiles, and is no plugin: {reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compiling_takes_no_more_processor_time_than_allowed() {
    let (state, reason) = loaded(&heavy(20_000), ServerLimits { compile_time: Duration::from_secs(1), ..ServerLimits::default() }).await;
    assert!(state == "refused" && reason.contains("limits.plugins.compile_time"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compiling_takes_no_more_memory_than_allowed() {
    let (state, reason) = loaded(&heavy(8_000), ServerLimits { compile_memory: 24 << 20, ..ServerLimits::default() }).await;
    assert!(state == "refused" && reason.contains("compile_memory"), "{reason}");
}
