//! Stream hooks: a value of the plugin's own type goes along with one reply, from `open` to `close`. What is held back of a text is kept by a
//! [`Tail`], which never cuts inside a character.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::stream::exports::cofferdam::hooks::stream_hook::{Guest, Mode};
use crate::{Delta, Ending, Farewell, FieldChange, HookError, Json, Opening, Piece, Rejection, Step};

/// A stream hook, whose value lives as long as one reply. Export it by `export!(P: stream_hook)`.
///
/// ```
/// use cofferdam_guest::{Delta, Ending, Farewell, HookError, Opened, Opening, Plugin, Step, StreamHook, Tail, Texts, testing};
///
/// /// Writes `darn` for `damn`, also where the word comes in two pieces.
/// #[derive(Default)]
/// struct Polite {
///     texts: Texts,
/// }
///
/// /// Lets go of what is decided: the end of the text may be the beginning of the word.
/// fn polite(tail: &mut Tail, last: bool) -> String {
///     let text = tail.as_str();
///     let undecided = (1.."damn".len()).rev().find(|&n| text.ends_with(&"damn"[..n])).unwrap_or(0);
///     let end = if last { text.len() } else { text.len() - undecided };
///     tail.take_to(end).replace("damn", "darn")
/// }
///
/// impl Plugin for Polite {}
///
/// impl StreamHook for Polite {
///     fn open(_: Opening) -> Result<Opened<Self>, HookError> {
///         Ok(Opened::Transform(Self::default()))
///     }
///
///     fn push(&mut self, deltas: Vec<Delta>) -> Result<Step, HookError> {
///         Ok(self.texts.push(deltas, polite).into())
///     }
///
///     fn close(&mut self, _: Ending) -> Result<Farewell, HookError> {
///         Ok(self.texts.close(polite).into())
///     }
/// }
///
/// cofferdam_guest::export!(Polite: stream_hook);
///
/// let Ok(Opened::Transform(mut hook)) = Polite::open(testing::opening()) else { panic!("it transforms") };
/// let Ok(Step::Emit(out)) = hook.push(testing::deltas(&["oh da", "mn it"])) else { panic!("it emits") };
/// assert_eq!(testing::text_of(&out), "oh darn it");
/// ```
pub trait StreamHook: Sized + 'static {
    /// The model has begun to answer.
    ///
    /// # Errors
    /// What keeps the hook from its work; the operator's `on_failure` decides what becomes of the reply.
    fn open(opening: Opening) -> Result<Opened<Self>, HookError>;

    /// More of the reply has come.
    ///
    /// # Errors
    /// As `open`.
    fn push(&mut self, deltas: Vec<Delta>) -> Result<Step, HookError>;

    /// The reply is over. By default nothing was held back.
    ///
    /// # Errors
    /// As `open`.
    fn close(&mut self, _ending: Ending) -> Result<Farewell, HookError> {
        Ok(Farewell::default())
    }
}

/// What a hook wants of a reply, with what it keeps along it.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<S> {
    /// It does not concern the hook.
    Skip,
    /// The client does not wait, and what `push` gives back is not used, but it can still cut the reply.
    Observe(S),
    /// Only what `push` and `close` give back goes on.
    Transform(S),
}

thread_local! {
    /// The hook of this instance's reply; an instance serves one.
    static HOOK: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

fn with<S: StreamHook, T>(call: impl FnOnce(&mut S) -> Result<T, HookError>) -> Result<T, HookError> {
    HOOK.with_borrow_mut(|hook| match hook.as_mut().and_then(|hook| hook.downcast_mut::<S>()) {
        Some(hook) => call(hook),
        None => Err(HookError::Other("no reply was opened".to_owned())),
    })
}

impl<S: StreamHook> Guest for S {
    fn open(opening: Opening) -> Result<Mode, HookError> {
        let (mode, hook) = match S::open(opening)? {
            Opened::Skip => return Ok(Mode::Skip),
            Opened::Observe(hook) => (Mode::Observe, hook),
            Opened::Transform(hook) => (Mode::Transform, hook),
        };
        HOOK.replace(Some(Box::new(hook)));
        Ok(mode)
    }

    fn push(deltas: Vec<Delta>) -> Result<Step, HookError> {
        with(|hook: &mut S| hook.push(deltas))
    }

    fn close(ending: Ending) -> Result<Farewell, HookError> {
        with(|hook: &mut S| hook.close(ending))
    }
}

/// Bytes of what went on that a tail remembers.
const CONTEXT_BYTES: usize = 128;

/// Text that has come and is held back until what follows it is known, with a little of what stood before it.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    text: String,
    /// Where what is held back begins.
    from: usize,
}

