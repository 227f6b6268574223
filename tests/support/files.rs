//! Files of other programs, made byte by byte, so that a test can make them as wrong as it wants.

use std::fmt::Write as _;
use std::io::Write as _;

use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

/// A PDF file in the making: objects in the order of their numbers.
#[derive(Default)]
pub struct Pdf {
    objects: Vec<Vec<u8>>,
    trailer: String,
}

impl Pdf {
    /// Pages of one line of text each.
    pub fn of_pages(lines: &[&str]) -> Vec<u8> {
        let mut pdf = Self::default();
        let contents: Vec<Vec<u8>> = lines.iter().map(|line| format!("BT /F1 12 Tf 72 700 Td ({line}) Tj ET").into_bytes()).collect();
        pdf.add("<< /Type /Catalog /Pages 2 0 R >>");
        let kids: String = (0..lines.len()).map(|n| format!("{} 0 R ", 4 + 2 * n)).collect();
        pdf.add(&format!("<< /Type /Pages /Kids [ {kids}] /Count {} >>", lines.len()));
        pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
        for (n, content) in contents.iter().enumerate() {
            let stream = 5 + 2 * n;
            pdf.add(&page(&format!("/Resources << /Font << /F1 3 0 R >> >> /Contents {stream} 0 R")));
            pdf.add_stream("", content);
        }
        pdf.finish()
    }

    /// One page with that dictionary beside the usual, whose content is object 4. What `resources` names follows from object 5 on.
    pub fn of_one_page(resources: &str) -> Self {
        let mut pdf = Self::default();
        pdf.add("<< /Type /Catalog /Pages 2 0 R >>");
        pdf.add("<< /Type /Pages /Kids [ 3 0 R ] /Count 1 >>");
        pdf.add(&page(&format!(
            "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> {resources} >> /Contents 4 0 R"
        )));
        pdf
    }

    pub fn add(&mut self, object: &str) -> &mut Self {
        self.objects.push(object.as_bytes().to_vec());
        self
    }

    pub fn add_stream(&mut self, dictionary: &str, bytes: &[u8]) -> &mut Self {
        let head = format!("<< {dictionary} /Length {} >>\nstream\n", bytes.len());
        self.objects.push([head.as_bytes(), bytes, b"\nendstream"].concat());
        self
    }

    pub fn trailer(&mut self, entries: &str) -> &mut Self {
        self.trailer = entries.into();
        self
    }

    pub fn finish(&self) -> Vec<u8> {
        let mut file = b"%PDF-1.7\n".to_vec();
        let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", self.objects.len() + 1);
        for (object, number) in self.objects.iter().zip(1..) {
            writeln!(table, "{:010} 00000 n ", file.len()).expect("memory");
            file.extend(format!("{number} 0 obj\n").into_bytes());
            file.extend(object);
            file.extend(b"\nendobj\n");
        }
        let start = file.len();
        let size = self.objects.len() + 1;
        file.extend(format!("{table}trailer\n<< /Size {size} /Root 1 0 R {} >>\nstartxref\n{start}\n%%EOF\n", self.trailer).into_bytes());
        file
    }
}

fn page(entries: &str) -> String {
    format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {entries} >>")
}

/// So many bytes of that one, compressed by zlib.
pub fn deflated(byte: u8, bytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let piece = vec![byte; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(piece.len());
        encoder.write_all(&piece[..part]).expect("memory");
        left -= part;
    }
    encoder.finish().expect("memory")
}

/// An archive of those members.
pub fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in members {
        archive.start_file(*name, options).expect("a member");
        archive.write_all(bytes).expect("memory");
    }
    archive.finish().expect("memory").into_inner()
}

const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
const WORD: &str = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";

