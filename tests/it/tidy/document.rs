//! Markdown as the rules want it: lines outside code blocks, headings with their anchors, rows of tables, links.
//! Reads what GitHub would read, for the little Markdown that our documents use.

use std::collections::BTreeMap;

use super::source::Source;

/// One row of a table: the section and the key that it is about, and the whole line without backticks.
pub(super) struct Row {
    pub(super) key: String,
    pub(super) text: String,
}

/// The lines that are no code, with the number that an editor shows.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    numbered.filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence && !line.starts_with("    ")
    })
}

/// Where the headings of a document can be linked to.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| slug(line.trim_start_matches('#').trim()));
    let numbered = headings.map(|slug| {
        let count = seen.entry(slug.clone()).or_default();
        *count += 1;
        if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
    });
    numbered.collect()
}

/// A heading's anchor: small letters, digits, `-` and `_`; a space is a `-`, and every other sign is left out.
fn slug(heading: &str) -> String {
    let fits = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    heading.to_lowercase().chars().filter(fits).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The targets of a document's links, with their lines.
pub(super) fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for part in line.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

/// Links of `document` that lead nowhere among `all`; `exists` says which other files there are.
pub(super) fn dead_links(document: &Source, all: &[Source], exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = document.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (line, link) in links(&document.text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
        let path = if path.is_empty() { document.path.clone() } else { join(folder, path) };
        let target = all.iter().find(|other| other.path == path);
        let there = match target {
            Some(target) => anchor.is_empty() || anchors(&target.text).iter().any(|known| known == anchor),
            None => anchor.is_empty() && exists(&path),
        };
        if !there {
            findings.push(format!("{}:{line}: the link {link} leads nowhere", document.path));
        }
    }
    findings
}

/// A relative path from a folder, without `.` and `..`.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The heading of the rows that stand in no table of the file.
const ROOT: &str = "## Top level";

/// The rows whose first cell begins with a key, each under the configuration table that the heading or the bold row above it names in
/// brackets: `## `[limits.http]`` and then `| `header_time` | …`. In names of tables, NAME and MODEL are `*`. Other tables have no keys.
pub(super) fn rows(text: &str) -> Vec<Row> {
    let mut section = None;
    let mut found = Vec::new();
    for (_, line) in prose(text) {
        if line.starts_with('#') || line.starts_with("| **") {
            let table = line.split_once("`[").and_then(|(_, rest)| rest.split_once("]`"));
            let table =
                table.map(|(table, _)| table.trim_matches(['[', ']']).split('.').map(placeholder).collect::<Vec<_>>().join(".") + ".");
            section = table.or_else(|| (line == ROOT).then(String::new));
        } else if let Some(section) = &section
            && let Some((key, _)) = line.strip_prefix("| `").and_then(|rest| rest.split_once('`'))
        {
            found.push(Row { key: format!("{section}{key}"), text: line.replace('`', "") });
        }
    }
    found
}

fn placeholder(segment: &str) -> &str {
    if segment.bytes().all(|byte| byte.is_ascii_uppercase()) { "*" } else { segment }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn headings_have_the_anchors_that_they_have_on_github() {
        let text = "# A B\n## `[plugins.NAME]`\n```\n# no\n```\n### `[[embeddings]]`\n## A, b\n    # no";
        assert_eq!(anchors(text), ["a-b", "pluginsname", "embeddings", "a-b-1"]);
    }

    #[test]
    fn a_link_to_nothing_is_found_with_its_line() {
        let all = [document("README.md", "# Top"), document("docs/a.md", "# One\n## Two words")];
        let dead = |path: &str, text: &str| dead_links(&document(path, text), &all, |path| path == "host/src/lib.rs").len();
        for link in ["docs/a.md", "docs/a.md#two-words", "./host/src/lib.rs", "https://example.com/#x"] {
            assert_eq!(dead("README.md", &format!("See [this]({link}).")), 0, "{link}");
        }
        for link in ["docs/b.md", "docs/a.md#three", "host/src/main.rs", "a.md", "host/src/lib.rs#x"] {
            assert_eq!(dead("README.md", &format!("See [this]({link}).")), 1, "{link}");
        }
        assert_eq!(dead("docs/a.md", "[up](../README.md#top) [beside](a.md) [wrong](b.md)\n    [code](c.md)"), 1);
        assert_eq!(dead("docs/a.md", "# Here\n[here](#one)"), 0, "the anchors are those of the file in the tree");
        assert!(dead_links(&document("docs/a.md", "\n[x](y.md)"), &all, |_| false)[0].starts_with("docs/a.md:2: "));
    }

    #[test]
    fn a_row_has_the_path_of_its_key() {
        let text = "| `none` | x |\n## Top level\n| `listen` | a |\n## `[plugins.NAME.limits]`\n| Key | x |\n| `fuel` | `1` to `2` |\n### `[[pipelines]]`\n| `id` | b |\n### Stages\n| `stage` | x |\n## Other\n| **`[limits.http]`: x** | |\n| `streams` | c |";
        let rows = rows(text);
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["listen", "plugins.*.limits.fuel", "pipelines.id", "limits.http.streams"]);
        assert_eq!(rows[1].text, "| fuel | 1 to 2 |");
    }
}
