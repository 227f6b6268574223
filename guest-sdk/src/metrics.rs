//! Counters and histograms of the plugin's own, in the operator's `/metrics` as `cofferdam_plugin_custom_total` and
//! `cofferdam_plugin_custom_values` with the labels `plugin` and `name`. At most 64 series a plugin; what is over that, or has an unfit name,
//! is dropped and counted. Whatever is a label's value is read by whoever reads the metrics: no users' words.
//!
//! ```
//! use cofferdam_guest::metrics;
//!
//! metrics::count("cache_hits", 1.0, &[("kind", "exact")]);
//! metrics::observe("answer_chars", 340.0, &[]);
//! ```
//!
//! Outside of a host nothing is counted.

/// Adds to a counter. Names are `[a-z_][a-z0-9_]*`.
pub fn count(name: &str, by: f64, labels: &[(&str, &str)]) {
    source::count(name, by, labels);
}

/// Adds a value to a histogram.
pub fn observe(name: &str, value: f64, labels: &[(&str, &str)]) {
    source::observe(name, value, labels);
}

#[cfg(target_family = "wasm")]
mod source {
    use crate::bindings::imports::cofferdam::hooks::metrics::{self, Label};

    fn all(labels: &[(&str, &str)]) -> Vec<Label> {
        labels.iter().map(|(name, value)| Label { name: (*name).to_owned(), value: (*value).to_owned() }).collect()
    }

    pub(super) fn count(name: &str, by: f64, labels: &[(&str, &str)]) {
        metrics::count(name, by, &all(labels));
    }

    pub(super) fn observe(name: &str, value: f64, labels: &[(&str, &str)]) {
        metrics::observe(name, value, &all(labels));
    }
}

#[cfg(not(target_family = "wasm"))]
mod source {
    pub(super) fn count(_: &str, _: f64, _: &[(&str, &str)]) {}

    pub(super) fn observe(_: &str, _: f64, _: &[(&str, &str)]) {}
}
