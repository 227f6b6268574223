//! Sockets that a service manager opened and handed over by systemd's protocol (sd_listen_fds(3)): `LISTEN_FDS` and `LISTEN_PID`.
//! Invariant: each is used once, and none is left open to the processes that this one starts.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use socket2::SockRef;

use super::error::Error;

/// The first descriptor.
const FIRST: u32 = 3;

/// What was handed over, in the order of the descriptors.
#[derive(Default)]
pub struct Inherited(Vec<Slot>);

pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Slot {
    Free(Socket),
    Taken,
    Unusable(String),
}

impl Inherited {
    /// Takes all that there are. It must be called before other threads begin, because it takes the variables out of the environment, so that
    /// no process that is started later believes they are meant for it.
    pub fn take() -> Self {
        let mut sockets = ListenFd::from_env();
        Self((0..sockets.len()).map(|at| slot(&mut sockets, at)).collect())
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn socket(&mut self, fd: u32) -> Result<Socket, Error> {
        let slot = fd.checked_sub(FIRST).and_then(|at| self.0.get_mut(at as usize));
        match slot.map(|slot| std::mem::replace(slot, Slot::Taken)) {
            None => Err(Error::NotHandedOver { fd, count: self.0.len() }),
            Some(Slot::Free(socket)) => Ok(socket),
            Some(Slot::Taken) => Err(Error::Unusable { fd, why: "it is listened on already".into() }),
            Some(Slot::Unusable(why)) => Err(Error::Unusable { fd, why }),
        }
    }

    /// The descriptors that nobody asked for; connections to them would wait for ever.
    pub(in crate::http) fn unused(&self) -> Vec<u32> {
        (FIRST..).zip(&self.0).filter(|(_, slot)| !matches!(slot, Slot::Taken)).map(|(fd, _)| fd).collect()
    }
}

fn slot(sockets: &mut ListenFd, at: usize) -> Slot {
    let tcp = sockets.take_tcp_listener(at).map(|socket| socket.map(Socket::Tcp));
    let socket = tcp.or_else(|_| sockets.take_unix_listener(at).map(|socket| socket.map(Socket::Unix)));
    match socket {
        Ok(Some(socket)) => {
            let listens = match &socket {
                Socket::Tcp(socket) => listens(socket),
                Socket::Unix(socket) => listens(socket),
            };
            // A unit with `Accept=yes` hands over one connection.
            if listens { Slot::Free(socket) } else { Slot::Unusable("it is a socket that does not listen; set Accept=no".into()) }
        }
        Ok(None) => Slot::Taken,
        Err(_) => Slot::Unusable("it is no stream socket of TCP or of a file; set ListenStream=".into()),
    }
}

#[cfg(target_os = "linux")]
fn listens(socket: &impl AsFd) -> bool {
    SockRef::from(socket).is_listener().unwrap_or(false)
}

/// Elsewhere the first accept tells.
#[cfg(not(target_os = "linux"))]
fn listens(_: &impl AsFd) -> bool {
    true
}
