//! What a response repeats of its request, with the defaults of fields that the request leaves out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::chat::Json;
use crate::chat::codec::raw_json;

/// Fields of the response object by name.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Echo(BTreeMap<&'static str, Json>);

impl Echo {
    pub(super) fn new() -> Self {
        let mut echo = Self(BTreeMap::new());
        for name in ["instructions", "max_output_tokens", "max_tool_calls", "previous_response_id", "temperature", "top_p"] {
            echo.set(name, &());
        }
        echo.set("background", &false);
        echo.set("metadata", &json!({}));
        echo.set("parallel_tool_calls", &true);
        echo.set("reasoning", &json!({"effort": null, "summary": null}));
        // Nothing is kept, whatever was asked for.
        echo.set("store", &false);
        echo.set("text", &json!({"format": {"type": "text"}}));
        echo.set("tool_choice", "auto");
        echo.set("tools", &json!([]));
        echo.set("top_logprobs", &0);
        echo.set("truncation", "disabled");
        echo
    }

    pub(super) fn set<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        self.0.insert(name, raw_json(value));
    }
}
