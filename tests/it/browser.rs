//! A real browser, headless Chromium, with a page of another origin that calls `/v1` as people write it: `fetch`, and a reader of the stream.
//! The page posts what it found to the server that it came from; nothing here waits for anything but that.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use sha2::Digest;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::packages::skipped;
use crate::server::{PATIENCE, Server};

const BROWSER: &str = "chromium";
const NO_BROWSER: &str = "chromium is not installed";

/// Needs no network, no rights and no screen, and asks nobody but the page's servers.
const FLAGS: [&str; 9] = [
    "--headless",
    // As root, which is what a container runs as, Chromium's own sandbox cannot be had.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Calls each route and notes what a page gets to see of it, or the failure.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>page</title><script type="module">
const api = "API";
const headers = {authorization: "Bearer client-key", "content-type": "application/json", "x-stainless-os": "Browser"};
const body = (more) => JSON.stringify({model: "p", messages: [{role: "user", content: "hello"}], ...more});
const chat = (more) => fetch(`${api}/v1/chat/completions`, {method: "POST", headers, body: body(more)});
const noted = async (call) => { try { return await call(); } catch (error) { return {failed: String(error)}; } };
const findings = {
  models: await noted(async () => {
    const answer = await fetch(`${api}/v1/models`, {headers});
    return {status: answer.status, ids: (await answer.json()).data.map((model) => model.id), request: answer.headers.get("x-request-id")};
  }),
  whole: await noted(async () => {
    const answer = await chat({});
    return {status: answer.status, text: (await answer.json()).choices[0].message.content, provider: answer.headers.get("x-cofferdam-provider")};
  }),
  streamed: await noted(async () => {
    const reader = (await chat({stream: true})).body.pipeThrough(new TextDecoderStream()).getReader();
    let events = "";
    for (let next = await reader.read(); !next.done; next = await reader.read()) events += next.value;
    const data = events.split("\n\n").filter(Boolean).map((event) => event.replace(/^data: /, ""));
    const text = data.slice(0, -1).map((event) => JSON.parse(event).choices[0]?.delta.content ?? "").join("");
    return {text, last: data.at(-1)};
  }),
  refused: await noted(async () => {
    const answer = await fetch(`${api}/v1/models`, {headers: {authorization: "Bearer wrong"}});
    return {status: answer.status, code: (await answer.json()).error.code};
  }),
};
await fetch("/findings", {method: "POST", body: JSON.stringify(findings)});
</script>"#;

/// A server of one page, on an origin of its own.
struct Site {
    listener: TcpListener,
    address: SocketAddr,
}

impl Site {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        Self { listener, address }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves the page that calls `api` until it has posted its findings.
    async fn findings(&self, api: SocketAddr) -> Value {
        let page = PAGE.replace("API", &format!("http://{api}"));
        loop {
            let (stream, _) = self.listener.accept().await.expect("a connection");
            // The browser also opens connections that it does not use, and asks for an icon.
            if let Some(findings) = answer(stream, &page).await {
                return serde_json::from_slice(&findings).expect("JSON");
            }
        }
    }
}

/// Answers the one request of a connection: with the page, or by taking what is posted.
async fn answer(stream: TcpStream, page: &str) -> Option<Vec<u8>> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await.ok()?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let (status, text) = match first.split(' ').collect::<Vec<_>>()[..] {
        ["GET", "/", ..] => ("200 OK", page),
        ["POST", "/findings", ..] => ("200 OK", ""),
        _ => ("404 Not Found", ""),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
    stream.write_all(format!("{head}{text}").as_bytes()).await.ok()?;
    stream.shutdown().await.ok()?;
    first.starts_with("POST").then_some(body)
}

/// A browser on its own profile, which ends with it.
struct Browser {
    process: Child,
    _profile: TempDir,
}

impl Browser {
    fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut browser = Command::new(BROWSER);
        browser.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        browser.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { process: browser.spawn().expect("the browser starts"), _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_there() -> bool {
    Command::new(BROWSER).arg("--version").output().is_ok_and(|output| output.status.success())
}

async fn findings(site: &Site, server: &Server) -> Value {
    let _browser = Browser::open(&format!("{}/", site.origin()));
    tokio::time::timeout(PATIENCE, site.findings(server.address)).await.expect("the page posts what it found")
}

fn server(listed: &Site) -> Server {
    let hash: String = sha2::Sha256::digest("client-key").iter().map(|byte| format!("{byte:02x}")).collect();
    let config = format!(
        r#"
        [http]
        cors_origins = ["{}"]
        [keys]
        client = [{{ name = "page", sha256 = "{hash}" }}]
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }} ]
        "#,
        listed.origin()
    );
    Server::with(&config).start()
}

#[tokio::test]
async fn a_page_of_a_listed_origin_reads_models_replies_streams_and_errors() {
    if !is_there() {
        return skipped("browser, listed origin", NO_BROWSER);
    }
    let site = Site::start().await;
    let server = server(&site);
    let found = findings(&site, &server).await;
    assert_eq!((&found["models"]["status"], &found["models"]["ids"]), (&json!(200), &json!(["p"])), "{found}");
    assert!(found["models"]["request"].is_string(), "an exposed header is read: {found}");
    assert_eq!((&found["whole"]["status"], &found["whole"]["provider"]), (&json!(200), &json!("builtin")), "{found}");
    assert_eq!(found["streamed"], json!({"text": found["whole"]["text"], "last": "[DONE]"}), "{found}");
    assert_eq!(found["refused"], json!({"status": 401, "code": "invalid_api_key"}), "{found}");
}

#[tokio::test]
async fn a_page_of_another_origin_reads_nothing() {
    if !is_there() {
        return skipped("browser, other origin", NO_BROWSER);
    }
    let (listed, other) = (Site::start().await, Site::start().await);
    let server = server(&listed);
    let found = findings(&other, &server).await;
    for call in ["models", "whole", "streamed", "refused"] {
        assert_eq!(found[call], json!({"failed": "TypeError: Failed to fetch"}), "{found}");
    }
}
