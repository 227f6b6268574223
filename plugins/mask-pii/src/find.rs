//! Puts the scanners together: where in a text there is something to mask. What overlaps is masked as one, so that nothing of either is left.

use std::ops::Range;

use personal_data::Kinds;

use crate::placeholder::Kind;
use crate::settings::Settings;
use crate::words::{Case, List, Words};
use crate::{machine, street, titled};

pub(crate) struct Finder {
    kinds: Vec<Kind>,
    names: List,
    terms: List,
    /// Names that follow a title somewhere in the conversation, and their parts.
    learned: List,
}

impl Finder {
    pub(crate) fn new(settings: &Settings) -> Self {
        let list = |names: &[String]| {
            let mut list = List::new(Case::Any);
            names.iter().for_each(|name| list.add(name));
            list
        };
        Self { kinds: settings.kinds.clone(), names: list(&settings.names), terms: list(&settings.terms), learned: List::new(Case::Kept) }
    }

    /// Takes up the names that a text gives with a title.
    pub(crate) fn learn(&mut self, text: &str) {
        if self.wants(Kind::Name) {
            for range in titled::find(&Words::of(text)) {
                let name = &text[range];
                self.learned.add(name);
                titled::parts(name).for_each(|part| self.learned.add(part));
            }
        }
    }

    /// What there is to mask in the text from `from` on, in order and without overlaps. What stands before tells what the rest is called.
    pub(crate) fn find(&self, text: &str, from: usize) -> Vec<(Range<usize>, Kind)> {
        let words = Words::of(text);
        let mut found: Vec<(Range<usize>, Kind)> = Vec::new();
        let mut add = |kind: Kind, ranges: Vec<Range<usize>>| found.extend(ranges.into_iter().map(|range| (range, kind)));
        add(Kind::Name, self.names.find(&words));
        add(Kind::Term, self.terms.find(&words));
        add(Kind::Name, self.learned.find(&words));
        if self.wants(Kind::Address) {
            add(Kind::Address, street::find(&words));
        }
        if self.wants(Kind::Iban) {
            add(Kind::Iban, machine::ibans(text));
        }
        if self.wants(Kind::Ip) {
            add(Kind::Ip, machine::ips(text));
        }
        let kinds = Kinds { email: self.wants(Kind::Email), phone: self.wants(Kind::Phone), card: self.wants(Kind::Card) };
        for (range, kind) in personal_data::find(text, kinds) {
            let kind = match kind {
                personal_data::Kind::Email => Kind::Email,
                personal_data::Kind::Phone => Kind::Phone,
                personal_data::Kind::Card => Kind::Card,
            };
            add(kind, vec![range]);
        }
        joined(found, from)
    }

    fn wants(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }
}

fn joined(mut found: Vec<(Range<usize>, Kind)>, from: usize) -> Vec<(Range<usize>, Kind)> {
    found.retain(|(range, _)| range.end > from);
    // The longest of those that begin at one place says of what kind it is.
    found.sort_by_key(|(range, _)| (range.start, usize::MAX - range.end));
    let mut joined: Vec<(Range<usize>, Kind)> = Vec::new();
    for (range, kind) in found {
        let range = range.start.max(from)..range.end;
        match joined.last_mut() {
            Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
            _ => joined.push((range, kind)),
        }
    }
    joined
}
