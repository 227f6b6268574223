//! Which source decides, which names are valid, and that a secret does not print.

use super::secret::NAME_CHARS_MAX;
use super::sources::chain;
use super::*;

#[track_caller]
fn value(secrets: &Secrets, name: &str) -> Result<String, MissingSecret> {
    secrets(name).map(|secret| secret.expose().to_owned())
}

#[test]
fn the_first_source_that_has_the_name_decides() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = |dir: &tempfile::TempDir, name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(&first, "A", "a of the first\n");
    write(&first, "EMPTY", "\n");
    for name in ["A", "B", "EMPTY"] {
        write(&second, name, "of the second\n");
    }
    let dirs = vec![first.path().into(), second.path().into()];
    let secrets = chain(dirs, |name| (name != "D").then(|| format!(" {name} of the environment ").into()));
    assert_eq!(value(&secrets, "A").as_deref(), Ok("a of the first"));
    assert_eq!(value(&secrets, "B").as_deref(), Ok("of the second"));
    assert_eq!(value(&secrets, "C").as_deref(), Ok("C of the environment"));
    assert_eq!(value(&secrets, "D"), Err(MissingSecret::NotSet));
    assert_eq!(value(&secrets, "EMPTY"), Err(MissingSecret::NotSet), "an empty file is a mistake, no reason to look elsewhere");
}

#[test]
fn what_an_editor_or_a_shell_puts_around_a_secret_is_no_part_of_it() {
    for text in
        ["sk-good\r\n", "\u{feff}sk-good\n", " \u{feff} sk-good\u{200b}\n", "\"sk-good\"\n", "'sk-good'\r\n", "\u{feff}\" sk-good \""]
    {
        assert_eq!(Secret::new(text).map(|secret| secret.expose().to_owned()).as_deref(), Ok("sk-good"), "{text:?}");
    }
    for text in ["\"a\" \"b\"", "\"a", "a'", "{\"a\":1}"] {
        assert_eq!(Secret::new(text).map(|secret| secret.expose().to_owned()).as_deref(), Ok(text), "these quotes are the secret's own");
    }
    for text in ["", "\u{feff}\n", "\"\"", "' '"] {
        assert_eq!(Secret::new(text).err(), Some(MissingSecret::NotSet), "{text:?}");
    }
}

#[test]
fn a_name_cannot_climb_out_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("inner")).unwrap();
    std::fs::write(dir.path().join("outside"), "not yours").unwrap();
    std::fs::write(dir.path().join("inner/.hidden"), "not yours").unwrap();
    let secrets = chain(vec![dir.path().join("inner")], |_| Some("not yours".into()));
    let absolute = dir.path().join("outside").display().to_string();
    let long = "x".repeat(NAME_CHARS_MAX + 1);
    for name in ["../outside", "..", ".", ".hidden", "", "a/b", "a\0b", "a\\b", "é", "A=B", "a b", &absolute, &long] {
        assert_eq!(value(&secrets, name), Err(MissingSecret::InvalidName), "{name:?}");
    }
    assert_eq!(value(&secrets, &"x".repeat(NAME_CHARS_MAX)).as_deref(), Ok("not yours"), "the longest name");
    assert_eq!(value(&secrets, "Azure_key-2.old").as_deref(), Ok("not yours"));
}

#[test]
fn a_secret_prints_as_hidden() {
    let secret = Secret::new("\tsk-of-a\n").unwrap();
    assert_eq!(
        (format!("{secret} {secret:?} {:?}", Some(&secret)), secret.expose()),
        ("[hidden] [hidden] Some([hidden])".into(), "sk-of-a")
    );
}

#[test]
fn a_directory_that_is_not_there_is_reported_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    assert!(sources(Some(dir.path().join("none"))).is_err());
    std::fs::write(dir.path().join("KEY_OF_THIS_TEST"), "in a file").unwrap();
    let secrets = sources(Some(dir.path().into())).unwrap();
    assert_eq!(value(&secrets, "KEY_OF_THIS_TEST").as_deref(), Ok("in a file"));
    assert_eq!(value(&secrets, "CARGO_PKG_NAME").as_deref(), Ok("cofferdam"), "cargo sets it for tests");
}
