//! Components made of text: a world of WIT, and a core module that fits it.

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A pre-hook that pauses for each of these milliseconds, one after the other, and changes nothing.
pub(super) fn naps(pauses: &[u32]) -> Vec<u8> {
    let world = "package test:capability@0.1.0;
        interface pause { sleep: func(ms: u32); }
        world guest { import pause; export cofferdam:hooks/pre-hook@0.2.0; }";
    let calls = pauses.iter().fold(String::new(), |mut calls, ms| {
        write!(calls, "(call $sleep (i32.const {ms}))").expect("a String takes every write");
        calls
    });
    // The host's text is written into the second page and never read; zeros at address 0 are an outcome that changes nothing.
    let module = format!(
        r#"(module
            (import "test:capability/pause@0.1.0" "sleep" (func $sleep (param i32)))
            (memory (export "memory") 4)
            (global $free (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $start i32)
                (local.set $start (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.set $free (i32.add (local.get $start) (local.get 3)))
                (local.get $start))
            (func (export "cofferdam:hooks/pre-hook@0.2.0#on-request") (param i32) (result i32)
                {calls}
                (i32.const 0)))"#
    );
    component(StringEncoding::UTF8, world, &module)
}

/// A pre-hook with that body and those further items of its core module. It answers with what lies at address 0, which is zeros, and so an
/// outcome that changes nothing, unless a data segment says otherwise. Its memory has four pages.
pub(super) fn pre_hook(encoding: StringEncoding, body: &str, more: &str) -> Vec<u8> {
    let allocate = "(local $start i32)
        (local.set $start (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
        (global.set $free (i32.add (local.get $start) (local.get 3)))
        (local.get $start)";
    hook_of(encoding, allocate, body, more)
}

/// A pre-hook that tells the host to write everything to that address.
pub(super) fn allocating_at(encoding: StringEncoding, address: &str) -> Vec<u8> {
    hook_of(encoding, &format!("(i32.const {address})"), "", "")
}

fn hook_of(encoding: StringEncoding, allocate: &str, body: &str, more: &str) -> Vec<u8> {
    let world = "package test:hook@0.1.0; world guest { export cofferdam:hooks/pre-hook@0.2.0; }";
    let module = format!(
        r#"(module
            (memory (export "memory") 4)
            (table $functions 1 funcref)
            (global $free (mut i32) (i32.const 65536))
            (global $mark (mut i32) (i32.const 0))
            (func $allocate (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {allocate})
            (func (export "cofferdam:hooks/pre-hook@0.2.0#on-request") (param i32) (result i32)
                {body}
                (i32.const 0))
            {more})"#
    );
    component(encoding, world, &module)
}

/// A component that imports that interface and exports a hook without functions: enough to be looked at.
pub(super) fn importing(interface: &str) -> Vec<u8> {
    let text = format!(
        r#"(component (import "{interface}" (instance)) (instance $hook) (export "cofferdam:hooks/pre-hook@0.2.0" (instance $hook)))"#
    );
    wat::parse_str(text).expect("WebAssembly text")
}

fn component(encoding: StringEncoding, world: &str, module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).expect("WebAssembly text");
    let mut resolve = Resolve::default();
    resolve.push_dir("../wit").expect("the contract");
    let package = resolve.push_str("guest.wit", world).expect("a package");
    let world = resolve.select_world(&[package], Some("guest")).expect("a world");
    embed_component_metadata(&mut module, &resolve, world, encoding).expect("metadata");
    ComponentEncoder::default().validate(true).module(&module).and_then(|encoder| encoder.encode()).expect("a component")
}
