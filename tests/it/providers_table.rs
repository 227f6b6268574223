//! The table in `docs/providers.md`, held against the tests: what a cell says, and which test shows it.
//! A claim without a test does not get in. Must not know how a capability is tested.

use crate::tidy::source::{read, under};

/// The providers, in the order of the columns.
const PROVIDERS: [&str; 1] = ["openai"];
/// What a cell says, and the test that shows it; none where it says no.
type Cell = (&'static str, Option<&'static str>);

const AS_SENT: Cell = ("as sent", Some("unknown_fields_reach_the_provider_byte_for_byte"));
const REPLIED_AS_SENT: Cell = ("as sent", Some("a_reply_arrives_byte_for_byte"));
const NO: Cell = ("no", None);

const TABLE: [(&str, [Cell; PROVIDERS.len()]); 17] = [
    ("Text", [yes("a_whole_reply_arrives")]),
    ("Streaming", [yes("a_streamed_reply_arrives")]),
    ("Images, files, audio", [AS_SENT]),
    ("Tools", [yes("calls_of_a_tool_and_its_results_go_round")]),
    ("Parallel tool calls", [yes("calls_of_a_tool_and_its_results_go_round")]),
    ("Streamed tool calls", [yes("calls_of_a_tool_are_streamed_in_pieces_that_fit_together")]),
    ("Tool results", [yes("calls_of_a_tool_and_its_results_go_round")]),
    ("JSON to a schema", [yes("a_schema_reaches_the_provider_and_its_json_comes_back_as_content")]),
    ("Reasoning, kept and replayed", [AS_SENT]),
    ("Stop sequences", [AS_SENT]),
    ("Temperature, top_p, penalties, seed", [AS_SENT]),
    ("Several choices (`n`), logprobs", [AS_SENT]),
    ("Usage", [yes("a_whole_reply_arrives")]),
    ("Cached and reasoning tokens in it", [REPLIED_AS_SENT]),
    ("Usage at the end of a stream", [yes("a_stream_ends_in_its_usage_where_that_was_asked_for")]),
    ("Limits with `retry-after`", [yes("a_429_that_nobody_takes_over_arrives_with_its_retry_after")]),
    ("Embeddings", [NO]),
];

const fn yes(test: &'static str) -> Cell {
    ("yes", Some(test))
}

/// The cells of each line of the document's one table, its rule left out.
fn lines() -> Vec<Vec<String>> {
    let document = read("docs/providers.md");
    let lines = document.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = |line: &str| line.split(" | ").map(str::to_owned).collect();
    lines.filter(|line| !line.starts_with("---")).map(cells).collect()
}

#[test]
fn the_document_says_what_the_table_says() {
    let head = [&["Capability"], &PROVIDERS[..]].concat().iter().map(|cell| (*cell).to_owned()).collect();
    let rows = TABLE.iter().map(|(capability, cells)| {
        let said = cells.iter().map(|(said, _)| (*said).to_owned());
        std::iter::once((*capability).to_owned()).chain(said).collect()
    });
    let wanted: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    assert_eq!(lines(), wanted);
}

#[test]
fn every_claim_is_shown_by_a_test_that_there_is() {
    let sources = [under("tests/it"), under("host/src")].concat();
    let is_there = |test: &str| sources.iter().any(|source| source.text.contains(&format!("fn {test}()")));
    let claims = TABLE.iter().flat_map(|(capability, cells)| cells.iter().map(move |cell| (capability, cell)));
    for (capability, (said, test)) in claims {
        match test {
            Some(test) => assert!(is_there(test), "{capability}: {said}, but there is no test `{test}`"),
            None => assert_eq!(*said, "no", "{capability} is claimed without a test"),
        }
    }
}

#[test]
fn every_provider_that_tests_go_through_has_a_column() {
    let columns = crate::providers::ROWS.iter().map(|row| row.name);
    assert_eq!(columns.collect::<Vec<_>>(), PROVIDERS);
}
