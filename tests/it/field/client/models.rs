//! The list of models and its entries.

use serde_json::json;

use crate::client::Client;
use crate::server::Server;

/// Case 37: a listed model can be fetched by its id, in every spelling that clients have.
#[tokio::test]
async fn a_model_with_slashes_in_its_name_is_fetched_by_its_id() {
    let config =
        "[providers.up]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\nmodels = [\"mistralai/mistral-7b\", \"a:free\"]\n";
    let server = Server::with(config).start();
    let client = Client::of(server.address);
    let models = client.get("/v1/models").await.ok().json();
    let ids: Vec<String> =
        models["data"].as_array().expect("a list").iter().filter_map(|model| model["id"].as_str().map(str::to_owned)).collect();
    assert!(ids.contains(&"up/mistralai/mistral-7b".to_owned()), "{ids:?}");
    for id in &ids {
        for path in [id.clone(), id.replace('/', "%2F"), id.replace('/', "%2f"), id.replacen('/', "%2F", 1)] {
            let model = client.get(&format!("/v1/models/{path}")).await.ok().json();
            assert_eq!(model["id"], json!(id), "{path}");
        }
    }
    for path in ["up/nobody", "up", "up/mistralai/mistral-7b/more", "up//a:free"] {
        assert_eq!(client.get(&format!("/v1/models/{path}")).await.refused(404), "model_not_found", "{path}");
    }
}
