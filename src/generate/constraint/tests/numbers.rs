//! Ranges drawn by chance, against what a validator says of the numbers in and beside them.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{json, Value};

use super::*;

const RANGES: usize = 2500;

/// A range as a schema says it, and in the words of 2020-12 for the validator.
struct Drawn {
    schema: Value,
    plain: Value,
    lower: Option<(f64, bool)>,
    upper: Option<(f64, bool)>,
}

/// A bound: whole, or with some digits behind the point, or near 0.
fn number(random: &mut StdRng) -> f64 {
    let whole = f64::from(random.random_range(-3i32..4));
    let digits = random.random_range(0i32..5);
    let part = f64::from(random.random_range(0i32..1000)) / 10f64.powi(digits.max(3));
    match random.random_range(0..4) {
        0 => whole,
        1 => part - part.round(),
        2 => whole * 10f64.powi(random.random_range(-8i32..5)),
        _ => format!("{:.3}", whole + part).parse().unwrap(),
    }
}

fn draw(random: &mut StdRng) -> Drawn {
    // -0 is no other bound than 0.
    let (one, other) = (number(random) + 0.0, number(random) + 0.0);
    let other = match random.random_range(0..3) {
        // Both with the same whole part.
        0 => one.trunc() + (other - other.trunc()) + 0.0,
        1 => one.trunc() + 0.0,
        _ => other,
    };
    let mut side =
        |bound| (random.random_range(0..8) > 0).then(|| (bound, random.random::<bool>()));
    let (lower, upper) = (side(one.min(other)), side(one.max(other)));
    let mut plain = json!({"type": "number"});
    let mut schema = json!({});
    let old = random.random_range(0..4) == 0;
    for (bound, names) in [
        (lower, ["minimum", "exclusiveMinimum"]),
        (upper, ["maximum", "exclusiveMaximum"]),
    ] {
        let Some((bound, open)) = bound else { continue };
        plain[names[usize::from(open)]] = bound.into();
        if old {
            schema[names[0]] = bound.into();
            schema[names[1]] = open.into();
        } else {
            schema[names[usize::from(open)]] = bound.into();
        }
    }
    let schema = match random.random_range(0..4) {
        // The bounds meet in the parser alone.
        0 => {
            let each = schema.as_object().unwrap().iter();
            let mut parts = vec![json!({"type": "number"})];
            match old {
                true => parts.push(schema.clone()),
                false => parts.extend(each.map(|(name, bound)| json!({name: bound}))),
            }
            json!({ "allOf": parts })
        }
        1 => {
            schema["type"] = json!(["number", "null"]);
            schema
        }
        _ => {
            schema["type"] = json!("number");
            schema
        }
    };
    Drawn {
        schema,
        plain,
        lower,
        upper,
    }
}

/// Numbers at a bound and beside it, as they may be written.
fn beside(bound: f64, texts: &mut Vec<String>) {
    for near in [
        bound,
        bound.trunc(),
        bound.floor(),
        bound.ceil(),
        bound.next_up(),
        bound.next_down(),
        bound + 1e-6,
        bound - 1e-6,
        bound + 1e-9,
        bound - 1e-9,
        -bound,
        bound / 2.0,
        bound + 0.1,
        bound - 0.1,
    ] {
        texts.extend([
            format!("{near}"),
            format!("{near:.1}"),
            format!("{near:.6}"),
            format!("{near:.25}"),
        ]);
    }
}

/// An output of tokens that the mask leaves, drawn by chance.
fn walk(mut state: Constraint, random: &mut StdRng) -> Option<String> {
    let mut text = String::new();
    for _ in 0..40 {
        let (left, goes_on) = allowed(&mut state, &[END]);
        if !goes_on || left.contains(&END) && random.random_range(0..3) == 0 {
            return Some(text);
        }
        let more: Vec<u32> = left.into_iter().filter(|&id| id < 256).collect();
        let id = *more.get(random.random_range(0..more.len().max(1)))?;
        text.push(char::from(id as u8));
        state.accept(id).unwrap();
    }
    None
}

