//! Where a sentence that is too long is cut.

use super::characters::{closes, continues, is_clause_mark, is_wide, milliseconds, Mark};

/// How many characters of `text` to take so that they last no more than `limit` milliseconds: at least one, and all
/// where all fit.
///
/// In this order: behind the last clause, at the end of a sentence (`joined`), at a space, between words of a script
/// that has no spaces, between characters. All but the sentence's end only where a third of the limit is reached.
pub(super) fn cut(text: &[char], limit: u32, joined: Option<usize>) -> usize {
    let mut total = 0;
    let mut fitting = 0;
    let mut third = 0;
    for c in text {
        total += milliseconds(*c);
        if total > limit {
            break;
        }
        fitting += 1;
        if total <= limit / 3 {
            third = fitting;
        }
    }
    if fitting == text.len() {
        return fitting;
    }
    let window = || (third + 1..=fitting).rev();
    let fits = |at: &usize| (1..=fitting).contains(at);
    window()
        .find(|at| after_clause(text, *at))
        .or(joined.filter(fits))
        .or_else(|| window().find(|at| matches!(text.get(*at), Some(' ' | '\n'))))
        .or_else(|| window().find(|at| between_words(text, *at)))
        .or_else(|| window().find(|at| between_characters(text, *at)))
        .unwrap_or(fitting)
        .max(1)
}

fn pair(text: &[char], at: usize) -> Option<(char, char)> {
    Some((*text.get(at.checked_sub(1)?)?, *text.get(at)?))
}

fn after_clause(text: &[char], at: usize) -> bool {
    let Some((_, after)) = pair(text, at) else {
        return false;
    };
    // Behind the brackets and quotes that close with it.
    let before = text.get(..at).unwrap_or_default().iter().rev();
    let Some(mark) = before.copied().find(|c| !closes(*c) && *c != '"') else {
        return false;
    };
    if !is_clause_mark(mark) || closes(after) || is_clause_mark(after) || continues(after) {
        return false;
    }
    // Not in 1,000, 10:30 or well–known.
    is_wide(mark) || mark == '—' || is_wide(after) || matches!(after, ' ' | '\n')
}

fn between_words(text: &[char], at: usize) -> bool {
    let letter = |c: char| c.is_alphanumeric() && !is_wide(c);
    let clings = |c: char| Mark::of(c).is_some() || closes(c) || is_clause_mark(c);
    pair(text, at).is_some_and(|(before, after)| {
        let inside = letter(before) && letter(after);
        let dotted = Mark::of(before) == Some(Mark::Dot);
        !inside && !dotted && !clings(after)
    }) && between_characters(text, at)
}

fn between_characters(text: &[char], at: usize) -> bool {
    let letter_of_flag = |c: char| matches!(c, '\u{1F1E6}'..='\u{1F1FF}');
    pair(text, at).is_some_and(|(before, after)| {
        let flag = letter_of_flag(before) && letter_of_flag(after);
        !flag && !continues(after)
    })
}
