//! TLS to one server, with the roots that the machine trusts. They are read once, when the first plugin asks for https.

use std::io;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;

/// The trusted roots, once they are read.
#[derive(Default)]
pub(super) struct Tls(OnceCell<TlsConnector>);

impl Tls {
    /// # Errors
    /// The server is not who it should be, or the roots cannot be read.
    pub(super) async fn shake_hands(&self, name: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let connector =
            self.0.get_or_try_init(|| async { tokio::task::spawn_blocking(connector).await.map_err(io::Error::other)? }).await?;
        connector.connect(name, stream).await
    }
}

/// Reads and parses some hundred certificates.
fn connector() -> io::Result<TlsConnector> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = builder.with_native_roots()?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}
