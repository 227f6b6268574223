//! A pre-hook that asks a server of the operator's about each request. It is a guard: what is no clear answer is a failure of the hook, and
//! `on_failure` decides what becomes of the request. The text of the user never fills in a secret.

use std::collections::BTreeMap;

use cofferdam_guest::http::{self, Response};
use cofferdam_guest::{Changes, HookError, Json, Plugin, PreOutcome, Rejection, Request, config, export};
use serde::{Deserialize, Serialize};

struct Webhook;

impl Plugin for Webhook {
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("config.schema.json"));
    const READS: Option<&'static [&'static str]> = Some(&["last-user-message.text"]);
    const WRITES: Option<&'static [&'static str]> = Some(&["metadata", "reject"]);

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let config = config::read::<Config>()?;
        let mut ask = http::post(&config.url).json(&Told::of(&request))?;
        if let Some(authorization) = config.authorization {
            ask = ask.header("authorization", authorization);
        }
        if let Some(ms) = config.timeout_ms {
            ask = ask.timeout_ms(ms);
        }
        let response = ask.send()?;
        match response.status() {
            200..=299 => passed(&response),
            400..=499 => refused(&response),
            // A redirect that the grant does not follow, or a server that failed, has decided nothing.
            status => Err(HookError::Unavailable(format!("the webhook answered with status {status}"))),
        }
    }
}

export!(Webhook: pre_hook);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
    authorization: Option<String>,
    timeout_ms: Option<u32>,
}

/// What the server is told.
#[derive(Serialize)]
struct Told<'a> {
    request_id: &'a str,
    pipeline: &'a str,
    caller: Option<&'a str>,
    model: &'a str,
    /// The text of the user's last message.
    message: String,
}

impl<'a> Told<'a> {
    fn of(request: &'a Request) -> Self {
        let context = &request.context;
        Self {
            request_id: &context.request_id,
            pipeline: &context.pipeline,
            caller: context.caller.as_deref(),
            model: &request.model,
            message: request.last_user().map(|(_, message)| message.text()).unwrap_or_default(),
        }
    }
}

/// An answer of 200 to 299; an empty one adds nothing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Passed {
    metadata: BTreeMap<String, serde_json::Value>,
}

/// An answer of 400 to 499.
#[derive(Deserialize)]
struct Refused {
    code: Option<String>,
    error: String,
}

fn passed(response: &Response) -> Result<PreOutcome, HookError> {
    if response.bytes().is_empty() {
        return Ok(PreOutcome::unchanged());
    }
    let Passed { metadata } = response.json()?;
    if metadata.is_empty() {
        return Ok(PreOutcome::unchanged());
    }
    let add = |changes: Changes, (key, value): (String, serde_json::Value)| changes.metadata(&key, Json::raw(value.to_string()));
    Ok(metadata.into_iter().fold(Changes::new(), add).into())
}

/// A refusal says so: a 404 of a server that knows nothing of this hook must not refuse every request in its name.
fn refused(response: &Response) -> Result<PreOutcome, HookError> {
    let status = response.status();
    let Ok(Refused { code, error }) = response.json() else {
        return Err(HookError::Unavailable(format!("the webhook answered with status {status} and no `error`")));
    };
    let rejection = Rejection::new(status, code.unwrap_or_else(|| "refused_by_webhook".to_owned()), error);
    Ok(match response.header("retry-after").and_then(|seconds| seconds.parse().ok()) {
        Some(seconds) => rejection.retry_after(seconds).into(),
        None => rejection.into(),
    })
}

#[cfg(test)]
mod tests;
