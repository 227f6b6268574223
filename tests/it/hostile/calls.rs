//! Hooks of WebAssembly text that misbehave when they are called: with their allocator, their stack, their handles, their start and their end, and
//! with what they hand the host.

use super::arena::{Arena, SMALL, each_ends_with, ends_with, house, put};
use crate::server::Server;
use crate::texts::{ALLOCATE, Hook, calm};

const TRAPPED: &str = "plugin_trapped";

/// The hook with that body.
fn body(body: &str, more: &str) -> Vec<u8> {
    Hook { body, more, ..Hook::default() }.component()
}

fn allocating(allocate: &str) -> Vec<u8> {
    Hook { allocate, ..Hook::default() }.component()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocator_that_grows_its_memory_each_time_ends_at_its_limit() {
    let grows = format!("(drop (memory.grow (i32.const 100))) {}", ALLOCATE.replace("(local $start i32)", ""));
    ends_with(&allocating(&format!("(local $start i32) {grows}")), SMALL, "plugin_memory_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocator_that_traps_and_one_that_recurses_end_the_call() {
    ends_with(&allocating("(unreachable)"), SMALL, TRAPPED).await;
    let recurses = "(call $allocate (local.get 0) (local.get 1) (local.get 2) (local.get 3))";
    ends_with(&allocating(recurses), SMALL, "plugin_stack_exhausted").await;
}

/// An import of the contract's log.
const LOG: &str = r#"(import "cofferdam:hooks/log@0.2.0" "write" (func $log (param i32 i32 i32)))"#;

fn logging(allocate: &str, body: &str, more: &str) -> Vec<u8> {
    Hook { world: "import cofferdam:hooks/log@0.2.0;", imports: LOG, allocate, body, more, ..Hook::default() }.component()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocator_that_calls_the_host_traps() {
    let allocate = format!("(local $start i32) (call $log (i32.const 1) (i32.const 0) (i32.const 4)) {}", {
        ALLOCATE.replace("(local $start i32)", "")
    });
    ends_with(&logging(&allocate, "", ""), SMALL, TRAPPED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_outside_of_the_memory_one_that_is_none_and_a_level_that_is_none_trap() {
    let hostile = [
        (1, "262140", "8"),
        (1, "-1", "1"),
        (1, "1", "-1"),
        (1, "0", "0x7fffffff"),
        (4, "0", "4"),
        (-1, "0", "4"),
        // Bytes that are no UTF-8.
        (1, "1024", "2"),
    ]
    .map(|(level, at, length)| {
        let call = format!("(call $log (i32.const {level}) (i32.const {at}) (i32.const {length}))");
        (call.clone(), logging(ALLOCATE, &call, r#"(data (i32.const 1024) "\ff\fe")"#))
    });
    // A text of two gigabytes may be refused for what it asks the host to hold as well.
    each_ends_with(&hostile, SMALL, &[TRAPPED, "plugin_output_exhausted"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_traps_or_takes_all_memory_ends_the_call_and_not_the_server() {
    ends_with(&body("", "(func $start (unreachable)) (start $start)"), SMALL, TRAPPED).await;
    let hoards = "(func $start (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))) (start $start)";
    ends_with(&body("", hoards), SMALL, "plugin_memory_exhausted").await;
}

const POST_RETURN: &str = r#"(export "cabi_post_cofferdam:hooks/pre-hook@0.2.0#on-request")"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_and_a_hoard_after_the_return_end_the_call() {
    ends_with(&body("", &format!("(func {POST_RETURN} (param i32) (unreachable))")), SMALL, TRAPPED).await;
    let hoards =
        format!("(func {POST_RETURN} (param i32) (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))))");
    ends_with(&body("", &hoards), SMALL, "plugin_memory_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_call_after_the_return_traps() {
    let calls = format!("(func {POST_RETURN} (param i32) (call $log (i32.const 1) (i32.const 0) (i32.const 4)))");
    ends_with(&logging(ALLOCATE, "", &calls), SMALL, TRAPPED).await;
}

/// A function whose frame holds so many values of that type, and which calls itself with all of them alive.
fn large_frame(values: usize, kind: &str, load: &str, store: &str) -> String {
    let locals: String = (0..values).map(|_| format!(" {kind}")).collect();
    let loads: String = (0..values).map(|i| format!("(local.set {i} ({load} (i32.const {})))", i % 4_096 * 16)).collect();
    let stores: String = (0..values).map(|i| format!("({store} (i32.const {}) (local.get {i}))", i % 4_096 * 16)).collect();
    format!("(func $frame (local{locals}) {loads} (call $frame) {stores})")
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_as_large_as_the_whole_stack_end_at_the_stack() {
    // Eighty kilobytes each, and one that is larger than all of the stack: it must not step over the page that guards it.
    for frame in [large_frame(10_000, "i64", "i64.load", "i64.store"), large_frame(40_000, "v128", "v128.load", "v128.store")] {
        ends_with(&body("(call $frame)", &frame), SMALL, "plugin_stack_exhausted").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_through_a_table_that_call_each_other_end_at_the_stack_and_tail_calls_at_the_fuel() {
    let indirect = "(type $f (func)) (func $go (call_indirect $functions (type $f) (i32.const 0)) (nop)) (elem (i32.const 0) $go)";
    ends_with(&body("(call $go)", indirect), SMALL, "plugin_stack_exhausted").await;
    let tail = "(type $f (func)) (func $go (return_call_indirect $functions (type $f) (i32.const 0))) (elem (i32.const 0) $go)";
    ends_with(&body("(call $go)", tail), SMALL, "plugin_fuel_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_instruction_is_a_trap_of_its_own_plugin() {
    let hostile = [
        "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
        "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
        "(drop (i32.trunc_f64_s (f64.const nan)))",
        "(drop (i32.load (i32.const 262141)))",
        "(drop (i64.load offset=4294967288 (i32.const -1)))",
        "(i32.store offset=4294967295 (i32.const 1) (i32.const 1))",
        "(memory.copy (i32.const 0) (i32.const 1) (i32.const 262144))",
        "(memory.fill (i32.const -1) (i32.const 0) (i32.const 2))",
        "(call_indirect $functions (type $f) (i32.const 0))",
        "(call_indirect $functions (type $f) (i32.const -1))",
        "(drop (table.get $functions (i32.const 1)))",
        "(table.fill $functions (i32.const 1) (ref.null func) (i32.const 1))",
    ]
    .map(|wrong| (wrong.to_owned(), body(wrong, "(type $f (func))")));
    each_ends_with(&hostile, SMALL, &[TRAPPED]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn growth_to_all_there_is_at_once_ends_at_the_limits() {
    ends_with(&body("(drop (memory.grow (i32.const 65532)))", ""), SMALL, "plugin_memory_exhausted").await;
    // More than that would cost more fuel than there is.
    let grow = "(drop (table.grow $functions (ref.null func) (i32.const 200000)))";
    ends_with(&body(grow, ""), SMALL, "plugin_table_elements_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_points_outside_of_the_memory_or_between_its_words_traps() {
    let hostile = ["262144", "262140", "-8", "1"].map(|answer| (answer.to_owned(), body(&format!("(return (i32.const {answer}))"), "")));
    each_ends_with(&hostile, SMALL, &[TRAPPED]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_of_its_own_without_end_are_a_trap() {
    let hostile = Hook {
        world: "export things: interface { resource thing; }",
        imports: r#"(import "[export]things" "[resource-new]thing" (func $new (param i32) (result i32)))"#,
        body: "(loop $more (drop (call $new (i32.const 1))) (br $more))",
        ..Hook::default()
    };
    ends_with(&hostile.component(), SMALL, TRAPPED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hostile_plugins_of_one_server_leave_the_calm_one_alone() {
    let builder = Server::with(&house(SMALL, "calls = 4\nqueue_time = \"60s\"\n"));
    put(&builder.plugin_dir(), "calm.wasm", &calm());
    put(&builder.plugin_dir(), "hostile.wasm", &body("(loop $more (br $more))", ""));
    let arena = Arena::of(builder);
    let crowd = (0..16).map(|_| arena.ask("hello"));
    let (answers, ()) = tokio::join!(futures_util::future::join_all(crowd), arena.all_is_well());
    for answer in answers {
        assert!(matches!(
            (answer.status.as_u16(), answer.refused(answer.status.as_u16()).as_str()),
            (502, "plugin_fuel_exhausted") | (503, "plugin_busy")
        ));
    }
    arena.all_is_well().await;
}
