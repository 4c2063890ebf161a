//! The ranges of numbers.

use serde_json::{Map, Value};

/// The largest whole number up to which f64, and so every JSON reader, keeps all.
const MOST: u64 = (1 << 53) - 1;

/// The step of numbers where the schema names none.
const FINEST: f64 = 1e-6;

/// The least number above 0 that is written, where the schema has no room for finer ones alone.
const LEAST: f64 = 1e-9;

/// Numbers of a size that every reader keeps, where the schema does not say more.
pub(super) fn bound(map: &mut Map<String, Value>) {
    const LOWER: [&str; 2] = ["minimum", "exclusiveMinimum"];
    const UPPER: [&str; 2] = ["maximum", "exclusiveMaximum"];
    const OTHERS: [&str; 6] = ["enum", "const", "$ref", "anyOf", "oneOf", "allOf"];
    let fractions = is_type(map, "number");
    if !(fractions || is_type(map, "integer"))
        || OTHERS.iter().any(|keyword| map.contains_key(*keyword))
    {
        return;
    }
    let value = |keyword: &&str| map.get(*keyword).and_then(Value::as_f64);
    let lower = LOWER.iter().find_map(value);
    let upper = UPPER.iter().find_map(value);
    let most = MOST as f64;
    if lower.is_none() && upper.is_none_or(|upper| upper > -most) {
        map.insert("minimum".into(), (-(MOST as i64)).into());
    }
    if upper.is_none() && lower.is_none_or(|lower| lower < most) {
        map.insert("maximum".into(), MOST.into());
    }
    let width = upper.unwrap_or(most) - lower.unwrap_or(-most);
    if fractions && width >= 100.0 * FINEST && !map.contains_key("multipleOf") {
        map.insert("multipleOf".into(), FINEST.into());
    }
}

/// Writes open bounds as closed ones, at the next number that an f64 holds.
///
/// The parser's expression for a range takes in the open bound nearer to 0 where it is whole and the other has the same
/// whole part, (2, 2.5] for one; and a number with more digits than an f64 keeps may be the bound to a JSON reader. In
/// exchange the closed bound farther from 0 loses the beginnings of its own digits, so that one stays open where a step
/// bounds the digits. Nothing else is lost, but what is below [`LEAST`] beside 0.
pub(super) fn close(map: &mut Map<String, Value>) {
    // Whole numbers have their own expression, which is right.
    if map.contains_key("type") && !is_type(map, "number") {
        return;
    }
    let number = |keyword: &str| map.get(keyword).and_then(Value::as_f64);
    let (minimum, maximum) = (number("minimum"), number("maximum"));
    let open = |keyword: &str, bound: Option<f64>| match map.get(keyword) {
        // As draft 4 says it.
        Some(Value::Bool(true)) => bound,
        other => other.and_then(Value::as_f64),
    };
    let above = open("exclusiveMinimum", minimum);
    let below = open("exclusiveMaximum", maximum);
    let lower = minimum.into_iter().chain(above).reduce(f64::max);
    let upper = maximum.into_iter().chain(below).reduce(f64::min);
    let empty = lower.zip(upper).is_some_and(|(lower, upper)| {
        lower > upper || lower == upper && (above == Some(lower) || below == Some(upper))
    });
    if empty {
        // The parser says so by the names that the user wrote.
        return;
    }
    let stepped = map.contains_key("multipleOf");
    if let Some(above) = above.filter(|above| *above >= 0.0 || !stepped) {
        let least = next(above, upper);
        map.shift_remove("exclusiveMinimum");
        if minimum.is_none_or(|minimum| minimum < least) {
            map.insert("minimum".into(), least.into());
        }
    }
    if let Some(below) = below.filter(|below| *below <= 0.0 || !stepped) {
        let most = -next(-below, lower.map(|lower| -lower));
        map.shift_remove("exclusiveMaximum");
        if maximum.is_none_or(|maximum| maximum > most) {
            map.insert("maximum".into(), most.into());
        }
    }
}

/// The number that takes the place of the open bound `above` in a range up to `upper`.
fn next(above: f64, upper: Option<f64>) -> f64 {
    if above != 0.0 {
        return above.next_up();
    }
    let room = upper.unwrap_or(f64::INFINITY) / 1000.0;
    room.clamp(f64::MIN_POSITIVE, LEAST)
}

fn is_type(map: &Map<String, Value>, name: &str) -> bool {
    match map.get("type") {
        Some(Value::Array(types)) => types.iter().any(|known| known == name),
        Some(known) => known == name,
        None => false,
    }
}
