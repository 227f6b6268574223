//! Files that are made to harm: each ends in a clear error within its limits, or gives its text, and the server goes on with the memory it had.

use bytes::Bytes;
use serde_json::json;

use super::{UPLOAD, form, found, house, message, part, upload};
use crate::client::{Answer, Client};
use crate::files::{self, Pdf};
use crate::memory::resident;
use crate::server::{PATIENCE, Server};

/// How much of the server's memory may stay with it: its allocator keeps something for the next ones.
const MAY_STAY: usize = 24 << 20;

/// What keeps a parser busy for long: its time grows with the square of this.
pub(super) fn slow() -> Vec<u8> {
    [b"<html>", &b"<b><i><a href=x>x</a>".repeat(60_000)[..]].concat()
}

/// Uploads a file to a server of its own, and looks at how the server is afterwards.
async fn tried(limits: &str, name: &str, bytes: &[u8]) -> Answer {
    let (server, client) = house(limits);
    upload(&client, "before.md", b"# Calm\n\nThe sea is calm.").await.ok();
    let before = resident(&server);
    let answer = upload(&client, name, bytes).await;
    assert!(!answer.status.is_server_error(), "{name}: {answer:?}");
    if answer.status.is_client_error() {
        assert!(message(&answer).contains(&format!("`{name}`")), "{answer:?}");
    }
    upload(&client, "after.md", b"# Storm\n\nA storm is coming.").await.ok();
    assert!(found(&client, "Is a storm coming?").await[0]["text"].as_str().is_some_and(|text| text.contains("storm is coming")));
    childless(&server).await;
    let given_back = async {
        while resident(&server) > before + MAY_STAY {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, given_back).await;
    assert!(waited.is_ok(), "{name}: {before} bytes before it, {} a minute after", resident(&server));
    answer
}

/// Whether a process of the server's reads something.
fn has_child(server: &Server) -> bool {
    let parent = server.id().to_string();
    let processes = std::fs::read_dir("/proc").expect("Linux has it").flatten();
    processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok()).any(|stat| {
        // Behind the name, which may hold anything: the state and the parent.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.next().is_some_and(|state| state != "Z") && fields.next() == Some(&parent)
    })
}

async fn childless(server: &Server) {
    let gone = async {
        while has_child(server) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("no process is left behind");
}

#[track_caller]
fn refused(answer: &Answer, codes: &[&str]) {
    let error = &answer.json()["error"];
    assert!(error["code"].as_str().is_some_and(|code| codes.contains(&code)), "{error}");
}

#[tokio::test]
async fn a_stream_of_a_pdf_that_inflates_to_a_gigabyte_is_contained() {
    let bomb = files::deflated(b' ', 1 << 30);
    let mut pdf = Pdf::of_one_page("");
    pdf.add_stream("/Filter /FlateDecode", &bomb);
    refused(&tried("extract_memory = \"256MiB\"", "flate.pdf", &pdf.finish()).await, &["unreadable_document", "knowledge_too_large"]);
    let twice = {
        use std::io::Write as _;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&bomb).expect("memory");
        encoder.finish().expect("memory")
    };
    let mut pdf = Pdf::of_one_page("");
    pdf.add_stream("/Filter [ /FlateDecode /FlateDecode ]", &twice);
    refused(&tried("extract_memory = \"256MiB\"", "twice.pdf", &pdf.finish()).await, &["unreadable_document", "knowledge_too_large"]);
}

#[tokio::test]
async fn an_archive_that_unpacks_to_a_gigabyte_is_refused_by_what_it_says_and_by_what_it_does() {
    let blank = vec![b' '; 1 << 28];
    let document = [b"<w:document><w:body>", &blank[..], b"</w:body></w:document>"].concat();
    let docx = files::docx_of(std::str::from_utf8(&document).expect("ASCII"));
    refused(&tried("", "bomb.docx", &docx).await, &["knowledge_too_large"]);
    // The same, but it says that it unpacks to a kilobyte.
    let size = u32::try_from(document.len()).expect("it fits").to_le_bytes();
    let mut lying = docx;
    while let Some(at) = lying.windows(4).position(|bytes| bytes == size) {
        lying[at..at + 4].copy_from_slice(&1024_u32.to_le_bytes());
    }
    refused(
        &tried("extract_memory = \"128MiB\"", "lying.docx", &lying).await,
        &["unreadable_document", "knowledge_too_large", "empty_document"],
    );
}

