//! Each kind of file by its content, whatever it is called.

use super::{found, house, message, text_of, upload};
use crate::files::{self, Pdf};

const HTML: &str = r#"<!DOCTYPE html><html><head><title>Harbour rules</title><style>p { color: red }</style><script>alert("no")</script></head>
<body><nav><a href="/">Home menu</a></nav><h1>Mooring</h1><p>Boats moor at the <b>north</b> quay.</p>
<table><tr><th>Berth</th><th>Depth</th></tr><tr><td>N7</td><td>4 m</td></tr></table><img src="x.png" alt="A map of the quay"></body></html>"#;

#[tokio::test]
async fn every_kind_is_read_and_found_whatever_it_is_called() {
    let (_server, client) = house("");
    let docx = files::docx(&(files::paragraph("The lighthouse keeper paints the tower every spring.") + &files::paragraph("Second.")));
    let sheet = files::xlsx("Stock", &[&["part", "shelf"], &["gasket", "shelf nine"]]);
    let slides = files::pptx(&[("Opening", "Welcome to the assembly."), ("Budget", "The budget for dredging is forty thousand.")]);
    let pdf = Pdf::of_pages(&["The ferry leaves at seven.", "Dogs travel in the aft cabin."]);
    let western: Vec<u8> = "Der Kühler läuft über den Steg hinaus. Größe: 3 m.".chars().map(|c| c as u8).collect();
    let cases: [(&str, &[u8], &str, &str); 9] = [
        ("a.txt", &pdf, "Where do dogs travel?", "Dogs travel in the aft cabin"),
        ("b.pdf", &docx, "Who paints the lighthouse tower?", "paints the tower every spring"),
        ("c.md", &sheet, "On which shelf is the gasket?", "| gasket | shelf nine |"),
        ("d", &slides, "What is the budget for dredging?", "forty thousand"),
        ("e.txt", HTML.as_bytes(), "Where do boats moor?", "north"),
        ("f.csv", b"town;inhabitants\nPort Ellen;800\n", "How many inhabitants has Port Ellen?", "| Port Ellen | 800 |"),
        ("g.txt", br#"[{"valve": "brass", "pressure": 16}, {"valve": "steel"}]"#, "Which pressure has the brass valve?", "pressure: 16"),
        ("h.jsonl", b"{\"crane\": \"lifts ten tons\"}\n{\"crane\": \"red\"}\n", "What does the crane lift?", "crane: lifts ten tons"),
        ("i.txt", &western, "Wie groß ist der Kühler?", "Größe: 3 m"),
    ];
    for (name, bytes, question, expected) in cases {
        upload(&client, name, bytes).await.ok();
        let text = text_of(&client, name, question).await;
        assert!(text.contains(expected), "{name}: {text:?}");
    }
}

#[tokio::test]
async fn scripts_styles_and_menus_of_a_page_are_left_out_and_tables_keep_their_header() {
    let (_server, client) = house("");
    upload(&client, "page.html", HTML.as_bytes()).await.ok();
    let all: String = found(&client, "Berth N7 depth").await.iter().map(|hit| hit["text"].to_string()).collect();
    assert!(all.contains("# Mooring") && all.contains("| Berth | Depth |") && all.contains("A map of the quay"), "{all}");
    for gone in ["alert", "color", "Home menu", "x.png"] {
        assert!(!all.contains(gone), "{gone}: {all}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_what_it_is() {
    let (_server, client) = house("");
    let picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let scan = {
        let mut pdf = Pdf::of_one_page("/XObject << /Im0 5 0 R >>");
        pdf.add_stream("", b"q 612 0 0 792 0 0 cm /Im0 Do Q");
        pdf.add_stream("/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8", b"\x80");
        pdf.finish()
    };
    let cases: [(&str, &[u8], u16, &str, &str); 9] = [
        ("a.pdf", picture, 415, "unsupported_document", "a picture"),
        ("a.txt", b"\x00\x01\x02\x03\xff\xfe\xfd\x00\x00\x9c", 415, "unsupported_document", "not a text"),
        ("a.docx", &files::archive(&[("a.txt", b"text")]), 415, "unsupported_document", "a ZIP archive"),
        ("a.rtf", b"{\\rtf1 text}", 415, "unsupported_document", "Rich Text"),
        ("a.pdf", b"", 422, "empty_document", "holds no text"),
        ("a.md", b" \r\n\t", 422, "empty_document", "holds no text"),
        ("a.docx", &files::docx(""), 422, "empty_document", "holds no text"),
        ("a.pdf", &scan, 422, "scanned_document", "OCR"),
        ("a.json", b"{\"a\": [1, 2", 422, "unreadable_document", "EOF"),
    ];
    for (name, bytes, status, code, part) in cases {
        let refused = upload(&client, name, bytes).await;
        assert_eq!(refused.refused(status), code, "{refused:?}");
        let message = message(&refused);
        assert!(message.contains(part) && message.contains(&format!("`{name}`")), "{message}");
    }
}
