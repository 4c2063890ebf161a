use serde_json::json;

use super::vocabulary::special;
use super::*;

mod deep;
mod numbers;
mod objects;
mod refusals;

const END: u32 = 265;
const OTHER_END: u32 = 266;
const TOOL: u32 = 264;
const NO_TOKEN: u32 = 267;
/// More rows than the vocabulary has tokens.
const ROWS: usize = 300;

/// Single bytes, some longer tokens, a special token and two ends.
fn constraint(spec: Spec) -> Constraint {
    let mut words: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    for word in ["{\"", "\":", "\"}", "yes", "no", "  ", "\n  ", "true"] {
        words.push(word.as_bytes().to_vec());
    }
    for name in ["<|tool|>", "<|im_end|>", "<|endoftext|>"] {
        words.push(special(name));
    }
    words.push(Vec::new());
    let vocabulary = Vocabulary::of_words(&words, &[END, OTHER_END]).unwrap();
    Constraint::new(&Grammar::new(spec).unwrap(), &vocabulary).unwrap()
}

/// The tokens that are left, and whether more than the end may come.
fn allowed(constraint: &mut Constraint, ends: &[u32]) -> (Vec<u32>, bool) {
    let mut logits = vec![0.0f32; ROWS];
    let goes_on = constraint.mask(&mut logits, ends).unwrap();
    let left = (0..ROWS as u32).filter(|&id| logits[id as usize] == 0.0);
    (left.collect(), goes_on)
}

fn take(constraint: &mut Constraint, text: &str) {
    for byte in text.bytes() {
        constraint.accept(u32::from(byte)).unwrap();
    }
}

fn schema(value: serde_json::Value) -> Spec {
    Spec::Schema(value)
}

fn refused(spec: Spec) -> String {
    match Grammar::new(spec.clone()) {
        Ok(_) => panic!("{spec:?} is taken"),
        Err(error) => {
            let text = error.to_string();
            assert_eq!(text.lines().count(), 1, "{text}");
            text
        }
    }
}

#[test]
fn only_what_may_come_is_left() {
    let mut state = constraint(Spec::Regex("yes|no+".into()));
    let (left, goes_on) = allowed(&mut state, &[END]);
    // y, n, "yes" and "no".
    assert_eq!((left, goes_on), (vec![110, 121, 259, 260], true));
    assert!(!state.may_end());
    let mut yes = state.clone();
    yes.accept(259).unwrap();
    assert!(yes.is_complete(), "nothing can follow \"yes\"");
    state.accept(260).unwrap();
    assert!(state.may_end() && !state.is_complete());
    // The ends come where the text may end, those that were asked for.
    let both = allowed(&mut state.clone(), &[END, OTHER_END]);
    assert_eq!(both, (vec![111, END, OTHER_END], true));
    assert_eq!(allowed(&mut state, &[]), (vec![111], true));
}

#[test]
fn special_tokens_and_rows_without_a_token_never_come_as_text() {
    let mut state = constraint(Spec::Regex("(?s:.)*".into()));
    let (left, _) = allowed(&mut state, &[END]);
    assert!(left.contains(&65) && left.contains(&END));
    for id in [TOOL, OTHER_END, NO_TOKEN, ROWS as u32 - 1] {
        assert!(!left.contains(&id), "{id}");
    }
    // 0xff begins no character.
    assert!(!left.contains(&255));
}

#[test]
fn a_grammar_may_name_a_special_token() {
    let mut state = constraint(Spec::Lark("start: \"a\" <|tool|>".into()));
    take(&mut state, "a");
    assert_eq!(allowed(&mut state, &[END]).0, [TOOL]);
    state.accept(TOOL).unwrap();
    assert!(state.is_complete());
}

#[test]
fn a_token_that_is_not_allowed_is_an_error() {
    let mut state = constraint(Spec::Regex("yes".into()));
    assert!(state.accept(260).is_err());
}

#[test]
fn whole_texts_are_admitted() {
    for (regex, text, admitted) in [
        ("yes|no", "yes", true),
        ("yes|no", "ye", false),
        ("yes|no", "yess", false),
        ("^a|b$", "a", true),
        ("^a|b$", "b", true),
        ("^ab$", "ab", true),
        (r"a\$", "a$", true),
        ("a/b", "a/b", true),
        (r"\d\w", "4é", true),
        (r"[\d.]+/\d", "4.5/6", true),
        (r"\d", "๓", false),
        ("[é日]+", "日é", true),
        ("(?i)yes", "YeS", true),
        (".", "\n", false),
    ] {
        let state = constraint(Spec::Regex(regex.into()));
        assert_eq!(state.admits(text), admitted, "{regex} {text}");
    }
}

#[test]
fn json_is_one_line_with_a_space_behind_commas_and_colons_at_most() {
    let state = constraint(schema(json!({
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "integer"}}},
        "required": ["a"], "additionalProperties": false
    })));
    for text in [r#"{"a":[1,2]}"#, r#"{"a": [1, 2]}"#] {
        assert!(state.admits(text), "{text}");
    }
    for text in [
        r#" {"a":[]}"#,
        r#"{"a":[]} "#,
        r#"{"a":  []}"#,
        "{\"a\":\n[]}",
        r#"{ "a":[]}"#,
        r#"{"a" :[]}"#,
        r#"{"\u0061":[]}"#,
        r#"{"a":[9007199254740992]}"#,
        r#"{"a":[],"b":1}"#,
    ] {
        assert!(!state.admits(text), "{text}");
    }
    let mut state = state;
    take(&mut state, r#"{"a":[]}"#);
    assert!(state.is_complete(), "no further pass is needed for the end");
}

