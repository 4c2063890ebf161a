//! What a character is to a reader aloud. Ranges are Unicode's blocks.

/// Whether a text has anything to say: a letter or a digit of any script.
pub fn speakable(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// How long the text takes to say, in seconds: English at about 15 characters a second, Chinese at 4.5, and more for
/// what is read as a word (digits, `%`).
///
/// An estimate for adults who read aloud, made of one number a character: the parts of a text add up to the whole.
pub fn estimated_seconds(text: &str) -> f64 {
    text.chars().map(milliseconds).map(f64::from).sum::<f64>() / 1000.0
}

/// The text without what nobody says: control characters, zero-width characters and marks of direction. White space
/// of any kind and length is one space, and there is none at the ends.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = false;
    for c in text.chars() {
        if c.is_whitespace() {
            blank = true;
        } else if !is_removed(c) {
            if blank && !out.is_empty() {
                out.push(' ');
            }
            blank = false;
            out.push(c);
        }
    }
    out
}

/// Controls other than white space, soft hyphens, zero-width characters, marks of direction, tags.
pub(super) fn is_removed(c: char) -> bool {
    if c.is_whitespace() {
        return false;
    }
    c.is_control()
        || matches!(
            c,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}'
        )
}

/// The share of one character in [`estimated_seconds`]. Nothing that is kept is free, so that a limit in time is one
/// in memory, too.
pub(super) fn milliseconds(c: char) -> u32 {
    match c {
        _ if is_removed(c) => 0,
        _ if continues(c) => 10,
        _ if is_han(c) => 222,
        '\u{3040}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' | '\u{FF66}'..='\u{FF9F}' => 140,
        '\u{AC00}'..='\u{D7A3}' => 200,
        '%' | '‰' | '$' | '€' | '£' | '¥' | '&' | '+' | '=' | '@' | '°' | '/' => 300,
        _ if c.is_numeric() => 300,
        _ if is_wide(c) && !c.is_alphabetic() && !c.is_whitespace() => 200,
        _ if c.is_uppercase() => 100,
        _ => 67,
    }
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{2E80}'..='\u{2FDF}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}')
}

/// A Chinese or Japanese character or punctuation mark, which needs no space beside it.
pub(super) fn is_wide(c: char) -> bool {
    is_han(c)
        || matches!(c, '\u{3000}'..='\u{30FF}' | '\u{3100}'..='\u{312F}' | '\u{31A0}'..='\u{31FF}'
            | '\u{FE30}'..='\u{FE4F}' | '\u{FF01}'..='\u{FF9F}')
}

/// Whether nothing may come between this character and the one before: accents, vowel signs, skin tones.
pub(super) fn continues(c: char) -> bool {
    match c {
        // The Indic blocks are laid out alike, 128 to a script.
        '\u{900}'..='\u{D7F}' => matches!(
            u32::from(c) % 0x80,
            0x00..=0x03 | 0x3A..=0x3C | 0x3E..=0x4F | 0x51..=0x57 | 0x62 | 0x63
        ),
        _ => matches!(
            c,
            '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5BD}' | '\u{5BF}'..='\u{5C7}'
                | '\u{610}'..='\u{61A}' | '\u{64B}'..='\u{65F}' | '\u{670}' | '\u{6D6}'..='\u{6DC}'
                | '\u{E31}' | '\u{E34}'..='\u{E3A}' | '\u{E47}'..='\u{E4E}'
                | '\u{EB1}' | '\u{EB4}'..='\u{EBC}' | '\u{EC8}'..='\u{ECE}' | '\u{1160}'..='\u{11FF}'
                | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}'
                | '\u{302A}'..='\u{302F}' | '\u{3099}' | '\u{309A}' | '\u{FE00}'..='\u{FE0F}'
                | '\u{FE20}'..='\u{FE2F}' | '\u{1F3FB}'..='\u{1F3FF}' | '\u{E0100}'..='\u{E01EF}'
        ),
    }
}

/// A picture among the text.
pub(super) fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{21FF}' | '\u{2300}'..='\u{23FF}' | '\u{2600}'..='\u{27BF}'
        | '\u{2B00}'..='\u{2BFF}' | '\u{FE0F}' | '\u{1F000}'..='\u{1FAFF}')
}

/// What a mark at the end of a sentence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// `.`, which may belong to an abbreviation or a number.
    Dot,
    /// `…`, which may be a hesitation.
    Ellipsis,
    /// `!` and `?`, which may stand within a sentence.
    Bang,
    /// 。 and its kin, which need no space behind.
    Wide,
}

impl Mark {
    pub fn of(c: char) -> Option<Self> {
        Some(match c {
            '.' => Self::Dot,
            '…' | '⋯' | '‥' => Self::Ellipsis,
            '!' | '?' | '‼' | '⁇' | '⁈' | '⁉' | '‽' | '؟' | '۔' | '।' | '॥' => {
                Self::Bang
            }
            '。' | '！' | '？' | '；' | '．' | '｡' => Self::Wide,
            _ => return None,
        })
    }
}

/// Closes what was quoted or put in brackets. `"` and `'` are asked for elsewhere: they open as well.
pub(super) fn closes(c: char) -> bool {
    matches!(
        c,
        ')' | ']'
            | '}'
            | '”'
            | '’'
            | '»'
            | '›'
            | '）'
            | '］'
            | '｝'
            | '」'
            | '』'
            | '】'
            | '》'
            | '〉'
            | '〕'
            | '〗'
            | '｣'
            | '＂'
            | '*'
            | '_'
    )
}

/// Opens a quotation or a bracket in Chinese or Japanese text, where no space says so.
pub(super) fn opens_wide(c: char) -> bool {
    matches!(
        c,
        '“' | '‘' | '（' | '［' | '「' | '『' | '【' | '《' | '〈' | '〔' | '〖' | '｢'
    )
}

/// Separates the parts of a sentence, where nothing else forbids it.
pub(super) fn is_clause_mark(c: char) -> bool {
    matches!(
        c,
        ',' | ';' | ':' | '，' | '、' | '：' | '；' | '､' | '—' | '–' | '―' | '،' | '؛'
    )
}
