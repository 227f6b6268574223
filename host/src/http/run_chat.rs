//! What all endpoints that ask a model share: the request becomes an exchange, the pipeline runs, and headers say who answered. The form of a request or of a reply is the endpoints' own.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};

use super::body::Content;
use super::error::{Failure, Refusal};
use super::request_log::RequestLog;
use super::shared::Shared;
use super::waiting::{self, Asked};
use super::{filters, on_behalf, respond, toggles};
use crate::chat::codec::ChatRequest;
use crate::chat::held::Held;
use crate::chat::status::ShowsStatus;
use crate::chat::stream::wants_usage;
use crate::chat::{Coverage, Deadline, Exchange, Kept, Metadata, Name, Reply};
use crate::pipeline::Outcome;

const PROVIDER: HeaderName = HeaderName::from_static("x-cofferdam-provider");
const MODEL: HeaderName = HeaderName::from_static("x-cofferdam-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-cofferdam-attempts");
const SKIPPED: HeaderName = HeaderName::from_static("x-cofferdam-skipped");
const SENT: HeaderName = HeaderName::from_static("x-cofferdam-sent");
const UNSEEN: HeaderName = HeaderName::from_static("x-cofferdam-unseen");
/// Tells nginx and its kin to pass events on as they come.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The longest name, or list of skipped plugins, that a header tells: 16 plugins of 64 characters fit.
const NAME_BYTES: usize = 2 << 10;

/// Choices of a stream that end one by one if it is refused while its client waits; OpenAI gives as many.
const CHOICES: u32 = 128;

/// Runs the request through the pipeline that its `model` names.
/// `open_webui`: the client shows what models say that they are doing.
pub(super) async fn run(
    shared: &Shared,
    headers: &HeaderMap,
    record: &mut RequestLog,
    request: ChatRequest,
    open_webui: bool,
) -> Result<Outcome, Failure> {
    let ChatRequest { model, messages, stream, toggles, mut params } = request;
    let Some(pipeline) = filters::named(shared, &model) else {
        return Err(Refusal::NoModel(model.into()).into());
    };
    record.pipeline = Some(Arc::clone(&pipeline.id));
    let metadata = if shared.open_webui.enabled { on_behalf::of_chat(headers, &mut params) } else { Metadata::new() };
    let toggles = toggles::read(toggles.as_ref(), headers)?;
    let user = params.iter().find(|(name, _)| name == "user").and_then(|(_, json)| serde_json::from_str::<String>(json.get()).ok());
    record.meter_end_user(headers, user.as_deref())?;
    let exchange = Exchange {
        id: Arc::clone(&record.id),
        caller: record.caller.clone(),
        client: record.client.clone(),
        end_user: record.end_user.clone(),
        pipeline: Arc::clone(&pipeline.id),
        deadline: Deadline::after(shared.limits.request_time.saturating_sub(record.began.elapsed())),
        stream,
        target: None,
        model: None,
        messages,
        params,
        metadata,
        hits: Vec::new(),
        fence: None,
        skipped: record.skipped.clone(),
        coverage: record.coverage.clone(),
        tries: record.tries.clone(),
        account: record.account.clone(),
        kept: Kept::default(),
    };
    if open_webui {
        exchange.kept.add(ShowsStatus);
    }
    let every = shared.limits.waiting_time;
    let outcome = if stream && !every.is_zero() {
        let asked = asked(&exchange);
        let (runner, held) = (Arc::clone(&shared.state.runner), exchange.kept.one::<Held>());
        let run = Box::pin(async move { runner.run(pipeline, toggles, exchange).await.map_err(Failure::from) });
        waiting::run(run, held, every, asked).await?
    } else {
        shared.state.runner.run(pipeline, toggles, exchange).await?
    };
    debug_assert_eq!(stream, !matches!(outcome.reply, Reply::Whole(_)), "a reply has the form that was asked for");
    Ok(outcome)
}

