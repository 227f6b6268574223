//! What a plugin author implements. One trait for all that it may be, so that a plugin is one `impl`; `export!` says which of them the
//! component really has.

use crate::bindings::described::exports::cofferdam::hooks::plugin::Description;
use crate::bindings::{answers, done, post, pre, vectors};
use crate::{AnswerError, Context, Exchange, HookError, ModelInfo, PostOutcome, PreOutcome, Question, Rejection, Reply, Request};

/// A plugin. Everything has a default; implement the hooks that [`export!`](crate::export!) names.
pub trait Plugin {
    /// The name by which pipelines call the plugin: lower-case letters, digits and `-`, at most 64. By default the package's name.
    const NAME: Option<&'static str> = None;
    /// By default the package's version.
    const VERSION: Option<&'static str> = None;
    /// One sentence on what the plugin does. By default the package's description.
    const SUMMARY: Option<&'static str> = None;
    /// A JSON Schema of the configuration that the plugin takes.
    const CONFIG_SCHEMA: Option<&'static str> = None;

    /// What the hooks are handed, in the words of `wit/plugin.wit`; everything if there is none. A hook that says what it needs is handed nothing
    /// else, and costs no more on a long conversation than on a short one.
    ///
    /// ```
    /// use cofferdam_guest::{Changes, HookError, Plugin, PreOutcome, Request};
    ///
    /// /// Says how long the user's newest message is. Nothing else of the conversation gets to it, images of that message included.
    /// struct Length;
    ///
    /// impl Plugin for Length {
    ///     const READS: Option<&'static [&'static str]> = Some(&["last-user-message.text"]);
    ///     const WRITES: Option<&'static [&'static str]> = Some(&["metadata.length"]);
    ///
    ///     fn on_request(request: Request) -> Result<PreOutcome, HookError> {
    ///         let length = request.last_user().map_or(0, |(_, message)| message.text().len());
    ///         Ok(Changes::new().metadata("length", length as f64).into())
    ///     }
    /// }
    ///
    /// cofferdam_guest::export!(Length: pre_hook);
    /// ```
    const READS: Option<&'static [&'static str]> = None;
    /// What the hooks may change; everything if there is none. The host refuses an outcome that does more.
    ///
    /// ```
    /// use cofferdam_guest::{Changes, HookError, Plugin, PreOutcome, Request};
    ///
    /// /// Sends long questions to another provider of the pipeline.
    /// struct Route;
    ///
    /// impl Plugin for Route {
    ///     const READS: Option<&'static [&'static str]> = Some(&["last-user-message.text"]);
    ///     const WRITES: Option<&'static [&'static str]> = Some(&["target"]);
    ///
    ///     fn on_request(request: Request) -> Result<PreOutcome, HookError> {
    ///         let long = request.last_user().is_some_and(|(_, message)| message.text().len() > 2_000);
    ///         Ok(if long { Changes::new().target("strong").into() } else { PreOutcome::unchanged() })
    ///     }
    /// }
    ///
    /// cofferdam_guest::export!(Route: pre_hook);
    /// ```
    const WRITES: Option<&'static [&'static str]> = None;

    /// Runs before the model. The default fails: a component that exports a hook nobody wrote must not look like one that agrees.
    ///
    /// # Errors
    /// What kept the hook from its work; the operator's `on_failure` decides what becomes of the request.
    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Err(HookError::Unsupported("the plugin exports `pre_hook` but has no `on_request`".to_owned()))
    }

    /// Runs on the whole reply, before the client sees any of it. The default fails, as that of `on_request` does.
    ///
    /// # Errors
    /// What kept the hook from its work; the operator's `on_failure` decides what becomes of the reply.
    fn on_reply(_reply: Reply) -> Result<PostOutcome, HookError> {
        Err(HookError::Unsupported("the plugin exports `post_hook` but has no `on_reply`".to_owned()))
    }

    /// Runs after the client has everything, from a queue; nothing waits for it, and nothing that it does changes the reply. Where the queue is
    /// full, calls are dropped and counted. The default fails, as that of `on_request` does.
    ///
    /// # Errors
    /// What kept the hook from its work; it stands in the log, and the call is not tried again.
    fn on_done(_exchange: Exchange) -> Result<(), HookError> {
        Err(HookError::Unsupported("the plugin exports `done_hook` but has no `on_done`".to_owned()))
    }

    /// The models that the plugin is. The host asks when it loads the plugin and now and then later. By default one, of the plugin's own name.
    ///
    /// # Errors
    /// What kept the plugin from saying it; the host keeps the list that it has.
    fn models() -> Result<Vec<ModelInfo>, HookError> {
        Ok(vec![ModelInfo::new("")])
    }

    /// Answers in place of a provider, and writes what it says with [`answer`](crate::answer). The default fails, as that of `on_request` does.
    ///
    /// # Errors
    /// A [`Rejection`] ends the exchange. With a [`HookError`] the pipeline's fallbacks are tried, if nothing was written yet.
    fn answer(_question: Question) -> Result<(), AnswerError> {
        Err(HookError::Unsupported("the plugin exports `model` but has no `answer`".to_owned()).into())
    }

    /// Computes one vector for each text, in their order: all of one length, of finite numbers. `model` is what stands behind the plugin's name and a
    /// slash where the vectors are asked for, and is empty without. A request of many texts comes in several calls, each to a fresh instance.
    /// The default fails, as that of `on_request` does.
    ///
    /// ```
    /// use cofferdam_guest::{Context, HookError, Plugin, testing};
    ///
    /// /// Counts letters: texts of the same letters lie near each other.
    /// struct Letters;
    ///
    /// impl Plugin for Letters {
    ///     fn embed(_context: &Context, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, HookError> {
    ///         if !model.is_empty() {
    ///             return Err(HookError::Unsupported(format!("there is no model `{model}`")));
    ///         }
    ///         let count = |text: &String, letter: char| text.chars().filter(|c| c.eq_ignore_ascii_case(&letter)).count() as f32;
    ///         Ok(texts.iter().map(|text| ('a'..='z').map(|letter| count(text, letter)).collect()).collect())
    ///     }
    /// }
    ///
    /// cofferdam_guest::export!(Letters: embedder);
    ///
    /// let vectors = Letters::embed(&testing::context(), "", &["Banana".to_owned()]).unwrap();
    /// assert_eq!((vectors[0].len(), &vectors[0][..2]), (26, &[3.0, 1.0][..]));
    /// ```
    ///
    /// # Errors
    /// What kept the plugin from its work. The request fails: vectors have no fallback, because those of another model lie in another space.
    fn embed(_context: &Context, _model: &str, _texts: &[String]) -> Result<Vec<Vec<f32>>, HookError> {
        Err(HookError::Unsupported("the plugin exports `embedder` but has no `embed`".to_owned()))
    }
}

