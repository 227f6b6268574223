//! Finds the weights of the built-in model. They are part of the package `pocket-encoder`, which gives vectors but no weights to others. Cargo
//! knows where the package lies, in a registry's folder or a vendored one; its files are compiled in unchanged.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The package, and what is taken of it.
const PACKAGE: &str = "pocket-encoder";
const ASSETS: [&str; 4] = ["model.safetensors", "shapes.json", "config.json", "tokenizer.json"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.toml");
    let assets = package().join("assets");
    let out = PathBuf::from(var("OUT_DIR"));
    for name in ASSETS {
        let from = assets.join(name);
        println!("cargo:rerun-if-changed={}", from.display());
        fs::copy(&from, out.join(name)).unwrap_or_else(|e| panic!("{} cannot be copied: {e}", from.display()));
    }
}

/// The folder of the package.
fn package() -> PathBuf {
    // Without the network, as a build should; but packages that only tests need may not be here, and cargo wants all of them.
    let metadata = metadata(&["--offline"]).or_else(|_| metadata(&[])).unwrap_or_else(|e| panic!("cargo metadata: {e}"));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest = packages.filter(|package| package["name"] == PACKAGE).find_map(|package| package["manifest_path"].as_str());
    let manifest = manifest.unwrap_or_else(|| panic!("cargo metadata names no package {PACKAGE}"));
    Path::new(manifest).parent().expect("a manifest lies in a folder").to_owned()
}

fn metadata(options: &[&str]) -> Result<Vec<u8>, String> {
    let manifest = Path::new(&var("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut command = Command::new(var("CARGO"));
    // Packages of other systems need not be here.
    command
        .args(["metadata", "--format-version=1", "--filter-platform"])
        .arg(var("TARGET"))
        .args(options)
        .arg("--manifest-path")
        .arg(manifest);
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn var(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"))
}
