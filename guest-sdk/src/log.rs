//! Lines for the operator's log, under the plugin's name and the request's id: `log::info(format_args!("{n} found"))`.
//! The host bounds their length and number. Never log secrets or whole prompts.

use std::fmt::Display;

use crate::bindings::imports::cofferdam::hooks::log::Level;

pub fn debug(text: impl Display) {
    write(Level::Debug, &text.to_string());
}

pub fn info(text: impl Display) {
    write(Level::Info, &text.to_string());
}

pub fn warn(text: impl Display) {
    write(Level::Warn, &text.to_string());
}

pub fn error(text: impl Display) {
    write(Level::Error, &text.to_string());
}

#[cfg(target_family = "wasm")]
fn write(level: Level, text: &str) {
    crate::bindings::imports::cofferdam::hooks::log::write(level, text);
}

#[cfg(not(target_family = "wasm"))]
fn write(level: Level, text: &str) {
    eprintln!("{level:?}: {text}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_are_made_of_anything_that_can_be_shown() {
        super::debug("text");
        super::info(format_args!("{} found", 3));
        super::warn(4);
        super::error(String::from("text"));
    }
}
