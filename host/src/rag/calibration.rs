//! Scores that mean the same whichever model embeds: a cosine says nothing by itself, for of one model unrelated texts have .1 and of another .8, and
//! in a language that a model hardly knows all texts are alike. So the cosine of a chunk is measured against those that the same question has with texts
//! which have nothing to do with it, and that and the words which the chunk has of the question become one number from 0 to 1.
//! How the numbers below were found: `tests/judged/fit.py`.

use super::Mode;
use super::store::Candidate;

/// Short texts of many kinds and languages. Most questions have nothing to do with any of them, and no question with more than one or two.
const UNRELATED: &str = include_str!("calibration/unrelated.txt");

/// So many of them that are most like a question say where likeness begins: those in its language, if the model tells languages apart.
const NEAREST: usize = 6;

/// Of each mode: what is added without any evidence, and what likeness and the root of the covered share of the question's words add.
const VECTOR: [f32; 3] = [-0.10, 14.78, 0.0];
const KEYWORD: [f32; 3] = [-0.81, 0.0, 4.36];
const HYBRID: [f32; 3] = [0.14, 8.61, 2.89];

/// Vectors of texts that have nothing to do with one another; none for a model of which such texts have a cosine of 0.
pub(super) struct Background(Vec<Vec<f32>>);

impl Background {
    /// What is embedded for it.
    pub(super) fn texts() -> Vec<String> {
        UNRELATED.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    pub(super) fn of(vectors: Vec<Vec<f32>>) -> Self {
        Self(vectors)
    }

    /// Where the likeness of texts to this question begins.
    pub(super) fn scale(&self, question: &[f32]) -> Scale {
        let cosine = |text: &Vec<f32>| text.iter().zip(question).map(|(a, b)| a * b).sum::<f32>();
        let mut cosines: Vec<f32> = self.0.iter().map(cosine).collect();
        cosines.sort_unstable_by(|a, b| b.total_cmp(a));
        let mean = |of: &[f32]| if of.is_empty() { 0.0 } else { of.iter().sum::<f32>() / of.len() as f32 };
        let (level, mean) = (mean(&cosines[..cosines.len().min(NEAREST)]), mean(&cosines));
        Scale { level: level.max(0.0), span: (1.0 - mean).max(SPAN_MIN) }
    }
}

/// Below it, all texts are alike to a model, and what is left are rounding errors.
const SPAN_MIN: f32 = 0.01;

/// What cosines with one question mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// The cosine of texts that it has nothing to do with, but is most like.
    level: f32,
    /// From the cosine of any text to 1. What all vectors of a model have in common makes it and every difference smaller by the same factor.
    span: f32,
}

impl Scale {
    /// That of a model of which unrelated texts have a cosine of 0.
    pub(super) const PLAIN: Self = Self { level: 0.0, span: 1.0 };

    /// The cosine that a likeness comes to.
    pub(super) fn cosine(self, likeness: f32) -> f32 {
        self.level + self.span * likeness
    }

    /// Notes the cosines of what was found, and puts in their place by how much each is above the level.
    pub(super) fn apply(self, found: &mut [Candidate]) {
        for Candidate { hit, .. } in found {
            hit.cosine = Some(hit.score);
            hit.score = (hit.score - self.level) / self.span;
        }
    }
}

/// The score of a chunk that is so like the question and has such a share of its words.
pub(super) fn score(mode: Mode, likeness: f32, coverage: f32) -> f32 {
    let [constant, of_likeness, of_words] = match mode {
        Mode::Vector => VECTOR,
        Mode::Keyword => KEYWORD,
        Mode::Hybrid => HYBRID,
    };
    let evidence = constant + of_likeness * likeness + of_words * coverage.max(0.0).sqrt();
    1.0 / (1.0 + (-evidence).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unrelated_texts_are_of_many_languages_and_short() {
        let texts = Background::texts();
        assert!(texts.len() >= 60 && texts.iter().all(|text| (5..=300).contains(&text.len())));
        for range in ['\u{400}'..='\u{4ff}', '\u{600}'..='\u{6ff}', '\u{900}'..='\u{97f}', '\u{4e00}'..='\u{9fff}', '\u{ac00}'..='\u{d7a3}']
        {
            assert!(texts.iter().filter(|text| text.contains(|c| range.contains(&c))).count() >= 3, "{range:?}");
        }
    }

    #[test]
    fn likeness_begins_where_the_most_alike_of_the_unrelated_are() {
        let of = |cosines: &[f32]| Background::of(cosines.iter().map(|cosine| vec![*cosine]).collect()).scale(&[1.0]);
        let near = |a: f32, b: f32| (a - b).abs() < 1e-5;
        let eight = of(&[0.0, 0.5, 0.1, 0.4, 0.3, 0.2, 0.6, 0.1]);
        assert!(near(eight.level, 0.35) && near(eight.span, 0.725), "{eight:?}");
        assert_eq!(of(&[]), Scale::PLAIN);
        assert_eq!(of(&[-0.5, -0.1]), Scale { level: 0.0, span: 1.3 });
        assert_eq!(of(&[1.0]).span, SPAN_MIN);
        let likeness = |cosine, scale: Scale| {
            let mut found = vec![Candidate { hit: crate::chat::Hit { score: cosine, ..Default::default() }, ..Candidate::default() }];
            scale.apply(&mut found);
            assert!(found[0].hit.cosine == Some(cosine) && near(scale.cosine(found[0].hit.score), cosine));
            found[0].hit.score
        };
        let (plain, tilted) = (of(&[0.1, 0.3, 0.2]), of(&[0.91, 0.93, 0.92]));
        assert!(near(likeness(0.6, plain), 0.5) && likeness(0.1, plain) < 0.0);
        // A model that has something in common to all its vectors.
        assert!((likeness(0.6, plain) - likeness(0.96, tilted)).abs() < 1e-4);
    }

    #[test]
    fn a_score_is_between_zero_and_one_and_rises_with_its_evidence() {
        for mode in [Mode::Vector, Mode::Keyword, Mode::Hybrid] {
            let scores: Vec<f32> = (-10..=10).map(|tenths| score(mode, tenths as f32 / 10.0, (tenths as f32 / 10.0).max(0.0))).collect();
            assert!(scores.is_sorted() && scores[0] >= 0.0 && scores[20] > 0.9 && scores[20] < 1.0, "{mode:?} {scores:?}");
        }
    }
}
