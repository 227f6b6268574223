//! Starts the real binary on a free port in a folder of its own, and stops it when the test ends.
//! What it wrote is shown when the test fails.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::components::components;

/// Long enough for a loaded machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the server writes once every plugin file that was there at the start is live or was refused.
const PLUGINS_TRIED: &str = "every plugin file was tried";

/// Where a server listens if a test does not say.
const LOOPBACK: &str = "127.0.0.1:0";

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub folder: Arc<TempDir>,
    log: Log,
    stdout: Log,
}

/// What a server is started with.
pub struct Builder {
    config: String,
    folder: Arc<TempDir>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    /// Variables that it does not get.
    unset: Vec<String>,
    listen: Vec<String>,
    program: PathBuf,
    script: Option<String>,
    handed_over: Option<OwnedFd>,
}

impl Server {
    /// A server with that `cofferdam.toml`; `data_dir` and `plugin_dir` lie in its folder.
    pub fn with(config: &str) -> Builder {
        Builder {
            config: config.into(),
            folder: Arc::new(tempfile::tempdir().expect("a folder")),
            environment: Vec::new(),
            arguments: Vec::new(),
            unset: Vec::new(),
            listen: vec![LOOPBACK.into()],
            program: env!("CARGO_BIN_EXE_cofferdam").into(),
            script: None,
            handed_over: None,
        }
    }

    pub fn plugin_dir(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// Waits until the server has written a line that holds `part`.
    #[track_caller]
    pub fn wait_for_log(&self, part: &str) -> String {
        self.log.wait_for(part)
    }

    /// Waits until the server has written a line that `is_it`.
    #[track_caller]
    pub fn wait_for_line(&self, is_it: impl Fn(&str) -> bool) -> String {
        self.log.wait_for_line(is_it)
    }

    /// Waits until the server has written `part` behind the first `from` bytes of its log.
    #[track_caller]
    pub fn wait_for_log_behind(&self, from: usize, part: &str) {
        self.log.wait_for_behind(from, part);
    }

    /// The rest of the first line on standard output that begins with `prefix`, after the one with its address.
    #[track_caller]
    pub fn says(&self, prefix: &str) -> String {
        self.stdout.wait_for(prefix).trim_start_matches(prefix).to_owned()
    }

    pub fn log(&self) -> String {
        self.log.text.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that the server wrote to both its outputs, once it has ended.
    pub fn output(&mut self) -> String {
        self.wait();
        self.log.ended() + &self.stdout.ended()
    }

    /// SIGKILL: no drain, no goodbye.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server ends");
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("the server can be signalled");
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("the server can be signalled");
    }

    /// Puts another text into its file, as an editor does that writes beside it and renames.
    pub fn reconfigure(&self, config: &str) {
        let beside = self.folder.path().join("cofferdam.toml.new");
        std::fs::write(&beside, config).expect("the file can be written");
        std::fs::rename(beside, self.folder.path().join("cofferdam.toml")).expect("the file can be renamed");
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("the server ends")
    }
}

impl Builder {
    /// Puts a component into the plugin directory before the start.
    pub fn plugin(self, name: &str) -> Self {
        self.plugin_as(name, name)
    }

    /// As `plugin`, under another name.
    pub fn plugin_as(self, name: &str, file: &str) -> Self {
        deploy(&components().path(name), &self.folder.path().join("plugins"), file);
        self
    }

    /// Listens there in place of a free port. The first must be of TCP. Without any, the file's addresses hold.
    pub fn listen(mut self, addresses: &[&str]) -> Self {
        self.listen = addresses.iter().map(|&address| address.into()).collect();
        self
    }

    /// Hands that socket over as descriptor 3, as systemd does.
    pub fn hand_over(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.handed_over = Some(socket.into());
        self.listen(&["fd:3"])
    }

    /// Takes a part of the configuration out.
    pub fn without(mut self, part: &str) -> Self {
        assert!(self.config.contains(part), "{part} is not in {}", self.config);
        self.config = self.config.replace(part, "");
        self
    }

    /// Runs a copy of the program, which the test may then replace.
    pub fn own_program(mut self) -> Self {
        let copy = self.folder.path().join("cofferdam");
        std::fs::copy(&self.program, &copy).expect("the program can be copied");
        self.program = copy;
        self
    }

