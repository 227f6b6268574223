//! What one call's store holds, and the only place that makes such a store.
//! Deny-all WASI: no files, sockets, environment or arguments; output goes to the plugin's log. Must not know hooks.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::hostcalls::config::ConfigText;
use super::hostcalls::log::Log;
use super::limiter::{Budget, Limiter};
use super::watch::HostcallWatch;
use super::{Limits, output};

/// Operators between two looks at the clock and at other tasks: a fraction of a millisecond.
const FUEL_YIELD: u64 = 200_000;
/// Resources that a call may hold open; hooks need a few streams.
const HANDLES_MAX: usize = 1_000;
/// Bytes of random numbers per request of a guest.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// A store's data.
pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) limiter: Limiter,
    pub(super) log: Log,
    pub(super) config: Arc<ConfigText>,
}

/// A fresh store for one call under `limits`.
pub(super) fn store(
    engine: &Engine,
    budget: &Arc<Budget>,
    limits: &Limits,
    log: Log,
    config: Arc<ConfigText>,
) -> wasmtime::Result<Store<State>> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    let wasi = WasiCtx::builder()
        .stdout(output::Lines::new(log.clone()))
        .stderr(output::Lines::new(log.clone()))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM_BYTES_MAX)
        .build();
    let limiter = Limiter::new(limits.memory, limits.table_elements, budget.clone());
    let mut store = Store::new(engine, State { wasi, table, limiter, log, config });
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(limits.output);
    store.call_hook_async(HostcallWatch::new(limits));
    store.set_max_component_handles(HANDLES_MAX);
    // Before instantiation: start functions run on it too.
    store.set_fuel(limits.fuel)?;
    store.fuel_async_yield_interval(Some(FUEL_YIELD))?;
    Ok(store)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
