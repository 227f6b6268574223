//! What every `PluginStore` promises: settings are there whole, by their plugin, and nobody overwrites what he has not seen.

use std::sync::Arc;

use cofferdam::sandbox::settings::{Expected, Kept, PluginStore, Put};

use super::backends::Backend;

on_every_backend!(
    settings_are_kept_by_plugin_until_they_are_deleted,
    settings_are_there_after_a_restart,
    a_change_that_expects_something_else_changes_nothing,
    a_version_is_not_used_again_after_a_deletion,
    of_many_who_change_the_same_version_one_wins,
);

async fn store(backend: &impl Backend) -> Arc<dyn PluginStore> {
    backend.open().await.plugins
}

fn kept(json: &str, version: u64) -> Kept {
    Kept { json: json.into(), version }
}

const KEPT_1: Put = Put::Kept { version: 1 };

async fn settings_are_kept_by_plugin_until_they_are_deleted(backend: impl Backend) {
    let store = store(&backend).await;
    assert_eq!((store.get("a").await, store.all().await, store.delete("a").await), (Ok(None), Ok(vec![]), Ok(false)));
    assert_eq!(store.put("b", r#"{"x":1}"#, Expected::Anything).await, Ok(KEPT_1));
    assert_eq!(store.put("a", "{}", Expected::Nothing).await, Ok(KEPT_1));
    assert_eq!(store.put("b", "{}", Expected::Anything).await, Ok(Put::Kept { version: 2 }));
    assert_eq!(store.all().await, Ok(vec![("a".into(), kept("{}", 1)), ("b".into(), kept("{}", 2))]));
    assert_eq!((store.delete("b").await, store.delete("b").await, store.get("b").await), (Ok(true), Ok(false), Ok(None)));
    assert_eq!(store.all().await, Ok(vec![("a".into(), kept("{}", 1))]));
}

async fn settings_are_there_after_a_restart(backend: impl Backend) {
    let json = format!(r#"{{"text":"é\u0000 '; {}"}}"#, "x".repeat(60_000));
    store(&backend).await.put("a", &json, Expected::Anything).await.unwrap();
    assert_eq!(store(&backend).await.get("a").await, Ok(Some(kept(&json, 1))));
}

async fn a_change_that_expects_something_else_changes_nothing(backend: impl Backend) {
    let store = store(&backend).await;
    assert_eq!(store.put("a", "1", Expected::Version(1)).await, Ok(Put::Other { found: None }));
    store.put("a", "1", Expected::Nothing).await.unwrap();
    assert_eq!(store.put("a", "2", Expected::Nothing).await, Ok(Put::Other { found: Some(1) }));
    assert_eq!(store.put("a", "2", Expected::Version(2)).await, Ok(Put::Other { found: Some(1) }));
    assert_eq!(store.get("a").await, Ok(Some(kept("1", 1))));
    assert_eq!(store.put("a", "2", Expected::Version(1)).await, Ok(Put::Kept { version: 2 }));
}

async fn a_version_is_not_used_again_after_a_deletion(backend: impl Backend) {
    let store = store(&backend).await;
    store.put("a", "1", Expected::Anything).await.unwrap();
    store.delete("a").await.unwrap();
    let Ok(Put::Kept { version }) = store.put("a", "2", Expected::Nothing).await else { panic!("nothing was there") };
    assert!(version > 1);
    assert_eq!(store.put("a", "3", Expected::Version(1)).await, Ok(Put::Other { found: Some(version) }));
}

async fn of_many_who_change_the_same_version_one_wins(backend: impl Backend) {
    let store = store(&backend).await;
    store.put("a", "0", Expected::Anything).await.unwrap();
    let tasks = (0..16).map(|n: u32| {
        let store = store.clone();
        tokio::spawn(async move { store.put("a", &n.to_string(), Expected::Version(1)).await.unwrap() })
    });
    let mut won = 0;
    for task in tasks.collect::<Vec<_>>() {
        won += usize::from(matches!(task.await.unwrap(), Put::Kept { version: 2 }));
    }
    assert_eq!(won, 1);
}
