//! Boxes and points that Qwen2.5-VL names, brought back from the picture that the model saw to the one it was made of.
//!
//! The model answers with a JSON list of `{"bbox_2d": [x1, y1, x2, y2], "label": …}` or `{"point_2d": [x, y], …}` in pixels
//! of the resized picture (Bai et al., 2025, arXiv:2502.13923, section 2.2).

use serde_json::{Map, Value};

/// The keys that hold pixels: x and y in turn.
const KEYS: [&str; 2] = ["bbox_2d", "point_2d"];

/// The objects with a box or a point in `answer`, in order, in pixels of a picture of `original` size (width, height) where
/// the model saw `seen`. Other keys stay; a list that was cut off gives the objects before the cut.
pub fn boxes(answer: &str, seen: [usize; 2], original: [usize; 2]) -> Vec<Value> {
    let mut found = Vec::new();
    let mut rest = answer;
    while let Some(at) = rest.find('{') {
        rest = &rest[at..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Map<String, Value>>();
        match values.next() {
            Some(Ok(mut object)) => {
                match scale(&mut object, seen, original) {
                    true => {
                        rest = &rest[values.byte_offset()..];
                        found.push(Value::Object(object));
                    }
                    // Its boxes may lie deeper.
                    false => rest = &rest[1..],
                }
            }
            _ => rest = &rest[1..],
        }
    }
    found
}

/// Whether the object has a box or a point, which is scaled.
fn scale(object: &mut Map<String, Value>, seen: [usize; 2], original: [usize; 2]) -> bool {
    let mut any = false;
    for key in KEYS {
        let Some(numbers) = object.get_mut(key).and_then(Value::as_array_mut) else {
            continue;
        };
        let wanted = if key == KEYS[0] { 4 } else { 2 };
        if numbers.len() != wanted || numbers.iter().any(|x| x.as_f64().is_none()) {
            continue;
        }
        for (i, x) in numbers.iter_mut().enumerate() {
            let axis = i % 2;
            let factor = original[axis] as f64 / seen[axis].max(1) as f64;
            let pixels = x.as_f64().unwrap_or_default() * factor;
            *x = (pixels.round().clamp(0.0, original[axis] as f64) as u64).into();
        }
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn boxes_and_points_are_in_pixels_of_the_original() {
        let answer = "```json\n[\n\t{\"bbox_2d\": [10, 20, 100.5, 200], \"label\": \"a {cat}\"},\n\t{\"point_2d\": [3, 5]}\n]\n```";
        let found = boxes(answer, [100, 200], [400, 100]);
        assert_eq!(
            found,
            [
                json!({"bbox_2d": [40, 10, 400, 100], "label": "a {cat}"}),
                json!({"point_2d": [12, 3]})
            ]
        );
    }

    #[test]
    fn what_is_cut_off_or_no_box_is_left_out() {
        let answer = r#"[{"bbox_2d": [1, 2, 3, 4]}, {"label": "x"}, {"bbox_2d": [1, 2]}, {"bbox_2d": [5, 6, 7"#;
        assert_eq!(
            boxes(answer, [1, 1], [2, 2]),
            [json!({"bbox_2d": [2, 2, 2, 2]})]
        );
        assert!(boxes("There is none. {", [1, 1], [2, 2]).is_empty());
        assert!(boxes("", [1, 1], [2, 2]).is_empty());
    }

    #[test]
    fn boxes_within_an_object_are_found() {
        let answer = r#"{"objects": [{"bbox_2d": [1, 1, 2, 2]}]}"#;
        assert_eq!(boxes(answer, [2, 2], [2, 2]).len(), 1);
    }
}
