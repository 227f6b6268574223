//! The providers' simulator, which we did not write (npm's aimock), on a free port with the answers of `tests/simulator/fixtures.json`;
//! stopped when dropped. Shows what it was asked, and what it understood of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::packages::{node_with, source};

/// The key that is right, whatever header a provider wants it in.
pub const KEY: &str = "sk-simulated-0123456789";

pub struct Simulator {
    child: Child,
    pub address: SocketAddr,
}

/// A request as it came.
#[derive(Debug, Deserialize)]
pub struct Asked {
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names in lower case.
    headers: Map<String, Value>,
    pub body: Value,
    /// The chat request, in OpenAI's words, that the simulator read out of the provider's; null if it answered without reading.
    pub understood: Value,
}

impl Simulator {
    /// `None` if this machine has no Node.
    pub fn start() -> Option<Self> {
        let modules = node_with("simulator")?;
        let mut command = Command::new("node");
        command.arg(source("simulator/serve.mjs")).arg(modules).arg(source("simulator/fixtures.json")).arg(KEY);
        // It ends with its standard input: also when the test is killed.
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the simulator can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("listening on http://")?.parse().ok());
        let address = address.expect("the simulator says where it listens; if it cannot start, it said why");
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, address })
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Asked> {
        let mut stream = TcpStream::connect(self.address).expect("the simulator listens");
        stream.write_all(b"GET /requests HTTP/1.0\r\n\r\n").expect("the simulator reads");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("the simulator answers");
        let (_, json) = reply.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.as_str()
    }
}
