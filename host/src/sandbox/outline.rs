//! What a component imports, exports and fills its memories with, read from its bytes without compiling them.
//! Reading takes time in proportion to the bytes and memory that does not depend on them. Whether the component is valid is not
//! asked; the compiler does that.

use std::collections::BTreeMap;

use wasmparser::{ConstExpr, DataKind, DataSectionReader, ElementItems, ElementKind, Operator, Parser, Payload, TableInit};

/// Imports or exports of one component; a world of ours and all of WASI have some dozens.
const NAMES_MAX: usize = 1_000;
/// Modules and components inside each other; tools make two or three.
const DEPTH_MAX: usize = 100;
/// Memories or tables of one module that WebAssembly's tools take.
const INDEX_MAX: u32 = 100;
/// Up to this size the compiler writes a memory's image out with all its gaps, as `engine.rs` tells it to; a larger one only if it is dense.
pub(super) const DENSE_IMAGE_BYTES: u64 = 64 << 20;
/// Elements up to which the compiler writes a table out with all its gaps, and the bytes that each takes at most.
const TABLE_ELEMENTS: u64 = 1 << 20;
const ELEMENT_BYTES: u64 = 8;

/// One component.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    pub(super) imports: Vec<&'a str>,
    pub(super) exports: Vec<&'a str>,
    /// Bytes that all modules' initial memories and tables come to in compiled code, gaps included: some bytes of a module can ask for
    /// megabytes there.
    pub(super) image_bytes: u64,
}

/// The extents of one module's memories and tables.
#[derive(Default)]
struct Module {
    memories: BTreeMap<u32, Extent>,
    tables: BTreeMap<u32, u64>,
    tables_declared: u32,
}

struct Extent {
    first: u64,
    end: u64,
    data: u64,
}

impl<'a> Outline<'a> {
    /// # Errors
    /// Why the bytes cannot be read.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let (mut outline, mut module, mut depth) = (Self::default(), Module::default(), 0_usize);
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(said)? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(format!("more than {DEPTH_MAX} components lie inside each other"));
                    }
                    module = Module::default();
                }
                Payload::End(_) => {
                    outline.image_bytes = outline.image_bytes.saturating_add(std::mem::take(&mut module).image_bytes());
                    depth = depth.saturating_sub(1);
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        named(&mut outline.imports, import.map_err(said)?.name.name, "imports")?;
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        named(&mut outline.exports, export.map_err(said)?.name.name, "exports")?;
                    }
                }
                Payload::DataSection(section) => module.data(section).map_err(said)?,
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        if let wasmparser::TypeRef::Table(_) = import.map_err(said)?.ty {
                            module.tables_declared = module.tables_declared.saturating_add(1);
                        }
                    }
                }
                Payload::TableSection(section) => {
                    for table in section {
                        let table = table.map_err(said)?;
                        let filled = if let TableInit::Expr(_) = table.init { table.ty.initial } else { 0 };
                        module.table(module.tables_declared, filled);
                        module.tables_declared = module.tables_declared.saturating_add(1);
                    }
                }
                Payload::ElementSection(section) => {
                    for element in section {
                        let element = element.map_err(said)?;
                        let ElementKind::Active { table_index, offset_expr } = element.kind else { continue };
                        let count = match element.items {
                            ElementItems::Functions(items) => items.count(),
                            ElementItems::Expressions(_, items) => items.count(),
                        };
                        if let Some(offset) = constant(&offset_expr) {
                            module.table(table_index.unwrap_or(0), offset.saturating_add(count.into()));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(outline)
    }
}

impl Module {
    fn data(&mut self, section: DataSectionReader<'_>) -> wasmparser::Result<()> {
        for segment in section {
            let segment = segment?;
            let DataKind::Active { memory_index, offset_expr } = segment.kind else { continue };
            // An offset that is only known when the module runs makes no image; neither do no bytes.
            let Some(first) = constant(&offset_expr).filter(|_| memory_index < INDEX_MAX && !segment.data.is_empty()) else { continue };
            let bytes = segment.data.len() as u64;
            let extent = self.memories.entry(memory_index).or_insert(Extent { first, end: first, data: 0 });
            extent.first = extent.first.min(first);
            extent.end = extent.end.max(first + bytes);
            extent.data += bytes;
        }
        Ok(())
    }

    fn table(&mut self, index: u32, end: u64) {
        if index < INDEX_MAX && end <= TABLE_ELEMENTS {
            let known = self.tables.entry(index).or_default();
            *known = end.max(*known);
        }
    }

    fn image_bytes(self) -> u64 {
        let memories = self.memories.values().map(|extent| {
            let span = extent.end - extent.first;
            if span < DENSE_IMAGE_BYTES || span < extent.data.saturating_mul(2) { span } else { extent.data }
        });
        memories.chain(self.tables.values().map(|elements| elements * ELEMENT_BYTES)).fold(0, u64::saturating_add)
    }
}

/// The one constant that an expression consists of.
fn constant(offset: &ConstExpr<'_>) -> Option<u64> {
    match offset.get_operators_reader().read() {
        Ok(Operator::I32Const { value }) => Some(value.cast_unsigned().into()),
        _ => None,
    }
}

fn named<'a>(names: &mut Vec<&'a str>, name: &'a str, what: &str) -> Result<(), String> {
    names.push(name);
    if names.len() > NAMES_MAX { Err(format!("it has more than {NAMES_MAX} {what}")) } else { Ok(()) }
}

