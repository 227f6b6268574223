//! JSON Schema to the subset that Gemini's `Schema` knows: references inlined, `allOf` merged, alternatives spread, unknown words left out.
//! Recursive and exploding schemas end at a limit. What is only a check of the value (`multipleOf`, `not` …) is lost, as Gemini has no
//! word for it. Must not know where a schema came from. Source: Gemini API reference, `Schema`, <https://ai.google.dev/api/caching#Schema>.

mod kinds;

use crate::llm::adapter::UnsupportedField;
use crate::llm::tree::Tree;

/// Levels of a schema, each reference on the way to one counted. Gemini itself takes no more.
const LEVELS_MAX: usize = 32;
/// Keywords and entries of lists that are looked at in all schemas of one request, after inlining. A hundred tools of thirty parameters need about a tenth.
const KEYWORDS_MAX: usize = 100_000;
/// Bytes of text in all schemas of one request, after inlining.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Characters of a reference that an error shows.
const POINTER_CHARS: usize = 100;

/// What is left to the schemas of one request.
pub(super) struct Budget {
    keywords: usize,
    text: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { keywords: KEYWORDS_MAX, text: TEXT_BYTES_MAX }
    }
}

/// `schema` in Gemini's words. `ordered` adds `propertyOrdering`, which a response schema needs to be answered in its own order.
///
/// # Errors
/// Names `param` where the schema is none, refers to what is not there, recurs, or is too large.
pub(super) fn cleaned(schema: &Tree, param: &str, ordered: bool, budget: &mut Budget) -> Result<Tree, UnsupportedField> {
    let mut cleaner = Cleaner { root: schema, param, ordered, budget };
    let facets = cleaner.gathered(schema, 0)?;
    cleaner.clean(&facets, 0)
}

/// One object of keywords. Several of them at once describe one value: a schema, what it refers to, what it has under `allOf`.
#[derive(Clone, Copy)]
struct Facet<'a> {
    keywords: &'a [(String, Tree)],
    /// What it costs to look at it: its keywords and the entries of their lists.
    weight: usize,
    /// Its alternatives have been chosen from.
    chosen: bool,
}

struct Cleaner<'a, 'b> {
    root: &'a Tree,
    param: &'a str,
    ordered: bool,
    budget: &'b mut Budget,
}

