//! What a call holds of `wasi:http`: the bounds of headers and of bodies on their way. Nothing here can send a request: who may, sends through
//! the guard of the capability `http`.

use http::Request;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi_http::p2::bindings::LinkOptions;
use wasmtime_wasi_http::p2::bindings::http::types;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

/// Bytes of one set of headers, with what they take in memory. A guest may hold a thousand sets.
const HEADERS_BYTES_MAX: usize = 32 << 10;
/// Bytes that a guest may write of a body before the host takes them; the host holds two such pieces of each body.
const CHUNK_BYTES: usize = 64 << 10;
/// Bodies of a call that are written in such pieces. A guest that opens more, as no hook does, writes them a little at a time, so that a
/// thousand bodies that nobody reads hold no more than these do.
const BODIES: usize = 32;
const CHUNK_BYTES_BEYOND: usize = 1 << 10;

/// What a request becomes, and what is told of its connection afterwards.
pub(super) type Sent =
    Box<dyn Future<Output = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>> + Send>;

/// Adds the types of requests and answers, and nothing that sends one.
pub(super) fn link_types<T: WasiHttpView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    types::add_to_linker::<T, wasmtime_wasi_http::WasiHttp>(linker, &LinkOptions::default().into(), T::http)
}

/// One call's.
pub(super) struct WasiHttp {
    context: WasiHttpCtx,
    bounds: Bounds,
}

/// Bounds of bodies.
#[derive(Default)]
struct Bounds {
    bodies: usize,
}

impl WasiHttp {
    pub(super) fn new() -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(HEADERS_BYTES_MAX);
        Self { context, bounds: Bounds::default() }
    }

    pub(super) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView { hooks: &mut self.bounds, table, ctx: &mut self.context }
    }
}

impl WasiHttpHooks for Bounds {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sent {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        self.bodies += 1;
        if self.bodies > BODIES { CHUNK_BYTES_BEYOND } else { CHUNK_BYTES }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_with_very_many_bodies_holds_little_of_each() {
        let mut bounds = Bounds::default();
        let pieces: Vec<usize> = (0..=BODIES).map(|_| bounds.p2_outgoing_body_chunk_size()).collect();
        assert_eq!((pieces[0], pieces[BODIES - 1], pieces[BODIES]), (CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES_BEYOND));
    }
}
