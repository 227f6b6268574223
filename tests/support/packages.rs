//! Packages of other languages that tests run with, at the versions pinned beside what uses them: Python's and Node's.
//! The languages' own tools install them into the target directory, where they stay as long as the pins and the interpreter are the same.
//! A machine that cannot make them skips the tests that need them, and says so; in CI that is a failure.

use std::fs::{self, File};
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// Prints which interpreter it is, if it can make environments: a system may have `venv` without the part that puts pip into it.
/// The pinned packages need 3.11.
const PYTHON: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11) or print(sys.version, sys.base_prefix))";
pub const NO_PYTHON: &str = "python3 with venv is not installed, or is older than 3.11";
/// The simulator needs 20.15.
const NODE: &str = "const [a, b] = process.versions.node.split('.').map(Number);
    if (a < 20 || (a === 20 && b < 15)) process.exit(1); console.log(process.version, process.execPath)";
pub const NO_NODE: &str = "node with npm is not installed, or is older than 20.15";

/// A file of the tests, by its path below `tests/`.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(path)
}

/// The interpreter of an environment that has exactly the packages of that requirements file; `None` if this machine cannot make one.
pub fn python_with(requirements: &str) -> Option<PathBuf> {
    let interpreter = says(Command::new("python3").args(["-I", "-c", PYTHON]))?;
    let requirements = source(requirements);
    let pins = fs::read(&requirements).expect("the requirements can be read");
    let environment = kept("python", &[&pins, &interpreter], |environment| {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment));
        let mut pip = Command::new(environment.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--requirement"]);
        run(pip.arg(&requirements));
    });
    Some(environment.join("bin/python"))
}

/// A folder whose `node_modules` are exactly those that the lock file in `folder` says; `None` if this machine cannot make one.
pub fn node_with(folder: &str) -> Option<PathBuf> {
    let interpreter = says(Command::new("node").args(["-e", NODE]))?;
    says(Command::new("npm").arg("--version"))?;
    let pins = ["package.json", "package-lock.json"].map(|name| (name, fs::read(source(folder).join(name)).expect("the pins can be read")));
    let [manifest, lock] = &pins;
    let environment = kept("node", &[&manifest.1, &lock.1, &interpreter], |environment| {
        fs::create_dir_all(environment).expect("the folder can be made");
        for (name, text) in &pins {
            fs::write(environment.join(name), text).expect("the pins can be copied");
        }
        // `ci` begins by deleting what a run that was stopped left there.
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]);
        run(npm.current_dir(environment));
    });
    Some(environment)
}

/// Says that a test did not run and why, directly on standard error, because the test harness swallows what a passing test prints.
///
/// # Panics
/// In CI, that is if the variable `CI` is set: there, what did not run must not look as if it had passed.
pub fn skipped(what: &str, why: &str) {
    let line = format!("skipped: {what} ({why})");
    assert!(!is_ci(std::env::var("CI").ok().as_deref()), "{line}; in CI every test runs");
    stderr().write_all(format!("{line}\n").as_bytes()).expect("stderr can be written");
}

fn is_ci(variable: Option<&str>) -> bool {
    variable.is_some_and(|value| !matches!(value, "" | "0" | "false"))
}

#[test]
fn a_skipped_test_fails_in_ci() {
    for (variable, ci) in [(None, false), (Some(""), false), (Some("false"), false), (Some("true"), true), (Some("1"), true)] {
        assert_eq!(is_ci(variable), ci, "{variable:?}");
    }
}

/// Runs it to its end and returns what it wrote to standard output.
///
/// # Panics
/// With all that it wrote, if it fails.
#[track_caller]
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let words = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{command:?} failed:\n{words}");
    output.stdout
}

/// What the command writes to standard output, if it exists and succeeds.
fn says(command: &mut Command) -> Option<Vec<u8>> {
    command.output().ok().filter(|output| output.status.success()).map(|output| output.stdout)
}

/// A component that `make` writes once for these ingredients, since some tools take half a minute.
pub fn component(name: &str, ingredients: &[&[u8]], make: impl FnOnce(&Path)) -> PathBuf {
    kept(name, ingredients, |folder| {
        fs::create_dir_all(folder).expect("the folder can be made");
        make(&folder.join("component.wasm"));
    })
    .join("component.wasm")
}

/// A folder that `make` fills once for these ingredients. It may find what a run that was stopped has left there.
fn kept(language: &str, ingredients: &[&[u8]], make: impl FnOnce(&Path)) -> PathBuf {
    let hash = ingredients.iter().fold(Sha256::new(), Sha256::chain_update).finalize();
    let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let clients = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target directory").join("clients");
    let folder = clients.join(format!("{language}-{name}"));
    fs::create_dir_all(&clients).expect("the folder can be made");
    let lock = File::create(folder.with_extension("lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be had");
    if !folder.join("complete").exists() {
        make(&folder);
        File::create(folder.join("complete")).expect("the marker can be made");
    }
    folder
}