impl<'a> Cleaner<'a, '_> {
    /// All that describes the same value as `schema`, the nearest first.
    fn gathered(&mut self, schema: &'a Tree, level: usize) -> Result<Vec<Facet<'a>>, UnsupportedField> {
        let mut facets = Vec::new();
        self.gather(schema, level, &mut facets)?;
        Ok(facets)
    }

    fn gather(&mut self, schema: &'a Tree, level: usize, facets: &mut Vec<Facet<'a>>) -> Result<(), UnsupportedField> {
        self.enter(level)?;
        let keywords = match schema {
            Tree::Object(keywords) => keywords,
            // Anything goes.
            Tree::Bool(true) => return Ok(()),
            _ => return Err(self.unfit("holds a schema that is no object")),
        };
        let weight = keywords.iter().map(|(_, value)| 1 + value.as_list().map_or(0, <[Tree]>::len)).sum();
        self.spend(weight)?;
        facets.push(Facet { keywords, weight, chosen: false });
        if let Some(pointer) = schema.get("$ref").and_then(Tree::as_str) {
            let target = self.resolved(pointer)?;
            self.gather(target, level + 1, facets)?;
        }
        for part in schema.get("allOf").and_then(Tree::as_list).unwrap_or_default() {
            self.gather(part, level + 1, facets)?;
        }
        Ok(())
    }

    /// What a reference such as `#/$defs/Node` leads to.
    fn resolved(&mut self, pointer: &str) -> Result<&'a Tree, UnsupportedField> {
        let shown = || pointer.chars().take(POINTER_CHARS).collect::<String>();
        let Some(path) = pointer.strip_prefix('#') else {
            return Err(self.unfit(&format!("refers to `{}`; only references into the schema itself, `#/…`, can be followed", shown())));
        };
        let mut at = self.root;
        for step in path.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match at {
                Tree::Object(fields) => {
                    self.spend(fields.len() / 16)?;
                    at.get(&step)
                }
                Tree::List(items) => step.parse::<usize>().ok().and_then(|place| items.get(place)),
                _ => None,
            };
            at = next.ok_or_else(|| self.unfit(&format!("refers to `{}`, which is not in it", shown())))?;
        }
        Ok(at)
    }

    /// The schema that says what all facets say together.
    fn clean(&mut self, facets: &[Facet<'a>], level: usize) -> Result<Tree, UnsupportedField> {
        self.enter(level)?;
        if let Some((place, alternatives)) = alternatives(facets) {
            return self.spread(facets, place, alternatives, level);
        }
        let (names, nullable) = kinds::of(facets);
        let mut forms = Vec::with_capacity(names.len());
        for name in &names {
            forms.push(self.form(facets, name, nullable, level)?);
        }
        Ok(either(forms))
    }

    /// One schema for each alternative, each with all that stands beside them: Gemini takes nothing else next to `anyOf`.
    fn spread(&mut self, facets: &[Facet<'a>], place: usize, alternatives: &'a [Tree], level: usize) -> Result<Tree, UnsupportedField> {
        let mut rest = facets.to_vec();
        rest[place].chosen = true;
        let weight = rest.iter().map(|facet| facet.weight).sum();
        let is_null = |schema: &&Tree| schema.get("type").and_then(Tree::as_str) == Some("null");
        let nullable = alternatives.iter().any(|schema| is_null(&schema));
        let mut forms = Vec::new();
        for alternative in alternatives.iter().filter(|schema| !is_null(schema)) {
            self.spend(weight)?;
            let mut own = self.gathered(alternative, level + 1)?;
            own.extend(&rest);
            let form = self.clean(&own, level + 1)?;
            forms.push(if nullable { kinds::nullable(form) } else { form });
        }
        if forms.is_empty() {
            let form = self.clean(&rest, level)?;
            return Ok(if nullable { kinds::nullable(form) } else { form });
        }
        Ok(either(forms))
    }

    /// A schema one level down.
    fn below(&mut self, schema: &'a Tree, level: usize) -> Result<Tree, UnsupportedField> {
        let facets = self.gathered(schema, level + 1)?;
        self.clean(&facets, level + 1)
    }

    fn enter(&mut self, level: usize) -> Result<(), UnsupportedField> {
        if level > LEVELS_MAX {
            return Err(self.unfit(&format!("is recursive or deeper than {LEVELS_MAX} levels, which Gemini does not take; flatten it")));
        }
        self.spend(1)
    }

    fn spend(&mut self, keywords: usize) -> Result<(), UnsupportedField> {
        self.budget.keywords = self.budget.keywords.checked_sub(keywords).ok_or_else(|| self.too_large())?;
        Ok(())
    }

    /// Text on its way out.
    fn tell(&mut self, text: &str) -> Result<Tree, UnsupportedField> {
        self.budget.text = self.budget.text.checked_sub(text.len()).ok_or_else(|| self.too_large())?;
        Ok(Tree::text(text))
    }

    fn too_large(&self) -> UnsupportedField {
        self.unfit("is too large with its references inlined; make it smaller or refer to less")
    }

    fn unfit(&self, message: &str) -> UnsupportedField {
        UnsupportedField { param: self.param.to_owned(), message: message.to_owned() }
    }
}

/// The first value under `key`.
fn find<'a>(facets: &[Facet<'a>], key: &str) -> Option<&'a Tree> {
    facets.iter().find_map(|facet| facet.keywords.iter().find_map(|(name, value)| (name == key).then_some(value)))
}

/// The first alternatives that have not been chosen from, and the facet that has them.
fn alternatives<'a>(facets: &[Facet<'a>]) -> Option<(usize, &'a [Tree])> {
    let of = |facet: &Facet<'a>| find(&[*facet], "anyOf").or_else(|| find(&[*facet], "oneOf")).and_then(Tree::as_list);
    facets.iter().enumerate().filter(|(_, facet)| !facet.chosen).find_map(|(place, facet)| Some((place, of(facet)?)))
}

/// The only form, or any of several. Alternatives within alternatives are no more than more of them.
fn either(mut forms: Vec<Tree>) -> Tree {
    if forms.len() == 1 {
        return forms.remove(0);
    }
    let flat = forms.into_iter().flat_map(|form| match form {
        Tree::Object(mut fields) if fields.len() == 1 && fields[0].0 == "anyOf" => match fields.remove(0).1 {
            Tree::List(inner) => inner,
            other => vec![other],
        },
        form => vec![form],
    });
    Tree::Object(vec![("anyOf".to_owned(), Tree::List(flat.collect()))])
}

#[cfg(test)]
mod tests;