#[test]
fn every_number_that_may_come_is_in_its_range() {
    let mut random = StdRng::seed_from_u64(11);
    let (mut seen, mut refused) = (0, 0);
    for _ in 0..RANGES {
        let drawn = draw(&mut random);
        let Drawn { schema, plain, .. } = &drawn;
        let valid = jsonschema::validator_for(plain).unwrap();
        let within = |text: &str| {
            let value: Value = serde_json::from_str(text).unwrap();
            value.is_null() || valid.is_valid(&value)
        };
        let empty = match (drawn.lower, drawn.upper) {
            (Some((lower, open)), Some((upper, also))) => {
                lower > upper || lower == upper && (open || also)
            }
            _ => false,
        };
        if let Err(error) = Grammar::new(Spec::Schema(schema.clone())) {
            let null = schema["type"].is_array();
            // What `allOf` puts together has six digits behind the point, and may have no room for them.
            let tight = schema.get("allOf").is_some()
                && drawn
                    .lower
                    .zip(drawn.upper)
                    .is_some_and(|(lower, upper)| upper.0 - lower.0 < 1e-5);
            assert!((empty || tight) && !null, "{schema}: {error}");
            refused += 1;
            continue;
        }
        let state = constraint(Spec::Schema(schema.clone()));
        let mut texts = vec!["0".to_string(), "-0".into(), "-0.0".into(), "1e-7".into()];
        for (bound, _) in drawn.lower.into_iter().chain(drawn.upper) {
            beside(bound, &mut texts);
        }
        for text in &texts {
            let admitted = state.admits(text);
            assert!(!admitted || within(text), "{schema} admits {text}");
            seen += usize::from(admitted);
        }
        // A closed bound itself may come.
        for (bound, open) in drawn.lower.into_iter().chain(drawn.upper) {
            let reached = || {
                let forms = [format!("{bound}"), format!("{bound:.6}")];
                forms.iter().any(|text| state.admits(text))
            };
            let finer = format!("{bound:.6}").parse() != Ok(bound);
            assert!(open || empty || finer || reached(), "{schema}: {bound}");
        }
        for _ in 0..3 {
            if let Some(text) = walk(state.clone(), &mut random) {
                assert!(within(&text), "{schema} gave {text}");
            }
        }
    }
    assert!(seen > RANGES && refused > RANGES / 50, "{seen}, {refused}");
}

#[test]
fn open_bounds_with_one_whole_part_keep_the_bound_out() {
    for (schema, out, in_range) in [
        (
            json!({"exclusiveMinimum": 0, "maximum": 0.5}),
            ["0", "0.0"],
            ["0.5", "0.000001"],
        ),
        (
            json!({"exclusiveMinimum": 2, "maximum": 2.5}),
            ["2", "2.5001"],
            ["2.5", "2.000001"],
        ),
        (
            json!({"exclusiveMinimum": 1, "exclusiveMaximum": 1.25}),
            ["1", "1.25"],
            ["1.249999", "1.000001"],
        ),
        (
            json!({"minimum": -0.5, "exclusiveMaximum": 0}),
            ["0", "-0"],
            ["-0.5", "-0.000001"],
        ),
        (
            json!({"exclusiveMinimum": 0, "maximum": 1e-7}),
            ["0", "0.0000002"],
            ["0.0000001", "0.00000001"],
        ),
        (
            json!({"exclusiveMinimum": 0, "minimum": 0.25, "maximum": 0.5}),
            ["0", "0.24"],
            ["0.25", "0.5"],
        ),
    ] {
        let mut typed = schema.clone();
        typed["type"] = json!("number");
        let state = constraint(super::schema(typed));
        for (text, admitted) in out
            .map(|t| (t, false))
            .into_iter()
            .chain(in_range.map(|t| (t, true)))
        {
            assert_eq!(state.admits(text), admitted, "{schema} {text}");
        }
    }
}

#[test]
fn an_empty_range_is_told_in_the_schemas_own_words() {
    for (schema, words) in [
        (
            json!({"type": "number", "exclusiveMinimum": 1, "maximum": 1}),
            "exclusiveMinimum (1) is equal to maximum (1)",
        ),
        (
            json!({"type": "number", "exclusiveMinimum": 2, "exclusiveMaximum": 1.5}),
            "exclusiveMinimum (2) is greater than exclusiveMaximum (1.5)",
        ),
        (
            json!({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
            "integer interval (0, 1) contains no integer values",
        ),
    ] {
        let text = refused(super::schema(schema));
        assert!(text.contains(words), "{text}");
    }
}
