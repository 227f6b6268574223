//! What is there can be listed by page and deleted: pipelines, documents, namespaces. What is deleted makes room, and is found no more.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::server::Server;

const CONFIG: &str = r#"
    [[pipelines]]
    id = "kb"
    pipeline = [
        { stage = "rag", config = { top_k = 5, score_threshold = 0.0 } },
        { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } },
    ]
"#;

async fn delete(client: &Client, path: &str) -> Answer {
    client.send(Method::DELETE, path, None, Bytes::new()).await
}

async fn put(client: &Client, id: &str) -> Answer {
    let definition = json!([{"stage": "llm", "config": {"primary": {"provider": "builtin", "model": "m"}}}]);
    client.put(&format!("/api/v1/gateway/apis/{id}/pipeline"), &definition).await
}

fn strings<'a>(page: &'a Value, key: &str) -> Vec<&'a str> {
    page["data"].as_array().expect("a list").iter().map(|entry| entry[key].as_str().unwrap_or("-")).collect()
}

/// Every page of a list, of two entries each.
async fn all(client: &Client, path: &str) -> Vec<Value> {
    let (mut entries, mut after) = (Vec::new(), String::new());
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let page = client.get(&format!("{path}{sign}limit=2&after={after}")).await.ok().json();
        let data = page["data"].as_array().expect("a list").clone();
        assert!(data.len() == 2 || page["has_more"] == false, "{page}");
        entries.extend(data);
        if page["has_more"] == false {
            return entries;
        }
        after = page["last_id"].as_str().expect("an id").to_owned();
    }
}

async fn upload(client: &Client, api: &str, namespace: &str, name: &str, text: &str) -> Answer {
    let field = |head: &str, value: &str| format!("--edge\r\ncontent-disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let body = field("name=\"namespace\"", namespace) + &field(&format!("name=\"file\"; filename=\"{name}\""), text) + "--edge--\r\n";
    let path = format!("/api/v1/gateway/apis/{api}/knowledge/upload");
    client.send(Method::POST, &path, Some("multipart/form-data; boundary=edge"), body.into()).await
}

async fn sources(client: &Client, api: &str, namespace: &str) -> Vec<String> {
    let question = json!({"query": "words about pumps", "namespace": namespace, "score_threshold": 0.0, "top_k": 50});
    let found = client.post(&format!("/api/v1/gateway/apis/{api}/knowledge/test"), &question).await.ok().json();
    let mut sources: Vec<String> = strings(&found, "source").into_iter().map(str::to_owned).collect();
    sources.sort();
    sources
}

#[tokio::test]
async fn apis_are_listed_by_page_with_the_place_of_their_pipelines() {
    let server = Server::with(CONFIG).start();
    let client = Client::of(server.address);
    for id in ["zoo", "abc", "kb.2"] {
        put(&client, id).await.ok();
    }
    let apis = all(&client, "/api/v1/gateway/apis").await;
    let shown: Vec<_> = apis.iter().map(|api| (api["id"].as_str().expect("an id"), api["origin"].as_str().expect("an origin"))).collect();
    assert_eq!(shown, [("abc", "api"), ("kb", "file"), ("kb.2", "api"), ("zoo", "api")]);
    let page = client.get("/api/v1/gateway/apis?after=kb").await.ok().json();
    assert_eq!((strings(&page, "id"), &page["has_more"], &page["last_id"]), (vec!["kb.2", "zoo"], &json!(false), &json!("zoo")));
    for query in ["limit=0", "limit=1001", "offset=2", "limit=1&limit=1"] {
        let refused = client.get(&format!("/api/v1/gateway/apis?{query}")).await;
        assert_eq!(refused.refused(400), "invalid_value", "{query}");
    }
    client.get("/api/v1/gateway/apis?limit=1000").await.ok();
}

