//! Tries everything that WASI could give, and answers with what it got, one line each: `NAME: refused` is what a test wants to see.

use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::{env, fs, io};

use cofferdam_guest::{HookError, Message, Plugin, PreOutcome, Request};

struct ProbeEnv;

impl Plugin for ProbeEnv {
    const NAME: Option<&'static str> = Some("probe-env");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        let lines = [
            format!("env: {}", found(env::vars().map(|(name, _)| name))),
            format!("args: {}", found(env::args())),
            format!("stdin: {}", outcome(io::read_to_string(io::stdin()).and_then(some_text))),
            format!("list /: {}", outcome(fs::read_dir("/"))),
            format!("list .: {}", outcome(fs::read_dir("."))),
            format!("read: {}", outcome(fs::read("/etc/passwd"))),
            format!("write: {}", outcome(fs::write("/tmp/probe", "probe"))),
            format!("resolve: {}", outcome("localhost:80".to_socket_addrs())),
            format!("connect: {}", outcome(TcpStream::connect(("127.0.0.1", 80)))),
            format!("listen: {}", outcome(TcpListener::bind(("127.0.0.1", 0)))),
            format!("udp: {}", outcome(UdpSocket::bind(("127.0.0.1", 0)))),
        ];
        Ok(Message::assistant(lines.join("\n")).into())
    }
}

fn found(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() { "refused".to_owned() } else { format!("GRANTED {}", names.join(" ")) }
}

fn outcome<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "GRANTED".to_owned(),
        Err(error) => format!("refused ({error})"),
    }
}

fn some_text(text: String) -> io::Result<String> {
    if text.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(text) }
}

cofferdam_guest::export!(ProbeEnv: pre_hook);
