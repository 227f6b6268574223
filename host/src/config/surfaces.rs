//! `[surfaces.pipelines]`: Open WebUI's surface, and its key.
//! Invariant: the key is kept as the other keys are, by its hash alone, and is none of them; no message repeats it.

use super::json::quote;
use super::listen;
use super::print::Printer;
use super::section::{Entry, Section};
use super::walk::{Walk, millis, seconds};
use crate::http::{KEY_NAME, Key, Keys, ListenAddress, OpenWebUi, PREFIXES_MAX, RunFilters, check_prefix, keys};
use crate::ledger::Allowance;

/// `[surfaces]`
pub(super) fn read(section: &mut Section<'_>, surface: &mut OpenWebUi, keys: &mut Keys, taken: &[ListenAddress]) {
    section.table("pipelines", |section| {
        plain(section, surface);
        if let Some(entry) = section.take("key") {
            keys.open_webui = key(&entry, keys);
        }
        if let Some(entry) = section.take("prefixes") {
            surface.prefixes = prefixes(entry);
        }
        listen::read_own(section, &mut surface.listen, taken, "Open WebUI's surface needs an address of its own, or none");
    });
}

fn plain(keys: &mut impl Walk, surface: &mut OpenWebUi) {
    keys.flag("enabled", &mut surface.enabled);
    keys.flag("open_reads", &mut surface.open_reads);
    keys.flag("private_urls", &mut surface.private_urls);
    keys.duration("fetch_time", &mut surface.fetch_time, millis(1)..=seconds(600));
    keys.choice("run_filters", &mut surface.run_filters, &RunFilters::WORDS);
}

/// The name in logs must be nobody else's, and the key no other's: it opens more than a client's.
fn key(entry: &Entry<'_>, keys: &Keys) -> Option<Key> {
    let Some(sha256) = entry.text().and_then(keys::parse) else {
        // It may be a key that was pasted in place of its hash.
        entry.problem("must be the SHA-256 of the key, 64 hex digits, which `cofferdam new-key` prints beside it");
        return None;
    };
    let all = || keys.client.iter().chain(&keys.admin);
    if let Some(other) = all().find(|key| key.sha256 == sha256) {
        entry.problem(format!("is the key `{}` of `[keys]` too; it needs one of its own", other.name));
    }
    if all().any(|key| &*key.name == KEY_NAME) {
        entry.problem(format!("`[keys]` has a key of the name `{KEY_NAME}`, by which the log knows this one; give that another name"));
    }
    Some(Key { name: KEY_NAME.into(), sha256, allowance: Allowance::default() })
}

fn prefixes(entry: Entry<'_>) -> Vec<String> {
    let mut read: Vec<String> = Vec::new();
    for (at, entry) in entry.list().into_iter().enumerate() {
        if at == PREFIXES_MAX {
            entry.problem(format!("is one too many: at most {PREFIXES_MAX} prefixes can be listed"));
            break;
        }
        let Some(text) = entry.text() else {
            entry.wrong("a path such as \"/pipelines-server\"");
            continue;
        };
        match check_prefix(text) {
            Ok(()) if read.iter().any(|known| known == text) => entry.problem(format!("{} stands twice", quote(text))),
            Ok(()) => read.push(text.to_owned()),
            Err(why) => entry.problem(format!("{} {why}", quote(text))),
        }
    }
    read
}

/// The key as a comment, so that nobody takes a shortened hash for one that works.
pub(super) fn print(printer: &mut Printer, surface: &OpenWebUi, keys: &Keys) {
    printer.table("pipelines", |printer| {
        plain(printer, &mut surface.clone());
        if let Some(key) = &keys.open_webui {
            printer.line(&format!("# key = \"{:.15}…\"", keys::format(&key.sha256)));
        }
        let prefixes: Vec<_> = surface.prefixes.iter().map(|prefix| quote(prefix)).collect();
        printer.entry("prefixes", &format!("[{}]", prefixes.join(", ")));
        listen::print(printer, &surface.listen);
    });
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const HASH: &str = "abababababababababababababababababababababababababababababababab";

    fn problems(text: &str) -> String {
        Config::parse(text, Path::new("/")).map(|_| String::new()).unwrap_or_else(|problems| problems.to_string())
    }

    #[test]
    fn what_is_set_reads_back_as_it_is_printed_but_for_the_key() {
        let text = format!(
            "[surfaces.pipelines]\nenabled = true\nkey = \"sha256:{HASH}\"\nopen_reads = true\nprivate_urls = true\nfetch_time = \"5s\"\nrun_filters = \"gateway\"\nprefixes = [\"/owui\"]\nlisten = \"127.0.0.1:9099\"\n"
        );
        let config = Config::parse(&text, Path::new("/")).expect("a configuration");
        assert_eq!(config.open_webui.run_filters, RunFilters::Gateway);
        assert_eq!(config.keys.open_webui.as_ref().map(|key| &*key.name), Some(KEY_NAME));
        assert!(!config.keys.is_empty(), "the server asks for keys then");
        let printed = config.effective();
        let again = Config::parse(&printed, Path::new("/")).expect("a configuration");
        assert_eq!(again.open_webui, config.open_webui, "{printed}");
        assert!(printed.contains("# key = \"sha256:abababab…\"") && !printed.contains(HASH), "{printed}");
        let default = Config::default().open_webui;
        assert!(default.enabled && !default.open_reads && !default.private_urls && default.listen.is_empty());
    }

    #[test]
    fn another_key_takes_effect_as_a_change() {
        let with = |hash: &str| Config::parse(&format!("[surfaces.pipelines]\nkey = \"{hash}\""), Path::new("/")).expect("valid");
        let changes = with(HASH).changes(&with(&HASH.replace('a', "c")));
        assert_eq!(changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["surfaces.pipelines.key (changed)"]);
    }

    #[test]
    fn what_is_wrong_is_named_and_no_key_is_repeated() {
        for (text, wanted) in [
            ("key = \"0p3n-w3bu!\"".to_owned(), "surfaces.pipelines.key: must be the SHA-256"),
            ("run_filters = \"both\"".to_owned(), "surfaces.pipelines.run_filters"),
            ("prefixes = [\"/v1\"]".to_owned(), "surfaces.pipelines.prefixes[0]: \"/v1\" must not begin"),
            ("prefixes = [\"/a\", \"/a\"]".to_owned(), "stands twice"),
            ("fetch_time = \"11m\"".to_owned(), "surfaces.pipelines.fetch_time"),
            ("listen = \"127.0.0.1:8080\"".to_owned(), "surfaces.pipelines.listen: 127.0.0.1:8080 stands under `listen`"),
            (format!("key = \"{HASH}\"\n[keys]\nadmin = [{{ name = \"a\", sha256 = \"{HASH}\" }}]"), "is the key `a`"),
        ] {
            let found = problems(&format!("[surfaces.pipelines]\n{text}\n"));
            assert!(found.contains(wanted) && !found.contains("0p3n"), "{wanted}: {found}");
        }
        let many: Vec<_> = (0..=PREFIXES_MAX).map(|n| format!("\"/p{n}\"")).collect();
        assert!(problems(&format!("[surfaces.pipelines]\nprefixes = [{}]", many.join(", "))).contains("at most 16 prefixes"));
        assert_eq!(problems(&format!("[surfaces.pipelines]\nprefixes = [{}]", many[1..].join(", "))), "");
        assert_eq!(problems("[surfaces.pipelines]\nfetch_time = \"10m\""), "");
    }
}
