//! The mock upstream and the bare proxy, each a process of this benchmark's own binary with one thread.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

const EVENTS: usize = 60;
const WHOLE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":"The sea is wide and the night is long, and the lamp at the end of the pier is lit.","refusal":null},"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":30,"completion_tokens":20,"total_tokens":50}}"#;

pub(super) fn mock() {
    serve(async |request: Request<Incoming>| {
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        let streamed = memchr::memmem::find(&body, b"\"stream\":true").is_some();
        let reply = Response::builder().header("content-type", if streamed { "text/event-stream" } else { "application/json" });
        reply.body(if streamed { events() } else { full(WHOLE.into()) }).expect("a reply")
    });
}

/// Each event is a frame of its own, as a model's tokens are.
fn events() -> Body {
    let event = |i: usize| {
        let last = i + 1 == EVENTS;
        let text = if last {
            "data: [DONE]\n\n".to_owned()
        } else {
            format!(
                "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"mock\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"word{i} \"}},\"finish_reason\":null,\"logprobs\":null}}]}}\n\n"
            )
        };
        Ok(Frame::data(Bytes::from(text)))
    };
    // Yielding between events lets the connection flush each of them.
    let frames = stream::iter(0..EVENTS).then(move |i| async move {
        tokio::task::yield_now().await;
        event(i)
    });
    StreamBody::new(frames).boxed_unsync()
}

fn full(text: Bytes) -> Body {
    Full::new(text).map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub(super) fn proxy(upstream: &str) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<HttpConnector, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let upstream = upstream.to_owned();
    serve(async move |mut request: Request<Incoming>| {
        let uri: Uri = format!("http://{upstream}{}", request.uri().path()).parse().expect("a URI");
        *request.uri_mut() = uri;
        request.headers_mut().remove("host");
        client.request(request).await.expect("the upstream answers").map(|body| body.boxed_unsync())
    });
}

fn serve(handler: impl AsyncFn(Request<Incoming>) -> Response<Body> + Clone + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        println!("listening on http://{}", listener.local_addr().expect("an address"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a socket option");
            let handler = handler.clone();
            tokio::task::spawn_local(async move {
                let service = service_fn(move |request| {
                    let handler = handler.clone();
                    async move { Ok::<_, Infallible>(handler(request).await) }
                });
                // A client that goes away ends its connection, no more.
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}
