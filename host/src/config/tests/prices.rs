//! Prices: read to the millionth of a dollar, within their range.

use super::*;
use crate::ledger::Price;

#[test]
fn prices_are_read_by_model_and_the_cached_one_is_the_input_s_unless_it_is_given() {
    let text =
        "[prices.\"gpt-4o\"]\ninput = 2.5\ncached_input = 1.25\noutput = 10\n[prices.\"vllm/llama\"]\ninput = 0\noutput = 0.000_000_6";
    let prices = parse(text).prices;
    assert_eq!(prices["gpt-4o"], Price { input: 2_500_000, cached_input: 1_250_000, output: 10_000_000 });
    assert_eq!(prices["vllm/llama"], Price { input: 0, cached_input: 0, output: 1 });
}

#[test]
fn a_price_has_two_edges() {
    let file = |value: &str| format!("[prices.m]\ninput = {value}\noutput = 1");
    assert_eq!((parse(&file("0")).prices["m"].input, parse(&file("1e6")).prices["m"].input), (0, 1_000_000_000_000));
    for (value, found) in [("-1", "-1"), ("-0.5", "-0.5"), ("1_000_001", "1000001"), ("1e7", "1e7"), ("nan", "nan"), ("\"2.5\"", "\"2.5\"")]
    {
        let message = format!("2: prices.m.input: expected US dollars for a million tokens, a number from 0 to 1000000, found {found}");
        wrong(&file(value), &message);
    }
    wrong("[prices.m]\ninput = 1", "1: prices.m.output: is missing: US dollars for a million tokens");
    wrong("prices.m = 1", "1: prices.m: expected a table, found 1");
    wrong("[prices.m]\ninput = 1\noutput = 1\ncached = 1", "4: prices.m.cached: unknown key; known here are input, cached_input, output");
    let [problem] = &problems("[prices.\"\"]\ninput = 1\noutput = 1")[..] else { panic!("one problem") };
    assert!(
        problem.ends_with("a price stands under the name of a model, or of a provider and a model such as \"openai/gpt-4o\""),
        "{problem}"
    );
}