#[tokio::test]
async fn what_is_nested_two_hundred_thousand_deep_overflows_no_stack_of_ours() {
    const DEEP: usize = 200_000;
    let pdf = |open: &str, close: &str| {
        let mut pdf = Pdf::of_one_page(&format!("/Deep {}{}", open.repeat(DEEP), close.repeat(DEEP)));
        pdf.add_stream("", b"BT /F1 12 Tf 72 700 Td (Some words.) Tj ET");
        pdf.finish()
    };
    tried("", "array.pdf", &pdf("[", "]")).await;
    tried("", "dictionary.pdf", &pdf("<</A ", ">>")).await;
    let xml = "<w:p>".repeat(DEEP) + "text" + &"</w:p>".repeat(DEEP);
    tried("", "deep.docx", &files::docx(&xml)).await;
    let tables = "<w:tbl><w:tr><w:tc>".repeat(20_000) + &files::paragraph("text");
    tried("", "tables.docx", &files::docx(&tables)).await;
    tried("extract_time = \"5s\"", "deep.html", format!("<html>{}text", "<div>".repeat(DEEP)).as_bytes()).await;
    refused(&tried("", "deep.json", "[".repeat(DEEP).as_bytes()).await, &["unreadable_document"]);
    tried("", "deep.md", ">".repeat(DEEP).as_bytes()).await;
}

#[tokio::test]
async fn what_refers_to_itself_ends() {
    let mut form = Pdf::of_one_page("/XObject << /Fm0 5 0 R >>");
    form.add_stream("", b"BT /F1 12 Tf 72 700 Td (Some words.) Tj ET /Fm0 Do");
    form.add_stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /Fm0 5 0 R >> >>", b"/Fm0 Do /Fm0 Do");
    tried("extract_time = \"10s\"", "form.pdf", &form.finish()).await;
    let mut pages = Pdf::default();
    pages.add("<< /Type /Catalog /Pages 2 0 R >>").add("<< /Type /Pages /Kids [ 2 0 R 2 0 R ] /Parent 2 0 R /Count 2 >>");
    tried("extract_time = \"10s\"", "pages.pdf", &pages.finish()).await;
    let mut length = Pdf::of_one_page("");
    length.add("<< /Length 4 0 R >>\nstream\nBT (x) Tj ET\nendstream");
    tried("extract_time = \"10s\"", "length.pdf", &length.finish()).await;
}

#[tokio::test]
async fn entities_that_multiply_are_not_expanded() {
    let mut entities = String::from("<!ENTITY a0 \"lol lol lol lol lol\">");
    for n in 1..12 {
        entities += &format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10));
    }
    let body = files::paragraph("Some words &a11; and more.");
    let word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
    let document =
        format!(r#"<?xml version="1.0"?><!DOCTYPE d [{entities}]><w:document xmlns:w="{word}"><w:body>{body}</w:body></w:document>"#);
    tried("", "laughs.docx", &files::docx_of(&document)).await;
    let outside = r#"<!DOCTYPE d [<!ENTITY secret SYSTEM "file:///etc/passwd">]>"#;
    let document = format!(
        r#"<?xml version="1.0"?>{outside}<w:document xmlns:w="{word}"><w:body>{}</w:body></w:document>"#,
        files::paragraph("It is &secret;.")
    );
    let answer = tried("", "outside.docx", &files::docx_of(&document)).await;
    assert!(!answer.text().contains("root:"));
}

