//! Circles of imports: files of one room that cannot be read, tested or moved apart because each needs the other.
//! A name counts as an import of the file that defines it, also if it came through a re-export. Naming a module alone is no import, so
//! `mod child;` and `use super::child;` are free, and the circle is there only once something of the child is used.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, code};

/// A module's path below the crate, e.g. `["llm", "attempt", "walk"]`.
type Module = Vec<String>;

/// More steps of re-exports than any name takes; two that name each other would never end.
const STEPS_MAX: usize = 8;

/// What one file names.
#[derive(Default)]
struct File {
    /// Names that `use` brings into the module, with the path that they stand for; children see the private ones too.
    imports: BTreeMap<String, Module>,
    /// Every path that the file names, from the crate's root.
    used: Vec<Module>,
}

/// Each circle among the files of a room, one finding a circle, with the names that close it.
pub(super) fn circles(sources: &[Source]) -> Vec<String> {
    let texts: BTreeMap<Module, &Source> = sources.iter().filter_map(|source| Some((module(source)?, source))).collect();
    let files: BTreeMap<&Module, File> = texts.iter().map(|(module, source)| (module, read(module, source, &texts))).collect();
    let edges: BTreeMap<&Module, _> = files.iter().map(|(module, file)| (*module, uses(module, file, &files))).collect();
    let reach: BTreeMap<&Module, _> = edges.keys().map(|from| (*from, reachable(from, &edges))).collect();
    let mut reported = BTreeSet::new();
    let mut findings = Vec::new();
    for (module, reached) in &reach {
        let circle: BTreeSet<&Module> = reached.iter().copied().filter(|other| reach[other].contains(module)).collect();
        if circle.len() > 1 && reported.insert(circle.clone()) {
            findings.push(finding(&circle, &edges));
        }
    }
    findings
}

fn finding(circle: &BTreeSet<&Module>, edges: &BTreeMap<&Module, BTreeMap<&Module, BTreeSet<String>>>) -> String {
    let mut lines = vec![format!("{} files import each other in a circle; give what they share a file below them:", circle.len())];
    for module in circle {
        let inside = edges[module].iter().filter(|(other, _)| circle.contains(*other));
        let uses = inside.map(|(other, names)| format!("{} ({})", other.join("::"), names.iter().cloned().collect::<Vec<_>>().join(", ")));
        lines.push(format!("    {} uses {}", module.join("::"), uses.collect::<Vec<_>>().join(", ")));
    }
    lines.join("\n")
}

/// The module that a file of a room is; none for the crate's roots and for tests.
fn module(source: &Source) -> Option<Module> {
    source.room().filter(|room| *room != "main" && !source.is_test())?;
    let path = source.path.strip_prefix("host/src/")?.strip_suffix(".rs")?;
    Some(path.split('/').map(str::to_owned).collect())
}

fn reachable<'a>(from: &'a Module, edges: &BTreeMap<&'a Module, BTreeMap<&'a Module, BTreeSet<String>>>) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        open.extend(edges[module].keys().copied().filter(|next| reached.insert(*next)));
    }
    reached
}

/// The other files of the same room that define what this one names.
fn uses<'a>(module: &Module, file: &File, files: &BTreeMap<&'a Module, File>) -> BTreeMap<&'a Module, BTreeSet<String>> {
    let mut found: BTreeMap<&Module, BTreeSet<String>> = BTreeMap::new();
    for path in &file.used {
        if let Some((defined_in, name)) = definition(path, files, STEPS_MAX)
            && defined_in != module
            && defined_in[0] == module[0]
            && !name.is_empty()
        {
            found.entry(defined_in).or_default().insert(name.join("::"));
        }
    }
    found
}

/// The file that defines what a path names, and what is left of the path there.
fn definition<'a>(path: &[String], files: &BTreeMap<&'a Module, File>, steps: usize) -> Option<(&'a Module, Module)> {
    let longest = (1..=path.len()).rev().find_map(|length| files.get_key_value(&path[..length].to_vec()).map(|found| (length, found)));
    let (length, (module, file)) = longest?;
    let rest = &path[length..];
    if let Some(import) = rest.first().and_then(|name| file.imports.get(name))
        && import != path
        && steps > 0
    {
        let further = [import, &rest[1..]].concat();
        if let Some(found) = definition(&further, files, steps - 1) {
            return Some(found);
        }
    }
    Some((*module, rest.to_vec()))
}

