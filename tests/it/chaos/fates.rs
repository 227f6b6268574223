//! What becomes of one try at a provider: drawn from the seed, the provider, the nonce and how often it was asked, so that a run can be
//! repeated. Every means of failing that a provider has is a row here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::dialects::{Dialect, Frames, Question};
use crate::upstream::{Request, Script};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Answers,
    /// Each byte by itself, letters of several bytes included.
    AnswersByteByByte,
    /// Lines end in CRLF.
    AnswersWithCrlf,
    /// JSON in one piece, also where a stream was asked for.
    AnswersWhole,
    /// A stream, also where a whole reply was asked for.
    AnswersStreamed,
    Refuses(u16, Hint),
    /// With a page of a proxy's in place of words.
    RefusesWithPage(u16),
    CutsBeforeHead,
    CutsAfterHead,
    CutsInside,
    /// Says that it is over where it is not.
    EndsInside,
    ErrorFirst(u16),
    ErrorInside(u16),
    HangsBeforeHead,
    HangsAfterHead,
    /// When all words are said and the end is not.
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

/// How often each is drawn, of the sum of all.
pub(super) const WEIGHTS: &[(u64, Fate)] = &[
    (560, Fate::Answers),
    (6, Fate::AnswersByteByByte),
    (30, Fate::AnswersWithCrlf),
    (20, Fate::AnswersWhole),
    (10, Fate::AnswersStreamed),
    (4, Fate::Refuses(400, Hint::None)),
    (6, Fate::Refuses(401, Hint::None)),
    (4, Fate::Refuses(402, Hint::None)),
    (8, Fate::Refuses(404, Hint::None)),
    (8, Fate::Refuses(408, Hint::None)),
    (8, Fate::Refuses(409, Hint::None)),
    (8, Fate::Refuses(425, Hint::None)),
    (12, Fate::Refuses(429, Hint::None)),
    (12, Fate::Refuses(429, Hint::Soon)),
    (6, Fate::Refuses(429, Hint::Later)),
    (5, Fate::Refuses(429, Hint::Spent)),
    (14, Fate::Refuses(500, Hint::None)),
    (8, Fate::Refuses(502, Hint::None)),
    (8, Fate::RefusesWithPage(502)),
    (14, Fate::Refuses(503, Hint::None)),
    (8, Fate::Refuses(503, Hint::Soon)),
    (5, Fate::Refuses(503, Hint::Later)),
    (8, Fate::Refuses(504, Hint::None)),
    (14, Fate::Refuses(529, Hint::None)),
    (20, Fate::CutsBeforeHead),
    (16, Fate::CutsAfterHead),
    (30, Fate::CutsInside),
    (16, Fate::EndsInside),
    (10, Fate::ErrorFirst(500)),
    (10, Fate::ErrorFirst(529)),
    (6, Fate::ErrorFirst(429)),
    (12, Fate::ErrorInside(500)),
    (12, Fate::ErrorInside(529)),
    (1, Fate::HangsBeforeHead),
    (1, Fate::HangsAfterHead),
    (1, Fate::HangsInside),
    (14, Fate::NonsenseFirst),
    (14, Fate::NonsenseInside),
    (10, Fate::NonsenseAsJson),
    (12, Fate::Page),
    (12, Fate::Empty),
    (12, Fate::DoneAtOnce),
];

/// The fates of all tries at one provider.
pub(super) struct Fates {
    seed: u64,
    dialect: Dialect,
    /// From when on nothing fails.
    well: Arc<AtomicBool>,
    served: Mutex<Served>,
}

/// What was done so far.
#[derive(Clone, Default)]
pub(super) struct Served {
    tries: HashMap<u32, u64>,
    pub(super) fates: BTreeMap<Fate, usize>,
    /// Tries that can only have ended by a time limit before their first event, or before a whole reply.
    pub(super) hangs: usize,
    /// The nonces of streams that were left without their end.
    pub(super) idles: HashSet<u32>,
}

impl Fates {
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
        let fate = if self.well.load(Ordering::SeqCst) { Fate::Answers } else { drawn(chance) };
        *served.fates.entry(fate).or_default() += 1;
        match fate {
            Fate::HangsInside if question.stream => drop(served.idles.insert(question.nonce)),
            Fate::HangsBeforeHead | Fate::HangsAfterHead | Fate::HangsInside => served.hangs += 1,
            _ => {}
        }
        // A provider in anger quotes the key; nobody may ever see it.
        let key = request.headers.iter().find(|(name, _)| ["authorization", "x-api-key", "x-goog-api-key"].contains(&name.as_str()));
        let key = key.map_or("no key", |(_, value)| value.trim_start_matches("Bearer "));
        Play { dialect: self.dialect, question, chance: mix(chance), key }.script(fate)
    }
}

