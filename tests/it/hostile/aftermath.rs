//! What hostile guests and files took is given back when they are done: a leak of one call would be one call nearer to the end of the server.

use serde_json::json;

use super::arena::{Arena, builder, pipeline, put};
use crate::components::components;
use crate::memory::resident;
use crate::sandbox_limits::compile::{leb, sized};
use crate::server::PATIENCE;
use crate::texts::Hook;

/// Guests, and the code that their calls end with; none if they end well. Some of them take all that a call may have.
const GUESTS: [(&str, &str); 9] = [
    ("memory_hog", "plugin_memory_exhausted"),
    ("huge_return", "plugin_output_exhausted"),
    ("dense_json", "plugin_invalid_outcome"),
    ("table_growth", "plugin_table_elements_exhausted"),
    ("deep_recursion", "plugin_stack_exhausted"),
    ("page_toucher", ""),
    ("endless_loop", "plugin_fuel_exhausted"),
    ("panic", "plugin_trapped"),
    ("invalid_json_metadata", "plugin_invalid_outcome"),
];
const ROUNDS: usize = 15;
/// Calls at the same time.
const AT_ONCE: usize = 4;
/// What may stay: what an allocator keeps for the next time, whatever was there for the first one. It is far less than one guest's share of it
/// that stayed in each round.
const MAY_STAY: usize = 48 << 20;

async fn round(arena: &Arena) {
    for (guest, code) in GUESTS {
        let asked = (0..AT_ONCE).map(|_| arena.client.chat(guest, "hello", json!({})));
        for answer in futures_util::future::join_all(asked).await {
            match answer.status.as_u16() {
                200 => assert_eq!(code, "", "{guest}"),
                502 => assert_eq!(answer.refused(502), code, "{guest}"),
                _ => assert_eq!(answer.refused(503), "plugin_busy", "{guest}"),
            }
        }
    }
}

/// A file of eight megabytes that comes, is refused, and goes.
async fn file(arena: &Arena, round: usize) {
    let junk = vec![u8::try_from(round % 251).expect("a byte"); 8 << 20];
    let custom = [vec![0], sized(&[&leb(4)[..], b"junk", &junk].concat())].concat();
    let bomb = wat::parse_str(r#"(component (import "nobody:has/this@1.0.0" (instance)))"#).expect("text");
    put(&arena.server.plugin_dir(), "bomb.wasm", &[bomb, custom].concat());
    assert!(arena.refusal("bomb.wasm").await.contains("nobody:has/this"));
    std::fs::remove_file(arena.server.plugin_dir().join("bomb.wasm")).expect("removed");
    let gone = async { while arena.entry("bomb.wasm").await.is_some() {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("the file is taken out");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_many_hostile_guests_and_files_the_servers_memory_is_back() {
    let limits = r#"{ fuel = 200_000_000, memory = "96MiB", time = "60s", table_elements = 20_000 }"#;
    let more: String = GUESTS
        .iter()
        .map(|(guest, _)| {
            let plugin = guest.replace('_', "-");
            format!("[plugins.{plugin}]\nlimits = {limits}\n{}", pipeline(guest, &plugin))
        })
        .collect();
    let builder = builder("{}", &more, &Hook::default().component());
    for (guest, _) in GUESTS {
        put(&builder.plugin_dir(), &format!("{}.wasm", guest.replace('_', "-")), &components().bytes(guest));
    }
    let arena = Arena::of(builder);
    // What is made once, for the first of them, is no part of what they take.
    round(&arena).await;
    file(&arena, 0).await;
    let before = resident(&arena.server);
    for number in 1..=ROUNDS {
        round(&arena).await;
        file(&arena, number).await;
    }
    let back = async {
        while resident(&arena.server) > before + MAY_STAY {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, back).await;
    assert!(waited.is_ok(), "{before} bytes before them, {} a minute after", resident(&arena.server));
    arena.all_is_well().await;
}
