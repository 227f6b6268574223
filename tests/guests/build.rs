//! Makes the components of WebAssembly text, in cargo's `OUT_DIR`, when the guests are built as components: what stable Rust cannot express, or
//! would express in other instructions. All other guests are Rust and need nothing of this.

mod smith;

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// Modules that are guests.
const MODULES: [&str; 7] = ["table_growth", "memory_fill", "grow_loop", "page_toucher", "start_loop", "realloc_loop", "post_return"];

/// A component that hands another one beside it something.
struct SideBySide {
    name: &'static str,
    /// Pages of the two memories.
    sink: u32,
    source: u32,
    encodings: [&'static str; 2],
    value: &'static str,
    /// What the memory of the one that hands it over begins with.
    data: &'static str,
    /// What it does.
    start: &'static str,
}

/// It holds no more than what the others can do.
const CALM: SideBySide = SideBySide {
    name: "calm_parts",
    sink: 2,
    source: 2,
    encodings: ["utf8", "utf16"],
    value: "string",
    data: "h\\00i\\00",
    start: "(call $take (i32.const 0) (i32.const 2))",
};

/// Their faults are those of the tests of their names.
const SIDE_BY_SIDE: [SideBySide; 6] = [
    CALM,
    // Each text takes milliseconds to copy and to encode anew, and costs no fuel. All of them take minutes.
    SideBySide {
        name: "text_parts",
        sink: 64,
        source: 128,
        value: "(list string)",
        start: "(call $list (i32.const 4194304) (i32.const 100000) (i32.const 0) (i32.const 2000000))
            (call $take (i32.const 4194304) (i32.const 100000))",
        ..CALM
    },
    // A thousand lists of a million numbers each.
    SideBySide {
        name: "list_parts",
        sink: 64,
        source: 80,
        value: "(list (list u32))",
        start: "(call $list (i32.const 4194304) (i32.const 1000) (i32.const 0) (i32.const 1000000))
            (call $take (i32.const 4194304) (i32.const 1000))",
        ..CALM
    },
    // Each memory alone would be within the limit.
    SideBySide { name: "large_parts", sink: 160, source: 160, ..CALM },
    // The text ends outside the memory.
    SideBySide { name: "long_text_parts", start: "(call $take (i32.const 131070) (i32.const 2))", ..CALM },
    // Half of a pair of surrogates.
    SideBySide { name: "bad_text_parts", data: "\\00\\d8i\\00", ..CALM },
];

impl SideBySide {
    fn text(&self, template: &str) -> String {
        let [sink, source] = self.encodings;
        let parts =
            [("VALUE", self.value), ("SINK_ENCODING", sink), ("SOURCE_ENCODING", source), ("DATA", self.data), ("START", self.start)];
        let text = parts.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value));
        text.replace("SINK_PAGES", &self.sink.to_string()).replace("SOURCE_PAGES", &self.source.to_string())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    for name in MODULES {
        println!("cargo::rerun-if-changed={name}.wat");
    }
    for name in ["nothing", "own_part", "side_by_side"] {
        println!("cargo::rerun-if-changed={name}.wat");
    }
    println!("cargo::rerun-if-changed=../../wit");
    println!("cargo::rerun-if-changed=smith.rs");
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
    // No tool of ours composes components, so the text of one is taken and the others are put into it.
    let text = wasmprinter::print_bytes(component("nothing", PRE_HOOK)?)?;
    let open = text.trim_end().strip_suffix(')').ok_or("a component ends with its bracket")?;
    let compose = |name: &str, end: &str| -> Result<(), Box<dyn Error>> {
        let composed = wat::parse_str(format!("{open}{end})")).map_err(|error| format!("{name}: {error}"))?;
        Ok(fs::write(out.join(name).with_extension("wasm"), composed)?)
    };
    compose("own_part", &fs::read_to_string("own_part.wat")?)?;
    let template = fs::read_to_string("side_by_side.wat")?;
    for guest in &SIDE_BY_SIDE {
        compose(guest.name, &guest.text(&template))?;
    }
    let (resolve, world) = world(PRE_HOOK)?;
    smith::write(&out.join("smith"), |module| encoded(module, &resolve, world), inside)
}

const PRE_HOOK: &str = "export cofferdam:hooks/pre-hook@0.2.0;";

/// A component that holds another one, which nothing instantiates, and has a hook's export behind which there is nothing.
fn inside(component: &[u8]) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&leb(bytes.len()), bytes].concat();
    let name = b"cofferdam:hooks/pre-hook@0.2.0";
    let export = [&[1, 0][..], &sized(name), &[5, 0, 0]].concat();
    [&b"\0asm\x0d\0\x01\0\x04"[..], &sized(component), &[5, 3, 1, 1, 0], &[11], &sized(&export)].concat()
}

/// A number in sevens of bits.
fn leb(number: usize) -> Vec<u8> {
    let low = (number & 0x7f) as u8;
    if number < 0x80 { vec![low] } else { [vec![low | 0x80], leb(number >> 7)].concat() }
}

/// The component of a module, whose world has those exports.
fn component(name: &str, exports: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let (resolve, world) = world(exports)?;
    encoded(wat::parse_file(format!("{name}.wat"))?, &resolve, world)
}

/// A world with those exports of the contract.
fn world(exports: &str) -> Result<(Resolve, WorldId), Box<dyn Error>> {
    let mut resolve = Resolve::default();
    resolve.push_dir("../../wit")?;
    let package = resolve.push_str("guest.wit", &format!("package tests:guest; world guest {{ {exports} }}"))?;
    let world = resolve.select_world(&[package], Some("guest"))?;
    Ok((resolve, world))
}

fn encoded(mut module: Vec<u8>, resolve: &Resolve, world: WorldId) -> Result<Vec<u8>, Box<dyn Error>> {
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8)?;
    Ok(ComponentEncoder::default().validate(true).module(&module)?.encode()?)
}