#[tokio::test]
async fn a_million_empty_pages_are_too_many() {
    let mut pdf = Pdf::default();
    pdf.add("<< /Type /Catalog /Pages 2 0 R >>");
    pdf.add(&format!("<< /Type /Pages /Kids [ {}] /Count 1000000 >>", "3 0 R ".repeat(1_000_000)));
    pdf.add("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>");
    let answer = tried("", "million.pdf", &pdf.finish()).await;
    refused(&answer, &["knowledge_too_large", "empty_document", "unreadable_document"]);
}

#[tokio::test]
async fn what_is_encrypted_says_so() {
    let mut pdf = Pdf::of_one_page("");
    pdf.add_stream("", b"\x01\x02\x03\x04");
    let word = "00112233445566778899aabbccddeeff".repeat(2);
    pdf.add(&format!("<< /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <{word}> /U <{word}> >>"));
    pdf.trailer("/Encrypt 5 0 R /ID [ <00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff> ]");
    refused(&tried("", "locked.pdf", &pdf.finish()).await, &["encrypted_document"]);
    refused(&tried("", "locked.docx", &files::compound("EncryptedPackage")).await, &["encrypted_document"]);
    refused(&tried("", "old.doc", &files::compound("WordDocument")).await, &["unsupported_document", "unreadable_document"]);
}

#[tokio::test]
async fn what_is_cut_off_is_refused_or_gives_what_is_there() {
    let pdf = Pdf::of_pages(&["The first page.", "The second page."]);
    let docx = files::docx(&files::paragraph("Some words.").repeat(50));
    for part in [1, 2, 3] {
        tried("", "cut.pdf", &pdf[..pdf.len() * part / 4]).await;
        refused(&tried("", "cut.docx", &docx[..docx.len() * part / 4]).await, &["unreadable_document"]);
    }
    refused(&tried("", "nothing.pdf", b"").await, &["empty_document"]);
    refused(&tried("", "head.pdf", b"%PDF-1.7").await, &["unreadable_document"]);
}

#[tokio::test]
async fn bytes_that_are_no_utf8_are_read_as_what_they_are_or_refused() {
    tried("", "western.txt", b"Caf\xe9 au lait \x96 d\xe9j\xe0 vu").await.ok();
    tried("", "broken.md", "Größe und Maß — überall schön geprüft. ".repeat(9).into_bytes().as_slice()).await.ok();
    let noise: Vec<u8> = (0..9000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    refused(&tried("", "noise.txt", &noise).await, &["unsupported_document"]);
}

#[tokio::test]
async fn a_line_of_a_hundred_megabytes_is_refused_and_not_kept() {
    let server = Server::with("[limits.http]\nupload_bytes = \"128MiB\"\n").start();
    let client = Client::of(server.address);
    upload(&client, "before.txt", b"Some words.").await.ok();
    let before = resident(&server);
    for (name, status) in [("line.txt", 413), ("line.html", 413), ("line.json", 422), ("line.csv", 413)] {
        let refused = upload(&client, name, &vec![b'x'; 100_000_000]).await;
        assert!(refused.status == status && message(&refused).contains(name), "{refused:?}");
    }
    let given_back = async {
        while resident(&server) > before + MAY_STAY {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, given_back).await;
    assert!(waited.is_ok(), "{before} bytes before them, {} a minute after", resident(&server));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_process_that_reads_for_it() {
    let (server, client) = house("");
    let body: Bytes = form(&[part("name=\"file\"; filename=\"slow.html\"", &slow())]);
    let leaves = async {
        while !has_child(&server) {
            tokio::task::yield_now().await;
        }
    };
    let uploading = client.open(hyper::Method::POST, UPLOAD, Some("multipart/form-data; boundary=edge"), body);
    tokio::select! {
        _ = uploading => panic!("it is read for many seconds"),
        begun = tokio::time::timeout(PATIENCE, leaves) => begun.expect("it is read"),
    }
    childless(&server).await;
    assert_eq!(client.get("/healthz").await.status, 200);
    let listed = client.get("/api/v1/gateway/apis/default/knowledge/documents").await;
    assert!(listed.status == 404 || listed.json()["data"] == json!([]), "{listed:?}");
}
