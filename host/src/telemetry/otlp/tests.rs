//! What a collector is sent, and what becomes of spans that it does not take.

use std::sync::Mutex;

use serde_json::Value as Json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing_subscriber::layer::SubscriberExt as _;

use super::super::{Ended, Operation, llm_answered, llm_done, llm_span, llm_used, request_done, request_span};
use super::*;

/// Notes each batch and answers it as the test says.
struct Fake {
    batches: UnboundedSender<Json>,
    answers: Mutex<Vec<Result<(), String>>>,
}

impl Deliver for Fake {
    fn deliver(&self, json: Vec<u8>) -> BoxFuture<'_, Result<(), String>> {
        self.batches.send(serde_json::from_slice(&json).expect("JSON")).expect("the test listens");
        let answer = self.answers.lock().unwrap().pop().unwrap_or(Ok(()));
        Box::pin(async move { answer })
    }
}

fn fake(answers: &[Result<(), String>]) -> (Fake, UnboundedReceiver<Json>) {
    let (batches, received) = unbounded_channel();
    (Fake { batches, answers: Mutex::new(answers.iter().rev().cloned().collect()) }, received)
}

fn export(queue: usize) -> Export {
    Export { otlp_endpoint: Some("http://collector".into()), otlp_queue: queue, otlp_delay: Duration::ZERO, ..Export::default() }
}

fn gathering(queue: usize) -> (impl tracing::Subscriber + Send + Sync, Spans) {
    let (collecting, spans) = super::queue(&export(queue)).expect("an endpoint");
    (tracing_subscriber::registry().with(collecting), spans)
}

fn spans_of(batch: &Json) -> &Vec<Json> {
    batch["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans")
}

fn attribute(span: &Json, key: &str) -> Json {
    let all = span["attributes"].as_array().expect("attributes");
    all.iter().find(|attribute| attribute["key"] == key).map_or(Json::Null, |attribute| attribute["value"].clone())
}

#[test]
fn without_an_endpoint_there_is_no_queue() {
    assert!(super::queue(&Export::default()).is_none());
}

