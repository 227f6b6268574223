//! Every route, readable as a table of contents. A trailing slash makes another path, which is not there: one name per thing.
//! HEAD is answered like GET, without the body. Must not know what an endpoint does.

use hyper::Method;

use super::error::Refusal;

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    ChatCompletions,
    Embeddings,
    Responses,
    Models,
    Model,
    PutPipeline,
    GetPipeline,
    Upload,
    TestKnowledge,
    Plugins,
    Usage,
    Health,
    Ready,
    Metrics,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody. `/metrics` too: it names pipelines, plugins, providers, models and keys but holds no content and no secret.
    Open,
    /// Client and admin keys.
    Client,
    /// Admin keys.
    Admin,
}

#[derive(Clone, Copy)]
enum Verb {
    Get,
    Post,
    Put,
}

type Methods = &'static [(Verb, Endpoint)];

/// The table. `{id}` is one segment.
#[rustfmt::skip]
fn table<'a>(segments: &[&'a str]) -> Option<(Methods, &'a str)> {
    use Endpoint as E;
    use Verb::{Get, Post, Put};
    Some(match *segments {
        ["v1", "chat", "completions"]                             => (&[(Post, E::ChatCompletions)], ""),
        ["v1", "embeddings"]                                      => (&[(Post, E::Embeddings)], ""),
        ["v1", "responses"]                                       => (&[(Post, E::Responses)], ""),
        ["v1", "models"]                                          => (&[(Get, E::Models)], ""),
        ["v1", "models", id]                                      => (&[(Get, E::Model)], id),
        ["api", "v1", "gateway", "apis", id, "pipeline"]          => (&[(Get, E::GetPipeline), (Put, E::PutPipeline)], id),
        ["api", "v1", "gateway", "apis", id, "knowledge", "upload"] => (&[(Post, E::Upload)], id),
        ["api", "v1", "gateway", "apis", id, "knowledge", "test"] => (&[(Post, E::TestKnowledge)], id),
        ["api", "v1", "plugins"]                                  => (&[(Get, E::Plugins)], ""),
        ["api", "v1", "usage"]                                  => (&[(Get, E::Usage)], ""),
        ["healthz"]                                               => (&[(Get, E::Health)], ""),
        ["readyz"]                                                => (&[(Get, E::Ready)], ""),
        ["metrics"]                                               => (&[(Get, E::Metrics)], ""),
        _ => return None,
    })
}

impl Endpoint {
    /// The route's name in logs and metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat_completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Models => "models",
            Self::Model => "model",
            Self::PutPipeline => "put_pipeline",
            Self::GetPipeline => "get_pipeline",
            Self::Upload => "knowledge_upload",
            Self::TestKnowledge => "knowledge_test",
            Self::Plugins => "plugins",
            Self::Usage => "usage",
            Self::Health => "healthz",
            Self::Ready => "readyz",
            Self::Metrics => "metrics",
        }
    }

    pub(super) fn access(self) -> Access {
        match self {
            Self::ChatCompletions | Self::Responses | Self::Embeddings | Self::Models | Self::Model => Access::Client,
            Self::PutPipeline | Self::GetPipeline | Self::Upload | Self::TestKnowledge | Self::Plugins | Self::Usage => Access::Admin,
            Self::Health | Self::Ready | Self::Metrics => Access::Open,
        }
    }

    /// Whether it costs tokens: then a key's limits hold.
    pub(super) fn metered(self) -> bool {
        match self {
            Self::ChatCompletions | Self::Responses | Self::Embeddings => true,
            Self::Models | Self::Model => false,
            Self::PutPipeline | Self::GetPipeline | Self::Upload | Self::TestKnowledge | Self::Plugins | Self::Usage => false,
            Self::Health | Self::Ready | Self::Metrics => false,
        }
    }
}

