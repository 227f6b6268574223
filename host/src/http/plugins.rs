//! `GET /api/v1/plugins`: what the plugin directory holds and why a file was refused. Must not know how plugins are loaded.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::Content;
use super::respond;
use crate::sandbox::{PluginStatus, Registry};

pub(super) fn list(registry: &Registry) -> Response<Content> {
    let data: Vec<Value> = registry.status().iter().map(shown).collect();
    respond::json(StatusCode::OK, &json!({"object": "list", "data": data}))
}

fn shown(status: &PluginStatus) -> Value {
    let PluginStatus { name, version, summary, file, hash, hooks, state, reason, config_schema } = status;
    // The plugin's own text: an object where it is one, else as it came, for whoever looks for the mistake.
    let schema = config_schema.as_ref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)));
    json!({
        "object": "plugin", "name": name, "version": version, "summary": summary, "file": file, "hash": hash,
        "hooks": hooks, "state": state, "reason": reason, "config_schema": schema,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            config_schema: Some(r#"{"type":"object"}"#.into()),
        };
        let expected = json!({
            "object": "plugin", "name": "redact-pii", "version": "0.1.0", "summary": null, "file": "redact-pii.wasm", "hash": "ab",
            "hooks": ["post_hook"], "state": "stale", "reason": "not a component", "config_schema": {"type": "object"},
        });
        assert_eq!(shown(&status), expected);
        let broken = PluginStatus { config_schema: Some("{".into()), ..status };
        assert_eq!(shown(&broken)["config_schema"], json!("{"));
    }
}
