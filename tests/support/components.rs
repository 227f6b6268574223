//! The components that tests run: every guest in `tests/guests` and the plugins in `plugins/` that are Rust. Each run asks cargo for them
//! once, and cargo builds what has changed since the last run. They have a target directory of their own, because the cargo that runs the
//! tests holds the lock of its own one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs};

use serde_json::Value;

const TARGET: &str = "wasm32-wasip2";

/// Component files by name.
pub(crate) struct Components {
    files: BTreeMap<String, PathBuf>,
}

/// All components, built by the first call of the process.
///
/// # Panics
/// With cargo's own words, if they cannot be built.
pub(crate) fn components() -> &'static Components {
    static COMPONENTS: OnceLock<Components> = OnceLock::new();
    COMPONENTS.get_or_init(Components::build)
}

impl Components {
    /// The file of a component, by the name of its source file or of its package: `path("noop_pre")`, `path("redact-pii")`.
    ///
    /// # Panics
    /// If there is no such component.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let file = self.files.get(&name.replace('-', "_"));
        file.unwrap_or_else(|| panic!("no component `{name}`; there are {:?}", self.names().collect::<Vec<_>>())).clone()
    }

    /// The bytes of a component.
    ///
    /// # Panics
    /// If there is no such component.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// All names, with `_` in place of `-`.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    fn build() -> Self {
        add_target_if_missing();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        cargo.args(["build", "--locked", "--profile", "plugin", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
        cargo.args([
            "-p",
            "guests",
            "-p",
            "redact-pii",
            "-p",
            "detect-language",
            "-p",
            "rate-limit",
            "-p",
            "response-cache",
            "-p",
            "translate",
            "-p",
            "webhook",
            "-p",
            "mask-pii",
            "-p",
            "prompt-guard",
            "--lib",
            "--examples",
            "--features",
            "guests/component",
        ]);
        cargo.arg("--target-dir").arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("components"));
        // What tunes the test's own build means nothing to WebAssembly, and a change of it would build every guest again.
        for tuned in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_INCREMENTAL"] {
            cargo.env_remove(tuned);
        }
        cargo.current_dir(workspace);
        let output = run(cargo);
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let messages = lines.map(|line| serde_json::from_slice(line).expect("cargo writes JSON lines"));
        let files = messages.flat_map(|message: Value| component_files(&message));
        let name = |path: &Path| path.file_stem().expect("a component has a name").to_string_lossy().replace('-', "_");
        Self { files: files.map(|path| (name(&path), path)).collect() }
    }
}

/// The components that one of cargo's messages names: those that it linked, and those that the build script of the guests made.
fn component_files(message: &Value) -> Vec<PathBuf> {
    match message["reason"].as_str() {
        Some("compiler-artifact") => {
            let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
            files.map(PathBuf::from).filter(|file| file.extension().is_some_and(|extension| extension == "wasm")).collect()
        }
        Some("build-script-executed") => {
            let folder = message["out_dir"].as_str().and_then(|folder| fs::read_dir(folder).ok());
            let files = folder.into_iter().flatten().flatten().map(|entry| entry.path());
            files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm")).collect()
        }
        _ => Vec::new(),
    }
}

/// Adds the target if the compiler does not have its library. A machine that has it needs no rustup and no network.
fn add_target_if_missing() {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")));
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let output = run(rustc);
    if !Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists() {
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", TARGET]);
        run(rustup);
    }
}

fn run(mut command: Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    output
}
