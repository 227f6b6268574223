//! Figures that plugins bring, in `/metrics` of the real server: under the plugin's own name, and so many that nobody is flooded.

use serde_json::json;

use crate::client::Client;
use crate::plugin_kv::{house, with_key};

#[tokio::test]
async fn a_plugin_has_sixty_four_series_and_none_under_another_name() {
    let server = house(&["keeper"], "[plugins.keeper]\ngrants = { kv = {} }\nlimits = { time = \"20s\" }\n").start();
    let anna = with_key(&server, "anna");
    for _ in 0..2 {
        assert_eq!(anna.chat("keeper", "count 5000", json!({})).await.ok().content(), "counted 5000");
    }
    let metrics = with_key(&server, "boss").get("/metrics").await.text();
    let line = |line: &str| assert!(metrics.lines().any(|of| of == line), "no line {line} in {metrics}");
    line(r#"cofferdam_plugin_custom_total{plugin="keeper",name="bomb",id="0"} 2.0"#);
    line(r#"cofferdam_plugin_custom_values_sum{plugin="keeper",name="last"} 1.0"#);
    // Of five thousand sixty-three beside the histogram, twice; and the two that have no fit name or label.
    line(&format!(r#"cofferdam_plugin_custom_dropped_total{{plugin="keeper"}} {}"#, 2 * (5_000 - 63 + 2)));
    assert_eq!(metrics.lines().filter(|of| of.starts_with("cofferdam_plugin_custom_total{")).count(), 63);
    assert!(!metrics.contains("stolen"), "{metrics}");
}

#[tokio::test]
async fn what_plugins_put_into_labels_is_shown_to_operators_alone() {
    let server = house(&["keeper"], "[plugins.keeper]\ngrants = { kv = {} }\nlimits = { time = \"20s\" }\n").start();
    let anna = with_key(&server, "anna");
    anna.chat("keeper", "count 1", json!({})).await.ok();
    let own = |metrics: &str| metrics.contains("plugin_custom_total{") || metrics.contains("plugin_custom_values");
    for client in [&anna, &Client::of(server.address)] {
        let metrics = client.get("/metrics").await.ok().text();
        assert!(metrics.contains("cofferdam_plugin_calls_total{") && !own(&metrics), "{metrics}");
    }
    assert!(own(&with_key(&server, "boss").get("/metrics").await.ok().text()));
}
