//! Uses its keys before it is a plugin, in `describe`, and says in its summary what came of it.

use cofferdam_guest::bindings::described::exports::cofferdam::hooks::plugin::{Description, Guest};
use cofferdam_guest::kv::{self, Write};
use cofferdam_guest::{HookError, Plugin, PreOutcome, Request, metrics};

struct KeeperInDescribe;

impl Guest for KeeperInDescribe {
    fn describe() -> Description {
        metrics::count("in_describe", 1.0, &[]);
        let summary = format!("{:?}", kv::plugin().increment("loads", 1, Write::new()));
        Description { name: "keeper-in-describe".into(), version: "1".into(), summary, settings: None, reads: None, writes: None }
    }
}

impl Plugin for KeeperInDescribe {
    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(PreOutcome::unchanged())
    }
}

cofferdam_guest::bindings::described::export!(KeeperInDescribe with_types_in cofferdam_guest::bindings::described);
cofferdam_guest::export_hook!(KeeperInDescribe: pre_hook);
