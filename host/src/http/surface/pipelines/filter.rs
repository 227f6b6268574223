//! `POST /{id}/filter/inlet` and `/outlet`: a plugin's hooks on a body that Open WebUI sends. The answer is the new body, bare.
//! Requests wait for nobody but their own plugin: each call has its own instance.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::filtered::{self, Filtered};
use super::found;
use crate::chat::codec::Form;
use crate::chat::{Deadline, Exchange};
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::json_body::Reading;
use crate::http::on_behalf;
use crate::http::open_webui::RunFilters;
use crate::http::respond;
use crate::http::route::Call;
use crate::sandbox::{Hook, Plugin};
use crate::stages::Flow;

/// What filters are called with; further fields are passed over.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by hand; here for its schema")]
pub(super) struct FilterCall {
    /// Of an inlet a chat request, of an outlet all messages of the chat.
    body: Map<String, Value>,
    /// For whom Open WebUI asks: `id`, `email`, `name`, `role`.
    user: Option<Map<String, Value>>,
}

/// The body as the filter left it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the body that came, or one made by hand; here for its schema")]
pub(super) struct FilteredBody(Map<String, Value>);

/// As what such exchanges are known to plugins and in the log: there is no pipeline.
const PIPELINE: &str = "open-webui";

pub(super) async fn inlet(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let (asked, call) = Asked::read(call).await?;
    let Asked { plugin, filtered } = asked;
    if call.passes || !plugin.has(Hook::Pre) {
        return Ok(answer(filtered.raw));
    }
    let messages = filtered.messages()?;
    let exchange = exchange(&call, &filtered, messages.read.clone());
    let (name, model) = (plugin.name(), filtered.model());
    let flow = call.shared.state.runner.inlet(name, &model, exchange).await?;
    match flow {
        Flow::Next(exchange) => {
            let chosen = exchange.model.as_deref();
            Ok(answer(filtered.after_inlet(&messages, chosen, &exchange.messages, &exchange.params)))
        }
        // Open WebUI has no place for an answer here, and shows the text of a refusal.
        Flow::Done(_, completion) => {
            let text = completion.choices.first().map(|choice| choice.message.joined_text()).unwrap_or_default();
            Err(Refusal::Answered(text).into())
        }
    }
}

pub(super) async fn outlet(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let (asked, call) = Asked::read(call).await?;
    let Asked { plugin, filtered } = asked;
    if call.passes || !plugin.sees_reply() {
        return Ok(answer(filtered.raw));
    }
    let messages = filtered.messages()?;
    let Some((at, completion)) = messages.reply(&filtered.model()) else { return Ok(answer(filtered.raw)) };
    let exchange = exchange(&call, &filtered, messages.read[..at].to_vec());
    let before = completion.choices[0].message.joined_text();
    let (_, completion, changed) = call.shared.state.runner.outlet(plugin.name(), exchange, completion).await?;
    match completion.choices.first().filter(|choice| changed && choice.message.joined_text() != before) {
        Some(choice) => Ok(answer(filtered.after_outlet(&messages, at, &choice.message)?)),
        None => Ok(answer(filtered.raw)),
    }
}

/// A call that was read.
struct Asked {
    plugin: Arc<Plugin>,
    filtered: Filtered,
}

/// What is left of the request then.
struct Rest<'a> {
    shared: &'a crate::http::shared::Shared,
    log: &'a mut crate::http::request_log::RequestLog,
    /// The gateway runs filters in chats, so nothing is run here.
    passes: bool,
}

impl Asked {
    async fn read(mut call: Call<'_>) -> Result<(Self, Rest<'_>), Failure> {
        let plugin = found::plugin(&mut call)?;
        let Call { shared, head, body, log, .. } = call;
        let filtered = Reading { shared, head, body, log: &mut *log }.parsed(Form::Closed, |text| Ok(filtered::read(&text)?)).await?;
        let passes = shared.open_webui.run_filters == RunFilters::Gateway;
        Ok((Self { plugin, filtered }, Rest { shared, log, passes }))
    }
}

fn exchange(call: &Rest<'_>, filtered: &Filtered, messages: Vec<crate::chat::Message>) -> Exchange {
    let Rest { shared, log, .. } = call;
    let deadline = Deadline::after(shared.limits.request_time.saturating_sub(log.began.elapsed()));
    Exchange {
        caller: log.caller.clone(),
        stream: filtered.streams(),
        messages,
        params: filtered.params(),
        metadata: on_behalf::of_filter(filtered.user.as_ref(), &filtered.body),
        skipped: log.skipped.clone(),
        coverage: log.coverage.clone(),
        tries: log.tries.clone(),
        ..Exchange::new(log.id.clone(), log.client.clone(), PIPELINE.into(), deadline)
    }
}

fn answer(body: Bytes) -> Response<Content> {
    respond::typed(Content::Whole(body), "application/json")
}
