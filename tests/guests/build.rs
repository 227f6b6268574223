//! Makes the component `table_growth.wasm` of `table_growth.wat`, in cargo's `OUT_DIR`, when the guests are built as components.
//! All other guests are Rust and need nothing of this.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=table_growth.wat");
    println!("cargo::rerun-if-changed=../../wit");
    if env::var_os("CARGO_FEATURE_COMPONENT").is_none() {
        return Ok(());
    }
    let mut module = wat::parse_file("table_growth.wat")?;
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir("../../wit")?;
    let world = resolve.select_world(&[package], Some("pre"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let component = ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    let out: PathBuf = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?.into();
    fs::write(out.join("table_growth.wasm"), component)?;
    Ok(())
}
