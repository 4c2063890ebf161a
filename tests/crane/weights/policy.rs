//! What `--dtype` and `--quant` make of stored tensors.

use candle_core::DType;
use crane::weights::{Checkpoint, DTypeChoice, Format, Loader, Quant, Weight};

use super::made::{self, Gguf};
use super::{auto, kind, numbers, open, options};

#[test]
fn a_tied_head_is_the_same_memory_as_the_embedding() {
    let (_folder, checkpoint) = open(&Gguf::small());
    let loader = Loader::new(&checkpoint, &options(DTypeChoice::Auto, Some(Quant::Q8_0))).unwrap();
    let table = loader
        .under("model")
        .embedding("embed_tokens.weight", 3, 32)
        .unwrap();
    let head = loader.matrix("model.embed_tokens.weight", 3, 32).unwrap();
    let (Weight::Host(table), Weight::Host(head)) = (table, head) else {
        panic!("on a CPU");
    };
    assert!(std::sync::Arc::ptr_eq(&table, &head));
}

#[test]
fn the_loader_follows_dtype_and_quant() {
    let mut file = Gguf::small();
    file.tensor("blk.0.ffn_down.weight", &[256, 2], made::F32, {
        made::f32_bytes(&made::floats(512))
    });
    file.tensor("blk.0.ffn_up.weight", &[20, 2], made::F32, {
        made::f32_bytes(&made::floats(40))
    });
    let (_folder, checkpoint) = open(&file);
    let cases = [
        // dtype, quant, activations, then q (Q8_0, width 32), down (256), up (20), embedding (32)
        (
            DTypeChoice::Auto,
            None,
            DType::F32,
            ["Q8_0", "F32", "F32", "F32"],
        ),
        (
            DTypeChoice::F32,
            None,
            DType::F32,
            ["F32", "F32", "F32", "F32"],
        ),
        (
            DTypeChoice::F16,
            None,
            DType::F32,
            ["F16", "F16", "F16", "F16"],
        ),
        (
            DTypeChoice::BF16,
            None,
            DType::F32,
            ["BF16", "BF16", "BF16", "BF16"],
        ),
        (
            DTypeChoice::Auto,
            Some(Quant::Q8_0),
            DType::F32,
            ["Q8_0", "Q8_0", "F32", "Q8_0"],
        ),
        (
            DTypeChoice::Auto,
            Some(Quant::Q4_0),
            DType::F32,
            ["Q4_0", "Q4_0", "F32", "Q8_0"],
        ),
        (
            DTypeChoice::Auto,
            Some(Quant::Q4K),
            DType::F32,
            ["Q4_0", "Q4K", "F32", "Q8_0"],
        ),
        (
            DTypeChoice::Auto,
            Some(Quant::Q4KM),
            DType::F32,
            // A model of one layer: its last eighth, and a table that is the head too.
            ["Q5_0", "Q6K", "F32", "Q8_0"],
        ),
        (
            DTypeChoice::F32,
            Some(Quant::Q6K),
            DType::F32,
            ["Q8_0", "Q6K", "F32", "Q8_0"],
        ),
    ];
    for (dtype, quant, activations, expected) in cases {
        let loader = Loader::new(&checkpoint, &options(dtype, quant)).unwrap();
        assert_eq!(loader.dtype(), activations, "{dtype:?} {quant:?}");
        let layer = loader.under("model.layers.0");
        let made = [
            layer.matrix("self_attn.q_proj.weight", 4, 32).unwrap(),
            layer.matrix("mlp.down_proj.weight", 2, 256).unwrap(),
            layer.matrix("mlp.up_proj.weight", 2, 20).unwrap(),
            loader.matrix("model.embed_tokens.weight", 3, 32).unwrap(),
        ];
        assert_eq!(made.each_ref().map(kind), expected, "{dtype:?} {quant:?}");
        let norm = loader.tensor("model.norm.weight", &[32]).unwrap();
        assert_eq!(norm.dtype(), activations);
        // Rounding: half a step of the coarsest type over the range −32 … 93.
        let worst = numbers(&made[1])
            .iter()
            .zip(made::floats(512))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(worst < 5.0, "{dtype:?} {quant:?}: {worst}");
    }
}

#[test]
fn what_changes_a_number_s_type_is_said() {
    let (_folder, checkpoint) = open(&Gguf::small());
    let notes = |dtype, quant| {
        let loader = Loader::new(&checkpoint, &options(dtype, quant)).unwrap();
        loader.notes()
    };
    assert_eq!(notes(DTypeChoice::Auto, None), [""; 0]);
    assert_eq!(
        notes(DTypeChoice::F32, None),
        ["quantised weights (Q8_0 ×1) are dequantised to f32"]
    );
    assert_eq!(
        notes(DTypeChoice::F16, Some(Quant::Q4_0)),
        [
            "--quant q4_0: matrices are quantised at load to Q4_0 ×1, Q8_0 ×1",
            "the file is quantised already (Q8_0 ×1): quantising again loses accuracy",
            "with --quant activations are computed in f32; --dtype f16 has no effect",
        ]
    );
    let header = r#"{"a.weight":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}"#;
    let folder = made::folder(&made::safetensors(header, &[0; 4]));
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let loader = Loader::new(&checkpoint, &auto()).unwrap();
    assert_eq!(loader.dtype(), DType::F32);
    assert_eq!(loader.matrix_dtype(Format::BF16), DType::BF16);
    assert_eq!(loader.notes(), [""; 0]);
}
