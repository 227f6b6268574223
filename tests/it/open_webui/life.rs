//! Plugins added, uploaded, deleted and read anew; and uploads and URLs that mean harm, of which nothing is written.

use bytes::Bytes;
use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{KEY, client, delete, entry, inlet, raw, refused};
use crate::client::{Answer, Client};
use crate::components::components;
use crate::server::Server;

/// Nothing but the surface makes the server read the directory.
const STILL: &str = "debounce = \"60s\"\npoll = \"1h\"\n";

fn still(surface: &str) -> crate::server::Builder {
    // The limits stand last.
    Server::with(&(super::tests_config(surface) + STILL))
}

fn files(server: &Server) -> Vec<String> {
    let entries = std::fs::read_dir(server.plugin_dir()).expect("a folder");
    let mut names: Vec<String> = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

async fn upload(client: &Client, path: &str, name: &str, bytes: &[u8]) -> Answer {
    let mut body = format!(
        "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\ncontent-type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    client.send(Method::POST, path, Some("multipart/form-data; boundary=edge"), body.into()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_uploaded_under_a_name_for_python_used_and_deleted() {
    let server = still("").plugin_as("noop_pre", "noop-pre").start();
    let client = client(&server);
    let bytes = components().bytes("valved");
    let there = upload(&client, "/pipelines/upload", "valved.wasm.py", &bytes).await.ok().json();
    assert_eq!(there, json!({"status": true, "detail": "Pipeline uploaded successfully to valved.wasm"}));
    assert_eq!(files(&server), ["noop-pre.wasm", "valved.wasm"]);
    assert_eq!(entry(&client.get("/models").await.ok().json(), "valved")["pipeline"]["type"], "filter");
    let answer = client.post("/valved/filter/inlet", &inlet("hi")).await.ok().json();
    assert_eq!(answer["messages"][0]["content"], "in: hi");
    let gone = delete(&client, "/v1/pipelines/delete", &json!({"id": "valved"})).await.ok().json();
    assert_eq!(gone, json!({"status": true, "detail": "Pipeline valved deleted successfully"}));
    refused(&client.post("/valved/filter/inlet", &inlet("hi")).await, 404);
    assert!(refused(&delete(&client, "/pipelines/delete", &json!({"id": "valved"})).await, 404).contains("no pipeline"));
    // What came by other means is there once the directory was read.
    crate::server::deploy(&components().path("valved"), &server.plugin_dir(), "valved");
    let read = client.send(Method::POST, "/pipelines/reload", None, Bytes::new()).await.ok().json();
    assert_eq!(read, json!({"message": "Pipelines reloaded successfully."}));
    client.get("/valved/valves").await.ok();
    client.post("/noop-pre/filter/inlet", &inlet("hi")).await.ok();
    server.wait_for_line(|line| line.contains("the plugin directory was changed") && line.contains("caller=\"open-webui\""));
}

/// Open WebUI streams what it was given, so that no length is known.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_chunks_is_taken() {
    let server = still("").start();
    let bytes = components().bytes("noop_pre");
    let mut request = format!(
        "POST /v1/pipelines/upload HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\ntransfer-encoding: chunked\r\ncontent-type: multipart/form-data; boundary=edge\r\n\r\n"
    )
    .into_bytes();
    let mut form = b"--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"noop-pre.wasm.py\"\r\n\r\n".to_vec();
    form.extend_from_slice(&bytes);
    form.extend_from_slice(b"\r\n--edge--\r\n");
    for chunk in form.chunks(10_007) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = raw(&server, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("uploaded successfully to noop-pre.wasm"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_uploads_and_names_are_refused_and_nothing_is_written() {
    let server = still("").plugin_as("noop_pre", "noop-pre").start();
    let client = client(&server);
    let good = components().bytes("valved");
    for (name, bytes, part) in [
        ("../x.py", &good[..], "name must be"),
        ("..%2fx.wasm.py", &good, "name must be"),
        ("/etc/x.wasm", &good, "name must be"),
        (".hidden.wasm", &good, "name must be"),
        ("a\\\\b.wasm.py", &good, "name must be"),
        ("pipeline.py", b"class Pipeline:\n    pass\n", "componentize-py"),
        ("archive.py", b"PK\x03\x04\x14\0\0\0", "no WebAssembly component"),
        ("core.wasm.py", b"\0asm\x01\0\0\0", "core module"),
        ("half.wasm", &good[..good.len() / 2], "truncated"),
        ("empty.py", b"", "no WebAssembly component"),
    ] {
        let answer = upload(&client, "/pipelines/upload", name, bytes).await;
        assert!(answer.status.is_client_error(), "{name}: {answer:?}");
        let told = refused(&answer, answer.status.as_u16());
        assert!(told.contains(part), "{name}: {told}");
        assert_eq!(files(&server), ["noop-pre.wasm"], "{name}");
    }
    for id in ["../noop-pre", "noop-pre/..", "a/b", "", "noop-pre.wasm", "..", "%2e%2e"] {
        refused(&delete(&client, "/pipelines/delete", &json!({"id": id})).await, 404);
    }
    for body in [json!({}), json!({"id": 1}), json!([])] {
        refused(&delete(&client, "/pipelines/delete", &body).await, 400);
    }
    refused(&client.get("/a%2Fb/valves").await, 404);
    assert_eq!(files(&server), ["noop-pre.wasm"]);
    let small = Server::with(&(super::tests_config("") + "file_bytes = \"64KiB\"\n")).start();
    let large = [b"\0asm".as_slice(), &vec![0; 90 << 10]].concat();
    refused(&upload(&super::client(&small), "/pipelines/upload", "large.wasm", &large).await, 413);
    assert!(files(&small).is_empty());
}

/// Serves one answer to whoever asks.
async fn host(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = vec![0; 8192];
            let read = stream.read(&mut asked).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&asked[..read]).into_owned();
            let path = head.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
            let _ = stream.write_all(&answer(&path)).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

fn ok(bytes: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len()).into_bytes();
    answer.extend_from_slice(bytes);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_added_by_its_url_and_what_leads_elsewhere_is_not() {
    let component = components().bytes("valved");
    let port = host(move |path| match path {
        "/valved.wasm" => ok(&component),
        "/moved/valved.wasm" => b"HTTP/1.1 302 Found\r\nlocation: /valved.wasm\r\ncontent-length: 0\r\n\r\n".to_vec(),
        "/meta/x.wasm" => b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/x.wasm\r\ncontent-length: 0\r\n\r\n".to_vec(),
        "/round/x.wasm" => b"HTTP/1.1 302 Found\r\nlocation: /round/x.wasm\r\ncontent-length: 0\r\n\r\n".to_vec(),
        "/pipeline.py" => ok(b"class Pipeline: pass"),
        "/huge.wasm" => b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n\0asm".to_vec(),
        _ => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
    })
    .await;
    let add = async |client: &Client, url: &str| client.post("/pipelines/add", &json!({"url": url})).await;
    let closed = still("").start();
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let told = refused(&add(&client(&closed), &at("/valved.wasm")).await, 400);
    assert!(told.contains("surfaces.pipelines.private_urls"), "{told}");
    assert!(files(&closed).is_empty());
    let server = still("private_urls = true").start();
    let client = client(&server);
    for (url, part) in [
        (at("/gone.wasm"), "answered 404"),
        (at("/pipeline.py"), "componentize-py"),
        (at("/huge.wasm"), "limits.plugins.file_bytes"),
        (at("/meta/x.wasm"), "not allowed here"),
        (at("/round/x.wasm"), "redirected"),
        ("http://169.254.169.254/latest/x.wasm".to_owned(), "metadata"),
        ("http://user:secret@127.0.0.1/x.wasm".to_owned(), "password"),
        ("file:///etc/passwd.wasm".to_owned(), "https://"),
        ("nonsense".to_owned(), "name of a file"),
        (at("/"), "name of a file"),
    ] {
        let told = refused(&add(&client, &url).await, 400);
        assert!(told.contains(part), "{url}: {told}");
        assert!(files(&server).is_empty(), "{url}");
    }
    let there = add(&client, &at("/moved/valved.wasm?x=1")).await.ok().json();
    assert_eq!(there, json!({"status": true, "detail": "Pipeline added successfully from valved.wasm"}));
    client.get("/v1/valved/valves").await.ok();
}
