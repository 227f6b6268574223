//! Processes under measure: started on a core of their own, asked for CPU time and memory, killed at the end.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::components::components;

/// Each kind of provider, and where the mock speaks its dialect.
pub(super) const DIALECTS: [(&str, &str); 5] =
    [("openai", "/v1"), ("anthropic", "/anthropic"), ("gemini", "/gemini"), ("azure-openai", "/openai/v1"), ("workers-ai", "/ai/run")];

pub(super) struct Process {
    child: Child,
    pub(super) address: SocketAddr,
    folder: Option<tempfile::TempDir>,
}

impl Process {
    /// The mock or the bare proxy: this benchmark's own binary.
    pub(super) fn peer(role: &str, arguments: &[&str], cores: &str) -> Self {
        let this = std::env::current_exe().expect("this program's path");
        let mut command = on_cores(cores, this.as_os_str());
        command.arg(role).args(arguments);
        Self::start(command.stderr(Stdio::null()), None)
    }

    /// The gateway in front of the mock, with those plugins as pre- and post-hook.
    pub(super) fn gateway(mock: &Process, plugins: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("plugins")).expect("a folder");
        let mut stages = String::new();
        for name in plugins {
            let stage = if name.ends_with("pre") { "pre_hook" } else { "post_hook" };
            std::fs::copy(components().path(name), folder.path().join(format!("plugins/{name}.wasm"))).expect("copied");
            stages += &format!("{{ stage = \"{stage}\", config = {{ function_id = \"{}\" }} }}, ", name.replace('_', "-"));
        }
        let mut config = "[limits.http]\nconnections = 4096\nrequests = 4096\nbodies = 4096\n".to_owned();
        if plugins.iter().any(|name| name.ends_with("stream")) {
            // One client has half of what is there, and a thousand streams come from one.
            config += "[limits.plugins]\nstreams = 4096\nstreams_per_plugin = 4096\nstreams_memory = \"16GiB\"\n";
        }
        for (kind, base) in DIALECTS {
            config += &format!(
                "[providers.{kind}]\nkind = \"{kind}\"\nbase_url = \"http://{}{base}\"\n[[pipelines]]\nid = \"{kind}\"\npipeline = [ {stages}{{ stage = \"llm\", config = {{ primary = {{ provider = \"{kind}\", model = \"mock\" }} }} }} ]\n",
                mock.address
            );
        }
        std::fs::write(folder.path().join("cofferdam.toml"), config).expect("written");
        let mut command = on_cores("0", binary().as_os_str());
        command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(folder.path()).stderr(Stdio::null());
        let gateway = Self::start(&mut command, Some(folder));
        gateway.wait_until_ready();
        gateway
    }

    /// The gateway listens before it has its plugins.
    fn wait_until_ready(&self) {
        let ready = || {
            let mut answer = String::new();
            let mut stream = std::net::TcpStream::connect(self.address)?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
            stream.read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer.starts_with("HTTP/1.1 200"))
        };
        while !ready().expect("the gateway answers") {
            std::thread::yield_now();
        }
    }

    /// The gateway on both cores, with that guest as a hook of the pipeline `victim`, a quick hook in `quick`, and none in `calm`.
    pub(super) fn beside(mock: &Process, guest: &str) -> Self {
        Self::beside_on("0,1", mock, guest)
    }

    /// The same on those cores.
    pub(super) fn beside_on(cores: &str, mock: &Process, guest: &str) -> Self {
        let name = guest.replace('_', "-");
        let mut config = format!("[plugins.{name}.limits]\nfuel = 1_000_000_000_000\n");
        config += &format!("[providers.openai]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\n", mock.address);
        for (id, hook) in [("victim", Some(&*name)), ("quick", Some("noop-pre")), ("calm", None)] {
            let hook =
                hook.map(|name| format!("{{ stage = \"pre_hook\", config = {{ function_id = \"{name}\" }} }}, ")).unwrap_or_default();
            config += &format!(
                "[[pipelines]]\nid = \"{id}\"\npipeline = [ {hook}{{ stage = \"llm\", config = {{ primary = {{ provider = \"openai\", model = \"mock\" }} }} }} ]\n"
            );
        }
        // A line for each hook call, and no others.
        Self::on(cores, &config, &[guest, "noop_pre"], "off,cofferdam::telemetry::span=debug")
    }

    /// The gateway on both cores with a quick hook before and after the model.
    pub(super) fn hooked_on_both_cores(mock: &Process) -> Self {
        let config = format!(
            r#"
            [providers.openai]
            kind = "openai"
            base_url = "http://{}/v1"
            [[pipelines]]
            id = "openai"
            pipeline = [
                {{ stage = "pre_hook", config = {{ function_id = "noop-pre" }} }},
                {{ stage = "llm", config = {{ primary = {{ provider = "openai", model = "mock" }} }} }},
                {{ stage = "post_hook", config = {{ function_id = "noop-post" }} }},
            ]
            "#,
            mock.address
        );
        Self::on_both_cores(&config, &["noop_pre", "noop_post"], "off")
    }

    /// The gateway on both cores with a pipeline `knowledge` that quotes what it finds.
    pub(super) fn knowledge() -> Self {
        let config = r#"
            [[pipelines]]
            id = "knowledge"
            pipeline = [
                { stage = "rag", config = { top_k = 2, score_threshold = 0.0 } },
                { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } },
            ]
        "#;
        Self::on_both_cores(config, &[], "off")
    }

    fn on_both_cores(config: &str, plugins: &[&str], filter: &str) -> Self {
        Self::on("0,1", config, plugins, filter)
    }

    fn on(cores: &str, config: &str, plugins: &[&str], filter: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("plugins")).expect("a folder");
        for name in plugins {
            std::fs::copy(components().path(name), folder.path().join(format!("plugins/{name}.wasm"))).expect("copied");
        }
        std::fs::write(folder.path().join("cofferdam.toml"), config).expect("written");
        let mut command = on_cores(cores, binary().as_os_str());
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "json"]).current_dir(folder.path()).env("COFFERDAM_LOG", filter);
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let gateway = Self::start(command.stderr(log), Some(folder));
        gateway.wait_until_ready();
        gateway
    }

    /// Its log lines so far, of a gateway on both cores.
    pub(super) fn log(&self) -> String {
        let folder = self.folder.as_ref().expect("a gateway has one");
        std::fs::read_to_string(folder.path().join("log")).expect("it was made when the gateway started")
    }

    /// Who asks for the hook of `victim`, so many times at once, until it is dropped.
    pub(super) fn hammer(gateway: &Process, calls: usize) -> Self {
        Self::peer("hammer", &[&gateway.address.to_string(), &calls.to_string()], "0,1")
    }

    fn start(command: &mut Command, folder: Option<tempfile::TempDir>) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("taskset and the program start");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let address = lines.find_map(|line| line.ok()?.strip_prefix("listening on http://")?.parse().ok()).expect("the process listens");
        Self { child, address, folder }
    }

    /// User and system time of each thread so far, in nanoseconds.
    pub(super) fn cpu_time(&self) -> CpuTime {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("Linux has /proc");
        let spent = tasks.flatten().filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            Some((task.file_name(), text.split(' ').next()?.parse().ok()?))
        });
        CpuTime(spent.collect())
    }

    /// What all threads spent since then. A thread that has ended since, as one does that has waited long for something to do, has spent nothing.
    pub(super) fn cpu_time_since(&self, CpuTime(before): &CpuTime) -> Duration {
        let CpuTime(now) = self.cpu_time();
        Duration::from_nanos(now.iter().map(|(thread, spent)| spent - before.get(thread).unwrap_or(&0)).sum())
    }

    pub(super) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux has /proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

/// By thread.
pub(super) struct CpuTime(HashMap<OsString, u64>);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The gateway under measure: the one of this build, or the one that `COFFERDAM_BENCH_BINARY` names, to compare two builds in one run.
fn binary() -> PathBuf {
    std::env::var_os("COFFERDAM_BENCH_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_cofferdam").into(), PathBuf::from)
}

pub(super) fn binary_bytes() -> u64 {
    std::fs::metadata(binary()).expect("the binary").len()
}

pub(super) fn pin_self(core: u32) {
    let pinned = Command::new("taskset").args(["-cp", &core.to_string(), &std::process::id().to_string()]).stdout(Stdio::null()).status();
    assert!(pinned.expect("taskset (util-linux) is installed").success(), "this machine has a core {core}");
}

fn on_cores(cores: &str, program: &std::ffi::OsStr) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}
