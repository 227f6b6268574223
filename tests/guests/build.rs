//! Makes the components of WebAssembly text, in cargo's `OUT_DIR`, when the guests are built as components: what stable Rust cannot express, or
//! would express in other instructions. All other guests are Rust and need nothing of this.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Modules that are guests.
const MODULES: [&str; 7] = ["table_growth", "memory_fill", "grow_loop", "page_toucher", "start_loop", "realloc_loop", "post_return"];

fn main() -> Result<(), Box<dyn Error>> {
    for name in MODULES {
        println!("cargo::rerun-if-changed={name}.wat");
    }
    println!("cargo::rerun-if-changed=nothing.wat");
    println!("cargo::rerun-if-changed=adapter_strings.wat");
    println!("cargo::rerun-if-changed=../../wit");
    if env::var_os("CARGO_FEATURE_COMPONENT").is_none() {
        return Ok(());
    }
    let out: PathBuf = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?.into();
    for name in MODULES {
        fs::write(
            out.join(name).with_extension("wasm"),
            component(name, "export cofferdam:hooks/plugin@0.2.0; export cofferdam:hooks/pre-hook@0.2.0;")?,
        )?;
    }
    // No tool of ours composes components, so the text of one is taken and the other put into it.
    let text = wasmprinter::print_bytes(component("nothing", "export cofferdam:hooks/pre-hook@0.2.0;")?)?;
    let open = text.trim_end().strip_suffix(')').ok_or("a component ends with its bracket")?;
    let composed = format!("{open}{})", fs::read_to_string("adapter_strings.wat")?);
    fs::write(out.join("adapter_strings.wasm"), wat::parse_str(composed)?)?;
    Ok(())
}

/// The component of a module, whose world has those exports.
fn component(name: &str, exports: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut module = wat::parse_file(format!("{name}.wat"))?;
    let mut resolve = Resolve::default();
    resolve.push_dir("../../wit")?;
    let package = resolve.push_str("guest.wit", &format!("package tests:guest; world guest {{ {exports} }}"))?;
    let world = resolve.select_world(&[package], Some("guest"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(ComponentEncoder::default().validate(true).module(&module)?.encode()?)
}