    /// Starts it through a shell, which must end in `exec "$0" "$@"`: under limits of its own.
    pub fn through(mut self, script: &str) -> Self {
        self.script = Some(script.into());
        self
    }

    pub fn program(&self) -> PathBuf {
        self.program.clone()
    }

    pub fn plugin_dir(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Words for the command line, behind all others.
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.unset.push(name.into());
        self
    }

    /// Uses the folder of an earlier server.
    pub fn folder(mut self, folder: Arc<TempDir>) -> Self {
        self.folder = folder;
        self
    }

    /// Starts it and waits until every plugin was tried, which the log says, or until the server calls itself ready if its log is silent.
    pub fn start(self) -> Server {
        let silent = self.environment.iter().any(|(name, value)| name == "COFFERDAM_LOG" && value == "warn");
        let server = self.start_loading();
        if silent {
            server.wait_until_ready();
        } else {
            server.wait_for_log(PLUGINS_TRIED);
        }
        server
    }

    /// Starts it and waits until it listens, which may be before it has its plugins.
    pub fn start_loading(self) -> Server {
        let (child, log) = self.spawn();
        Server::listening(child, log, self.folder)
    }

    /// Starts it and waits for its end; what it wrote to standard error.
    pub fn refused(self) -> String {
        let (mut child, log) = self.spawn();
        assert!(!child.wait().expect("it ends").success(), "it must not start");
        log.ended()
    }

    /// Starts it and waits for nothing.
    pub fn spawned(self) -> Child {
        self.spawn().0
    }

    /// Starts it while another server has its folder, and waits until it says that it waits.
    pub fn start_waiting(self) -> Waiting {
        let (child, log) = self.spawn();
        log.wait_for_line(|line| line.contains("in use by a") && line.contains("; waiting up to"));
        Waiting { child, log, folder: self.folder }
    }

    fn spawn(&self) -> (Child, Log) {
        let file = self.folder.path().join("cofferdam.toml");
        std::fs::write(&file, &self.config).expect("the file can be written");
        // A socket that is handed over needs a shell, which then is the script.
        let script = self.script.as_deref().or_else(|| self.handed_over.as_ref().map(|_| AS_SYSTEMD));
        let program = match script {
            None => Command::new(&self.program),
            Some(script) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(script).arg(&self.program);
                shell
            }
        };
        let mut command = serve_command(program, self.folder.path(), &self.listen, self.handed_over.as_ref());
        command.arg("--config").arg(&file).args(&self.arguments).envs(self.environment.iter().map(|(k, v)| (k, v)));
        for name in &self.unset {
            command.env_remove(name);
        }
        started(command)
    }
}

/// A server that waits for the folder of another one.
pub struct Waiting {
    child: Child,
    log: Log,
    folder: Arc<TempDir>,
}

impl Waiting {
    /// Waits until it listens.
    pub fn takes_over(self) -> Server {
        Server::listening(self.child, self.log, self.folder)
    }
}

/// What puts a socket where systemd puts it: descriptor 3, for the process of that number.
const AS_SYSTEMD: &str = r#"exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@""#;

