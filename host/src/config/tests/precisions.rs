//! `[rag] vectors`: how finely the vector index keeps vectors.

use super::*;

#[test]
fn the_precision_of_an_index_is_that_of_its_api_and_name_or_its_name_or_the_default() {
    let text = "[rag]\nvectors = \"i8\"\n[rag.namespaces.docs]\nvectors = \"f16\"\n[rag.namespaces.\"support/docs\"]\nvectors = \"f32\"";
    let config = Config::parse(text, Path::new("/")).unwrap();
    let of = |api: &str, name: &str| config.precisions.of(&rag::Namespace { api: api.into(), name: name.into() });
    use rag::Precision::{F16, F32, I8};
    assert_eq!((of("support", "docs"), of("sales", "docs"), of("sales", "other")), (F32, F16, I8));
    let again = Config::parse(&config.effective(), Path::new("/")).unwrap();
    assert_eq!(again.precisions, config.precisions);
    let plain = Config::parse("", Path::new("/")).unwrap();
    assert_eq!(plain.precisions, rag::Precisions { default: F16, namespaces: BTreeMap::new() });
}

#[test]
fn another_precision_is_refused_with_its_key() {
    for (text, key) in [
        ("[rag]\nvectors = \"f64\"", "rag.vectors"),
        ("[rag]\nvectors = 16", "rag.vectors"),
        ("[rag.namespaces.docs]\nvectors = \"F16\"", "rag.namespaces.docs.vectors"),
    ] {
        let problems = Config::parse(text, Path::new("/")).unwrap_err().to_string();
        assert!(problems.contains(key) && problems.contains("\"f32\", \"f16\" or \"i8\""), "{problems}");
    }
}

#[test]
fn another_precision_waits_for_a_restart() {
    let running = Config::parse("", Path::new("/")).unwrap();
    let mut next = Config::parse("[rag]\nvectors = \"i8\"", Path::new("/")).unwrap();
    next.keep_what_needs_a_restart(&running);
    assert_eq!(next.precisions, running.precisions);
}
