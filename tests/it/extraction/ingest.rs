//! `cofferdam ingest`: folders go to a server, and what was refused is told.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{found, house};
use crate::files::Pdf;

/// Runs the command off the test's own threads, because the server is asked meanwhile.
async fn ingest(address: &str, arguments: Vec<String>) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    command.arg("ingest").args(["--url", address]).args(arguments).stdin(Stdio::null()).env_remove("COFFERDAM_KEY");
    let ran = tokio::task::spawn_blocking(move || command.output().expect("it starts"));
    let Output { status, stdout, stderr } = ran.await.expect("it ends");
    (status.code(), String::from_utf8(stdout).expect("UTF-8"), String::from_utf8(stderr).expect("UTF-8"))
}

fn written(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, bytes).expect("written");
}

#[tokio::test]
async fn a_folder_is_uploaded_and_what_is_refused_is_told() {
    // It waits for what it uploads, however large it is.
    let (server, client) = house("[limits.http]\nbackground_bytes = 0");
    let folder = tempfile::tempdir().expect("a folder");
    let book = folder.path().join("book");
    written(&book, "one.md", b"# Tides\n\nHigh tide is at noon.");
    written(&book, "deep/two.pdf", &Pdf::of_pages(&["The buoy is red."]));
    written(&book, ".secret", b"hidden words");
    let (url, path) = (format!("http://{}", server.address), book.to_string_lossy().into_owned());
    let (code, told, errors) = ingest(&url, vec![path.clone()]).await;
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{told}");
    assert!(told.contains("2 files stored") && told.contains("0 refused, 1 left out"), "{told}");
    let sources: Vec<_> = found(&client, "What colour has the buoy?").await.iter().map(|hit| hit["source"].to_string()).collect();
    assert!(sources.contains(&"\"book/deep/two.pdf\"".into()) && sources.contains(&"\"book/one.md\"".into()), "{sources:?}");
    written(&book, "picture.pdf", b"\x89PNG\r\n\x1a\n");
    written(&book, "one.md", b"# Tides\n\nHigh tide is at two.");
    let (code, told, errors) = ingest(&url, vec![path]).await;
    assert_eq!((code, errors.as_str()), (Some(1), ""), "{told}");
    assert!(
        told.contains("refused: book/picture.pdf: `book/picture.pdf` is a picture")
            && told.contains("1 files stored in 1 chunks, 1 of them in place of earlier ones; 1 unchanged, 1 refused"),
        "{told}"
    );
}

#[tokio::test]
async fn a_server_that_takes_nothing_ends_it_at_once() {
    let (server, _client) = house("");
    let folder = tempfile::tempdir().expect("a folder");
    for n in 0..20 {
        written(folder.path(), &format!("{n}.txt"), b"words");
    }
    let path = folder.path().to_string_lossy().into_owned();
    let (code, told, errors) = ingest(&format!("http://{}", server.address), vec![path.clone(), "--api".into(), "nobody".into()]).await;
    assert_eq!((code, told.as_str(), errors.lines().count()), (Some(1), "", 1), "{errors}");
    assert!(errors.contains("there is no API `nobody`"), "{errors}");
    let (code, _, errors) = ingest("http://127.0.0.1:1", vec![path]).await;
    assert!(code == Some(1) && errors.contains("cannot be reached"), "{errors}");
}
