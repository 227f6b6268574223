//! Server-sent events as OpenAI's clients read them: the only framing code at the door.
//! An error after the first event becomes an error event and no `[DONE]` follows, so that nobody takes half an answer for a whole one.

use bytes::Bytes;
use serde_json::json;

use crate::chat::StreamError;
use crate::chat::codec::{in_one_line, to_json};

/// What ends a stream that ended well.
pub(super) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// One event of one JSON text. What was kept unread in it may have line breaks, as providers and clients write them for people.
pub(super) fn event(json: &[u8]) -> Bytes {
    framed(String::new(), json)
}

/// One event that has a name beside its JSON text.
pub(super) fn named(name: &str, json: &[u8]) -> Bytes {
    framed(format!("event: {name}\n"), json)
}

fn framed(head: String, json: &[u8]) -> Bytes {
    let mut frame = head.into_bytes();
    frame.reserve(json.len() + 8);
    frame.extend_from_slice(b"data: ");
    let begin = frame.len();
    frame.extend_from_slice(json);
    in_one_line(&mut frame[begin..]);
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

/// The event that tells the client of a break.
pub(super) fn error(broken: &StreamError) -> Bytes {
    let StreamError { message, code } = broken;
    event(&to_json(&json!({"error": {"message": message, "type": "server_error", "param": null, "code": code}})))
}

/// Whether a provider's own events have ended with their mark.
pub(super) fn ends(piece: &[u8]) -> bool {
    piece.trim_ascii_end().ends_with(b"[DONE]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_data_line_and_a_blank_one() {
        assert_eq!(&event(br#"{"a":1}"#)[..], b"data: {\"a\":1}\n\n");
        assert_eq!(&named("a.b", b"{}")[..], b"event: a.b\ndata: {}\n\n");
        assert_eq!(&event(b"{\n\r\n\"a\\n\":1}\n")[..], b"data: {   \"a\\n\":1} \n\n");
    }

    #[test]
    fn a_break_is_told_in_openais_form_and_without_a_raw_line_break() {
        let frame = error(&StreamError { message: "cut\nhere".into(), code: "upstream_cut" });
        let text = std::str::from_utf8(&frame).expect("UTF-8");
        let json = text.strip_prefix("data: ").and_then(|t| t.strip_suffix("\n\n")).expect("one event");
        assert!(!json.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(value, json!({"error": {"message": "cut\nhere", "type": "server_error", "param": null, "code": "upstream_cut"}}));
    }

    #[test]
    fn the_end_mark_is_seen_with_any_line_ends() {
        for piece in ["data: [DONE]\n\n", "data: {}\r\n\r\ndata:[DONE]\r\n\r\n", "data: [DONE]"] {
            assert!(ends(piece.as_bytes()), "{piece}");
        }
        assert!(!ends(b"data: {}\n\n"));
    }
}
