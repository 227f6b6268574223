//! Uploads in the background: who is answered at once, what is told of them, to whom, and what becomes of them when the server stops.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::server::{PATIENCE, Server};
use crate::upstream::{Script, Signal, Upstream};

const KNOWLEDGE: &str = "/api/v1/gateway/apis/default/knowledge";

fn form(files: &[(&str, &[u8])]) -> Bytes {
    let part = |(name, bytes): &(&str, &[u8])| {
        let head = format!("--e\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
        [head.as_bytes(), bytes, b"\r\n"].concat()
    };
    let mut body = files.iter().flat_map(part).collect::<Vec<u8>>();
    body.extend(b"--e--\r\n");
    body.into()
}

async fn upload(client: &Client, query: &str, files: &[(&str, &[u8])]) -> Answer {
    client.send(Method::POST, &format!("{KNOWLEDGE}/upload{query}"), Some("multipart/form-data; boundary=e"), form(files)).await
}

/// The id of the job that the upload became.
#[track_caller]
fn job_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    let job = answer.json();
    assert!(job["object"] == "job" && ["queued", "in_progress", "completed"].contains(&job["status"].as_str().expect("a status")), "{job}");
    job["id"].as_str().expect("an id").to_owned()
}

/// The job once it is so.
async fn once(client: &Client, id: &str, status: &str) -> Value {
    let look = async {
        loop {
            let job = client.get(&format!("{KNOWLEDGE}/jobs/{id}")).await.ok().json();
            if job["status"] == status {
                return job;
            }
            assert!(job["finished"].is_null(), "{job}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the job gets there in time")
}

async fn names(client: &Client) -> Vec<String> {
    let listed = client.get(&format!("{KNOWLEDGE}/documents")).await.ok().json();
    listed["data"].as_array().expect("a list").iter().map(|document| document["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn a_large_upload_is_answered_at_once_and_a_small_one_when_it_is_stored() {
    let server = Server::with("[limits.http]\nbackground_bytes = 100").start();
    let client = Client::of(server.address);
    let (edge, over) = ("word ".repeat(20), "word ".repeat(20) + "w");
    let small = upload(&client, "", &[("edge.txt", edge.as_bytes())]).await;
    assert_eq!((small.status.as_u16(), small.json()["data"][0]["name"].as_str()), (200, Some("edge.txt")));
    // All texts count together; what came before is stored already.
    let large = upload(&client, "", &[("a.txt", &over.as_bytes()[..50]), ("b.txt", &over.as_bytes()[50..])]).await;
    let job = once(&client, &job_of(&large), "completed").await;
    assert_eq!((&job["files"], &job["namespace"]), (&json!({"total": 2, "stored": 2, "refused": 0}), &json!("default")));
    let stored: Vec<&str> = job["data"].as_array().expect("a list").iter().filter_map(|document| document["name"].as_str()).collect();
    assert_eq!((stored, &job["errors"]), (vec!["a.txt", "b.txt"], &json!([])));
    assert_eq!(names(&client).await, ["edge.txt", "a.txt", "b.txt"]);
    // Whoever says what it wants gets that.
    let waited = upload(&client, "?wait=true", &[("c.txt", over.as_bytes())]).await;
    assert_eq!((waited.status.as_u16(), &waited.json()["data"][0]["name"]), (200, &json!("c.txt")));
    let again = upload(&client, "?wait=false", &[("edge.txt", edge.as_bytes())]).await;
    assert_eq!(once(&client, &job_of(&again), "completed").await["data"][0]["unchanged"], true);
    assert_eq!(upload(&client, "?wait=maybe", &[("d.txt", b"D.")]).await.refused(400), "invalid_value");
}

#[tokio::test]
async fn a_job_tells_what_became_of_each_file() {
    let server = Server::with("").start();
    let client = Client::of(server.address);
    let answer =
        upload(&client, "?wait=false", &[("good.txt", b"The gate is closed."), ("void.txt", b""), ("..", b"X."), ("more.txt", b"More.")])
            .await;
    let job = once(&client, &job_of(&answer), "failed").await;
    assert_eq!(job["files"], json!({"total": 4, "stored": 2, "refused": 2}));
    let codes: Vec<_> =
        job["errors"].as_array().expect("a list").iter().map(|file| (file["status"].as_u64(), file["error"]["code"].as_str())).collect();
    assert_eq!(codes, [(Some(422), Some("empty_document")), (Some(400), Some("invalid_value"))]);
    assert!(job["finished"].as_u64() >= job["created"].as_u64());
    assert_eq!(names(&client).await, ["good.txt", "more.txt"]);
}

#[tokio::test]
async fn what_came_before_the_texts_were_too_large_stands_in_the_job_and_one_file_that_is_refused_is_refused_at_once() {
    let server = Server::with("[limits.http]\nbackground_bytes = 30").start();
    let client = Client::of(server.address);
    let files: [(&str, &[u8]); 5] =
        [("one.txt", b"The gate."), ("void.txt", b""), ("two.txt", &[b'x'; 31]), ("x.pdf", b"\x7fELF"), ("three.txt", b"Three.")];
    let job = once(&client, &job_of(&upload(&client, "", &files).await), "failed").await;
    assert_eq!(job["files"], json!({"total": 5, "stored": 3, "refused": 2}));
    let names = |key: &str| job[key].as_array().expect("a list").iter().map(|file| file["name"].clone()).collect::<Vec<_>>();
    assert_eq!(
        (names("data"), names("errors")),
        (vec![json!("one.txt"), json!("two.txt"), json!("three.txt")], vec![json!("void.txt"), json!("x.pdf")])
    );
    assert_eq!(upload(&client, "", &[("large.pdf", &[&b"\x7fELF"[..], &[0; 5_000]].concat())]).await.refused(415), "unsupported_document");
}

#[tokio::test]
async fn nobody_sees_a_job_of_another_client_or_of_another_api() {
    let hash = |key: &str| {
        use sha2::Digest as _;
        sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let keys = ["one", "two"].map(|name| format!("{{ name = \"{name}\", sha256 = \"{}\" }}", hash(name))).join(", ");
    let server = Server::with(&format!("[keys]\nadmin = [{keys}]\n")).start();
    let [one, two] = ["one", "two"].map(|key| Client::of(server.address).header("authorization", &format!("Bearer {key}")));
    let definition = json!({"pipeline": [{"stage": "llm", "config": {"primary": {"provider": "builtin", "model": "extractive"}}}]});
    for api in ["default", "other"] {
        one.put(&format!("/api/v1/gateway/apis/{api}/pipeline"), &definition).await;
    }
    let first = job_of(&upload(&one, "?wait=false", &[("a.txt", b"A.")]).await);
    let second = job_of(&upload(&one, "?wait=false", &[("b.txt", b"B.")]).await);
    let theirs = job_of(&upload(&two, "?wait=false", &[("c.txt", b"C.")]).await);
    let ids = async |client: &Client, path: &str| {
        let page = client.get(&format!("/api/v1/gateway/apis/{path}")).await.ok().json();
        page["data"].as_array().expect("a list").iter().map(|job| job["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&one, "default/knowledge/jobs").await, [first.clone(), second.clone()]);
    assert_eq!(ids(&one, "default/knowledge/jobs?limit=1").await, std::slice::from_ref(&first));
    assert_eq!(ids(&one, &format!("default/knowledge/jobs?after={first}")).await, [second]);
    assert_eq!(ids(&two, "default/knowledge/jobs").await, std::slice::from_ref(&theirs));
    assert_eq!(ids(&one, "other/knowledge/jobs").await, [""; 0]);
    for (client, api, id) in
        [(&one, "default", &theirs), (&two, "default", &first), (&one, "other", &first), (&one, "default", &"7".to_owned())]
    {
        let answer = client.get(&format!("/api/v1/gateway/apis/{api}/knowledge/jobs/{id}")).await;
        assert_eq!(answer.refused(404), "job_not_found", "{api} {id}");
    }
    assert_eq!(one.get("/api/v1/gateway/apis/nobody/knowledge/jobs").await.refused(404), "api_not_found");
}

/// A server whose embedder is a provider that answers only after the signal.
async fn held(limits: &str) -> (Upstream, Signal, Server, Client) {
    let upstream = Upstream::start().await;
    let signal = Signal::default();
    let answer = json!({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.0, 1.0]}], "model": "m"});
    upstream.always(Script::json(200, &answer).after(&signal));
    let config = format!(
        "[providers.a]\nkind = \"openai\"\nbase_url = \"{}\"\n[rag]\nembedder = \"far\"\n[rag.embedders.far]\nkind = \"remote\"\nprovider = \"a\"\nmodel = \"m\"\ndimensions = 2\n[limits.http]\n{limits}\n",
        upstream.url()
    );
    let server = Server::with(&config).start();
    let client = Client::of(server.address);
    (upstream, signal, server, client)
}

#[tokio::test]
async fn when_no_more_may_wait_a_job_is_refused_and_an_upload_that_is_only_large_is_waited_for() {
    let (upstream, signal, _server, client) = held("jobs = 1\nbackground_bytes = 10").await;
    let first = job_of(&upload(&client, "", &[("first.txt", b"The gate is closed.")]).await);
    upstream.received().await;
    let refused = upload(&client, "?wait=false", &[("second.txt", b"The gate is open.")]).await;
    assert_eq!((refused.refused(503).as_str(), refused.header("retry-after")), ("jobs_full", Some("1")));
    assert!(refused.text().contains("limits.http.jobs"), "{refused:?}");
    let other = client.clone();
    let waiting = tokio::spawn(async move { upload(&other, "", &[("second.txt", b"The gate is open.")]).await });
    upstream.received().await;
    signal.fire();
    once(&client, &first, "completed").await;
    signal.fire();
    assert_eq!(waiting.await.expect("no panic").ok().status, 200);
    assert_eq!(names(&client).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_stores_the_file_at_hand_and_says_what_it_did_not() {
    let (upstream, signal, mut server, client) = held("drain_time = \"30s\"").await;
    let id = job_of(&upload(&client, "?wait=false", &[("first.txt", b"The gate is closed."), ("second.txt", b"The gate is open.")]).await);
    once(&client, &id, "in_progress").await;
    upstream.received().await;
    server.terminate();
    server.wait_for_log("no upload begins in the background any more");
    signal.fire();
    server.wait();
    let log = server.output();
    assert!(log.contains("an upload in the background has ended") && log.contains("stored=1"), "{log}");
    let server = Server::with("").folder(server.folder.clone()).start();
    let client = Client::of(server.address);
    assert_eq!(names(&client).await, ["first.txt"], "what was said to be stored is, and nothing else");
    assert_eq!(client.get(&format!("{KNOWLEDGE}/jobs/{id}")).await.refused(404), "job_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_end_in_time_is_cut_and_the_server_stops() {
    let (upstream, _signal, mut server, client) = held("drain_time = \"0s\"").await;
    job_of(&upload(&client, "?wait=false", &[("first.txt", b"The gate is closed.")]).await);
    upstream.received().await;
    server.terminate();
    server.wait();
    assert!(server.output().contains("uploads in the background are cut"), "{}", server.log());
    let server = Server::with("").folder(server.folder.clone()).start();
    assert_eq!(names(&Client::of(server.address)).await, [""; 0]);
}

#[tokio::test]
async fn a_job_has_a_time_of_its_own() {
    let (_upstream, _signal, _server, client) = held("job_time = \"100ms\"").await;
    let id = job_of(&upload(&client, "?wait=false", &[("first.txt", b"The gate is closed.")]).await);
    let job = once(&client, &id, "failed").await;
    assert_eq!((&job["errors"][0]["status"], &job["errors"][0]["error"]["code"]), (&json!(504), &json!("job_timeout")));
}
