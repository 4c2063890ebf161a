//! Sound weight files: what is read from them, and what the loader makes of it.

pub mod made;
mod policy;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use crane::weights::{
    Checkpoint, DTypeChoice, Format, LoadOptions, Loader, Quant, Value, Weight, WeightsError,
};

use made::Gguf;

fn options(dtype: DTypeChoice, quant: Option<Quant>) -> LoadOptions {
    LoadOptions {
        device: Device::Cpu,
        dtype,
        quant,
        ..LoadOptions::default()
    }
}

fn auto() -> LoadOptions {
    options(DTypeChoice::Auto, None)
}

fn open(file: &Gguf) -> (tempfile::TempDir, Checkpoint) {
    let folder = tempfile::tempdir().unwrap();
    let path = file.write(folder.path(), "m.gguf");
    let checkpoint = Checkpoint::open(&path).unwrap();
    (folder, checkpoint)
}

fn numbers(weight: &Weight) -> Vec<f32> {
    let tensor = match weight {
        Weight::Host(matrix) => {
            let mut numbers = vec![0f32; matrix.rows() * matrix.width()];
            for (i, row) in numbers.chunks_mut(matrix.width()).enumerate() {
                matrix.row(i, row);
            }
            return numbers;
        }
        Weight::Float(t) => t.to_dtype(DType::F32).unwrap(),
        Weight::Quantized(q) => q.dequantize(&Device::Cpu).unwrap(),
        #[cfg(feature = "cuda")]
        Weight::Gpu(matrix) => panic!("{matrix:?} without a GPU"),
    };
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn kind(weight: &Weight) -> String {
    match weight {
        Weight::Host(matrix) => format!("{:?}", matrix.dtype()),
        Weight::Float(t) => format!("{:?}", t.dtype()),
        Weight::Quantized(q) => format!("{:?}", q.dtype()),
        #[cfg(feature = "cuda")]
        Weight::Gpu(matrix) => panic!("{matrix:?} without a GPU"),
    }
}

#[test]
fn every_type_dequantises_as_the_gguf_package_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dequant.gguf");
    let checkpoint = Checkpoint::open(path.as_ref()).unwrap();
    let auto = Loader::new(&checkpoint, &auto()).unwrap();
    let f32 = Loader::new(&checkpoint, &options(DTypeChoice::F32, None)).unwrap();
    let names: Vec<String> = checkpoint.tensors().map(|t| t.name.clone()).collect();
    let types: Vec<&str> = names
        .iter()
        .filter_map(|n| n.strip_suffix(".weight"))
        .collect();
    assert_eq!(types.len(), 12);
    for name in types {
        let expected = auto.tensor(&format!("{name}.expected"), &[3, 512]).unwrap();
        let expected = expected.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let kept = auto.matrix(&format!("{name}.weight"), 3, 512).unwrap();
        let converted = f32.matrix(&format!("{name}.weight"), 3, 512).unwrap();
        assert_eq!(kind(&converted), "F32", "{name}");
        let stored = auto.checkpoint().info(&format!("{name}.weight")).unwrap();
        let stored = stored.format.name().replace("_K", "K");
        assert_eq!(kind(&kept), stored, "{name}");
        assert_eq!(numbers(&kept), expected, "{name} kept");
        assert_eq!(numbers(&converted), expected, "{name} converted");
    }
}

