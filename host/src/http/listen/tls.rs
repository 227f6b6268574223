//! TLS: the certificate with its key, read together, and read again when the files change.
//! Invariant: a pair that cannot be used never takes the place of one that can, neither for a moment nor in part.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use super::handshakes::Handshakes;
use crate::http::limits::Limits;

/// A chain of a few certificates has some KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the group and all others may do with a key file that is no danger: the group may read it, as Debian's `ssl-cert` does.
const HARMLESS: u32 = 0o040;

/// `h2` is how ALPN calls HTTP/2.
pub(super) const HTTP2: &[u8] = b"h2";

/// Where the certificate and its key are, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those up to the root that clients know.
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no private key in PEM", .0.display())]
    NoKey(PathBuf),
    #[error("{} is no proper PEM", path.display())]
    Pem { path: PathBuf, source: pem::Error },
    #[error("the certificate of {} and the key of {} are no pair", cert.display(), key.display())]
    NoPair { cert: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

pub(in crate::http) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) handshakes: Handshakes,
    files: TlsFiles,
    current: Arc<Current>,
    /// What the files were like when they were read first.
    first: Fingerprint,
    every: Duration,
}

/// The pair for the handshakes that begin now.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

/// Of a file: where it lies, when it was changed, and how large it is.
type Fingerprint = [Option<(u64, u64, i64, i64, u64)>; 2];

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tls {
    /// Reads the pair.
    ///
    /// # Errors
    /// It cannot be read or used.
    pub(in crate::http) fn open(files: &TlsFiles, limits: &Limits) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        // Before they are read: what changes meanwhile is seen later.
        let first = fingerprint(files);
        let current = Arc::new(Current(RwLock::new(Arc::new(load(files, &provider)?))));
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(Error::Setup)?;
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::<Current>::clone(&current));
        config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        let handshakes = Handshakes::new(limits.handshakes);
        Ok(Self { config: Arc::new(config), handshakes, files: files.clone(), current, first, every: limits.certificate_time })
    }

    /// Looks at the files now and then, for ever, and takes up a new pair once they have stopped changing.
    pub(in crate::http) async fn watch(&self) -> Infallible {
        let mut tried = self.first;
        let mut before = tried;
        loop {
            tokio::time::sleep(self.every).await;
            let files = self.files.clone();
            // A thread that may block, for the files may lie on a network.
            let Ok(now) = tokio::task::spawn_blocking(move || fingerprint(&files)).await else { continue };
            let at_rest = std::mem::replace(&mut before, now) == now;
            if now == tried || !at_rest {
                continue;
            }
            tried = now;
            let files = self.files.clone();
            let provider = Arc::clone(self.config.crypto_provider());
            let loaded = tokio::task::spawn_blocking(move || load(&files, &provider)).await;
            match loaded {
                Ok(Ok(pair)) => {
                    *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
                    tracing::info!(cert = %self.files.cert.display(), "the certificate was read again");
                }
                Ok(Err(error)) => {
                    let causes = causes(&error);
                    tracing::warn!("the certificate before this one goes on, because the new one cannot be used: {error}{causes}");
                }
                // The task panicked, which it said itself.
                Err(_) => {}
            }
        }
    }
}

fn causes(error: &Error) -> String {
    std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default()
}

fn load(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let TlsFiles { cert, key } = files;
    let chain = CertificateDer::pem_slice_iter(&read(cert)?.0).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|source| Error::Pem { path: cert.clone(), source })?;
    if chain.is_empty() {
        return Err(Error::NoCertificate(cert.clone()));
    }
    let (bytes, mode) = read(key)?;
    let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|source| match source {
        pem::Error::NoItemsFound => Error::NoKey(key.clone()),
        source => Error::Pem { path: key.clone(), source },
    })?;
    if mode & 0o077 & !HARMLESS != 0 {
        tracing::warn!(key = %key.display(), "other users can reach the key of the certificate: its mode is {:04o}; make it 0600 or 0640", mode & 0o7777);
    }
    CertifiedKey::from_der(chain, private, provider).map_err(|source| Error::NoPair { cert: cert.clone(), key: key.clone(), source })
}

