//! Components that are refused for how they are built: more of everything than a call is given, and more work than a compiler should have. Each is
//! refused for good, with its reason, and what can be known without compiling is known without.

use super::arena::{Arena, SMALL, builder, is_compiled_or_refused, is_refused, put};
use crate::sandbox_limits::compile::{leb, section, sized};
use crate::texts::Hook;

/// What a component without a hook's function is refused for, once it was compiled.
const NO_HOOK: &str = "it has no function `on-request`";

/// A component with these parts, and a hook's export behind which nothing is.
fn parts(parts: &str) -> Vec<u8> {
    let text = format!(r#"(component {parts} (instance $empty) (export "cofferdam:hooks/pre-hook@0.2.0" (instance $empty)))"#);
    wat::parse_str(text).expect("WebAssembly text")
}

/// The same around sections that are bytes already.
fn sections(bytes: &[u8]) -> Vec<u8> {
    let hook = b"cofferdam:hooks/pre-hook@0.2.0";
    let export = [&[0][..], &leb(hook.len()), hook, &[5, 0, 0]].concat();
    [&b"\0asm\x0d\0\x01\0"[..], bytes, &section(5, 1, &[1, 0]), &section(11, 1, &export)].concat()
}

/// A component that holds one core module with these sections.
fn module(bytes: &[u8]) -> Vec<u8> {
    let module = [b"\0asm\x01\0\0\0", bytes].concat();
    sections(&[&[1][..], &sized(&module)].concat())
}

/// A component with a core module of one function without parameters, whose locals and body are these bytes.
fn function(body: &[u8]) -> Vec<u8> {
    module(&[section(1, 1, &[0x60, 0, 0]), section(3, 1, &[0]), section(10, 1, &sized(body))].concat())
}

fn repeated(text: &str, times: usize) -> String {
    text.repeat(times)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_that_begins_larger_than_any_may_become_is_refused_at_load() {
    let hostile = Hook { more: "(memory $second 16385)", ..Hook::default() }.component();
    is_refused(&hostile, "it needs more than a call is given", true).await;
    let hostile = Hook { more: "(memory $second 65536)", ..Hook::default() }.component();
    is_refused(&hostile, "it needs more than a call is given", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_that_begins_larger_than_the_plugins_limit_ends_each_call() {
    let hostile = Hook { more: "(memory $second 1024)", ..Hook::default() }.component();
    let arena = Arena::open(SMALL, &hostile);
    assert_eq!(arena.ask("hello").await.refused(502), "plugin_memory_exhausted");
    arena.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_begins_larger_than_any_may_become_is_refused_at_load() {
    for elements in ["262145", "4294967295"] {
        let table = format!("(table {elements} funcref)");
        let hostile = Hook { more: &table, ..Hook::default() }.component();
        is_refused(&hostile, "it needs more than a call is given", true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_memories_or_tables_than_a_call_is_given_are_refused_at_load() {
    for more in [repeated("(memory 1)", 4), repeated("(table 1 funcref)", 16)] {
        let hostile = Hook { more: &more, ..Hook::default() }.component();
        is_refused(&hostile, "it needs more than a call is given", true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_instances_of_one_small_module_than_a_call_is_given_are_refused_at_load() {
    let many = format!("(core module $m) {}", repeated("(core instance (instantiate $m))", 65));
    is_refused(&parts(&many), "it needs more than a call is given", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_of_hundreds_of_thousands_of_globals_is_refused_at_load() {
    let globals = repeated("(global i64 (i64.const 0))", 300_000);
    let many = format!("(core module $m {globals}) (core instance (instantiate $m))");
    is_refused(&parts(&many), "it needs more than a call is given", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_tables_that_nothing_instantiates_cost_nothing_and_a_hundred_thousand_are_refused() {
    let module = |tables: usize| format!("(core module {})", repeated("(table 1 funcref)", tables));
    is_refused(&parts(&repeated(&module(16), 999)), NO_HOOK, true).await;
    is_refused(&parts(&repeated(&module(100), 999)), "it needs more than a call is given", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_modules_or_tables_than_the_format_allows_are_refused() {
    is_refused(&parts(&repeated("(core module)", 1_001)), "more than 1000 modules", false).await;
    is_refused(&parts(&format!("(core module {})", repeated("(table 1 funcref)", 101))), "tables", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_functions_end_at_the_time_of_a_compiler() {
    let functions = 900_000;
    let bytes =
        [section(1, 1, &[0x60, 0, 0]), section(3, functions, &vec![0; functions]), section(10, functions, &[2, 0, 0x0b].repeat(functions))];
    is_compiled_or_refused(&module(&bytes.concat())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_billion_locals_in_a_few_bytes_are_refused() {
    // One run of 2^32 - 1 locals, and fifty thousand and one.
    for count in [u32::MAX as usize, 50_001] {
        let body = [&[1][..], &leb(count), &[0x7e, 0x0b]].concat();
        is_refused(&function(&body), "locals", true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_eight_megabytes_is_refused() {
    let body = [vec![0], vec![0x01; 8 << 20], vec![0x0b]].concat();
    is_refused(&function(&body), "size", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_a_million_deep_are_compiled_or_refused_and_no_stack_overflows() {
    let depth = 1_000_000;
    let body = [vec![0], [0x02, 0x40].repeat(depth), vec![0x0b; depth], vec![0x0b]].concat();
    is_compiled_or_refused(&function(&body)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_with_a_million_targets_is_refused() {
    let targets = 1_000_000;
    let body = [&[0, 0x41, 0, 0x0e][..], &leb(targets), &vec![0; targets + 1], &[0x0b]].concat();
    is_refused(&function(&body), "br_table", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_double_with_each_line_are_refused() {
    let doubled: String = (1..64).map(|i| format!("(type $t{i} (tuple $t{} $t{}))", i - 1, i - 1)).collect();
    is_refused(&parts(&format!("(type $t0 (tuple string string)) {doubled}")), "type size", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_lie_in_each_other_a_hundred_thousand_deep_are_refused() {
    let nested: String = (1..100_000).map(|i| format!("(type $t{i} (list $t{}))", i - 1)).collect();
    let arena = Arena::of(builder("{}", "", &parts(&format!("(type $t0 (list u8)) {nested}"))));
    let reason = arena.refusal("hostile.wasm").await;
    assert!(["nesting", "type size", NO_HOOK].iter().any(|part| reason.contains(part)), "{reason}");
    arena.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_types_of_functions_in_three_megabytes_are_compiled_or_refused() {
    let types = 999_000;
    is_compiled_or_refused(&module(&section(1, types, &[0x60, 0, 0].repeat(types)))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_with_more_than_a_million_imports_or_exports_is_refused() {
    let count = 1_000_001;
    let imports = [section(1, 1, &[0x60, 0, 0]), section(2, count, &[0, 0, 0, 0].repeat(count))];
    is_refused(&module(&imports.concat()), "imports", true).await;
    let exports = [0, 0, 0].repeat(count);
    let bytes = [section(1, 1, &[0x60, 0, 0]), section(3, 1, &[0]), section(7, count, &exports), section(10, 1, &[2, 0, 0x0b])];
    is_refused(&module(&bytes.concat()), "exports", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_aliases_of_one_module_are_refused_before_they_fill_the_memory() {
    // Each is one more name of the module: an item of the sort `core module` of the component around it by no level.
    let aliases = 1_200_000;
    let bytes = [[&[1][..], &sized(b"\0asm\x01\0\0\0")].concat(), section(6, aliases, &[0x00, 0x11, 0x02, 0x00, 0x00].repeat(aliases))];
    is_refused(&sections(&bytes.concat()), "more than 1000 modules", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_of_thirty_megabytes_that_nobody_knows_do_not_stay_in_memory() {
    let custom = |bytes: usize| [vec![0], sized(&[&leb(4)[..], b"junk", &vec![b'x'; bytes]].concat())].concat();
    let whole = |bytes: usize| [Hook::default().component(), custom(bytes)].concat();
    let arena = Arena::open("{}", &whole(30 << 20));
    arena.wait_for("hostile.wasm", |entry| entry["state"] == "live").await;
    arena.ask("hello").await.ok();
    assert!(arena.client.get("/api/v1/plugins").await.body.len() < 5_000);
    let compiled = std::fs::read_dir(arena.server.folder.path().join("data/compiled")).expect("a folder");
    let bytes: u64 = compiled.map(|entry| entry.expect("an entry").metadata().expect("its size").len()).sum();
    assert!(bytes < 1 << 20, "{bytes} bytes of machine code");
    arena.all_is_well().await;
    is_refused(&whole(32 << 20), "limits.plugins.file_bytes", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_has_switched_off_is_refused_by_the_compiler() {
    let switched_off = [
        ("(core module (memory i64 1))", "memory64"),
        ("(core module (memory 1 1 shared))", "threads"),
        ("(core module (type (struct)))", "gc"),
        ("(core module (tag))", "exceptions"),
        ("(core module (table i64 1 funcref))", "memory64"),
        ("(type (stream u8))", "async"),
        ("(type (future u8))", "async"),
        ("(type error-context)", "error-context"),
    ];
    let builder = builder("{}", "", &Hook::default().component());
    for (i, (part, _)) in switched_off.iter().enumerate() {
        put(&builder.plugin_dir(), &format!("off-{i}.wasm"), &parts(part));
    }
    let arena = Arena::of(builder);
    for (i, (part, says)) in switched_off.iter().enumerate() {
        let reason = arena.refusal(&format!("off-{i}.wasm")).await;
        assert!(reason.contains(says), "{part}: {reason}");
    }
    arena.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn components_in_each_other_a_hundred_and_one_deep_are_refused_before_anything_is_compiled() {
    let nested = (0..101).fold(b"\0asm\x0d\0\x01\0".to_vec(), |inside, _| [&b"\0asm\x0d\0\x01\0"[..], &[4], &sized(&inside)].concat());
    is_refused(&nested, "inside each other", false).await;
}