fn said(error: wasmparser::BinaryReaderError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image_bytes(text: &str) -> u64 {
        Outline::read(&wat::parse_str(text).expect("WebAssembly text")).expect("it can be read").image_bytes
    }

    #[test]
    fn imports_and_exports_are_those_of_the_outermost_component() {
        let text = r#"(component
            (import "a" (instance))
            (component (import "inner" (func)) (export "inner-out" (func 0)))
            (instance $empty)
            (export "b:c/d@0.1.0" (instance $empty)))"#;
        let bytes = wat::parse_str(text).expect("WebAssembly text");
        let outline = Outline::read(&bytes).expect("it can be read");
        assert_eq!((outline.imports, outline.exports), (vec!["a"], vec!["b:c/d@0.1.0"]));
    }

    #[test]
    fn gaps_between_data_count_in_every_module_that_is_never_run_too() {
        let sparse = r#"(core module (memory 1024) (data (i32.const 0) "a") (data (i32.const 1000) "b"))"#;
        assert_eq!(image_bytes(&format!("(component {sparse})")), 1_001);
        assert_eq!(image_bytes(&format!("(component {sparse} (component {sparse}) {sparse})")), 3 * 1_001);
        let far =
            |offset: u64| format!(r#"(component (core module (memory 2048) (data (i32.const 0) "a") (data (i32.const {offset}) "b")))"#);
        assert_eq!(image_bytes(&far(DENSE_IMAGE_BYTES - 2)), DENSE_IMAGE_BYTES - 1);
        assert_eq!(image_bytes(&far(DENSE_IMAGE_BYTES - 1)), 2, "from here on the compiler keeps the pieces");
        let moved = r#"(component (core module (import "" "g" (global i32)) (memory 1) (data (global.get 0) "a")))"#;
        assert_eq!(image_bytes(moved), 0);
        let passive = r#"(component (core module (memory 1) (data "a")))"#;
        assert_eq!(image_bytes(passive), 0);
    }

    #[test]
    fn gaps_between_elements_of_a_table_count_as_well() {
        let table = |offset: u64| format!("(component (core module (table 1048576 funcref) (func) (elem (i32.const {offset}) func 0)))");
        assert_eq!(image_bytes(&table(999)), 8_000);
        assert_eq!(image_bytes(&table(TABLE_ELEMENTS - 1)), TABLE_ELEMENTS * ELEMENT_BYTES);
        assert_eq!(image_bytes("(component (core module (func $f) (elem declare func $f) (table 500 funcref (ref.func $f))))"), 4_000);
    }

    #[test]
    fn what_is_too_deep_or_has_too_many_names_is_refused() {
        // Deeper than the text format may be: section 4 holds the component inside, after its length in sevens of bits.
        let header = *b"\0asm\x0d\0\x01\0";
        let nested = |depth: usize| {
            (0..depth).fold(header.to_vec(), |inside, _| {
                let length = [inside.len() % 128 + 128, inside.len() / 128].map(|seven| u8::try_from(seven).expect("less than 16 KiB"));
                [&header[..], &[4], &length, &inside].concat()
            })
        };
        assert!(Outline::read(&nested(DEPTH_MAX)).is_ok());
        assert!(Outline::read(&nested(DEPTH_MAX + 1)).is_err_and(|why| why.contains("inside each other")));
        let read = |text: &str| Outline::read(&wat::parse_str(text).expect("WebAssembly text")).map(|outline| outline.imports.len());
        let importing =
            |count: usize| format!("(component {})", (0..count).map(|i| format!("(import \"a{i}\" (func))")).collect::<String>());
        assert_eq!(read(&importing(NAMES_MAX)), Ok(NAMES_MAX));
        assert!(read(&importing(NAMES_MAX + 1)).is_err_and(|why| why.contains("imports")));
    }

    #[test]
    fn bytes_that_end_early_are_an_error() {
        let whole = wat::parse_str(r#"(component (core module (memory 1) (data (i32.const 0) "abc")))"#).expect("WebAssembly text");
        for end in 9..whole.len() {
            // Cut between two sections it is whole, only another component.
            let _ = Outline::read(&whole[..end]);
        }
        assert!(Outline::read(&whole[..whole.len() - 2]).is_err_and(|why| why.contains("unexpected end")));
    }
}