impl Tail {
    pub fn push(&mut self, more: &str) {
        self.text.push_str(more);
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text[self.from..]
    }

    /// The same behind the text that stood before it, as it came, of which at least the last 125 bytes are there; with where it begins.
    #[must_use]
    pub fn with_context(&self) -> (&str, usize) {
        (&self.text, self.from)
    }

    /// All of it.
    #[must_use]
    pub fn take(&mut self) -> String {
        self.take_to(usize::MAX)
    }

    /// Its beginning, up to that byte or to the beginning of the character in which that byte is.
    #[must_use]
    pub fn take_to(&mut self, end: usize) -> String {
        let end = self.text.floor_char_boundary(self.from.saturating_add(end).min(self.text.len()));
        let taken = self.text[self.from..end].to_owned();
        let forgotten = self.text.ceil_char_boundary(end.saturating_sub(CONTEXT_BYTES));
        self.text.drain(..forgotten);
        self.from = end - forgotten;
        taken
    }

    /// All but its last so many bytes, or a few more of them where a character would be cut.
    #[must_use]
    pub fn take_all_but(&mut self, bytes: usize) -> String {
        self.take_to(self.as_str().len().saturating_sub(bytes))
    }
}

/// Which text of a choice it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Channel {
    Text,
    Refusal,
    Reasoning,
    /// A second text of reasoning, which comes as another field of that name.
    Beside(&'static str),
    /// The arguments of that call.
    Arguments(u32),
}

/// The text of a piece that is a second text of reasoning, and its name.
#[cfg(feature = "serde")]
fn second_reasoning(field: &str) -> Option<(&'static str, String)> {
    let names = ["reasoning", "reasoning_content"];
    let (name, value) = names.iter().find_map(|name| Some((*name, field.strip_prefix(&format!("{{\"{name}\":"))?)))?;
    Some((name, serde_json::from_str(value.strip_suffix('}')?).ok()?))
}

/// Without a parser of JSON at hand it passes as it is.
#[cfg(not(feature = "serde"))]
fn second_reasoning(_: &str) -> Option<(&'static str, String)> {
    None
}

/// A tail for each text of a reply: of each choice the answer, the refusal, the reasoning (two, where a provider writes two) and, if wanted, each
/// call's arguments.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    tails: BTreeMap<(u32, Channel), Tail>,
    arguments: bool,
}

impl Texts {
    /// Arguments of function calls too; without this they pass as they are.
    #[must_use]
    pub fn with_arguments() -> Self {
        Self { arguments: true, ..Self::default() }
    }

    /// Whether [`Piece::Other`] with that field is a second text of reasoning, for which there is a tail: `{"reasoning":"…"}`.
    #[must_use]
    pub fn is_reasoning(field: &str) -> bool {
        second_reasoning(field).is_some()
    }

    /// What goes on of `deltas` and of what was held back. `change` takes from a tail what is decided and changes it; its flag says that nothing
    /// of that text follows, as before the end of its choice.
    pub fn push(&mut self, deltas: Vec<Delta>, mut change: impl FnMut(&mut Tail, bool) -> String) -> Vec<Delta> {
        let mut out = Vec::new();
        for Delta { choice, piece } in deltas {
            match piece {
                Piece::Text(text) => self.text(choice, Channel::Text, &text, &mut change, &mut out),
                Piece::Refusal(text) => self.text(choice, Channel::Refusal, &text, &mut change, &mut out),
                Piece::Reasoning(text) => self.text(choice, Channel::Reasoning, &text, &mut change, &mut out),
                Piece::ToolCall(mut call) if self.arguments => {
                    let text = std::mem::take(&mut call.arguments);
                    let index = call.index;
                    if call.id.is_some() || call.name.is_some() {
                        out.push(Delta { choice, piece: Piece::ToolCall(call) });
                    }
                    self.text(choice, Channel::Arguments(index), &text, &mut change, &mut out);
                }
                Piece::Other(field) => match second_reasoning(&field) {
                    Some((name, text)) => self.text(choice, Channel::Beside(name), &text, &mut change, &mut out),
                    None => out.push(Delta { choice, piece: Piece::Other(field) }),
                },
                Piece::Finish(reason) => {
                    self.end(Some(choice), &mut change, &mut out);
                    out.push(Delta { choice, piece: Piece::Finish(reason) });
                }
                piece => out.push(Delta { choice, piece }),
            }
        }
        out
    }

