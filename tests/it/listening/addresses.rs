//! Where a server may listen: lists, `localhost`, socket files and sockets that are handed over; and where it may not.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::in_time;
use crate::client::Client;
use crate::server::{Builder, Server};

const MODEL: &str = r#"
    [[pipelines]]
    id = "p"
    pipeline = [ { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } } ]
"#;
const KEYS: &str = "[keys]\nclient = [{ name = \"a\", sha256 = \"abababababababababababababababababababababababababababababababab\" }]\n";

fn with(more: &str) -> Builder {
    Server::with(&format!("{more}\n{MODEL}"))
}

/// The whole answer to a GET over a socket file.
async fn get(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).await.expect("it listens");
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    in_time(stream.read_to_string(&mut answer)).await.expect("UTF-8");
    answer
}

#[tokio::test]
async fn every_address_of_a_list_is_said_and_served() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("c.sock");
    let unix = format!("unix:{}", file.display());
    let mut server = with("").folder(Arc::clone(&folder)).listen(&["127.0.0.1:0", "localhost:0", &unix]).start();
    Client::of(server.address).chat("p", "hi", serde_json::json!({})).await.ok();
    let both = server.says("listening on http://127.0.0.1:");
    Client::of(format!("127.0.0.1:{both}").parse().expect("an address")).get("/v1/models").await.ok();
    if TcpListener::bind("[::1]:0").is_ok() {
        let six = server.says("listening on http://[::1]:");
        assert_eq!(six, both, "localhost is one port");
        Client::of(format!("[::1]:{six}").parse().expect("an address")).get("/v1/models").await.ok();
    }
    assert_eq!(server.says("listening on unix:"), file.display().to_string());
    let answer = get(&file, "/v1/models").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    server.terminate();
    assert!(server.wait().success());
    assert!(!file.exists(), "the file goes with the server");
}

#[tokio::test]
async fn the_file_lists_addresses_as_the_command_line_does_and_sets_the_mode_of_socket_files() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("c.sock");
    let listen = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]\nhttp.socket_mode = \"0660\"", file.display());
    let server = with(&listen).folder(folder).listen(&[]).start();
    Client::of(server.address).get("/healthz").await.ok();
    assert!(get(&file, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o660);
}

#[tokio::test]
async fn a_socket_file_of_a_killed_server_is_replaced_and_a_live_one_s_or_another_file_is_not() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("c.sock");
    let unix = format!("unix:{}", file.display());
    let addresses = ["127.0.0.1:0", &*unix];
    let mut killed = with("").folder(Arc::clone(&folder)).listen(&addresses).start();
    let words = with("").listen(&addresses).refused();
    assert!(words.contains("another server listens there"), "{words}");
    assert!(get(&file, "/healthz").await.starts_with("HTTP/1.1 200"), "it was left alone");
    killed.kill();
    assert!(file.exists());
    let server = with("").listen(&addresses).start();
    assert!(get(&file, "/healthz").await.starts_with("HTTP/1.1 200"));
    drop(server);
    std::fs::remove_file(&file).expect("a killed server leaves it");
    std::fs::write(&file, "mine").expect("a file");
    let words = with("").listen(&addresses).refused();
    assert!(words.contains("there is a file that is no socket"), "{words}");
    assert_eq!(std::fs::read(&file).expect("it is there"), b"mine");
}

#[tokio::test]
async fn a_socket_that_is_handed_over_is_served_whatever_it_is_of() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = tcp.local_addr().expect("bound");
    let server = with("").hand_over(tcp).start();
    assert_eq!(server.address, address);
    Client::of(address).get("/v1/models").await.ok();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c.sock");
    let unix = UnixListener::bind(&file).expect("a socket");
    let mut server = with("").hand_over(unix).listen(&["127.0.0.1:0", "fd:3"]).start();
    assert!(get(&file, "/v1/models").await.starts_with("HTTP/1.1 200"));
    server.terminate();
    assert!(server.wait().success());
    assert!(file.exists(), "whoever made it removes it");
}

#[tokio::test]
async fn a_descriptor_that_is_not_there_or_no_listening_socket_is_refused_by_its_number() {
    let words = with("").listen(&["fd:3"]).refused();
    assert!(words.contains("there is no socket fd:3: 0 were handed over"), "{words}");
    let tcp = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let words = with("").hand_over(tcp()).listen(&["fd:4"]).refused();
    assert!(words.contains("there is no socket fd:4: 1 were handed over"), "{words}");
    let words = with("").hand_over(tempfile::tempfile().expect("a file")).refused();
    assert!(words.contains("fd:3 cannot be listened on: it is no stream socket"), "{words}");
    let listener = tcp();
    let connection = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let words = with("").hand_over(connection).refused();
    assert!(words.contains("fd:3 cannot be listened on: it is a socket that does not listen"), "{words}");
}

#[tokio::test]
async fn without_keys_no_address_of_any_kind_is_for_others() {
    for addresses in [&["127.0.0.1:0", "0.0.0.0:0"][..], &["unix:/nowhere/c.sock", "[::]:0"]] {
        let words = with("").listen(addresses).refused();
        assert!(words.contains("can be reached by others, and there are no `[keys]`"), "{words}");
    }
    let everywhere = || TcpListener::bind("0.0.0.0:0").expect("a port");
    let words = with("").hand_over(everywhere()).refused();
    assert!(words.contains("needs keys"), "{words}");
    let words = with("admin.listen = \"fd:3\"").hand_over(everywhere()).listen(&["127.0.0.1:0"]).refused();
    assert!(words.contains("needs keys"), "{words}");
    with(KEYS).hand_over(everywhere()).start();
}
