//! `[http]`: whose pages may call from a browser; and `[limits.http]`, the numbers of the HTTP room, which says what each is for.
//! Invariant: an origin is kept only if a browser would send it exactly so, for it is compared byte for byte.

use super::json::quote;
use super::print::Printer;
use super::section::Section;
use super::walk::{GIB, KIB, MIB, Walk, millis, seconds};
use crate::http::{Limits, ORIGINS_MAX, Origins};

/// `[http]`
pub(super) fn read(section: &mut Section<'_>, origins: &mut Origins, socket_mode: &mut u32, with_keys: bool) {
    if let Some(entry) = section.take("socket_mode") {
        match entry.text().filter(|text| (3..=4).contains(&text.len())).map(|text| u32::from_str_radix(text, 8)) {
            // Without writing nobody can connect, not even the server's own user.
            Some(Ok(mode)) if mode & !0o666 == 0 && mode & 0o600 == 0o600 => *socket_mode = mode,
            _ => entry.wrong("a mode such as \"0600\", \"0660\" or \"0666\""),
        }
    }
    read_origins(section, origins, with_keys);
}

fn read_origins(section: &mut Section<'_>, origins: &mut Origins, with_keys: bool) {
    let Some(entry) = section.take("cors_origins") else { return };
    for (at, entry) in entry.list().into_iter().enumerate() {
        if at == ORIGINS_MAX {
            return entry.problem(format!("is one too many: at most {ORIGINS_MAX} origins can be listed"));
        }
        let Some(text) = entry.text() else {
            entry.wrong("an origin such as \"https://chat.example\", or \"*\"");
            continue;
        };
        if text == "*" && !with_keys {
            // Any page in a browser on this machine could use the operator's providers.
            entry.problem("\"*\" would let every web page use this server, for there are no `[keys]`; list origins, or configure keys");
            continue;
        }
        match origins.clone().with(text) {
            Ok(more) => *origins = more,
            Err(why) => entry.problem(format!("{} {why}", quote(text))),
        }
    }
}

pub(super) fn print(printer: &mut Printer, origins: &Origins, socket_mode: u32) {
    printer.entry("socket_mode", &quote(&format!("{socket_mode:04o}")));
    let origins: Vec<_> = origins.texts().map(quote).collect();
    printer.entry("cors_origins", &format!("[{}]", origins.join(", ")));
}

