//! `[[rag.sources]]`: documents that are fetched by URL. What is behind a URL shows when it is fetched.

use std::time::Duration;

use super::json::quote;
use super::print::{self, Printer};
use super::section::{Entry, Section};
use super::walk::{Walk as _, seconds};
use crate::chat::is_name;
use crate::rag::{Namespace, Source};

/// Sources in one file, and URLs in one of them.
const SOURCES_MAX: usize = 100;
const URLS_MAX: usize = 1_000;
/// From one look to the next, if the file does not say.
const REFRESH: Duration = seconds(86_400);
const NAMESPACE: &str = "default";

pub(super) fn read(section: &mut Section<'_>, sources: &mut Vec<Source>) {
    for (at, entry) in section.take("sources").map(Entry::list).unwrap_or_default().into_iter().enumerate() {
        if at == SOURCES_MAX {
            return entry.problem(format!("there can be at most {SOURCES_MAX}"));
        }
        entry.table(|section| {
            let name = |entry: Entry<'_>| {
                let name = entry.text().filter(|name| is_name(name)).map(str::to_owned);
                if name.is_none() {
                    entry.wrong("1 to 64 letters, digits, `-`, `_` or `.`");
                }
                name
            };
            let api = section.need("api", "the API whose knowledge it becomes").and_then(name);
            let namespace = section.take("namespace").map_or(Some(NAMESPACE.to_owned()), name);
            let (mut refresh, mut plain, mut private) = (REFRESH, false, false);
            section.duration("refresh", &mut refresh, seconds(1)..=seconds(30 * 86_400));
            section.flag("plain", &mut plain);
            section.flag("private", &mut private);
            let urls = section.need("urls", "what is fetched").map(|entry| urls(entry, plain)).unwrap_or_default();
            if let (Some(api), Some(name)) = (api, namespace) {
                sources.push(Source { namespace: Namespace { api, name }, urls, refresh, plain, private });
            }
        });
    }
}

fn urls(entry: Entry<'_>, plain: bool) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    let list = entry.list();
    for (at, entry) in list.into_iter().enumerate() {
        if at == URLS_MAX {
            entry.problem(format!("there can be at most {URLS_MAX}"));
            break;
        }
        match entry.text().map(|url| (url, Source::server(url, plain))) {
            None => entry.wrong("a URL"),
            Some((url, _)) if urls.iter().any(|before| before == url) => entry.problem("stands twice"),
            Some((url, Ok(_))) => urls.push(url.to_owned()),
            Some((_, Err(why))) => entry.problem(format!("cannot be fetched: {why}")),
        }
    }
    urls
}

pub(super) fn print(printer: &mut Printer, sources: &[Source]) {
    for Source { namespace, urls, refresh, plain, private } in sources {
        printer.line("\n[[rag.sources]]");
        printer.entry("api", &quote(&namespace.api));
        printer.entry("namespace", &quote(&namespace.name));
        printer.entry("urls", &format!("[{}]", urls.iter().map(|url| quote(url)).collect::<Vec<_>>().join(", ")));
        printer.entry("refresh", &print::duration(*refresh));
        printer.entry("plain", &plain.to_string());
        printer.entry("private", &private.to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn problems(text: &str) -> String {
        Config::parse(text, Path::new("/")).map(|_| String::new()).unwrap_or_else(|problems| problems.to_string())
    }

    fn listing(sources: usize, urls: usize) -> String {
        let urls: Vec<_> = (0..urls).map(|n| format!("\"https://a.example/{n}\"")).collect();
        format!("[[rag.sources]]\napi = \"kb\"\nurls = [{}]\n", urls.join(", ")).repeat(sources)
    }

    #[test]
    fn sources_are_read_and_printed_so_that_they_read_back() {
        let text = "[[rag.sources]]\napi = \"kb\"\nurls = [\"https://a.example/b.pdf\"]\n[[rag.sources]]\napi = \"kb\"\nnamespace = \"n\"\n\
                    urls = [\"http://10.0.0.7:8080/c\", \"https://d.example\"]\nrefresh = \"90s\"\nplain = true\nprivate = true\n";
        let config = Config::parse(text, Path::new("/")).expect("a configuration");
        let [first, second] = &config.sources[..] else { panic!("{:?}", config.sources) };
        assert_eq!((first.namespace.name.as_str(), first.refresh, first.plain, first.private), ("default", REFRESH, false, false));
        assert_eq!((second.namespace.name.as_str(), second.refresh, second.urls.len()), ("n", seconds(90), 2));
        let again = Config::parse(&config.effective(), Path::new("/")).expect("what is printed is read back");
        assert_eq!(again.sources, config.sources);
    }

    #[test]
    fn what_cannot_be_fetched_is_named_with_the_reason() {
        let text = "[[rag.sources]]\napi = \"a/b\"\nurls = [\"http://a.example\", 7, \"https://b.example\", \"https://b.example\"]\nrefresh = \"500ms\"\n\
                    [[rag.sources]]\nnamespace = \"\"\n";
        let found = problems(text);
        for part in [
            "rag.sources[0].api",
            "`http://` needs `plain = true`",
            "urls[1]",
            "stands twice",
            "a duration from",
            "rag.sources[1].api",
            "rag.sources[1].urls",
            "rag.sources[1].namespace",
        ] {
            assert!(found.contains(part), "{part} is missing: {found}");
        }
    }

    #[test]
    fn the_numbers_of_sources_and_of_urls_are_limited_at_their_edges() {
        assert_eq!((problems(&listing(SOURCES_MAX, 1)), problems(&listing(1, URLS_MAX))), (String::new(), String::new()));
        assert!(problems(&listing(SOURCES_MAX + 1, 1)).contains("at most 100"));
        assert!(problems(&listing(1, URLS_MAX + 1)).contains("at most 1000"));
    }
}
