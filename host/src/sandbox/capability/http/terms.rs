//! What an operator grants: `grants.http = { hosts = ["api.example.com"] }`. Every number has a default and a range, and hosts are read the
//! way that URLs are, so a grant means what it says.

use std::time::Duration;

use serde_json::Value;

use crate::outbound::{HostPattern, Rules, is_secret_name};
use crate::sandbox::grant::Grant;
use crate::sandbox::grant::terms::Terms;

/// Hosts, ports and secrets of one grant.
const ENTRIES_MAX: usize = 100;

impl Grant for Rules {
    const CAPABILITY: &'static str = super::NAME;
    const EXAMPLE: &'static str = "{ hosts = [\"api.example.com\"] }";

    fn read(value: &Value) -> Result<Self, String> {
        read(value)
    }
}

fn read(value: &Value) -> Result<Rules, String> {
    let mut terms = Terms::of(value, Rules::EXAMPLE)?;
    let default = Rules::default();
    let hosts = terms.take("hosts").ok_or("`hosts` is missing: the hosts that the plugin may ask, such as [\"api.example.com\"]")?;
    let hosts = patterns("hosts", hosts)?;
    let ports = terms.take("ports").map_or(Ok(Vec::new()), ports)?;
    let secrets = match terms.take("secrets") {
        None => default.secrets,
        Some(Value::Object(secrets)) if secrets.len() <= ENTRIES_MAX => {
            let secret = |(name, hosts): (&String, &Value)| {
                if !is_secret_name(name) {
                    let shown: String = name.chars().take(60).collect();
                    return Err(format!("`secrets`: {shown:?} is no name of a secret; one has 1 to 128 letters, digits, `_`, `-` and `.`"));
                }
                Ok((name.clone(), patterns(&format!("secrets.{name}"), hosts)?))
            };
            secrets.iter().map(secret).collect::<Result<_, String>>()?
        }
        Some(_) => return Err("`secrets`: expected a table such as { API_KEY = [\"api.example.com\"] }".into()),
    };
    let time = terms.duration("time", default.time, Duration::from_millis(1)..=Duration::from_secs(600))?;
    let request_bytes = terms.bytes("request_bytes", default.request_bytes as u64, 0..=64 << 20)?;
    let response_bytes = terms.bytes("response_bytes", default.response_bytes as u64, 0..=64 << 20)?;
    let calls = terms.count("calls", default.calls.into(), 1..=10_000)?;
    let exchange_bytes = terms.bytes("exchange_bytes", default.exchange_bytes, 0..=1 << 30)?;
    let redirects = terms.count("redirects", default.redirects.into(), 0..=20)?;
    let connections = terms.count("connections", default.connections as u64, 1..=1_000)?;
    // 0: a new connection for every request.
    let idle_connections = terms.count("idle_connections", default.idle_connections as u64, 0..=1_000)?;
    let idle_time = terms.duration("idle_time", default.idle_time, Duration::from_millis(1)..=Duration::from_secs(600))?;
    let (plain, private, plain_secrets) = (terms.flag("plain")?, terms.flag("private")?, terms.flag("plain_secrets")?);
    terms.finish()?;
    // The ranges keep the numbers below what their types hold.
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(Rules {
        hosts,
        ports,
        any_port: false,
        plain,
        private,
        secrets,
        plain_secrets,
        time,
        request_bytes: size(request_bytes),
        response_bytes: size(response_bytes),
        calls: small(calls),
        exchange_bytes,
        redirects: small(redirects),
        connections: size(connections),
        idle_connections: size(idle_connections),
        idle_time,
    })
}

fn patterns(key: &str, value: &Value) -> Result<Vec<HostPattern>, String> {
    let list = value.as_array().filter(|list| (1..=ENTRIES_MAX).contains(&list.len()));
    let list = list.ok_or_else(|| format!("`{key}`: expected a list of 1 to {ENTRIES_MAX} hosts such as [\"api.example.com\"]"))?;
    let pattern = |host: &Value| HostPattern::parse(host.as_str().unwrap_or_default()).map_err(|why| format!("`{key}`: {why}"));
    list.iter().map(pattern).collect()
}