impl From<HookError> for AnswerError {
    fn from(error: HookError) -> Self {
        Self::Failed(error)
    }
}

impl From<crate::Failure> for AnswerError {
    fn from(failure: crate::Failure) -> Self {
        Self::Failed(failure.into())
    }
}

impl From<Rejection> for AnswerError {
    fn from(rejection: Rejection) -> Self {
        Self::Reject(rejection)
    }
}

impl ModelInfo {
    /// A model that is asked as `PLUGIN/ID`; with an empty id the plugin itself.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), title: None, extra: Vec::new() }
    }
}

/// What a plugin's `Cargo.toml` says about it; [`export!`](crate::export!) fills it in.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    pub description: &'static str,
}

/// The plugin's description. What it does not give itself comes from the package.
#[doc(hidden)]
#[must_use]
pub fn describe<P: Plugin>(package: Package) -> Description {
    let words = |words: Option<&[&str]>| words.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
    Description {
        reads: words(P::READS),
        writes: words(P::WRITES),
        name: P::NAME.unwrap_or(package.name).to_owned(),
        version: P::VERSION.unwrap_or(package.version).to_owned(),
        summary: P::SUMMARY.unwrap_or(package.description).to_owned(),
        settings: P::CONFIG_SCHEMA.map(str::to_owned),
    }
}

