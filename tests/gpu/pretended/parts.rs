//! Models of several parts: image encoders and the codec lie on the GPU beside a language model.

use std::path::Path;
use std::process::Output;

use crane::bench::{speech, vision as bench};
use crane::models::vision::Shape;
use crane::models::{bicodec, wav2vec2};
use crane::models::{Footprint, Part};
use crane::speech::reference::Recording;
use crane::vision::Viewer;
use crane::weights::{Checkpoint, LoadOptions, Loader};
use serde_json::Value;

use super::{crane, free, libraries, peak, peaks, said, says};
use crate::eye::{folder as eyes, gguf};
use crate::voice::folder as voices;

/// What is small and not counted one by one.
const SLACK: u64 = 4 << 20;

/// What is said of a model that does not fit.
const NUMBERS: [&str; 4] = ["does not fit cuda:0", "weights", "work space", "are free"];

/// Of the language model alone, with a context of so many tokens.
fn alone(checkpoint: &Checkpoint, context: usize) -> Footprint {
    let loader = Loader::new(checkpoint, &LoadOptions::default()).unwrap();
    Footprint::of(&loader, Some(context)).unwrap()
}

/// What is taken is no more than `need`, and not much less.
fn close(what: &str, taken: u64, need: u64, slack: u64) {
    println!("{what}: {taken} of {need}");
    assert!(
        (need - need.min(slack)..=need + SLACK).contains(&taken),
        "{what}: {taken} of {need}"
    );
}

/// Rows of `crane bench` say which device they are of; none of them failed.
fn measured(text: &str, tests: &[&str]) {
    let rows: Value = serde_json::from_str(text).unwrap();
    let rows = rows["results"].as_array().or(rows.as_array()).unwrap();
    for test in tests {
        let row = rows.iter().find(|row| row["test"] == *test).unwrap();
        assert!(row["median_ms"].is_number(), "{row}");
        assert_eq!(row["device"], "cuda:0", "{row}");
    }
}

#[test]
fn rows_too_wide_for_a_block_are_refused_before_they_are_loaded() {
    let told = [("PRETEND_SHARED", "48")];
    let args = [
        "bench",
        "--synthetic",
        "qwen2.5-3b",
        "--quant",
        "q4_0",
        "--device",
        "cuda:0",
    ];
    let work = ["-p", "0", "-n", "1", "-r", "1", "-q"];
    let mut command = crane(&libraries([false; 3]), &told, &[&args[..], &work].concat());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).to_string() + &said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("rows of 11008 numbers"), "{text}");
}

#[test]
fn an_image_encoder_takes_no_more_than_was_counted() {
    for (alias, side) in [("namo-500m", 700), ("qwen2.5-vl-3b", 2016)] {
        let model = bench::Model::synthetic(alias).unwrap();
        let loader = Loader::new(model.decoder(), &LoadOptions::default()).unwrap();
        let shape = Shape::read(model.decoder()).unwrap().unwrap();
        let patches = usize::pow(side / 14, 2);
        let part = shape.part(&loader, patches).unwrap();
        let size = format!("{side}x{side}");
        let args = [
            "--synthetic",
            alias,
            "--encoder-only",
            "--image-size",
            &size,
        ];
        let (taken, text) = peak(&bench_of("vision", &args));
        measured(&text, &["encode"]);
        // Namo's last block is stored and not read.
        close(alias, taken, part.weights + part.work, part.weights / 8);
    }
}

#[test]
fn a_codec_takes_no_more_than_was_counted() {
    let model = speech::Model::synthetic().unwrap();
    let part = model.codec_part();
    let (peaks, output) = peaks(&bench_of("tts", &[]));
    let text = String::from_utf8(output.stdout).unwrap();
    measured(&text, &["llm", "codec", "codec-stream", "speech"]);
    // Limits are measured before; a recording is read behind.
    let [.., taken, _] = peaks[..] else {
        panic!("{peaks:?}")
    };
    let llm = alone(model.llm(), speech::CONTEXT);
    let need = llm.beside_another(part);
    let need = need.weights + need.loading.max(need.cache + need.work);
    // Five seconds are decoded, where eight are computed in one go; sums are few on this GPU.
    close("tts", taken, need, part.work);
    assert!(taken > llm.weights + part.weights);
}

