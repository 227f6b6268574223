//! Returns as much JSON as it may, in as many values as there can be: each byte of it would be sixteen and more in a tree.

use cofferdam_guest::{Changes, HookError, Plugin, PreOutcome, Request};

struct DenseJson;

impl Plugin for DenseJson {
    const NAME: Option<&'static str> = Some("dense-json");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        let mut changes = Changes::new();
        changes.params.push(cofferdam_guest::FieldChange { name: "x".into(), value: Some(format!("[{}0]", "0,".repeat(3_000_000))) });
        changes.params.push(cofferdam_guest::FieldChange { name: "y".into(), value: Some("no JSON".into()) });
        Ok(changes.into())
    }
}

cofferdam_guest::export!(DenseJson: pre_hook);
