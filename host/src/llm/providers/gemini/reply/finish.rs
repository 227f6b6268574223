//! Why a candidate ended, in OpenAI's words. Must not know streams.
//! Source: Gemini API reference, `FinishReason`, <https://ai.google.dev/api/generate-content#FinishReason>.

/// What was withheld.
pub(super) const FILTERED: &str = "content_filter";

/// A call that the model got wrong, or that it was not offered, is no fault of a filter and leaves nothing to run: `stop`, like all that
/// has no word of its own. Peers differ here.
pub(super) fn reason(native: &str) -> &'static str {
    match native {
        "MAX_TOKENS" => "length",
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" => FILTERED,
        image if image.starts_with("IMAGE_") => FILTERED,
        _ => "stop",
    }
}

/// Gemini says `STOP` after calls too. What was cut or withheld stays so.
pub(super) fn with_calls(reason: &'static str, calls: u32) -> &'static str {
    if reason == "stop" && calls > 0 { "tool_calls" } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_word_of_openais() {
        let mapped = |natives: &[&str]| natives.iter().map(|native| reason(native)).collect::<Vec<_>>();
        assert_eq!(reason("MAX_TOKENS"), "length");
        let withheld = ["SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_OTHER"];
        assert_eq!(mapped(&withheld), [FILTERED; 8]);
        assert_eq!(mapped(&["STOP", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "NO_IMAGE", "NEW"]), ["stop"; 6]);
    }

    #[test]
    fn calls_change_a_stop_and_nothing_else() {
        assert_eq!(["stop", "length", FILTERED].map(|reason| with_calls(reason, 1)), ["tool_calls", "length", FILTERED]);
        assert_eq!(with_calls("stop", 0), "stop");
    }
}
