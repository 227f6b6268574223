//! Standard output and standard error that nobody reads, or that are gone: a server serves and stops all the same, and commands end quietly.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::client::Client;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cofferdam");

/// More lines than any pipe holds.
const REQUESTS: usize = 1_000;

/// A server in a folder of its own, which is killed when the test ends.
struct Process {
    child: Child,
    _folder: TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(config: &str, stdout: Stdio, stderr: Stdio, listen: SocketAddr) -> Process {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("cofferdam.toml"), config).expect("it can be written");
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", &listen.to_string()]).current_dir(folder.path());
    command.env("COFFERDAM_LOG", "info").stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    Process { child: command.spawn().expect("the server can be started"), _folder: folder }
}

impl Process {
    /// SIGTERM, and the exit code.
    fn stops(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it can be signalled");
        self.child.wait().expect("it ends").code()
    }
}

/// Reads one byte after the other, so that what comes after the line stays in the pipe.
fn address(stdout: &mut impl Read) -> SocketAddr {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        stdout.read_exact(&mut byte).expect("the server starts");
        line.push(byte[0]);
    }
    let line = String::from_utf8(line).expect("UTF-8");
    line.trim().strip_prefix("listening on http://").expect("the line that others wait for").parse().expect("an address")
}

/// An address where nobody listens now.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound")
}

/// Waits until somebody listens there.
async fn listening(address: SocketAddr) -> Client {
    let connects = async { while tokio::net::TcpStream::connect(address).await.is_err() {} };
    tokio::time::timeout(crate::server::PATIENCE, connects).await.expect("it listens");
    Client::of(address)
}

/// A pipe whose reader is gone.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_neither_requests_nor_the_stop_and_what_is_lost_is_counted() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut server = serve("telemetry.log_queue = \"64KiB\"", Stdio::piped(), writer.into(), any());
    let client = Client::of(address(server.child.stdout.as_mut().expect("a pipe")));
    for _ in 0..REQUESTS {
        client.chat("default", "hi", json!({})).await.ok();
    }
    let metrics = client.get("/metrics").await.ok().text();
    let lost = metrics.lines().find_map(|line| line.strip_prefix("cofferdam_log_lines_dropped_total ")).expect("the metric");
    assert!(lost.parse::<u64>().expect("a number") > 100, "{lost}");
    // Once it is read again, it says what is missing, and the next request has its line.
    let (read, says) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 4_096];
        while let Ok(length @ 1..) = reader.read(&mut bytes) {
            let _ = read.send(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
    });
    let mut log = String::new();
    while !log.contains(" log lines were lost here") {
        log += &says.recv_timeout(crate::server::PATIENCE).expect("it says so");
    }
    client.chat("default", "the last one", json!({})).await.ok();
    assert_eq!(server.stops(), Some(0));
    let rest: String = says.iter().collect();
    assert!(rest.contains("chat_completions"), "{rest}");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_log_that_nobody_reads() {
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let mut server = serve("[telemetry]\nlog_flush = \"0s\"\nlog_queue = \"64KiB\"", Stdio::piped(), writer.into(), any());
    let client = Client::of(address(server.child.stdout.as_mut().expect("a pipe")));
    for _ in 0..REQUESTS {
        client.get("/healthz").await.ok();
        client.chat("nobody", "hi", json!({})).await.refused(404);
    }
    assert_eq!(server.stops(), Some(0));
}

#[tokio::test]
async fn a_server_whose_outputs_are_gone_serves_and_stops() {
    for (stdout, stderr) in [(closed_pipe(), Stdio::null()), (Stdio::null(), closed_pipe()), (closed_pipe(), closed_pipe())] {
        let at = free_address();
        let mut server = serve("", stdout, stderr, at);
        let client = listening(at).await;
        for _ in 0..3 {
            client.chat("default", "hi", json!({})).await.ok();
        }
        assert_eq!(server.stops(), Some(0));
    }
}

#[tokio::test]
async fn a_server_whose_standard_output_is_full_serves_and_stops() {
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let mut filling = writer.try_clone().expect("a descriptor");
    rustix::io::ioctl_fionbio(&filling, true).expect("a pipe can be made not to block");
    while filling.write(&[b'x'; 4_096]).is_ok() {}
    rustix::io::ioctl_fionbio(&filling, false).expect("and to block again");
    let at = free_address();
    let mut server = serve("", writer.into(), Stdio::null(), at);
    listening(at).await.chat("default", "hi", json!({})).await.ok();
    assert_eq!(server.stops(), Some(0));
}

fn command(folder: &Path, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(folder).stdout(stdout).stderr(stderr).output().expect("the program can be started")
}

#[test]
fn commands_into_a_closed_pipe_end_quietly_and_as_other_programs_do() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("c.toml"), "").expect("it can be written");
    for arguments in [&["check-config", "c.toml"][..], &["new-key", "x"], &["--help"], &["--version"], &["serve", "--help"]] {
        let out = command(folder.path(), arguments, closed_pipe(), Stdio::piped());
        assert_eq!((out.status.code(), out.stderr.as_slice()), (Some(141), &b""[..]), "{arguments:?}");
    }
    std::fs::write(folder.path().join("wrong.toml"), "nonsense = 1").expect("it can be written");
    for (arguments, code) in [(&["check-config", "wrong.toml"][..], 64), (&["serve", "--config", "wrong.toml"], 64), (&["--nonsense"], 2)] {
        let out = command(folder.path(), arguments, Stdio::piped(), closed_pipe());
        assert_eq!(out.status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_answer_that_could_not_be_written_is_a_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let out = command(folder.path(), &["new-key", "x"], full.into(), Stdio::piped());
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).starts_with("standard output cannot be written: "), "{out:?}");
}
