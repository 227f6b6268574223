//! What a component may hold of other components, and how much it may copy while it is instantiated. Both are work of the host's that no fuel
//! pays for and nothing interrupts: a string that one component inside a file hands to another is copied, and perhaps re-encoded, in one go.
//! So no function of a component's own may be called through the component model from inside it. Read from the bytes, before they are compiled.

use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, DataKind,
    ElementItems, ElementKind, Instance, Parser, Payload,
};

/// Bytes that instantiation may write into memories and tables: several times what a Python component needs. At this size it takes some tens
/// of milliseconds.
const INITIAL_BYTES_MAX: u64 = 64 << 20;
/// What an element of a table counts as.
const ELEMENT_BYTES: u64 = 16;
/// What an import, a global or a segment counts as, however short it is.
const ENTRY_BYTES: u64 = 64;

/// Checks the bytes of a component. What cannot be read is left to the compiler, which says more about it.
///
/// # Errors
/// A sentence for the plugin's author: what it holds and what to do.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut within = vec![Part::Root];
    let mut root = Root::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { return Ok(()) };
        let part = *within.last().unwrap_or(&Part::Root);
        match payload {
            Payload::ModuleSection { .. } => {
                root.reading = 0;
                within.push(if part == Part::Root { Part::Module } else { Part::InnerModule });
            }
            Payload::ComponentSection { .. } if part == Part::Root => within.push(Part::Inner),
            Payload::ComponentSection { .. } => return Err(composed()),
            Payload::End(_) => {
                root.module_ended(part);
                within.pop();
            }
            payload if part == Part::Root => root.read(payload)?,
            payload if matches!(part, Part::Module | Part::InnerModule) => root.initial_bytes(payload),
            Payload::InstanceSection(_) | Payload::ComponentInstanceSection(_) | Payload::ComponentCanonicalSection(_) => {
                return Err(composed());
            }
            _ => {}
        }
    }
    if root.initial_bytes > INITIAL_BYTES_MAX {
        return Err(format!(
            "instantiating it copies {} bytes into its memories and tables, and {INITIAL_BYTES_MAX} are allowed; \
             a module of its own memory is not copied, so give its data to the module that defines the memory",
            root.initial_bytes
        ));
    }
    Ok(())
}

fn composed() -> String {
    "it is composed of components that call each other, and what they hand each other is copied outside all limits; \
     link its parts into one component (`wasm-tools component link` for modules), or deploy each part as a plugin of its own: \
     a pipeline runs several in order"
        .into()
}

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The component itself.
    Root,
    /// A module of it.
    Module,
    /// A module of a component inside it.
    InnerModule,
    /// A component inside it. The ones that tools make only name again what they are given.
    Inner,
}

/// The index spaces of the component, as far as they matter.
#[derive(Default)]
struct Root {
    /// Whether a function is the host's.
    functions: Vec<bool>,
    /// Whether an instance is the host's.
    instances: Vec<bool>,
    /// What instantiating a module copies.
    modules: Vec<u64>,
    /// What the module that is being read copies.
    reading: u64,
    /// What the largest of all modules so far copies, also of those inside components. It stands for a module that comes out of an instance or
    /// from outside, for that may be any of them.
    largest: u64,
    /// What instantiating the component copies.
    initial_bytes: u64,
}

impl Root {
    fn module_ended(&mut self, part: Part) {
        if part == Part::Module {
            self.modules.push(self.reading);
        }
        if matches!(part, Part::Module | Part::InnerModule) {
            self.largest = self.largest.max(self.reading);
        }
    }