#[test]
fn what_reads_a_recording_takes_no_more_than_was_counted() {
    let model = speech::Model::synthetic().unwrap();
    let (taken, text) = peak(&bench_of("tts", &["--quant", "q4k"]));
    measured(&text, &["encode"]);
    let part = model.listener_part();
    // The encoders work one after the other; sums are few on this GPU.
    close("encode", taken, part.weights + part.work, part.work);
    assert!(taken > part.weights * 9 / 10);
}

/// A minute of noise.
fn minute(folder: &Path) -> String {
    let path = folder.join("minute.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&path, spec).unwrap();
    for id in crate::ids(1, 60 * 16_000, 20_000) {
        wav.write_sample(id as i16 - 10_000).unwrap();
    }
    wav.finalize().unwrap();
    path.to_str().unwrap().to_string()
}

#[test]
fn listening_takes_no_more_than_was_counted() {
    let (model, home) = (voices::spark(), tempfile::tempdir().unwrap());
    let wav = minute(home.path());
    let recording = Recording::read(model, wav.as_ref()).unwrap();
    let part = recording.part(true).unwrap();
    let model = model.to_str().unwrap();
    let args = ["tts", "-m", model, "--clone", &wav, "--save-voice", "noise"];
    // What a GPU that does not compute hears is no voice, and how that ends does not count.
    let (peaks, _) = peaks(&[&args[..], &["--device", "cuda", "-q"]].concat());
    println!("{peaks:?}");
    // Three encoders, one after the other.
    assert_eq!(peaks.len(), 3);
    let need = part.weights + part.work;
    let most = peaks.into_iter().max().unwrap();
    close("listening", most, need, part.work + part.weights / 2);
    // Of a shorter one wav2vec2 takes less.
    let folder = voices::spark().join("wav2vec2-large-xlsr-53");
    let (_, config) = wav2vec2::open(&folder).unwrap();
    let [short, long] = [5, 60].map(|seconds| wav2vec2::part(&config, seconds * 16_000));
    assert!(short.work < long.work && short.weights == long.weights);
}

fn bench_of<'a>(task: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    let common = ["bench", "--task", task, "--device", "cuda:0", "-r", "1"];
    [&common, args, &["-q", "--json"]].concat()
}

/// Bytes that the language model has room in and `part` has not, which is so much larger than rounding.
fn between(llm: &Footprint, part: Part) -> [String; 2] {
    let both = llm.beside_another(part).total();
    assert!(both > llm.total() + (16 << 20), "{part:?}");
    [both - (8 << 20), both + (8 << 20)].map(|bytes| bytes.to_string())
}

/// `args` compute on the GPU where there is room for all parts; else on the CPU with one line that says `what` does not
/// fit, or not at all, and what `helps`. What a GPU
/// that does not compute answers is no answer, and how that ends does not count.
fn weighs_all([what, helps]: [&str; 2], args: &[&str], [small, large]: [String; 2]) {
    let folder = libraries([false; 3]);
    let run = |bytes: &str, flags: &[&str]| {
        let mut command = crane(&folder, &free(bytes), args);
        command.args(flags).output().unwrap()
    };
    let left = said(&run(&small, &[]));
    let about: Vec<&str> = left.lines().filter(|line| line.contains("fit")).collect();
    assert_eq!(about.len(), 1, "{left}");
    for word in [&["computing on the CPU", what], &NUMBERS[..]].concat() {
        assert!(about[0].contains(word), "'{word}' is not in: {left}");
    }
    let required = [&["error: --require-device", what], &NUMBERS[..]].concat();
    says(&run(&small, &["--require-device"]), 5, &required);
    let named = run(&small, &["--device", "cuda"]);
    says(&named, 5, &[&[what], &NUMBERS[..]].concat());
    let advice = format!("are free; {helps}--device cpu helps");
    assert!(
        said(&named).trim_end().ends_with(&advice),
        "{}",
        said(&named)
    );
    taken(&run(&large, &["--require-device"]));
}

/// What is called so, and what helps it.
const MODEL: [&str; 2] = ["the model", "a smaller --ctx-size, --quant or "];

/// The GPU was taken.
fn taken(output: &Output) {
    let said = said(output);
    assert!(!said.contains("fit") && !said.contains("CPU"), "{said}");
    assert_ne!(output.status.code(), Some(5), "{said}");
}

/// The encoder of a tiny model, for a context of 512 tokens.
fn encoder(model: &Checkpoint, projector: Option<&Path>) -> Part {
    let options = LoadOptions::default();
    Viewer::part(model, projector, &options, Default::default(), 512).unwrap()
}

