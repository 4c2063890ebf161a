//! The size at which a model sees a picture.

use super::ProcessorError;

/// The most that one side may be of the other, in Qwen's rule.
const MOST_ASPECT: f64 = 200.0;

/// Qwen's `smart_resize`: width and height as multiples of `factor`, close to the picture's own, with `min ..= max` pixels
/// (transformers, `image_processing_qwen2_vl.py`). Halves are rounded to even, as Python does.
///
/// # Errors
/// A picture more than 200 times as long as it is wide.
pub fn smart_resize(
    [width, height]: [usize; 2],
    factor: usize,
    min: usize,
    max: usize,
) -> Result<[usize; 2], ProcessorError> {
    let sides = [width, height].map(|side| side as f64);
    let (short, long) = (sides[0].min(sides[1]), sides[0].max(sides[1]));
    if short < 1.0 || long / short > MOST_ASPECT {
        return Err(ProcessorError::Aspect { width, height });
    }
    let unit = factor as f64;
    let near = sides.map(|side| (side / unit).round_ties_even() * unit);
    let area = sides[0] * sides[1];
    let found = if near[0] * near[1] > max as f64 {
        let beta = (area / max as f64).sqrt();
        sides.map(|side| unit.max((side / beta / unit).floor() * unit))
    } else if near[0] * near[1] < min as f64 {
        let beta = (min as f64 / area).sqrt();
        sides.map(|side| (side * beta / unit).ceil() * unit)
    } else {
        near
    };
    Ok(found.map(|side| side as usize).map(|side| side.max(factor)))
}

/// Namo's rule: width and height as multiples of `factor`, the shorter side not below `shortest` and the longer not above
/// `longest` where that is possible (github.com/lucasjinreal/Namo-R1, `NamoImageProcessor`). A picture with one very long
/// side is distorted.
pub fn namo_resize(
    [width, height]: [usize; 2],
    factor: usize,
    shortest: f64,
    longest: f64,
) -> [usize; 2] {
    let mut sides = [width, height].map(|side| side as f64);
    let (short, long) = (sides[0].min(sides[1]), sides[0].max(sides[1]));
    if short < shortest || long > longest {
        let mut scale = if long > longest { longest / long } else { 1.0 };
        if short * scale < shortest {
            scale = shortest / short;
        }
        sides = sides.map(|side| (side * scale).round_ties_even());
        if sides[0].max(sides[1]) > longest {
            let wider = sides[0] > sides[1];
            sides[usize::from(!wider)] = longest;
        }
    }
    sides.map(|side| (side as usize / factor * factor).max(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: usize = 4 * 28 * 28;
    const LARGE: usize = 16_384 * 28 * 28;
    const SMALL: usize = 1280 * 28 * 28;

    /// Height and width in and out, as the reference writes them.
    fn qwen(height: usize, width: usize, max: usize) -> (usize, usize) {
        let [width, height] = smart_resize([width, height], 28, MIN, max).unwrap();
        (height, width)
    }

    #[test]
    fn qwens_examples() {
        for ((h, w), large, small) in [
            ((150, 230), (140, 224), (140, 224)),
            ((1080, 1920), (1092, 1932), (728, 1316)),
            ((28, 28), (56, 56), (56, 56)),
            ((70, 70), (56, 56), (56, 56)),
            ((5000, 5000), (3556, 3556), (980, 980)),
            ((480, 640), (476, 644), (476, 644)),
            ((100, 30), (112, 28), (112, 28)),
            ((98, 126), (112, 112), (112, 112)),
            ((20, 300), (28, 308), (28, 308)),
            ((1365, 2048), (1372, 2044), (812, 1204)),
        ] {
            assert_eq!(qwen(h, w, LARGE), large, "{h} x {w}");
            assert_eq!(qwen(h, w, SMALL), small, "{h} x {w}");
        }
    }

    #[test]
    fn sides_are_never_0_and_long_strips_are_refused() {
        assert_eq!(qwen(1, 1, LARGE), (56, 56));
        assert_eq!(qwen(1, 150, LARGE), (28, 700));
        assert_eq!(qwen(10, 2000, LARGE), (28, 812));
        for size in [[10_000, 1], [1, 201], [0, 5]] {
            let error = smart_resize(size, 28, MIN, LARGE).unwrap_err();
            assert!(error.to_string().contains("200"), "{error}");
        }
        assert_eq!(smart_resize([3, 3], 28, 1, 1).unwrap(), [28, 28]);
    }

    #[test]
    fn sizes_are_those_of_the_published_code() {
        let text = include_str!("../../tests/fixtures/vision/sizes.json");
        let rows: serde_json::Value = serde_json::from_str(text).unwrap();
        let all = |model: &str| -> Vec<[usize; 6]> {
            serde_json::from_value(rows[model].clone()).unwrap()
        };
        for [h, w, min, max, height, width] in all("qwen") {
            let found = smart_resize([w, h], 28, min, max).unwrap();
            assert_eq!(found, [width, height], "{h} x {w}, {min} to {max}");
        }
        for [h, w, shortest, longest, height, width] in all("namo") {
            let found = namo_resize([w, h], 28, shortest as f64, longest as f64);
            // The published code may arrive at a side of 0, which is no picture.
            let expected = [width.max(28), height.max(28)];
            assert_eq!(found, expected, "{h} x {w}, {shortest} to {longest}");
        }
    }

    #[test]
    fn namos_examples() {
        let rule = |(height, width): (usize, usize), shortest: f64| {
            let [width, height] = namo_resize([width, height], 28, shortest, 700.0);
            (height, width)
        };
        for (size, expected) in [
            ((480, 640), [(476, 616); 4]),
            (
                (1080, 1920),
                [(392, 700), (392, 700), (392, 700), (448, 700)],
            ),
            (
                (300, 1000),
                [(196, 700), (196, 700), (224, 700), (448, 700)],
            ),
            ((50, 50), [(28, 28), (28, 28), (224, 224), (448, 448)]),
            ((700, 700), [(700, 700); 4]),
        ] {
            for (shortest, expected) in [28.0, 42.0, 224.0, 448.0].into_iter().zip(expected) {
                assert_eq!(rule(size, shortest), expected, "{size:?} {shortest}");
            }
        }
        assert_eq!(rule((1, 1), 1.0), (28, 28));
    }
}
