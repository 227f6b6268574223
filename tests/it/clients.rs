//! Clients that people use, unmodified, against the real server with what the demo has: its configuration, its plugins, its documents.
//! What is asked and what must hold is said in the client's language, under `tests/clients`. Must not look into an answer itself.

use std::fs::{self, File};
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::client::Client;
use crate::server::Server;

const CONFIG: &str = include_str!("../../host/src/cli/demo/cofferdam.toml");
const KNOWLEDGE: [(&str, &str); 3] = [
    ("house-rules.md", include_str!("../../host/src/cli/demo/house-rules.md")),
    ("opening-hours.txt", include_str!("../../host/src/cli/demo/opening-hours.txt")),
    ("returns.md", include_str!("../../host/src/cli/demo/returns.md")),
];
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients/python");
/// Says which interpreter it is, if it can make environments: a system may have `venv` without the part that puts pip into it.
/// 3.11 is what the pinned packages ask for.
const USABLE: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11) or print(sys.version, sys.base_prefix))";

#[tokio::test]
async fn the_official_python_client_finds_all_it_expects() {
    python_client("requirements.txt").await;
}

#[tokio::test]
async fn the_python_client_of_the_major_version_before_finds_all_it_expects() {
    python_client("requirements-2.txt").await;
}

/// Runs `check.py` with those packages against a server of its own.
async fn python_client(requirements: &str) {
    let Some(python) = python_with(requirements) else {
        // Past the test harness, which swallows what a passing test prints.
        let line = format!("skipped: python client, {requirements} (python3 with venv is not installed, or is older than 3.11)\n");
        stderr().write_all(line.as_bytes()).expect("stderr can be written");
        return;
    };
    let server = demo().await;
    let mut check = Command::new(python);
    // Neither a variable nor a package nor a proxy of the user's changes what is tested; of the two names the small one is read first.
    check.arg("-I").arg(Path::new(SCRIPTS).join("check.py")).arg(server.address.to_string());
    check.envs([("no_proxy", "127.0.0.1"), ("NO_PROXY", "127.0.0.1")]);
    run(check);
}

/// A server with all that `cofferdam demo` sets up, set up over HTTP.
async fn demo() -> Server {
    let server = Server::with(CONFIG).plugin("redact-pii").plugin("detect-language").start();
    let client = Client::of(server.address);
    for (name, text) in KNOWLEDGE {
        client.upload("demo", name, text.as_bytes()).await.ok();
    }
    server
}

/// The interpreter of an environment that has exactly those packages; none where this machine cannot make one.
/// Made once and kept under the target directory, for as long as the requirements and the interpreter stay the same.
fn python_with(requirements: &str) -> Option<PathBuf> {
    let usable = Command::new("python3").args(["-I", "-c", USABLE]).output().ok().filter(|output| output.status.success())?;
    let requirements = Path::new(SCRIPTS).join(requirements);
    let pinned = fs::read(&requirements).expect("the requirements can be read");
    let hash = Sha256::new().chain_update(pinned).chain_update(usable.stdout).finalize();
    let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let clients = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target directory").join("clients");
    let environment = clients.join(format!("python-{name}"));
    fs::create_dir_all(&clients).expect("the folder can be made");
    let lock = File::create(environment.with_extension("lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be had");
    if !environment.join("complete").exists() {
        make(&environment, &requirements);
        File::create(environment.join("complete")).expect("the marker can be made");
    }
    Some(environment.join("bin/python"))
}

/// Makes the environment anew, over whatever a run that was stopped left there.
fn make(environment: &Path, requirements: &Path) {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(environment);
    run(venv);
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--requirement"]).arg(requirements);
    run(pip);
}

#[track_caller]
fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let words = [output.stdout, output.stderr].map(|words| String::from_utf8_lossy(&words).into_owned()).concat();
    assert!(output.status.success(), "{command:?} failed:\n{words}");
}
