//! Stage by stage through the library.

use std::path::Path;
use std::sync::Arc;

use crane::image::{decode, ImageProcessor, ImageSource, Limits, Prepared, Wants};
use crane::models::vision::Patches;
use crane::models::{self, Encoded, ImageEncoder, Picture};
use crane::text::{ChatTemplate, Content, Message, Part, Tokenizer};
use crane::vision::Form;
use crane::weights::{Checkpoint, LoadOptions, Loader};
use safetensors::SafeTensors;
use serde_json::Value;

use super::folder::{fixture, model, read_json, write, NAMO, QWEN};
use super::gguf;

/// Largest difference allowed, as a share of the standard deviation of what is expected.
const TOLERANCE: f64 = 1e-4;

struct Goldens {
    json: Value,
    tensors: Vec<u8>,
}

impl Goldens {
    fn read(name: &str) -> Self {
        Self {
            json: read_json(&format!("{name}/goldens.json")),
            tensors: std::fs::read(fixture(&format!("{name}/goldens.safetensors"))).unwrap(),
        }
    }

    fn cases(&self) -> &[Value] {
        self.json["cases"].as_array().unwrap()
    }

    fn stride(&self, key: &str) -> usize {
        self.json[key].as_u64().unwrap() as usize
    }

    fn get(&self, name: &str) -> Vec<f64> {
        let all = SafeTensors::deserialize(&self.tensors).unwrap();
        let tensor = all.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let data = tensor.data();
        match tensor.dtype() {
            safetensors::Dtype::F64 => data
                .chunks(8)
                .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
                .collect(),
            _ => data
                .chunks(4)
                .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
                .collect(),
        }
    }

