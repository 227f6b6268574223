//! New connections: plain or TLS, TCP_NODELAY, the system's trusted roots read once and only when the first https provider is dialled.
//! Must not know pools or requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::sync::OnceCell;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The TLS side of all providers, so that the roots are in memory once.
#[derive(Default)]
pub(in crate::llm) struct Tls(OnceCell<HttpsConnector<HttpConnector>>);

impl Tls {
    async fn connector(&self) -> Result<HttpsConnector<HttpConnector>, BoxError> {
        let load = || async {
            // Reads and parses some hundred certificates.
            tokio::task::spawn_blocking(|| {
                let https = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1();
                Ok::<_, std::io::Error>(https.wrap_connector(tcp(false)))
            })
            .await?
            .map_err(BoxError::from)
        };
        self.0.get_or_try_init(load).await.cloned()
    }
}

/// Opens connections to one host.
pub(super) struct Dialer {
    uri: Uri,
    way: Way,
}

enum Way {
    Plain(HttpConnector),
    Tls(Arc<Tls>),
}

impl Dialer {
    /// # Errors
    /// A text for the operator when `uri` names no http or https host.
    pub(super) fn new(uri: &Uri, tls: Arc<Tls>) -> Result<Self, String> {
        let way = match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(_)) => Way::Plain(tcp(true)),
            (Some("https"), Some(_)) => Way::Tls(tls),
            _ => return Err(format!("its base_url `{uri}` is no http or https URL")),
        };
        Ok(Self { uri: uri.clone(), way })
    }

    /// Its name or address, and its port.
    pub(super) fn server(&self) -> (&str, u16) {
        let usual = if matches!(self.way, Way::Plain(_)) { 80 } else { 443 };
        (self.uri.host().unwrap_or_default(), self.uri.port_u16().unwrap_or(usual))
    }

    /// A connection that is ready for its first request; a task of its own drives it until either side closes it.
    pub(super) async fn dial(&self) -> Result<http1::SendRequest<Full<Bytes>>, BoxError> {
        match &self.way {
            Way::Plain(connector) => converse(connector.clone().call(self.uri.clone()).await?).await,
            Way::Tls(tls) => converse(tls.connector().await?.call(self.uri.clone()).await?).await,
        }
    }
}

async fn converse<T>(io: T) -> Result<http1::SendRequest<Full<Bytes>>, BoxError>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io).await?;
    // Its errors reach whoever waits for a reply; on an idle connection they concern nobody.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn tcp(http_only: bool) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(http_only);
    tcp.set_nodelay(true);
    // A provider behind a dead link is noticed while it seems to think.
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp
}
