//! Whole numbers that a client wrote with a point or an exponent, as languages do that have one kind of number: `40.0` is 40.

use std::borrow::Cow;

use crate::chat::Fields;
use crate::chat::codec::json;

/// Fields that count something.
const COUNTS: [&str; 6] = ["max_completion_tokens", "max_tokens", "n", "seed", "top_k", "top_logprobs"];

/// Below this a floating-point number knows its last digit.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Rewrites them; a number with a fraction stays for the adapter to refuse.
pub(super) fn as_whole(params: &mut Cow<'_, Fields>) {
    let whole = |name: &str, text: &str| {
        let odd = COUNTS.contains(&name) && text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && text.contains(['.', 'e', 'E']);
        let number = text.parse::<f64>().ok().filter(|number| odd && number.fract() == 0.0 && number.abs() < EXACT)?;
        json(format!("{number:.0}")).ok()
    };
    if !params.iter().any(|(name, value)| whole(name, value.get()).is_some()) {
        return;
    }
    for (name, value) in params.to_mut() {
        if let Some(whole) = whole(name, value.get()) {
            *value = whole;
        }
    }
}
