//! Outcomes that are bombs: JSON that is deep, wide, long or doubled, metadata that adds up, messages of thousands of parts. What can be used is
//! used; all else is a fault of the plugin's, and nothing of it reaches a log, a client or a provider.

use serde_json::json;

use super::arena::put;
use crate::client::{Client, text_of};
use crate::server::Server;
use crate::texts::calm;
use crate::upstream::{Script, Upstream};

const INVALID: &str = "plugin_invalid_outcome";
const TOO_MUCH: &str = "plugin_output_exhausted";

/// Pipelines `pre` and `post` with the guest in front of a provider and behind it.
fn bombed(upstream: &Upstream) -> Server {
    let llm = "{ stage = \"llm\", config = { primary = { provider = \"up\", model = \"m\" } } }";
    let hook = |stage: &str| format!("{{ stage = \"{stage}\", config = {{ function_id = \"bomber\" }} }}");
    let config = format!(
        r#"
        [providers.up]
        kind = "openai"
        base_url = "{}"
        [limits.plugins]
        starve_time = "60s"
        [plugins.bomber]
        limits = {{ fuel = 2_000_000_000, time = "60s", memory = "64MiB" }}
        [[pipelines]]
        id = "pre"
        pipeline = [ {}, {llm} ]
        [[pipelines]]
        id = "post"
        pipeline = [ {llm}, {} ]
        [[pipelines]]
        id = "both"
        pipeline = [ {}, {llm}, {} ]
        [[pipelines]]
        id = "calm"
        pipeline = [ {{ stage = "pre_hook", config = {{ function_id = "calm" }} }}, {llm} ]
        "#,
        upstream.url(),
        hook("pre_hook"),
        hook("post_hook"),
        hook("pre_hook"),
        hook("post_hook"),
    );
    let builder = Server::with(&config).plugin("bomber");
    put(&builder.plugin_dir(), "calm.wasm", &calm());
    builder.start()
}

async fn all_is_well(client: &Client) {
    client.get("/healthz").await.ok();
    assert_eq!(client.chat("calm", "hello", json!({})).await.ok().content(), "calm");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_a_hundred_thousand_deep_is_an_invalid_outcome_wherever_it_stands() {
    let upstream = Upstream::start().await;
    let server = bombed(&upstream);
    let client = Client::of(server.address);
    for place in ["metadata", "params", "extra", "part", "call"] {
        assert_eq!(client.chat("pre", &format!("{place} 100000"), json!({})).await.refused(502), INVALID, "{place}");
        all_is_well(&client).await;
    }
    assert!(upstream.requests().is_empty(), "nobody was asked");
    for place in ["metadata", "extra", "part", "call"] {
        upstream.next(Script::says(&format!("{place} 100000")));
        assert_eq!(client.chat("post", "hello", json!({})).await.refused(502), INVALID, "{place}");
        all_is_well(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_as_deep_as_may_be_passes_through_every_part_of_the_server() {
    let upstream = Upstream::start().await;
    let server = bombed(&upstream);
    let client = Client::of(server.address);
    for place in ["metadata 120", "params 120"] {
        upstream.next(Script::says("fine"));
        assert_eq!(client.chat("both", place, json!({})).await.ok().content(), "fine", "{place}");
        // A hook that needs the whole reply has the provider asked for one.
        upstream.next(Script::says("fine"));
        let streamed = client.chat_stream("both", place, json!({})).await;
        assert_eq!(text_of(&streamed.all().await.expect("a whole stream")), "fine", "{place}");
    }
    // Such an answer takes the model's place; the hook behind it sees it.
    assert_eq!(client.chat("both", "extra 120", json!({})).await.ok().content(), "boom");
    all_is_well(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_a_million_digits_and_a_million_escapes_and_keys_end_in_time() {
    let upstream = Upstream::start().await;
    let server = bombed(&upstream);
    let client = Client::of(server.address);
    for bomb in ["number 1000000", "escapes 1000000", "keys 1000000"] {
        upstream.next(Script::says("fine"));
        let answer = client.chat("pre", bomb, json!({})).await;
        // Digits that are no number of this world are none to the host, and the rest is what a client could send as well.
        assert!(answer.status == 200 || answer.refused(502) == INVALID, "{bomb}: {}", answer.status);
        all_is_well(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_two_hooks_adds_up_to_no_more_than_its_limit() {
    let upstream = Upstream::start().await;
    let server = bombed(&upstream);
    let client = Client::of(server.address);
    let edge = (256 << 10) - "bomb".len() - 2;
    upstream.next(Script::says("fine"));
    client.chat("pre", &format!("wide {edge}"), json!({})).await.ok();
    assert_eq!(client.chat("pre", &format!("wide {}", edge + 1), json!({})).await.refused(502), INVALID);
    assert_eq!(client.chat("pre", "name 300000", json!({})).await.refused(502), INVALID);
    upstream.next(Script::says("wide 200000"));
    assert_eq!(client.chat("both", "name 200000", json!({})).await.refused(502), INVALID);
    all_is_well(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_million_parts_is_not_taken() {
    let upstream = Upstream::start().await;
    let server = bombed(&upstream);
    let client = Client::of(server.address);
    assert_eq!(client.chat("pre", "parts 1000000", json!({})).await.refused(502), TOO_MUCH);
    all_is_well(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_another_role_of_none_and_for_a_choice_that_is_not_there_are_invalid() {
    let upstream = Upstream::start().await;
    let server = bombed(&upstream);
    let client = Client::of(server.address);
    for bomb in ["role 0", "nobody 0"] {
        assert_eq!(client.chat("pre", bomb, json!({})).await.refused(502), INVALID, "{bomb}");
    }
    for bomb in ["role 0", "nobody 0", "choice 1", "choice 4294967295"] {
        upstream.next(Script::says(bomb));
        assert_eq!(client.chat("post", "hello", json!({})).await.refused(502), INVALID, "{bomb}");
    }
    all_is_well(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_megabyte_of_last_words_is_cut_and_forges_no_line() {
    let upstream = Upstream::start().await;
    let server = bombed(&upstream);
    let client = Client::of(server.address);
    for (bomb, code) in [("panic 40000", "plugin_trapped"), ("error 40000", "plugin_reported_error")] {
        let answer = client.chat("pre", bomb, json!({})).await;
        assert_eq!(answer.refused(502), code);
        assert!(answer.body.len() < 4_000, "{} bytes", answer.body.len());
    }
    let log = server.log();
    assert!(!log.lines().any(|line| line.starts_with("INFO forged")) && !log.contains("\x1b[2J"));
    all_is_well(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_fails_and_is_skipped_changes_nothing_of_the_exchange() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("fine"));
    let config = format!(
        r#"
        [providers.up]
        kind = "openai"
        base_url = "{}"
        [plugins.bomber]
        on_failure = "skip"
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "pre_hook", config = {{ function_id = "bomber" }} }}, {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }} ]
        "#,
        upstream.url()
    );
    let server = Server::with(&config).plugin("bomber").start();
    let answer = Client::of(server.address).chat("p", "params 100000", json!({})).await.ok();
    assert_eq!((answer.content().as_str(), answer.header("x-cofferdam-skipped")), ("fine", Some("bomber")));
    assert!(upstream.requests()[0].json()["bomb"].is_null());
}
