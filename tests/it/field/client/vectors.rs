//! Embeddings as official clients ask for them unasked: base64, token ids.

use serde_json::{Value, json};

use super::{house, last_sent};
use crate::upstream::Script;

fn vector() -> Script {
    let data = json!([{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}]);
    Script::json(200, &json!({"object": "list", "model": "e", "data": data, "usage": {"prompt_tokens": 2, "total_tokens": 2}}))
}

/// Case 35: base64 is asked for unasked, and some servers refuse `float`, or the field.
#[tokio::test]
async fn a_server_is_asked_for_no_form_of_numbers_and_the_client_gets_the_one_it_wants() {
    let house = house().await;
    house.op.always(vector());
    for (format, expected) in
        [(Value::Null, json!([0.5, -0.25])), (json!("float"), json!([0.5, -0.25])), (json!("base64"), json!("AAAAPwAAgL4="))]
    {
        let body = json!({"model": "op/e", "input": "x", "encoding_format": format});
        let answer = house.client.post("/v1/embeddings", &body).await.ok().json();
        assert_eq!(answer["data"][0]["embedding"], expected, "{format}");
        assert_eq!(last_sent(&house.op), json!({"model": "e", "input": ["x"]}));
    }
}

/// Case 36: LangChain sends token ids by default.
#[tokio::test]
async fn token_ids_go_to_a_provider_and_the_embedder_inside_says_what_to_switch_off() {
    let house = house().await;
    house.op.always(vector());
    for tokens in [json!([[9906, 1917]]), json!([9906, 1917])] {
        house.client.post("/v1/embeddings", &json!({"model": "op/e", "input": tokens})).await.ok();
        assert_eq!(last_sent(&house.op)["input"], json!([[9906, 1917]]));
        let refused = house.client.post("/v1/embeddings", &json!({"model": "minilm", "input": tokens})).await;
        let error = refused.json()["error"].clone();
        assert_eq!((refused.status.as_u16(), &error["param"]), (400, &json!("input")));
        assert!(error["message"].as_str().is_some_and(|message| message.contains("check_embedding_ctx_length=False")), "{error}");
    }
}