#[test]
fn an_image_encoder_is_weighed_where_it_is_used() {
    let image = eyes::fixture("images/square.png");
    let image = image.to_str().unwrap();
    let gguf_folder = tempfile::tempdir().unwrap();
    let [text, projector] = gguf::write(gguf_folder.path());
    for (path, projector) in [
        (eyes::model(eyes::QWEN), None),
        (eyes::model(eyes::NAMO), None),
        // Its encoder is a file of its own, which lies beside it.
        (text.as_path(), Some(projector.as_path())),
    ] {
        let checkpoint = Checkpoint::open(path).unwrap();
        let llm = alone(&checkpoint, 512);
        let room = between(&llm, encoder(&checkpoint, projector));
        let model = path.to_str().unwrap();
        let look = [
            "vision", model, image, "-p", "What?", "-n", "2", "-c", "512",
        ];
        weighs_all(MODEL, &look, room.clone());
        // Who asks in words alone needs no encoder.
        let folder = libraries([false; 3]);
        let ask = ["run", model, "hi", "-n", "2", "-c", "512"];
        let told = free(&room[0]);
        let output = crane(&folder, &told, &ask).arg("--require-device").output();
        taken(&output.unwrap());
    }
}

#[test]
fn a_codec_is_weighed_beside_the_language_model() {
    let model = voices::spark();
    let llm = alone(&Checkpoint::open(&model.join("LLM")).unwrap(), 512);
    let (_, config) = bicodec::open(&model.join("BiCodec")).unwrap();
    let out = tempfile::tempdir().unwrap();
    let wav = out.path().join("out.wav");
    let args = [
        "tts",
        "-m",
        model.to_str().unwrap(),
        "hello",
        "--ctx-size",
        "512",
        "--seed",
        "1",
        "-o",
        wav.to_str().unwrap(),
    ];
    weighs_all(MODEL, &args, between(&llm, bicodec::part(&config)));
}

#[test]
fn listening_is_weighed_where_nothing_is_said() {
    let (model, wav) = (voices::spark(), voices::fixture("reference.wav"));
    let recording = Recording::read(model, &wav).unwrap();
    let need = Footprint::alone(recording.part(true).unwrap()).total();
    let args = [
        "tts",
        "-m",
        model.to_str().unwrap(),
        "--clone",
        wav.to_str().unwrap(),
        "--ref-text",
        "hello",
        "--save-voice",
        "heard",
    ];
    let room = [need - (8 << 20), need + (8 << 20)];
    let what = ["listening to the recording", "a shorter recording or "];
    weighs_all(what, &args, room.map(|bytes| bytes.to_string()));
}

#[test]
fn a_codec_that_speaks_alone_is_weighed() {
    let model = voices::spark();
    let (_, config) = bicodec::open(&model.join("BiCodec")).unwrap();
    let need = Footprint::alone(bicodec::part(&config)).total();
    let folder = tempfile::tempdir().unwrap();
    let (tokens, wav) = (folder.path().join("a.json"), folder.path().join("a.wav"));
    let globals: Vec<u32> = (0..32).collect();
    let spoken =
        serde_json::json!({"global": globals, "pieces": [{"text": "a", "semantic": [1, 2, 3]}]});
    std::fs::write(&tokens, spoken.to_string()).unwrap();
    let args = [
        "tts",
        "-m",
        model.to_str().unwrap(),
        "--tokens",
        tokens.to_str().unwrap(),
        "-o",
        wav.to_str().unwrap(),
    ];
    let room = [need - (8 << 20), need + (8 << 20)];
    weighs_all(
        ["the codec", ""],
        &args,
        room.map(|bytes| bytes.to_string()),
    );
}

#[test]
fn what_is_counted_depends_on_the_largest_picture() {
    let model = bench::Model::synthetic("qwen2.5-vl-3b").unwrap();
    let part = |context, max_pixels| {
        let limits = crane::image::Limits {
            max_pixels,
            ..Default::default()
        };
        let options = LoadOptions::default();
        Viewer::part(model.decoder(), None, &options, limits, context).unwrap()
    };
    let [small, large] = [part(512, None), part(4096, None)];
    assert_eq!(small.weights, large.weights);
    assert!(small.work < large.work);
    assert!(part(4096, Some(28 * 28 * 100)).work < small.work);
}
