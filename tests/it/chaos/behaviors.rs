//! What a provider does with one attempt. It is drawn from the seed, the provider, the nonce and the number of earlier attempts, so that a
//! run can be repeated. Every way in which a provider can fail is a row here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::dialects::{Dialect, Frames, Question};
use crate::upstream::{Request, Script};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Behavior {
    Answers,
    /// Each byte by itself, letters of several bytes included.
    AnswersByteByByte,
    /// Lines end in CRLF.
    AnswersWithCrlf,
    /// A whole JSON reply, even if a stream was asked for.
    AnswersWhole,
    /// A stream, even if a whole reply was asked for.
    AnswersStreamed,
    Refuses(u16, Hint),
    /// With the HTML page of a proxy in place of JSON.
    RefusesWithPage(u16),
    CutsBeforeHead,
    CutsAfterHead,
    CutsInside,
    /// Ends the connection properly in the middle of the reply.
    EndsInside,
    ErrorFirst(u16),
    ErrorInside(u16),
    HangsBeforeHead,
    HangsAfterHead,
    /// After the last piece of text, before the end.
    HangsInside,
    NonsenseFirst,
    NonsenseInside,
    NonsenseAsJson,
    Page,
    Empty,
    /// `[DONE]` and nothing before it.
    DoneAtOnce,
}

/// What a refusal says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hint {
    None,
    /// In two milliseconds.
    Soon,
    /// In seven seconds, beyond every budget.
    Later,
    /// A quota is used up.
    Spent,
}

/// The weight of each; it is drawn in this proportion to the sum of all.
pub(super) const WEIGHTS: &[(u64, Behavior)] = &[
    (560, Behavior::Answers),
    (6, Behavior::AnswersByteByByte),
    (30, Behavior::AnswersWithCrlf),
    (20, Behavior::AnswersWhole),
    (10, Behavior::AnswersStreamed),
    (4, Behavior::Refuses(400, Hint::None)),
    (6, Behavior::Refuses(401, Hint::None)),
    (4, Behavior::Refuses(402, Hint::None)),
    (8, Behavior::Refuses(404, Hint::None)),
    (8, Behavior::Refuses(408, Hint::None)),
    (8, Behavior::Refuses(409, Hint::None)),
    (8, Behavior::Refuses(425, Hint::None)),
    (12, Behavior::Refuses(429, Hint::None)),
    (12, Behavior::Refuses(429, Hint::Soon)),
    (6, Behavior::Refuses(429, Hint::Later)),
    (5, Behavior::Refuses(429, Hint::Spent)),
    (14, Behavior::Refuses(500, Hint::None)),
    (8, Behavior::Refuses(502, Hint::None)),
    (8, Behavior::RefusesWithPage(502)),
    (14, Behavior::Refuses(503, Hint::None)),
    (8, Behavior::Refuses(503, Hint::Soon)),
    (5, Behavior::Refuses(503, Hint::Later)),
    (8, Behavior::Refuses(504, Hint::None)),
    (14, Behavior::Refuses(529, Hint::None)),
    (20, Behavior::CutsBeforeHead),
    (16, Behavior::CutsAfterHead),
    (30, Behavior::CutsInside),
    (16, Behavior::EndsInside),
    (10, Behavior::ErrorFirst(500)),
    (10, Behavior::ErrorFirst(529)),
    (6, Behavior::ErrorFirst(429)),
    (12, Behavior::ErrorInside(500)),
    (12, Behavior::ErrorInside(529)),
    (1, Behavior::HangsBeforeHead),
    (1, Behavior::HangsAfterHead),
    (1, Behavior::HangsInside),
    (14, Behavior::NonsenseFirst),
    (14, Behavior::NonsenseInside),
    (10, Behavior::NonsenseAsJson),
    (12, Behavior::Page),
    (12, Behavior::Empty),
    (12, Behavior::DoneAtOnce),
];

/// Draws the behavior of each attempt at one provider.
pub(super) struct Behaviors {
    seed: u64,
    dialect: Dialect,
    /// Once true, nothing fails any more.
    well: Arc<AtomicBool>,
    served: Mutex<Served>,
}

/// What the provider has done so far.
#[derive(Clone, Default)]
pub(super) struct Served {
    tries: HashMap<u32, u64>,
    pub(super) behaviors: BTreeMap<Behavior, usize>,
    /// Attempts that only a time limit can have ended, before their first event or their whole reply.
    pub(super) hangs: usize,
    /// The nonces of streams that were left without their end.
    pub(super) idles: HashSet<u32>,
}

impl Behaviors {
    pub(super) fn new(seed: u64, dialect: Dialect, well: Arc<AtomicBool>) -> Self {
        Self { seed, dialect, well, served: Mutex::default() }
    }

    pub(super) fn served(&self) -> Served {
        self.served.lock().expect("no panic").clone()
    }

    pub(super) fn answer(&self, request: &Request) -> Script {
        let question = Question::of(request);
        let mut served = self.served.lock().expect("no panic");
        let before = served.tries.entry(question.nonce).or_default();
        let chance = mix(mix(mix(self.seed ^ u64::from(question.nonce)) ^ self.dialect as u64) ^ *before);
        *before += 1;
        let behavior = if self.well.load(Ordering::SeqCst) { Behavior::Answers } else { drawn(chance) };
        *served.behaviors.entry(behavior).or_default() += 1;
        match behavior {
            Behavior::HangsInside if question.stream => drop(served.idles.insert(question.nonce)),
            Behavior::HangsBeforeHead | Behavior::HangsAfterHead | Behavior::HangsInside => served.hangs += 1,
            _ => {}
        }
        // Some errors quote the key, which no client may ever see.
        let key = request.headers.iter().find(|(name, _)| ["authorization", "x-api-key", "x-goog-api-key"].contains(&name.as_str()));
        let key = key.map_or("no key", |(_, value)| value.trim_start_matches("Bearer "));
        Play { dialect: self.dialect, question, chance: mix(chance), key }.script(behavior)
    }
}

