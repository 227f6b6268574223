//! One listening socket: TCP, a socket file, or one that was handed over.
//! Invariants: a socket file is closed to others before anybody can connect to it; a file that is not a dead server's socket is never
//! removed; and the file goes with the listener that made it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use socket2::{Domain, SockAddr, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use super::address::{Bound, ListenAddress};
use super::error::Error;
use super::inherited::{self, Inherited};
use super::peer::network;

/// What the system holds of a connection that it cannot send yet. A client that takes half as much in `write_time` is not cut.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 << 10;

/// Connections that wait to be accepted. It is what tokio asks for on TCP.
const BACKLOG: i32 = 1024;

/// Free ports that are tried until one is free on both loopback addresses.
const PORTS_TRIED: usize = 16;

/// Everybody who comes by a socket file: whoever is behind it, it is one peer, as a proxy is. No client of TCP has this address.
const BY_FILE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A connection as the system hands it over.
pub(super) type Transport = Either<TcpStream, UnixStream>;

pub(super) enum Listener {
    Tcp { socket: TcpListener, address: SocketAddr },
    Unix { socket: UnixListener, path: PathBuf, _file: Option<SocketFile> },
}

/// The file of a socket that this process made; it is removed when this is dropped.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Its device and number, to know it again.
    identity: (u64, u64),
}

impl Listener {
    /// Listens there: on one socket, or on two for `localhost`. `mode` is that of a socket file.
    pub(super) async fn bind(address: &ListenAddress, mode: u32, sockets: &mut Inherited) -> Result<Vec<Self>, Error> {
        let refused = |source| Error::Bind { listen: address.to_string(), source };
        match address {
            ListenAddress::Tcp(at) => Ok(vec![Self::tcp(TcpListener::bind(at).await.map_err(refused)?).map_err(refused)?]),
            ListenAddress::Localhost(port) => localhost(*port).await.map_err(refused),
            ListenAddress::Unix(path) => Ok(vec![socket_file(path, mode)?]),
            ListenAddress::Fd(fd) => Ok(vec![handed_over(sockets.socket(*fd)?).map_err(refused)?]),
        }
    }

    fn tcp(socket: TcpListener) -> io::Result<Self> {
        bound_unsent(&socket)?;
        let address = socket.local_addr()?;
        Ok(Self::Tcp { socket, address })
    }

    /// `tls` if connections of TCP are encrypted; those of a socket file never leave the machine.
    pub(super) fn bound(&self, tls: bool) -> Bound {
        match self {
            Self::Tcp { address, .. } => Bound::Tcp { address: *address, tls },
            Self::Unix { path, .. } => Bound::Unix(path.clone()),
        }
    }

    /// Whether nobody but this machine reaches it.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Tcp { address, .. } => address.ip().is_loopback(),
            Self::Unix { .. } => true,
        }
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Transport, IpAddr)>> {
        match self {
            Self::Tcp { socket, .. } => {
                let (stream, peer) = ready!(socket.poll_accept(cx))?;
                // Events of a stream must not wait for more bytes; a socket that refuses is one that is gone already.
                let _ = stream.set_nodelay(true);
                Poll::Ready(Ok((Either::Left(stream), network(peer.ip()))))
            }
            Self::Unix { socket, .. } => {
                let (stream, _) = ready!(socket.poll_accept(cx))?;
                Poll::Ready(Ok((Either::Right(stream), BY_FILE)))
            }
        }
    }
}

