//! No secret is in anything that a run writes: answers, both outputs, the data directory. The providers quote each key in every form.
//! Three places hold the keys: the environment, a file of `secret_dir`, a systemd credential.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Answer, Client, Streaming};
use crate::server::{Builder, PATIENCE, Server};
use crate::upstream::{Request, Script, Upstream, delta};

/// A secret and its base64.
struct Known {
    name: &'static str,
    value: &'static str,
    base64: &'static str,
}

const PROVIDERS: [Known; 3] = [
    Known { name: "KEY_ENV", value: "sk-Vq7xN2mRw9Lk4Tz8Yb3Hd6JfPc5Gs1", base64: "c2stVnE3eE4ybVJ3OUxrNFR6OFliM0hkNkpmUGM1R3Mx" },
    Known { name: "KEY_FILE", value: "Zt4kW9xQv2Bn7Mj3Rc8Lp5Hd6Fg1SyTu", base64: "WnQ0a1c5eFF2MkJuN01qM1JjOExwNUhkNkZnMVN5VHU=" },
    Known { name: "KEY_CREDENTIAL", value: "AIzaUe3oXw8Kq5Nv2Gb7Ym4Rt9Jc6Zs", base64: "QUl6YVVlM29YdzhLcTVOdjJHYjdZbTRSdDlKYzZacw==" },
];
const CLIENT: Known = Known { name: "client", value: "cfd_3b9e71d40c8fa2651e7d", base64: "Y2ZkXzNiOWU3MWQ0MGM4ZmEyNjUxZTdk" };
const ADMIN: Known = Known { name: "admin", value: "cfd_f04a8c6e2b7195d3aa6e", base64: "Y2ZkX2YwNGE4YzZlMmI3MTk1ZDNhYTZl" };
/// What a client without a valid key sends.
const WRONG: Known = Known { name: "wrong", value: "cfd_77aa10be4429cd8f5510", base64: "Y2ZkXzc3YWExMGJlNDQyOWNkOGY1NTEw" };

/// Answers in which a provider quotes the key.
fn echoes(key: &Known) -> Vec<Script> {
    let (value, base64) = (key.value, key.base64);
    let (head, tail) = (&value[..8], &value[value.len() - 8..]);
    let text = [("content-type", "text/plain")];
    let error = |message: String| json!({"error": {"message": message, "type": value, "code": value, "param": value}});
    let incorrect = || error(format!("Incorrect API key provided: {value}. You can find your API key at https://example.test."));
    vec![
        Script::json(401, &incorrect()),
        Script::json(400, &incorrect()),
        Script::json(404, &error(format!("no such key {head}********{tail}, nor {head}...{tail}"))),
        Script::json(400, &error(format!("the key {} {} has two halves", &value[..16], &value[16..]))),
        Script::json(422, &json!({"detail": [{"msg": "wrong", "input": {"authorization": format!("Bearer {value}")}}]})),
        Script::json(400, &json!({"message": format!("Basic {base64} was not accepted")})),
        Script::reply(400, &[("content-type", "text/html")], format!("<html><body>Bearer {value}</body></html>")),
        Script::reply(400, &text, format!("Authorization: Bearer {value}")),
        Script::reply(429, &[("retry-after", value), ("x-key", value)], format!("\"{value}\" is over its rate")),
        Script::reply(302, &[("location", &format!("https://example.test/?key={value}"))], ""),
        Script::reply(200, &[("content-type", value)], value),
        Script::json(200, &json!(value)),
        Script::json(200, &json!({"choices": value})),
        Script::json(200, &incorrect()),
        Script::says(&format!("your key is {value}")),
        Script::stream().event(&incorrect().to_string()).end(),
        Script::stream().event(value).end(),
        Script::stream().event(&delta("hi")).event(&incorrect().to_string()).cut(),
        Script::stream().event(&delta(&format!("it is {value}"))).piece(format!("data: {{\"half\":\"{value}")).cut(),
        Script::default().raw(format!("{value}\r\n\r\n")).cut(),
        Script::default().raw(format!("HTTP/1.1 200 {value}\r\ncontent-length: 99\r\n\r\n{value}")).cut(),
        Script::default().raw(format!("HTTP/1.1 503 {value}\r\n{value}: {value}\r\ncontent-length: 0\r\n\r\n")),
    ]
}

fn asks(request: &Request, case: usize) -> bool {
    String::from_utf8_lossy(&request.body).contains(&format!("case {case}."))
}

