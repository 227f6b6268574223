//! Hooks in the style of the web: a component that exports `wasi:http/incoming-handler` gets `{messages, metadata}` as a POST and answers with the
//! same shape. Here is the call; `asked` is what it gets, `answered` what its answer means. However it ends, all of the answer is there
//! when the guest has returned, or none of it counts.

pub(super) mod answered;
pub(super) mod asked;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use http::Response;
use http::header::RETRY_AFTER;
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use tokio::task::unconstrained;
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Instance, InstancePre, Resource};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::exports::wasi::http::incoming_handler::GuestIndices;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};

use self::answered::Answer;
use self::asked::Asked;
use super::capability::log::harmless;
use super::contract::HANDLER;
use super::refusal::Refusal;
use super::store::State;
use super::{Exhausted, FaultKind};

/// Bytes of the linker's words in a refusal.
const CAUSE_BYTES_MAX: usize = 800;

/// The exported function, found and compared.
pub(super) struct Handler(GuestIndices);

impl Handler {
    /// The component's, if it exports one.
    ///
    /// # Errors
    /// It has another type.
    pub(super) fn find(linked: &InstancePre<State>) -> Result<Option<Self>, Refusal> {
        let Some(index) = linked.component().get_export_index(None, HANDLER) else { return Ok(None) };
        let Some((ComponentItem::ComponentFunc(function), _)) = linked.component().get_export(Some(&index), "handle") else {
            return Err("its `wasi:http/incoming-handler` has no function `handle`; rebuild it with current tools".to_owned().into());
        };
        let fits = function
            .typecheck::<(Resource<HostIncomingRequest>, Resource<HostResponseOutparam>), ()>(&linked.instance_type())
            .and_then(|()| GuestIndices::new(linked));
        let indices = fits.map_err(|error| {
            let cause = harmless(&format!("{error:#}"), CAUSE_BYTES_MAX);
            format!("its `wasi:http/incoming-handler` has another `handle` than WASI 0.2: {cause}; rebuild it with current tools")
        });
        Ok(Some(Self(indices?)))
    }

    /// Has the guest answer.
    pub(super) async fn ask(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        asked: &Asked,
    ) -> wasmtime::Result<Result<Answer, FaultKind>> {
        let guest = self.0.load(&mut *store, instance)?;
        let bytes_max = store.data().env.limits.output;
        let (tell, told) = oneshot::channel();
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(Scheme::Http, asked.request())?;
        let answer_to = http.new_response_outparam(tell)?;
        // What the guest wrote is read at once, whatever else this thread has read.
        let mut answer = pin!(unconstrained(whole(told, bytes_max)));
        let mut read = None;
        let mut handles = pin!(guest.call_handle(&mut *store, request, answer_to));
        poll_fn(|context| {
            let handled = handles.as_mut().poll(context);
            if let Poll::Ready(Err(trap)) = handled {
                return Poll::Ready(Err(trap));
            }
            if read.is_none()
                && let Poll::Ready(answer) = answer.as_mut().poll(context)
            {
                if answer.is_err() {
                    return Poll::Ready(Ok(answer));
                }
                read = Some(answer);
            }
            // Nothing comes of a guest that has returned.
            handled
                .map(|_| Ok(read.take().unwrap_or_else(|| Err(invalid("it returned before it had answered and ended its answer's body")))))
        })
        .await
    }
}

fn invalid(why: &str) -> FaultKind {
    FaultKind::Invalid(why.into())
}

/// Reads the answer to its end.
async fn whole(told: oneshot::Receiver<Result<Response<HyperOutgoingBody>, ErrorCode>>, bytes_max: usize) -> Result<Answer, FaultKind> {
    let response = match told.await {
        Ok(Ok(response)) => response,
        Ok(Err(code)) => return Err(FaultKind::Reported(format!("it answered with the error {code:?}"))),
        Err(_) => return Err(invalid("it gave up its answer")),
    };
    let (head, mut body) = response.into_parts();
    let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| invalid("its answer's body broke off"))?;
        let Ok(data) = frame.into_data() else { return Err(invalid("its answer has trailers, which mean nothing here")) };
        if data.len() > bytes_max - bytes.len() {
            return Err(FaultKind::Exhausted(Exhausted::Output(bytes_max)));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Answer { status: head.status.as_u16(), retry_after, body: bytes })
}

#[cfg(test)]
mod tests;
