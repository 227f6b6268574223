//! Components made by chance (`tests/guests/smith.rs`): each goes the whole way of admission, and each that is admitted is called once. It ends in a
//! refusal for good, in a fault of its own or in an answer, and the plugin beside it is served before, meanwhile and after.

use std::collections::BTreeMap;
use std::time::Duration;

use cofferdam::sandbox::{FaultKind, Limits, PluginConfig};

use crate::components::components;
use crate::sandbox_limits::{ask, sandbox};
use crate::server::PATIENCE;

/// Files of one registry; the default limit of a directory is not much more.
const AT_ONCE: usize = 250;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_components_made_by_chance_end_in_a_refusal_a_fault_or_an_answer() {
    let folder = components().path("start_loop").with_file_name("smith");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("they were made").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert_eq!(files.len(), 500);
    let limits = Limits { fuel: 2_000_000, memory: 16 << 20, time: PATIENCE, wait: Duration::from_secs(5), ..Limits::default() };
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for files in files.chunks(AT_ONCE) {
        let mut sandbox = sandbox(&["bare"]);
        for file in files {
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            std::fs::copy(file, sandbox.setup.plugin_dir.join(format!("{name}.wasm"))).expect("copied");
            sandbox.setup.plugins.insert(name, PluginConfig { limits, ..PluginConfig::default() });
        }
        let (registry, _watcher) = sandbox.open().await;
        let status = registry.status();
        assert_eq!(status.len(), files.len() + 1);
        for entry in status.iter().filter(|entry| entry.file != "bare.wasm") {
            let end = match (entry.state, &entry.reason) {
                ("live", _) => {
                    let ended = ask(&registry, &entry.name, "hello").await;
                    ask(&registry, "bare", "hello").await.expect("the one beside it");
                    match ended {
                        Ok(_) => "answered".to_owned(),
                        Err(kind @ (FaultKind::Exhausted(_) | FaultKind::Trapped(_) | FaultKind::Invalid(_))) => kind.word().to_owned(),
                        Err(other) => panic!("{}: {other}", entry.file),
                    }
                }
                ("refused", Some(reason)) => {
                    assert!(!reason.ends_with("it is tried again"), "{}: {reason}", entry.file);
                    "refused".to_owned()
                }
                other => panic!("{}: {other:?}", entry.file),
            };
            *ends.entry(end).or_default() += 1;
        }
    }
    let of = |end: &str| ends.get(end).copied().unwrap_or_default();
    assert_eq!(ends.values().sum::<usize>(), 500);
    // They are not all alike: what is random from end to end is refused, and of the hooks nearly all run.
    assert!(of("refused") >= 150 && of("trapped") >= 100 && of("memory") >= 10 && of("fuel") >= 10 && of("stack") >= 1, "{ends:?}");
}
