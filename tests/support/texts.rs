//! Hooks of a few lines of WebAssembly text, made without any toolchain: they do what no compiler would write.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A pre-hook. It answers with what lies at address 0, which is zeros, and so an outcome that changes nothing, unless a data segment says
/// otherwise. What the host writes goes to the second page of its memory, which has four.
pub(crate) struct Hook<'a> {
    /// Packages of WIT that the world imports from beside the contract's, the used before the user.
    pub(crate) packages: &'a [&'a str],
    /// Further lines of the world.
    pub(crate) world: &'a str,
    /// Imports of the core module.
    pub(crate) imports: &'a str,
    /// The body of `cabi_realloc`.
    pub(crate) allocate: &'a str,
    /// What it does before it answers.
    pub(crate) body: &'a str,
    /// Further items of the core module.
    pub(crate) more: &'a str,
}

impl Default for Hook<'_> {
    fn default() -> Self {
        Self { packages: &[], world: "", imports: "", allocate: ALLOCATE, body: "", more: "" }
    }
}

/// Each allocation gets the bytes behind the one before.
pub(crate) const ALLOCATE: &str = "(local $start i32)
    (local.set $start (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $start) (local.get 3)))
    (local.get $start)";

impl Hook<'_> {
    /// # Panics
    /// If the texts are no component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let Self { packages, world, imports, allocate, body, more } = self;
        let text = format!(
            r#"(module
                {imports}
                (memory (export "memory") 4)
                (table $functions 1 funcref)
                (global $free (mut i32) (i32.const 65536))
                (func $allocate (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {allocate})
                (func $hook (export "cofferdam:hooks/pre-hook@0.2.0#on-request") (param i32) (result i32)
                    {body}
                    (i32.const 0))
                {more})"#
        );
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
        let mut resolve = Resolve::default();
        resolve.push_dir("../wit").expect("the contract");
        for package in *packages {
            resolve.push_str("package.wit", package).unwrap_or_else(|error| panic!("{error:#}"));
        }
        let world = format!("package test:hostile@0.1.0; world guest {{ {world} export cofferdam:hooks/pre-hook@0.2.0; }}");
        let package = resolve.push_str("guest.wit", &world).unwrap_or_else(|error| panic!("{error:#}"));
        let world = resolve.select_world(&[package], Some("guest")).expect("a world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
        let encoded = ComponentEncoder::default().validate(true).module(&module).and_then(|encoder| encoder.encode());
        encoded.unwrap_or_else(|error| panic!("{error:#}"))
    }
}

/// A hook that answers in the model's place with `calm`.
pub(crate) fn calm() -> Vec<u8> {
    // The result `ok`, the outcome `respond`, and the message: its role, its one part, and nothing else.
    let message = [0, 1, 256, 9, 128, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let part = [0, 272, 4, 0, 0];
    let data = format!(
        r#"(data (i32.const 0) "{}") (data (i32.const 128) "{}") (data (i32.const 256) "assistant") (data (i32.const 272) "calm")"#,
        little_endian(&message),
        little_endian(&part)
    );
    Hook { more: &data, ..Hook::default() }.component()
}

/// The bytes of these numbers, as a data segment spells them.
pub(crate) fn little_endian(words: &[u32]) -> String {
    words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect()
}
