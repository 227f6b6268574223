//! What a client of a stream is told when it breaks. An error after the first event becomes an error event and no `[DONE]` follows, so that nobody
//! takes half an answer for a whole one.

use bytes::Bytes;
use serde_json::json;

use crate::chat::codec::to_json;
use crate::chat::{StreamError, sse};

/// The event that tells the client of a stream that broke.
pub(super) fn error(error: &StreamError) -> Bytes {
    let StreamError { message, code } = error;
    sse::event(None, &to_json(&json!({"error": {"message": message, "type": "server_error", "param": null, "code": code}})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_is_told_in_openais_form_and_without_a_raw_line_break() {
        let frame = error(&StreamError { message: "cut\nhere".into(), code: "upstream_cut" });
        let text = std::str::from_utf8(&frame).expect("UTF-8");
        let json = text.strip_prefix("data: ").and_then(|t| t.strip_suffix("\n\n")).expect("one event");
        assert!(!json.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(value, json!({"error": {"message": "cut\nhere", "type": "server_error", "param": null, "code": "upstream_cut"}}));
    }
}
