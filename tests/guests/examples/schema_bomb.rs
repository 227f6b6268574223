//! Declares a schema that doubles at every step: sixty lines that take a validator 2^60 steps.

use cofferdam_guest::bindings::described::exports::cofferdam::hooks::plugin::{Description, Guest};
use cofferdam_guest::{HookError, Plugin, PreOutcome, Request};

struct SchemaBomb;

impl Guest for SchemaBomb {
    fn describe() -> Description {
        let twice =
            |next: usize| format!(r##""d{}": {{"allOf": [{{"$ref": "#/$defs/d{next}"}}, {{"$ref": "#/$defs/d{next}"}}]}}"##, next - 1);
        let steps: Vec<String> = (1..=60).map(twice).collect();
        let schema = format!(r##"{{"$ref": "#/$defs/d0", "$defs": {{{}, "d60": {{"type": "object"}}}}}}"##, steps.join(", "));
        Description {
            name: "schema-bomb".into(),
            version: "1".into(),
            summary: String::new(),
            settings: Some(schema),
            reads: None,
            writes: None,
        }
    }
}

impl Plugin for SchemaBomb {
    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(PreOutcome::unchanged())
    }
}

cofferdam_guest::bindings::described::export!(SchemaBomb with_types_in cofferdam_guest::bindings::described);
cofferdam_guest::export_hook!(SchemaBomb: pre_hook);
