//! The models of a plugin that is one: asked for when the file is admitted, and again when the list is old. A list that cannot be had, or that
//! is no good, leaves the one before it in place.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use wasmtime::Store;

use super::bindings::model::Info;
use super::bindings::types::{Field, HookError};
use super::call::{Callee, Verdict};
use super::capability::log::harmless;
use super::convert::value;
use super::exports::{Exports, Model};
use super::outcome::reported;
use super::settings::Texts;
use super::store::State;
use super::{Fault, FaultKind, Hook};
use crate::chat::Fields;

/// Bytes of a model's id, which goes into logs, the ledger and headers.
const ID_BYTES: usize = 64;
/// Bytes of all other fields of one model, which stand in every list of models.
const EXTRA_BYTES: usize = 4 << 10;
const TITLE_BYTES: usize = 200;
/// Names of models in one message.
const NAMED_MAX: usize = 8;

/// One plugin's models.
pub(super) struct Models {
    /// For its answers.
    pub(super) callee: Callee,
    pub(super) functions: Model,
    /// None until the plugin said it once.
    list: ArcSwapOption<Vec<ModelInfo>>,
    /// The settings of which it is the list; none if it is to be asked for again anyway.
    asked: ArcSwapOption<Texts>,
    most: usize,
}

/// One model.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// Empty for a plugin that is one model.
    pub id: String,
    pub title: Option<String>,
    pub extra: Fields,
}

/// A list that was checked.
struct Listed(Vec<ModelInfo>);

impl Verdict for Listed {
    fn word(&self) -> &'static str {
        "ok"
    }
}

impl Models {
    /// `most`: how many models the plugin may have.
    pub(super) fn new(callee: Callee, functions: Model, most: usize) -> Self {
        Self { callee, functions, list: ArcSwapOption::empty(), asked: ArcSwapOption::empty(), most }
    }

    /// The same under other limits. The list stays until the plugin is asked again.
    pub(super) fn renewed(&self, callee: Callee, most: usize) -> Self {
        let list = ArcSwapOption::new(self.list.load_full());
        Self { callee, functions: self.functions, list, asked: ArcSwapOption::empty(), most }
    }

    /// Whether the plugin has said no list yet under these settings.
    pub(super) fn is_outdated(&self) -> bool {
        !self.asked.load().as_ref().is_some_and(|asked| Arc::ptr_eq(asked, &self.callee.settings.texts()))
    }

    /// The models as the plugin said them last; none if it never did.
    pub(super) fn list(&self) -> Vec<ModelInfo> {
        self.list.load().as_ref().map_or_else(Vec::new, |list| Vec::clone(list))
    }

    /// Asks for the list, under the limits of a hook and with a place of `hooks`: while readers of answers hold all places of models, a plugin
    /// can be deployed all the same.
    ///
    /// # Errors
    /// The plugin's fault; the list stays as it was.
    pub(super) async fn ask(&self, exports: &Arc<Exports>, hooks: &Callee) -> Result<(), Fault> {
        let call = self.callee.call_of_host(Hook::Models, "models");
        let settings = call.env.settings.clone();
        let guest = call.guest_among(hooks).await?;
        let (exports, function, most) = (exports.clone(), self.functions.models, self.most);
        let work = async move {
            let ran = guest.run(async |store: &mut Store<State>| exports.call(store, function, ()).await).await;
            let checked = ran.check(|listed: Result<Vec<Info>, HookError>, _| {
                check(listed.map_err(reported)?, most).map(Listed).map_err(FaultKind::Invalid)
            });
            ((), checked)
        };
        let Listed(list) = call.settle(0, work).await.1?;
        // If the settings changed meanwhile, somebody else asks under the new ones, and may have been faster.
        if Arc::ptr_eq(&settings, &self.callee.settings.texts()) {
            self.list.store(Some(Arc::new(list)));
            self.asked.store(Some(settings));
        }
        Ok(())
    }

