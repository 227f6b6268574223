//! TLS: both protocols by ALPN, handshakes that are slow, and a certificate that changes while the server runs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring};

use super::{Raw, in_time};
use crate::server::{Builder, Server};

const MODEL: &str = r#"
    [[pipelines]]
    id = "p"
    pipeline = [ { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } } ]
"#;

/// Writes a new pair as `NAME.pem` and `NAME.key`; gives the certificate in PEM, which is its own root.
fn pair(folder: &Path, name: &str) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
    let cert = pem("CERTIFICATE", made.cert.der());
    std::fs::write(folder.join(format!("{name}.pem")), &cert).expect("a file");
    std::fs::write(folder.join(format!("{name}.key")), pem("PRIVATE KEY", &made.signing_key.serialize_der())).expect("a file");
    cert
}

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", data_encoding::BASE64.encode(der))
}

fn secured(folder: &Arc<TempDir>, limits: &str) -> Builder {
    let config = format!("tls = {{ cert = \"a.pem\", key = \"a.key\" }}\n[limits.http]\n{limits}\n{MODEL}");
    Server::with(&config).folder(Arc::clone(folder))
}

/// A client that knows that root and speaks those protocols.
fn client(root: &str, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).expect("PEM")).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    let mut config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

async fn shaken(stream: TcpStream, root: &str, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(client(root, protocols)).connect("localhost".try_into().expect("a name"), stream).await
}

/// How a client begins a handshake.
fn hello(root: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut connection = ClientConnection::new(client(root, &[]), "localhost".try_into().expect("a name")).expect("a client");
    connection.write_tls(&mut bytes).expect("a Vec takes every write");
    bytes
}

async fn connected(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("it listens")
}

/// Asks for the health over that connection, in the protocol that was agreed upon.
async fn health(stream: TlsStream<TcpStream>) -> (StatusCode, Version) {
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let request = Request::get("https://localhost/healthz").header("host", "localhost").body(Empty::<Bytes>::new()).expect("a request");
    let response = if h2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
        tokio::spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("h1");
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    let response = in_time(async { response }).await.expect("an answer");
    let (status, version) = (response.status(), response.version());
    response.into_body().collect().await.expect("a whole answer");
    (status, version)
}

fn folder() -> (Arc<TempDir>, String) {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let root = pair(folder.path(), "a");
    (folder, root)
}

#[tokio::test]
async fn both_protocols_are_spoken_as_alpn_says_and_none_in_the_clear() {
    let (folder, root) = folder();
    let server = secured(&folder, "").listen(&["127.0.0.1:0", "localhost:0"]).start();
    server.says("listening on https://127.0.0.1:");
    for (protocols, version) in
        [(&[&b"h2"[..], b"http/1.1"][..], Version::HTTP_2), (&[b"http/1.1"], Version::HTTP_11), (&[], Version::HTTP_11)]
    {
        let stream = in_time(shaken(connected(server.address).await, &root, protocols)).await.expect("a handshake");
        assert_eq!(health(stream).await, (StatusCode::OK, version));
    }
    let mut clear = Raw::connect(&server).await;
    clear.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(!clear.rest().await.starts_with(b"HTTP/"), "nothing is answered in the clear");
    server.wait_for_log("other users can reach the key of the certificate: its mode is 0644");
}

#[tokio::test]
async fn a_slow_handshake_is_cut_in_its_time_and_costs_its_own_peer_one_turn_and_nobody_else() {
    let (folder, root) = folder();
    let server = secured(&folder, "handshakes = 1\nhandshake_time = \"600s\"\nheader_time = \"600s\"\nconnections = 3").start();
    // One that sends nothing takes no turn, and one that begins and does not go on takes the only one of its peer.
    let _silent = Raw::connect(&server).await;
    let stream = in_time(shaken(connected(server.address).await, &root, &[b"http/1.1"])).await.expect("a handshake");
    assert_eq!(health(stream).await.0, StatusCode::OK);
    let mut slow = Raw::connect(&server).await;
    slow.send(hello(&root)).await;
    assert_eq!(slow.bytes(1).await, [22], "it is its turn");
    let from_elsewhere = async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.2:0".parse().expect("an address")).expect("a free port");
        shaken(socket.connect(server.address).await.expect("it listens"), &root, &[b"http/1.1"]).await
    };
    let other = in_time(from_elsewhere).await.expect("another peer has turns of its own");
    assert_eq!(health(other).await.0, StatusCode::OK);
    // Its own peer waits, until the slow one has to go because its room is needed.
    let second = shaken(connected(server.address).await, &root, &[b"http/1.1"]);
    let crowd = async {
        let mut crowd = Vec::new();
        for _ in 0..3 {
            crowd.push(Raw::connect_from(&server, "127.0.0.3").await);
        }
        std::future::pending::<()>().await;
    };
    let second = in_time(async {
        tokio::select! { second = second => second, () = crowd => unreachable!("it never ends") }
    });
    assert_eq!(health(second.await.expect("its turn comes")).await.0, StatusCode::OK);

    let (elsewhere, _) = self::folder();
    let server = secured(&elsewhere, "handshake_time = \"1ms\"").start();
    let mut silent = Raw::connect(&server).await;
    silent.closed().await;
    server.wait_for_log("its handshake did not end in time");
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart_and_a_bad_pair_keeps_the_old() {
    let (folder, root) = folder();
    let server = secured(&folder, "certificate_time = \"10ms\"").start();
    let served = |root: String| {
        let address = server.address;
        async move { in_time(shaken(connected(address).await, &root, &[])).await.is_ok() }
    };
    assert!(served(root.clone()).await);
    // The key alone is changed: no pair.
    let new = pair(folder.path(), "b");
    std::fs::rename(folder.path().join("b.key"), folder.path().join("a.key")).expect("renamed");
    let words = server.wait_for_log("the certificate before this one goes on");
    assert!(words.contains("are no pair") && words.contains("a.key"), "{words}");
    assert!(served(root.clone()).await);
    std::fs::rename(folder.path().join("b.pem"), folder.path().join("a.pem")).expect("renamed");
    server.wait_for_log("the certificate was read again");
    assert!(served(new).await && !served(root).await);
}

#[tokio::test]
async fn a_server_does_not_start_without_a_pair() {
    let (folder, _) = folder();
    pair(folder.path(), "b");
    std::fs::rename(folder.path().join("b.key"), folder.path().join("a.key")).expect("renamed");
    let words = secured(&folder, "").refused();
    assert!(words.contains("the certificate cannot be used") && words.contains("are no pair"), "{words}");
    std::fs::remove_file(folder.path().join("a.pem")).expect("removed");
    let words = secured(&folder, "").refused();
    assert!(words.contains("a.pem cannot be read"), "{words}");
}
