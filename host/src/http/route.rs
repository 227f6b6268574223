//! Routes as rows of tables, and how a request finds its row. A surface is a table with the form of its errors and its rule for browsers.
//! Invariants: one path is one thing, so a trailing slash makes another path; `Allow` is what the tables say; HEAD is answered like GET.
//! Finding a row allocates nothing and takes no longer for a path that is there than a few comparisons of its bytes.

use std::borrow::Cow;
use std::pin::Pin;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Response};
use memchr::memchr;
use percent_encoding::percent_decode_str;

use super::access::Access;
use super::body::Content;
use super::error::{Failure, Refusal};
use super::operation::Operation;
use super::request_log::RequestLog;
use super::respond::ErrorEncoder;
use super::shared::Shared;

/// What stands for the first variable segment of a path.
const ID: &str = "{id}";

/// The routes whose id may hold slashes: a provider's model is `PROVIDER/MODEL`, and not every client escapes the slash.
const WITH_SLASHES: [&str; 1] = ["model"];

/// The one route that is open to all and yet the operator's.
const METRICS: &str = "metrics";

/// The root of the surface that is Open WebUI's, and its version's path: elsewhere the root is another thing.
const ROOT: &str = "/";
const VERSION: &str = "/v1";

/// Whom an address serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Everybody: the operator's routes have no address of their own.
    Both,
    Clients,
    /// The operator, and whoever asks how the server is.
    Admin,
    /// Open WebUI, at an address or below a prefix of its own.
    OpenWebUi,
}

/// Routes that are of one family.
pub(super) struct Surface {
    /// In `/openapi.json`.
    pub(super) name: &'static str,
    /// How the paths of this surface begin; a path that no table has belongs to the first surface whose beginning it has.
    pub(super) prefix: &'static str,
    pub(super) routes: &'static [Route],
    /// How its errors are written.
    pub(super) errors: ErrorEncoder,
    /// What `/openapi.json` calls their form.
    pub(super) error: &'static str,
    /// Whether it is Open WebUI's: its paths are there with `/v1` before them too, and answers say how long they took.
    pub(super) open_webui: bool,
    /// Whether pages of `http.cors_origins` may call it.
    pub(super) cors: bool,
}

/// One row: a method of a path, and what answers it.
pub(super) struct Route {
    pub(super) method: Method,
    /// `{id}` and, at the end, `{document}` or `{job}` stand for one segment each.
    pub(super) path: &'static str,
    /// In logs and metrics.
    pub(super) name: &'static str,
    pub(super) access: Access,
    /// Whether it costs tokens: then a key's limits hold.
    pub(super) metered: bool,
    /// What `/openapi.json` says of it.
    pub(super) operation: Operation,
    pub(super) handler: Handler,
}

/// What answers a route. Each is boxed alone, so that no request has room for the largest of them.
pub(super) type Handler = for<'a> fn(Call<'a>) -> Answering<'a>;

pub(super) type Answering<'a> = Pin<Box<dyn Future<Output = Result<Response<Content>, Failure>> + Send + 'a>>;

/// One request, as a handler gets it.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) head: &'a Parts,
    pub(super) body: &'a mut Incoming,
    pub(super) log: &'a mut RequestLog,
    /// The path's `{id}`, decoded; empty if the route has none. An id with wrong escapes names nothing, like the empty id.
    pub(super) id: Cow<'a, str>,
    /// The path's `{document}` or `{job}` likewise.
    pub(super) document: Cow<'a, str>,
}

/// The variable segments of a path as they stand there, each empty if the route has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Segments<'a> {
    pub(super) id: &'a str,
    pub(super) document: &'a str,
}

impl Route {
    /// The variable segments of the path; nothing if this is not its path.
    fn segments<'a>(&self, path: &'a str) -> Option<Segments<'a>> {
        let Some(at) = memchr(b'{', self.path.as_bytes()) else { return (self.path == path).then(Segments::default) };
        let (rest, pattern) = (path.strip_prefix(&self.path[..at])?, &self.path[at + ID.len()..]);
        let (id, document) = match pattern.rsplit_once('{') {
            // A second one is the last segment, whatever it is called.
            Some((between, _)) => rest.split_once(between)?,
            None => (rest.strip_suffix(pattern)?, ""),
        };
        let one = !document.contains('/') && (!id.contains('/') || WITH_SLASHES.contains(&self.name));
        (one && !path.ends_with('/')).then_some(Segments { id, document })
    }

    /// Whether it is there for whoever comes by that side.
    fn is_on(&self, side: Side) -> bool {
        match (side, self.access) {
            (Side::Both | Side::OpenWebUi, _) | (Side::Clients, Access::Client | Access::Manage | Access::Shown) => true,
            (Side::Admin, Access::Admin | Access::Open) => true,
            (Side::Clients, Access::Admin) | (Side::Admin, Access::Client | Access::Manage | Access::Shown) => false,
            (Side::Clients, Access::Open) => self.name != METRICS,
        }
    }

    fn takes(&self, method: &Method) -> bool {
        self.method == method || (method == Method::HEAD && self.method == Method::GET)
    }
}