/// Both loopback addresses at one port. A machine without IPv6 has only the first.
async fn localhost(port: u16) -> io::Result<Vec<Listener>> {
    for tries_left in (0..PORTS_TRIED).rev() {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let at = first.local_addr()?.port();
        match TcpListener::bind((Ipv6Addr::LOCALHOST, at)).await {
            Ok(second) => return Ok(vec![Listener::tcp(first)?, Listener::tcp(second)?]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if port != 0 || tries_left == 0 {
                    return Err(error);
                }
            }
            // The address is not there, or the whole protocol is not.
            Err(error) => {
                tracing::info!(%error, "localhost is 127.0.0.1 alone, because ::1 cannot be listened on");
                return Ok(vec![Listener::tcp(first)?]);
            }
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn handed_over(socket: inherited::Socket) -> io::Result<Listener> {
    match socket {
        inherited::Socket::Tcp(socket) => {
            socket.set_nonblocking(true)?;
            Listener::tcp(TcpListener::from_std(socket)?)
        }
        inherited::Socket::Unix(socket) => {
            socket.set_nonblocking(true)?;
            let path = socket.local_addr()?.as_pathname().unwrap_or(Path::new("")).to_owned();
            Ok(Listener::Unix { socket: UnixListener::from_std(socket)?, path, _file: None })
        }
    }
}

/// Makes the socket file; that of a server that is gone is replaced.
fn socket_file(path: &Path, mode: u32) -> Result<Listener, Error> {
    let refused = |source| Error::Bind { listen: format!("unix:{}", path.display()), source };
    make_way(path)?;
    let file_and_socket = || {
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile::of(path)?;
        // Until it listens, nobody can connect, whatever its mode is by now.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok((file, UnixListener::from_std(socket.into())?))
    };
    let (file, socket) = file_and_socket().map_err(refused)?;
    Ok(Listener::Unix { socket, path: path.to_owned(), _file: Some(file) })
}

/// Removes the socket file of a server that is gone, and nothing else.
fn make_way(path: &Path) -> Result<(), Error> {
    let refused = |source| Error::Bind { listen: format!("unix:{}", path.display()), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
        Ok(data) if !data.file_type().is_socket() => return Err(Error::NoSocket(path.to_owned())),
        Ok(_) => {}
    }
    let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).map_err(refused)?;
    // So that a full backlog is an answer, too.
    probe.set_nonblocking(true).map_err(refused)?;
    match SockAddr::unix(path).and_then(|address| probe.connect(&address)) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(refused),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(()) => Err(Error::Taken(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::Taken(path.to_owned())),
        Err(error) => Err(refused(error)),
    }
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    /// A server that came later may have put its own in this one's place.
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let data = std::fs::symlink_metadata(path)?;
    Ok((data.dev(), data.ino()))
}

/// Lets the system take few bytes of a connection that its client does not read, megabytes otherwise. This holds for all connections of the
/// listener. It also makes the system tell of each step of a slow client, so that it is not taken for one that stands still.
#[cfg(target_os = "linux")]
fn bound_unsent(listener: &TcpListener) -> io::Result<()> {
    socket2::SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES)
}

/// The option is Linux's; elsewhere the system's own bounds hold.
#[cfg(not(target_os = "linux"))]
fn bound_unsent(_: &TcpListener) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_file_has_its_mode_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        for wanted in [0o600, 0o660, 0o666] {
            let listener = socket_file(&path, wanted).unwrap();
            assert_eq!(mode(&path), wanted);
            UnixStream::connect(&path).await.unwrap();
            drop(listener);
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn a_dead_server_s_file_is_replaced_and_a_live_one_s_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves it, as a killed server does");
        let live = socket_file(&path, 0o600).unwrap();
        assert!(matches!(socket_file(&path, 0o600), Err(Error::Taken(_))));
        UnixStream::connect(&path).await.expect("it still listens");
        drop(live);
    }

    #[tokio::test]
    async fn a_live_server_whose_backlog_is_full_is_not_taken_for_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let _waits = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(matches!(socket_file(&path, 0o600), Err(Error::Taken(_))));
        assert!(path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "mine").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
        for path in [&path, &link, &folder.path().to_owned()] {
            assert!(matches!(socket_file(path, 0o600), Err(Error::NoSocket(_))), "{}", path.display());
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn the_file_of_a_later_server_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let first = socket_file(&path, 0o600).unwrap();
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        let _second = socket_file(&path, 0o600).unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn localhost_is_both_families_at_one_port() {
        let Ok(listeners) = localhost(0).await else { panic!("localhost can be listened on") };
        let ports: Vec<u16> = listeners
            .iter()
            .map(|l| match l.bound(false) {
                Bound::Tcp { address, .. } => address.port(),
                Bound::Unix(_) => 0,
            })
            .collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
        assert_eq!(localhost(ports[0]).await.map(|_| ()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