fn content_types(parts: &[(&str, &str)]) -> String {
    let overrides: String = parts
        .iter()
        .map(|(part, kind)| {
            format!(r#"<Override PartName="/{part}" ContentType="application/vnd.openxmlformats-officedocument.{kind}+xml"/>"#)
        })
        .collect();
    format!(
        r#"<?xml version="1.0"?><Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>"#
    )
}

fn relations(targets: &[(&str, &str)]) -> String {
    let all: String = targets
        .iter()
        .zip(1..)
        .map(|((kind, target), n)| format!(r#"<Relationship Id="rId{n}" Type="{OFFICE}/{kind}" Target="{target}"/>"#))
        .collect();
    format!(r#"<?xml version="1.0"?><Relationships xmlns="{PACKAGE}/relationships">{all}</Relationships>"#)
}

/// A DOCX file whose document is that XML.
pub fn docx_of(document: &str) -> Vec<u8> {
    archive(&[
        ("[Content_Types].xml", content_types(&[("word/document.xml", "wordprocessingml.document.main")]).as_bytes()),
        ("_rels/.rels", relations(&[("officeDocument", "word/document.xml")]).as_bytes()),
        ("word/document.xml", document.as_bytes()),
    ])
}

/// A DOCX file with that body.
pub fn docx(body: &str) -> Vec<u8> {
    docx_of(&format!(r#"<?xml version="1.0"?><w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>"#))
}

/// A paragraph of it.
pub fn paragraph(text: &str) -> String {
    format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>")
}

/// An XLSX file of one sheet.
pub fn xlsx(name: &str, rows: &[&[&str]]) -> Vec<u8> {
    let cells = |row: &[&str]| row.iter().map(|text| format!(r#"<c t="inlineStr"><is><t>{text}</t></is></c>"#)).collect::<String>();
    let rows: String = rows.iter().zip(1..).map(|(row, n)| format!(r#"<row r="{n}">{}</row>"#, cells(row))).collect();
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let kinds = [("xl/workbook.xml", "spreadsheetml.sheet.main"), ("xl/worksheets/sheet1.xml", "spreadsheetml.worksheet")];
    archive(&[
        ("[Content_Types].xml", content_types(&kinds).as_bytes()),
        ("_rels/.rels", relations(&[("officeDocument", "xl/workbook.xml")]).as_bytes()),
        (
            "xl/workbook.xml",
            format!(
                r#"<workbook xmlns="{main}" xmlns:r="{OFFICE}"><sheets><sheet name="{name}" sheetId="1" r:id="rId1"/></sheets></workbook>"#
            )
            .as_bytes(),
        ),
        ("xl/_rels/workbook.xml.rels", relations(&[("worksheet", "worksheets/sheet1.xml")]).as_bytes()),
        ("xl/worksheets/sheet1.xml", format!(r#"<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>"#).as_bytes()),
    ])
}

/// A PPTX file of slides with a title and a line each.
pub fn pptx(slides: &[(&str, &str)]) -> Vec<u8> {
    let (main, drawing) =
        ("http://schemas.openxmlformats.org/presentationml/2006/main", "http://schemas.openxmlformats.org/drawingml/2006/main");
    let paths: Vec<String> = (1..=slides.len()).map(|n| format!("ppt/slides/slide{n}.xml")).collect();
    let mut kinds = vec![("ppt/presentation.xml", "presentationml.presentation.main")];
    kinds.extend(paths.iter().map(|path| (path.as_str(), "presentationml.slide")));
    let ids: String = (1..=slides.len()).map(|n| format!(r#"<p:sldId id="{}" r:id="rId{n}"/>"#, 255 + n)).collect();
    let targets: Vec<(&str, &str)> = paths.iter().map(|path| ("slide", path.trim_start_matches("ppt/"))).collect();
    let shape = |kind: &str, text: &str| {
        format!(
            r#"<p:sp><p:nvSpPr><p:cNvPr id="2" name="x"/><p:cNvSpPr/><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:spPr/><p:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"#
        )
    };
    let mut members = vec![
        ("[Content_Types].xml".to_owned(), content_types(&kinds)),
        ("_rels/.rels".into(), relations(&[("officeDocument", "ppt/presentation.xml")])),
        (
            "ppt/presentation.xml".into(),
            format!(r#"<p:presentation xmlns:p="{main}" xmlns:r="{OFFICE}"><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"#),
        ),
        ("ppt/_rels/presentation.xml.rels".into(), relations(&targets)),
    ];
    for (path, (title, line)) in paths.iter().zip(slides) {
        let shapes = shape("title", title) + &shape("body", line);
        let slide = format!(r#"<p:sld xmlns:p="{main}" xmlns:a="{drawing}"><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"#);
        members.push((path.clone(), slide));
    }
    let members: Vec<(&str, &[u8])> = members.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    archive(&members)
}

/// A compound file with one stream of that name, which is what Office makes of a document with a password.
pub fn compound(stream: &str) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..8].copy_from_slice(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]);
    header[24..30].copy_from_slice(&[0x3e, 0, 3, 0, 0xfe, 0xff]);
    header[30..34].copy_from_slice(&[9, 0, 6, 0]);
    header[44..48].copy_from_slice(&1_u32.to_le_bytes());
    header[48..52].copy_from_slice(&1_u32.to_le_bytes());
    header[56..60].copy_from_slice(&4096_u32.to_le_bytes());
    header[60..64].copy_from_slice(&0xffff_fffe_u32.to_le_bytes());
    header[68..72].copy_from_slice(&0xffff_fffe_u32.to_le_bytes());
    header[76..].fill(0xff);
    header[76..80].copy_from_slice(&0_u32.to_le_bytes());
    let mut table = vec![0xff; 512];
    table[..4].copy_from_slice(&0xffff_fffd_u32.to_le_bytes());
    table[4..8].copy_from_slice(&0xffff_fffe_u32.to_le_bytes());
    let entry = |name: &str, kind: u8, child: u32| {
        let mut entry = vec![0; 128];
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        entry[..name.len()].copy_from_slice(&name);
        entry[64..66].copy_from_slice(&(u16::try_from(name.len()).expect("short") + 2).to_le_bytes());
        (entry[66], entry[67]) = (kind, 1);
        entry[68..76].fill(0xff);
        entry[76..80].copy_from_slice(&child.to_le_bytes());
        entry[116..120].copy_from_slice(&0xffff_fffe_u32.to_le_bytes());
        entry
    };
    let none = u32::MAX;
    let mut unused = vec![0; 128];
    unused[68..80].fill(0xff);
    [header, table, entry("Root Entry", 5, 1), entry(stream, 2, none), unused.clone(), unused].concat()
}
