//! The search for circles on rooms of two or three small files.

use super::*;

/// How many circles there are among these files of `host/src`.
#[track_caller]
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<Source> =
        files.iter().map(|(path, text)| Source { path: format!("host/src/{path}.rs"), text: (*text).into() }).collect();
    circles(&sources)
}

#[track_caller]
fn none(files: &[(&str, &str)]) {
    assert_eq!(circles_of(files), [""; 0]);
}

#[track_caller]
fn one_of(count: usize, files: &[(&str, &str)]) {
    let found = circles_of(files);
    assert!(found.len() == 1 && found[0].starts_with(&format!("{count} files ")), "{found:?}");
}

#[test]
fn two_files_that_use_each_other_are_a_circle() {
    one_of(2, &[("rag", ""), ("rag/a", "use super::b::B;"), ("rag/b", "use super::a::A;")]);
    one_of(2, &[("rag", ""), ("rag/a", "use crate::rag::b::{self, B};"), ("rag/b", "fn f() { crate::rag::a::f() }")]);
    none(&[("rag", ""), ("rag/a", "use super::b::B;"), ("rag/b", "use super::c::C;"), ("rag/c", "")]);
}

#[test]
fn a_circle_may_go_through_many_files_and_is_reported_once() {
    let files = [("rag", ""), ("rag/a", "use super::b::B;"), ("rag/b", "use super::c::C;"), ("rag/c", "use super::a::A;")];
    one_of(3, &files);
    let found = circles_of(&files);
    assert!(found[0].contains("rag::a uses rag::b (B)") && found[0].contains("rag::c uses rag::a (A)"), "{found:?}");
}

#[test]
fn a_parent_and_its_child_are_two_files() {
    one_of(2, &[("rag", "mod a;\nfn f() { a::g() }\npub struct R;"), ("rag/a", "use super::R;")]);
    none(&[("rag", "mod a;\npub use a::A;"), ("rag/a", "pub struct A;")]);
    none(&[("rag", "mod a;\nuse a::A;\npub struct R(A);"), ("rag/a", "pub struct A;")]);
}

#[test]
fn a_re_export_is_no_use_of_the_file_that_re_exports() {
    // `b` takes `A` by the parent's name for it; the parent uses `b`.
    none(&[("rag", "mod a;\nmod b;\npub use a::A;\nuse b::B;"), ("rag/a", "pub struct A;"), ("rag/b", "use super::A;")]);
    // Also through a private import, another name and a second re-export.
    none(&[
        ("rag", "mod a;\nuse a::A as First;\nuse b::B;"),
        ("rag/a", "mod c;\npub(super) use c::A;"),
        ("rag/a/c", ""),
        ("rag/b", "use super::First;"),
    ]);
    // The two children behind it are a circle all the same.
    one_of(2, &[("rag", "pub use {a::A, b::B};"), ("rag/a", "use crate::rag::B;"), ("rag/b", "use super::A;")]);
}

#[test]
fn to_name_a_module_is_no_use_but_to_name_something_of_it_is() {
    none(&[("rag", ""), ("rag/a", "use super::b;"), ("rag/b", "use super::a::A;")]);
    one_of(2, &[("rag", ""), ("rag/a", "use super::b;\nfn f() { b::g() }"), ("rag/b", "use super::a::A;")]);
    one_of(2, &[("rag", ""), ("rag/a", "use super::b::*;"), ("rag/b", "use super::a::A;")]);
}

#[test]
fn super_in_a_module_inside_a_file_is_the_file() {
    none(&[("rag", "use a::A;"), ("rag/a", "mod x {\n    pub struct X;\n}\nmod y {\n    fn f() -> super::x::X {}\n}")]);
    one_of(2, &[("rag", "use a::A;\npub struct R;"), ("rag/a", "mod x {\n    fn f() { if true {} }\n    use super::super::R;\n}")]);
    one_of(2, &[("rag", "use a::A;\npub struct R;"), ("rag/a", "mod x {\n    fn f() { if true {} }\n}\nuse super::R;")]);
}

#[test]
fn tests_comments_strings_and_other_rooms_close_no_circle() {
    let a = ("rag/a", "use super::b::B;");
    for b in [
        "// use super::a::A;\nconst TEXT: &str = \"super::a::A\";",
        "#[cfg(test)]\nuse super::a::A;\nstruct S;",
        "#[cfg(any(test, fuzzing))]\npub fn f() -> super::a::A { super::a::g() }\nstruct S;",
        "struct S;\n#[cfg(test)]\nmod tests {\n    use super::super::a::A;\n}",
    ] {
        none(&[("rag", ""), a, ("rag/b", b)]);
    }
    one_of(2, &[("rag", ""), a, ("rag/b", "#[cfg(test)]\nuse super::c::{C, D};\nuse super::a::A;")]);
    none(&[("rag", ""), a, ("rag/b", ""), ("rag/b/tests", "use crate::rag::a::A;")]);
    none(&[("rag", "use crate::llm::L;"), ("llm", "use crate::rag::R;")]);
}