/// A file's bytes, and its mode.
fn read(path: &Path) -> Result<(Vec<u8>, u32), Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode();
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(Error::TooLarge(path.to_owned())) } else { Ok((bytes, mode)) }
}

fn fingerprint(files: &TlsFiles) -> Fingerprint {
    [&files.cert, &files.key].map(|path| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.dev(), data.ino(), data.mtime(), data.mtime_nsec(), data.size()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(folder: &Path, name: &str) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(vec![format!("{name}.example")]).unwrap();
        let files = TlsFiles { cert: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        std::fs::write(&files.cert, pem("CERTIFICATE", made.cert.der())).unwrap();
        std::fs::write(&files.key, pem("PRIVATE KEY", &made.signing_key.serialize_der())).unwrap();
        files
    }

    fn pem(kind: &str, der: &[u8]) -> String {
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", data_encoding::BASE64.encode(der))
    }

    fn limits() -> Limits {
        Limits { certificate_time: Duration::from_millis(5), ..Limits::default() }
    }

    fn served(tls: &Tls) -> Vec<u8> {
        tls.current.0.read().unwrap().cert[0].to_vec()
    }

    fn first_of(files: &TlsFiles) -> Vec<u8> {
        CertificateDer::from_pem_file(&files.cert).unwrap().to_vec()
    }

    #[test]
    fn what_is_no_pair_is_refused_with_the_file_to_blame() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (pair(folder.path(), "a"), pair(folder.path(), "b"));
        let opened = |cert: &Path, key: &Path| Tls::open(&TlsFiles { cert: cert.to_owned(), key: key.to_owned() }, &limits()).map(|_| ());
        assert!(opened(&a.cert, &a.key).is_ok());
        assert!(matches!(opened(&a.cert, &b.key), Err(Error::NoPair { .. })));
        assert!(matches!(opened(&a.key, &a.key), Err(Error::NoCertificate(path)) if path == a.key));
        assert!(matches!(opened(&a.cert, &a.cert), Err(Error::NoKey(path)) if path == a.cert));
        assert!(matches!(opened(&folder.path().join("none"), &a.key), Err(Error::Read { .. })));
        let torn = folder.path().join("torn");
        let text = std::fs::read_to_string(&a.cert).unwrap();
        std::fs::write(&torn, &text[..text.len() / 2]).unwrap();
        assert!(matches!(opened(&torn, &a.key), Err(Error::Pem { .. } | Error::NoCertificate(_))));
        std::fs::write(&torn, vec![b' '; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(matches!(opened(&torn, &a.key), Err(Error::TooLarge(_))));
    }

    #[tokio::test]
    async fn a_new_pair_is_taken_up_and_a_bad_one_keeps_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (pair(folder.path(), "a"), pair(folder.path(), "b"));
        let tls = Tls::open(&a, &limits()).unwrap();
        let becomes = async |files: &TlsFiles| {
            let wanted = first_of(files);
            let seen = async {
                while served(&tls) != wanted {
                    tokio::task::yield_now().await
                }
            };
            tokio::select! { never = tls.watch() => match never {}, () = seen => {} }
        };
        // Half of a new pair, then the other half: never served in between.
        let old = served(&tls);
        std::fs::rename(&b.key, &a.key).unwrap();
        assert!(load(&a, tls.config.crypto_provider()).is_err());
        assert_eq!(served(&tls), old);
        std::fs::copy(&b.cert, &a.cert).unwrap();
        tokio::time::timeout(Duration::from_secs(60), becomes(&b)).await.expect("it is taken up");
        // What cannot be used changes nothing, and the next one that can is taken up.
        let c = pair(folder.path(), "c");
        std::fs::write(&a.cert, "nonsense").unwrap();
        std::fs::rename(&c.key, &a.key).unwrap();
        let looks_once = tokio::time::timeout(20 * tls.every, tls.watch());
        assert!(looks_once.await.is_err());
        assert_eq!(served(&tls), first_of(&b));
        std::fs::rename(&c.cert, &a.cert).unwrap();
        let c = TlsFiles { cert: a.cert.clone(), key: a.key.clone() };
        tokio::time::timeout(Duration::from_secs(60), becomes(&c)).await.expect("it is taken up");
    }
}