fn ports(value: &Value) -> Result<Vec<u16>, String> {
    let wrong = || format!("`ports`: expected a list of 1 to {ENTRIES_MAX} ports such as [443, 8443]");
    let list = value.as_array().filter(|list| (1..=ENTRIES_MAX).contains(&list.len())).ok_or_else(wrong)?;
    let port = |port: &Value| port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).ok_or_else(wrong);
    list.iter().map(port).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn refused(value: &Value, by: &str) {
        let why = read(value).unwrap_err();
        assert!(why.contains(by), "{value}: {why}");
    }

    #[test]
    fn a_grant_of_hosts_alone_is_the_defaults() {
        let hosts = vec![HostPattern::parse("api.example.com").unwrap(), HostPattern::parse("*.example.org").unwrap()];
        assert_eq!(read(&json!({"hosts": ["API.example.com.", "*.Example.org"]})), Ok(Rules { hosts, ..Rules::default() }));
    }

    #[test]
    fn every_key_is_read() {
        let value = json!({"hosts": ["a.b"], "ports": [443, 8443], "plain": true, "private": true, "secrets": {"KEY": ["a.b"]},
            "plain_secrets": true, "time": "10s", "request_bytes": "2MiB", "response_bytes": 5, "calls": 1, "exchange_bytes": "1GiB",
            "redirects": 0, "connections": 2, "idle_connections": 3, "idle_time": "7s"});
        let hosts = vec![HostPattern::parse("a.b").unwrap()];
        let expected = Rules {
            ports: vec![443, 8443],
            any_port: false,
            plain: true,
            private: true,
            secrets: [("KEY".to_owned(), hosts.clone())].into(),
            plain_secrets: true,
            time: Duration::from_secs(10),
            request_bytes: 2 << 20,
            response_bytes: 5,
            calls: 1,
            exchange_bytes: 1 << 30,
            redirects: 0,
            connections: 2,
            idle_connections: 3,
            idle_time: Duration::from_secs(7),
            hosts,
        };
        assert_eq!(read(&value), Ok(expected));
    }

    #[test]
    fn a_host_with_a_scheme_a_port_or_a_bare_star_is_refused_as_is_one_that_is_none_and_a_secret_without_a_name() {
        for host in
            ["https://a.b", "a.b:443", "a.b/c", "*", "*.", "a.*.b", "**.b", "", ".", "a..b", "u@a.b", "*.10.0.0.1", "*.[::1]", "a b"]
        {
            refused(&json!({"hosts": [host]}), "`hosts`");
            refused(&json!({"hosts": ["a.b"], "secrets": {"KEY": [host]}}), "`secrets.KEY`");
        }
        for name in ["", "A KEY", "KEY}}", "a/b", "K\u{e9}Y", &"x".repeat(129)] {
            refused(&json!({"hosts": ["a.b"], "secrets": {name: ["a.b"]}}), "is no name of a secret");
        }
        read(&json!({"hosts": ["a.b"], "secrets": {"x".repeat(128): ["a.b"], "a.B-c_9": ["a.b"]}})).unwrap();
        refused(&json!({}), "`hosts` is missing");
        refused(&json!({"hosts": []}), "`hosts`");
        refused(&json!(["a.b"]), "expected a table");
        refused(&json!({"hosts": ["a.b"], "port": [1]}), "`port`");
    }

    #[test]
    fn every_number_has_two_edges() {
        for (key, least, most) in [
            ("request_bytes", 0, 64 << 20),
            ("response_bytes", 0, 64 << 20),
            ("calls", 1, 10_000),
            ("exchange_bytes", 0, 1 << 30),
            ("redirects", 0, 20),
            ("connections", 1, 1_000_i64),
            ("idle_connections", 0, 1_000),
        ] {
            for fits in [least, most] {
                read(&json!({"hosts": ["a.b"], key: fits})).unwrap();
            }
            for beyond in [least - 1, most + 1] {
                refused(&json!({"hosts": ["a.b"], key: beyond}), &format!("`{key}`"));
            }
        }
        for (time, fits) in [("1ms", true), ("10m", true), ("0ms", false), ("10m 1ms", false), ("soon", false)] {
            for key in ["time", "idle_time"] {
                assert_eq!(read(&json!({"hosts": ["a.b"], key: time})).is_ok(), fits, "{key}: {time}");
            }
        }
        for (port, fits) in [(1, true), (65_535, true), (0, false), (65_536, false)] {
            assert_eq!(read(&json!({"hosts": ["a.b"], "ports": [port]})).is_ok(), fits, "{port}");
        }
    }
}
