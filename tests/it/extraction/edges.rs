//! Each limit of reading at its edge.

use super::{house, message, upload};
use crate::files::{self, Pdf};

/// Refused for that limit, in words that name the file and the key.
#[track_caller]
fn over(answer: &crate::client::Answer, key: &str) {
    assert_eq!(answer.refused(413), "knowledge_too_large");
    let message = message(answer);
    assert!(message.contains(&format!("limits.rag.{key}")) && message.contains('`'), "{message}");
}

#[tokio::test]
async fn pages_and_slides_are_limited() {
    let (_server, client) = house("pages = 2");
    upload(&client, "two.pdf", &Pdf::of_pages(&["One.", "Two."])).await.ok();
    over(&upload(&client, "three.pdf", &Pdf::of_pages(&["One.", "Two.", "Three."])).await, "pages");
    let slide = ("Title", "text");
    upload(&client, "two.pptx", &files::pptx(&[slide; 2])).await.ok();
    over(&upload(&client, "three.pptx", &files::pptx(&[slide; 3])).await, "pages");
}

#[tokio::test]
async fn the_text_of_a_file_is_limited_wherever_it_comes_from() {
    let (_server, client) = house("document_bytes = 2048");
    let line = "words of some length in one line. ";
    upload(&client, "a.txt", "x".repeat(2048).as_bytes()).await.ok();
    over(&upload(&client, "a.txt", "x".repeat(2049).as_bytes()).await, "document_bytes");
    over(&upload(&client, "a.txt", "x".repeat(9999).as_bytes()).await, "document_bytes");
    // As UTF-16 it is twice as long.
    let wide =
        |count: usize| "\u{feff}".encode_utf16().chain("x".repeat(count).encode_utf16()).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    upload(&client, "wide.txt", &wide(2047)).await.ok();
    over(&upload(&client, "wide.txt", &wide(2049)).await, "document_bytes");
    for (name, bytes) in [
        ("a.docx", files::docx(&files::paragraph(line).repeat(100))),
        ("a.pdf", Pdf::of_pages(&[line; 100])),
        ("a.html", format!("<html>{}", format!("<p>{line}").repeat(100)).into_bytes()),
        ("a.csv", "a,b,c\n".repeat(1000).into_bytes()),
        ("a.json", format!("[{}1]", "\"words\",".repeat(1000)).into_bytes()),
        ("a.jsonl", "{\"a\": \"words\"}\n".repeat(1000).into_bytes()),
        ("a.xlsx", files::xlsx("Sheet", &[&[line, line][..]; 100])),
        ("a.pptx", files::pptx(&[(line, line); 100])),
    ] {
        over(&upload(&client, name, &bytes).await, "document_bytes");
    }
    // Markup does not count.
    upload(&client, "b.html", format!("<html><style>{}</style><p>{line}", "x".repeat(9000)).as_bytes()).await.ok();
}

#[tokio::test]
async fn an_office_file_may_unpack_to_a_multiple_of_its_size() {
    let (_server, client) = house("expansion = 1");
    // Digits that compress to a half, in a remark.
    let digits = |bytes: u32| (0..bytes / 8).map(|n| format!("{:08x}", n.wrapping_mul(2_654_435_761))).collect::<String>();
    let filled = |bytes: u32| files::docx(&format!("{}<!--{}-->", files::paragraph("Some words."), digits(bytes)));
    upload(&client, "small.docx", &filled(3 << 20)).await.ok();
    over(&upload(&client, "large.docx", &filled(5 << 20)).await, "expansion");
}

#[tokio::test]
async fn memory_to_read_a_file_is_limited() {
    let (_server, client) = house("extract_memory = \"64MiB\"");
    upload(&client, "small.html", b"<html><p>Some words.").await.ok();
    over(&upload(&client, "large.html", &[b"<html>", &b"<p>a".repeat(2 << 20)[..]].concat()).await, "extract_memory");
    upload(&client, "small.html", b"<html><p>Some words.").await.ok();
}

#[tokio::test]
async fn time_to_read_a_file_is_limited() {
    let (_server, client) = house("extract_time = \"1s\"");
    over(&upload(&client, "slow.html", &super::hostile::slow()).await, "extract_time");
    upload(&client, "small.html", b"<html><p>Some words.").await.ok();
}
