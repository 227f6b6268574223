//! `[telemetry]`: where traces are sent, how many of them wait for how long, which lines are logged, and how much of the log may wait.
//! No message repeats a URL that holds a user or password, nor a value that stands where the name of a secret belongs.

use ::http::Uri;

use super::json::quote;
use super::print::Printer;
use super::section::{Entry, Section};
use super::walk::{GIB, KIB, Walk, millis, seconds};
use crate::chat::is_name;
use crate::llm::{SECRET_NAME, is_secret_name};
use crate::telemetry::{Export, LogLimits, log_filter_problem};

pub(super) fn read(section: &mut Section<'_>, export: &mut Export, log: &mut LogLimits, log_filter: &mut Option<String>) {
    export.otlp_endpoint = section.take("otlp_endpoint").and_then(|entry| url(&entry));
    if let Some(entry) = section.take("otlp_headers_secret") {
        match entry.text() {
            Some(name) if is_secret_name(name) => export.otlp_headers_secret = Some(name.to_owned()),
            // The value may be the headers themselves, so it is not repeated.
            _ => entry.problem(format!("expected a secret's name: {SECRET_NAME}")),
        }
    }
    if let Some(entry) = section.take("service_name") {
        match entry.text() {
            Some(name) if is_name(name) => name.clone_into(&mut export.service_name),
            _ => entry.wrong("1 to 64 letters, digits, `-`, `_` or `.`"),
        }
    }
    if let Some(entry) = section.take("log_filter") {
        match entry.text().map(|text| (text, log_filter_problem(text))) {
            Some((text, None)) => *log_filter = Some(text.to_owned()),
            Some((_, Some(why))) => entry.problem(format!("is no filter: {why}")),
            None => entry.wrong("a filter such as \"info,cofferdam::llm=debug\""),
        }
    }
    limits(section, export);
    log_limits(section, log);
}

pub(super) fn print(printer: &mut Printer, export: &Export, mut log: LogLimits, log_filter: Option<&str>) {
    if let Some(filter) = log_filter {
        printer.entry("log_filter", &quote(filter));
    }
    if let Some(url) = &export.otlp_endpoint {
        printer.entry("otlp_endpoint", &quote(url));
    }
    if let Some(name) = &export.otlp_headers_secret {
        printer.entry("otlp_headers_secret", &quote(name));
    }
    printer.entry("service_name", &quote(&export.service_name));
    limits(printer, &mut export.clone());
    log_limits(printer, &mut log);
}

fn limits(keys: &mut impl Walk, export: &mut Export) {
    keys.count("otlp_queue", &mut export.otlp_queue, 1..=1_000_000);
    keys.count("otlp_batch", &mut export.otlp_batch, 1..=10_000);
    keys.duration("otlp_delay", &mut export.otlp_delay, millis(0)..=seconds(60));
    keys.duration("otlp_timeout", &mut export.otlp_timeout, millis(1)..=seconds(60));
}

fn log_limits(keys: &mut impl Walk, log: &mut LogLimits) {
    keys.bytes("log_queue", &mut log.log_queue, 64 * KIB..=GIB);
    // 0: what waits at the end is lost.
    keys.duration("log_flush", &mut log.log_flush, millis(0)..=seconds(60));
}

/// The URL of a collector. A user or password in it would be a secret in the file, so the message does not repeat such a text.
fn url(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text().unwrap_or_default().trim_end_matches('/');
    let uri = text.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if text.contains(['@', '?', '#']) {
        entry.problem("must not hold a user, a password, a query or a fragment");
    } else if uri.is_some() {
        return Some(text.to_owned());
    } else {
        entry.wrong("a collector's URL such as \"http://127.0.0.1:4318\"");
    }
    None
}