#[tokio::test]
async fn a_deleted_pipeline_is_gone_makes_room_and_leaves_its_knowledge() {
    let config = format!("{CONFIG}\n[limits]\npipelines = 2\n");
    let server = Server::with(&config).start();
    let client = Client::of(server.address);
    put(&client, "one").await.ok();
    put(&client, "two").await.ok();
    upload(&client, "one", "default", "a.txt", "words about pumps").await.ok();
    assert_eq!(put(&client, "three").await.refused(409), "too_many_pipelines");
    let path = "/api/v1/gateway/apis/one/pipeline";
    assert_eq!(delete(&client, path).await.ok().json(), json!({"id": "one", "object": "pipeline", "deleted": true}));
    assert_eq!(delete(&client, path).await.refused(404), "api_not_found");
    assert_eq!(client.get(path).await.refused(404), "api_not_found");
    assert_eq!(client.chat("one", "x", json!({})).await.refused(404), "model_not_found");
    let of_the_file = delete(&client, "/api/v1/gateway/apis/kb/pipeline").await;
    assert_eq!(of_the_file.refused(409), "pipeline_read_only");
    assert!(of_the_file.text().contains("operator's file"), "{of_the_file:?}");
    put(&client, "three").await.ok();
    assert_eq!(put(&client, "four").await.refused(409), "too_many_pipelines");

    let folder = server.folder.clone();
    drop(server);
    let server = Server::with(&config).folder(folder).start();
    let client = Client::of(server.address);
    let apis = client.get("/api/v1/gateway/apis").await.ok().json();
    assert_eq!((strings(&apis, "id"), strings(&apis, "origin")), (vec!["kb", "one", "three", "two"], vec!["file", "-", "api", "api"]));
    // Its knowledge is seen and deleted without it, and found again with it.
    let documents = all(&client, "/api/v1/gateway/apis/one/knowledge/documents").await;
    assert_eq!(documents.len(), 1);
    delete(&client, "/api/v1/gateway/apis/three/pipeline").await.ok();
    put(&client, "one").await.ok();
    assert_eq!(sources(&client, "one", "default").await, ["a.txt"]);
    delete(&client, path).await.ok();
    let document = documents[0]["id"].as_str().expect("an id");
    delete(&client, &format!("/api/v1/gateway/apis/one/knowledge/documents/{document}")).await.ok();
    assert_eq!(client.get("/api/v1/gateway/apis/one/knowledge/documents").await.refused(404), "api_not_found");
    assert_eq!(strings(&client.get("/api/v1/gateway/apis").await.ok().json(), "id"), ["kb", "two"]);
}

#[tokio::test]
async fn a_kept_pipeline_that_is_no_longer_valid_can_be_deleted_too() {
    let server = Server::with(CONFIG).start();
    put(&Client::of(server.address), "old").await.ok();
    let folder = server.folder.clone();
    drop(server);
    let database = rusqlite::Connection::open(folder.path().join("data/cofferdam.db")).expect("the database opens");
    database.execute("UPDATE pipelines SET json = '{}' WHERE id = 'old'", []).expect("written");
    drop(database);
    let server = Server::with(CONFIG).folder(folder).start();
    let (client, path) = (Client::of(server.address), "/api/v1/gateway/apis/old/pipeline");
    assert_eq!(client.get(path).await.refused(404), "api_not_found");
    delete(&client, path).await.ok();
    assert_eq!(delete(&client, path).await.refused(404), "api_not_found");
}

#[tokio::test]
async fn documents_are_listed_shown_and_deleted_within_their_api_alone() {
    let server = Server::with(CONFIG).start();
    let client = Client::of(server.address);
    put(&client, "other").await.ok();
    for name in ["c.txt", "a.txt", "b.md"] {
        upload(&client, "kb", "default", name, "words about pumps").await.ok();
    }
    upload(&client, "kb", "more", "a.txt", "words about pumps").await.ok();
    upload(&client, "other", "default", "theirs.txt", "words about pumps").await.ok();
    let documents = "/api/v1/gateway/apis/kb/knowledge/documents";
    let listed = all(&client, documents).await;
    let names: Vec<_> = listed.iter().map(|document| (document["name"].as_str(), document["namespace"].as_str())).collect();
    let expected = [("c.txt", "default"), ("a.txt", "default"), ("b.md", "default"), ("a.txt", "more")];
    assert_eq!(names, expected.map(|(name, namespace)| (Some(name), Some(namespace))));
    assert_eq!(all(&client, &format!("{documents}?namespace=more")).await, listed[3..]);
    assert!(all(&client, &format!("{documents}?namespace=nothing")).await.is_empty());
    let (first, id) = (&listed[0], listed[0]["id"].as_str().expect("an id"));
    assert_eq!((&first["chunks"], &first["bytes"], first["sha256"].as_str().map(str::len)), (&json!(1), &json!(17), Some(64)));
    assert_eq!(&client.get(&format!("{documents}/{id}")).await.ok().json(), first);

    let theirs = all(&client, "/api/v1/gateway/apis/other/knowledge/documents").await[0]["id"].as_str().expect("an id").to_owned();
    for path in
        [format!("{documents}/{theirs}"), format!("{documents}/nothing"), format!("/api/v1/gateway/apis/nobody/knowledge/documents/{id}")]
    {
        assert_eq!(client.get(&path).await.refused(404), "document_not_found", "{path}");
        assert_eq!(delete(&client, &path).await.refused(404), "document_not_found", "{path}");
    }
    assert_eq!(client.get("/api/v1/gateway/apis/nobody/knowledge/documents").await.refused(404), "api_not_found");
    assert_eq!(client.get(&format!("{documents}/a/b")).await.refused(404), "not_found");

    assert_eq!(sources(&client, "kb", "default").await, ["a.txt", "b.md", "c.txt"]);
    let gone = delete(&client, &format!("{documents}/{id}")).await.ok().json();
    assert_eq!(gone, json!({"id": id, "object": "document", "deleted": true}));
    assert_eq!(sources(&client, "kb", "default").await, ["a.txt", "b.md"]);
    assert_eq!(delete(&client, &format!("{documents}/{id}")).await.refused(404), "document_not_found");
    assert_eq!(client.get(&format!("{documents}/{id}")).await.refused(404), "document_not_found");
    assert_eq!(all(&client, documents).await, listed[1..]);
    let page = client.get(&format!("{documents}?after={id}")).await.ok().json();
    assert_eq!(page["data"].as_array().map(Vec::len), Some(3), "a page may begin after what is gone");
    assert_eq!(sources(&client, "other", "default").await, ["theirs.txt"]);
}

