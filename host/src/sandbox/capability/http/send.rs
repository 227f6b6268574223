//! `send` and `send-all` of the contract, for one plugin. A guest waits on the clock of waiting, and dropping its call hangs up on whoever it asked.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::way::Way;
use crate::outbound::{self, Error};
use crate::sandbox::bindings::cofferdam::hooks::http::{Header, Request, Response};
use crate::sandbox::bindings::types::{Data, Failure};
use crate::sandbox::env::CallEnv;

/// What a component imports to have it.
pub(in crate::sandbox) const INTERFACE: &str = "cofferdam:hooks/http@0.2.0";

type Sent = Result<Response, Failure>;

/// Adds its functions, for a plugin that was granted them.
pub(in crate::sandbox) fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    way: Arc<Way>,
    env: fn(&T) -> &Arc<CallEnv>,
) -> wasmtime::Result<()> {
    let ways = way.clone();
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap_async("send", move |store: StoreContextMut<'_, T>, (request,): (Request,)| {
        let (way, env) = (way.clone(), env(store.data()).clone());
        Box::new(async move { Ok((env.clocks.waiting(send(way, env.clone(), request)).await,)) })
    })?;
    interface.func_wrap_async("send-all", move |store: StoreContextMut<'_, T>, (requests,): (Vec<Request>,)| {
        let (way, env) = (ways.clone(), env(store.data()).clone());
        Box::new(async move {
            let at_once = way.rules().connections;
            let of = env.clone();
            // Made one by one as places come free: a guest may name thousands.
            let sends =
                stream::iter(requests).map(move |request| -> BoxFuture<'static, Sent> { Box::pin(send(way.clone(), of.clone(), request)) });
            let all: Vec<Sent> = env.clocks.waiting(sends.buffered(at_once).collect()).await;
            Ok((all,))
        })
    })
}

async fn send(way: Arc<Way>, env: Arc<CallEnv>, request: Request) -> Sent {
    let Some(calls) = &env.http_calls else {
        return Err(Failure::Unavailable("other servers are asked for the sake of an exchange, and `describe` has none".into()));
    };
    let request = match asked(request) {
        Ok(request) => request,
        Err(why) => return Err(Failure::Invalid(why)),
    };
    let sent = way.send(&env, calls, way.places.wait(&env.client, 1), request).await;
    sent.map(answered).map_err(failure)
}

fn asked(Request { method, url, headers, body, timeout_ms }: Request) -> Result<outbound::Request, String> {
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
    Ok(outbound::Request { method, url, headers, body, time })
}

fn answered(outbound::Response { status, headers, body }: outbound::Response) -> Response {
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
