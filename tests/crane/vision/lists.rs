//! The published checkpoints, by names and shapes alone: crane's loader asks for what they hold, and for nothing else.

use crane::models;
use crane::weights::{Checkpoint, Format, LoadOptions, Loader};
use serde_json::Value;

use super::folder::read_json;

/// All tensors of a published model; a name with {} stands for as many layers as its third entry says.
fn tensors(name: &str) -> Vec<(String, Vec<usize>)> {
    let rows = read_json(&format!("{name}.tensors.json"));
    let mut all = Vec::new();
    for row in rows["tensors"].as_array().unwrap() {
        let name = row[0].as_str().unwrap();
        let shape: Vec<usize> = serde_json::from_value(row[1].clone()).unwrap();
        match row[2].as_u64() {
            None => all.push((name.to_string(), shape)),
            Some(count) => {
                all.extend((0..count).map(|i| (name.replace("{}", &i.to_string()), shape.clone())))
            }
        }
    }
    all
}

fn config(name: &str) -> Value {
    read_json(&format!("{name}.config.json"))
}

/// The configuration with fewer layers, and the tensors that then belong to it.
fn shallow(name: &str, text: &str, keep: usize) -> Checkpoint {
    let mut config = config(name);
    let mut all = tensors(name);
    match text {
        "" => config["num_hidden_layers"] = keep.into(),
        text => config[text]["num_hidden_layers"] = keep.into(),
    }
    let vision = config["vision_config"].as_object_mut().unwrap();
    match name.starts_with("qwen") {
        true => vision.insert("depth".into(), keep.into()),
        false => vision.insert("num_hidden_layers".into(), keep.into()),
    };
    all.retain(|(name, _)| {
        let layer = name.split('.').find_map(|part| part.parse::<usize>().ok());
        name.contains("merger") || name.contains("conn_ve_llm") || layer.is_none_or(|l| l < keep)
    });
    Checkpoint::synthetic(name, config, all, Format::BF16).unwrap()
}

#[test]
fn qwen_holds_824_tensors_of_the_published_size() {
    let all = tensors("qwen2.5-vl-3b");
    assert_eq!(all.len(), 824);
    let count: usize = all
        .iter()
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    assert_eq!(2 * count, 7_509_245_952);
    let checkpoint =
        Checkpoint::synthetic("vl", config("qwen2.5-vl-3b"), all, Format::BF16).unwrap();
    let summary = models::summary(&checkpoint).unwrap();
    assert_eq!(
        (summary.layers, summary.hidden_size, summary.head_dim),
        (36, 2048, 128)
    );
    assert!(summary.tied_embeddings);
}

#[test]
fn namo_holds_its_published_tensors_and_what_its_file_leaves_out_is_known() {
    let all = tensors("namo-500m");
    let count: usize = all
        .iter()
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    assert_eq!(count, 817_650_304);
    let checkpoint = Checkpoint::synthetic("n", config("namo-500m"), all, Format::BF16).unwrap();
    let summary = models::summary(&checkpoint).unwrap();
    assert_eq!(
        (summary.layers, summary.hidden_size, summary.vocab_size),
        (24, 896, 151_936)
    );
    assert!(summary.tied_embeddings);
}

#[test]
fn the_published_widths_load_with_every_tensor_used() {
    for (name, text) in [("qwen2.5-vl-3b", ""), ("namo-500m", "text_config")] {
        let checkpoint = shallow(name, text, 2);
        let loader = Loader::new(&checkpoint, &LoadOptions::default()).unwrap();
        let encoder = models::load_encoder(&loader).unwrap().unwrap();
        let hidden = models::summary(&checkpoint).unwrap().hidden_size;
        assert_eq!(encoder.width(), hidden, "{name}");
        assert_eq!((encoder.wants().patch, encoder.wants().merge), (14, 2));
    }
}
