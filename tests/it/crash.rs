//! `kill -9` at any moment: what was acknowledged is there, no half document is, and the index agrees with SQLite.

mod disk;
mod judge;
mod points;
pub mod words;
pub mod work;

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::client::Client;
use crate::server::Server;

const CONFIG: &str = r#"
    [[pipelines]]
    id = "kb"
    pipeline = [ { stage = "rag", config = { score_threshold = 0.0 } }, { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } } ]
"#;
/// Acknowledged uploads before each kill; different ones, so that the kill falls into different moments.
const KILL_AFTER: [usize; 3] = [1, 4, 9];
/// Sections, one chunk each: long enough that two do not fit into one chunk.
const SECTIONS: usize = 4;

fn document(number: usize) -> String {
    let section = |s: usize| {
        format!("# Part {s} of report {number}\n\n{}\n\n", format!("Report {number} says that gauge {s} stood high that day. ").repeat(7))
    };
    (0..SECTIONS).map(section).collect()
}

/// Uploads without end; ends when the server is gone.
async fn upload(client: Client, worker: usize, acknowledged: Arc<Mutex<Vec<usize>>>, enough: Arc<tokio::sync::Semaphore>) {
    for number in (0..).map(|n| n * 10 + worker) {
        let text = document(number);
        let body =
            format!("--e\r\ncontent-disposition: form-data; name=\"file\"; filename=\"report-{number}.md\"\r\n\r\n{text}\r\n--e--\r\n");
        let path = "/api/v1/gateway/apis/kb/knowledge/upload";
        match client.try_send(hyper::Method::POST, path, Some("multipart/form-data; boundary=e"), body.into()).await {
            Ok(answer) => {
                answer.ok();
                acknowledged.lock().expect("no panic").push(number);
                enough.add_permits(1);
            }
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_documents_survive_kill_9_and_no_half_document_does() {
    let mut server = Server::with(CONFIG).start();
    let folder = server.folder.clone();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    for (round, kill_after) in KILL_AFTER.into_iter().enumerate() {
        let enough = Arc::new(tokio::sync::Semaphore::new(0));
        let uploads: Vec<_> = (0..3)
            .map(|worker| tokio::spawn(upload(Client::of(server.address), 1000 * round + worker, acknowledged.clone(), enough.clone())))
            .collect();
        enough.acquire_many(kill_after as u32).await.expect("open").forget();
        server.kill();
        for upload in uploads {
            upload.await.expect("uploads end with the server");
        }
        server = Server::with(CONFIG).folder(folder.clone()).start();
    }
    let acknowledged = acknowledged.lock().expect("no panic").clone();
    assert!(acknowledged.len() >= KILL_AFTER.iter().sum());
    let kept = documents(folder.path());
    let chunks = kept.values().max().copied().expect("documents");
    assert!(chunks >= SECTIONS as i64, "{kept:?}");
    assert!(kept.values().all(|count| *count == chunks), "every document has all its chunks: {kept:?}");
    for number in &acknowledged {
        assert!(kept.contains_key(&format!("report-{number}.md")), "report {number} was acknowledged: {kept:?}");
    }
    index_agrees(&Client::of(server.address), &kept).await;
}

/// Chunks of each document, as SQLite has them.
fn documents(folder: &std::path::Path) -> std::collections::BTreeMap<String, i64> {
    let database = rusqlite::Connection::open(folder.join("data/cofferdam.db")).expect("the database opens");
    let intact: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(intact, "ok");
    let orphans: i64 = database
        .query_row("SELECT count(*) FROM chunks WHERE document_id NOT IN (SELECT id FROM documents)", [], |row| row.get(0))
        .expect("counted");
    assert_eq!(orphans, 0);
    let mut counts = database
        .prepare("SELECT d.name, count(c.id) FROM documents d LEFT JOIN chunks c ON c.document_id = d.id GROUP BY d.id")
        .expect("prepared");
    let rows = counts.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("queried");
    rows.collect::<Result<_, _>>().expect("rows")
}

/// Every document is found, and nothing that SQLite does not have.
async fn index_agrees(client: &Client, kept: &std::collections::BTreeMap<String, i64>) {
    for name in kept.keys() {
        let number = name.trim_start_matches("report-").trim_end_matches(".md");
        let query = json!({"query": format!("Report {number} says that gauge 1 stood high that day."), "top_k": 50});
        let found = client.post("/api/v1/gateway/apis/kb/knowledge/test", &query).await.ok().json();
        let sources: Vec<&str> = found["data"].as_array().expect("hits").iter().filter_map(|hit| hit["source"].as_str()).collect();
        assert!(sources.contains(&name.as_str()), "{name} is not found: {sources:?}");
        assert!(sources.iter().all(|source| kept.contains_key(*source)), "{sources:?}");
    }
}