impl Surface {
    /// The variable segments of that route's path, for whoever comes by that side; nothing if this is not its path, or it is not there.
    fn segments<'a>(&self, route: &Route, side: Side, path: &'a str) -> Option<Segments<'a>> {
        if !route.is_on(side) {
            return None;
        }
        if !self.open_webui {
            return route.segments(path);
        }
        if side == Side::Admin || (path == ROOT && side != Side::OpenWebUi) {
            return None;
        }
        let below = path.strip_prefix(VERSION).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let below = below.map(|rest| if rest.is_empty() { ROOT } else { rest });
        // With a slash alone behind it, the version is another path.
        route.segments(path).or_else(|| route.segments(below.filter(|_| path != "/v1/")?))
    }
}

/// The row of a request and the variable segments of its path; the surface tells how to say that there is none.
pub(super) fn find<'a>(
    surfaces: &'static [&'static Surface],
    side: Side,
    method: &Method,
    path: &'a str,
) -> (&'static Surface, Result<(&'static Route, Segments<'a>), Refusal>) {
    let mut of_path = None;
    for surface in surfaces {
        for route in surface.routes {
            let Some(segments) = surface.segments(route, side, path) else { continue };
            if route.takes(method) {
                return (surface, Ok((route, segments)));
            }
            of_path = of_path.or(Some(*surface));
        }
    }
    match of_path {
        Some(surface) => (surface, Err(Refusal::Method { path: shown(path), allow: allow(surfaces, side, path) })),
        None => {
            let surface = surfaces.iter().find(|surface| path.starts_with(surface.prefix)).or(surfaces.last());
            (surface.expect("there are surfaces"), Err(Refusal::NotFound { path: shown(path) }))
        }
    }
}

/// The methods of a path, as `Allow` lists them.
pub(super) fn allow(surfaces: &[&Surface], side: Side, path: &str) -> String {
    let all = || surfaces.iter().flat_map(|surface| surface.routes.iter().map(move |route| (surface, route)));
    let of_path = || all().filter(|(surface, route)| surface.segments(route, side, path).is_some()).map(|(_, route)| route);
    let order = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let there = order.iter().filter(|method| of_path().any(|route| route.takes(method)));
    there.map(Method::as_str).collect::<Vec<_>>().join(", ")
}

/// A path as an error repeats it: enough to recognise.
fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}

