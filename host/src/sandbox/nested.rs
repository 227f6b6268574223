//! What a component may hold of other components, and how much it may copy while it is instantiated. Both are work of the host's that no fuel
//! pays for and nothing interrupts: a string that one component inside a file hands to another is copied, and perhaps re-encoded, in one go.
//! So no function of a component's own may be called through the component model from inside the file: a component in it that has code is
//! handed what the host gives and nothing else, as in those that are one component wrapped in another. Read from the bytes, before they are compiled.

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
/// Components inside each other: one that is wrapped holds one more for each interface that it exports.
const DEPTH_MAX: usize = 4;

/// Checks the bytes of a component. What cannot be read is left to the compiler, which says more about it.
///
/// # Errors
/// A sentence for the plugin's author: what it holds and what to do.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut scopes = vec![Scope::default()];
    // What the module that is being read copies; none between modules.
    let mut module: Option<u64> = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { return Ok(()) };
        match payload {
            Payload::ModuleSection { .. } => module = Some(0),
            Payload::ComponentSection { .. } => {
                if scopes.len() == DEPTH_MAX {
                    return Err(composed());
                }
                let largest = scopes.last().map_or(0, |scope| scope.largest);
                scopes.push(Scope { largest, ..Scope::default() });
            }
            Payload::End(_) => match module.take() {
                Some(copied) => {
                    if let Some(scope) = scopes.last_mut() {
                        scope.modules.push(copied);
                    }
                    scopes.iter_mut().for_each(|scope| scope.largest = scope.largest.max(copied));
                }
                None => {
                    let Some(ended) = scopes.pop() else { return Ok(()) };
                    match scopes.last_mut() {
                        Some(outer) => outer.components.push(Some(Inner { code: ended.code, initial_bytes: ended.initial_bytes })),
                        None => return ended.within_bytes(),
                    }
                }
            },
            payload => match &mut module {
                Some(copied) => *copied = initial_bytes(payload).saturating_add(*copied),
                None => read(&mut scopes, payload)?,
            },
        }
    }
    Ok(())
}

fn composed() -> String {
    "it is composed of components that call each other, and what they hand each other is copied outside all limits; \
     link its parts into one component (`wasm-tools component link` for modules), or deploy each part as a plugin of its own: \
     a pipeline runs several in order"
        .into()
}

/// The index spaces of one component, as far as they matter.
#[derive(Default)]
struct Scope {
    /// Whether a function is the host's. Those that a component inside is handed are, or `read` refuses its instantiation.
    functions: Vec<bool>,
    /// Whether an instance is the host's.
    instances: Vec<bool>,
    /// What instantiating a module copies.
    modules: Vec<u64>,
    /// None for what comes from somewhere else, of which nothing is known.
    components: Vec<Option<Inner>>,
    /// What the largest of all modules so far copies, also of those outside and inside. It stands for a module that comes out of an instance
    /// or from outside, for that may be any of them.
    largest: u64,
    /// What instantiating the component copies.
    initial_bytes: u64,
    /// Whether it has code of its own, or calls some.
    code: bool,
}

/// A component inside another.
#[derive(Clone, Copy)]
struct Inner {
    code: bool,
    initial_bytes: u64,
}

impl Scope {
    fn within_bytes(&self) -> Result<(), String> {
        let copied = self.initial_bytes;
        if copied > INITIAL_BYTES_MAX {
            return Err(format!(
                "instantiating it copies {copied} bytes into its memories and tables, and {INITIAL_BYTES_MAX} are allowed; \
                 a module of its own memory is not copied, so give its data to the module that defines the memory"
            ));
        }
        Ok(())
    }

    fn import(&mut self, import: ComponentTypeRef) {
        match import {
            ComponentTypeRef::Func(_) => self.functions.push(true),
            ComponentTypeRef::Instance(_) => self.instances.push(true),
            ComponentTypeRef::Module(_) => self.modules.push(self.largest),
            ComponentTypeRef::Component(_) => self.components.push(None),
            _ => {}
        }
    }

