//! Least data with a real guest: what is written into its memory, and what its decisions become.

use wit_component::StringEncoding;

use super::guest::pre_hook;
use super::{Sandbox, exchange};
use crate::chat::{Exchange, Message};
use crate::sandbox::plugin::Plugin;
use crate::sandbox::{FaultKind, PluginConfig, PreOutcome, Targets};

/// Ends in a trap if it is handed more than a kilobyte.
const FRUGAL: &str = "(if (i32.gt_u (global.get $free) (i32.const 66560)) (then unreachable))";

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|word| (*word).to_owned()).collect())
}

async fn plugin(own: PluginConfig, body: &str, more: &str, hash: &str) -> Plugin {
    Sandbox::new(own).admit(&pre_hook(StringEncoding::UTF8, body, more), hash).await.expect("admitted")
}

fn long() -> Exchange {
    let turns = (0..500).map(|_| Message::text("assistant", "x".repeat(100)));
    let params = vec![("tools".to_owned(), crate::chat::codec::json(format!("\"{}\"", "z".repeat(9_000))).expect("JSON"))];
    Exchange { messages: turns.chain([Message::text("user", "hello")]).collect(), params, ..exchange() }
}

#[tokio::test]
async fn only_what_a_hook_reads_is_written_into_its_memory() {
    for (reads, fits) in [
        (None, false),
        (words(&["messages.text"]), false),
        (words(&["params"]), false),
        (words(&["last-user-message"]), true),
        (words(&["last-user-message.text", "messages.refusal"]), false),
        (words(&["metadata", "params.temperature"]), true),
        (words(&[]), true),
    ] {
        let plugin = plugin(PluginConfig { reads: reads.clone(), ..PluginConfig::default() }, FRUGAL, "", "a").await;
        let (after, outcome) = plugin.pre_hook(long(), "m").await;
        assert_eq!(outcome.is_ok(), fits, "{reads:?}: {outcome:?}");
        assert_eq!((after.messages.len(), after.params.len()), (501, 1), "nothing of the exchange is lost");
    }
}

/// Sets `target` of the outcome, an option at its offset by the canonical ABI, to the text at 200.
const CHOOSE: &str =
    "(i32.store8 (i32.const 32) (i32.const 1)) (i32.store (i32.const 36) (i32.const 200)) (i32.store (i32.const 40) (i32.const 1))";
const NAME: &str = r#"(data (i32.const 200) "b")"#;

#[tokio::test]
async fn a_target_of_the_pipeline_is_chosen_and_another_one_is_refused_by_the_names_of_those_that_there_are() {
    let plugin = |own, hash| plugin(own, CHOOSE, NAME, hash);
    let free = plugin(PluginConfig::default(), "a").await;
    let targets = |names: &'static [&'static str]| Targets::of(names.iter().map(|name| (*name, "m")));
    let (after, outcome) = free.pre_hook(Exchange { model: Some("of a".into()), ..exchange() }, targets(&["a", "b"])).await;
    assert!(matches!(outcome, Ok(PreOutcome::Proceed)), "{outcome:?}");
    assert_eq!((after.target.as_deref(), after.model), (Some("b"), None), "a model that was chosen before was one of another provider");
    let (after, outcome) = free.pre_hook(exchange(), targets(&["a", "c", "a"])).await;
    assert_eq!(
        outcome.expect_err("there is no b").kind,
        FaultKind::Invalid("target: the pipeline has the providers `a`, `c` and not `b`".into())
    );
    assert_eq!(after.target, None);
    let kept = plugin(PluginConfig { writes: words(&["model"]), ..PluginConfig::default() }, "b").await;
    let fault = kept.pre_hook(exchange(), targets(&["a", "b"])).await.1.expect_err("it may not");
    assert!(fault.to_string().contains("chooses the target"), "{fault}");
}

#[test]
fn the_model_that_hooks_are_told_is_the_one_that_would_be_asked() {
    let targets = Targets::of([("a", "one"), ("b", "two")].into_iter());
    let model = |target: Option<&str>, model: Option<&str>| {
        let exchange = Exchange { target: target.map(str::to_owned), model: model.map(str::to_owned), ..exchange() };
        targets.model(&exchange).to_owned()
    };
    assert_eq!(model(None, None), "one");
    assert_eq!(model(Some("b"), None), "two");
    assert_eq!(model(Some("b"), Some("three")), "three");
}

#[tokio::test]
async fn a_long_conversation_costs_a_hook_that_reads_its_newest_message_no_operator_more_than_a_short_one() {
    let fuel = |reads: Option<Vec<String>>, exchange: Exchange| async {
        let sandbox = Sandbox::new(PluginConfig { reads, ..PluginConfig::default() });
        let plugin = sandbox.admit(&pre_hook(StringEncoding::UTF8, "", ""), "a").await.expect("admitted");
        assert!(matches!(plugin.pre_hook(exchange, "m").await.1, Ok(PreOutcome::Proceed)));
        let figures = sandbox.metrics.render();
        let line = figures.lines().find(|line| line.starts_with("cofferdam_plugin_call_fuel_sum{") && line.contains("pre_hook"));
        line.expect("a figure").rsplit(' ').next().expect("a number").to_owned()
    };
    let newest = || words(&["last-user-message"]);
    assert_eq!(fuel(newest(), exchange()).await, fuel(newest(), long()).await);
    assert_ne!(fuel(None, exchange()).await, fuel(None, long()).await, "everything costs something");
}