fn pipeline(id: &str, secret: &str, stages: &str) -> String {
    format!(
        "[[pipelines]]\nid = \"{id}\"\npipeline = [ {stages} {{ stage = \"llm\", config = {{ primary = {{ provider = \"up\", model = \"m\", \
         secret_key_name = \"{secret}\" }} }} }} ]\n"
    )
}

fn server(upstream: &Upstream, secrets: &Path) -> Builder {
    let hash = |key: &Known| cofferdam::http::keys::format(&cofferdam::http::keys::hash(key.value.as_bytes()));
    let hook = |plugin: &str| format!("{{ stage = \"pre_hook\", config = {{ function_id = \"{plugin}\" }} }},");
    let config = format!(
        "secret_dir = \"{}\"\n[keys]\nclient = [{{ name = \"c\", sha256 = \"{}\" }}]\nadmin = [{{ name = \"a\", sha256 = \"{}\" }}]\n\
         [limits.providers]\nretries = 0\ncircuit_failures = 0\n[providers.up]\nkind = \"openai\"\nbase_url = \"{}\"\n{}{}{}{}{}",
        secrets.join("dir").display(),
        hash(&CLIENT),
        hash(&ADMIN),
        upstream.url(),
        pipeline("KEY_ENV", "KEY_ENV", ""),
        pipeline("KEY_CREDENTIAL", "KEY_CREDENTIAL", ""),
        pipeline("panics", "KEY_ENV", &hook("panic")),
        pipeline("traps", "KEY_ENV", &hook("trap")),
        pipeline("nothing", "KEY_NOWHERE", ""),
    );
    for (dir, known) in [("dir", &PROVIDERS[1]), ("credentials", &PROVIDERS[2])] {
        std::fs::create_dir_all(secrets.join(dir)).expect("a folder");
        std::fs::write(secrets.join(dir).join(known.name), format!("{}\n", known.value)).expect("a file");
    }
    let credentials = secrets.join("credentials").display().to_string();
    let server = Server::with(&config).plugin("panic").plugin("trap").env("COFFERDAM_LOG", "trace").env("RUST_BACKTRACE", "full");
    server.env(PROVIDERS[0].name, PROVIDERS[0].value).env("CREDENTIALS_DIRECTORY", &credentials)
}

/// All bytes that a client received.
#[derive(Default)]
struct Answers(String);

impl Answers {
    fn answer(&mut self, answer: &Answer) {
        self.0 += &format!("{} {:?}\n{}\n", answer.status, answer.headers, answer.text());
    }

    async fn stream(&mut self, mut stream: Streaming) {
        if stream.headers["content-type"] != "text/event-stream" {
            return self.answer(&stream.answer().await);
        }
        self.0 += &format!("{} {:?}\n", stream.status, stream.headers);
        loop {
            match stream.next().await {
                Ok(Some(event)) => self.0 += &event,
                Ok(None) => return,
                Err(error) => return self.0 += &error,
            }
        }
    }
}

/// Sends every request whose answer might contain a key.
async fn run(server: &Server, upstream: &Upstream) -> Answers {
    let mut answers = Answers::default();
    let with = |known: &Known| Client::of(server.address).header("authorization", &format!("Bearer {}", known.value));
    let (client, admin) = (with(&CLIENT), with(&ADMIN));
    let target = json!({"provider": "up", "model": "m", "secret_key_name": "KEY_FILE"});
    let definition = json!({"pipeline": [{"stage": "llm", "config": {"primary": target}}]});
    let path = "/api/v1/gateway/apis/KEY_FILE/pipeline";
    answers.answer(&admin.put(path, &definition).await.ok());
    answers.answer(&admin.get(path).await.ok());
    for known in &PROVIDERS {
        let before = upstream.requests().len();
        for case in 0..echoes(known).len() {
            answers.answer(&client.chat(known.name, &format!("case {case}."), json!({})).await);
            answers.stream(client.chat_stream(known.name, &format!("case {case}."), json!({})).await).await;
        }
        let bearer = format!("Bearer {}", known.value);
        let asked = &upstream.requests()[before..];
        assert!(asked.len() >= 2 * echoes(known).len() && asked.iter().all(|request| request.header("authorization") == Some(&bearer)));
    }
    for (model, code) in [("panics", "plugin_trapped"), ("traps", "plugin_trapped"), ("nothing", "provider_secret_missing")] {
        let answer = client.chat(model, "hi", json!({})).await;
        assert_eq!(answer.json()["error"]["code"], code);
        answers.answer(&answer);
    }
    let refused = with(&WRONG).chat("KEY_ENV", "hi", json!({})).await;
    assert_eq!(refused.refused(401), "invalid_api_key");
    answers.answer(&refused);
    for path in ["/metrics", "/api/v1/plugins", "/v1/models", "/v1/models/KEY_FILE", "/readyz", "/nowhere"] {
        answers.answer(&admin.get(path).await);
    }
    answers
}

