//! `[limits.ledger]` and `[prices]`: the limits of the ledger, and what tokens cost.
//! Prices are kept in whole millionths of a dollar, so that sums are exact.

use super::print::{self, Printer};
use super::section::{Entry, Section};
use super::walk::{MICRO, Walk, millis, seconds};
use crate::ledger::{Limits, Price, Prices};

/// Dollars for a million tokens; the most expensive models cost some hundreds.
const PRICE_MAX: f64 = 1e6;

/// `[limits.ledger]`
pub(super) fn limits(keys: &mut impl Walk, limits: &mut Limits) {
    keys.count("rows", &mut limits.rows, 1..=1_000_000);
    keys.duration("flush", &mut limits.flush, millis(100)..=seconds(3_600));
    keys.count("days", &mut limits.days, 1..=3_660);
    keys.count("report_rows", &mut limits.report_rows, 1..=1_000_000);
    keys.count("completion_tokens", &mut limits.completion_tokens, 1..=1_000_000);
    keys.count("reservation_tokens", &mut limits.reservation_tokens, 1..=1_000_000_000);
    keys.count("budget_parts", &mut limits.budget_parts, 1..=10_000);
    // 0: no request waits.
    keys.duration("budget_wait", &mut limits.budget_wait, millis(0)..=seconds(60));
}

/// `[prices."MODEL"]` and `[prices."PROVIDER/MODEL"]`
pub(super) fn read_prices(section: &mut Section<'_>, prices: &mut Prices) {
    for (name, entry) in section.rest() {
        if name.is_empty() {
            entry.problem("a price stands under the name of a model, or of a provider and a model such as \"openai/gpt-4o\"");
        }
        entry.table(|section| {
            let what = "US dollars for a million tokens";
            let input = section.need("input", what).and_then(|entry| dollars(&entry));
            let cached_input = section.take("cached_input").map(|entry| dollars(&entry));
            let output = section.need("output", what).and_then(|entry| dollars(&entry));
            if let (Some(input), Some(output)) = (input, output) {
                prices.insert(name, Price { input, cached_input: cached_input.flatten().unwrap_or(input), output });
            }
        });
    }
}

pub(super) fn print_prices(printer: &mut Printer, prices: &Prices) {
    for (name, price) in prices {
        printer.named(name, |printer| {
            for (key, value) in [("input", price.input), ("cached_input", price.cached_input), ("output", price.output)] {
                printer.entry(key, &print::dollars(value));
            }
        });
    }
}

fn dollars(entry: &Entry<'_>) -> Option<u64> {
    let dollars = entry.fraction().filter(|dollars| (0.0..=PRICE_MAX).contains(dollars));
    if dollars.is_none() {
        entry.wrong("US dollars for a million tokens, a number from 0 to 1000000");
    }
    dollars.map(|dollars| (dollars * MICRO as f64).round() as u64)
}
