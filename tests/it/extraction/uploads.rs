//! What the upload route takes and answers.

use std::io::Write as _;

use hyper::Method;
use serde_json::json;

use super::{UPLOAD, form, found, house, message, part, upload, upload_form};
use crate::client::Client;
use crate::files::Pdf;

fn file(name: &str, bytes: &[u8]) -> Vec<u8> {
    part(&format!("name=\"file\"; filename=\"{name}\""), bytes)
}

#[tokio::test]
async fn one_refused_file_does_not_undo_the_others() {
    let (_server, client) = house("");
    let body = form(&[
        file("one.txt", b"One is here."),
        file("void.txt", b""),
        file("two.pdf", &Pdf::of_pages(&["Two is here."])),
        file("x.pdf", b"\x7fELF"),
    ]);
    let answer = upload_form(&client, body).await;
    assert_eq!((answer.status.as_u16(), answer.refused(422).as_str()), (422, "empty_document"));
    let all = answer.json();
    let names = |key: &str| {
        all[key].as_array().expect("a list").iter().map(|entry| entry["name"].as_str().unwrap_or("-").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names("data"), names("errors")),
        (vec!["one.txt".to_owned(), "two.pdf".into()], vec!["void.txt".to_owned(), "x.pdf".into()])
    );
    assert_eq!((&all["errors"][1]["status"], &all["errors"][1]["error"]["code"]), (&json!(415), &json!("unsupported_document")));
    assert!(message(&answer).contains("2 of 4 files were refused"), "{answer:?}");
    let sources: Vec<_> = found(&client, "One and two").await.iter().map(|hit| hit["source"].clone()).collect();
    assert!(sources.contains(&json!("one.txt")) && sources.contains(&json!("two.pdf")), "{sources:?}");
    // Several files of which none is refused are answered as one is.
    let answer = upload_form(&client, form(&[file("one.txt", b"One."), file("three.txt", b"Three.")])).await.ok().json();
    assert_eq!(
        (&answer["data"][0]["replaced"], &answer["data"][1]["replaced"], &answer["errors"]),
        (&json!(true), &json!(false), &json!(null))
    );
}

#[tokio::test]
async fn the_same_upload_again_changes_nothing_but_what_is_said_of_it() {
    let (_server, client) = house("");
    let again = |metadata: &str| form(&[part("name=\"metadata\"", metadata.as_bytes()), file("gate.txt", b"The gate is closed at night.")]);
    let first = upload_form(&client, again(r#"{"year": 2025}"#)).await.ok().json();
    assert_eq!((&first["data"][0]["unchanged"], &first["data"][0]["replaced"]), (&json!(false), &json!(false)));
    let second = upload_form(&client, again(r#"{"year": 2026}"#)).await.ok().json();
    assert_eq!((&second["data"][0]["unchanged"], &second["data"][0]["replaced"]), (&json!(true), &json!(false)));
    assert_eq!(second["data"][0]["id"], first["data"][0]["id"]);
    let listed = client.get("/api/v1/gateway/apis/default/knowledge/documents").await.ok().json();
    assert_eq!((listed["data"].as_array().map(Vec::len), &listed["data"][0]["metadata"]), (Some(1), &json!({"year": 2026})));
    // The same content under another name is another document.
    let other = upload(&client, "door.txt", b"The gate is closed at night.").await.ok().json();
    assert!(other["data"][0]["unchanged"] == false && other["data"][0]["id"] != first["data"][0]["id"], "{other}");
    assert!(client.get("/metrics").await.text().contains(r#"cofferdam_rag_documents_total{outcome="unchanged"} 1"#));
}

#[tokio::test]
async fn a_compressed_upload_is_read_up_to_its_limit() {
    let server = crate::server::Server::with("[limits.http]\nupload_bytes = \"64KiB\"").start();
    let zipped = Client::of(server.address).header("content-encoding", "gzip");
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("memory");
        bytes::Bytes::from(encoder.finish().expect("memory"))
    };
    upload_form(&zipped, gzip(&form(&[file("a.txt", b"The gate is closed at night.")]))).await.ok();
    let large = form(&[file("a.txt", "word ".repeat(20_000).as_bytes())]);
    let refused = upload_form(&zipped, gzip(&large)).await;
    assert_eq!(refused.refused(413), "body_too_large");
    assert!(refused.text().contains("limits.http.upload_bytes"), "{refused:?}");
    assert_eq!(upload_form(&zipped, form(&[file("a.txt", b"not compressed")])).await.refused(400), "invalid_value");
    let other = Client::of(server.address).header("content-encoding", "br");
    assert_eq!(upload_form(&other, large).await.refused(415), "unsupported_content_encoding");
}

#[tokio::test]
async fn a_document_may_be_given_a_name_that_leads_through_folders() {
    let (_server, client) = house("");
    let named = |name: &str| form(&[part("name=\"name\"", name.as_bytes()), file("a.txt", b"The gate is closed.")]);
    let stored = upload_form(&client, named("notes/2026/gate.txt")).await.ok().json();
    assert_eq!(stored["data"][0]["name"], "notes/2026/gate.txt");
    for name in ["../a", "a//b", "a\u{202e}b", "a\nb", ""] {
        let refused = upload_form(&client, named(name)).await;
        assert_eq!((refused.refused(400).as_str(), &refused.json()["error"]["param"]), ("invalid_value", &json!("name")), "{name:?}");
    }
    let two = form(&[part("name=\"name\"", b"x"), file("a.txt", b"A."), file("b.txt", b"B.")]);
    assert_eq!(upload_form(&client, two).await.refused(400), "invalid_value");
}

#[tokio::test]
async fn names_of_files_lead_nowhere_and_show_what_they_are() {
    let (_server, client) = house("");
    for (given, name) in [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\\\dir\\\\a.txt", "a.txt"),
        ("say \\\"hi\\\".txt", "say \"hi\".txt"),
        ("שלום.txt", "שלום.txt"),
        ("a;b=c.txt", "a;b=c.txt"),
    ] {
        let stored = upload(&client, given, b"Some words.").await.ok().json();
        assert_eq!(stored["data"][0]["name"], name, "{given}");
    }
    for given in ["evil\u{202e}txt.exe", "two\u{2028}lines.txt", "..", "a\u{85}b.txt"] {
        assert_eq!(upload(&client, given, b"Some words.").await.refused(400), "invalid_value", "{given:?}");
    }
    assert_ne!(upload(&client, "two\r\nlines.txt", b"Some words.").await.status, 200);
}

#[tokio::test]
async fn the_upload_of_the_readme_works_as_it_is_printed() {
    let (_server, client) = house("");
    let body = form(&[file("faq.pdf", &Pdf::of_pages(&["The refund policy: money back within thirty days."]))]);
    client.send(Method::POST, UPLOAD, Some("multipart/form-data; boundary=edge"), body).await.ok();
    // curl's `-d` says that a form comes, and it is JSON.
    let question = r#"{"query": "What is the refund policy?"}"#;
    let path = "/api/v1/gateway/apis/default/knowledge/test";
    let answer = client.send(Method::POST, path, Some("application/x-www-form-urlencoded"), question.into()).await;
    assert!(answer.status == 200 && answer.text().contains("thirty days"), "{answer:?}");
}
