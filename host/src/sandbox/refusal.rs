//! Why a file of the plugin directory was not admitted. Each reason is a sentence for the plugin's author that says what to do.
//! No reason is longer than its limit, whatever a component put into it, and none holds what a terminal would act upon.

use super::capability::log::harmless;

/// Bytes of a reason: it goes into the log, into every answer of `GET /api/v1/plugins`, and into the list of what was refused before.
pub(super) const REASON_BYTES_MAX: usize = 2_000;

/// A refusal, by whether it is worth another try.
#[derive(Debug)]
pub(super) enum Refusal {
    /// These bytes will always be refused.
    Invalid(String),
    /// The machine was at fault, so another try of the same bytes may succeed.
    Transient(String),
    /// Compiling took longer than its first try may; the second one may take all the time that the operator allows.
    Slow,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Invalid(short(&reason))
    }
}

/// A reason as it may be shown.
pub(super) fn short(reason: &str) -> String {
    harmless(reason, REASON_BYTES_MAX)
}

/// The compiler's message in one line, and what to do about it.
pub(super) fn not_compiled(message: &str) -> String {
    /// Bytes of it; a component's own names can make it as long as the file.
    const BYTES_MAX: usize = 1_500;
    let message = &message[..message.floor_char_boundary(BYTES_MAX)];
    let cut_off = ["unexpected end", "unexpected-eof", "is out of bounds (bound"].iter().any(|mark| message.contains(mark));
    let hint = if cut_off {
        "the file is truncated; copy it again, best under another name followed by a rename"
    } else {
        "rebuild it for the target wasm32-wasip2 with current tools"
    };
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect();
    format!("it is not a valid component: {} ({hint})", lines.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_its_limit_and_made_harmless() {
        assert_eq!(short(&"x".repeat(REASON_BYTES_MAX)), "x".repeat(REASON_BYTES_MAX));
        assert_eq!(short(&"x".repeat(REASON_BYTES_MAX + 1)), "x".repeat(REASON_BYTES_MAX) + "…");
        assert!(matches!(Refusal::from("a\x1b\nb".to_owned()), Refusal::Invalid(reason) if reason == "a\u{fffd}\u{fffd}b"));
    }

    #[test]
    fn a_message_of_the_compilers_is_cut_and_says_what_to_do() {
        let said = not_compiled(&format!("unexpected end {}", "é".repeat(100_000)));
        assert!(said.len() < 1_800 && said.contains("truncated"), "{}", said.len());
    }
}
