//! English words that are written with a dot.

/// What a word before a dot says about the dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// An abbreviation that something always follows: `Mr.`, `e.g.`
    Leads,
    /// One only before a number: `No. 5`, but `No. I won't.`
    LeadsNumber,
    /// An abbreviation that may end the sentence as well: `p.m.`, `Inc.`
    Either,
    /// A word, as far as is known.
    Plain,
}

/// With a capital letter: titles, and what is numbered.
const TITLES: &[&str] = &[
    "Adm", "Brig", "Capt", "Cdr", "Cmdr", "Col", "Cpl", "Dr", "Drs", "Fr", "Ft", "Gen", "Gov",
    "Hon", "Insp", "Lt", "Maj", "Messrs", "Mlle", "Mme", "Mr", "Mrs", "Ms", "Mt", "Mx", "Pres",
    "Prof", "Pvt", "Rep", "Rev", "Sen", "Sgt", "St", "Supt", "Ste", "Ch", "Chap", "Eq", "Eqs",
    "Eqn", "Fig", "Figs", "Pt", "Ref", "Refs", "Sec", "Tab", "Vol", "Vols",
];

/// In any case.
const LEADING: &[&str] = &[
    "approx", "assoc", "attn", "ca", "cf", "dept", "e.g", "govt", "i.e", "incl", "intl", "max",
    "min", "misc", "orig", "prev", "resp", "spec", "temp", "univ", "viz", "vs",
];

const NUMBERED: &[&str] = &[
    "apr", "art", "aug", "ch", "dec", "eq", "feb", "fig", "figs", "jan", "jul", "jun", "mar", "no",
    "nos", "nov", "nr", "oct", "p", "pp", "sec", "sep", "sept", "tel", "vol",
];

const EITHER: &[&str] = &[
    "al", "ave", "blvd", "bros", "co", "corp", "ed", "eds", "esp", "est", "etc", "ext", "hwy",
    "inc", "jr", "ltd", "mfg", "pub", "rd", "sq", "sr",
];

/// Words that begin a sentence more often than they follow an abbreviation.
const STARTERS: &[&str] = &[
    "a",
    "after",
    "all",
    "also",
    "an",
    "and",
    "are",
    "as",
    "at",
    "because",
    "before",
    "both",
    "but",
    "by",
    "can",
    "did",
    "do",
    "does",
    "during",
    "each",
    "even",
    "every",
    "few",
    "for",
    "from",
    "had",
    "has",
    "have",
    "he",
    "her",
    "here",
    "his",
    "how",
    "however",
    "i",
    "if",
    "in",
    "is",
    "it",
    "its",
    "let",
    "many",
    "meanwhile",
    "most",
    "my",
    "next",
    "no",
    "not",
    "nothing",
    "now",
    "of",
    "on",
    "once",
    "one",
    "only",
    "or",
    "our",
    "perhaps",
    "please",
    "several",
    "she",
    "since",
    "so",
    "some",
    "still",
    "such",
    "that",
    "the",
    "their",
    "then",
    "there",
    "therefore",
    "these",
    "they",
    "this",
    "those",
    "though",
    "thus",
    "to",
    "today",
    "under",
    "until",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "while",
    "who",
    "why",
    "with",
    "yes",
    "yet",
    "you",
    "your",
];

impl Word {
    /// Of a word without its last dot.
    pub fn of(word: &str) -> Self {
        let mut letters = word.chars();
        if let (Some(only), None) = (letters.next(), letters.next()) {
            // An initial. `I` is asked for elsewhere.
            if only.is_alphabetic() && only != 'p' {
                return Self::Leads;
            }
        }
        let lower = word.to_lowercase();
        let lower = lower.as_str();
        if TITLES.contains(&word) || LEADING.contains(&lower) {
            Self::Leads
        } else if NUMBERED.contains(&lower) {
            Self::LeadsNumber
        } else if EITHER.contains(&lower) || is_dotted(word) {
            Self::Either
        } else {
            Self::Plain
        }
    }
}

/// `U.S`, `p.m`, `Ph.D`
fn is_dotted(word: &str) -> bool {
    word.contains('.')
        && word.split('.').all(|part| {
            (1..=2).contains(&part.chars().count()) && part.chars().all(char::is_alphabetic)
        })
}

/// Whether a sentence probably begins with this word.
pub(super) fn is_starter(word: &str) -> bool {
    STARTERS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::Word;

    #[test]
    fn words_are_known() {
        for (word, expected) in [
            ("Mr", Word::Leads),
            ("mr", Word::Plain),
            ("J", Word::Leads),
            ("e.g", Word::Leads),
            ("No", Word::LeadsNumber),
            ("no", Word::LeadsNumber),
            ("p", Word::LeadsNumber),
            ("Fig", Word::Leads),
            ("U.S", Word::Either),
            ("p.m", Word::Either),
            ("Ph.D", Word::Either),
            ("example.com", Word::Plain),
            ("3.14", Word::Plain),
            ("etc", Word::Either),
            ("sat", Word::Plain),
            ("", Word::Plain),
            ("7", Word::Plain),
        ] {
            assert_eq!(Word::of(word), expected, "{word}");
        }
    }
}
