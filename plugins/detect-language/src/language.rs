//! Languages: detection, and the codes that people write. Every code that is accepted is one of ISO 639.

use whatlang::Lang;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Language(Lang);

impl Language {
    /// The likeliest language of a text, with a confidence from 0 to 1 of two decimals. None if there are not even two letters,
    /// or fewer than five of an alphabet: guessing at "ok" costs as much as at a sentence, and is never sure.
    pub(crate) fn detect(text: &str) -> Option<(Self, f64)> {
        // Letters of an alphabet take one or two bytes, those of scripts that write words and syllables three.
        let letters: usize = text.chars().filter(|c| c.is_alphabetic()).map(|c| if c.len_utf8() < 3 { 1 } else { 3 }).take(5).sum();
        if letters < 5 {
            return None;
        }
        let info = whatlang::detect(text)?;
        Some((Self(info.lang()), (info.confidence() * 100.0).round() / 100.0))
    }

    /// Reads `en`, `eng`, `EN` and `en-GB`.
    pub(crate) fn from_code(code: &str) -> Option<Self> {
        let primary = code.split(['-', '_']).next().unwrap_or(code).to_ascii_lowercase();
        Lang::all().iter().map(|&lang| Self(lang)).find(|language| language.code() == primary || language.0.code() == primary)
    }

    /// The English name.
    pub(crate) fn name(self) -> &'static str {
        self.0.eng_name()
    }

    /// The ISO 639-1 code. Every language that can be detected has one today; the exhaustive match asks again when there are more.
    #[expect(clippy::too_many_lines, reason = "a table with a line for each language")]
    pub(crate) fn code(self) -> &'static str {
        match self.0 {
            Lang::Epo => "eo",
            Lang::Eng => "en",
            Lang::Rus => "ru",
            Lang::Cmn => "zh",
            Lang::Spa => "es",
            Lang::Por => "pt",
            Lang::Ita => "it",
            Lang::Ben => "bn",
            Lang::Fra => "fr",
            Lang::Deu => "de",
            Lang::Ukr => "uk",
            Lang::Kat => "ka",
            Lang::Ara => "ar",
            Lang::Hin => "hi",
            Lang::Jpn => "ja",
            Lang::Heb => "he",
            Lang::Yid => "yi",
            Lang::Pol => "pl",
            Lang::Amh => "am",
            Lang::Jav => "jv",
            Lang::Kor => "ko",
            Lang::Nob => "nb",
            Lang::Dan => "da",
            Lang::Swe => "sv",
            Lang::Fin => "fi",
            Lang::Tur => "tr",
            Lang::Nld => "nl",
            Lang::Hun => "hu",
            Lang::Ces => "cs",
            Lang::Ell => "el",
            Lang::Bul => "bg",
            Lang::Bel => "be",
            Lang::Mar => "mr",
            Lang::Kan => "kn",
            Lang::Ron => "ro",
            Lang::Slv => "sl",
            Lang::Hrv => "hr",
            Lang::Srp => "sr",
            Lang::Mkd => "mk",
            Lang::Lit => "lt",
            Lang::Lav => "lv",
            Lang::Est => "et",
            Lang::Tam => "ta",
            Lang::Vie => "vi",
            Lang::Urd => "ur",
            Lang::Tha => "th",
            Lang::Guj => "gu",
            Lang::Uzb => "uz",
            Lang::Pan => "pa",
            Lang::Aze => "az",
            Lang::Ind => "id",
            Lang::Tel => "te",
            Lang::Pes => "fa",
            Lang::Mal => "ml",
            Lang::Ori => "or",
            Lang::Mya => "my",
            Lang::Nep => "ne",
            Lang::Sin => "si",
            Lang::Khm => "km",
            Lang::Tuk => "tk",
            Lang::Aka => "ak",
            Lang::Zul => "zu",
            Lang::Sna => "sn",
            Lang::Afr => "af",
            Lang::Lat => "la",
            Lang::Slk => "sk",
            Lang::Cat => "ca",
            Lang::Tgl => "tl",
            Lang::Hye => "hy",
            Lang::Cym => "cy",
        }
    }
}
