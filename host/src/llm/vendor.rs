//! What the configuration has to know of a vendor: its names, where its API is, and the keys that only its entries have.
//! Each vendor names its keys once, and the configuration visits them twice, to read the operator's file and to print the effective one.
//! So no key that is read can be missing from what is printed.

use std::ops::RangeInclusive;

/// What is true of every provider of one kind.
pub struct VendorInfo {
    /// The word for it in the operator's file. As a provider's name it says the kind as well.
    pub name: &'static str,
    /// What OpenTelemetry's semantic conventions call it.
    pub system: &'static str,
    /// Where its API is, up to and including the version; none if that depends on the customer.
    pub default_url: Option<&'static str>,
    /// Completes "needs an entry with" and "is missing: where this provider listens," for an operator who did not say where the provider is.
    pub url_hint: &'static str,
}

/// The hint for servers that can be anywhere.
pub(super) const ANY_URL: &str = "such as \"http://127.0.0.1:8000/v1\"";

/// Visits the keys that only one vendor's entries have, in the order in which they are printed.
pub trait OptionKeys {
    /// `true` or `false`.
    fn flag(&mut self, key: &'static str, value: &mut bool);

    /// A whole number.
    fn count(&mut self, key: &'static str, value: &mut u32, allowed: RangeInclusive<u64>);

    /// One of a few words.
    fn choice<T: Copy + PartialEq>(&mut self, key: &'static str, value: &mut T, words: &[(&'static str, T)]);

    /// A text that need not be there; `expected` says what it would be.
    fn optional_text(&mut self, key: &'static str, value: &mut Option<String>, is_valid: fn(&str) -> bool, expected: &str);

    /// A list of texts; `expected` says what each would be.
    fn texts(&mut self, key: &'static str, values: &mut Vec<String>, most: usize, is_valid: fn(&str) -> bool, expected: &str);

    /// A text that `base_url` is made of, in place of `base_url`; `conflict` goes behind "stands beside base_url;".
    fn base_url_from(&mut self, key: &'static str, url: fn(&str) -> Option<String>, expected: &str, conflict: &str);
}