#[tokio::test]
async fn a_request_and_its_try_arrive_as_one_trace_by_the_conventions_names() {
    let (subscriber, spans) = gathering(9);
    tracing::subscriber::with_default(subscriber, || {
        let request = request_span("r-1", Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        let attempt = request.in_scope(|| llm_span(Operation { name: "chat", system: "openai", model: "gpt-4o" }, "my-vllm", 1));
        llm_answered(&attempt, Some("gpt-4o-2024"), &["stop", "length"]);
        llm_used(&attempt, 12, 7);
        llm_done(&attempt, "ok", None, 0.25);
        drop(attempt);
        request_done(
            &request,
            &Ended {
                method: "POST",
                route: "chat_completions",
                status: 200,
                outcome: "done",
                pipeline: Some("p"),
                caller: None,
                unseen: None,
            },
        );
    });
    let ((collector, mut received), (stop, stopped)) = (fake(&[]), oneshot::channel());
    drop(stop);
    spans.send(collector, Metrics::new(), stopped).await;
    let batch = received.recv().await.expect("a batch");
    assert_eq!(attribute(&batch["resourceSpans"][0]["resource"], "service.name")["stringValue"], "cofferdam");
    let [attempt, request] = &spans_of(&batch)[..] else { panic!("two spans: {batch}") };
    assert_eq!((&request["traceId"], &request["parentSpanId"]), (&"0af7651916cd43dd8448eb211c80319c".into(), &"b7ad6b7169203331".into()));
    assert_eq!((&attempt["traceId"], &attempt["parentSpanId"]), (&request["traceId"], &request["spanId"]));
    assert_eq!(
        (&request["name"], &request["kind"], &attempt["name"], &attempt["kind"]),
        (&"POST chat_completions".into(), &2.into(), &"chat gpt-4o".into(), &3.into())
    );
    for (key, value) in [
        ("gen_ai.operation.name", serde_json::json!({"stringValue": "chat"})),
        ("gen_ai.provider.name", serde_json::json!({"stringValue": "openai"})),
        ("gen_ai.response.model", serde_json::json!({"stringValue": "gpt-4o-2024"})),
        (
            "gen_ai.response.finish_reasons",
            serde_json::json!({"arrayValue": {"values": [{"stringValue": "stop"}, {"stringValue": "length"}]}}),
        ),
        ("gen_ai.usage.input_tokens", serde_json::json!({"intValue": "12"})),
        ("duration_ms", serde_json::json!({"doubleValue": 250.0})),
        ("error.type", Json::Null),
    ] {
        assert_eq!(attribute(attempt, key), value, "{key}");
    }
    assert_eq!(attribute(request, "http.response.status_code")["intValue"], "200");
    assert!(attempt.get("status").is_none() && attempt["startTimeUnixNano"].as_str() <= attempt["endTimeUnixNano"].as_str());
}

#[tokio::test]
async fn a_trace_that_the_client_does_not_want_recorded_is_not_sent() {
    let (subscriber, mut spans) = gathering(9);
    tracing::subscriber::with_default(subscriber, || {
        let request = request_span("r-1", Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"));
        request.in_scope(|| llm_span(Operation { name: "chat", system: "openai", model: "m" }, "a", 1));
        drop(request_span("r-2", Some("nonsense")));
    });
    assert_eq!(spans.waiting.recv().await.expect("the second").span.parent, None);
    assert!(spans.waiting.try_recv().is_err());
}

#[tokio::test]
async fn spans_over_the_queue_and_those_of_a_dead_collector_are_counted() {
    let (subscriber, spans) = gathering(2);
    tracing::subscriber::with_default(subscriber, || {
        for id in ["r-1", "r-2", "r-3", "r-4", "r-5"] {
            drop(request_span(id, None));
        }
    });
    let metrics = Metrics::new();
    let ((collector, mut received), (stop, stopped)) = (fake(&[Err("it is down".into())]), oneshot::channel());
    drop(stop);
    spans.send(collector, metrics.clone(), stopped).await;
    assert_eq!(spans_of(&received.recv().await.expect("a batch")).len(), 2);
    let text = metrics.render();
    assert!(text.contains(r#"cofferdam_otlp_spans_total{outcome="dropped"} 5"#) && !text.contains("sent"), "{text}");
}

#[tokio::test]
async fn a_batch_has_no_more_than_its_limit_and_the_rest_follows() {
    let (subscriber, mut spans) = gathering(9);
    spans.export.otlp_batch = 2;
    tracing::subscriber::with_default(subscriber, || (0..5).for_each(|id| drop(request_span(&id.to_string(), None))));
    let metrics = Metrics::new();
    let ((collector, mut received), (stop, stopped)) = (fake(&[]), oneshot::channel());
    let sending = tokio::spawn(spans.send(collector, metrics.clone(), stopped));
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 5 {
        sizes.push(spans_of(&received.recv().await.expect("a batch")).len());
    }
    assert!(sizes.iter().all(|size| *size <= 2), "{sizes:?}");
    stop.send(()).expect("it waits");
    sending.await.expect("it ends");
    assert!(metrics.render().contains(r#"cofferdam_otlp_spans_total{outcome="sent"} 5"#));
}

#[tokio::test]
async fn a_long_text_is_cut() {
    let (subscriber, mut spans) = gathering(9);
    tracing::subscriber::with_default(subscriber, || {
        drop(llm_span(Operation { name: "chat", system: "openai", model: &"é".repeat(300) }, "a", 1));
    });
    let span = spans.waiting.recv().await.expect("a span").span;
    let model = span.attributes.iter().find(|(key, _)| *key == "gen_ai.request.model");
    assert_eq!(model.expect("the model").1, Value::Text("é".repeat(256)));
}
