//! The conformance list: what providers do and gateways got wrong, and the tests that show that this one does not.
//! An item without a test of its number does not get in. Must not know how an item is tested.

use crate::tidy::source::under;

/// An item: its number, what it is about, and the names of its tests.
type Item = (u32, &'static str, &'static [&'static str]);

const ITEMS: [Item; 62] = [
    (
        1,
        "a UTF-8 character split over two reads",
        &["c01_a_character_split_over_two_reads_stays_one", "c01_a_character_split_over_two_reads_stays_one_in_every_dialect"],
    ),
    (
        2,
        "an event split over five reads",
        &["c02_an_event_split_over_five_reads_is_one_event", "c02_an_event_split_over_five_reads_is_one_event_in_every_dialect"],
    ),
    (3, "lines that end in CRLF", &["c03_lines_that_end_in_crlf_are_lines", "c03_lines_that_end_in_crlf_are_lines_in_every_dialect"]),
    (4, "`data:` without a space behind it", &["c04_data_needs_no_space_before_it", "c04_data_needs_no_space_before_it_in_any_dialect"]),
    (5, "comments and pings between events", &["c05_comments_and_pings_say_nothing", "c05_comments_and_pings_say_nothing_in_any_dialect"]),
    (6, "a tool of Anthropic's without input deltas has the arguments `{}`", &["c06_a_tool_with_no_input_deltas_gets_an_empty_object"]),
    (7, "parallel tools of Anthropic's are calls 0 and 1", &["c07_two_parallel_tools_are_calls_0_and_1"]),
    (8, "text, a tool and text again keep their order", &["c08_text_tool_and_text_come_in_their_order"]),
    (
        9,
        "thinking comes with its signature",
        &[
            "c09_thinking_is_told_as_it_grows_and_given_whole_with_its_signature",
            "c09_thinking_that_is_not_shown_still_keeps_its_signature",
        ],
    ),
    (
        10,
        "redacted thinking",
        &["c10_redacted_thinking_is_given_as_it_is", "c10_thoughts_of_a_stream_are_numbered_for_clients_and_go_back_without_their_numbers"],
    ),
    (
        11,
        "an overload inside a stream, before and after its first token",
        &[
            "c11_an_error_inside_a_stream_is_an_error_before_and_after_the_first_token",
            "c11_an_error_without_an_envelope_is_no_end_of_the_reply",
        ],
    ),
    (
        12,
        "a stream of Anthropic's that ends without `message_stop`",
        &["c12_a_stream_without_message_stop_is_not_complete_and_has_no_reason"],
    ),
    (13, "usage that stands on `message_delta` only", &["c13_usage_counts_wherever_it_stands"]),
    (
        14,
        "cached tokens count in the prompt and in the total",
        &["c14_a_whole_replys_usage_includes_the_cache", "c14_cached_tokens_are_part_of_the_prompt_and_the_total"],
    ),
    (15, "content is null where there are only calls", &["c15_content_is_null_where_there_are_only_calls"]),
    (16, "empty arguments in history", &["c16_empty_arguments_in_history_are_an_empty_object"]),
    (17, "arguments in history that are no JSON are a 400", &["c17_arguments_that_are_no_json_object_are_refused_by_name"]),
    (
        18,
        "consecutive tool results are one turn, results first",
        &[
            "c18_calls_and_results_that_do_not_match_are_refused_by_name",
            "c18_results_and_what_the_user_says_make_one_turn_with_the_results_first",
        ],
    ),
    (
        19,
        "ids of tools with `/`, `+` and `=`",
        &[
            "c19_an_id_with_base64_in_it_comes_back_as_it_was",
            "c19_ids_are_changed_alike_on_both_sides_and_stay_apart",
            "c19_long_ids_are_shortened_alike_on_both_sides_and_stay_apart",
        ],
    ),
    (
        20,
        "names of tools with dots and slashes round-trip",
        &["c20_a_tools_name_round_trips_through_choice_history_and_reply", "c20_names_with_dots_and_slashes_round_trip"],
    ),
    (21, "a system message in mid-conversation", &["c21_only_the_leading_run_of_system_messages_is_the_system_prompt"]),
    (22, "a user's empty text", &["c22_a_user_who_says_nothing_leaves_no_empty_text"]),
    (23, "stops of white space", &["c23_stops_of_white_space_are_left_out"]),
    (
        24,
        "a `user` that is an e-mail address",
        &["c24_a_user_is_sent_unless_it_is_an_address", "c24_a_user_that_is_an_address_or_a_number_is_not_sent"],
    ),
    (25, "no `max_tokens`", &["c25_max_tokens_is_always_sent"]),
    (26, "a temperature of 1.7", &["c26_temperature_is_clamped"]),
    (
        27,
        "a JSON schema with bounds and `oneOf`",
        &[
            "c27_a_schema_is_held_to_where_it_can_be_and_cleaned_for_it",
            "c27_a_schema_that_cannot_be_held_to_is_a_tools_input",
            "c27_unsupported_keywords_move_into_the_description",
        ],
    ),
    (28, "a 529 is a 503 for `on_status`", &["c28_a_529_runs_a_fallback_that_lists_503", "c28_overload_is_529_in_band_and_by_status"]),
    (
        29,
        "a spending limit's 429 is not tried again",
        &[
            "c29_a_spend_cap_429_is_not_retried",
            "c29_a_spend_cap_is_not_retried_and_opens_the_circuit_of_the_key",
            "c29_a_spending_limit_is_no_matter_of_waiting",
        ],
    ),
    (
        30,
        "roles alternate for Gemini",
        &[
            "c30_a_conversation_begins_with_the_user",
            "c30_a_conversation_is_never_empty",
            "c30_roles_alternate_however_the_conversation_went",
        ],
    ),
    (31, "a turn of images alone", &["c31_a_turn_of_images_alone_gets_a_text"]),
    (
        32,
        "a tool's result carries the function's name",
        &[
            "c32_a_result_carries_the_name_of_the_function_that_was_called",
            "c32_an_id_that_was_used_twice_means_the_call_before_the_result",
        ],
    ),
    (
        33,
        "results of tools out of order",
        &[
            "c33_results_stand_behind_their_calls_though_the_user_spoke_in_between",
            "c33_results_stand_together_in_the_order_of_their_calls",
        ],
    ),
    (
        34,
        "thought signatures round-trip, the first only of parallel calls",
        &[
            "c34_a_signature_goes_back_on_the_part_that_had_it",
            "c34_a_signature_leaves_in_the_id_and_beside_the_call",
            "c34_calls_of_another_model_get_a_stand_in_in_the_current_turn_only",
        ],
    ),
    (
        35,
        "`STOP` after a call in an earlier chunk",
        &["c35_a_stop_after_a_call_in_an_earlier_chunk_is_a_tool_call", "c35_stop_after_tool_calls_means_tool_calls"],
    ),
    (36, "a prompt that was blocked", &["c36_a_blocked_prompt_is_an_answer_without_content"]),
    (37, "`MAX_TOKENS` without content", &["c37_a_candidate_without_content_keeps_its_reason"]),
    (38, "cumulative usage is told once", &["c38_cumulative_usage_is_told_once_with_its_last_figures"]),
    (39, "thoughts inside the candidates' count and outside it", &["c39_thoughts_count_once_whether_they_are_included_or_not"]),
    (
        40,
        "no `[DONE]`: the end mark is ours",
        &["c40_a_stream_without_an_end_mark_gets_one_and_a_cut_one_does_not", "c40_the_end_of_a_stream_is_its_finish_reason_and_no_mark"],
    ),
    (
        41,
        "an error inside a stream of status 200",
        &["c41_an_error_after_the_first_token_ends_the_stream_in_an_error", "c41_an_error_inside_a_stream_is_an_error"],
    ),
    (
        42,
        "how long to wait, from `RetryInfo`",
        &["c42_how_long_to_wait_is_read_from_the_details", "c42_how_long_to_wait_is_read_from_the_message"],
    ),
    (
        43,
        "schemas that recur, and schema bombs",
        &[
            "c43_a_recursive_schema_is_refused",
            "c43_a_schema_bomb_is_refused_in_every_form",
            "c43_a_schema_bomb_names_the_tool_that_holds_it",
            "c43_the_limits_hold_at_their_edges",
        ],
    ),
    (44, "a model's id that climbs the path", &["c44_a_models_name_cannot_lead_elsewhere", "c44_no_model_id_climbs_the_path"]),
    (45, "Azure's first chunk without choices", &["c45_azures_first_chunk_is_dropped_and_names_nothing"]),
    (46, "Azure's chunks without a delta", &["c46_a_choice_without_a_delta_gets_one_or_is_dropped"]),
    (47, "`innererror` and `inner_error`", &["c47_both_spellings_of_the_inner_error_are_read"]),
    (
        48,
        "an error that is a page of HTML",
        &["c48_a_page_of_html_becomes_an_error_without_html", "c48_a_page_of_html_has_no_words_of_its_own"],
    ),
    (49, "`max_tokens` becomes `max_completion_tokens`", &["c49_max_tokens_becomes_max_completion_tokens_unless_told_otherwise"]),
    (
        50,
        "Azure's v1 URLs and those of deployments",
        &[
            "c50_azures_dated_api_and_its_v1_are_asked_at_their_own_urls",
            "c50_the_dated_api_names_the_deployment_in_its_path_and_v1_in_its_body",
        ],
    ),
    (51, "Workers' `response` that is a number or an object", &["c51_a_response_that_is_no_string_is_written_as_one"]),
    (
        52,
        "the null chunk that ends tool calls",
        &["c52_the_null_chunk_that_ends_tool_calls_is_dropped", "c52_the_null_event_that_ends_tool_calls_says_nothing"],
    ),
    (53, "a JSON schema without its envelope", &["c53_a_json_schema_is_sent_bare_with_its_name_for_title"]),
    (54, "Cloudflare's 3036 and 3040", &["c54_a_used_up_allowance_is_told_from_a_lack_of_capacity"]),
    (
        55,
        "`success: false` with status 200",
        &["c55_success_false_is_an_error_in_either_api", "c55_success_false_is_an_error_whole_and_streamed"],
    ),
    (
        56,
        "a whole reply where a stream was asked for becomes one",
        &[
            "c56_a_right_reply_passes_as_it_is_and_its_usage_is_read",
            "c56_a_whole_reply_to_a_client_that_wants_a_stream_becomes_one_whoever_answers",
        ],
    ),
    (
        57,
        "no usage where nobody asked for it",
        &[
            "c57_usage_is_in_a_stream_only_where_it_was_asked_for_and_then_last",
            "c57_usage_that_nobody_asked_for_is_counted_and_not_sent",
            "c57_usage_that_was_asked_for_comes_last_and_once",
        ],
    ),
    (
        58,
        "one id, model and time over a stream, also after a fallback",
        &[
            "c58_a_provider_without_names_gets_ours",
            "c58_a_stream_has_one_name_also_after_a_fallback_to_another_dialect",
            "c58_every_chunk_has_the_id_model_and_time_of_the_first",
        ],
    ),
    (
        59,
        "a client that hangs up before the first token ends the work behind it",
        &[
            "c59_hanging_up_before_the_first_event_hangs_up_on_every_kind_of_provider",
            "c59_hanging_up_ends_a_try_again_and_asks_nobody_else",
            "c59_hanging_up_ends_both_of_a_hedge",
        ],
    ),
    (60, "two choices and hooks: every choice is guarded", &["c60_a_hook_guards_every_choice", "c60_every_choice_is_looked_after"]),
    (61, "a post-hook's edit keeps usage and calls", &["c61_a_hooks_edit_keeps_usage_and_calls"]),
    (62, "a secret split over three chunks is caught", &["c62_a_secret_that_would_be_split_over_three_chunks_is_caught"]),
];

/// What the name of a test of this item begins with.
fn prefix(number: u32) -> String {
    format!("c{number:02}_")
}

/// Every test whose name begins as those of an item do.
fn numbered() -> Vec<String> {
    let sources = ["host/src", "tests/it"].into_iter().flat_map(under);
    let is_numbered = |name: &str| name.len() > 4 && name[1..3].bytes().all(|byte| byte.is_ascii_digit()) && name.starts_with('c');
    let names = |text: &str| -> Vec<String> {
        let functions = text.split("#[test]").chain(text.split("#[tokio::test")).skip(1).filter_map(|rest| {
            let (_, rest) = rest.split_once("fn ")?;
            rest.split('(').next().map(str::to_owned)
        });
        functions.filter(|name| is_numbered(name) && name.as_bytes()[3] == b'_').collect()
    };
    let mut found: Vec<String> = sources.flat_map(|source| names(&source.text)).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn the_list_is_whole_and_every_item_has_a_test_of_its_number() {
    for (place, (number, about, tests)) in (1..).zip(ITEMS) {
        assert_eq!(place, number, "{about}");
        assert!(!tests.is_empty(), "{number}, {about}: no test shows it");
        assert!(tests.iter().all(|test| test.starts_with(&prefix(number))), "{number}, {about}: a test's name is of another item");
    }
}

#[test]
fn the_list_names_the_tests_that_there_are() {
    let mut listed: Vec<String> = ITEMS.iter().flat_map(|(.., tests)| tests.iter().map(|test| (*test).to_owned())).collect();
    listed.sort();
    assert_eq!(listed, numbered(), "the list on the left, the tests in the sources on the right");
}
