//! Asks another server while it says who it is, and calls itself after what it got.

use cofferdam_guest::bindings::described;
use cofferdam_guest::{HookError, Plugin, PreOutcome, Request, http};
use described::exports::cofferdam::hooks::plugin::{Description, Guest};

struct HttpInDescribe;

impl Guest for HttpInDescribe {
    fn describe() -> Description {
        let summary = format!("{:?}", http::get("https://api.example.com").send());
        Description { name: "http-in-describe".to_owned(), version: "1".to_owned(), summary, settings: None, reads: None, writes: None }
    }
}

impl Plugin for HttpInDescribe {
    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(PreOutcome::unchanged())
    }
}

described::export!(HttpInDescribe with_types_in described);
cofferdam_guest::export_hook!(HttpInDescribe: pre_hook);