    /// What is still held back.
    pub fn close(&mut self, mut change: impl FnMut(&mut Tail, bool) -> String) -> Vec<Delta> {
        let mut out = Vec::new();
        self.end(None, &mut change, &mut out);
        out
    }

    fn text(
        &mut self,
        choice: u32,
        channel: Channel,
        text: &str,
        change: &mut impl FnMut(&mut Tail, bool) -> String,
        out: &mut Vec<Delta>,
    ) {
        let tail = self.tails.entry((choice, channel)).or_default();
        tail.push(text);
        let ready = change(tail, false);
        add(choice, channel, ready, out);
    }

    fn end(&mut self, of: Option<u32>, change: &mut impl FnMut(&mut Tail, bool) -> String, out: &mut Vec<Delta>) {
        for ((choice, channel), tail) in &mut self.tails {
            if of.is_none_or(|of| of == *choice) && !tail.as_str().is_empty() {
                let ready = change(tail, true);
                add(*choice, *channel, ready, out);
            }
        }
        self.tails.retain(|(choice, _), _| of.is_some_and(|of| of != *choice));
    }
}

/// Joined to the last piece if it is of the same text: a client then gets one event for both.
fn add(choice: u32, channel: Channel, text: String, out: &mut Vec<Delta>) {
    if text.is_empty() {
        return;
    }
    if let Some(Delta { choice: last, piece }) = out.last_mut()
        && *last == choice
    {
        match (channel, piece) {
            (Channel::Text, Piece::Text(before))
            | (Channel::Refusal, Piece::Refusal(before))
            | (Channel::Reasoning, Piece::Reasoning(before)) => return before.push_str(&text),
            (Channel::Arguments(index), Piece::ToolCall(call)) if call.index == index => return call.arguments.push_str(&text),
            _ => {}
        }
    }
    let piece = match channel {
        Channel::Text => Piece::Text(text),
        Channel::Refusal => Piece::Refusal(text),
        Channel::Reasoning => Piece::Reasoning(text),
        Channel::Beside(name) => Piece::Other(format!("{{\"{name}\":{}}}", Json::from(text).as_str())),
        Channel::Arguments(index) => Piece::ToolCall(crate::ToolCallPiece { index, id: None, name: None, arguments: text }),
    };
    out.push(Delta { choice, piece });
}

impl From<Vec<Delta>> for Step {
    fn from(deltas: Vec<Delta>) -> Self {
        Self::Emit(deltas)
    }
}

impl From<Rejection> for Step {
    fn from(rejection: Rejection) -> Self {
        Self::Cut(rejection)
    }
}

impl From<Vec<Delta>> for Farewell {
    fn from(deltas: Vec<Delta>) -> Self {
        Self { step: if deltas.is_empty() { Step::Keep } else { Step::Emit(deltas) }, metadata: Vec::new() }
    }
}

impl From<Rejection> for Farewell {
    fn from(rejection: Rejection) -> Self {
        Self { step: Step::Cut(rejection), metadata: Vec::new() }
    }
}

impl Default for Farewell {
    /// Nothing was held back.
    fn default() -> Self {
        Self { step: Step::Keep, metadata: Vec::new() }
    }
}