    /// One section of the component itself; a part of it that cannot be read is left out, as the rest is.
    fn read(&mut self, payload: Payload<'_>) -> Result<(), String> {
        match payload {
            Payload::ComponentImportSection(imports) => {
                for import in imports.into_iter().flatten() {
                    match import.ty {
                        ComponentTypeRef::Func(_) => self.functions.push(true),
                        ComponentTypeRef::Instance(_) => self.instances.push(true),
                        ComponentTypeRef::Module(_) => self.modules.push(self.largest),
                        _ => {}
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => aliases.into_iter().flatten().for_each(|alias| self.alias(&alias)),
            Payload::ComponentInstanceSection(instances) => {
                // Its exports are what it was given, the component's own functions perhaps among them.
                self.instances.extend(instances.into_iter().flatten().map(|_: ComponentInstance<'_>| false));
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.into_iter().flatten() {
                    match export.kind {
                        ComponentExternalKind::Func => self.functions.push(at(&self.functions, export.index)),
                        ComponentExternalKind::Instance => self.instances.push(at(&self.instances, export.index)),
                        ComponentExternalKind::Module => self.modules.push(at(&self.modules, export.index)),
                        _ => {}
                    }
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions.into_iter().flatten() {
                    match function {
                        CanonicalFunction::Lift { .. } => self.functions.push(false),
                        CanonicalFunction::Lower { func_index, .. } if !at(&self.functions, func_index) => return Err(composed()),
                        _ => {}
                    }
                }
            }
            Payload::InstanceSection(instances) => {
                for instance in instances.into_iter().flatten() {
                    if let Instance::Instantiate { module_index, .. } = instance {
                        self.initial_bytes = self.initial_bytes.saturating_add(at(&self.modules, module_index));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match alias {
            ComponentAlias::InstanceExport { kind, instance_index, .. } => {
                let hosts = at(&self.instances, *instance_index);
                match kind {
                    ComponentExternalKind::Func => self.functions.push(hosts),
                    ComponentExternalKind::Instance => self.instances.push(hosts),
                    ComponentExternalKind::Module => self.modules.push(self.largest),
                    _ => {}
                }
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, index, .. } => self.modules.push(at(&self.modules, *index)),
            _ => {}
        }
    }

    /// Adds what a section of the newest module has to be copied.
    fn initial_bytes(&mut self, payload: Payload<'_>) {
        let entries = match &payload {
            Payload::ImportSection(imports) => imports.count(),
            Payload::GlobalSection(globals) => globals.count(),
            Payload::DataSection(segments) => segments.count(),
            Payload::ElementSection(segments) => segments.count(),
            _ => 0,
        };
        let bytes = match payload {
            Payload::DataSection(segments) => {
                let active = segments.into_iter().flatten().filter(|segment| matches!(segment.kind, DataKind::Active { .. }));
                active.map(|segment| segment.data.len() as u64).sum::<u64>()
            }
            Payload::ElementSection(segments) => {
                let active = segments.into_iter().flatten().filter(|segment| matches!(segment.kind, ElementKind::Active { .. }));
                let count = |items| match items {
                    ElementItems::Functions(items) => items.count(),
                    ElementItems::Expressions(_, items) => items.count(),
                };
                active.map(|segment| u64::from(count(segment.items)) * ELEMENT_BYTES).sum()
            }
            _ => 0,
        };
        self.reading = self.reading.saturating_add(bytes).saturating_add(u64::from(entries) * ENTRY_BYTES);
    }
}

/// What is out of range is nobody's; the compiler refuses it.
fn at<T: Copy + Default>(space: &[T], index: u32) -> T {
    space.get(index as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = r#"(core module $m (memory (export "m") 1) (func (export "f")) (func (export "r") (param i32 i32 i32 i32) (result i32) i32.const 0))"#;

    #[track_caller]
    fn checked(text: &str) -> Result<(), String> {
        let text = text.replace("MODULE", MODULE);
        check(&wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}")))
    }

    #[test]
    fn a_component_may_call_the_host_and_name_its_functions_again() {
        for text in [
            "(component)",
            r#"(component (import "a" (func $a)) (core func $l (canon lower (func $a))))"#,
            r#"(component (import "i" (instance $i (export "a" (func)))) (alias export $i "a" (func $a)) (core func $l (canon lower (func $a))))"#,
            r#"(component MODULE (core instance $i (instantiate $m)) (func $f (canon lift (core func $i "f")))
                (component $shim (import "f" (func $g)) (export "f" (func $g)))
                (instance $e (instantiate $shim (with "f" (func $f)))) (export "x:y/z" (instance $e)))"#,
        ] {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_component_that_calls_itself_through_the_component_model_is_refused() {
        let lifted = r#"MODULE (core instance $i (instantiate $m)) (func $f (canon lift (core func $i "f")))"#;
        for inside in [
            // Its own function, as it is, exported, and by way of an instance.
            r"(core func $l (canon lower (func $f)))",
            r#"(export $g "g" (func $f)) (core func $l (canon lower (func $g)))"#,
            r#"(instance $e (export "f" (func $f))) (alias export $e "f" (func $g)) (core func $l (canon lower (func $g)))"#,
            r#"(instance $e (export "f" (func $f))) (export $x "x:y/z" (instance $e)) (alias export $x "f" (func $g))
                (core func $l (canon lower (func $g)))"#,
            r#"(component $shim (import "f" (func $g)) (export "f" (func $g))) (instance $e (instantiate $shim (with "f" (func $f))))
                (alias export $e "f" (func $g)) (core func $l (canon lower (func $g)))"#,
            // A component inside it that has code, calls, instances or components of its own.
            r"(component MODULE (core instance $i (instantiate $m)))",
            r#"(component (import "f" (func $g)) (core func $l (canon lower (func $g))))"#,
            r#"(component (import "f" (func $g)) (instance (export "f" (func $g))))"#,
            r"(component (component))",
        ] {
            let reason = checked(&format!("(component {lifted} {inside})")).expect_err(inside);
            assert!(reason.contains("plugin of its own"), "{reason}");
        }
    }

    #[test]
    fn what_instantiation_copies_is_limited_to_the_byte_over_all_instances() {
        let instances = |data: usize, elements: usize, times: usize| {
            let module = format!(
                r#"(core module $d (import "m" "m" (memory 1)) (table 4096 funcref) (func $f) (data (i32.const 0) "{}") (elem (i32.const 0) func {}))"#,
                "x".repeat(data),
                "$f ".repeat(elements)
            );
            let instance = r#"(core instance (instantiate $d (with "m" (instance $i))))"#;
            checked(&format!("(component MODULE (core instance $i (instantiate $m)) {module} {})", instance.repeat(times)))
        };
        // An import and two segments; an element is sixteen bytes.
        let each = (1 << 20) - 3 * usize::try_from(ENTRY_BYTES).unwrap();
        for (data, elements) in [(each, 0), (each - 64 * 16, 64), (0, each / 16)] {
            assert_eq!(instances(data, elements, 64), Ok(()), "{data} bytes and {elements} elements");
            let reason = instances(data + 1, elements, 64).expect_err("a byte more in each");
            assert!(reason.contains("67108864 are allowed"), "{reason}");
        }
    }

    #[test]
    fn a_module_counts_as_much_by_whatever_name_it_is_instantiated() {
        let data = format!(r#"(core module $d (import "m" "m" (memory 1)) (data (i32.const 0) "{}"))"#, "x".repeat(1 << 20));
        let inner = format!(r#"(component $c {data} (export "d" (core module $d))) (instance $e (instantiate $c))"#);
        for named in [
            format!(r#"{data} (instance $e (export "d" (core module $d))) (alias export $e "d" (core module $x))"#),
            format!(r#"{inner} (alias export $e "d" (core module $x))"#),
            format!(
                r#"{data} (component $c (alias outer 1 $d (core module $o)) (export "d" (core module $o))) (instance $e (instantiate $c))
                    (alias export $e "d" (core module $x))"#
            ),
            format!(r#"{data} (import "x" (core module $x (import "m" "m" (memory 1))))"#),
        ] {
            let instances = |times: usize| {
                let instance = r#"(core instance (instantiate $x (with "m" (instance $i))))"#;
                checked(&format!("(component MODULE (core instance $i (instantiate $m)) {named} {})", instance.repeat(times)))
            };
            let shown = named.replace(&"x".repeat(1 << 20), "…");
            assert_eq!(instances(63), Ok(()), "{shown}");
            assert!(instances(64).is_err_and(|why| why.contains("67108864 are allowed")), "{shown}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_to_the_compiler() {
        assert_eq!(check(b"\0asm\x0d\0\x01\0\xff\xff"), Ok(()));
    }
}
