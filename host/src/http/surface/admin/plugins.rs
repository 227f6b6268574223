//! `GET /api/v1/plugins`: what the plugin directory holds and why a file was refused.
//! A plugin's schema is shown as the plugin wrote it, so that its author finds a mistake in it.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::http::body::Content;
use crate::http::error::Failure;
use crate::http::respond;
use crate::http::route::Call;
use crate::http::surface::list::List;
use crate::sandbox::PluginStatus;

/// One file of the plugin directory.
#[derive(Serialize, JsonSchema)]
pub(super) struct Plugin<'a> {
    /// `plugin`
    object: &'static str,
    /// The plugin's own name; the file's stem if it could not be read.
    name: &'a str,
    version: Option<&'a str>,
    summary: Option<&'a str>,
    file: &'a str,
    /// SHA-256 of the live component in hex; null if nothing is live.
    hash: Option<&'a str>,
    /// `pre_hook`, `post_hook`, `stream_hook`, `model`, `embed`, `done_hook`.
    hooks: &'a [&'static str],
    /// `live`: the file as it is runs. `stale`: an older version runs, the file was refused. `refused`: nothing runs. `compiling`: on its way.
    state: &'a str,
    /// Why the file was refused, and what to do.
    reason: Option<&'a str>,
    /// The JSON Schema of its configuration: an object, or its text if it is not JSON.
    config_schema: Option<Value>,
    /// What its hooks are handed, in the words of `describe` and of the operator's file; null for everything, or if nothing is live.
    reads: Option<&'a [String]>,
    /// What its hooks may change; null for everything, or if nothing is live.
    writes: Option<&'a [String]>,
}

pub(super) async fn list(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let status = call.shared.state.registry.status();
    Ok(respond::json(StatusCode::OK, &List::of(status.iter().map(shown).collect())))
}

pub(super) fn shown(status: &PluginStatus) -> Plugin<'_> {
    let PluginStatus { name, version, summary, file, hash, hooks, state, reason, tried_again: _, config_schema, reads, writes } = status;
    let schema = config_schema.as_ref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(&**text)));
    Plugin {
        object: "plugin",
        name,
        version: version.as_deref(),
        summary: summary.as_deref(),
        file,
        hash: hash.as_deref(),
        hooks,
        state,
        reason: reason.as_deref(),
        config_schema: schema,
        reads: reads.as_deref(),
        writes: writes.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(status: &PluginStatus) -> Value {
        serde_json::to_value(shown(status)).expect("JSON")
    }

    #[test]
    fn a_refused_file_says_why_and_a_schema_is_an_object() {
        let status = PluginStatus {
            name: "redact-pii".into(),
            version: Some("0.1.0".into()),
            summary: None,
            file: "redact-pii.wasm".into(),
            hash: Some("ab".into()),
            hooks: vec!["post_hook"],
            state: "stale",
            reason: Some("not a component".into()),
            tried_again: false,
            config_schema: Some(r#"{"type":"object"}"#.into()),
            reads: Some(vec!["reply.text".into()]),
            writes: None,
        };
        let expected = json!({
            "object": "plugin", "name": "redact-pii", "version": "0.1.0", "summary": null, "file": "redact-pii.wasm", "hash": "ab",
            "hooks": ["post_hook"], "state": "stale", "reason": "not a component", "config_schema": {"type": "object"},
            "reads": ["reply.text"], "writes": null,
        });
        assert_eq!(written(&status), expected);
        let broken = PluginStatus { config_schema: Some("{".into()), ..status };
        assert_eq!(written(&broken)["config_schema"], json!("{"));
    }
}
