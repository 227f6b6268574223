//! Components that hold others which call each other: what these hand each other in one go is bounded by the memory that they have together,
//! and everything else of it costs fuel and time like what they do themselves.

use serde_json::json;

use super::{LIMITS, PATIENT, config, counted, ends_in};
use crate::client::Client;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_parts_hand_each_other_without_end_run_out_of_time() {
    let limits = r#"{ fuel = 1_000_000_000_000, time = "200ms" }"#;
    ends_in("text_parts", "pre_hook", limits, "plugin_time_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_parts_hand_each_other_cost_fuel_for_every_element() {
    ends_in("list_parts", "pre_hook", LIMITS, "plugin_fuel_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_may_hand_each_other_much_have_less_memory_together() {
    ends_in("large_parts", "pre_hook", r#"{ memory = "1GiB" }"#, "plugin_memory_exhausted").await;
    // A limit of memory that is lower holds for them as for any other.
    ends_in("calm_parts", "pre_hook", r#"{ memory = "511KiB" }"#, "plugin_memory_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_parts_is_limited_to_the_byte() {
    // Four pages of the hook, 160 of each part.
    let bytes = 324 * (64 << 10);
    for (limit, fits) in [(bytes, true), (bytes - 1, false)] {
        let limits = format!(r#"{{ composed_memory = {limit}, time = "20s" }}"#);
        let config = PATIENT.to_owned() + &config("large-parts", "pre_hook", &limits, "reject");
        let server = Server::with(&config).plugin_as("large_parts", "large-parts").start();
        let answer = Client::of(server.address).chat("victim", "hello", json!({})).await;
        if fits {
            answer.ok();
        } else {
            assert_eq!(answer.refused(502), "plugin_memory_exhausted");
            assert!(answer.json()["error"]["message"].as_str().is_some_and(|why| why.contains("composed_memory")), "{answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_none_and_calls_into_oneself_are_traps() {
    for guest in ["long_text_parts", "bad_text_parts", "own_part"] {
        ends_in(guest, "pre_hook", r#"{ time = "20s" }"#, "plugin_trapped").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_may_hand_each_other_much_run_on_the_guests_threads_however_quick_they_are() {
    let config = PATIENT.to_owned() + &config("calm-parts", "pre_hook", r#"{ time = "20s" }"#, "reject");
    let server = Server::with(&config).plugin_as("calm_parts", "calm-parts").start();
    let client = Client::of(server.address);
    for _ in 0..100 {
        client.chat("victim", "hello", json!({})).await.ok();
    }
    let metrics = client.get("/metrics").await.text();
    let place = |place: &str| counted(&metrics, &format!("cofferdam_plugin_call_places_total{{plugin=\"calm-parts\",place=\"{place}\"}}"));
    assert_eq!((place("apart"), place("inline"), place("handed_over")), (100, 0, 0));
}
