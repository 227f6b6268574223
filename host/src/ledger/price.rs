//! What tokens cost. Prices are the operator's: vendors change theirs, and contracts differ.
//! Amounts are whole numbers of millionths, so that sums are exact.

use std::collections::BTreeMap;

use crate::chat::Usage;

/// Millionths of a millionth of a dollar in a millionth of one.
pub(super) const PICO: u128 = 1_000_000;

/// Dollars for a million tokens, counted in millionths of a dollar. A token then costs as many millionths of a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    pub input: u64,
    /// For the part of the prompt that the provider had in its cache.
    pub cached_input: u64,
    pub output: u64,
}

/// Prices by `provider/model` or by `model`; the first is looked for first.
pub type Prices = BTreeMap<String, Price>;

impl Price {
    /// In millionths of a millionth of a dollar.
    pub(super) fn of(&self, usage: &Usage) -> u128 {
        let cached = usage.cached.min(usage.prompt);
        let parts = [(usage.prompt - cached, self.input), (cached, self.cached_input), (usage.completion, self.output)];
        parts.into_iter().map(|(tokens, price)| u128::from(tokens) * u128::from(price)).sum()
    }
}

/// What a model costs; none if the operator names no price for it.
pub(super) fn price<'a>(prices: &'a Prices, provider: &str, model: &str) -> Option<&'a Price> {
    if prices.is_empty() {
        return None;
    }
    prices.get(&format!("{provider}/{model}")).or_else(|| prices.get(model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_with_its_provider_comes_before_one_without() {
        let price = |input| Price { input, cached_input: 0, output: 0 };
        let prices = Prices::from([("gpt-4o".into(), price(1)), ("azure/gpt-4o".into(), price(2)), ("meta/llama".into(), price(3))]);
        let usage = Usage { prompt: 1, ..Usage::default() };
        let cost = |provider, model| super::price(&prices, provider, model).map(|price| price.of(&usage));
        assert_eq!((cost("openai", "gpt-4o"), cost("azure", "gpt-4o"), cost("vllm", "meta/llama")), (Some(1), Some(2), Some(3)));
        assert_eq!((cost("openai", "gpt-4"), cost("openai", "")), (None, None));
    }

    #[test]
    fn cached_tokens_have_their_own_price_and_reasoning_is_output() {
        let price = Price { input: 2_500_000, cached_input: 1_250_000, output: 10_000_000 };
        let usage = Usage { prompt: 1_000, completion: 500, cached: 400, reasoning: 300 };
        assert_eq!(price.of(&usage), 600 * 2_500_000 + 400 * 1_250_000 + 500 * 10_000_000);
        let more_cached_than_sent = Usage { prompt: 1, cached: 5, ..Usage::default() };
        assert_eq!(price.of(&more_cached_than_sent), 1_250_000);
    }
}
