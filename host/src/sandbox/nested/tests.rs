//! What components of several parts may copy, read from text.

use super::*;

const MODULE: &str =
    r#"(core module $m (memory (export "m") 1) (func (export "f")) (func (export "r") (param i32 i32 i32 i32) (result i32) i32.const 0))"#;

#[track_caller]
fn checked(text: &str) -> Result<Copies, String> {
    let text = text.replace("MODULE", MODULE);
    check(&wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

/// A component of two that are instantiated side by side, each with a module of those items.
#[track_caller]
fn side_by_side(one: &str, other: &str) -> Copies {
    let part = |items: &str| format!("(component (core module $m {items}) (core instance (instantiate $m)))");
    let text = format!("(component {} {} (instance (instantiate 0)) (instance (instantiate 1)))", part(one), part(other));
    checked(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

const GROWS: &str = "(memory 0) (func (drop (memory.grow (i32.const 1))))";

#[test]
fn one_component_that_has_all_the_code_copies_little() {
    for text in [
        "(component)",
        r#"(component (import "a" (func $a)) (core func $l (canon lower (func $a))))"#,
        r#"(component (import "i" (instance $i (export "a" (func)))) (alias export $i "a" (func $a)) (core func $l (canon lower (func $a))))"#,
        r#"(component MODULE (core instance $i (instantiate $m)) (func $f (canon lift (core func $i "f")))
            (component $shim (import "f" (func $g)) (export "f" (func $g)))
            (instance $e (instantiate $shim (with "f" (func $f)))) (export "x:y/z" (instance $e)))"#,
        // Wherever the code is, and in however many modules.
        "(component (component (core module (memory 1) (func (drop (memory.grow (i32.const 1))))) (core module (memory 9))
            (core instance (instantiate 0)) (core instance (instantiate 1)) (core instance (instantiate 1))) (instance (instantiate 0)))",
    ] {
        assert_eq!(checked(text), Ok(Copies::Little), "{text}");
    }
}

#[test]
fn two_components_copy_as_much_as_the_smaller_can_hold() {
    let growing = |memory: &str| format!("(memory {memory}) (func (drop (memory.grow (i32.const 1))))");
    for little in ["", "(memory 0)", "(memory 1)", "(memory 0 65536)", &growing("0 0"), &growing("1 1")] {
        assert_eq!(side_by_side(GROWS, little), Copies::Little, "{little}");
        assert_eq!(side_by_side(little, GROWS), Copies::Little, "{little}");
    }
    let long_code = format!("(memory 0) (func {})", "nop ".repeat(CODE_BYTES_MAX as usize));
    for much in [
        "(memory 2)",
        "(memory 1) (memory 1)",
        GROWS,
        &growing("0 2"),
        &long_code,
        &growing("0 0").replace("(memory 0 0)", "(memory 0 0) (memory 2)"),
    ] {
        assert_eq!(side_by_side(GROWS, much), Copies::Much, "{much}");
        assert_eq!(side_by_side(much, GROWS), Copies::Much, "{much}");
    }
}

#[test]
fn a_memory_grows_by_whatever_module_of_its_component() {
    let grower = r#"(core module $g (import "m" "m" (memory 0)) (func (drop (memory.grow (i32.const 1)))))"#;
    let part = |grower: &str| {
        format!(
            r#"(component $p (core module $m (memory (export "m") 0)) {grower}
                (core instance $i (instantiate $m)) (core instance (instantiate $g (with "m" (instance $i)))))"#
        )
    };
    let idle = r#"(core module $g (import "m" "m" (memory 0)))"#;
    for (name, of, copies) in [
        ("its own", part(grower), Copies::Much),
        ("none", part(idle), Copies::Little),
        ("one around it", format!("{grower} {}", part("(alias outer 1 $g (core module $g))")), Copies::Much),
        (
            "one out of an instance",
            part(&format!(
                r#"(component $c {idle} (export "g" (core module $g))) (instance $e (instantiate $c)) (alias export $e "g" (core module $g))"#
            )),
            Copies::Much,
        ),
    ] {
        let text = format!("(component {of} (instance (instantiate $p)) (instance (instantiate $p)))");
        assert_eq!(checked(&text), Ok(copies), "{name}");
    }
}

#[test]
fn components_inside_each_other_are_counted_as_often_as_they_are_instantiated() {
    let nested = |levels: usize, last: usize| {
        let twice = "(instance (instantiate 0)) (instance (instantiate 0))";
        let inside = (0..levels).fold("(component)".to_owned(), |inside, _| format!("(component {inside} {twice})"));
        checked(&format!("(component {inside} {})", "(instance (instantiate 0))".repeat(last)))
    };
    // Two times thirty in it, and itself; or so many without any.
    assert_eq!((nested(4, 2), nested(0, 64)), (Ok(Copies::Little), Ok(Copies::Little)));
    for (levels, last) in [(0, 65), (4, 3), (5, 2), (66, 1)] {
        assert!(nested(levels, last).is_err_and(|why| why.contains("64 are allowed")), "{levels}");
    }
}

#[test]
fn a_component_that_is_handed_another_one_is_refused() {
    for inside in [
        r#"(import "c" (component $c)) (instance (instantiate $c))"#,
        r#"(component $d (import "c" (component $c)) (instance (instantiate $c)))"#,
        r#"(component $c (component $d) (export "d" (component $d))) (instance $e (instantiate $c)) (alias export $e "d" (component $d))"#,
    ] {
        let why = checked(&format!("(component {inside})")).expect_err(inside);
        assert!(why.contains("where it is instantiated"), "{why}");
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
        let part = |times: usize| format!("(component MODULE (core instance $i (instantiate $m)) {module} {})", instance.repeat(times));
        let inside = format!("(component {} (instance (instantiate 0)) (instance (instantiate 0)))", part(times / 2));
        let (alone, inside) = (checked(&part(times)), checked(&inside));
        assert_eq!(alone, inside, "it is as much in two components as in one");
        alone
    };
    // An import and two segments; an element is sixteen bytes.
    let each = (1 << 20) - 3 * usize::try_from(ENTRY_BYTES).unwrap();
    for (data, elements) in [(each, 0), (each - 64 * 16, 64), (0, each / 16)] {
        assert_eq!(instances(data, elements, 64), Ok(Copies::Little), "{data} bytes and {elements} elements");
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
        assert!(instances(63).is_ok(), "{shown}");
        assert!(instances(64).is_err_and(|why| why.contains("67108864 are allowed")), "{shown}");
    }
}

#[test]
fn what_cannot_be_read_is_left_to_the_compiler() {
    assert_eq!(check(b"\0asm\x0d\0\x01\0\xff\xff"), Ok(Copies::Little));
}

#[test]
fn names_of_modules_and_of_components_are_counted_to_the_one_that_is_too_many() {
    let of = |kind: &str, count: usize| {
        let names = format!("(alias outer 1 $x ({kind}))").repeat(count);
        checked(&format!("(component ({kind} $x) (component {names}))"))
    };
    for kind in ["core module", "component"] {
        assert_eq!(of(kind, NAMES_MAX), Ok(Copies::Little), "{kind}");
        assert!(of(kind, NAMES_MAX + 1).is_err_and(|why| why.contains("more than the format allows")), "{kind}");
    }
}
