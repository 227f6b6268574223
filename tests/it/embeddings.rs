//! `/v1/embeddings` and the models that an operator offers by name, through the real server: by a provider, and by the embedder inside.

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::Server;
use crate::upstream::{Script, Upstream};

const KEY: &str = "sk-of-a-0123456789";

async fn house(extra: &str) -> (Upstream, Server, Client) {
    let upstream = Upstream::start().await;
    let config = format!(
        r#"
        {extra}
        [[embeddings]]
        id = "small"
        provider = "a"
        model = "text-embedding-3-small"
        [[embeddings]]
        id = "minilm"
        provider = "builtin"
        model = "minilm"
        [providers.a]
        kind = "openai"
        base_url = "{}"
        secret_key_name = "KEY_A"
        models = ["gpt-4o", "org/model"]
        "#,
        upstream.url()
    );
    let server = Server::with(&config).env("KEY_A", KEY).start();
    let client = Client::of(server.address);
    (upstream, server, client)
}

fn vectors(rows: &[(usize, Value)]) -> Value {
    let data: Vec<Value> = rows.iter().map(|(index, vector)| json!({"object": "embedding", "index": index, "embedding": vector})).collect();
    json!({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": {"prompt_tokens": 5, "total_tokens": 5}})
}

#[tokio::test]
async fn a_provider_s_vectors_come_in_the_order_of_the_texts() {
    let (upstream, _server, client) = house("").await;
    upstream.next(Script::json(200, &vectors(&[(1, json!([0.5, -1.0])), (0, json!([1.0, 0.25]))])));
    let answer = client.post("/v1/embeddings", &json!({"model": "small", "input": ["a", "b"], "dimensions": 2, "user": "u"})).await.ok();
    let json = answer.json();
    assert_eq!((&json["data"][0]["embedding"], &json["data"][1]["embedding"]), (&json!([1.0, 0.25]), &json!([0.5, -1.0])));
    assert_eq!((&json["model"], &json["usage"]), (&json!("small"), &json!({"prompt_tokens": 5, "total_tokens": 5})));
    let [asked] = &upstream.requests()[..] else { panic!("one request") };
    assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/v1/embeddings", Some(&*format!("Bearer {KEY}"))));
    let body = asked.json();
    assert_eq!((&body["model"], &body["input"], &body["dimensions"]), (&json!("text-embedding-3-small"), &json!(["a", "b"]), &json!(2)));
}

#[tokio::test]
async fn tokens_are_passed_on_to_the_vendor_that_knows_them() {
    let (upstream, _server, client) = house("").await;
    upstream.next(Script::json(200, &vectors(&[(0, json!([1.0]))])));
    let answer =
        client.post("/v1/embeddings", &json!({"model": "a/org/model", "input": [[11, 12]], "encoding_format": "base64"})).await.ok();
    assert_eq!(answer.json()["data"][0]["embedding"], "AACAPw==");
    assert_eq!(upstream.requests()[0].json()["input"], json!([[11, 12]]));
}

#[tokio::test]
async fn the_embedder_inside_gives_unit_vectors_that_tell_texts_apart() {
    let (_upstream, _server, client) = house("").await;
    let body = json!({"model": "minilm", "input": ["How do I return a pump?", "Returning a pump", "The weather in Lisbon"]});
    let json = client.post("/v1/embeddings", &body).await.ok().json();
    let vector = |at: usize| -> Vec<f64> {
        json["data"][at]["embedding"].as_array().expect("numbers").iter().map(|n| n.as_f64().expect("a number")).collect()
    };
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let [question, near, far] = [0, 1, 2].map(vector);
    assert!((product(&question, &question) - 1.0).abs() < 1e-3);
    assert!(product(&question, &near) > product(&question, &far) + 0.2);
}

#[tokio::test]
async fn a_mistake_in_an_embeddings_request_names_its_field() {
    let (upstream, _server, client) = house("[limits.http]\nembedding_inputs = 2").await;
    for (body, param, status) in [
        (json!({"model": "small"}), "input", 400),
        (json!({"model": "small", "input": ["a", "b", "c"]}), "input", 400),
        (json!({"model": "small", "input": ["a", " "]}), "input[1]", 400),
        (json!({"model": "small", "input": "a", "encoding_format": "int8"}), "encoding_format", 400),
        (json!({"model": "small", "input": "a", "dimensions": 0}), "dimensions", 400),
        (json!({"model": "minilm", "input": "a", "dimensions": 7}), "dimensions", 400),
        (json!({"model": "minilm", "input": [1, 2]}), "input", 400),
        (json!({"model": "nobody", "input": "a"}), "model", 404),
        (json!({"model": "builtin/minilm", "input": "a"}), "model", 404),
    ] {
        let answer = client.post("/v1/embeddings", &body).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["param"]), (status, &json!(param)), "{body}");
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn vectors_that_do_not_fit_the_texts_are_an_invalid_reply() {
    let (upstream, _server, client) = house("[limits.providers]\nretries = 0").await;
    for rows in [vec![], vec![(0, json!([1.0])), (0, json!([1.0]))], vec![(0, json!([1.0])), (7, json!([1.0]))]] {
        upstream.next(Script::json(200, &vectors(&rows)));
        let answer = client.post("/v1/embeddings", &json!({"model": "small", "input": ["a", "b"]})).await;
        assert_eq!(answer.refused(502), "provider_garbled", "{rows:?}");
    }
}

#[tokio::test]
async fn a_model_that_the_operator_offers_is_listed_and_answers_without_a_pipeline() {
    let (upstream, _server, client) = house("").await;
    let models = client.get("/v1/models").await.ok().json();
    let ids: Vec<&str> = models["data"].as_array().expect("a list").iter().filter_map(|model| model["id"].as_str()).collect();
    assert_eq!(ids, ["default", "a/gpt-4o", "a/org/model", "small"]);
    assert_eq!(client.get("/v1/models/a%2Fgpt-4o").await.ok().json()["owned_by"], "a");
    assert_eq!(client.get("/v1/models/small").await.ok().json()["owned_by"], "a");
    upstream.next(Script::says("hello"));
    assert_eq!(client.chat("a/org/model", "hi", json!({})).await.ok().content(), "hello");
    assert_eq!(upstream.requests()[0].json()["model"], "org/model");
    assert_eq!(upstream.requests()[0].header("authorization"), Some(&*format!("Bearer {KEY}")));
    for unknown in ["a/gpt-5", "a/", "b/gpt-4o", "builtin/x", "a"] {
        assert_eq!(client.chat(unknown, "hi", json!({})).await.refused(404), "model_not_found", "{unknown}");
    }
}

#[tokio::test]
async fn a_star_offers_every_model_of_a_provider_and_lists_none() {
    let upstream = Upstream::start().await;
    let config = format!("[providers.a]\nkind = \"openai\"\nbase_url = \"{}\"\nmodels = [\"*\"]", upstream.url());
    let server = Server::with(&config).start();
    let client = Client::of(server.address);
    upstream.next(Script::says("hello"));
    assert_eq!(client.chat("a/anything", "hi", json!({})).await.ok().content(), "hello");
    let models = client.get("/v1/models").await.ok().json();
    assert_eq!(models["data"].as_array().map(Vec::len), Some(1), "{models}");
}

/// A server whose documents are embedded by the provider.
async fn far(dimensions: usize) -> (Upstream, Server, Client) {
    let rag = format!(
        "[rag]\nembedder = \"far\"\n[rag.embedders.far]\nkind = \"remote\"\nprovider = \"a\"\nmodel = \"text-embedding-3-small\"\ndimensions = {dimensions}\n"
    );
    house(&rag).await
}

const KNOWLEDGE: &str = "/api/v1/gateway/apis/default/knowledge";

#[tokio::test]
async fn a_provider_embeds_documents_and_questions_while_clients_are_given_the_embedder_inside() {
    let (upstream, _server, client) = far(2).await;
    // Of any length: they become unit vectors.
    let vector = |text: &str| match text {
        "The pump is behind the gate." => json!([0.0, 7.0]),
        "Where is the pump?" => json!([3.0, 4.0]),
        _ => json!([2.0, 0.0]),
    };
    upstream.answer_with(move |request| {
        let texts = request.json()["input"].as_array().expect("a list").clone();
        let rows: Vec<_> = texts.iter().map(|text| vector(text.as_str().expect("a text"))).enumerate().collect();
        Script::json(200, &vectors(&rows))
    });
    client.upload("default", "pump.txt", b"The pump is behind the gate.").await.ok();
    let search = json!({"query": "Where is the pump?", "score_threshold": 0.1});
    let found = client.post(&format!("{KNOWLEDGE}/test"), &search).await.ok().json();
    let number = |name: &str| found["data"][0][name].as_f64().expect("a number");
    // Unrelated texts have a cosine of .6 with this question, and .8 is as much above that as it is below 1.
    assert!((number("cosine") - 0.8).abs() < 1e-3 && (number("likeness") - 0.5).abs() < 1e-3, "{found}");
    let asked = || upstream.requests().iter().map(|request| request.json()["input"].clone()).collect::<Vec<Value>>();
    let (first, last) = (json!(["The pump is behind the gate."]), json!(["Where is the pump?"]));
    let requests = asked().len();
    assert_eq!((&asked()[0], &asked()[requests - 1]), (&first, &last));
    assert!(asked()[1..requests - 1].iter().all(|texts| texts.as_array().is_some_and(|texts| texts.len() > 9)), "unrelated texts");
    // The same question again is not asked again, and what unrelated texts are like is known.
    client.post(&format!("{KNOWLEDGE}/test"), &search).await.ok();
    client.post(&format!("{KNOWLEDGE}/test"), &json!({"query": "Where is the pump now?"})).await.ok();
    assert_eq!(asked()[requests..], [json!(["Where is the pump now?"])]);
    let body = json!({"model": "minilm", "input": "pump"});
    let inside = client.post("/v1/embeddings", &body).await.ok().json();
    assert_eq!(inside["data"][0]["embedding"].as_array().map(Vec::len), Some(384));
    assert_eq!(upstream.requests().len(), requests + 1);
}

#[tokio::test]
async fn a_provider_whose_vectors_have_another_length_stores_nothing() {
    let (upstream, _server, client) = far(3).await;
    upstream.next(Script::json(200, &vectors(&[(0, json!([0.0, 7.0]))])));
    let refused = client.upload("default", "pump.txt", b"The pump is behind the gate.").await;
    assert_eq!((refused.status.as_u16(), refused.json()["error"]["code"].as_str()), (500, Some("embedder_failed")));
    assert_eq!(client.get(&format!("{KNOWLEDGE}/documents")).await.ok().json()["data"], json!([]));
}

#[tokio::test]
async fn a_folder_without_a_model_stops_the_start_and_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("pytorch_model.bin"), b"\x80\x02}").expect("written");
    std::fs::write(folder.path().join("config.json"), r#"{"model_type": "gpt2"}"#).expect("written");
    let config = format!("[rag]\nembedder = \"e\"\n[rag.embedders.e]\nkind = \"local\"\npath = {:?}\n", folder.path());
    let said = Server::with(&config).refused();
    assert!(said.contains("config.json: the model is gpt2"), "{said}");
}
