//! The cache of compiled code at its limits, with files that only look like code where code is not needed.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::sandbox::engine::engine;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn cache(directory: &Path, limits: ServerLimits) -> Cache {
    Cache::new(directory.into(), Compiler::InProcess, limits).unwrap()
}

fn code(directory: &Path, hash: &str, bytes: usize, age: u64) -> PathBuf {
    let path = directory.join(format!("{hash}.engine.code{CODE}"));
    std::fs::write(&path, vec![0; bytes]).unwrap();
    let old = SystemTime::now() - Duration::from_secs(age);
    File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    path
}

#[test]
fn the_oldest_code_goes_until_all_of_it_fits_and_what_is_needed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path(), ServerLimits { compiled_bytes: 100, ..ServerLimits::default() });
    let paths = [("needed", 4), ("old", 3), ("older", 5), ("new", 1)].map(|(hash, age)| code(folder.path(), hash, 30, age));
    cache.need(["needed".to_owned()].into());
    cache.prune().unwrap();
    let there = || paths.each_ref().map(|path| path.exists());
    assert_eq!(there(), [true, true, false, true], "90 of 100 bytes are left");
    assert!(cache.make_room(10).unwrap());
    assert_eq!(there(), [true, true, false, true], "to the byte");
    assert!(cache.make_room(11).unwrap());
    assert_eq!(there(), [true, false, false, true]);
    assert!(cache.make_room(70).unwrap());
    assert_eq!(there(), [true, false, false, false]);
    assert!(!cache.make_room(71).unwrap(), "what is needed is never removed");
    assert_eq!(there(), [true, false, false, false]);
}

#[tokio::test]
async fn code_over_a_limit_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, second) = (engine(1).unwrap(), Duration::from_secs(1));
    let size = engine.precompile_component(COMPONENT).unwrap().len() as u64;
    let kept = |folder: &Path| {
        std::fs::read_dir(folder).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "cwasm")).count()
    };
    let over = cache(folder.path(), ServerLimits { compiled_file_bytes: size - 1, ..ServerLimits::default() });
    assert!(
        matches!(over.compile(&engine, COMPONENT, "a", second).await, Err(Refusal::Invalid(why)) if why.contains("compiled_file_bytes"))
    );
    assert!(over.refused(&engine, "a").is_some(), "that would come again");
    let full = cache(folder.path(), ServerLimits { compiled_bytes: size - 1, ..ServerLimits::default() });
    assert!(matches!(full.compile(&engine, COMPONENT, "a", second).await, Err(Refusal::Transient(why)) if why.contains("compiled_bytes")));
    assert_eq!((full.refused(&engine, "a"), kept(folder.path())), (None, 0));
    let limits = ServerLimits { compiled_file_bytes: size, compiled_bytes: size, ..ServerLimits::default() };
    let fits = cache(folder.path(), limits);
    fits.compile(&engine, COMPONENT, "a", second).await.ok().unwrap();
    assert_eq!(kept(folder.path()), 1);
    assert!(fits.cached(&engine, "a").unwrap().is_some() && fits.has(&engine, "a") && !fits.has(&engine, "b"));
}

#[tokio::test]
async fn code_that_another_user_may_have_written_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(1).unwrap();
    let cache = cache(folder.path(), ServerLimits::default());
    cache.compile(&engine, COMPONENT, "a", Duration::from_secs(1)).await.ok().unwrap();
    let path = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).unwrap();
    assert!(cache.cached(&engine, "a").unwrap().is_none());
    assert!(!path.exists());
}

#[test]
fn what_a_killed_server_left_half_written_goes_with_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join(format!("{UNFINISHED}abc"));
    std::fs::write(&left, "half").unwrap();
    cache(folder.path(), ServerLimits::default());
    assert!(!left.exists());
    assert_eq!(std::fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn code_that_the_machine_cannot_map_is_kept_and_its_component_is_not_refused_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(1).unwrap();
    let cache = cache(folder.path(), ServerLimits::default());
    // Whole and ours, and yet not to be mapped: as when descriptors or address space are short.
    let mut file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
    file.write_all(b"whole").unwrap();
    assert!(matches!(cache.keep(&engine, file, "a"), Err(Refusal::Transient(why)) if why.contains("cannot be used now")));
    assert!(cache.has(&engine, "a") && cache.cached(&engine, "a").unwrap().is_none());
    assert!(cache.has(&engine, "a"), "only what is damaged is removed");
    let path = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    std::fs::write(&path, "damaged").unwrap();
    assert!(cache.cached(&engine, "a").unwrap().is_none() && !path.exists());
}

#[tokio::test]
async fn a_component_that_no_pool_has_a_place_for_is_refused_for_good_and_its_code_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(1).unwrap();
    let cache = cache(folder.path(), ServerLimits::default());
    let of = |module: &str, instances: usize| {
        let instances = "(core instance (instantiate $m))".repeat(instances);
        wat::parse_str(format!("(component (core module $m {module}) {instances})")).unwrap()
    };
    let large = [of("(memory 1)", 5), of("(memory 16385)", 1), of("(table 1 funcref)", 17), of("(table 262145 funcref)", 1), of("", 65)];
    for (hash, bytes) in ["a", "b", "c", "d", "e"].into_iter().zip(large) {
        let refusal = cache.compile(&engine, &bytes, hash, Duration::from_secs(1)).await.err();
        assert!(matches!(&refusal, Some(Refusal::Invalid(why)) if why.contains("it needs more than a call is given")), "{refusal:?}");
        assert!(cache.refused(&engine, hash).is_some() && !cache.has(&engine, hash));
    }
    let fits = [of("(memory 1)", 4), of("(memory 16384)", 1), of("(table 1 funcref)", 16), of("(table 262144 funcref)", 1), of("", 64)];
    for (hash, bytes) in ["f", "g", "h", "i", "j"].into_iter().zip(fits) {
        assert!(cache.compile(&engine, &bytes, hash, Duration::from_secs(1)).await.is_ok(), "{hash}");
    }
}

#[test]
fn a_directory_that_is_gone_is_the_machines_failure() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("code");
    let cache = cache(&directory, ServerLimits::default());
    let file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(matches!(cache.keep(&engine(1).unwrap(), file, "a"), Err(Refusal::Transient(_))));
}