/// The stream that is asked for, as far as it is known before there is a reply.
fn asked(exchange: &Exchange) -> Asked {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let name = Name { id: format!("chatcmpl-{}", exchange.id), model: exchange.pipeline.to_string(), created };
    let choices = exchange.param("n").and_then(|json| serde_json::from_str::<u32>(json.get()).ok()).unwrap_or(1);
    Asked { name, include_usage: wants_usage(exchange), choices: choices.clamp(1, CHOICES) }
}

/// The answer around a reply. `content` encodes the reply; it gets the name of the provider that gave it, empty if none did.
pub(super) fn response(
    outcome: Outcome,
    content: impl FnOnce(Reply, &str) -> Result<Content, Failure>,
) -> Result<Response<Content>, Failure> {
    let Outcome { reply, answered_by, attempts, skipped } = outcome;
    let content = content(reply, answered_by.as_ref().map_or("", |(provider, _)| provider))?;
    let streams = !matches!(content, Content::Whole(_));
    let mut response = respond::typed(content, if streams { "text/event-stream" } else { "application/json" });
    let headers = response.headers_mut();
    if streams {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(BUFFERING, HeaderValue::from_static("no"));
    }
    if let Some((provider, model)) = answered_by {
        name(headers, PROVIDER, provider);
        name(headers, MODEL, model);
    }
    add_attempts(headers, attempts);
    if !skipped.is_empty() {
        name(headers, SKIPPED, skipped.join(", "));
    }
    Ok(response)
}

/// How many attempts at providers there were, if there were any.
pub(super) fn add_attempts(headers: &mut HeaderMap, tries: u32) {
    if tries > 0 {
        headers.insert(ATTEMPTS, tries.into());
    }
}

/// What the client is sent of a whole reply and what hooks did not see of it. Of a stream nobody knows it when its head goes out.
pub(super) fn add_coverage(response: &mut Response<Content>, coverage: &Coverage) {
    if !matches!(response.body(), Content::Whole(_)) {
        return;
    }
    if let Some((sent, unseen)) = coverage.told() {
        for (header, told) in [(SENT, sent), (UNSEEN, unseen)] {
            let fits = told.len() <= NAME_BYTES;
            name(response.headers_mut(), header, if fits { told } else { "too long for a header; the request's line has it".to_owned() });
        }
    }
}

/// A header of a name out of a configuration or of a hook; one that no header can hold is left out, for it would only be a hint.
fn name(headers: &mut HeaderMap, header: HeaderName, value: String) {
    if value.len() > NAME_BYTES {
        return;
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        headers.insert(header, value);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use hyper::header::CONTENT_TYPE;

    use super::*;
    use crate::chat::Whole;

    fn answered(content: Content) -> Response<Content> {
        let reply = Reply::Whole(Whole::Raw(Bytes::new()));
        let answered_by = Some(("openai".into(), "gpt-4o".into()));
        let outcome = Outcome { reply, answered_by, attempts: 2, skipped: vec!["a".into(), "b".into()] };
        let written = response(outcome, |_, provider| {
            assert_eq!(provider, "openai");
            Ok(content)
        });
        written.unwrap_or_else(|failure| panic!("{failure}"))
    }

    #[test]
    fn a_whole_reply_is_json_and_says_who_answered() {
        let response = answered(Content::Whole(Bytes::from_static(b"{}")));
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().expect("ASCII"));
        assert_eq!(header(CONTENT_TYPE.as_str()), Some("application/json"));
        assert_eq!(header("x-cofferdam-provider"), Some("openai"));
        assert_eq!(header("x-cofferdam-model"), Some("gpt-4o"));
        assert_eq!(header("x-cofferdam-attempts"), Some("2"));
        assert_eq!(header("x-cofferdam-skipped"), Some("a, b"));
        assert_eq!(header("cache-control"), None);
    }

    #[test]
    fn a_streamed_reply_is_events_that_no_proxy_holds_back() {
        let response = answered(Content::Stream(Box::pin(stream::empty())));
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().expect("ASCII"));
        assert_eq!(header(CONTENT_TYPE.as_str()), Some("text/event-stream"));
        assert_eq!((header("cache-control"), header("x-accel-buffering")), (Some("no-cache"), Some("no")));
    }
}