#[test]
fn a_layer_of_packed_weights_is_near_the_same_layer_in_f32() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dequant.gguf");
    let checkpoint = Checkpoint::open(path.as_ref()).unwrap();
    let x: Vec<f32> = (0..1024)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0)
        .collect();
    let x = Tensor::from_vec(x, (2, 512), &Device::Cpu).unwrap();
    for info in checkpoint.tensors().filter(|t| t.format.is_quantized()) {
        let product = |dtype| {
            let loader = Loader::new(&checkpoint, &options(dtype, None)).unwrap();
            let weight = loader.matrix(&info.name, 3, 512).unwrap();
            let layer = crane::nn::Linear::new(weight, None).unwrap();
            layer.forward_tensor(&x).unwrap().to_vec2::<f32>().unwrap()
        };
        let (packed, float) = (product(DTypeChoice::Auto), product(DTypeChoice::F32));
        let size = float.concat().iter().fold(0f32, |m, y| m.max(y.abs()));
        for (packed, float) in packed.concat().iter().zip(float.concat()) {
            assert!((packed - float).abs() <= 0.02 * size, "{}", info.name);
        }
    }
}

#[test]
fn a_gguf_file_answers_by_its_own_names_and_by_hugging_face_s() {
    for version in [2, 3] {
        let mut file = Gguf::small();
        file.version = version;
        let (_folder, checkpoint) = open(&file);
        let metadata = checkpoint.metadata().unwrap();
        assert_eq!(metadata.str("general.architecture"), Some("qwen2"));
        assert_eq!(metadata.usize("qwen2.block_count"), Some(1));
        assert_eq!(
            metadata.strings("tokenizer.ggml.tokens"),
            Some(vec!["a", "b", "c"])
        );
        assert!(checkpoint.contains("blk.0.attn_q.weight"));
        let info = checkpoint
            .info("model.layers.0.self_attn.q_proj.weight")
            .unwrap();
        // GGUF's dimensions are (32, 4): the contiguous one first.
        assert_eq!(info.shape, [4, 32]);
        assert_eq!(info.format, Format::Quantized(GgmlDType::Q8_0));
        assert_eq!(info.bytes, 4 * 34);
        assert!(!checkpoint.contains("model.layers.1.self_attn.q_proj.weight"));

        let loader = Loader::new(&checkpoint, &auto()).unwrap();
        let layer = loader.under("model").under("layers.0");
        assert!(layer.contains("self_attn.q_proj.weight"));
        let q = layer.matrix("self_attn.q_proj.weight", 4, 32).unwrap();
        let expected: Vec<f32> = (0..4)
            .flat_map(|row| (0..32).map(move |i| 0.5 * f32::from((i * (row + 1)) as i8)))
            .collect();
        assert_eq!(numbers(&q), expected);
        let norm = loader.tensor("model.norm.weight", &[32]).unwrap();
        assert_eq!(norm.to_vec1::<f32>().unwrap(), made::floats(32));
        assert!(layer
            .optional("self_attn.q_proj.bias", &[4])
            .unwrap()
            .is_none());
    }
}

#[test]
fn every_value_type_of_the_metadata_is_read() {
    let mut file = Gguf::small();
    file.alignment = 64;
    file.pair("general.alignment", made::U32, 64u32.to_le_bytes().to_vec());
    file.pair("u8", 0, vec![255]);
    file.pair("i8", 1, vec![255]);
    file.pair("u16", 2, 65535u16.to_le_bytes().to_vec());
    file.pair("i16", 3, (-2i16).to_le_bytes().to_vec());
    file.pair("i32", 5, (-3i32).to_le_bytes().to_vec());
    file.pair("f32", 6, 0.25f32.to_le_bytes().to_vec());
    file.pair("bool", 7, vec![1]);
    file.pair("u64", 10, u64::MAX.to_le_bytes().to_vec());
    file.pair("i64", 11, i64::MIN.to_le_bytes().to_vec());
    file.pair("f64", 12, 0.1f64.to_le_bytes().to_vec());
    let inner = made::array(0, 2, &[1, 2]);
    file.pair("nested", made::ARRAY, made::array(made::ARRAY, 1, &inner));
    file.pair("odd text", made::STRING, {
        let mut value = 2u64.to_le_bytes().to_vec();
        value.extend([b'x', 0xff]);
        value
    });
    let (_folder, checkpoint) = open(&file);
    let metadata = checkpoint.metadata().unwrap();
    let expected = [
        ("u8", Value::Unsigned(255)),
        ("i8", Value::Signed(-1)),
        ("u16", Value::Unsigned(65535)),
        ("i16", Value::Signed(-2)),
        ("i32", Value::Signed(-3)),
        ("f32", Value::Float(0.25)),
        ("bool", Value::Bool(true)),
        ("u64", Value::Unsigned(u64::MAX)),
        ("i64", Value::Signed(i64::MIN)),
        ("f64", Value::Float(0.1)),
        (
            "nested",
            Value::Array(vec![Value::Array(vec![
                Value::Unsigned(1),
                Value::Unsigned(2),
            ])]),
        ),
        ("odd text", Value::String("x\u{fffd}".into())),
    ];
    for (key, value) in expected {
        assert_eq!(metadata.get(key), Some(&value), "{key}");
    }
    let loader = Loader::new(&checkpoint, &auto()).unwrap();
    let table = loader
        .embedding("model.embed_tokens.weight", 3, 32)
        .unwrap();
    assert_eq!(
        numbers(&table),
        made::floats(96),
        "alignment 64 is honoured"
    );
}

