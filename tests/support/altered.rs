//! Components of the contract in `wit/` with one thing changed, made without any toolchain: each of their functions traps.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

/// A component of the world with those imports and exports, against the contract in which `from` was replaced by `to` wherever it stands.
///
/// # Panics
/// If the contract does not hold `from`, or is none any more afterwards.
pub(crate) fn altered(from: &str, to: &str, world: &str) -> Vec<u8> {
    let contract = contract();
    assert!(contract.contains(from), "the contract has no `{from}`");
    let contract = contract.replace(from, to);
    let mut resolve = Resolve::default();
    resolve.push_str("contract.wit", &contract).unwrap_or_else(|error| panic!("{error:#}"));
    let world = format!("package test:guest; world guest {{ {world} }}");
    let package = resolve.push_str("guest.wit", &world).unwrap_or_else(|error| panic!("{error:#}"));
    let world = resolve.select_world(&[package], Some("guest")).expect("a world");
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    ComponentEncoder::default().validate(true).module(&module).and_then(|encoder| encoder.encode()).expect("a component")
}

/// All files of the contract as one text.
fn contract() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("the contract").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("a text"));
    let bodies: Vec<String> = texts.map(|text| text.split_once(PACKAGE).map(|(_, body)| body.to_owned()).expect("its package")).collect();
    PACKAGE.to_owned() + &bodies.concat()
}

const PACKAGE: &str = "package cofferdam:hooks@0.2.0;\n";
