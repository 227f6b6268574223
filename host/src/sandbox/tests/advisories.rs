//! One test for each kind of weakness that wasmtime's advisories of 2026 named and that this configuration could meet. SECURITY.md lists
//! them. Each guest does what the advisory describes: the call ends as a fault of the guest, or the slot is clean, and the host goes on.

use wit_component::StringEncoding;

use super::guest::{allocating_at, pre_hook};
use super::{Sandbox, ask, config};
use crate::sandbox::{Fault, FaultKind, PreOutcome};

/// Runs a pre-hook of that body, with those data segments, in the sandbox's only slot.
async fn run(sandbox: &Sandbox, encoding: StringEncoding, body: &str, more: &str, hash: &str) -> Result<PreOutcome, Fault> {
    let plugin = sandbox.admit(&pre_hook(encoding, body, more), hash).await.expect("admitted");
    ask(&plugin).await
}

#[track_caller]
fn trapped(ran: Result<PreOutcome, Fault>, what: &str) {
    assert!(matches!(ran, Err(Fault { kind: FaultKind::Trapped(_), .. })), "{what}: {ran:?}");
}

/// GHSA-6wgr: memory of an instance showed in the next instance of its pooled slot.
#[tokio::test]
async fn a_slot_that_one_plugin_filled_is_empty_for_the_next() {
    let sandbox = Sandbox::new(config(&[]));
    let dirty = "(drop (memory.grow (i32.const 100)))
        (memory.fill (i32.const 262144) (i32.const 171) (i32.const 6553600))
        (drop (table.grow $functions (ref.func $allocate) (i32.const 1000)))
        (global.set $mark (i32.const 171))";
    let clean = "(local $at i32)
        (drop (memory.grow (i32.const 100)))
        (local.set $at (i32.const 262144))
        (loop $next
            (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (unreachable)))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 6815744))))
        (if (global.get $mark) (then (unreachable)))
        (if (i32.ne (table.size $functions) (i32.const 1)) (then (unreachable)))
        (drop (table.grow $functions (ref.null func) (i32.const 1000)))
        (local.set $at (i32.const 1))
        (loop $next
            (if (i32.eqz (ref.is_null (table.get $functions (local.get $at)))) (then (unreachable)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 1001))))";
    for round in 0..3 {
        let ran = run(&sandbox, StringEncoding::UTF8, dirty, "", "dirty").await;
        assert!(matches!(ran, Ok(PreOutcome::Proceed)), "round {round}: {ran:?}");
        let ran = run(&sandbox, StringEncoding::UTF8, clean, "", "clean").await;
        assert!(matches!(ran, Ok(PreOutcome::Proceed)), "round {round}: {ran:?}");
    }
}