#[test]
fn numbers_end() {
    let state = constraint(schema(
        json!({"type": "number", "minimum": -1, "exclusiveMaximum": 2}),
    ));
    for (text, admitted) in [
        ("0.123456", true),
        ("-1", true),
        ("1.999999", true),
        ("-0.5", true),
        ("2", false),
        ("2.0", false),
        ("0.1234567", false),
        ("1.0000000", false),
    ] {
        assert_eq!(state.admits(text), admitted, "{text}");
    }
    // Finer ones are asked for.
    let fine = json!({"type": "number", "minimum": 0.0000001, "maximum": 0.0000002});
    assert!(constraint(schema(fine)).admits("0.00000015"));
    let whole = constraint(schema(json!({"type": "integer", "minimum": 0})));
    assert!(whole.admits("9007199254740991") && !whole.admits("9007199254740992"));
}

#[test]
fn a_reference_may_come_back_to_itself() {
    let list = json!({"$ref": "#/$defs/list", "$defs": {"list": {"anyOf": [{"type": "null"}, {
        "type": "object", "properties": {"tail": {"$ref": "#/$defs/list"}},
        "required": ["tail"], "additionalProperties": false}]}}});
    let state = constraint(schema(list));
    assert!(state.admits(r#"{"tail": {"tail": null}}"#));
    assert!(!state.admits(r#"{"tail": {"tail": 1}}"#));
}

#[test]
fn dates_are_days_of_the_calendar() {
    let state = constraint(schema(json!({"type": "string", "format": "date"})));
    for (day, exists) in [
        ("2024-02-29", true),
        ("2023-02-29", false),
        ("2000-02-29", true),
        ("1900-02-29", false),
        ("2023-02-28", true),
        ("2023-04-31", false),
        ("2023-12-31", true),
        ("2023-13-01", false),
        ("2023-00-10", false),
    ] {
        assert_eq!(state.admits(&format!("\"{day}\"")), exists, "{day}");
    }
}

#[test]
fn what_has_no_effect_is_said() {
    let value = json!({"type": "integer", "minimun": 3, "x-note": 1, "uniqueItems": false,
        "title": "t", "anyOf": [{"format": "int32"}]});
    let grammar = Grammar::new(schema(value)).unwrap();
    let notes = grammar.notes().join("\n");
    assert_eq!(grammar.notes().len(), 3, "{notes}");
    for word in ["\"minimun\" (at #)", "x-note", "\"int32\" (at #/anyOf/0)"] {
        assert!(notes.contains(word), "{notes}");
    }
}

#[test]
fn a_special_token_that_the_model_lacks_is_an_error() {
    let words: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    let vocabulary = Vocabulary::of_words(&words, &[]).unwrap();
    let grammar = Grammar::new(Spec::Lark("start: <|none|>".into())).unwrap();
    let error = Constraint::new(&grammar, &vocabulary).unwrap_err();
    assert!(matches!(error, ConstraintError::Lark(_)), "{error}");
    // Without any end token the text is still followed.
    let digits = Grammar::new(Spec::Regex("[0-9]{2}".into())).unwrap();
    let mut state = Constraint::new(&digits, &vocabulary).unwrap();
    take(&mut state, "42");
    assert!(state.is_complete());
}

#[test]
fn a_vocabulary_that_cannot_spell_the_answer_is_a_dead_end() {
    let words = vec![b"a".to_vec(), b"b".to_vec()];
    let vocabulary = Vocabulary::of_words(&words, &[]).unwrap();
    let grammar = Grammar::new(Spec::Regex("ac".into())).unwrap();
    let mut state = Constraint::new(&grammar, &vocabulary).unwrap();
    state.accept(0).unwrap();
    let error = state.mask(&mut [0.0; 2], &[]).unwrap_err();
    assert_eq!(error, ConstraintError::DeadEnd);
}

/// What `narrow` leaves decides as what `mask` leaves, all along an output.
#[test]
fn the_likeliest_are_those_of_the_mask() {
    use crate::generate::sampler::ranked;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    let mut random = StdRng::seed_from_u64(3);
    for spec in [
        Spec::Regex("(yes|no|[a-f ]{2,9}\\.)+".into()),
        Spec::JsonObject,
        schema(
            json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "^[A-F]{2,5}$"}},
            "required": ["a"], "additionalProperties": false}),
        ),
        Spec::Lark("start: (\"a\" | <|tool|>)+ \"yes\"".into()),
    ] {
        for round in 0..6 {
            let mut state = constraint(spec.clone());
            let ends: &[u32] = if round % 2 == 0 { &[END] } else { &[] };
            for _ in 0..25 {
                // Few different values: many are equal.
                let logits: Vec<f32> = (0..ROWS)
                    .map(|_| random.random_range(0..40) as f32)
                    .collect();
                let mut masked = logits.clone();
                let goes_on = state.clone().mask(&mut masked, ends).unwrap();
                for k in [1, 3, 20] {
                    let mut narrowed = logits.clone();
                    let also = state.clone().narrow(&mut narrowed, ends, Some(k)).unwrap();
                    assert_eq!(goes_on, also);
                    let best = |logits: &[f32]| ranked(logits, k);
                    assert!(
                        !goes_on || best(&masked) == best(&narrowed),
                        "{spec:?}, {k}"
                    );
                }
                if !goes_on {
                    break;
                }
                let left: Vec<u32> = (0..ROWS as u32)
                    .filter(|&id| masked[id as usize] > f32::NEG_INFINITY && !ends.contains(&id))
                    .collect();
                state
                    .accept(left[random.random_range(0..left.len())])
                    .unwrap();
            }
        }
    }
}