/// Every file below, with its bytes.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let read = |path: std::path::PathBuf| match path.is_dir() {
        true => files(&path),
        false => vec![(path.display().to_string(), std::fs::read(&path).expect("a file"))],
    };
    entries.flat_map(read).collect()
}

#[track_caller]
fn holds_no_secret(place: &str, bytes: &[u8]) {
    for known in PROVIDERS.iter().chain([&CLIENT, &ADMIN, &WRONG]) {
        let (value, base64) = (known.value, known.base64);
        for part in [&value[..8], &value[value.len() - 8..], &value[8..16], &base64[..12], &base64[12..24]] {
            if let Some(at) = memchr::memmem::find(bytes, part.as_bytes()) {
                let around = String::from_utf8_lossy(&bytes[at.saturating_sub(200)..bytes.len().min(at + 60)]).into_owned();
                panic!("{place} shows `{part}` of the secret {}: …{around}…", known.name);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_run_wrote_holds_a_secret() {
    let secrets = tempfile::tempdir().expect("a folder");
    let upstream = Upstream::start().await;
    for known in &PROVIDERS {
        for (case, script) in echoes(known).into_iter().enumerate() {
            let bearer = format!("Bearer {}", known.value);
            upstream.when(move |request| asks(request, case) && request.header("authorization") == Some(&bearer), script);
        }
    }
    let mut folder = None;
    for crash in [false, true] {
        let builder = server(&upstream, secrets.path());
        let builder = if let Some(folder) = folder.take() { builder.folder(folder) } else { builder };
        let mut server = builder.start();
        let answers = run(&server, &upstream).await;
        holds_no_secret("an answer", answers.0.as_bytes());
        if crash {
            server.kill();
        } else {
            server.terminate();
        }
        let output = tokio::time::timeout(PATIENCE, async { server.output() }).await.expect("it ends");
        assert!(output.contains("TRACE") && output.contains("the guest panics over"), "the log says all that it can: {output}");
        holds_no_secret("the output", output.as_bytes());
        let written = files(server.folder.path());
        assert!(written.iter().any(|(name, _)| name.ends_with("cofferdam.db")));
        written.iter().for_each(|(name, bytes)| holds_no_secret(name, bytes));
        folder = Some(server.folder.clone());
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_is_used_without_a_restart() {
    let secrets = tempfile::tempdir().expect("a folder");
    let upstream = Upstream::start().await;
    upstream.always(Script::says("fine"));
    let server = server(&upstream, secrets.path()).start();
    let client = Client::of(server.address).header("authorization", &format!("Bearer {}", CLIENT.value));
    client.chat("KEY_CREDENTIAL", "hi", json!({})).await.ok();
    let file = secrets.path().join("credentials").join("KEY_CREDENTIAL");
    std::fs::write(secrets.path().join("new"), "the-new-one").expect("a file");
    std::fs::rename(secrets.path().join("new"), file).expect("a rename");
    let replaced = |request: &Request| request.header("authorization") == Some("Bearer the-new-one");
    // The value is read again within a second, whatever number of requests that takes.
    let asking = async {
        while !upstream.requests().iter().any(replaced) {
            client.chat("KEY_CREDENTIAL", "hi", json!({})).await.ok();
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the new value is used");
}

#[tokio::test]
async fn a_secret_of_the_environment_may_not_be_a_path() {
    let secrets = tempfile::tempdir().expect("a folder");
    let upstream = Upstream::start().await;
    let server = server(&upstream, secrets.path()).start();
    let admin = Client::of(server.address).header("authorization", &format!("Bearer {}", ADMIN.value));
    let definition = |name: Value| json!({"pipeline": [{"stage": "llm", "config": {"primary": {"provider": "up", "model": "m", "secret_key_name": name}}}]});
    for name in ["../credentials/KEY_CREDENTIAL", "/etc/hostname", ".."] {
        let answer = admin.put("/api/v1/gateway/apis/climber/pipeline", &definition(json!(name))).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["param"]), (400, &json!("pipeline[0].config.primary.secret_key_name")));
    }
    assert!(upstream.requests().is_empty());
}