#[test]
fn a_split_gguf_opens_as_one_from_any_of_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Gguf::small();
    for (i, tensor) in whole.tensors.iter().enumerate() {
        let mut part = whole.clone();
        part.tensors = vec![tensor.clone()];
        part.pair("split.no", 2, (i as u16).to_le_bytes().to_vec());
        part.pair("split.count", 2, 3u16.to_le_bytes().to_vec());
        part.pair("split.tensors.count", 5, 3i32.to_le_bytes().to_vec());
        part.write(folder.path(), &format!("m-{:05}-of-00003.gguf", i + 1));
    }
    for opened in ["m-00001-of-00003.gguf", "m-00003-of-00003.gguf", ""] {
        let checkpoint = Checkpoint::open(&folder.path().join(opened)).unwrap();
        assert_eq!(checkpoint.files().len(), 3);
        let names: Vec<&str> = checkpoint.tensors().map(|t| t.name.as_str()).collect();
        let expected: Vec<&str> = whole.tensors.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, expected);
        for tensor in &whole.tensors {
            assert_eq!(checkpoint.bytes(&tensor.name), Some(tensor.data.as_slice()));
        }
    }
    std::fs::remove_file(folder.path().join("m-00002-of-00003.gguf")).unwrap();
    let error = Checkpoint::open(&folder.path().join("m-00001-of-00003.gguf"));
    let Err(WeightsError::Missing { file, reason }) = error else {
        panic!("a missing part is an error");
    };
    assert!(file.ends_with("m-00002-of-00003.gguf"));
    assert!(
        reason.starts_with("1 of the 3 parts of this model is missing"),
        "{reason}"
    );
}