/// Reads one file's imports and the paths in its code, code for tests left out.
fn read(module: &Module, source: &Source, modules: &BTreeMap<Module, &Source>) -> File {
    let code = code(&source.text);
    let tokens = product(&tokens(&code));
    let mut file = File::default();
    let mut paths = Vec::new();
    let mut inside = module.clone();
    // How deep the braces are at which each module inside the file ends.
    let (mut depth, mut ends) = (0, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let follows = at > 0 && matches!(tokens[at - 1], "::" | ".");
        match tokens[at] {
            "mod" if tokens.get(at + 2) == Some(&"{") => {
                inside.push(tokens[at + 1].to_owned());
                ends.push(depth);
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if ends.last() == Some(&depth) {
                    ends.pop();
                    inside.pop();
                }
            }
            "use" if tokens.get(at + 1) != Some(&"<") => {
                let end = at + tokens[at..].iter().position(|token| *token == ";").unwrap_or(tokens.len() - at);
                import(&mut file, &inside, &tokens[at + 1..end], modules);
                at = end;
            }
            word if !follows && is_word(word) && tokens.get(at + 1) == Some(&"::") => {
                let mut path = vec![word.to_owned()];
                while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|token| is_word(token)) {
                    path.push(tokens[at + 2].to_owned());
                    at += 2;
                }
                paths.push((inside.clone(), path));
            }
            _ => {}
        }
        at += 1;
    }
    // `walk::millis` after `use super::walk;` names what `walk` defines.
    let imported = |path: &Module| file.imports.get(&path[0]).map(|import| [import, &path[1..]].concat());
    let named = paths.iter().filter_map(|(inside, path)| absolute(inside, path, modules).or_else(|| imported(path)));
    let named: Vec<Module> = named.collect();
    file.used.extend(named);
    file
}

/// Notes what one `use` brings in.
fn import(file: &mut File, inside: &[String], tokens: &[&str], modules: &BTreeMap<Module, &Source>) {
    let mut trees = Vec::new();
    tree(tokens, &[], &mut trees);
    for (path, alias) in trees {
        let Some(path) = absolute(inside, &path, modules) else { continue };
        if let Some(name) = alias.or_else(|| path.last().cloned()) {
            file.imports.insert(name, path.clone());
        }
        file.used.push(path);
    }
}

/// The path from the crate's root; none for one that leads out of the crate.
fn absolute(module: &[String], path: &[String], modules: &BTreeMap<Module, &Source>) -> Option<Module> {
    let child = |name: &String| [module, std::slice::from_ref(name)].concat();
    let (base, rest) = match path.first()?.as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (module.to_vec(), &path[1..]),
        "super" => {
            let supers = path.iter().take_while(|segment| *segment == "super").count();
            (module.get(..module.len().checked_sub(supers)?)?.to_vec(), &path[supers..])
        }
        _ if modules.contains_key(&child(&path[0])) => (module.to_vec(), path),
        _ => return None,
    };
    let whole = [base.as_slice(), rest].concat();
    Some(whole.into_iter().filter(|segment| segment != "self").collect())
}

/// The paths of a `use` tree, each with its alias.
fn tree(tokens: &[&str], prefix: &[String], found: &mut Vec<(Module, Option<String>)>) {
    let mut path = prefix.to_vec();
    let mut alias = None;
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            "{" => {
                let inside = &tokens[at + 1..tokens.len() - 1];
                return branches(inside).into_iter().for_each(|branch| tree(branch, &path, found));
            }
            "as" => {
                alias = tokens.get(at + 1).map(|name| (*name).to_owned());
                break;
            }
            "::" => {}
            segment => path.push(segment.to_owned()),
        }
        at += 1;
    }
    if !tokens.is_empty() {
        found.push((path, alias));
    }
}

/// The parts between the commas of one pair of braces.
fn branches<'a, 'b>(tokens: &'b [&'a str]) -> Vec<&'b [&'a str]> {
    let mut depth = 0;
    let separates = |token: &&str| {
        depth += match *token {
            "{" => 1,
            "}" => -1,
            _ => 0,
        };
        depth == 0 && *token == ","
    };
    tokens.split(separates).collect()
}

/// The tokens without items that stand under `#[cfg(test)]` or `#[cfg(any(test, …))]`.
fn product<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].starts_with(&["#", "[", "cfg", "(", "test"])
            || tokens[at..].starts_with(&["#", "[", "cfg", "(", "any", "(", "test"])
        {
            at = item_end(tokens, at);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Where the item under an attribute ends: at its semicolon, its last brace, or the comma after a field.
fn item_end(tokens: &[&str], from: usize) -> usize {
    let is_use = tokens[from..].iter().find(|token| ["use", "mod", "fn", "impl", "struct"].contains(token)) == Some(&"use");
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(from + 1) {
        match *token {
            "(" | "[" | "{" => depth += 1,
            "}" if depth == 0 => return at,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (matches!(*token, ";" | ",") || (*token == "}" && !is_use)) {
            return at + 1;
        }
    }
    tokens.len()
}

/// Words, `::`, and every other sign by itself.
fn tokens(code: &str) -> Vec<&str> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let word = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let length = match bytes[at] {
            _ if word > 0 => word,
            b':' if bytes.get(at + 1) == Some(&b':') => 2,
            byte if byte.is_ascii_whitespace() || !byte.is_ascii() => {
                at += 1;
                continue;
            }
            _ => 1,
        };
        found.push(&code[at..at + length]);
        at += length;
    }
    found
}

fn is_word(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests;