    fn check(&self, name: &str, found: &[f32]) {
        let expected = self.get(name);
        assert_eq!(found.len(), expected.len(), "{name}");
        let n = expected.len() as f64;
        let mean = expected.iter().sum::<f64>() / n;
        let spread = (expected.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        let worst = found
            .iter()
            .zip(&expected)
            .map(|(a, b)| (f64::from(*a) - b).abs())
            .fold(0.0, f64::max);
        assert!(
            worst <= TOLERANCE * spread,
            "{name} differs by {worst:.2e}, spread {spread:.2e}"
        );
    }
}

fn ids(value: &Value) -> Vec<u32> {
    let ids = value.as_array().unwrap().iter();
    ids.map(|id| id.as_u64().unwrap() as u32).collect()
}

fn images(case: &Value) -> Vec<String> {
    let images = case["images"].as_array().into_iter().flatten();
    images
        .map(|image| image["file"].as_str().unwrap().to_string())
        .collect()
}

/// A picture as the model wants it.
fn prepared(folder: &Path, wants: &Wants, file: &str) -> Prepared {
    // A GGUF file names no limits: those of the folder.
    let qwen = read_json("qwen2.5-vl/preprocessor_config.json");
    let pixels = |key: &str| {
        let limit = qwen[key].as_u64().map(|n| n as usize);
        limit.filter(|_| folder.is_file())
    };
    let limits = Limits {
        min_pixels: pixels("min_pixels"),
        max_pixels: pixels("max_pixels"),
        memory: None,
    };
    let processor = ImageProcessor::open(folder, wants, limits).unwrap();
    let path = fixture(&format!("images/{file}"));
    let source = ImageSource::parse(path.to_str().unwrap()).unwrap();
    let picture = decode(&source.read().unwrap(), source.label()).unwrap();
    processor.prepare(picture, source.label()).unwrap()
}

/// What is kept of the rows of all images.
fn sampled(rows: &[f32], width: usize, stride: usize) -> Vec<f32> {
    let rows = rows.chunks_exact(width).step_by(stride);
    rows.flatten().copied().collect()
}

/// All stages of a case's images, one behind the other, and the rows.
fn encode(encoder: &mut dyn ImageEncoder, all: &[Prepared]) -> (Vec<Vec<f32>>, Vec<Arc<Encoded>>) {
    let mut stages: Vec<Vec<f32>> = Vec::new();
    let mut rows = Vec::new();
    for image in all {
        let mut stage = 0;
        let patches = Patches {
            rows: &image.rows,
            height: image.grid[1],
            width: image.grid[2],
        };
        let encoded = encoder
            .encode(patches, &mut |at| {
                let x = at.to_vec().unwrap();
                match stages.get_mut(stage) {
                    Some(known) => known.extend(x),
                    None => stages.push(x),
                }
                stage += 1;
                true
            })
            .unwrap();
        rows.push(Arc::new(encoded.unwrap()));
    }
    (stages, rows)
}

/// Looks at the stages of a case.
type Stage<'a> = &'a dyn Fn(&Goldens, &Value, &[Prepared], Vec<Vec<f32>>);

/// Prompt, rows and tokens of every case; `stage` has the chance to look at the stages.
fn check(name: &str, folder: &Path, stage: Stage) {
    check_files(name, folder, folder, stage);
}

/// The same where what reads the images is a file of its own.
fn check_files(name: &str, folder: &Path, projector: &Path, stage: Stage) {
    let goldens = Goldens::read(name);
    let checkpoint = Checkpoint::open(folder).unwrap();
    let loader = Loader::new(&checkpoint, &LoadOptions::default()).unwrap();
    let reads = Checkpoint::open(projector).unwrap();
    let reads = Loader::new(&reads, &LoadOptions::default()).unwrap();
    let mut encoder = models::load_encoder(&reads).unwrap().unwrap();
    let mut decoder = models::load(&loader, None).unwrap();
    let tokenizer = Tokenizer::open(&checkpoint).unwrap();
    let template = ChatTemplate::open(&checkpoint).unwrap().unwrap();
    let form = Form {
        marker: encoder.marker(),
        system: models::detect(&checkpoint).unwrap().system,
    };
    for case in goldens.cases() {
        let label = case["name"].as_str().unwrap();
        let files = images(case);
        let wants = encoder.wants();
        let all: Vec<Prepared> = files
            .iter()
            .map(|f| prepared(projector, &wants, f))
            .collect();
        for (image, known) in all
            .iter()
            .zip(case["images"].as_array().into_iter().flatten())
        {
            assert_eq!(
                image.resized[0],
                known["width"].as_u64().unwrap() as usize,
                "{label}"
            );
            let grid = &image.grid[3 - known["grid"].as_array().unwrap().len()..];
            assert_eq!(serde_json::json!(grid), known["grid"], "{label}");
        }
        let (stages, rows) = encode(&mut *encoder, &all);
        if !stages.is_empty() && label != "chat" {
            let whole: Vec<f32> = rows.iter().flat_map(|image| image.rows.clone()).collect();
            stage(&goldens, case, &all, stages);
            goldens.check(&format!("{label}.vision"), &whole);
        }

        let prompt = form
            .compose((&template, &tokenizer), &messages(case, name), &rows, "")
            .unwrap();
        assert_eq!(prompt.text, case["rendered"].as_str().unwrap(), "{label}");
        match case.get("ids") {
            Some(known) => assert_eq!(prompt.ids, ids(known), "{label}"),
            None => check_pieces(case, &prompt.ids, &prompt.pictures),
        }
        decoder.truncate(0);
        decoder.place(&prompt.pictures);
        let logits: Vec<Vec<f32>> = decoder.forward_all(&prompt.ids).unwrap().to_vec2().unwrap();
        goldens.check(
            &format!("{label}.logits"),
            &logits[logits.len() - 3..].concat(),
        );
        // A prompt in two parts, the second from within an image on, is the same.
        decoder.truncate(prompt.ids.len() / 2);
        let last = decoder
            .forward(&prompt.ids[prompt.ids.len() / 2..])
            .unwrap();
        let mut last: Vec<f32> = last.to_vec1().unwrap();
        goldens.check(
            &format!("{label}.logits"),
            &[
                &logits[logits.len() - 3..logits.len() - 1].concat()[..],
                &last,
            ]
            .concat(),
        );
        for expected in ids(&case["greedy"]["ids"]) {
            let best = (0..last.len()).max_by(|a, b| last[*a].total_cmp(&last[*b]));
            assert_eq!(best, Some(expected as usize), "{label}");
            last = decoder.forward(&[expected]).unwrap().to_vec1().unwrap();
        }
    }
}

/// The conversation of a case, with its images as parts.
fn messages(case: &Value, name: &str) -> Vec<Message> {
    let mut all: Vec<Message> = match name {
        QWEN => serde_json::from_value(with_paths(&case["messages"])).unwrap(),
        // Namo's are written out: they are put together again.
        _ => case["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| unwritten(m["role"].as_str().unwrap(), m["content"].as_str().unwrap()))
            .collect(),
    };
    // What stands by itself need not be said.
    let own = |m: &Message| m.role == "system" && m.content.to_text().starts_with("You are Namo");
    all.retain(|m| !own(m));
    all
}

fn with_paths(messages: &Value) -> Value {
    let mut messages = messages.clone();
    for message in messages.as_array_mut().unwrap() {
        for part in message["content"].as_array_mut().into_iter().flatten() {
            if part["type"] == "image" {
                part["image"] = "x.png".into();
            }
        }
    }
    messages
}

fn unwritten(role: &str, content: &str) -> Message {
    let count = content.matches("<image>").count();
    if count == 0 {
        return Message::text(role, content);
    }
    let text = content.rsplit("<image>").next().unwrap().trim_end();
    let image = Part::Image { image: "x".into() };
    let text = Part::Text { text: text.into() };
    Message {
        role: role.into(),
        content: Content::Parts(std::iter::repeat_n(image, count).chain([text]).collect()),
    }
}

fn check_pieces(case: &Value, found: &[u32], pictures: &[Picture]) {
    let pieces = case["pieces"].as_array().unwrap();
    let mut expected = ids(&pieces[0]);
    for (piece, picture) in pieces[1..].iter().zip(pictures) {
        assert_eq!(picture.start, expected.len());
        expected.resize(picture.range().end, crane::models::picture::NO_TOKEN);
        expected.extend(ids(piece));
    }
    assert_eq!(found, expected);
    assert_eq!(pictures.len() + 1, pieces.len());
}

fn check_blocks(goldens: &Goldens, case: &Value, width: usize, stages: &[Vec<f32>]) {
    let label = case["name"].as_str().unwrap();
    let stride = goldens.stride("rows_stride");
    for (i, stage) in stages.iter().enumerate() {
        goldens.check(&format!("{label}.block{i}"), &sampled(stage, width, stride));
    }
}

/// Qwen's patches, whose two frames are the same, and its stages.
fn qwen_stages(goldens: &Goldens, case: &Value, all: &[Prepared], mut stages: Vec<Vec<f32>>) {
    let label = case["name"].as_str().unwrap();
    let rows: Vec<f32> = all.iter().flat_map(|image| image.rows.clone()).collect();
    let side = 14 * 14;
    let twice = rows
        .chunks_exact(side)
        .flat_map(|channel| [channel, channel].concat());
    let twice: Vec<f32> = twice.collect();
    assert_eq!(
        case["pixel_values_shape"][0],
        rows.len() / (3 * side),
        "{label}"
    );
    let kept = twice.iter().skip(goldens.stride("pixels_offset"));
    let kept: Vec<f32> = kept
        .step_by(goldens.stride("pixels_stride"))
        .copied()
        .collect();
    let expected = goldens.get(&format!("{label}.pixel_values"));
    assert_eq!(kept.len(), expected.len());
    for (found, expected) in kept.iter().zip(&expected) {
        assert!(
            (f64::from(*found) - expected).abs() <= 1e-5,
            "{label}: {found} {expected}"
        );
    }
    let sums = goldens.get(&format!("{label}.pixel_sums"));
    for (patch, expected) in twice.chunks_exact(6 * side).zip(sums) {
        let sum: f64 = patch.iter().map(|x| f64::from(*x)).sum();
        assert!((sum - expected).abs() <= 1e-3, "{label}: {sum} {expected}");
    }
    // The embedding is kept in the order of the windows.
    let width = stages[0].len() / (rows.len() / (3 * side));
    let mut raster = vec![0.0; stages[0].len()];
    let cell = 4 * width;
    for (place, index) in case["window_index"].as_array().unwrap().iter().enumerate() {
        let at = index.as_u64().unwrap() as usize * cell;
        raster[at..at + cell].copy_from_slice(&stages[0][place * cell..(place + 1) * cell]);
    }
    let stride = goldens.stride("rows_stride");
    goldens.check(
        &format!("{label}.patch_embed"),
        &sampled(&raster, width, stride),
    );
    stages.remove(0);
    check_blocks(goldens, case, width, &stages);
}

fn namo_stages(goldens: &Goldens, case: &Value, all: &[Prepared], mut stages: Vec<Vec<f32>>) {
    let label = case["name"].as_str().unwrap();
    // Patches back to pictures, [channel, y, x].
    let mut pictures = Vec::new();
    for image in all {
        let [_, height, width] = image.grid;
        let (h, w) = (height * 14, width * 14);
        let mut picture = vec![0f32; 3 * h * w];
        for (patch, row) in image.rows.chunks_exact(3 * 196).enumerate() {
            let (top, left) = (patch / width * 14, patch % width * 14);
            for (i, x) in row.iter().enumerate() {
                let (channel, y, column) = (i / 196, i % 196 / 14, i % 14);
                picture[(channel * h + top + y) * w + left + column] = *x;
            }
        }
        pictures.extend(picture);
    }
    let kept = pictures.iter().skip(goldens.stride("pixels_offset"));
    let kept = kept.step_by(goldens.stride("pixels_stride"));
    let expected = goldens.get(&format!("{label}.pixel_values"));
    assert_eq!(kept.len(), expected.len());
    for (found, expected) in kept.zip(&expected) {
        assert!(
            (f64::from(*found) - expected).abs() <= 1e-5,
            "{label}: {found} {expected}"
        );
    }
    let patches: usize = all.iter().map(|image| image.grid[1] * image.grid[2]).sum();
    let width = stages[0].len() / patches;
    let stride = goldens.stride("rows_stride");
    goldens.check(
        &format!("{label}.patch_embed"),
        &sampled(&stages[0], width, stride),
    );
    stages.remove(0);
    check_blocks(goldens, case, width, &stages);
}

#[test]
fn qwen_is_what_transformers_computes() {
    check(QWEN, model(QWEN), &qwen_stages);
}

#[test]
fn namo_is_what_transformers_computes() {
    check(NAMO, model(NAMO), &namo_stages);
}

#[test]
fn a_gguf_file_with_its_projector_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let [model, projector] = gguf::write(folder.path());
    check_files(QWEN, &model, &projector, &qwen_stages);
}

#[test]
fn names_and_configuration_as_transformers_writes_them_now_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let renamed = |name: &str| match name.strip_prefix("visual.") {
        Some(rest) => format!("model.visual.{rest}"),
        None => match name.strip_prefix("model.") {
            Some(rest) => format!("model.language_model.{rest}"),
            None => name.to_string(),
        },
    };
    write(QWEN, folder.path(), &renamed);
    let nested = fixture("qwen2.5-vl/config_nested.json");
    std::fs::copy(nested, folder.path().join("config.json")).unwrap();
    check(QWEN, folder.path(), &qwen_stages);
}
