//! What is loaded, and what is foretold of it.

use super::*;
use crate::weights::{DTypeChoice, Quant};

/// What a loaded matrix is held in.
fn format(weight: &Weight) -> Format {
    let Weight::Host(matrix) = weight else {
        panic!("{weight:?} on a CPU");
    };
    match matrix.dtype() {
        GgmlDType::F16 => Format::F16,
        GgmlDType::BF16 => Format::BF16,
        GgmlDType::F32 => Format::F32,
        dtype => Format::Quantized(dtype),
    }
}

#[test]
fn matrices_of_seeded_numbers_are_held_as_foretold() {
    let shapes = [
        ("model.embed_tokens.weight", [64, 256]),
        ("a.weight", [3, 256]),
        ("b.weight", [5, 96]),
        ("c.weight", [2, 50]),
    ];
    let tensors = || shapes.map(|(name, shape)| (name.to_string(), shape.to_vec()));
    for stored in [Format::F32, Format::F16, Format::BF16] {
        let model = Checkpoint::synthetic("m", serde_json::Value::Null, tensors().to_vec(), stored);
        let model = model.unwrap();
        for dtype in [DTypeChoice::Auto, DTypeChoice::F32, DTypeChoice::BF16] {
            for quant in [None, Some(Quant::Q8_0), Some(Quant::Q4K)] {
                let options = LoadOptions {
                    dtype,
                    quant,
                    ..LoadOptions::default()
                };
                let loader = Loader::new(&model, &options).unwrap();
                for (name, [out, width]) in shapes {
                    let weight = loader.matrix(name, out, width).unwrap();
                    let foretold = loader.held(model.info(name).unwrap());
                    assert_eq!(format(&weight), foretold, "{name} {options:?}");
                }
            }
        }
    }
}

#[test]
fn seeded_weights_are_float_and_have_one_name_each() {
    let make = |tensors: Vec<(String, Vec<usize>)>, format| {
        Checkpoint::synthetic("m", serde_json::Value::Null, tensors, format)
    };
    let twice = vec![("a".to_string(), vec![1]), ("a".to_string(), vec![1])];
    assert!(make(twice, Format::F32).is_err());
    assert!(make(vec![], Format::Other("I8")).is_err());
    assert!(make(vec![("a".into(), vec![usize::MAX, 2])], Format::F32).is_err());
    let one = make(vec![("a".into(), vec![8])], Format::F32).unwrap();
    assert!(one.is_synthetic() && one.bytes("a").is_none());
}