fn drawn(chance: u64) -> Fate {
    let mut place = chance % WEIGHTS.iter().map(|(weight, _)| weight).sum::<u64>();
    for (weight, fate) in WEIGHTS {
        match place.checked_sub(*weight) {
            None => return *fate,
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

/// One try, whose fate is known.
struct Play<'a> {
    dialect: Dialect,
    question: Question,
    /// For what else is left to chance.
    chance: u64,
    key: &'a str,
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const PAGE: &str = "<html><body><h1>502 Bad Gateway</h1></body></html>";
const NONSENSE: &str = r#"{"choices": [{"delta": {"cont"#;

impl Play<'_> {
    fn script(&self, fate: Fate) -> Script {
        let stream = self.question.stream;
        match fate {
            Fate::Refuses(status, hint) => self.refusal(status, hint),
            Fate::RefusesWithPage(status) => Script::reply(status, &[("content-type", "text/html")], PAGE),
            Fate::CutsBeforeHead => Script::default().cut(),
            Fate::HangsBeforeHead => Script::default().hang(),
            Fate::CutsAfterHead => self.head().cut(),
            Fate::HangsAfterHead => self.head().hang(),
            Fate::HangsInside if !stream => self.head().piece("{").hang(),
            Fate::Page => Script::reply(200, &[("content-type", "text/html")], PAGE),
            Fate::Empty => self.head().end(),
            Fate::DoneAtOnce if stream => Script::stream().event("[DONE]").end(),
            Fate::DoneAtOnce => Script::reply(200, &JSON, "data: [DONE]\n\n"),
            Fate::NonsenseFirst if stream => Script::stream().event(NONSENSE).end(),
            Fate::NonsenseFirst | Fate::NonsenseAsJson => Script::reply(200, &JSON, NONSENSE),
            Fate::AnswersWhole => Script::json(200, &self.dialect.whole(self.question.nonce)),
            Fate::AnswersStreamed => self.streamed(fate),
            _ if stream => self.streamed(fate),
            _ => self.whole(fate),
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

    fn whole(&self, fate: Fate) -> Script {
        let body = self.dialect.whole(self.question.nonce).to_string();
        let part = &body.as_bytes()[..1 + self.below(body.len() - 1)];
        match fate {
            Fate::AnswersByteByByte => body.as_bytes().chunks(1).fold(self.head(), Script::piece).end(),
            Fate::CutsInside => self.head().piece(part).cut(),
            Fate::EndsInside | Fate::NonsenseInside => Script::reply(200, &JSON, part),
            Fate::ErrorFirst(status) | Fate::ErrorInside(status) => Script::json(200, &self.dialect.error(status, "it broke", false)),
            _ => Script::json(200, &self.dialect.whole(self.question.nonce)),
        }
    }

    fn streamed(&self, fate: Fate) -> Script {
        let Frames { said, rest } = self.dialect.frames(self.question);
        let all = || said.iter().chain(&rest);
        let sent = |frames: &[String]| frames.iter().fold(Script::stream(), Script::piece);
        // At the earliest before the first event, at the latest before the one that ends the reply.
        let at = self.below(said.len() + 1);
        match fate {
            Fate::AnswersByteByByte => all().flat_map(|frame| frame.as_bytes().chunks(1)).fold(Script::stream(), Script::piece).end(),
            Fate::AnswersWithCrlf => all().map(|frame| frame.replace('\n', "\r\n")).fold(Script::stream(), Script::piece).end(),
            Fate::CutsInside => {
                let next = said.get(at).unwrap_or(&rest[0]).as_bytes();
                sent(&said[..at]).piece(b": \n\n").piece(&next[..1 + self.below(next.len() - 3)]).cut()
            }
            Fate::EndsInside => sent(&said[..at]).end(),
            Fate::ErrorFirst(status) => Script::stream().piece(self.dialect.error_frame(status)).end(),
            Fate::ErrorInside(status) => sent(&said[..at]).piece(self.dialect.error_frame(status)).end(),
            Fate::NonsenseInside => sent(&said[..at]).event(NONSENSE).end(),
            Fate::NonsenseAsJson => Script::reply(200, &JSON, NONSENSE),
            Fate::HangsInside => sent(&said).hang(),
            _ => all().fold(Script::stream(), Script::piece).end(),
        }
    }

    fn below(&self, most: usize) -> usize {
        usize::try_from(self.chance % most as u64).expect("below a size")
    }
}
