//! Cases on the side of the machine: descriptors that run out, addresses of the other kind, folders that nobody may write, no home.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::client::Client;
use crate::packages::skipped;
use crate::server::Server;
use crate::upstream::{Script, Upstream};

/// A model `p` of a provider that always answers.
async fn provider(address: &str) -> (Upstream, String) {
    let upstream = Upstream::start_at(address).await;
    upstream.always(Script::says("ok"));
    let config = format!(
        "[providers.up]\nkind = \"openai\"\nbase_url = \"{}\"\n[[pipelines]]\nid = \"p\"\n\
         pipeline = [ {{ stage = \"llm\", config = {{ primary = {{ provider = \"up\", model = \"m\" }} }} }} ]\n",
        upstream.url()
    );
    (upstream, config)
}

/// Case 60. The accept loop neither ends nor spins.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_without_descriptors_waits_for_some_and_then_goes_on() {
    use rustix::process::{Resource, Rlimit, prlimit};
    const REFUSED: &str = "a connection could not be accepted";

    let (_upstream, config) = provider("127.0.0.1:0").await;
    let server = Server::with(&config).start();
    let client = Client::of(server.address);
    client.chat("p", "hi", json!({})).await.ok();
    let pid = Pid::from_raw(server.id().cast_signed());
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).expect("our own child may be limited");
    let connections: Vec<TcpStream> = (0..120).map(|_| TcpStream::connect(server.address).expect("the backlog has room")).collect();
    server.wait_for_log(REFUSED);
    drop(connections);
    for _ in 0..5 {
        assert_eq!(client.chat("p", "hi", json!({})).await.ok().content(), "ok");
    }
    // One that tries again at once writes this thousands of times before anybody can read the first.
    let times = server.log().matches(REFUSED).count();
    assert!(times < 100, "{times} times");
}

/// Case 63: the address that is printed, the `host` header in brackets, and a provider's URL.
#[tokio::test]
async fn addresses_of_ipv6_are_listened_on_printed_taken_as_a_host_and_asked() {
    if TcpListener::bind("[::1]:0").is_err() {
        return skipped("ipv6", "this machine has no address ::1");
    }
    let (_upstream, config) = provider("[::1]:0").await;
    let server = Server::with(&config).listen(&["[::1]:0"]).start();
    assert!(server.address.is_ipv6(), "{}", server.address);
    let client = Client::of(server.address);
    assert_eq!(client.chat("p", "hi", json!({})).await.ok().content(), "ok");
    let page = client.clone().header("origin", &format!("http://{}", server.address));
    page.chat("p", "hi", json!({})).await.ok();
}

/// A server as containers run it: as nobody if the test may decide that, without any variable but a key, in a folder that it cannot write.
fn contained(program: &Path, config: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "--config"]).arg(config).current_dir("/").env_clear().env("KEY", "k");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

const NOBODY: u32 = 65534;

/// The address that it prints.
fn listening(child: &mut Child) -> SocketAddr {
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("stdout is a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("listening on http://").and_then(|address| address.parse().ok());
    address.unwrap_or_else(|| {
        let mut said = String::new();
        child.stderr.as_mut().expect("stderr is a pipe").read_to_string(&mut said).expect("text");
        panic!("it did not start: {line}{said}")
    })
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("our own folder");
}

/// Case 65.
#[tokio::test]
async fn a_server_needs_no_home_no_variable_and_no_folder_but_its_own_and_ends_at_once() {
    let (_upstream, config) = provider("127.0.0.1:0").await;
    let (fixed, own) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let (file, program) = (fixed.path().join("cofferdam.toml"), fixed.path().join("cofferdam"));
    std::fs::copy(env!("CARGO_BIN_EXE_cofferdam"), &program).expect("the program can be copied");
    std::fs::create_dir(fixed.path().join("plugins")).expect("a folder");
    let data = own.path().join("data");
    let config = format!("listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\nplugin_dir = \"plugins\"\n{config}", data.display());
    std::fs::write(&file, config).expect("written");
    let unusable = fixed.path().join("unusable.toml");
    // Below a file there is no folder.
    let nowhere = file.join("data");
    std::fs::write(&unusable, format!("listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\nplugin_dir = \"plugins\"\n", nowhere.display()))
        .expect("written");
    set_mode(own.path(), 0o777);
    for folder in [fixed.path().join("plugins"), fixed.path().to_owned()] {
        set_mode(&folder, 0o555);
    }
    let mut child = contained(&program, &file).spawn().expect("it can be started");
    let address = listening(&mut child);
    assert_eq!(Client::of(address).chat("p", "hi", json!({})).await.ok().content(), "ok");
    // A connection that is kept open and idle does not keep the server.
    let mut idle = TcpStream::connect(address).expect("it listens");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    assert!(idle.read(&mut [0; 1 << 10]).expect("an answer") > 0);
    kill_process(Pid::from_child(&child), Signal::TERM).expect("our own child");
    let ended = child.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));

    let refused = contained(&program, &unusable).output().expect("it can be started");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && refused.status.code() != Some(101), "{}: {said}", refused.status);
    assert!(said.contains(&nowhere.display().to_string()) && !said.contains("panicked"), "{said}");
    set_mode(fixed.path(), 0o755);
}