/// `[limits.http]`
pub(super) fn limits(keys: &mut impl Walk, limits: &mut Limits) {
    keys.duration("header_time", &mut limits.header_time, millis(1)..=seconds(600));
    // hyper needs 8 KiB at least.
    keys.bytes("header_bytes", &mut limits.header_bytes, 8 * KIB..=MIB);
    keys.duration("idle_time", &mut limits.idle_time, millis(1)..=seconds(3_600));
    keys.bytes("body_bytes", &mut limits.body_bytes, KIB..=GIB);
    keys.bytes("bodies_bytes", &mut limits.bodies_bytes, MIB..=1_024 * GIB);
    // Parsers of parts of a body stop at 128.
    keys.count("body_depth", &mut limits.body_depth, 8..=127);
    keys.count("body_values", &mut limits.body_values, 100..=10_000_000);
    keys.count("body_fields", &mut limits.body_fields, 1..=1_000_000);
    keys.count("messages", &mut limits.messages, 1..=1_000_000);
    keys.count("parts", &mut limits.parts, 1..=1_000_000);
    keys.count("tool_calls", &mut limits.tool_calls, 1..=1_000_000);
    keys.count("tools", &mut limits.tools, 1..=1_000_000);
    keys.count("parses", &mut limits.parses, 1..=1_000);
    keys.duration("body_time", &mut limits.body_time, millis(1)..=seconds(3_600));
    keys.count("bodies", &mut limits.bodies, 1..=1_000_000);
    keys.bytes("response_bytes", &mut limits.response_bytes, KIB..=GIB);
    keys.bytes("upload_bytes", &mut limits.upload_bytes, KIB..=4 * GIB);
    // 0: the answer is 202 unless the plugin is known already.
    keys.duration("admission_time", &mut limits.admission_time, millis(0)..=seconds(3_600));
    keys.count("upload_files", &mut limits.upload_files, 1..=10_000);
    // 0: every upload goes on in the background.
    keys.bytes("background_bytes", &mut limits.background_bytes, 0..=4 * GIB);
    // None: only whoever waits is answered.
    keys.count("jobs", &mut limits.jobs, 0..=100_000);
    keys.count("jobs_running", &mut limits.jobs_running, 1..=1_000);
    keys.bytes("jobs_bytes", &mut limits.jobs_bytes, MIB..=1_024 * GIB);
    keys.duration("job_time", &mut limits.job_time, millis(1)..=seconds(86_400));
    keys.count("jobs_kept", &mut limits.jobs_kept, 1..=100_000);
    keys.duration("jobs_kept_time", &mut limits.jobs_kept_time, millis(1)..=seconds(86_400));
    keys.count("connections", &mut limits.connections, 1..=1_000_000);
    keys.count("admin_connections", &mut limits.admin_connections, 1..=1_000_000);
    keys.duration("handshake_time", &mut limits.handshake_time, millis(1)..=seconds(600));
    keys.count("handshakes", &mut limits.handshakes, 1..=1_000_000);
    keys.duration("certificate_time", &mut limits.certificate_time, millis(10)..=seconds(86_400));
    keys.count("requests", &mut limits.requests, 1..=1_000_000);
    keys.count("admin_requests", &mut limits.admin_requests, 1..=100_000);
    keys.duration("write_time", &mut limits.write_time, millis(1)..=seconds(3_600));
    keys.bytes("answer_bytes", &mut limits.answer_bytes, 64 * KIB..=1_024 * GIB);
    // None: clients of streams that hooks hold back get nothing until there is something, and every refusal has its status.
    keys.duration("waiting_time", &mut limits.waiting_time, millis(0)..=seconds(3_600));
    keys.duration("request_time", &mut limits.request_time, millis(1)..=seconds(86_400));
    // None: whatever still runs is cut.
    keys.duration("drain_time", &mut limits.drain_time, millis(0)..=seconds(3_600));
    keys.count("streams", &mut limits.streams, 1..=10_000);
    keys.count("embedding_inputs", &mut limits.embedding_inputs, 1..=100_000);
    keys.count("reloads", &mut limits.reloads, 1..=100);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const KEYS: &str =
        "[keys]\nclient = [{ name = \"a\", sha256 = \"abababababababababababababababababababababababababababababababab\" }]\n";

    fn problems(text: &str) -> String {
        Config::parse(text, Path::new("/")).map(|_| String::new()).unwrap_or_else(|problems| problems.to_string())
    }

    fn listing(count: usize) -> String {
        let origins: Vec<_> = (0..count).map(|n| format!("\"https://{n}.example\"")).collect();
        format!("[http]\ncors_origins = [{}]\n", origins.join(", "))
    }

    #[test]
    fn origins_are_listed_and_printed_so_that_they_read_back() {
        let text = format!("[http]\ncors_origins = [\"https://chat.example\", \"http://localhost:3000\", \"*\"]\n{KEYS}");
        let config = Config::parse(&text, Path::new("/")).expect("a configuration");
        assert!(config.cors_origins.any());
        let printed = config.effective();
        assert!(printed.contains("\ncors_origins = [\"*\", \"https://chat.example\", \"http://localhost:3000\"]\n"), "{printed}");
        assert!(Config::default().effective().contains("cors_origins = []"), "off by default");
    }

    #[test]
    fn a_wrong_origin_is_named_with_its_remedy() {
        let text = "[http]\ncors_origins = [\"https://a.example/\", \"b.example\", 7, \"https://c.example\", \"https://c.example\"]\n";
        let found = problems(text);
        for part in [
            "http.cors_origins[0]",
            "\"https://a.example/\" must end after the host and port: \"https://a.example\"",
            "http.cors_origins[1]",
            "\"b.example\" must be an origin such as \"https://chat.example\"",
            "http.cors_origins[2]",
            "http.cors_origins[4]",
            "stands twice",
        ] {
            assert!(found.contains(part), "{part} is missing: {found}");
        }
        assert!(!found.contains("http.cors_origins[3]"), "{found}");
    }

    #[test]
    fn a_star_needs_keys() {
        let star = "[http]\ncors_origins = [\"*\"]\n";
        assert!(problems(star).contains("configure keys"), "{}", problems(star));
        assert_eq!(problems(&format!("{star}{KEYS}")), "");
    }

    #[test]
    fn the_mode_of_socket_files_is_one_that_the_server_s_user_can_use() {
        for (text, mode) in [("0600", 0o600), ("660", 0o660), ("0666", 0o666)] {
            let config = Config::parse(&format!("[http]\nsocket_mode = \"{text}\""), Path::new("/")).expect("a configuration");
            assert_eq!(config.socket_mode, mode);
            assert!(config.effective().contains(&format!("socket_mode = \"{mode:04o}\"")));
        }
        for text in ["\"0700\"", "\"0060\"", "\"4600\"", "\"0o600\"", "\"rw\"", "600", "\"\""] {
            assert!(problems(&format!("[http]\nsocket_mode = {text}")).contains("http.socket_mode: expected a mode"), "{text}");
        }
    }

    #[test]
    fn the_number_of_origins_is_limited_at_its_edge() {
        assert_eq!(problems(&listing(ORIGINS_MAX)), "");
        assert!(problems(&listing(ORIGINS_MAX + 1)).contains("at most 64 origins"));
    }
}
