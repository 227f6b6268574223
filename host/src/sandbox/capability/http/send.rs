//! `send` and `send-all` of the contract, for one plugin. A guest waits on the clock of waiting, and dropping its call hangs up on whoever it asked.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::outbound::{self, Error, Guard, Held};
use crate::sandbox::bindings::cofferdam::hooks::http::{Header, Request, Response};
use crate::sandbox::bindings::log::Level;
use crate::sandbox::bindings::types::{Data, Failure};
use crate::sandbox::capability::outcome;
use crate::sandbox::env::CallEnv;
use crate::sandbox::store::next_turn;

/// What a component imports to have it.
pub(in crate::sandbox) const INTERFACE: &str = "cofferdam:hooks/http@0.2.0";

type Sent = Result<Response, Failure>;

/// Adds its functions, for a plugin that was granted them.
pub(in crate::sandbox) fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    guard: Arc<Guard>,
    env: fn(&T) -> &Arc<CallEnv>,
) -> wasmtime::Result<()> {
    let guards = guard.clone();
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap_async("send", move |store: StoreContextMut<'_, T>, (request,): (Request,)| {
        let (guard, env) = (guard.clone(), env(store.data()).clone());
        Box::new(async move {
            let (sent, _held) = env.clocks.waiting(send(guard, env.clone(), request)).await;
            Ok((sent,))
        })
    })?;
    interface.func_wrap_async("send-all", move |store: StoreContextMut<'_, T>, (requests,): (Vec<Request>,)| {
        let (guard, env) = (guards.clone(), env(store.data()).clone());
        Box::new(async move {
            let at_once = guard.rules().connections;
            let of = env.clone();
            // Made one by one as places come free: a guest may name thousands.
            let sends = stream::iter(requests)
                .map(move |request| -> BoxFuture<'static, (Sent, Held)> { Box::pin(send(guard.clone(), of.clone(), request)) });
            // What the first replies hold is held until the last one is there, for so long they are.
            let (all, _held): (Vec<Sent>, Vec<Held>) = env.clocks.waiting(sends.buffered(at_once).unzip()).await;
            Ok((all,))
        })
    })
}

/// One request, and what its reply holds of the memory of all.
async fn send(guard: Arc<Guard>, env: Arc<CallEnv>, request: Request) -> (Sent, Held) {
    let (sent, held) = match sent(&guard, &env, request).await {
        Ok(response) => {
            let held = response.held.clone();
            (Ok(answered(response)), held)
        }
        Err(failure) => (Err(failure), Held::default()),
    };
    env.figures.host_call("http", outcome::word(&sent));
    // A guest may name thousands of requests that are refused at once.
    if env.clocks.turn_is_long() {
        next_turn().await;
    }
    (sent, held)
}

async fn sent(guard: &Guard, env: &CallEnv, request: Request) -> Result<outbound::Response, Failure> {
    // Other servers are asked for the sake of an exchange, and `describe` has none.
    let refused = || Failure::Denied(format!("`{}` may not use `http`; use it in a hook", env.hook.word()));
    let calls = env.http_calls.as_ref().ok_or_else(refused)?;
    let request = asked(request, env).map_err(Failure::Invalid)?;
    let sent = guard.send(calls, guard.place(&env.client), request).await;
    if let Err(Error::Denied(why)) = &sent {
        // The operator decides about it, and reads this; what the plugin makes of it is not known.
        env.tell(Level::Warn, &format!("a request was not sent: {why}"));
    }
    sent.map_err(failure)
}

fn asked(Request { method, url, headers, body, timeout_ms }: Request, env: &CallEnv) -> Result<outbound::Request, String> {
    let time = match timeout_ms {
        Some(0) => return Err("`timeout-ms` is 0, which is no time at all".into()),
        Some(ms) => Some(std::time::Duration::from_millis(ms.into())),
        None => None,
    };
    let body = match body {
        Data::Text(text) => text.into_bytes(),
        Data::Bytes(bytes) => bytes,
    };
    let headers = headers.into_iter().map(|Header { name, value }| (name, value)).collect();
    Ok(outbound::Request { method, url, headers, body, time, settings: env.settings.clone() })
}

fn answered(outbound::Response { status, headers, body, .. }: outbound::Response) -> Response {
    let headers = headers.into_iter().map(|(name, value)| Header { name, value }).collect();
    let body = String::from_utf8(body).map_or_else(|error| Data::Bytes(error.into_bytes()), Data::Text);
    Response { status, headers, body }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Denied(why) => Failure::Denied(why),
        Error::Exhausted(why) => Failure::Exhausted(why),
        Error::Timeout(why) => Failure::Timeout(why),
        Error::Invalid(why) => Failure::Invalid(why),
        Error::Unreachable(why) => Failure::Unavailable(why),
    }
}