/// The endpoint of a request and its `{id}` as it stands in the path; empty where the route has none.
pub(super) fn find<'a>(method: &Method, path: &'a str) -> Result<(Endpoint, &'a str), Refusal> {
    // The longest route has seven segments; one more place tells a longer path from it.
    let mut places = [""; 8];
    let mut count = 0;
    for segment in path.strip_prefix('/').unwrap_or(path).splitn(places.len(), '/') {
        places[count] = segment;
        count += 1;
    }
    let Some((methods, id)) = table(&places[..count]).filter(|_| !path.ends_with('/')) else {
        return Err(Refusal::NotFound { path: shown(path) });
    };
    let wanted = |verb: Verb| match verb {
        Verb::Get => method == Method::GET || method == Method::HEAD,
        Verb::Post => method == Method::POST,
        Verb::Put => method == Method::PUT,
    };
    match methods.iter().find(|(verb, _)| wanted(*verb)) {
        Some((_, endpoint)) => Ok((*endpoint, id)),
        None => Err(Refusal::Method { path: shown(path), allow: allow(methods) }),
    }
}

fn allow(methods: Methods) -> &'static str {
    match methods {
        [(Verb::Get, _)] => "GET, HEAD",
        [(Verb::Get, _), ..] => "GET, HEAD, PUT",
        [(Verb::Put, _), ..] => "PUT",
        _ => "POST",
    }
}

/// A path as an error repeats it: enough to recognise.
fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}

/// `%41` as `A`; none where the escapes are wrong or give no UTF-8.
pub(super) fn percent_decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_under_its_method() {
        let cases = [
            ("POST", "/v1/chat/completions", Endpoint::ChatCompletions, ""),
            ("POST", "/v1/embeddings", Endpoint::Embeddings, ""),
            ("POST", "/v1/responses", Endpoint::Responses, ""),
            ("GET", "/v1/models", Endpoint::Models, ""),
            ("HEAD", "/v1/models", Endpoint::Models, ""),
            ("GET", "/v1/models/a%2Fb", Endpoint::Model, "a%2Fb"),
            ("PUT", "/api/v1/gateway/apis/support/pipeline", Endpoint::PutPipeline, "support"),
            ("GET", "/api/v1/gateway/apis/support/pipeline", Endpoint::GetPipeline, "support"),
            ("POST", "/api/v1/gateway/apis/support/knowledge/upload", Endpoint::Upload, "support"),
            ("POST", "/api/v1/gateway/apis/support/knowledge/test", Endpoint::TestKnowledge, "support"),
            ("GET", "/api/v1/plugins", Endpoint::Plugins, ""),
            ("GET", "/api/v1/usage", Endpoint::Usage, ""),
            ("GET", "/healthz", Endpoint::Health, ""),
            ("GET", "/readyz", Endpoint::Ready, ""),
            ("GET", "/metrics", Endpoint::Metrics, ""),
        ];
        for (method, path, endpoint, id) in cases {
            let method = method.parse().expect("a method");
            assert_eq!(find(&method, path), Ok((endpoint, id)), "{path}");
        }
    }

    #[test]
    fn other_paths_are_not_there_and_a_trailing_slash_makes_another_path() {
        let long = format!("/{}", "a/".repeat(500));
        for path in ["", "/", "*", "/v1", "/v1/models/", "/v1/models/a/b", "//v1/models", "/healthz/", "/V1/models", &long] {
            let found = find(&Method::GET, path);
            assert!(matches!(found, Err(Refusal::NotFound { ref path }) if path.len() <= 200), "{path}");
        }
    }

    #[test]
    fn a_wrong_method_names_the_right_ones() {
        let cases = [
            ("GET", "/v1/chat/completions", "POST"),
            ("GET", "/v1/responses", "POST"),
            ("POST", "/v1/models", "GET, HEAD"),
            ("OPTIONS", "/v1/models/x", "GET, HEAD"),
            ("DELETE", "/api/v1/gateway/apis/x/pipeline", "GET, HEAD, PUT"),
        ];
        for (method, path, allowed) in cases {
            let method = method.parse().expect("a method");
            assert_eq!(find(&method, path), Err(Refusal::Method { path: path.into(), allow: allowed }));
        }
    }

    #[test]
    fn segments_are_percent_decoded_or_refused() {
        let cases = [("plain-1.0", Some("plain-1.0")), ("a%2Fb", Some("a/b")), ("%C3%A9", Some("é")), ("%", None), ("%4", None)];
        for (segment, decoded) in cases.into_iter().chain([("%zz", None), ("%FF", None), ("%+1", None), ("", Some(""))]) {
            assert_eq!(percent_decoded(segment).as_deref(), decoded, "{segment}");
        }
    }
}
