//! What one call's store holds, and the only place that makes such a store.
//! A store serves one call: nothing of a guest is left when it is dropped.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use wasmtime::component::ResourceTable;
use wasmtime::{CallHook, CallHookHandler, Engine, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::Limits;
use super::env::CallEnv;
use super::limiter::{Budget, Limiter};
use super::ticker::TURN_MIN;
use super::wasi;
use super::wasi_http::WasiHttp;

/// Operators of one turn: some hundred microseconds. A single operator that costs more, as to fill a memory does, is begun in a turn of its own.
const FUEL_PER_TURN: u64 = 500_000;
/// Resources that a call may hold open; hooks need a few streams.
const HANDLES_MAX: usize = 1_000;

/// A store's data.
pub(super) struct State {
    /// Made when the guest first asks for something of WASI, which most hooks never do.
    wasi: Option<WasiCtx>,
    table: ResourceTable,
    http: WasiHttp,
    pub(super) limiter: Limiter,
    pub(super) env: Arc<CallEnv>,
}

/// A fresh store for one call.
pub(super) fn store(engine: &Engine, budget: &Arc<Budget>, env: Arc<CallEnv>) -> wasmtime::Result<Store<State>> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    let limits = env.limits;
    let limiter = Limiter::new(limits.memory, limits.table_elements, budget.clone());
    let mut store = Store::new(engine, State { wasi: None, table, http: WasiHttp::new(), limiter, env });
    store.limiter(|state| &mut state.limiter);
    store.call_hook_async(HostcallWatch { hostcall_bytes: limits.hostcall_bytes, output: limits.output });
    store.set_max_component_handles(HANDLES_MAX);
    store.fuel_async_yield_interval(Some(FUEL_PER_TURN))?;
    // Before instantiation: start functions run on it too.
    refill(&mut store, &limits)?;
    store.epoch_deadline_callback(|context| {
        let lasts = context.data().env.clocks.turn_lasts();
        Ok(if lasts < TURN_MIN { UpdateDeadline::Continue(1) } else { UpdateDeadline::Yield(1) })
    });
    Ok(store)
}

/// Gives the store what one call may use, at its beginning and before each further call of an instance that stays.
pub(super) fn refill(store: &mut Store<State>, limits: &Limits) -> wasmtime::Result<()> {
    store.set_fuel(limits.fuel)?;
    store.set_hostcall_fuel(limits.output);
    store.set_epoch_deadline(1);
    Ok(())
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self { wasi, table, env, .. } = self;
        WasiCtxView { ctx: wasi.get_or_insert_with(|| wasi::context(env)), table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http.view(&mut self.table)
    }
}

/// Looks at every host call: they cost no fuel, so without it a guest that only calls the host would never yield. It bounds the bytes that
/// one host call is handed, and ends a turn that has lasted long enough, by the clock: one call may take as long as thousands.
struct HostcallWatch {
    hostcall_bytes: usize,
    output: usize,
}

type Handled<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send + 'a>>;

/// The trait's async function, written out: as `async`, each of the dozens of events of a call would allocate a future.
impl CallHookHandler<State> for HostcallWatch {
    fn handle_call_event<'watch, 'store, 'event>(
        &'watch self,
        mut store: StoreContextMut<'store, State>,
        event: CallHook,
    ) -> Handled<'event>
    where
        'watch: 'event,
        'store: 'event,
        Self: 'event,
    {
        match event {
            CallHook::CallingHost => {
                store.set_hostcall_fuel(self.hostcall_bytes);
                if store.data().env.clocks.turn_is_long() {
                    return Box::pin(async {
                        next_turn().await;
                        Ok(())
                    });
                }
            }
            // What comes next from the guest may be its result.
            CallHook::ReturningFromHost => store.set_hostcall_fuel(self.output),
            CallHook::CallingWasm | CallHook::ReturningFromWasm => {}
        }
        Box::pin(Done)
    }
}

/// Ends the turn: ready when polled again, and polled again at once.
pub(super) async fn next_turn() {
    let mut ended = false;
    poll_fn(|context| {
        if std::mem::replace(&mut ended, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A future that is over. It has no size, so that boxing it allocates nothing.
struct Done;

impl Future for Done {
    type Output = wasmtime::Result<()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}
