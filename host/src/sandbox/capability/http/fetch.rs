//! `wasi:http/outgoing-handler`, as `fetch` of JavaScript and other languages' clients import it, for one plugin. A request goes the way of `send`:
//! the body is taken whole, within the grant's bytes, and the reply is whole when the guest gets it. The guest may go on meanwhile; what it sleeps
//! until the reply is there counts as waiting.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::oneshot;
use tokio::time::timeout;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::outbound::{self, Guard};
use crate::sandbox::bindings::log::Level;
use crate::sandbox::env::CallEnv;
use crate::sandbox::wasi_http::Sent;

/// What a component imports to have it, in any patch.
pub(in crate::sandbox) const INTERFACE: &str = "wasi:http/outgoing-handler@0.2.0";

type Handled = Result<Resource<HostFutureIncomingResponse>, ErrorCode>;
type Response = http::Response<WasiBody>;

/// Adds its function, for a plugin that was granted it.
pub(in crate::sandbox) fn link<T: WasiHttpView + 'static>(
    linker: &mut Linker<T>,
    guard: Arc<Guard>,
    env: fn(&T) -> &Arc<CallEnv>,
) -> wasmtime::Result<()> {
    let handle = move |mut store: StoreContextMut<'_, T>,
                       (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>)| {
        let mut through = Through { guard: guard.clone(), env: env(store.data()).clone() };
        let WasiHttpCtxView { table, ctx, .. } = store.data_mut().http();
        let handled = WasiHttpCtxView { hooks: &mut through, table, ctx }.handle(request, options);
        let handled: Handled = match handled {
            Ok(response) => Ok(response),
            // What is no code is a trap.
            Err(error) => Err(error.downcast()?),
        };
        Ok((handled,))
    };
    linker.instance(INTERFACE)?.func_wrap("handle", handle)
}

/// Sends a guest's request the plugin's way.
struct Through {
    guard: Arc<Guard>,
    env: Arc<CallEnv>,
}

impl WasiHttpHooks for Through {
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sent {
        let (mut tell, told) = oneshot::channel();
        let (guard, env, waits) = (self.guard.clone(), self.env.clone(), self.env.clocks.begin_waiting());
        self.env.errands.add(Box::pin(async move {
            tokio::select! {
                // The guest dropped what it would get the reply by.
                () = tell.closed() => {}
                fetched = fetch(&guard, &env, request, options) => drop(tell.send(fetched)),
            }
        }));
        Box::new(async move {
            let _until_it_is_there = waits;
            let response: Response = told.await.unwrap_or(Err(Error::ConnectionTerminated))?;
            let nothing_more = Box::new(ready(Ok(()))) as Box<dyn Future<Output = Result<(), Error>> + Send>;
            Ok((response, nothing_more))
        })
    }
}

async fn fetch(guard: &Guard, env: &CallEnv, request: http::Request<WasiBody>, options: Option<RequestOptions>) -> Result<Response, Error> {
    let Some(calls) = &env.http_calls else {
        return Err(Error::InternalError(Some("other servers are asked for the sake of an exchange, and `describe` has none".into())));
    };
    let sent = async {
        // First, for what holds a body is to be one of few.
        let place = guard.place(&env.client).await;
        let (head, body) = request.into_parts();
        let body = whole(body, guard.rules().request_bytes).await?;
        let url = head.uri.to_string();
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            let value = String::from_utf8(value.as_bytes().to_vec());
            value.map(|value| (name.to_string(), value)).map_err(|_| unsendable(format!("the value of the header `{name}` is no text")))
        };
        // The host names the server itself.
        let headers = head.headers.iter().filter(|(name, _)| **name != header::HOST).map(text).collect::<Result<_, _>>()?;
        let request = outbound::Request {
            method: head.method.to_string(),
            url,
            headers,
            body,
            time: options.and_then(|options| whole_time(&options)),
            settings: env.settings.clone(),
        };
        guard.send(calls, ready(place), request).await
    };
    // What came before the request, too, takes no longer than the request may.
    let time = guard.rules().time;
    let late = |_| outbound::Error::Timeout(format!("it took longer than {time:?}, and `grants.http.time` allows no more"));
    let sent = timeout(time, sent).await.map_err(late).flatten();
    let sent = sent.and_then(answered);
    env.figures.host_call("http", word(&sent));
    sent.map_err(|error| {
        // Most languages' clients keep the reason to themselves.
        let (level, what) = match &error {
            // The operator decides about it.
            outbound::Error::Denied(_) => (Level::Warn, "was not sent"),
            _ => (Level::Info, "came to nothing"),
        };
        env.tell(level, &format!("a request {what}: {error}"));
        code(error)
    })
}

/// As it is counted for `send`.
fn word<T>(sent: &Result<T, outbound::Error>) -> &'static str {
    match sent {
        Ok(_) => "ok",
        Err(outbound::Error::Denied(_)) => "denied",
        Err(outbound::Error::Exhausted(_)) => "exhausted",
        Err(outbound::Error::Timeout(_)) => "timeout",
        Err(outbound::Error::Invalid(_)) => "invalid",
        Err(outbound::Error::Unreachable(_)) => "unavailable",
    }
}

/// The time of the whole request, if the guest bounded its parts.
fn whole_time(options: &RequestOptions) -> Option<Duration> {
    let RequestOptions { connect_timeout, first_byte_timeout, between_bytes_timeout } = options;
    let bounds = [connect_timeout, first_byte_timeout, between_bytes_timeout];
    first_byte_timeout.is_some().then(|| bounds.into_iter().flatten().fold(Duration::ZERO, |sum, time| sum.saturating_add(*time)))
}

async fn whole(mut body: WasiBody, bytes_max: usize) -> Result<Vec<u8>, outbound::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| unsendable("its body broke off".into()))?;
        let Ok(data) = frame.into_data() else { return Err(unsendable("a request with trailers is not sent".into())) };
        if data.len() > bytes_max - bytes.len() {
            let message = format!("the request's body has more than {bytes_max} bytes, and `grants.http.request_bytes` allows no more");
            return Err(outbound::Error::Exhausted(message));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn unsendable(why: String) -> outbound::Error {
    outbound::Error::Invalid(why)
}

fn answered(outbound::Response { status, headers, body, held }: outbound::Response) -> Result<Response, outbound::Error> {
    let odd = |_| outbound::Error::Unreachable("the reply's head makes no sense".into());
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    // Its bytes are counted for as long as the guest has it.
    let body = Full::new(Bytes::from(body)).map_err(move |never| {
        let _counted = &held;
        match never {}
    });
    let body = body.boxed_unsync();
    response.body(body).map_err(odd)
}

/// What the guest is told. The codes are WASI's; the reason is there where they have room for it.
fn code(error: outbound::Error) -> Error {
    match error {
        outbound::Error::Denied(_) => Error::HttpRequestDenied,
        outbound::Error::Timeout(_) => Error::HttpResponseTimeout,
        outbound::Error::Unreachable(_) => Error::DestinationUnavailable,
        outbound::Error::Exhausted(why) | outbound::Error::Invalid(why) => Error::InternalError(Some(why)),
    }
}