#[test]
fn safetensors_open_single_and_sharded_whatever_the_alignment() {
    let a = made::safetensors_of(&[
        ("a", &[2, 3], made::floats(6)),
        ("n", &[3], made::floats(3)),
    ]);
    let single = made::folder(&a);
    let checkpoint = Checkpoint::open(single.path()).unwrap();
    assert_eq!(checkpoint.config().unwrap()["model_type"], "qwen2");
    let names: Vec<&str> = checkpoint.tensors().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["a", "n"]);

    let sharded = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(sharded.path().join(name), bytes);
    write("config.json", b"{}").unwrap();
    write("model-00001-of-00002.safetensors", &a).unwrap();
    // The odd blank puts the data at an odd address.
    let header = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]} }"#;
    let odd = [
        header,
        if header.len().is_multiple_of(2) {
            " "
        } else {
            ""
        },
    ]
    .concat();
    let b = made::safetensors(&odd, &[0x80, 0x3f, 0x20, 0xc0]);
    write("model-00002-of-00002.safetensors", &b).unwrap();
    write(
        "model.safetensors.index.json",
        br#"{"metadata":{"total_size":40},"weight_map":{
            "a":"model-00001-of-00002.safetensors","n":"model-00001-of-00002.safetensors",
            "b":"model-00002-of-00002.safetensors"}}"#,
    )
    .unwrap();
    for folder in [single.path(), sharded.path()] {
        let checkpoint = Checkpoint::open(folder).unwrap();
        let loader = Loader::new(&checkpoint, &auto()).unwrap();
        assert_eq!(numbers(&loader.matrix("a", 2, 3).unwrap()), made::floats(6));
    }
    let checkpoint = Checkpoint::open(sharded.path()).unwrap();
    assert_eq!(checkpoint.files().len(), 2);
    let loader = Loader::new(&checkpoint, &auto()).unwrap();
    let b = loader.tensor("b", &[2]).unwrap();
    assert_eq!(b.to_vec1::<f32>().unwrap(), [1.0, -2.5]);
    // Activations are f32 on a CPU, whatever the matrices are.
    let halves = Loader::new(&checkpoint, &options(DTypeChoice::BF16, None)).unwrap();
    assert_eq!(halves.tensor("b", &[2]).unwrap().dtype(), DType::F32);
}

#[test]
fn show_reads_a_gguf_file_and_a_folder_from_their_headers() {
    let show = |path: &std::path::Path, json: bool| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_crane"));
        command.arg("show").arg(path).arg("--tensors");
        if json {
            command.arg("--json");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let gguf = Gguf::small().write(folder.path(), "m.gguf");
    let json: serde_json::Value = serde_json::from_str(&show(&gguf, true)).unwrap();
    assert_eq!(json["architecture"], "qwen2");
    assert_eq!(json["parameters"], 32 + 128 + 96);
    assert_eq!(json["layers"], 1);
    assert_eq!(json["vocab_size"], 3);
    assert_eq!(json["tensor_types"]["F32"], 2);
    assert_eq!(json["quantization"], "Q8_0");
    assert_eq!(json["tensors"][1]["shape"], serde_json::json!([4, 32]));
    assert!(show(&gguf, false).contains("tensor types    F32 ×2, Q8_0 ×1"));

    let weights = made::safetensors_of(&[("model.embed_tokens.weight", &[5, 2], made::floats(10))]);
    let hf = made::folder(&weights);
    let write = |name: &str, text: &str| std::fs::write(hf.path().join(name), text).unwrap();
    write(
        "config.json",
        r#"{"architectures":["Qwen2ForCausalLM"],"hidden_size":128,"num_attention_heads":4,
            "num_key_value_heads":2,"rope_theta":1e6,"sliding_window":9,"use_sliding_window":false,
            "rope_scaling":{"rope_type":"llama3","factor":8.0}}"#,
    );
    write(
        "README.md",
        "---\nlicense: other\nlicense_name: \"qwen-research\"\n---\n# Model\n",
    );
    write(
        "tokenizer.json",
        r#"{"model":{"type":"BPE","vocab":{},"merges":[]}}"#,
    );
    write(
        "tokenizer_config.json",
        r#"{"chat_template":"{{ messages }}"}"#,
    );
    let json: serde_json::Value = serde_json::from_str(&show(hf.path(), true)).unwrap();
    assert_eq!(json["architecture"], "Qwen2ForCausalLM");
    assert_eq!(json["head_dim"], 32);
    assert_eq!(json["vocab_size"], 5);
    assert_eq!(json["rope_scaling"], "llama3 scaling by 8");
    assert_eq!(json["sliding_window"], serde_json::Value::Null);
    assert_eq!(json["license"], "qwen-research");
    assert_eq!(json["tokenizer"], "BPE");
    assert_eq!(json["chat_template"], "{{ messages }}");
    assert_eq!(json["files"].as_array().unwrap().len(), 5);
}
