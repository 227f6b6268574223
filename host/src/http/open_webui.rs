//! What the operator decides about the surface for Open WebUI, `[surfaces.pipelines]`. A leaf, so that everything else of this room may use it.

use std::time::Duration;

use super::listen::ListenAddress;

/// Path prefixes that an operator may name.
pub const PREFIXES_MAX: usize = 16;

/// The name by which logs and plugins know whoever has the surface's key. No key of `[keys]` has it.
pub const KEY_NAME: &str = "open-webui";

/// `[surfaces.pipelines]`, but for its key, which is among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenWebUi {
    /// Whether the surface is there.
    pub enabled: bool,
    /// Whether settings are shown to whoever asks, as the original does.
    pub open_reads: bool,
    /// Whether components are fetched from addresses of this machine and of private networks too.
    pub private_urls: bool,
    /// How long fetching a component from a URL may take.
    pub fetch_time: Duration,
    pub run_filters: RunFilters,
    /// Paths under which the whole surface is there too, each with a slash at its beginning and none at its end.
    pub prefixes: Vec<String>,
    /// Addresses of its own.
    pub listen: Vec<ListenAddress>,
}

/// Who runs filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunFilters {
    /// Open WebUI does, by asking for each.
    #[default]
    Client,
    /// The gateway does in every chat, and lets what Open WebUI sends to filters pass as it is.
    Gateway,
}

impl RunFilters {
    pub const WORDS: [(&str, Self); 2] = [("client", Self::Client), ("gateway", Self::Gateway)];
}

impl Default for OpenWebUi {
    fn default() -> Self {
        Self {
            // It asks for keys as everything does, and what an operator's pipelines use already is not offered a second time.
            enabled: true,
            open_reads: false,
            private_urls: false,
            // As long as a component of the largest size takes over a slow line.
            fetch_time: Duration::from_secs(30),
            run_filters: RunFilters::default(),
            prefixes: Vec::new(),
            listen: Vec::new(),
        }
    }
}

impl OpenWebUi {
    /// The rest of a path below one of the prefixes; `/` for the prefix itself.
    pub(super) fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest =
            self.prefixes.iter().find_map(|prefix| path.strip_prefix(&**prefix).filter(|rest| rest.is_empty() || rest.starts_with('/')))?;
        Some(if rest.is_empty() { "/" } else { rest })
    }
}

/// Checks a prefix as an operator writes it.
///
/// # Errors
/// What is wrong with it.
pub fn check_prefix(text: &str) -> Result<(), &'static str> {
    let segment =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'));
    let rest = text.strip_prefix('/').filter(|rest| rest.split('/').all(segment)).ok_or("must be a path such as \"/pipelines-server\"")?;
    match rest.split('/').next() {
        Some("v1" | "api") => Err("must not begin with /v1 or /api, which are other routes' places"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_the_end_of_a_segment() {
        let surface = OpenWebUi { prefixes: vec!["/owui".into(), "/a/b".into()], ..OpenWebUi::default() };
        let below = |path| surface.below(path);
        assert_eq!([below("/owui"), below("/owui/"), below("/owui/models")], [Some("/"), Some("/"), Some("/models")]);
        assert_eq!([below("/a/b/v1/models"), below("/owuix"), below("/a"), below("/models")], [Some("/v1/models"), None, None, None]);
    }

    #[test]
    fn a_prefix_is_a_path_of_plain_segments_beside_the_other_routes() {
        for good in ["/owui", "/a/b-c_d.e"] {
            assert_eq!(check_prefix(good), Ok(()), "{good}");
        }
        for bad in ["", "/", "owui", "/a/", "//a", "/a b", "/a?b", "/v1", "/api/x", "/{id}"] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }
}