/// The data of an outcome that responds with a message: `role` and `text` as pointer and length.
fn responds(role: (u32, u32), text: (u32, u32)) -> String {
    let words = [0, 1, role.0, role.1, 128, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let part = [0, text.0, text.1, 0, 0];
    format!("(data (i32.const 0) \"{}\") (data (i32.const 128) \"{}\")", little_endian(&words), little_endian(&part))
}

fn little_endian(words: &[u32]) -> String {
    bytes(words.iter().flat_map(|word| word.to_le_bytes()))
}

fn utf16(text: &str) -> String {
    bytes(text.encode_utf16().flat_map(u16::to_le_bytes))
}

fn bytes(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// GHSA-394w, GHSA-hx6p, GHSA-jxhv: transcoding of a guest's UTF-16 or Latin-1 read or wrote outside of its memory, or panicked.
#[tokio::test]
async fn strings_of_every_encoding_are_read_within_the_guests_memory_or_trap() {
    let sandbox = Sandbox::new(config(&[]));
    let (utf16_bit, memory) = (1 << 31, 4 * 65_536);
    let assistant = format!("(data (i32.const 256) \"{}\") (data (i32.const 320) \"assistant\")", utf16("assistant"));
    let text = format!("(data (i32.const 512) \"{}\") (data (i32.const 640) \"caf\\e9\")", utf16("café 😀"));
    for (encoding, role, said, expected) in [
        (StringEncoding::UTF16, (256, 9), (512, 7), "café 😀"),
        (StringEncoding::CompactUTF16, (320, 9), (512, 7 | utf16_bit), "café 😀"),
        (StringEncoding::CompactUTF16, (256, 9 | utf16_bit), (640, 4), "café"),
    ] {
        let ran =
            run(&sandbox, encoding, "", &format!("{assistant}{text}{}", responds(role, said)), &format!("{encoding:?}{expected}")).await;
        let Ok(PreOutcome::Respond(message)) = ran else { panic!("{encoding:?}: {ran:?}") };
        assert_eq!((&*message.role, message.joined_text()), ("assistant", expected.to_owned()));
    }
    let half = "(data (i32.const 768) \"\\3d\\d8\\41\\00\")";
    for (encoding, said, what) in [
        (StringEncoding::UTF16, (512, u32::MAX), "more than there is"),
        (StringEncoding::UTF16, (memory - 2, 2), "past the end"),
        (StringEncoding::UTF16, (513, 2), "odd address"),
        (StringEncoding::UTF16, (u32::MAX - 1, 1), "at the end of addresses"),
        (StringEncoding::UTF16, (768, 2), "half a character"),
        (StringEncoding::CompactUTF16, (512, u32::MAX), "more than there is, tagged"),
        (StringEncoding::CompactUTF16, (memory - 1, 2), "past the end, Latin-1"),
        (StringEncoding::CompactUTF16, (513, 2 | utf16_bit), "odd address, tagged"),
        (StringEncoding::CompactUTF16, (768, 2 | utf16_bit), "half a character, tagged"),
        (StringEncoding::UTF8, (memory - 1, 2), "past the end, UTF-8"),
        (StringEncoding::UTF8, (640, 4), "no UTF-8"),
    ] {
        let role = if encoding == StringEncoding::UTF16 { (256, 9) } else { (320, 9) };
        let ran = run(&sandbox, encoding, "", &format!("{assistant}{text}{half}{}", responds(role, said)), what).await;
        trapped(ran, what);
    }
}

/// The same advisories on the way in: the guest decides where the host writes, and answers with an address that is no good.
#[tokio::test]
async fn an_allocation_outside_of_the_guests_memory_traps() {
    let sandbox = Sandbox::new(config(&[]));
    for encoding in [StringEncoding::UTF8, StringEncoding::UTF16, StringEncoding::CompactUTF16] {
        for address in ["-1", "-2", "-65536", "262143", "262136", "1"] {
            let what = format!("{encoding:?} at {address}");
            let plugin = sandbox.admit(&allocating_at(encoding, address), &what).await.expect("admitted");
            trapped(ask(&plugin).await, &what);
        }
    }
}

/// GHSA-m758: a discriminant that no case has made the host panic while lifting.
#[tokio::test]
async fn a_case_that_the_contract_does_not_have_traps() {
    let sandbox = Sandbox::new(config(&[]));
    for (words, what) in [
        (&[2, 0][..], "neither ok nor error"),
        (&[0xff, 0], "neither ok nor error, all bits"),
        (&[0, 3], "no such outcome"),
        (&[1, 3], "no such error"),
        (&[0, 0, 2], "an option that is neither"),
    ] {
        let more = format!("(data (i32.const 0) \"{}\")", little_endian(words));
        trapped(run(&sandbox, StringEncoding::UTF8, "", &more, what).await, what);
    }
}

/// GHSA-852m: a guest made the host allocate what its own limits do not count.
#[tokio::test]
async fn lists_larger_than_the_guests_memory_or_the_limit_of_its_output_allocate_nothing() {
    let sandbox = Sandbox::new(config(&[]));
    // The content of the message of a `respond`: so many parts of 20 bytes from address 1024, in a memory of 256 KiB.
    for (length, what) in
        [(u32::MAX, "all there are"), (1 << 31, "half of them"), (1 << 28, "so that the size wraps"), (20_000, "a few too many")]
    {
        let words = [0, 1, 256, 9, 1024, length, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let more = format!("(data (i32.const 256) \"assistant\") (data (i32.const 0) \"{}\")", little_endian(&words));
        trapped(run(&sandbox, StringEncoding::UTF8, "", &more, what).await, what);
    }
}

/// GHSA-p8xm: a table or a memory of an absurd size made the host panic.
#[tokio::test]
async fn an_absurd_minimum_of_a_table_or_a_memory_is_refused_and_no_more() {
    let sandbox = Sandbox::new(config(&[]));
    for more in ["(table 4294967295 funcref)", "(table 262145 funcref)", "(memory $second 65536)", "(memory $second 16385)"] {
        let ran = match sandbox.admit(&pre_hook(StringEncoding::UTF8, "", more), more).await {
            Ok(plugin) => ask(&plugin).await.map(|_| ()).map_err(|fault| format!("{fault}")),
            Err(refusal) => Err(refusal),
        };
        assert!(ran.is_err(), "{more}");
    }
    let ran = run(&sandbox, StringEncoding::UTF8, "", "", "after").await;
    assert!(matches!(ran, Ok(PreOutcome::Proceed)), "{ran:?}");
}