fn drawn(chance: u64) -> Behavior {
    let mut place = chance % WEIGHTS.iter().map(|(weight, _)| weight).sum::<u64>();
    for (weight, behavior) in WEIGHTS {
        match place.checked_sub(*weight) {
            None => return *behavior,
            Some(rest) => place = rest,
        }
    }
    unreachable!("the place is below the sum")
}

/// The finaliser of SplitMix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One attempt, whose behavior has been drawn.
struct Play<'a> {
    dialect: Dialect,
    question: Question,
    /// For everything else that is random.
    chance: u64,
    key: &'a str,
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const PAGE: &str = "<html><body><h1>502 Bad Gateway</h1></body></html>";
const NONSENSE: &str = r#"{"choices": [{"delta": {"cont"#;

impl Play<'_> {
    fn script(&self, behavior: Behavior) -> Script {
        let stream = self.question.stream;
        match behavior {
            Behavior::Refuses(status, hint) => self.refusal(status, hint),
            Behavior::RefusesWithPage(status) => Script::reply(status, &[("content-type", "text/html")], PAGE),
            Behavior::CutsBeforeHead => Script::default().cut(),
            Behavior::HangsBeforeHead => Script::default().hang(),
            Behavior::CutsAfterHead => self.head().cut(),
            Behavior::HangsAfterHead => self.head().hang(),
            Behavior::HangsInside if !stream => self.head().piece("{").hang(),
            Behavior::Page => Script::reply(200, &[("content-type", "text/html")], PAGE),
            Behavior::Empty => self.head().end(),
            Behavior::DoneAtOnce if stream => Script::stream().event("[DONE]").end(),
            Behavior::DoneAtOnce => Script::reply(200, &JSON, "data: [DONE]\n\n"),
            Behavior::NonsenseFirst if stream => Script::stream().event(NONSENSE).end(),
            Behavior::NonsenseFirst | Behavior::NonsenseAsJson => Script::reply(200, &JSON, NONSENSE),
            Behavior::AnswersWhole => Script::json(200, &self.dialect.whole(self.question.nonce)),
            Behavior::AnswersStreamed => self.streamed(behavior),
            _ if stream => self.streamed(behavior),
            _ => self.whole(behavior),
        }
    }

    /// The head of what was asked for.
    fn head(&self) -> Script {
        if self.question.stream { Script::stream() } else { Script::chunked(200, &JSON) }
    }

    fn refusal(&self, status: u16, hint: Hint) -> Script {
        let wait = match hint {
            Hint::None | Hint::Spent => None,
            Hint::Soon => Some(("retry-after-ms", "2")),
            Hint::Later => Some(("retry-after", "7")),
        };
        let headers: Vec<(&str, &str)> = JSON.into_iter().chain(wait).collect();
        let message = format!("no, not with {}", self.key);
        Script::reply(status, &headers, self.dialect.error(status, &message, hint == Hint::Spent).to_string())
    }

    fn whole(&self, behavior: Behavior) -> Script {
        let body = self.dialect.whole(self.question.nonce).to_string();
        let part = &body.as_bytes()[..1 + self.below(body.len() - 1)];
        match behavior {
            Behavior::AnswersByteByByte => body.as_bytes().chunks(1).fold(self.head(), Script::piece).end(),
            Behavior::CutsInside => self.head().piece(part).cut(),
            Behavior::EndsInside | Behavior::NonsenseInside => Script::reply(200, &JSON, part),
            Behavior::ErrorFirst(status) | Behavior::ErrorInside(status) => {
                Script::json(200, &self.dialect.error(status, "it broke", false))
            }
            _ => Script::json(200, &self.dialect.whole(self.question.nonce)),
        }
    }

    fn streamed(&self, behavior: Behavior) -> Script {
        let Frames { content, ending } = self.dialect.frames(self.question);
        let all = || content.iter().chain(&ending);
        let sent = |frames: &[String]| frames.iter().fold(Script::stream(), Script::piece);
        // Between the first event and the one that ends the reply.
        let at = self.below(content.len() + 1);
        match behavior {
            Behavior::AnswersByteByByte => all().flat_map(|frame| frame.as_bytes().chunks(1)).fold(Script::stream(), Script::piece).end(),
            Behavior::AnswersWithCrlf => all().map(|frame| frame.replace('\n', "\r\n")).fold(Script::stream(), Script::piece).end(),
            Behavior::CutsInside => {
                let next = content.get(at).unwrap_or(&ending[0]).as_bytes();
                sent(&content[..at]).piece(b": \n\n").piece(&next[..1 + self.below(next.len() - 3)]).cut()
            }
            Behavior::EndsInside => sent(&content[..at]).end(),
            Behavior::ErrorFirst(status) => Script::stream().piece(self.dialect.error_frame(status)).end(),
            Behavior::ErrorInside(status) => sent(&content[..at]).piece(self.dialect.error_frame(status)).end(),
            Behavior::NonsenseInside => sent(&content[..at]).event(NONSENSE).end(),
            Behavior::NonsenseAsJson => Script::reply(200, &JSON, NONSENSE),
            Behavior::HangsInside => sent(&content).hang(),
            _ => all().fold(Script::stream(), Script::piece).end(),
        }
    }

    fn below(&self, most: usize) -> usize {
        usize::try_from(self.chance % most as u64).expect("below a size")
    }
}
