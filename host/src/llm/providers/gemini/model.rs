//! What a model's name tells: its place in the API's paths, its generation, and how its thinking is set.
//! Must not know requests. Source: Gemini API docs, "Models", <https://ai.google.dev/gemini-api/docs/models>, and "Thinking".

use crate::llm::adapter::UnsupportedField;
use crate::llm::model_path::encoded_within_segment;

/// Collections that a client may name in front of an id.
const COLLECTIONS: [&str; 2] = ["models/", "tunedModels/"];

/// One model, as the client or the pipeline names it.
pub(super) struct Model<'a> {
    collection: &'static str,
    id: &'a str,
    /// Major and minor, where the name says it: `gemini-2.5-flash`. Aliases such as `gemini-flash-latest` and tuned models do not.
    generation: Option<(u32, u32)>,
}

/// How a model's thinking is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    /// It does not think.
    Never,
    /// By `thinkingBudget`, in tokens. Gemini 3 takes it too, so it is what models of unknown generation get.
    Budget,
    /// By `thinkingLevel`.
    Level,
}

/// The sizes that differ in what they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Pro,
    Flash,
    FlashLite,
    Unknown,
}

impl<'a> Model<'a> {
    /// # Errors
    /// Where there is no id.
    pub(super) fn named(name: &'a str) -> Result<Self, UnsupportedField> {
        let collection = COLLECTIONS.into_iter().find(|collection| name.starts_with(collection));
        let id = collection.map_or(name, |collection| &name[collection.len()..]);
        if id.is_empty() {
            return Err(UnsupportedField { param: "model".into(), message: "is empty; name a model such as `gemini-2.5-flash`".into() });
        }
        Ok(Self { collection: collection.unwrap_or(COLLECTIONS[0]), id, generation: generation(id) })
    }

    /// The path that calls `method`. Whatever the id holds, it is one segment: a client cannot climb out of the collection.
    pub(super) fn path(&self, method: &str) -> String {
        format!("/{}{}:{method}", self.collection, encoded_within_segment(self.id))
    }

    /// The name inside a body, e.g. `models/gemini-embedding-001`.
    pub(super) fn resource(&self) -> String {
        format!("{}{}", self.collection, self.id)
    }

    /// Whether it is surely of this generation or a later one.
    pub(super) fn since(&self, generation: (u32, u32)) -> bool {
        self.generation.is_some_and(|own| own >= generation)
    }

    /// Whether it is surely older than this generation.
    pub(super) fn before(&self, generation: (u32, u32)) -> bool {
        self.generation.is_some_and(|own| own < generation)
    }

    pub(super) fn size(&self) -> Size {
        match self.id {
            id if id.contains("flash-lite") => Size::FlashLite,
            id if id.contains("flash") => Size::Flash,
            id if id.contains("pro") => Size::Pro,
            _ => Size::Unknown,
        }
    }

    pub(super) fn thinking(&self) -> Thinking {
        if self.since((3, 0)) {
            Thinking::Level
        } else if self.before((2, 5)) {
            Thinking::Never
        } else {
            Thinking::Budget
        }
    }
}

/// `gemini-3-pro-preview` is (3, 0), `gemini-2.5-flash` (2, 5).
fn generation(id: &str) -> Option<(u32, u32)> {
    let version = id.strip_prefix("gemini-")?.split('-').next()?;
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> String {
        Model::named(name).expect("a name").path("generateContent")
    }

    #[test]
    fn c44_no_model_id_climbs_the_path() {
        assert_eq!(path("gemini-2.5-flash"), "/models/gemini-2.5-flash:generateContent");
        assert_eq!(path(".."), "/models/%2E%2E:generateContent");
        assert_eq!(path("../../v1/files"), "/models/%2E%2E%2F%2E%2E%2Fv1%2Ffiles:generateContent");
        assert_eq!(path("..%2F.."), "/models/%2E%2E%252F%2E%2E:generateContent");
        assert_eq!(path("m?key=x#y z\r\n"), "/models/m%3Fkey%3Dx%23y%20z%0D%0A:generateContent");
        assert_eq!(path("m:delete"), "/models/m%3Adelete:generateContent");
        assert_eq!(path("modèle"), "/models/mod%C3%A8le:generateContent");
    }

    #[test]
    fn an_id_with_its_collection_keeps_it_and_no_other_does() {
        assert_eq!(path("models/gemini-2.5-pro"), "/models/gemini-2.5-pro:generateContent");
        assert_eq!(path("tunedModels/mine"), "/tunedModels/mine:generateContent");
        assert_eq!(path("tunedModels/../x"), "/tunedModels/%2E%2E%2Fx:generateContent");
        assert_eq!(path("files/mine"), "/models/files%2Fmine:generateContent");
        assert_eq!(Model::named("models/").err().expect("no id").param, "model");
        assert!(Model::named("").is_err());
    }

    #[test]
    fn a_generation_is_read_from_the_name_alone() {
        for (name, expected) in [
            ("gemini-1.5-flash", Some((1, 5))),
            ("gemini-3-pro-preview", Some((3, 0))),
            ("models/gemini-3.1-flash", Some((3, 1))),
            ("gemini-flash-latest", None),
            ("tunedModels/gemini", None),
            ("gemma-3-27b-it", None),
        ] {
            let model = Model::named(name).expect("a name");
            assert_eq!(model.generation, expected, "{name}");
        }
        let thinking = |name| Model::named(name).expect("a name").thinking();
        assert_eq!(
            ["gemini-2.0-flash", "gemini-2.5-pro", "gemini-3-pro", "gemini-flash-latest"].map(thinking),
            [Thinking::Never, Thinking::Budget, Thinking::Level, Thinking::Budget]
        );
    }
}