impl<P: Plugin> pre::exports::cofferdam::hooks::pre_hook::Guest for P {
    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        P::on_request(request)
    }
}

impl<P: Plugin> post::exports::cofferdam::hooks::post_hook::Guest for P {
    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        P::on_reply(reply)
    }
}

impl<P: Plugin> answers::exports::cofferdam::hooks::model::Guest for P {
    fn models() -> Result<Vec<ModelInfo>, HookError> {
        P::models()
    }

    fn answer(question: Question) -> Result<(), AnswerError> {
        P::answer(question)
    }
}

impl<P: Plugin> vectors::exports::cofferdam::hooks::embedder::Guest for P {
    fn embed(context: Context, model: String, texts: Vec<String>) -> Result<Vec<Vec<f32>>, HookError> {
        P::embed(&context, &model, &texts)
    }
}

impl<P: Plugin> done::exports::cofferdam::hooks::done_hook::Guest for P {
    fn on_done(exchange: Exchange) -> Result<(), HookError> {
        P::on_done(exchange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;
    impl Plugin for Silent {}

    struct Named;
    impl Plugin for Named {
        const NAME: Option<&'static str> = Some("own-name");
        const CONFIG_SCHEMA: Option<&'static str> = Some("{}");
        const READS: Option<&'static [&'static str]> = Some(&["reply.text"]);
        const WRITES: Option<&'static [&'static str]> = Some(&[]);
    }

    const PACKAGE: Package = Package { name: "package", version: "1.2.3", description: "Does things." };

    #[test]
    fn a_plugin_is_described_by_its_package_unless_it_speaks_for_itself() {
        let silent = describe::<Silent>(PACKAGE);
        assert_eq!((silent.name.as_str(), silent.version.as_str(), silent.summary.as_str()), ("package", "1.2.3", "Does things."));
        assert_eq!((silent.settings, silent.reads, silent.writes), (None, None, None), "who says nothing gets everything");
        let named = describe::<Named>(PACKAGE);
        assert_eq!((named.name.as_str(), named.version.as_str()), ("own-name", "1.2.3"));
        assert_eq!(named.settings.as_deref(), Some("{}"));
        assert_eq!((named.reads, named.writes), (Some(vec!["reply.text".to_owned()]), Some(Vec::new())));
    }

    #[test]
    fn a_hook_that_nobody_wrote_fails_in_place_of_agreeing() {
        let outcome = <Silent as Plugin>::on_request(crate::testing::request(Vec::new()));
        assert!(matches!(outcome, Err(HookError::Unsupported(text)) if text.contains("on_request")));
        let outcome = <Silent as Plugin>::on_reply(crate::testing::reply("hello"));
        assert!(matches!(outcome, Err(HookError::Unsupported(text)) if text.contains("on_reply")));
        let answered = <Silent as Plugin>::answer(crate::testing::question(Vec::new()));
        assert!(matches!(answered, Err(AnswerError::Failed(HookError::Unsupported(text))) if text.contains("answer")));
        assert_eq!(<Silent as Plugin>::models().map(|models| models[0].id.clone()), Ok(String::new()));
        let outcome = <Silent as Plugin>::on_done(crate::testing::exchange(Vec::new(), "hello"));
        assert!(matches!(outcome, Err(HookError::Unsupported(text)) if text.contains("on_done")));
        let vectors = <Silent as Plugin>::embed(&crate::testing::context(), "", &[]);
        assert!(matches!(vectors, Err(HookError::Unsupported(text)) if text.contains("embed")));
    }
}
