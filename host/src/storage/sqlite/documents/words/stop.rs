//! Words of questions that say nothing about what is asked for, by language. A list is used for questions in its language alone: `war` is common
//! in German and the matter itself in English.

const LANGUAGES: [&[&str]; 7] = [
    &[
        "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been", "before", "being", "between",
        "but", "by", "can", "could", "d", "did", "do", "does", "doing", "don", "during", "each", "for", "from", "give", "had", "has",
        "have", "having", "he", "her", "here", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "ll", "many",
        "may", "me", "mean", "means", "might", "more", "most", "much", "must", "my", "no", "not", "of", "on", "once", "one", "only", "or",
        "other", "our", "out", "over", "own", "please", "re", "s", "same", "shall", "she", "should", "so", "some", "such", "t", "tell",
        "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "through", "to", "too", "under",
        "until", "up", "us", "ve", "very", "was", "we", "were", "what", "when", "where", "whether", "which", "while", "who", "whom",
        "whose", "why", "will", "with", "would", "you", "your",
    ],
    &[
        "aber", "alle", "allem", "allen", "aller", "alles", "als", "also", "am", "an", "auch", "auf", "aus", "bei", "beim", "bin", "bis",
        "bitte", "da", "damit", "dann", "darf", "das", "dass", "dem", "den", "denn", "der", "des", "die", "dies", "diese", "diesem",
        "diesen", "dieser", "dieses", "du", "durch", "ein", "eine", "einem", "einen", "einer", "eines", "er", "es", "für", "gibt", "hab",
        "habe", "haben", "hat", "hatte", "ich", "ihm", "ihn", "ihr", "ihre", "im", "in", "ist", "kann", "kein", "keine", "können", "man",
        "mein", "meine", "mich", "mir", "mit", "muss", "müssen", "nach", "nicht", "noch", "nur", "ob", "oder", "ohne", "sein", "seine",
        "sich", "sie", "sind", "so", "soll", "sollte", "über", "um", "und", "uns", "unser", "unter", "vom", "von", "vor", "wann", "war",
        "waren", "warum", "was", "welche", "welchem", "welchen", "welcher", "welches", "wem", "wen", "wenn", "wer", "werden", "wie",
        "wieso", "wird", "wir", "wo", "woher", "wurde", "wurden", "zu", "zum", "zur", "zwischen",
    ],
    &[
        "à", "ai", "au", "aux", "avec", "avez", "avoir", "c", "ce", "ces", "cet", "cette", "combien", "comment", "d", "dans", "de", "des",
        "donc", "dont", "du", "elle", "elles", "en", "entre", "es", "est", "et", "être", "fait", "faut", "il", "ils", "j", "je", "l", "la",
        "le", "les", "leur", "leurs", "lui", "m", "ma", "mais", "me", "mes", "moi", "mon", "n", "ne", "nos", "notre", "nous", "on", "ont",
        "ou", "où", "par", "pas", "peut", "plus", "pour", "pourquoi", "qu", "quand", "que", "quel", "quelle", "quelles", "quels", "qui",
        "quoi", "s", "sa", "sans", "se", "ses", "si", "son", "sont", "sous", "sur", "ta", "te", "tes", "toi", "ton", "tu", "un", "une",
        "vos", "votre", "vous", "y",
    ],
    &[
        "a", "al", "como", "cómo", "con", "cuál", "cuáles", "cuando", "cuándo", "cuánto", "cuánta", "cuántos", "cuántas", "de", "del",
        "desde", "donde", "dónde", "el", "ella", "ellos", "en", "entre", "es", "esa", "ese", "eso", "esta", "está", "están", "este",
        "esto", "fue", "ha", "hace", "han", "hasta", "hay", "la", "las", "le", "les", "lo", "los", "más", "me", "mi", "mis", "muy", "no",
        "nos", "o", "para", "pero", "por", "porque", "puede", "puedo", "que", "qué", "quien", "quién", "se", "ser", "si", "sí", "sin",
        "sobre", "son", "su", "sus", "también", "te", "tiene", "tu", "un", "una", "unas", "uno", "unos", "y", "ya", "yo",
    ],
    &[
        "a", "ad", "ai", "al", "alla", "alle", "anche", "c", "che", "chi", "ci", "come", "con", "cosa", "cui", "da", "dal", "dalla", "dei",
        "del", "della", "delle", "di", "dove", "e", "è", "gli", "ha", "hanno", "ho", "i", "il", "in", "io", "l", "la", "le", "lo", "ma",
        "mi", "mio", "nel", "nella", "non", "o", "per", "perché", "più", "può", "qual", "quale", "quali", "quando", "quanti", "quanto",
        "quanta", "questa", "questo", "se", "si", "sono", "su", "sua", "sul", "sulla", "suo", "tra", "tu", "un", "una", "uno",
    ],
    &[
        "a", "ao", "aos", "as", "às", "até", "com", "como", "da", "das", "de", "do", "dos", "e", "é", "ela", "ele", "em", "entre", "essa",
        "esse", "esta", "está", "este", "eu", "foi", "há", "isso", "isto", "mais", "mas", "me", "meu", "minha", "muito", "na", "não",
        "nas", "no", "nos", "o", "onde", "os", "ou", "para", "pela", "pelo", "pode", "por", "porque", "posso", "quais", "qual", "quando",
        "quanto", "quantos", "que", "quem", "se", "sem", "ser", "seu", "sua", "são", "também", "tem", "um", "uma", "você",
    ],
    &[
        "aan", "al", "als", "bij", "dan", "dat", "de", "der", "deze", "die", "dit", "door", "een", "en", "er", "geen", "had", "heb",
        "hebben", "heeft", "hem", "het", "hij", "hoe", "hoeveel", "ik", "in", "is", "je", "kan", "kunnen", "maar", "mag", "me", "met",
        "mijn", "moet", "naar", "niet", "nog", "of", "om", "ook", "op", "over", "te", "tot", "u", "uit", "van", "voor", "waar", "waarom",
        "wanneer", "was", "wat", "we", "welke", "wie", "wij", "wordt", "ze", "zich", "zij", "zijn", "zo", "zou",
    ],
];

/// The list of the language that most of the words' common ones are of; English if it is a draw.
pub(super) fn language(words: &[String]) -> &'static [&'static str] {
    let common = |list: &&&[&str]| words.iter().filter(|word| list.contains(&word.as_str())).count();
    // The first of equals, where `max_by_key` gives the last.
    LANGUAGES.iter().rev().max_by_key(common).copied().unwrap_or_default()
}
