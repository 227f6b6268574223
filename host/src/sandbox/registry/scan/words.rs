//! What operators read of a file that is not live: why, and what to do.

use crate::files::Refused;
use crate::sandbox::refusal::{Refusal, short};

pub(super) fn unreadable(refused: Refused) -> Refusal {
    match refused {
        Refused::Outside => "the file is a link to a place outside the plugin directory; copy the component itself".to_owned().into(),
        Refused::NotAFile => "this is not a regular file".to_owned().into(),
        Refused::TooLarge(limit) => format!("the file is larger than {limit} bytes (raise `limits.plugins.file_bytes`)").into(),
        Refused::Io(error) => Refusal::Transient(format!("the file cannot be read: {error}")),
    }
}

/// Why a component is not live, and whether the same bytes are tried again.
pub(super) fn told(refusal: Refusal) -> (String, bool) {
    match refusal {
        Refusal::Invalid(reason) => (short(&reason), false),
        Refusal::Transient(reason) => (short(&format!("{reason}; it is tried again")), true),
        Refusal::Slow => ("compiling it takes too long (`limits.plugins.compile_time`); it is tried again".to_owned(), true),
    }
}
