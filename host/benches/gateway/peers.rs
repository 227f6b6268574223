//! The bare proxy, and serving: each peer is a process of this benchmark's own binary with one thread.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

pub(super) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

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

pub(super) fn serve(handler: impl AsyncFn(Request<Incoming>) -> Response<Body> + Clone + 'static) {
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