    /// Its exports are what it was given, the component's own functions perhaps among them, so no instance made here is the host's.
    fn instantiate(&mut self, instance: &ComponentInstance<'_>) -> Result<(), String> {
        self.instances.push(false);
        let ComponentInstance::Instantiate { component_index, args } = instance else { return Ok(()) };
        let Some(inner) = at(&self.components, *component_index) else { return Err(composed()) };
        if !inner.code {
            return Ok(());
        }
        let the_hosts = |kind: ComponentExternalKind, index| match kind {
            ComponentExternalKind::Func => at(&self.functions, index),
            ComponentExternalKind::Instance => at(&self.instances, index),
            ComponentExternalKind::Type => true,
            _ => false,
        };
        if !args.iter().all(|argument| the_hosts(argument.kind, argument.index)) {
            return Err(composed());
        }
        self.code = true;
        self.initial_bytes = self.initial_bytes.saturating_add(inner.initial_bytes);
        Ok(())
    }
}

/// One section of the innermost component; a part of it that cannot be read is left out, as the rest is.
fn read(scopes: &mut [Scope], payload: Payload<'_>) -> Result<(), String> {
    let Some((scope, outer)) = scopes.split_last_mut() else { return Ok(()) };
    match payload {
        Payload::ComponentImportSection(imports) => imports.into_iter().flatten().for_each(|import| scope.import(import.ty)),
        Payload::ComponentAliasSection(aliases) => aliases.into_iter().flatten().for_each(|of| alias(scope, outer, &of)),
        Payload::ComponentInstanceSection(instances) => {
            for instance in instances.into_iter().flatten() {
                scope.instantiate(&instance)?;
            }
        }
        Payload::ComponentExportSection(exports) => {
            for export in exports.into_iter().flatten() {
                match export.kind {
                    ComponentExternalKind::Func => scope.functions.push(at(&scope.functions, export.index)),
                    ComponentExternalKind::Instance => scope.instances.push(at(&scope.instances, export.index)),
                    ComponentExternalKind::Module => scope.modules.push(at(&scope.modules, export.index)),
                    ComponentExternalKind::Component => scope.components.push(at(&scope.components, export.index)),
                    _ => {}
                }
            }
        }
        Payload::ComponentCanonicalSection(functions) => {
            for function in functions.into_iter().flatten() {
                scope.code = true;
                match function {
                    CanonicalFunction::Lift { .. } => scope.functions.push(false),
                    CanonicalFunction::Lower { func_index, .. } if !at(&scope.functions, func_index) => return Err(composed()),
                    _ => {}
                }
            }
        }
        Payload::InstanceSection(instances) => {
            for instance in instances.into_iter().flatten() {
                scope.code = true;
                if let Instance::Instantiate { module_index, .. } = instance {
                    scope.initial_bytes = scope.initial_bytes.saturating_add(at(&scope.modules, module_index));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// `outer` are the components around it, the innermost last.
fn alias(scope: &mut Scope, outer: &[Scope], alias: &ComponentAlias<'_>) {
    match *alias {
        ComponentAlias::InstanceExport { kind, instance_index, .. } => {
            let hosts = at(&scope.instances, instance_index);
            match kind {
                ComponentExternalKind::Func => scope.functions.push(hosts),
                ComponentExternalKind::Instance => scope.instances.push(hosts),
                ComponentExternalKind::Module => scope.modules.push(scope.largest),
                ComponentExternalKind::Component => scope.components.push(None),
                _ => {}
            }
        }
        ComponentAlias::Outer { kind, count, index } => {
            let around = (count as usize).checked_sub(1).map(|up| outer.iter().rev().nth(up));
            let of = around.unwrap_or(Some(&*scope));
            match kind {
                ComponentOuterAliasKind::CoreModule => {
                    let copied = of.map_or(0, |of| at(&of.modules, index));
                    scope.modules.push(copied);
                }
                ComponentOuterAliasKind::Component => {
                    let component = of.and_then(|of| at(&of.components, index));
                    scope.components.push(component);
                }
                _ => {}
            }
        }
        _ => {}
    }
}

/// What a section of a module has to be copied.
fn initial_bytes(payload: Payload<'_>) -> u64 {
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
    bytes.saturating_add(u64::from(entries) * ENTRY_BYTES)
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

    /// As tools for JavaScript make them.
    #[test]
    fn a_component_that_is_wrapped_in_another_is_handed_what_the_host_gives() {
        let wrapped = |handed: &str| {
            checked(&format!(
                r#"(component (import "a" (func $a)) (import "i" (instance $i (export "b" (func))))
                    (component $c (import "a" (func $a)) (import "i" (instance $i (export "b" (func))))
                        MODULE (core instance $m (instantiate $m)) (core func $l (canon lower (func $a)))
                        (alias export $i "b" (func $b)) (core func $k (canon lower (func $b))) (func $f (canon lift (core func $m "f")))
                        (component $shim (import "f" (func $g)) (export "f" (func $g)))
                        (instance $e (instantiate $shim (with "f" (func $f)))) (export "x:y/z" (instance $e)))
                    (instance $made (instantiate $c {handed}))
                    (alias export $made "x:y/z" (instance $z)) (export "x:y/z" (instance $z)))"#
            ))
        };
        assert_eq!(wrapped(r#"(with "a" (func $a)) (with "i" (instance $i))"#), Ok(()));
        assert_eq!(checked("(component (component MODULE (core instance (instantiate $m))))"), Ok(()), "nobody instantiates it");
    }

    #[test]
    fn what_a_component_inside_copies_counts_each_time_that_it_is_instantiated() {
        let data = format!(r#"(core module $d (import "m" "m" (memory 1)) (data (i32.const 0) "{}"))"#, "x".repeat(1 << 20));
        let instances = |times: usize| {
            checked(&format!(
                r#"(component (component $c {data} MODULE (core instance $i (instantiate $m)) (core instance (instantiate $d (with "m" (instance $i)))))
                    {})"#,
                "(instance (instantiate $c))".repeat(times)
            ))
        };
        assert_eq!(instances(63), Ok(()));
        assert!(instances(64).is_err_and(|why| why.contains("67108864 are allowed")));
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
            // A component inside it with code that is handed one, as it is, by way of an instance, and of a component of another's.
            r#"(component $c (import "f" (func $g)) (core func $l (canon lower (func $g)))) (instance (instantiate $c (with "f" (func $f))))"#,
            r#"(component $c (import "i" (instance $i (export "f" (func)))) (alias export $i "f" (func $g)) (core func $l (canon lower (func $g))))
                (instance $e (export "f" (func $f))) (instance (instantiate $c (with "i" (instance $e))))"#,
            r#"(component $a MODULE (core instance $i (instantiate $m)) (func $f (canon lift (core func $i "f"))) (export "f" (func $f)))
                (component $b (import "f" (func $g)) (core func $l (canon lower (func $g))))
                (instance $i (instantiate $a)) (alias export $i "f" (func $g)) (instance (instantiate $b (with "f" (func $g))))"#,
            r#"(component $w (import "f" (func $h)) (component $c (import "f" (func $g)) (core func $l (canon lower (func $g))))
                (instance (instantiate $c (with "f" (func $h))))) (instance (instantiate $w (with "f" (func $f))))"#,
            // Calls inside a component inside it, one that comes from outside, and one too deep.
            r#"(component MODULE (core instance $i (instantiate $m)) (func $f (canon lift (core func $i "f"))) (core func $l (canon lower (func $f))))"#,
            r#"(component (import "x" (component $x)) (instance (instantiate $x)))"#,
            r"(component (component (component (component))))",
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
