//! Hooks that misuse the empty WASI: handles that are never given back, waiting without end, and more of everything than there is.

use super::arena::{SMALL, ends_with};
use crate::texts::Hook;

/// What WASI calls a handle to wait for.
const POLL: &str = "package wasi:io@0.2.0; interface poll { resource pollable; poll: func(in: list<borrow<pollable>>) -> list<u32>; }";
const CLOCK: &str = "package wasi:clocks@0.2.0; interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; \
    subscribe-duration: func(when: u64) -> pollable; }";
const RANDOM: &str = "package wasi:random@0.2.0; interface random { get-random-bytes: func(len: u64) -> list<u8>; }";
const EXIT: &str = "package wasi:cli@0.2.0; interface exit { exit: func(status: result); }";

const WAITS: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $soon (param i64) (result i32)))
    (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))"#;

fn waiting(body: &str) -> Vec<u8> {
    let world = "import wasi:io/poll@0.2.0; import wasi:clocks/monotonic-clock@0.2.0;";
    Hook { packages: &[POLL, CLOCK], world, imports: WAITS, body, ..Hook::default() }.component()
}

fn random(body: &str) -> Vec<u8> {
    let imports = r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#;
    Hook { packages: &[RANDOM], world: "import wasi:random/random@0.2.0;", imports, body, ..Hook::default() }.component()
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_of_the_hosts_that_are_never_given_back_are_a_trap() {
    ends_with(&waiting("(loop $more (drop (call $soon (i64.const 1000000000000))) (br $more))"), SMALL, "plugin_trapped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_hundreds_of_things_that_never_come_runs_out_of_time() {
    let body = "(local $at i32)
        (loop $more
            (i32.store (i32.add (i32.const 131072) (i32.mul (local.get $at) (i32.const 4))) (call $soon (i64.const 9000000000000000000)))
            (br_if $more (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 400))))
        (call $poll (i32.const 131072) (i32.const 400) (i32.const 1024))";
    ends_with(&waiting(body), r#"{ time = "200ms" }"#, "plugin_time_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_nothing_or_for_a_handle_that_is_none_is_a_trap() {
    ends_with(&waiting("(call $poll (i32.const 131072) (i32.const 0) (i32.const 1024))"), SMALL, "plugin_trapped").await;
    let stranger = "(i32.store (i32.const 131072) (i32.const 12345)) (call $poll (i32.const 131072) (i32.const 1) (i32.const 1024))";
    ends_with(&waiting(stranger), SMALL, "plugin_trapped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_clock_asked_for_a_million_short_waits_ends_at_a_limit() {
    let body = "(loop $more
            (i32.store (i32.const 131072) (call $soon (i64.const 0)))
            (call $poll (i32.const 131072) (i32.const 1) (i32.const 1024))
            (br $more))";
    // Each wait takes one more handle.
    ends_with(&waiting(body), SMALL, "plugin_trapped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terabyte_of_random_numbers_is_a_trap_and_little_at_a_time_is_paid_in_memory() {
    ends_with(&random("(call $random (i64.const 1099511627776) (i32.const 1024))"), SMALL, "plugin_trapped").await;
    // Nothing of what it is handed is ever used again, so that it runs out of its memory.
    let grows = "(local $start i32)
        (local.set $start (i32.mul (memory.size) (i32.const 65536)))
        (drop (memory.grow (i32.const 1)))
        (local.get $start)";
    let imports = r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#;
    let hostile = Hook {
        packages: &[RANDOM],
        world: "import wasi:random/random@0.2.0;",
        imports,
        allocate: grows,
        body: "(loop $more (call $random (i64.const 65536) (i32.const 1024)) (br $more))",
        ..Hook::default()
    };
    ends_with(&hostile.component(), SMALL, "plugin_memory_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_ends_the_call_and_no_more() {
    for status in [0, 1] {
        let imports = r#"(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))"#;
        let body = format!("(call $exit (i32.const {status}))");
        let hostile = Hook { packages: &[EXIT], world: "import wasi:cli/exit@0.2.0;", imports, body: &body, ..Hook::default() };
        ends_with(&hostile.component(), SMALL, "plugin_trapped").await;
    }
}
