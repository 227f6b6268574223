//! A look at every hostcall: hostcalls cost no fuel, so without it a guest that only calls the host would never yield or end.
//! Bounds the bytes of one hostcall, lets other tasks run now and then, ends the call when its time is over. Must not know hooks.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::{CallHook, CallHookHandler, StoreContextMut};

use super::state::State;
use super::{Exhausted, Limits};

/// Hostcalls between two chances for other tasks: the longest takes a fraction of a millisecond.
const HOSTCALLS_PER_YIELD: u32 = 16;

pub(super) struct HostcallWatch {
    hostcall_bytes: usize,
    output: usize,
    time: Duration,
    end: Instant,
    hostcalls: AtomicU32,
}

impl HostcallWatch {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            hostcall_bytes: limits.hostcall_bytes,
            output: limits.output,
            time: limits.time,
            end: Instant::now() + limits.time,
            hostcalls: AtomicU32::new(0),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl CallHookHandler<State> for HostcallWatch {
    async fn handle_call_event(&self, mut store: StoreContextMut<'_, State>, event: CallHook) -> wasmtime::Result<()> {
        match event {
            CallHook::CallingHost => {
                let count = self.hostcalls.fetch_add(1, Ordering::Relaxed) + 1;
                if count.is_multiple_of(HOSTCALLS_PER_YIELD) {
                    tokio::task::yield_now().await;
                    if Instant::now() > self.end {
                        return Err(Exhausted::Time(self.time).into());
                    }
                }
                store.set_hostcall_fuel(self.hostcall_bytes);
            }
            // What comes next from the guest may be its result.
            CallHook::ReturningFromHost => store.set_hostcall_fuel(self.output),
            CallHook::CallingWasm | CallHook::ReturningFromWasm => {}
        }
        Ok(())
    }
}