fn serve_command(mut command: Command, folder: &Path, listen: &[String], handed_over: Option<&OwnedFd>) -> Command {
    command.arg("serve").args(listen.iter().flat_map(|address| ["--listen", address])).current_dir(folder);
    command.env("COFFERDAM_LOG", "debug,hyper=info,h2=info");
    command.stdin(handed_over.map_or_else(Stdio::null, |fd| fd.try_clone().expect("a descriptor").into()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn started(mut command: Command) -> (Child, Log) {
    let mut child = command.spawn().expect("the server can be started");
    let log = Log::read(child.stderr.take().expect("stderr is a pipe"));
    (child, log)
}

impl Server {
    /// A server in an empty folder: no file, all defaults.
    pub fn without_file(folder: TempDir) -> Server {
        let (child, log) = started(serve_command(Command::new(env!("CARGO_BIN_EXE_cofferdam")), folder.path(), &[LOOPBACK.into()], None));
        let server = Self::listening(child, log, Arc::new(folder));
        server.wait_for_log(PLUGINS_TRIED);
        server
    }

    /// Waits until no plugin that a pipeline names is still to be tried.
    pub fn wait_until_ready(&self) {
        let started = std::time::Instant::now();
        while !self.readiness().starts_with("HTTP/1.1 200") {
            assert!(started.elapsed() < PATIENCE, "the server is not ready:\n{}", self.log());
            std::thread::yield_now();
        }
    }

    /// The whole answer to `GET /readyz`, which is no error of the API if it is 503.
    pub fn readiness(&self) -> String {
        let ask = || {
            let mut answer = String::new();
            let mut stream = std::net::TcpStream::connect(self.address)?;
            std::io::Write::write_all(&mut stream, b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
            stream.read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        };
        ask().unwrap_or_else(|error| panic!("the server does not say whether it is ready: {error}\n{}", self.log()))
    }

    fn listening(mut child: Child, log: Log, folder: Arc<TempDir>) -> Server {
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let address =
            lines.find_map(|line| line.ok()?.strip_prefix("listening on http")?.trim_start_matches('s').strip_prefix("://")?.parse().ok());
        let Some(address) = address else {
            let _ = child.wait();
            panic!("the server did not start:\n{}", log.ended());
        };
        let stdout = Log::follow(lines.map_while(Result::ok).map(String::into_bytes));
        Server { child, address, folder, log, stdout }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the server's last lines:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// Copies a component as an operator is told to: under another name, then a rename.
pub fn deploy(component: &Path, plugin_dir: &Path, name: &str) {
    std::fs::create_dir_all(plugin_dir).expect("the folder can be made");
    let hidden = plugin_dir.join(format!(".{name}.tmp"));
    std::fs::copy(component, &hidden).expect("the component can be copied");
    std::fs::rename(hidden, plugin_dir.join(format!("{name}.wasm"))).expect("the component can be renamed");
}

#[derive(Clone)]
struct Log {
    text: Arc<(Mutex<String>, Condvar)>,
    ended: Arc<(Mutex<bool>, Condvar)>,
}

impl Log {
    fn read(stderr: impl Read + Send + 'static) -> Self {
        Self::follow(BufReader::new(stderr).split(b'\n').map_while(Result::ok))
    }

    fn follow(lines: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Self {
        let log = Self { text: Arc::default(), ended: Arc::default() };
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in lines {
                let mut text = writer.text.0.lock().expect("log");
                text.push_str(&String::from_utf8_lossy(&line));
                text.push('\n');
                writer.text.1.notify_all();
            }
            *writer.ended.0.lock().expect("log") = true;
            writer.ended.1.notify_all();
        });
        log
    }

    #[track_caller]
    fn wait_for(&self, part: &str) -> String {
        let text = self.text.0.lock().expect("log");
        let (text, timeout) = self.text.1.wait_timeout_while(text, PATIENCE, |text| !text.contains(part)).expect("log");
        assert!(!timeout.timed_out(), "the server never wrote {part:?}");
        text.lines().find(|line| line.contains(part)).expect("it was there").to_owned()
    }

    #[track_caller]
    fn wait_for_behind(&self, from: usize, part: &str) {
        let text = self.text.0.lock().expect("log");
        let (_text, timeout) = self.text.1.wait_timeout_while(text, PATIENCE, |text| !text[from..].contains(part)).expect("log");
        assert!(!timeout.timed_out(), "the server never wrote {part:?}");
    }

    #[track_caller]
    fn wait_for_line(&self, is_it: impl Fn(&str) -> bool) -> String {
        let text = self.text.0.lock().expect("log");
        let missing = |text: &mut String| !text.lines().any(&is_it);
        let (text, timeout) = self.text.1.wait_timeout_while(text, PATIENCE, missing).expect("log");
        assert!(!timeout.timed_out(), "the server never wrote such a line");
        text.lines().find(|line| is_it(line)).expect("it was there").to_owned()
    }

    fn ended(&self) -> String {
        let ended = self.ended.0.lock().expect("log");
        drop(self.ended.1.wait_timeout_while(ended, PATIENCE, |ended| !*ended).expect("log"));
        self.text.0.lock().expect("log").clone()
    }
}