    /// Checks that there is such a model. As long as the plugin has not said which there are, it decides itself.
    ///
    /// # Errors
    /// `NoModel`.
    pub(super) fn check(&self, id: &str) -> Result<(), FaultKind> {
        let list = self.list.load();
        let Some(list) = list.as_ref().filter(|list| list.iter().all(|model| model.id != id)) else { return Ok(()) };
        let named = list.iter().take(NAMED_MAX).map(|model| format!("`{}`", model.id)).collect::<Vec<_>>().join(", ");
        let what = if id.is_empty() { "is no model by itself".to_owned() } else { format!("has no model `{}`", harmless(id, ID_BYTES)) };
        let has = if named.is_empty() { "it has none now".to_owned() } else { format!("it has {named}") };
        Err(FaultKind::NoModel(format!("it {what}; {has}")))
    }
}

/// # Errors
/// A sentence for the plugin's author.
fn check(list: Vec<Info>, most: usize) -> Result<Vec<ModelInfo>, String> {
    if list.len() > most {
        return Err(format!("it has {} models; a plugin has at most {most} (`limits.plugins.models_per_plugin`)", list.len()));
    }
    let mut ids = HashSet::new();
    list.into_iter()
        .map(|Info { id, title, extra }| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
            if id.len() > ID_BYTES || !id.bytes().all(fits) {
                let id = harmless(&id, ID_BYTES);
                return Err(format!("it calls a model `{id}`; an id is at most {ID_BYTES} letters, digits, `-`, `_`, `.` or `:`"));
            }
            if !ids.insert(id.clone()) {
                return Err(format!("it has the model `{id}` twice"));
            }
            let bytes: usize = extra.iter().map(|field| field.name.len() + field.value.len()).sum();
            if bytes > EXTRA_BYTES {
                return Err(format!("extra of its model `{id}` has {bytes} bytes; it may have {EXTRA_BYTES}"));
            }
            let field = |Field { name, value: text }| Ok((value(text, &format!("extra.{name}"))?, name)).map(|(json, name)| (name, json));
            let extra = extra.into_iter().map(field).collect::<Result<_, String>>()?;
            Ok(ModelInfo { id, title: title.map(|title| harmless(&title, TITLE_BYTES)), extra })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(id: &str) -> Info {
        Info { id: id.into(), title: None, extra: Vec::new() }
    }

    fn ids(list: Vec<Info>) -> Result<Vec<String>, String> {
        check(list, 3).map(|list| list.into_iter().map(|model| model.id).collect())
    }

    #[test]
    fn a_list_is_checked_as_a_whole_and_at_each_edge() {
        assert_eq!(ids(vec![model(""), model("fast"), model("v1.2:x_y-z")]), Ok(vec!["".into(), "fast".into(), "v1.2:x_y-z".into()]));
        assert!(ids(vec![model("a"), model("b"), model("c"), model("d")]).is_err_and(|why| why.contains("models_per_plugin")));
        assert!(ids(vec![model("a"), model("a")]).is_err_and(|why| why.contains("twice")));
        assert!(ids(vec![model(&"x".repeat(ID_BYTES))]).is_ok() && ids(vec![model(&"x".repeat(ID_BYTES + 1))]).is_err());
        for id in ["a/b", "a b", "é", "a\n"] {
            assert!(ids(vec![model(id)]).is_err_and(|why| why.contains("an id is")), "{id}");
        }
        let extra = |bytes: usize| Info { extra: vec![Field { name: "a".into(), value: "1".repeat(bytes - 1) }], ..model("m") };
        assert!(ids(vec![extra(200)]).is_ok() && ids(vec![extra(EXTRA_BYTES + 1)]).is_err());
        let broken = Info { extra: vec![Field { name: "a".into(), value: "{".into() }], ..model("m") };
        assert!(ids(vec![broken]).is_err_and(|why| why.contains("no valid JSON")));
    }
}
