use std::path::PathBuf;

use serde_json::Value;

use super::*;

fn golden(name: &str) -> Picture {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/vision/resize")
        .join(name);
    let rgb = ::image::open(path).unwrap().into_rgb8();
    Picture {
        width: rgb.width() as usize,
        height: rgb.height() as usize,
        rgb: rgb.into_raw(),
    }
}

#[test]
fn bicubic_is_pillows_to_the_bit() {
    let cases = include_str!("../../../tests/fixtures/vision/resize/cases.json");
    let cases: Vec<Value> = serde_json::from_str(cases).unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let side = |key: &str| case[key].as_u64().unwrap() as usize;
        let source = golden(case["source"].as_str().unwrap());
        let expected = golden(case["result"].as_str().unwrap());
        let found = resize(&source, side("width"), side("height"), Filter::Bicubic);
        assert_eq!(
            (found.width, found.height),
            (expected.width, expected.height)
        );
        assert!(found.rgb == expected.rgb, "{case}");
    }
}

/// A picture without a pattern, but of a constant red.
fn noise(width: usize, height: usize) -> Picture {
    let mut state = 1u32;
    let rgb = (0..width * height * 3).map(|i| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match i % 3 {
            0 => 200,
            _ => (state >> 24) as u8,
        }
    });
    Picture {
        width,
        height,
        rgb: rgb.collect(),
    }
}

#[test]
fn what_is_constant_stays_so_at_any_size() {
    for (width, height, to) in [
        (1, 1, (28, 28)),
        (3, 500, (28, 56)),
        (900, 2, (1, 1)),
        (33, 44, (33, 7)),
        (33, 44, (7, 44)),
        (64, 48, (640, 481)),
    ] {
        let source = noise(width, height);
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let out = resize(&source, to.0, to.1, filter);
            assert_eq!(out.rgb.len(), to.0 * to.1 * 3);
            assert!(out.rgb.iter().step_by(3).all(|&red| red == 200));
        }
    }
}

#[test]
fn the_same_size_is_a_copy() {
    let source = noise(31, 17);
    assert!(resize(&source, 31, 17, Filter::Bicubic) == source);
}
