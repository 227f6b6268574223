//! The rules themselves: each looks at one source and says what is wrong with it, with file and reason.
//! They read no files, so that each is tested on a text of a few words.

use super::source::{Source, code, paths};

/// Lines of a file, tests not counted.
const LINES_MAX: usize = 400;
/// Lines of a header in the host.
const HEADER_MAX: usize = 6;
/// Lines of a file whose header may be one sentence.
const SHORT: usize = 40;

type Table<'a> = &'a [(&'a str, &'a [&'a str])];

/// Rooms that this file uses although the table does not allow it.
pub(super) fn edges(source: &Source, rooms: Table<'_>) -> Vec<String> {
    let Some(room) = source.room() else { return Vec::new() };
    let Some((_, allowed)) = rooms.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{}: the room `{room}` is not in the table", source.path)];
    };
    let mut used: Vec<String> = code_paths(source).iter().filter_map(|path| room_of(source, path, rooms)).collect();
    used.sort();
    used.dedup();
    let wrong = used.into_iter().filter(|used| used != room && !allowed.contains(&used.as_str()));
    wrong.map(|used| format!("{}: `{room}` may not use `{used}`", source.path)).collect()
}

/// The room that a path leads into, from wherever it starts.
fn room_of(source: &Source, path: &str, rooms: Table<'_>) -> Option<String> {
    let mut segments = path.split("::");
    let first = segments.next()?;
    let room = match first {
        "crate" | "cofferdam" => segments.next()?,
        // `super::` of a room's root file is the crate, as `super::super::` is in the files beside it.
        "super" => {
            let depth = source.path.matches('/').count() - 1;
            let supers = 1 + path.split("::").skip(1).take_while(|segment| *segment == "super").count();
            if supers < depth {
                return None;
            }
            path.split("::").nth(supers)?
        }
        _ => return None,
    };
    rooms.iter().any(|(name, _)| *name == room).then(|| room.to_owned())
}

/// Crates that this file names although the table does not allow it.
pub(super) fn crates(source: &Source, crates: Table<'_>) -> Vec<String> {
    let Some(room) = source.room() else { return Vec::new() };
    let paths = code_paths(source);
    let mut findings = Vec::new();
    for path in &paths {
        let rooted = path.strip_prefix("::");
        let name = rooted.unwrap_or(path);
        let first = name.split("::").next().unwrap_or_default();
        // A module or an import of the same name hides the crate.
        if (rooted.is_none() && !name.contains("::")) || (rooted.is_none() && is_local(first, &paths, source)) {
            continue;
        }
        let fits = |row: &str| name == row || name.strip_prefix(row).is_some_and(|rest| rest.starts_with("::"));
        let row = crates.iter().filter(|(row, _)| fits(row)).max_by_key(|(row, _)| row.len());
        if let Some((row, rooms)) = row
            && !rooms.contains(&"*")
            && !rooms.contains(&room)
        {
            findings.push(format!("{}: `{row}` may not be used in `{room}` ({path})", source.path));
        }
    }
    findings
}

/// Whether a source, its tests aside, names a crate.
pub(super) fn names(source: &Source, row: &str) -> bool {
    let path = format!("{row}::");
    code_paths(source).iter().any(|named| named.strip_prefix("::").unwrap_or(named).starts_with(&path))
}

fn is_local(name: &str, paths: &[String], source: &Source) -> bool {
    let declared = [format!("mod {name};"), format!("mod {name} {{")];
    let imported = |path: &String| {
        let ours = ["crate::", "super::", "self::"].iter().any(|start| path.starts_with(start));
        ours && (path.ends_with(&format!("::{name}")) || path.ends_with(&format!("::{name}::self")))
    };
    declared.iter().any(|line| source.text.contains(line)) || paths.iter().any(imported)
}

fn code_paths(source: &Source) -> Vec<String> {
    paths(&code(source.split_tests().0))
}

/// The names under `[dependencies]` of a manifest, as Rust spells them.
pub(super) fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().replace('-', "_");
    lines.map(name).filter(|name| !name.is_empty() && !name.starts_with('#')).collect()
}

pub(super) fn too_long(source: &Source) -> Option<String> {
    let lines = source.split_tests().0.lines().count();
    (lines > LINES_MAX).then(|| format!("{}: {lines} lines; split it where the reasons to change differ", source.path))
}

pub(super) fn no_header(source: &Source) -> Option<String> {
    let header: Vec<&str> = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
    if header.is_empty() {
        return Some(format!("{}: does not open with `//!` lines that say what it is for", source.path));
    }
    // Elsewhere a header may be a manual, and a test says what it is for by its name.
    if !source.path.starts_with("host/src/") || source.is_test() {
        return None;
    }
    let long = header.len() > HEADER_MAX;
    let says_half = header.len() == 1 && !header[0].contains(". ") && source.text.lines().count() >= SHORT;
    if long || says_half {
        return Some(format!("{}: opens with what it is for and an invariant that it keeps, in 1 to {HEADER_MAX} lines", source.path));
    }
    // What a file may use is a table of this test. A header says what the file makes sure of.
    let repeats = header.iter().any(|line| line.contains("Must not know"));
    repeats.then(|| format!("{}: says what it must not know; say an invariant that it keeps", source.path))
}

pub(super) fn vague_name(source: &Source) -> Option<String> {
    let vague = ["util", "utils", "common", "helper", "helpers", "types", "manager", "managers", "misc"];
    if source.path.ends_with("/mod.rs") {
        return Some(format!("{}: `foo.rs` stands beside `foo/`", source.path));
    }
    let mut parts = source.path.split('/').map(|part| part.trim_end_matches(".rs"));
    parts.find(|part| vague.contains(part)).map(|part| format!("{}: `{part}` names no concept", source.path))
}

/// A file that no module declares is not compiled and so not checked.
pub(super) fn orphan(source: &Source, all: &[Source]) -> Option<String> {
    let (dir, _) = source.path.rsplit_once('/')?;
    if source.stem() == "main" || source.stem() == "lib" {
        return None;
    }
    let parent = if dir == "host/src" { "host/src/lib.rs".to_owned() } else { format!("{dir}.rs") };
    let declaration = format!("mod {};", source.stem());
    let declared = all.iter().any(|other| other.path == parent && code(&other.text).contains(&declaration));
    (!declared).then(|| format!("{}: {parent} does not declare it", source.path))
}

/// Calls and attributes that have no place: in what users run, in tests, or in both.
pub(super) fn banned(source: &Source) -> Vec<String> {
    let (product, tests) = source.split_tests();
    let (product, tests) = (code(product), code(tests));
    // A guest sleeps and panics to see that it is stopped.
    let guest = source.path.starts_with("tests/guests/");
    let in_product: &[(&str, &str)] = &[
        (".unwrap()", "say why it holds with `expect`, or return the error"),
        ("todo!(", "finish it or leave it out"),
        ("unimplemented!(", "finish it or leave it out"),
    ];
    let in_tests: &[(&str, &str)] = &[
        ("thread::sleep", "wait for an event or pause the clock"),
        ("time::sleep(", "wait for an event or pause the clock"),
        ("#[ignore", "a test that does not run is no test"),
    ];
    let mut findings = Vec::new();
    for (text, rules) in [(&product, in_product), (&tests, if guest { &[] } else { in_tests })] {
        let found = rules.iter().filter(|(what, _)| text.contains(what));
        findings.extend(found.map(|(what, why)| format!("{}: `{what}`: {why}", source.path)));
    }
    findings
}

/// A guest that no test names.
pub(super) fn dead_guest(guest: &Source, tests: &[Source]) -> Option<String> {
    let name = guest.stem();
    let named = |test: &Source| test.text.contains(name) || test.text.contains(&name.replace('_', "-"));
    (!tests.iter().any(named)).then(|| format!("{}: no test under tests/it names it", guest.path))
}

#[cfg(test)]
mod tests;
