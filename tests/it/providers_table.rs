//! The table in `docs/providers.md`, held against the tests: what a cell says, and which test shows it.
//! A claim whose test does not exist fails here.

use crate::tidy::source::{read, under};

/// The providers, in the order of the columns.
const PROVIDERS: [&str; 5] = ["openai", "anthropic", "gemini", "azure-openai", "workers-ai"];
/// What a cell says, and the test that shows it.
type Cell = (&'static str, &'static str);

const AS_SENT: Cell = is("as sent", "unknown_fields_reach_the_provider_byte_for_byte");
/// By an adapter that changes what it must and keeps the rest.
const KEPT: Cell = is("as sent", "fields_keep_their_order_and_bytes");

const RESULTS: Cell = yes("calls_of_a_tool_and_its_results_go_round");
const SCHEMA: Cell = yes("a_schema_reaches_the_provider_and_its_json_comes_back_as_content");

const TABLE: [(&str, [Cell; PROVIDERS.len()]); 19] = [
    ("Text", [yes("a_whole_reply_arrives"); 5]),
    ("Streaming", [yes("a_streamed_reply_arrives"); 5]),
    (
        "Images, files, audio",
        [
            AS_SENT,
            is("inline and https, no audio", "a_data_url_becomes_what_it_holds"),
            is("inline and Google's own addresses", "content_that_gemini_cannot_read_is_refused_with_the_remedy"),
            KEPT,
            KEPT,
        ],
    ),
    ("Tools", [yes("calls_of_a_tool_and_its_results_go_round"); 5]),
    ("Parallel tool calls", [yes("calls_of_a_tool_and_its_results_go_round"); 5]),
    ("Streamed tool calls", [yes("calls_of_a_tool_are_streamed_in_pieces_that_fit_together"); 5]),
    ("Tool results", [RESULTS; 5]),
    (
        "Custom tools",
        [
            yes("a_chat_s_custom_tool_is_called_whole_and_streamed"),
            is("as functions", "a_chat_s_custom_tool_is_called_whole_and_streamed"),
            is("as functions", "a_chat_s_custom_tool_is_called_whole_and_streamed"),
            KEPT,
            is("as functions", "a_custom_tool_is_a_function_of_one_text_with_its_grammar_in_words"),
        ],
    ),
    (
        "`functions`, `function_call`",
        [
            AS_SENT,
            is("as tools", "old_functions_are_taken_by_every_provider_and_answered_in_their_own_form"),
            is("as tools", "old_functions_are_taken_by_every_provider_and_answered_in_their_own_form"),
            KEPT,
            is("as tools", "old_functions_are_tools_on_the_wire_and_function_call_in_the_reply"),
        ],
    ),
    (
        "JSON to a schema",
        [SCHEMA, SCHEMA, is("yes, beside tools since Gemini 3", "what_gemini_cannot_do_is_refused_by_name_or_left_out"), SCHEMA, SCHEMA],
    ),
    (
        "Reasoning, kept and replayed",
        [
            AS_SENT,
            yes("c09_thinking_is_told_as_it_grows_and_given_whole_with_its_signature"),
            yes("c34_a_signature_goes_back_on_the_part_that_had_it"),
            is("kept, not replayed", "what_other_providers_left_in_the_history_is_taken_out"),
            KEPT,
        ],
    ),
    (
        "Stop sequences",
        [
            AS_SENT,
            yes("c23_stops_of_white_space_are_left_out"),
            is("5 at most", "what_gemini_cannot_do_is_refused_by_name_or_left_out"),
            KEPT,
            KEPT,
        ],
    ),
    (
        "Temperature, top_p, penalties, seed",
        [
            AS_SENT,
            is("temperature up to 1 and top_p, before 4.7", "sampling_is_refused_where_the_model_refuses_it_unless_it_says_nothing"),
            is("yes, no penalties since Gemini 3", "what_gemini_cannot_do_is_refused_by_name_or_left_out"),
            KEPT,
            KEPT,
        ],
    ),
    (
        "Several choices (`n`), logprobs",
        [
            AS_SENT,
            is("no", "fields_that_they_have_not_are_refused_or_dropped_as_chosen"),
            is("yes, no logprobs in streams", "what_gemini_cannot_do_is_refused_by_name_or_left_out"),
            KEPT,
            KEPT,
        ],
    ),
    ("Usage", [yes("a_whole_reply_arrives"); 5]),
    (
        "Cached and reasoning tokens in it",
        [
            is("as sent", "a_reply_arrives_byte_for_byte"),
            yes("c14_cached_tokens_are_part_of_the_prompt_and_the_total"),
            yes("c39_thoughts_count_once_whether_they_are_included_or_not"),
            is("as sent", "c56_a_right_reply_passes_as_it_is_and_its_usage_is_read"),
            is("as sent", "c56_a_right_reply_passes_as_it_is_and_its_usage_is_read"),
        ],
    ),
    ("Usage at the end of a stream", [yes("a_stream_ends_in_its_usage_where_that_was_asked_for"); 5]),
    ("Limits with `retry-after`", [yes("a_429_that_nobody_takes_over_arrives_with_its_retry_after"); 5]),
    (
        "Embeddings",
        [
            yes("the_official_python_client_speaks_with_every_provider"),
            is("no", "there_are_no_embeddings"),
            yes("every_input_is_a_request_of_its_own_in_one_batch"),
            yes("vectors_are_put_into_the_order_of_their_inputs"),
            yes("native_vectors_are_in_their_result"),
        ],
    ),
];

const fn yes(test: &'static str) -> Cell {
    is("yes", test)
}

const fn is(claim: &'static str, test: &'static str) -> Cell {
    (claim, test)
}

/// The cells of each row of the document's one table, without the line below its head.
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
        let claim = cells.iter().map(|(claim, _)| (*claim).to_owned());
        std::iter::once((*capability).to_owned()).chain(claim).collect()
    });
    let wanted: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    assert_eq!(lines(), wanted);
}

#[test]
fn every_claim_is_shown_by_a_test_that_there_is() {
    let sources = [under("tests/it"), under("host/src")].concat();
    let is_there = |test: &str| sources.iter().any(|source| source.text.contains(&format!("fn {test}()")));
    let claims = TABLE.iter().flat_map(|(capability, cells)| cells.iter().map(move |cell| (capability, cell)));
    for (capability, (claim, test)) in claims {
        assert!(is_there(test), "{capability}: {claim}, but there is no test `{test}`");
    }
}

#[test]
fn every_provider_that_tests_go_through_has_a_column() {
    let columns = crate::providers::ROWS.iter().map(|row| row.name);
    assert_eq!(columns.collect::<Vec<_>>(), PROVIDERS);
}
