use super::*;
use serde_json::json;

fn wants(family: Family) -> Wants {
    Wants {
        family,
        patch: 14,
        merge: 2,
        normalisation: None,
        longest: None,
        shortest: None,
        bytes_a_patch: 1000,
    }
}

fn qwen(json: Option<Value>, limits: Limits) -> Rule {
    ImageProcessor::new(json.as_ref(), &wants(Family::Qwen), limits)
        .unwrap()
        .rule
}

#[test]
fn qwens_limits_stand_in_two_spellings() {
    let none = Limits::default();
    let own = Rule::Pixels {
        min: 100,
        max: 5000,
    };
    assert_eq!(
        qwen(Some(json!({"min_pixels": 100, "max_pixels": 5000})), none),
        own
    );
    let new = json!({"size": {"shortest_edge": 100, "longest_edge": 5000}});
    assert_eq!(qwen(Some(new), none), own);
    assert_eq!(
        qwen(None, none),
        Rule::Pixels {
            min: 3136,
            max: 1_003_520
        }
    );
    assert_eq!(
        qwen(Some(json!({})), none),
        Rule::Pixels {
            min: 3136,
            max: 12_845_056
        }
    );
}

#[test]
fn the_users_limits_win_and_memory_bounds_the_rest() {
    let file = || Some(json!({"min_pixels": 3136, "max_pixels": 12_845_056}));
    let memory = Limits {
        memory: Some(4_000_000),
        ..Limits::default()
    };
    assert_eq!(
        qwen(file(), memory),
        Rule::Pixels {
            min: 3136,
            max: 4000 * 196
        }
    );
    let both = Limits {
        max_pixels: Some(2_000_000),
        ..memory
    };
    assert_eq!(
        qwen(file(), both),
        Rule::Pixels {
            min: 3136,
            max: 2_000_000
        }
    );
    let tiny = Limits {
        max_pixels: Some(1000),
        ..Limits::default()
    };
    assert_eq!(
        qwen(file(), tiny),
        Rule::Pixels {
            min: 1000,
            max: 1000
        }
    );
}

#[test]
fn namos_shortest_side_is_the_configurations_or_the_files() {
    let rule = |json: Value, longest, shortest| {
        let wants = Wants {
            longest,
            shortest,
            ..wants(Family::Namo)
        };
        match ImageProcessor::new(Some(&json), &wants, Limits::default())
            .unwrap()
            .rule
        {
            Rule::Sides { shortest, longest } => (shortest, longest),
            other => panic!("{other:?}"),
        }
    };
    let size = json!({"size": {"shortest_edge": 448}});
    assert_eq!(rule(size.clone(), None, None), (448.0, 700.0));
    assert_eq!(rule(size.clone(), Some(900), None), (42.0, 700.0));
    assert_eq!(rule(size, Some(900), Some(30)), (30.0, 700.0));
    assert_eq!(
        rule(json!({"size": {"height": 224, "width": 224}}), None, None),
        (28.0, 700.0)
    );
    assert_eq!(rule(json!({"size": 56}), None, None), (56.0, 700.0));
}

#[test]
fn what_is_asked_for_and_not_done_is_refused() {
    for (json, word) in [
        (json!({"do_center_crop": true}), "centre crop"),
        (json!({"patch_size": 16}), "patch_size"),
        (json!({"resample": 0}), "resample"),
        (json!({"image_std": [0, 1, 1]}), "image_std"),
        (json!({"image_mean": [1, 2]}), "image_mean"),
        (json!({"max_pixels": -5}), "max_pixels"),
        (json!({"do_rescale": "yes"}), "do_rescale"),
    ] {
        let found = ImageProcessor::new(Some(&json), &wants(Family::Qwen), Limits::default());
        let error = found.err().unwrap();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn what_the_user_asks_for_has_to_fit() {
    let limits = Limits {
        min_pixels: Some(1 << 40),
        memory: Some(1 << 30),
        ..Limits::default()
    };
    let made = ImageProcessor::new(None, &wants(Family::Qwen), limits).unwrap();
    let picture = Picture {
        width: 1,
        height: 1,
        rgb: vec![0; 3],
    };
    let error = made.prepare(picture, "dot").unwrap_err().to_string();
    assert!(
        error.starts_with("dot: ") && error.contains("--min-pixels"),
        "{error}"
    );
}

#[test]
fn a_picture_becomes_patches() {
    let picture = Picture {
        width: 60,
        height: 50,
        rgb: vec![255; 60 * 50 * 3],
    };
    let json = json!({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]});
    let made = ImageProcessor::new(Some(&json), &wants(Family::Qwen), Limits::default()).unwrap();
    let prepared = made.prepare(picture, "x").unwrap();
    assert_eq!((prepared.original, prepared.resized), ([60, 50], [56, 56]));
    assert_eq!(prepared.grid, [1, 4, 4]);
    assert_eq!(prepared.rows.len(), 16 * 588);
    assert!(prepared.rows.iter().all(|x| *x == 1.0));
}
