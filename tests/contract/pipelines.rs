//! What every `PipelineStore` promises: a pipeline is kept as it was given, replaced whole, and found again by the next process.

use std::sync::Arc;

use cofferdam::pipeline::PipelineStore;
use futures_util::FutureExt;

use super::backends::Backend;

on_every_backend!(
    a_pipeline_is_kept_replaced_and_found_again_after_reopening,
    a_definition_is_given_back_to_the_byte,
    pipelines_come_in_the_order_of_their_ids,
    pipelines_that_are_put_at_once_are_all_kept,
    a_put_whose_caller_goes_away_is_whole_or_nothing,
    a_deleted_pipeline_is_gone_also_after_reopening,
);

async fn store(backend: &impl Backend) -> Arc<dyn PipelineStore> {
    backend.open().await.pipelines
}

fn rows(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(id, json)| ((*id).to_owned(), (*json).to_owned())).collect()
}

async fn a_pipeline_is_kept_replaced_and_found_again_after_reopening(backend: impl Backend) {
    let pipelines = store(&backend).await;
    assert_eq!(pipelines.all().await.unwrap(), []);
    pipelines.put("support", r#"{"pipeline":[]}"#).await.unwrap();
    pipelines.put("docs", "{}").await.unwrap();
    pipelines.put("support", r#"{"pipeline":[1]}"#).await.unwrap();
    drop(pipelines);
    assert_eq!(store(&backend).await.all().await.unwrap(), rows(&[("docs", "{}"), ("support", r#"{"pipeline":[1]}"#)]));
}

async fn a_definition_is_given_back_to_the_byte(backend: impl Backend) {
    let pipelines = store(&backend).await;
    let long = format!("{{\"z\" : 1.50, \"a\":\"é\u{1f6f6}\\u0000 '\\\"\",\n \"long\":\"{}\"}}", "x".repeat(1 << 20));
    pipelines.put("odd", &long).await.unwrap();
    assert_eq!(pipelines.all().await.unwrap(), rows(&[("odd", &long)]));
}

async fn pipelines_come_in_the_order_of_their_ids(backend: impl Backend) {
    let pipelines = store(&backend).await;
    for id in ["b", "a-1", "a.1", "B", "a_1", "a"] {
        pipelines.put(id, "{}").await.unwrap();
    }
    let ids: Vec<String> = pipelines.all().await.unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["B", "a", "a-1", "a.1", "a_1", "b"]);
}

async fn pipelines_that_are_put_at_once_are_all_kept(backend: impl Backend) {
    let pipelines = store(&backend).await;
    let puts: Vec<_> = (0..20)
        .map(|n| {
            let pipelines = Arc::clone(&pipelines);
            tokio::spawn(async move { pipelines.put(&format!("p{}", n % 10), &format!("{{\"n\":{n}}}")).await })
        })
        .collect();
    for put in puts {
        put.await.unwrap().unwrap();
    }
    let all = pipelines.all().await.unwrap();
    assert_eq!(all.len(), 10);
    for (n, (id, json)) in all.iter().enumerate() {
        assert_eq!(id, &format!("p{n}"));
        assert!([format!("{{\"n\":{n}}}"), format!("{{\"n\":{}}}", n + 10)].contains(json), "{json}");
    }
}

async fn a_deleted_pipeline_is_gone_also_after_reopening(backend: impl Backend) {
    let pipelines = store(&backend).await;
    pipelines.put("a", "{}").await.unwrap();
    pipelines.put("ab", "{}").await.unwrap();
    assert!(!pipelines.delete("b").await.unwrap());
    assert!(pipelines.delete("a").await.unwrap());
    assert!(!pipelines.delete("a").await.unwrap());
    drop(pipelines);
    let pipelines = store(&backend).await;
    assert_eq!(pipelines.all().await.unwrap(), rows(&[("ab", "{}")]));
    pipelines.put("a", "[]").await.unwrap();
    assert_eq!(pipelines.all().await.unwrap(), rows(&[("a", "[]"), ("ab", "{}")]));
}

async fn a_put_whose_caller_goes_away_is_whole_or_nothing(backend: impl Backend) {
    let pipelines = store(&backend).await;
    pipelines.put("a", "old").await.unwrap();
    assert!(pipelines.put("a", "new").now_or_never().is_none_or(|put| put.is_ok()));
    pipelines.put("b", "{}").await.unwrap();
    let all = pipelines.all().await.unwrap();
    assert!(["old", "new"].contains(&all[0].1.as_str()) && all.len() == 2, "{all:?}");
}