impl Farewell {
    /// Sets a key of `metadata`, for the hooks behind this one and for post-hooks.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        self.metadata.push(FieldChange { name: name.into(), value: Some(value.into().into()) });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_tail_is_never_cut_inside_a_character() {
        let mut tail = Tail::default();
        tail.push("aé🦀");
        for bytes in 1..4 {
            let mut tail = tail.clone();
            assert_eq!((tail.take_all_but(bytes).as_str(), tail.as_str()), ("aé", "🦀"), "{bytes}");
        }
        assert_eq!((tail.take_to(2).as_str(), tail.as_str()), ("a", "é🦀"));
        assert_eq!((tail.take_to(100).as_str(), tail.as_str()), ("é🦀", ""));
    }

    #[test]
    fn a_tail_remembers_a_little_of_what_went_before() {
        let mut tail = Tail::default();
        tail.push(&"é".repeat(200));
        tail.push("held");
        assert_eq!(tail.take_all_but(4).len(), 400);
        assert_eq!(tail.with_context(), (("é".repeat(64) + "held").as_str(), 128));
        assert_eq!(tail.take(), "held");
        assert_eq!((tail.as_str(), tail.with_context().1), ("", 128));
    }

    #[test]
    fn each_text_has_its_own_tail_and_is_let_go_before_its_choice_ends() {
        let hold = |tail: &mut Tail, last: bool| if last { tail.take().to_uppercase() } else { String::new() };
        let call = |id: Option<&str>, arguments: &str| {
            let (id, name) = (id.map(str::to_owned), id.map(|_| "f".to_owned()));
            Piece::ToolCall(crate::ToolCallPiece { index: 0, id, name, arguments: arguments.to_owned() })
        };
        let delta = |choice, piece| Delta { choice, piece };
        let deltas = vec![
            delta(0, Piece::Text("a".into())),
            delta(1, Piece::Text("b".into())),
            delta(0, Piece::Reasoning("c".into())),
            delta(0, call(Some("x"), "d")),
            delta(0, call(None, "e")),
            delta(0, Piece::Finish("stop".into())),
        ];
        let mut texts = Texts::with_arguments();
        let out = texts.push(deltas.clone(), hold);
        let expected = [
            delta(0, call(Some("x"), "")),
            delta(0, Piece::Text("A".into())),
            delta(0, Piece::Reasoning("C".into())),
            delta(0, call(None, "DE")),
            delta(0, Piece::Finish("stop".into())),
        ];
        assert_eq!(out, expected);
        assert_eq!(texts.close(hold), [delta(1, Piece::Text("B".into()))]);
        assert_eq!(texts.close(hold), []);
        let out = Texts::default().push(deltas, hold);
        assert_eq!(out[..2], [delta(0, call(Some("x"), "d")), delta(0, call(None, "e"))], "arguments pass unless they are wanted");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_second_text_of_reasoning_has_a_tail_of_its_own() {
        let hold = |tail: &mut Tail, last: bool| if last { tail.take().to_uppercase() } else { String::new() };
        let other = |text: &str| Delta { choice: 0, piece: Piece::Other(text.to_owned()) };
        let said = |text: &str| Delta { choice: 0, piece: Piece::Reasoning(text.to_owned()) };
        let odd = [r#"{"reasoning":[1]}"#, r#"{"reasoning_details":"x"}"#, r#"{"annotations":[1]}"#].map(other);
        let mut texts = Texts::default();
        let came = vec![said("a"), other(r#"{"reasoning":"\u0063\""}"#), said("b"), other(r#"{"reasoning":"d"}"#)];
        assert_eq!(texts.push([came, odd.to_vec()].concat(), hold), odd, "others pass");
        assert_eq!(texts.close(hold), [said("AB"), other(r#"{"reasoning":"C\"D"}"#)]);
        assert!(Texts::is_reasoning(r#"{"reasoning":"d"}"#) && !Texts::is_reasoning(r#"{"reasoning":[1]}"#));
    }

    struct Counter(usize);

    impl StreamHook for Counter {
        fn open(opening: Opening) -> Result<Opened<Self>, HookError> {
            Ok(if opening.model == "other" { Opened::Skip } else { Opened::Observe(Self(0)) })
        }

        fn push(&mut self, deltas: Vec<Delta>) -> Result<Step, HookError> {
            self.0 += deltas.len();
            Ok(Step::Keep)
        }

        fn close(&mut self, _: Ending) -> Result<Farewell, HookError> {
            Ok(Farewell::default().metadata("deltas", self.0))
        }
    }

    #[test]
    fn one_value_serves_a_reply_from_open_to_close() {
        assert!(<Counter as Guest>::push(Vec::new()).is_err(), "nothing was opened");
        assert_eq!(<Counter as Guest>::open(Opening { model: "other".into(), ..testing::opening() }), Ok(Mode::Skip));
        assert_eq!(<Counter as Guest>::open(testing::opening()), Ok(Mode::Observe));
        for _ in 0..2 {
            assert_eq!(<Counter as Guest>::push(testing::deltas(&["a", "b"])), Ok(Step::Keep));
        }
        let farewell = <Counter as Guest>::close(Ending::Finished).unwrap();
        assert_eq!(farewell.metadata[0].value.as_deref(), Some("4"));
    }
}