/// `%41` as `A`; none if the escapes are wrong or give no UTF-8.
pub(super) fn percent_decoded(segment: &str) -> Option<Cow<'_, str>> {
    let escapes = || segment.split('%').skip(1);
    let right = |after: &str| after.len() >= 2 && after.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    escapes().all(right).then(|| percent_decode_str(segment).decode_utf8().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::surface::SURFACES;

    fn name_of(method: &str, path: &'static str) -> Result<(&'static str, &'static str), Refusal> {
        let method = method.parse().expect("a method");
        find(SURFACES, Side::Both, &method, path).1.map(|(route, segments)| (route.name, segments.id))
    }

    #[test]
    fn every_route_is_found_under_its_method() {
        let cases = [
            ("POST", "/v1/chat/completions", "chat_completions", ""),
            ("POST", "/v1/embeddings", "embeddings", ""),
            ("POST", "/v1/responses", "responses", ""),
            ("GET", "/v1/models", "models", ""),
            ("HEAD", "/v1/models", "models", ""),
            ("GET", "/v1/models/a%2Fb", "model", "a%2Fb"),
            ("GET", "/v1/models/a/b-1/c:free", "model", "a/b-1/c:free"),
            ("PUT", "/api/v1/gateway/apis/support/pipeline", "put_pipeline", "support"),
            ("GET", "/api/v1/gateway/apis/support/pipeline", "get_pipeline", "support"),
            ("POST", "/api/v1/gateway/apis/support/knowledge/upload", "knowledge_upload", "support"),
            ("POST", "/api/v1/gateway/apis/support/knowledge/test", "knowledge_test", "support"),
            ("GET", "/api/v1/gateway/apis//pipeline", "get_pipeline", ""),
            ("GET", "/api/v1/gateway/apis", "apis", ""),
            ("DELETE", "/api/v1/gateway/apis/support/pipeline", "delete_pipeline", "support"),
            ("GET", "/api/v1/gateway/apis/support/knowledge/documents", "documents", "support"),
            ("GET", "/api/v1/gateway/apis/support/knowledge/documents/7", "document", "support"),
            ("DELETE", "/api/v1/gateway/apis/support/knowledge/documents/7", "delete_document", "support"),
            ("GET", "/api/v1/gateway/apis/support/knowledge/namespaces", "namespaces", "support"),
            ("GET", "/api/v1/gateway/apis/support/knowledge/jobs", "jobs", "support"),
            ("GET", "/api/v1/gateway/apis/support/knowledge/jobs/7", "job", "support"),
            ("DELETE", "/api/v1/gateway/apis/support/knowledge", "delete_namespace", "support"),
            ("POST", "/api/v1/gateway/apis/support/knowledge/reindex", "reindex", "support"),
            ("GET", "/api/v1/plugins", "plugins", ""),
            ("POST", "/api/v1/plugins", "deploy_plugin", ""),
            ("POST", "/api/v1/plugins/reload", "reload_plugins", ""),
            ("GET", "/api/v1/plugins/guard", "plugin", "guard"),
            ("DELETE", "/api/v1/plugins/guard", "delete_plugin", "guard"),
            ("POST", "/api/v1/plugins/guard/rollback", "rollback_plugin", "guard"),
            ("GET", "/api/v1/plugins/rate-limit/settings", "get_plugin_settings", "rate-limit"),
            ("PUT", "/api/v1/plugins/rate-limit/settings", "put_plugin_settings", "rate-limit"),
            ("DELETE", "/api/v1/plugins/rate-limit/settings", "delete_plugin_settings", "rate-limit"),
            ("GET", "/api/v1/usage", "usage", ""),
            ("POST", "/api/v1/reload", "reload", ""),
            ("GET", "/healthz", "healthz", ""),
            ("GET", "/readyz", "readyz", ""),
            ("GET", "/metrics", "metrics", ""),
            ("GET", "/openapi.json", "openapi", ""),
            ("GET", "/v1", "pipelines_status", ""),
            ("GET", "/models", "pipelines_models", ""),
            ("POST", "/chat/completions", "pipelines_chat_completions", ""),
            ("GET", "/pipelines", "pipelines", ""),
            ("GET", "/v1/pipelines", "pipelines", ""),
            ("POST", "/v1/pipelines/add", "pipelines_add", ""),
            ("POST", "/pipelines/upload", "pipelines_upload", ""),
            ("DELETE", "/pipelines/delete", "pipelines_delete", ""),
            ("POST", "/pipelines/reload", "pipelines_reload", ""),
            ("GET", "/guard/valves", "valves", "guard"),
            ("GET", "/v1/guard/valves", "valves", "guard"),
            ("GET", "/v1/guard/valves/spec", "valves_spec", "guard"),
            ("POST", "/guard/valves/update", "valves_update", "guard"),
            ("POST", "/guard/filter/inlet", "filter_inlet", "guard"),
            ("POST", "/v1/p.guard/filter/outlet", "filter_outlet", "p.guard"),
        ];
        for (method, path, name, id) in cases {
            assert_eq!(name_of(method, path), Ok((name, id)), "{path}");
        }
        let tested = |route: &Route| cases.iter().any(|(_, _, name, _)| *name == route.name);
        for route in SURFACES.iter().flat_map(|surface| surface.routes) {
            assert!(tested(route), "{} has no case above", route.name);
        }
    }

    #[test]
    fn other_paths_are_not_there_and_a_trailing_slash_makes_another_path() {
        let long = format!("/{}", "a/".repeat(500));
        for path in [
            "",
            "/",
            "*",
            "/v1/",
            "/v1x",
            "/a/b/valves",
            "/v1/a/b/valves",
            "/v1/models/",
            "/v1/models/a/",
            "/v1/modelsa/b",
            "//v1/models",
            "/healthz/",
            "/V1/models",
            &long,
        ] {
            let (_, found) = find(SURFACES, Side::Both, &Method::GET, path);
            assert!(matches!(found.map(|(route, _)| route.name), Err(Refusal::NotFound { ref path }) if path.len() <= 200), "{path}");
        }
    }

    #[test]
    fn a_second_segment_is_one_segment_too() {
        let of =
            |path| find(SURFACES, Side::Both, &Method::GET, path).1.map(|(route, Segments { id, document })| (route.name, id, document));
        assert_eq!(of("/api/v1/gateway/apis/a%2Fb/knowledge/documents/c%2Fd"), Ok(("document", "a%2Fb", "c%2Fd")));
        assert_eq!(of("/api/v1/gateway/apis//knowledge/documents/7"), Ok(("document", "", "7")));
        for path in [
            "a/knowledge/documents/",
            "a/knowledge/documents/b/c",
            "a/b/knowledge/documents/c",
            "a/knowledge/documents/knowledge/documents/c",
        ] {
            let path: &'static str = format!("/api/v1/gateway/apis/{path}").leak();
            assert!(of(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_wrong_method_names_the_right_ones() {
        let cases = [
            ("GET", "/v1/chat/completions", "POST"),
            ("GET", "/v1/responses", "POST"),
            ("POST", "/v1/models", "GET, HEAD"),
            ("OPTIONS", "/v1/models/x", "GET, HEAD"),
            ("POST", "/api/v1/gateway/apis/x/pipeline", "GET, HEAD, PUT, DELETE"),
            ("PUT", "/api/v1/gateway/apis/x/knowledge/documents/y", "GET, HEAD, DELETE"),
        ];
        for (method, path, allowed) in cases {
            assert_eq!(name_of(method, path), Err(Refusal::Method { path: path.into(), allow: allowed.into() }));
        }
    }

    #[test]
    fn a_path_that_is_not_there_belongs_to_the_surface_that_it_looks_like() {
        let cors = |path| find(SURFACES, Side::Both, &Method::GET, path).0.cors;
        assert_eq!(
            ["/v1/files", "/v1/models/", "/v1", "/api/v1/files", "/api", "/", "/nowhere"].map(cors),
            [true, true, true, false, false, false, false]
        );
        let own = find(crate::http::surface::OPEN_WEBUI, Side::OpenWebUi, &Method::GET, "/nowhere");
        assert!(own.0.open_webui && matches!(own.1.map(|_| ()), Err(Refusal::NotFound { .. })));
    }

    #[test]
    fn open_webui_s_root_and_all_else_are_there_at_an_address_of_its_own() {
        let there = |side, path| find(crate::http::surface::OPEN_WEBUI, side, &Method::GET, path).1.map(|(route, _)| route.name);
        for path in ["/", "/v1"] {
            assert_eq!(there(Side::OpenWebUi, path), Ok("pipelines_status"), "{path}");
        }
        assert_eq!(there(Side::OpenWebUi, "/v1/models"), Ok("pipelines_models"));
        assert!(there(Side::OpenWebUi, "/metrics").is_err() && there(Side::Admin, "/models").is_err());
    }

    #[test]
    fn every_route_stands_in_the_surface_of_its_beginning_and_has_its_own_name() {
        let mut names = Vec::new();
        for surface in SURFACES {
            for route in surface.routes {
                let of_path = SURFACES.iter().find(|surface| route.path.starts_with(surface.prefix)).expect("a surface");
                assert_eq!(of_path.prefix, surface.prefix, "{}", route.path);
                assert!(!names.contains(&route.name), "{} stands twice", route.name);
                names.push(route.name);
            }
        }
    }

    #[test]
    fn only_clients_of_v1_are_metered_or_called_from_pages() {
        for surface in SURFACES {
            assert_eq!(surface.cors, surface.prefix == "/v1/" || surface.open_webui, "{}", surface.prefix);
            for route in surface.routes {
                assert!(!route.metered || route.access == Access::Client, "{}", route.name);
            }
        }
    }

    #[test]
    fn with_an_address_of_its_own_the_operator_s_part_is_there_alone_and_health_on_both() {
        let there = |side, path| find(SURFACES, side, &Method::GET, path).1.is_ok();
        let paths = ["/v1/models", "/api/v1/plugins", "/metrics", "/healthz", "/readyz", "/openapi.json"];
        assert_eq!(paths.map(|path| there(Side::Clients, path)), [true, false, false, true, true, true]);
        assert_eq!(paths.map(|path| there(Side::Admin, path)), [false, true, true, true, true, true]);
        for route in SURFACES.iter().flat_map(|surface| surface.routes) {
            let sides = [Side::Clients, Side::Admin].map(|side| route.is_on(side));
            assert!(route.is_on(Side::Both) && sides != [false, false], "{}", route.name);
            let (_, missing) = find(SURFACES, if sides[0] { Side::Admin } else { Side::Clients }, &Method::TRACE, route.path);
            assert!(sides == [true, true] || matches!(missing, Err(Refusal::NotFound { .. })), "{} is not even hinted at", route.name);
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
