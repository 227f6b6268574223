//! The one engine, set up the same for serving and for the compile child, so that compiled code fits both.
//! Every setting has its reason here.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// Bytes of linear memory that one slot of the pool may grow to; no plugin's own limit may be larger.
pub const MEMORY_BYTES_MAX: usize = 1 << 30;
/// Table elements that one table may hold; no plugin's own limit may be larger.
pub const TABLE_ELEMENTS_MAX: usize = 1 << 18;

/// Core instances, memories and tables that one component may hold: interpreters need a dozen, three and a few. The pool has
/// these for every call, so that no component can take another's.
const CORE_INSTANCES: u32 = 64;
const MEMORIES: u32 = 4;
const TABLES: u32 = 16;

/// Wasm stack of one call; deeper recursion is a fault. wasmtime's default, proven by its users.
const STACK_BYTES: usize = 512 << 10;
/// Stack of a call's fiber: the wasm stack, and on top of it what host functions need.
const FIBER_STACK_BYTES: usize = 2 << 20;
/// Memory that a freed slot keeps mapped, so that its next call has no page faults. After a burst every slot that it used keeps this much.
const KEEP_RESIDENT_BYTES: usize = 2 << 20;
/// Without the kernel's page-map scan, all memory that is kept is cleared on each drop, so little is kept.
const KEEP_RESIDENT_BYTES_WITHOUT_SCAN: usize = 64 << 10;

/// Builds the engine with a pool for `calls` instances at once, those of stream hooks included.
///
/// # Errors
/// This machine cannot run it, e.g. because there is no address space for a single slot.
pub(super) fn engine(calls: u32) -> wasmtime::Result<Engine> {
    match Engine::new(&config(Some(calls))) {
        Ok(engine) => Ok(engine),
        // In containers with little address space each call is slower, but it works. Compiled code is the same for both.
        Err(error) => {
            tracing::warn!(%error, "no address space for a pool of instances; every call allocates its own memory");
            Engine::new(&config(None))
        }
    }
}

fn config(pool: Option<u32>) -> Config {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed);
    config.consume_fuel(true);
    // Fuel bounds what a guest does, and this how long a turn of it lasts; `ticker` moves the epoch.
    config.epoch_interruption(true);
    // The contract is synchronous. Without this, guests reach less of the runtime's code, and a call takes two microseconds less.
    config.concurrency_support(false);
    config.wasm_memory64(false);
    // Deterministic results on every machine.
    config.relaxed_simd_deterministic(true);
    config.max_wasm_stack(STACK_BYTES);
    // A trap's frames carry names that the guest chose: up to 100 KB each, for nothing that its reason does not say.
    config.wasm_backtrace_max_frames(None);
    config.async_stack_size(FIBER_STACK_BYTES);
    // Python's memory image is larger than the 16 MiB default.
    config.memory_guaranteed_dense_image_size(64 << 20);
    if let Some(calls) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(slots(calls)));
    }
    config
}

fn slots(calls: u32) -> PoolingAllocationConfig {
    let keep = if has_pagemap_scan() { KEEP_RESIDENT_BYTES } else { KEEP_RESIDENT_BYTES_WITHOUT_SCAN };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls);
    pool.total_core_instances(calls.saturating_mul(CORE_INSTANCES));
    pool.total_memories(calls.saturating_mul(MEMORIES));
    pool.total_tables(calls.saturating_mul(TABLES));
    pool.total_stacks(calls);
    pool.max_core_instances_per_component(CORE_INSTANCES);
    pool.max_memories_per_component(MEMORIES);
    pool.max_tables_per_component(TABLES);
    pool.max_tables_per_module(TABLES);
    pool.max_memories_per_module(MEMORIES);
    pool.max_core_instance_size(4 << 20);
    pool.max_component_instance_size(4 << 20);
    pool.max_memory_size(MEMORY_BYTES_MAX);
    pool.table_elements(TABLE_ELEMENTS_MAX);
    pool.linear_memory_keep_resident(keep);
    pool.table_keep_resident(keep / 16);
    pool.pagemap_scan(Enabled::Auto);
    pool
}

/// `PAGEMAP_SCAN` came with Linux 6.7.
fn has_pagemap_scan() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(7))
}
