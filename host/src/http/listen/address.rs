//! An address to listen on, as the operator writes it, and one that is listened on, as the server says it.
//! Invariant: what is written reads back to the same.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Addresses of one list. People name a handful.
pub const ADDRESSES_MAX: usize = 16;

/// The first descriptor that a service manager hands over; the three before it are standard input, output and error.
const FIRST_FD: u32 = 3;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// Port 0 takes a free one.
    Tcp(SocketAddr),
    /// That port of both loopback addresses, 127.0.0.1 and ::1.
    Localhost(u16),
    /// A socket file.
    Unix(PathBuf),
    /// A socket that a service manager opened and handed over.
    Fd(u32),
}

/// The text is no address.
#[derive(Debug, thiserror::Error)]
#[error("expected an address such as \"127.0.0.1:8080\", \"localhost:8080\", \"unix:/run/cofferdam.sock\" or \"fd:3\"")]
pub struct NoAddress;

/// Where it is listened, the port that it got included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    Tcp { address: SocketAddr, tls: bool },
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether nobody reaches it but this machine; of a socket that is handed over this is not known before it is there.
    pub fn is_local(&self) -> Option<bool> {
        match self {
            Self::Tcp(address) => Some(address.ip().is_loopback()),
            Self::Localhost(_) | Self::Unix(_) => Some(true),
            Self::Fd(_) => None,
        }
    }

    /// Whether two of it are two addresses: each takes a free port of its own.
    pub fn may_stand_twice(&self) -> bool {
        matches!(self, Self::Localhost(0)) || matches!(self, Self::Tcp(address) if address.port() == 0)
    }
}

impl FromStr for ListenAddress {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (path.starts_with('/') && !path.ends_with('/') && !path.contains('\0'))
                .then(|| Self::Unix(path.into()))
                .ok_or(NoAddress);
        }
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(fd) = text.strip_prefix("fd:").filter(|fd| digits(fd)) {
            return fd.parse().ok().filter(|fd| *fd >= FIRST_FD).map(Self::Fd).ok_or(NoAddress);
        }
        if let Some(port) = text.strip_prefix("localhost:").filter(|port| digits(port)) {
            return port.parse().map(Self::Localhost).map_err(|_| NoAddress);
        }
        text.parse().map(Self::Tcp).map_err(|_| NoAddress)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Fd(fd) => write!(f, "fd:{fd}"),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, tls: false } => write!(f, "http://{address}"),
            Self::Tcp { address, tls: true } => write!(f, "https://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back_to_itself() {
        for text in ["127.0.0.1:8080", "0.0.0.0:0", "[::1]:8080", "localhost:8080", "localhost:0", "unix:/run/a b.sock", "fd:3", "fd:17"] {
            assert_eq!(text.parse::<ListenAddress>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "localhost", "8080", ":8080", "127.0.0.1", "::1:8080", "example.com:80", "localhost:", "localhost:65536", "localhost:-1"]
                .into_iter()
                .chain([
                    "unix:",
                    "unix:run/a.sock",
                    "unix:/run/",
                    "unix:/run/a\0b",
                    "fd:",
                    "fd:2",
                    "fd:+3",
                    "fd:name",
                    "fd:99999999999",
                    "http://127.0.0.1:80",
                ])
        {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_and_socket_files_are_local_and_a_socket_that_is_handed_over_is_seen_later() {
        let local = |text: &str| text.parse::<ListenAddress>().expect(text).is_local();
        assert_eq!(["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/a"].map(local), [Some(true); 4]);
        assert_eq!(["0.0.0.0:1", "[::]:1", "10.0.0.1:1"].map(local), [Some(false); 3]);
        assert_eq!(local("fd:3"), None);
    }
}
