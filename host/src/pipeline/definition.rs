//! The ordered, configured stages that an API id names, as the JSON that the file and the admin API hold.
//! Checked here once; everything after works on typed values.

mod llm;
mod rag;
mod reader;

use serde_json::{Value, json};

use self::reader::Reader;
use crate::llm::Target;
use crate::sandbox::Hook;
use crate::stages::{HookStage, LlmStage, RagStage};

pub use self::rag::{BUDGET_TOKENS_RANGE, NEIGHBOURS_MAX, SCORE_THRESHOLD, TOP_K, TURNS, TURNS_MAX};
pub use self::reader::Problem;

/// The kinds of stages, in their order.
const STAGES: [&str; 4] = ["rag", "pre_hook", "llm", "post_hook"];
/// Hooks in one stage.
const HOOKS_MAX: usize = 16;

/// The stages of a pipeline. The order is fixed: rag, pre_hook, llm, post_hook.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    pub rag: Option<RagStage>,
    pub pre_hook: Option<HookStage>,
    pub llm: LlmStage,
    pub post_hook: Option<HookStage>,
    /// The JSON as it was given, for `GET`.
    source: Value,
}

impl Definition {
    /// Reads `{"pipeline": [stages]}` or the list alone.
    ///
    /// # Errors
    /// All problems at once, each with its path.
    pub fn parse(source: &Value) -> Result<Self, Vec<Problem>> {
        let mut read = Reader::default();
        let stages = source.get("pipeline").unwrap_or(source);
        let Some(list) = stages.as_array() else {
            read.problem("pipeline", "must be a list of stages");
            return Err(read.problems);
        };
        if list.len() > STAGES.len() {
            read.problem("pipeline", "has more stages than there are kinds of stages");
            return Err(read.problems);
        }
        let (mut rag, mut pre, mut llm, mut post) = (None, None, None, None);
        for (i, stage) in list.iter().enumerate() {
            let at = format!("pipeline[{i}]");
            read.only(stage, &at, &["stage", "enabled", "locked", "config"]);
            let duplicate = match stage.get("stage").and_then(Value::as_str) {
                Some("rag") => rag.replace(read.rag(stage, &at)).is_some(),
                Some("pre_hook") => pre.replace(read.hook(stage, &at)).is_some(),
                Some("llm") => llm.replace(read.llm(stage, &at)).is_some(),
                Some("post_hook") => post.replace(read.hook(stage, &at)).is_some(),
                _ => {
                    read.problem(&format!("{at}.stage"), "must be one of rag, pre_hook, llm, post_hook");
                    false
                }
            };
            if duplicate {
                read.problem(
                    &format!("{at}.stage"),
                    "stands twice; a pre_hook or post_hook stage runs several plugins with `function_ids`",
                );
            }
        }
        if llm.is_none() {
            read.problem("pipeline", "has no llm stage; it is the one stage that every pipeline needs");
        }
        match llm {
            Some(llm) if read.problems.is_empty() => {
                Ok(Self { rag, pre_hook: pre, llm, post_hook: post, source: json!({"pipeline": list}) })
            }
            _ => Err(read.problems),
        }
    }

    /// A pipeline that does nothing but ask `target`.
    pub fn of(target: Target) -> Self {
        let primary = json!({"provider": target.provider, "model": target.model});
        let source = json!({"pipeline": [{"stage": "llm", "config": {"primary": primary}}]});
        Self {
            rag: None,
            pre_hook: None,
            llm: LlmStage { targets: vec![target], weights: Vec::new(), hedge_after: None },
            post_hook: None,
            source,
        }
    }

    /// The JSON as it was given, under the key `pipeline`.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// The stages of hooks, each with the hook that its plugins must have.
    pub fn hook_stages(&self) -> impl Iterator<Item = (&HookStage, Hook)> {
        let stages = [(&self.pre_hook, Hook::Pre), (&self.post_hook, Hook::Post)];
        stages.into_iter().filter_map(|(stage, hook)| Some((stage.as_ref()?, hook)))
    }

    /// Every plugin that the definition names.
    pub fn plugins(&self) -> impl Iterator<Item = &str> {
        self.hook_stages().flat_map(|(stage, _)| stage.plugins.iter().map(String::as_str))
    }
}

impl Reader {
    fn hook(&mut self, stage: &Value, at: &str) -> HookStage {
        let config = &stage["config"];
        let within = format!("{at}.config");
        self.only(config, &within, &["function_id", "function_ids"]);
        let mut plugins: Vec<String> = self.name(&config["function_id"], &format!("{within}.function_id")).into_iter().collect();
        match &config["function_ids"] {
            Value::Null => {}
            Value::Array(ids) if plugins.is_empty() && ids.len() <= HOOKS_MAX => {
                for (i, id) in ids.iter().enumerate() {
                    let path = format!("{within}.function_ids[{i}]");
                    match self.name(id, &path) {
                        Some(name) => plugins.push(name),
                        None => self.problem(&path, "must be a plugin's name"),
                    }
                }
            }
            _ => self
                .problem(&format!("{within}.function_ids"), "must be a list of at most 16 plugin names, and not stand beside function_id"),
        }
        let enabled = self.flag(stage, at, "enabled", true);
        if enabled && plugins.is_empty() {
            self.problem(&format!("{within}.function_id"), "is missing: an enabled hook stage names at least one plugin");
        }
        HookStage { enabled, locked: self.flag(stage, at, "locked", false), plugins }
    }
}

#[cfg(test)]
mod tests;
