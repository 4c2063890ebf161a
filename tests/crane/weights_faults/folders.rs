//! Damaged safetensors files and incomplete folders.

use crane::weights::Checkpoint;

use super::{message, safetensors_message, REMEDY};
use crate::weights::made;

#[test]
fn a_damaged_safetensors_file_says_what_is_wrong() {
    let tensor = |fields: &str| made::safetensors(&format!(r#"{{"a":{{{fields}}}}}"#), &[0; 8]);
    let cases: Vec<(Vec<u8>, String)> = vec![
        (b"".to_vec(), "the file is empty".into()),
        (b"\x10\0\0".to_vec(), "the file is cut short: 3 of 8 bytes (the header's length)".into()),
        (
            (1u64 << 60).to_le_bytes().to_vec(),
            format!("not a sound safetensors file: it declares a header of {} bytes (100000000 at most)", 1u64 << 60),
        ),
        (
            [&200u64.to_le_bytes()[..], b"{\"a\":"].concat(),
            "the file is cut short: 13 of 208 bytes (the header)".into(),
        ),
        (
            made::safetensors("{\"a\": nonsense}", b""),
            "the safetensors header is damaged: expected ident at line 1 column 8".into(),
        ),
        (
            made::safetensors("[1]", b""),
            "the safetensors header is damaged: invalid type: sequence, expected an object of tensors at line 1 column 0".into(),
        ),
        (
            made::safetensors(&"[".repeat(100_000), b""),
            "the safetensors header is damaged: invalid type: sequence".into(),
        ),
        (
            made::safetensors(&format!("{{\"__metadata__\":{}", "[".repeat(100_000)), b""),
            "the safetensors header is damaged: EOF while parsing a list".into(),
        ),
        (
            tensor(r#""dtype":"F32","shape":[3],"data_offsets":[0,8]"#),
            "tensor 'a': the data range 0..8 is not the 12 bytes of F32 [3]".into(),
        ),
        (
            tensor(r#""dtype":"F32","shape":[2],"data_offsets":[8,0]"#),
            "tensor 'a': the data range 8..0 is not the 8 bytes of F32 [2]".into(),
        ),
        (
            tensor(r#""dtype":"F32","shape":[2],"data_offsets":[8,16]"#),
            "tensor 'a' ends at byte 16 of the data, past the 8 bytes that all tensors take".into(),
        ),
        (
            tensor(r#""dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]"#),
            "tensor 'a': the shape [4294967296, 4294967296, 4] is absurdly large".into(),
        ),
        (
            tensor(r#""dtype":"F32","shape":[3],"data_offsets":[0,12]"#),
            "the file is cut short: 71 of 75 bytes (tensor 'a' reaches past the end)".into(),
        ),
        (
            made::safetensors(
                r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
                &[0; 2],
            ),
            "tensor 'a': is there twice".into(),
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            "not a safetensors file but a git-lfs pointer or a web page".into(),
        ),
    ];
    for (bytes, expected) in cases {
        let error = safetensors_message(&bytes);
        let expected = format!("model.safetensors: {expected}");
        assert!(error.starts_with(&expected), "{error}\nexpected {expected}");
        assert!(error.ends_with(REMEDY), "{error}");
    }
    assert_eq!(
        safetensors_message(&tensor(r#""dtype":"F99","shape":[2],"data_offsets":[0,8]"#)),
        "model.safetensors: unsupported tensor type 'F99' of tensor 'a'; use another copy of the model"
    );
}

#[test]
fn an_incomplete_folder_names_the_file_that_is_missing() {
    let weights = made::safetensors_of(&[("a", &[1], vec![1.0])]);
    let folder = made::folder(&weights);
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();

    write("config.json", "{\"hidden_size\": ");
    assert_eq!(
        message(folder.path()),
        format!(
            "config.json: not valid JSON: EOF while parsing a value at line 1 column 16; {REMEDY}"
        )
    );
    write("config.json", "[]");
    assert_eq!(
        message(folder.path()),
        format!("config.json: holds no JSON object; {REMEDY}")
    );
    std::fs::remove_file(at("config.json")).unwrap();
    assert_eq!(
        message(folder.path()),
        "config.json: no such file, and without it the model's kind is unknown; fetch the whole model with 'crane pull MODEL'"
    );
    write("config.json", "{}");

    std::fs::rename(at("model.safetensors"), at("one.safetensors")).unwrap();
    assert!(
        Checkpoint::open(folder.path()).is_ok(),
        "the only file there is"
    );
    let index = "model.safetensors.index.json";
    write(
        index,
        r#"{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"#,
    );
    let index_path = at(index).display().to_string();
    assert_eq!(
        message(folder.path()).replace(&index_path, index),
        format!(
            "two.safetensors: no such file, but {index} names it (1 of 2 files missing); {REMEDY}"
        )
    );
    write(
        index,
        r#"{"weight_map":{"a":"one.safetensors","b":"one.safetensors"}}"#,
    );
    assert_eq!(
        message(folder.path()),
        format!(
            "one.safetensors: tensor 'b' is not in this file, where {index} says it is; {REMEDY}"
        )
    );
    write(index, r#"{"weight_map":{"a":"../one.safetensors"}}"#);
    assert_eq!(
        message(folder.path()),
        format!("{index}: names no file of this folder for tensor 'a'; {REMEDY}")
    );
    write(index, r#"{"weight_map":[]}"#);
    assert_eq!(
        message(folder.path()),
        format!("{index}: has no object 'weight_map'; {REMEDY}")
    );
    std::fs::remove_file(at(index)).unwrap();
    std::fs::remove_file(at("one.safetensors")).unwrap();
    assert_eq!(
        message(folder.path()),
        "model.safetensors: no such file, and no GGUF file beside it; fetch the model with 'crane pull MODEL'"
    );
    write("pytorch_model.bin", "");
    assert!(message(folder.path()).contains("holds PyTorch pickle weights only"));
    assert_eq!(
        message(&at("absent.gguf")),
        "absent.gguf: no such file or folder; fetch the model with 'crane pull MODEL'"
    );
}