#[tokio::test]
async fn a_namespace_is_deleted_whole_by_name_and_its_room_is_free() {
    let server = Server::with(&format!("{CONFIG}\n[limits.rag]\nchunks_per_namespace = 2\n")).start();
    let client = Client::of(server.address);
    for (namespace, name) in [("default", "a.txt"), ("default", "b.txt"), ("more", "a.txt")] {
        upload(&client, "kb", namespace, name, "words about pumps").await.ok();
    }
    assert_eq!(upload(&client, "kb", "default", "c.txt", "words about pumps").await.refused(413), "knowledge_too_large");
    let namespaces = "/api/v1/gateway/apis/kb/knowledge/namespaces";
    let shown =
        async || all(&client, namespaces).await.iter().map(|entry| format!("{} {}", entry["id"], entry["documents"])).collect::<Vec<_>>();
    assert_eq!(shown().await, ["\"default\" 2", "\"more\" 1"]);

    let knowledge = "/api/v1/gateway/apis/kb/knowledge";
    let unnamed = delete(&client, knowledge).await;
    assert_eq!((unnamed.refused(400).as_str(), &unnamed.json()["error"]["param"]), ("invalid_value", &json!("namespace")));
    assert_eq!(delete(&client, &format!("{knowledge}?name=default")).await.refused(400), "invalid_value");
    assert_eq!(delete(&client, &format!("{knowledge}?namespace=nothing")).await.refused(404), "namespace_not_found");
    assert_eq!(delete(&client, &format!("{knowledge}?namespace=")).await.refused(404), "namespace_not_found");
    assert_eq!(delete(&client, "/api/v1/gateway/apis/nobody/knowledge?namespace=default").await.refused(404), "api_not_found");
    assert_eq!(shown().await, ["\"default\" 2", "\"more\" 1"], "nothing of that deletes anything");

    let gone = delete(&client, &format!("{knowledge}?namespace=default")).await.ok().json();
    assert_eq!(gone, json!({"id": "default", "object": "namespace", "deleted": true, "documents": 2}));
    assert_eq!((sources(&client, "kb", "default").await, sources(&client, "kb", "more").await), (vec![], vec!["a.txt".to_owned()]));
    assert_eq!(shown().await, ["\"more\" 1"]);
    for name in ["c.txt", "d.txt"] {
        upload(&client, "kb", "default", name, "words about pumps").await.ok();
    }
    assert_eq!(upload(&client, "kb", "default", "e.txt", "words about pumps").await.refused(413), "knowledge_too_large");
    assert_eq!(sources(&client, "kb", "default").await, ["c.txt", "d.txt"]);
}

#[tokio::test]
async fn nobody_lists_or_deletes_with_a_client_s_key() {
    let hash = |key: &str| {
        use sha2::Digest;
        sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let keys = format!(
        "[keys]\nclient = [{{ name = \"c\", sha256 = \"{}\" }}]\nadmin = [{{ name = \"a\", sha256 = \"{}\" }}]\n{CONFIG}",
        hash("client"),
        hash("admin")
    );
    let server = Server::with(&keys).start();
    let of = |key: &str| Client::of(server.address).header("authorization", &format!("Bearer {key}"));
    upload(&of("admin"), "kb", "default", "a.txt", "words about pumps").await.ok();
    let api = "/api/v1/gateway/apis";
    let document =
        of("admin").get(&format!("{api}/kb/knowledge/documents")).await.ok().json()["data"][0]["id"].as_str().expect("an id").to_owned();
    for path in [api.to_owned(), format!("{api}/kb/knowledge/documents"), format!("{api}/kb/knowledge/namespaces")] {
        assert_eq!(of("client").get(&path).await.refused(403), "admin_key_required");
        assert_eq!(Client::of(server.address).get(&path).await.refused(401), "invalid_api_key");
    }
    for path in
        [format!("{api}/kb/pipeline"), format!("{api}/kb/knowledge/documents/{document}"), format!("{api}/kb/knowledge?namespace=default")]
    {
        assert_eq!(delete(&of("client"), &path).await.refused(403), "admin_key_required");
    }
    of("admin").get(&format!("{api}/kb/knowledge/documents/{document}")).await.ok();
}
