//! `crane tts` and `crane voices` as a user types them.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use super::folder::{fixture, read_json, spark};
use super::talker::{talker, voice, Habit, CODES};

/// A folder to work in, with a home of its own.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn crane(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("crane").unwrap();
        command
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .env("XDG_DATA_HOME", self.path("data"))
            .env("HF_HUB_OFFLINE", "1")
            .args(arguments);
        command
    }

    fn tts(&self, model: &Path, arguments: &[&str]) -> Output {
        let mut all = vec!["tts", "-m", model.to_str().unwrap()];
        all.extend(arguments);
        self.crane(&all).output().unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    fn wav(&self, name: &str) -> Vec<i16> {
        let mut reader = hound::WavReader::open(self.path(name)).unwrap();
        assert_eq!(
            reader.spec(),
            hound::WavSpec {
                channels: 1,
                sample_rate: 16_000,
                bits_per_sample: 16,
                sample_format: hound::SampleFormat::Int,
            }
        );
        reader.samples::<i16>().map(|s| s.unwrap()).collect()
    }
}

#[track_caller]
fn ok(output: &Output) -> &Output {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    output
}

/// It failed with `code`, one line that says `what`, and without a panic.
#[track_caller]
fn fails(output: &Output, code: i32, what: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|l| l.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    assert!(errors[0].contains(what), "{stderr}");
    assert!(!stderr.contains("hit a bug"), "{stderr}");
}

fn numbers(value: &Value) -> Vec<u32> {
    let list = value.as_array().unwrap().iter();
    list.map(|n| n.as_u64().unwrap() as u32).collect()
}

const TEXT: &str = "The boats lie still in the harbour.";

#[test]
fn a_text_is_spoken_and_its_tokens_speak_again() {
    let place = Place::new();
    let model = talker(Habit::Speaks);
    let spoken = place.tts(
        model,
        &[TEXT, "--seed", "7", "--tokens-out", "a.json", "--stats"],
    );
    let stderr = String::from_utf8_lossy(&ok(&spoken).stderr).to_string();
    assert!(stderr.contains("out.wav: 1.28 s of speech"), "{stderr}");
    assert!(stderr.contains("real-time factor"), "{stderr}");
    assert!(spoken.stdout.is_empty());
    let samples = place.wav("out.wav");
    assert_eq!(samples.len(), CODES as usize * 320);
    assert!(samples.iter().any(|x| x.abs() > 300));
    let tokens = place.json("a.json");
    assert_eq!(numbers(&tokens["global"]), voice());
    let piece = &tokens["pieces"][0];
    assert_eq!(piece["text"], TEXT);
    assert_eq!(numbers(&piece["semantic"]), (0..CODES).collect::<Vec<_>>());
    assert!(numbers(&piece["tokens"]).len() > 64 + 32);

    ok(&place.tts(model, &["--tokens", "a.json", "-o", "again.wav"]));
    assert_eq!(samples, place.wav("again.wav"));
    // The same seed, the same file; JSON says what was done.
    let json = place.tts(model, &[TEXT, "--seed", "7", "-o", "b.wav", "--json"]);
    let report: Value = serde_json::from_slice(&ok(&json).stdout).unwrap();
    assert_eq!(report["seed"], 7);
    assert_eq!(report["pieces"][0]["semantic_tokens"], CODES);
    assert_eq!(
        std::fs::read(place.path("out.wav")).unwrap(),
        std::fs::read(place.path("b.wav")).unwrap()
    );
    let left: Vec<_> = std::fs::read_dir(place.0.path()).unwrap().collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn what_is_streamed_is_what_is_written() {
    let place = Place::new();
    let model = talker(Habit::Speaks);
    let text = "First comes one sentence of some length. Then there is a second one, which is longer.\n\nA new paragraph begins here, and ends.";
    ok(&place.tts(model, &[text, "--seed", "1", "-o", "whole.wav"]));
    let whole = place.wav("whole.wav");
    let bytes: Vec<u8> = whole.iter().flat_map(|x| x.to_le_bytes()).collect();
    let raw = place.tts(
        model,
        &[
            text, "--seed", "1", "-o", "-", "--stream", "--format", "raw",
        ],
    );
    assert_eq!(ok(&raw).stdout, bytes);
    for stream in [&["--stream"][..], &[]] {
        let arguments = [&[text, "--seed", "1", "-o", "-"], stream].concat();
        let wav = place.tts(model, &arguments);
        assert_eq!(&ok(&wav).stdout[..4], b"RIFF");
        assert_eq!(wav.stdout[44..], bytes, "{stream:?}");
    }
    // From a pipe, in fragments.
    let mut piped = place.crane(&[
        "tts",
        "-",
        "-m",
        model.to_str().unwrap(),
        "--seed",
        "1",
        "-o",
        "-",
        "--stream",
        "--format",
        "raw",
    ]);
    assert_eq!(ok(&piped.write_stdin(text).output().unwrap()).stdout, bytes);
    // Pauses lie between the pieces: the second one is longer.
    let pieces = 3 * CODES as usize * 320;
    assert_eq!(whole.len(), pieces + 3200 + 8000);
}

#[test]
fn prompts_and_greedy_answers_are_those_of_the_reference() {
    let place = Place::new();
    let goldens = read_json("goldens.json");
    let text = goldens["text"].as_str().unwrap();
    let words = goldens["prompt_text"].as_str().unwrap();
    let wav = fixture("reference.wav");
    let wav = wav.to_str().unwrap();
    for (name, voice) in [
        (
            "control",
            vec!["--gender", "male", "--pitch", "moderate", "--speed", "high"],
        ),
        (
            "clone_with_transcript",
            vec!["--clone", wav, "--ref-text", words],
        ),
        ("clone", vec!["--clone", wav]),
    ] {
        let mut arguments = vec![
            text,
            "--split",
            "none",
            "--temp",
            "0",
            "-n",
            "64",
            "--tokens-out",
            "t.json",
        ];
        arguments.extend(voice);
        let output = place.tts(spark(), &arguments);
        // A random model need not speak; what it said is there all the same.
        assert!(matches!(output.status.code(), Some(0 | 1)));
        let cases = goldens["prompts"].as_array().unwrap();
        let case = cases.iter().find(|c| c["name"] == name).unwrap();
        let tokens = place.json("t.json");
        assert_eq!(
            numbers(&tokens["pieces"][0]["prompt_tokens"]),
            numbers(&case["ids"]),
            "{name}"
        );
        assert_eq!(
            numbers(&tokens["pieces"][0]["tokens"]),
            numbers(&case["greedy"]),
            "{name}"
        );
    }
}

#[test]
fn a_voice_is_kept_used_shown_and_removed() {
    let place = Place::new();
    let (model, goldens) = (talker(Habit::Speaks), read_json("goldens.json"));
    let wav = fixture("reference.wav");
    let wav = wav.to_str().unwrap();
    let words = "He mends his nets, ";
    // Without a text the recording is only listened to.
    ok(&place.tts(
        model,
        &[
            "--clone",
            wav,
            "--ref-text",
            words,
            "--save-voice",
            "fisher",
        ],
    ));
    assert!(!place.path("out.wav").exists());
    let shown = place
        .crane(&["voices", "show", "fisher", "--json"])
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&ok(&shown).stdout).unwrap();
    assert_eq!(
        numbers(&shown["global"]),
        numbers(&goldens["encode"]["global"])
    );
    assert_eq!(
        numbers(&shown["semantic"]),
        numbers(&goldens["encode"]["semantic"])
    );
    assert_eq!(shown["text"], words);
    let fresh = [
        "--clone",
        wav,
        "--ref-text",
        words,
        "--seed",
        "3",
        "-o",
        "fresh.wav",
    ];
    ok(&place.tts(model, &[&[TEXT], &fresh[..]].concat()));
    ok(&place.tts(
        model,
        &[TEXT, "--voice", "fisher", "--seed", "3", "-o", "kept.wav"],
    ));
    assert_eq!(place.wav("fresh.wav"), place.wav("kept.wav"));

    ok(&place.tts(
        model,
        &[TEXT, "--gender", "male", "--save-voice", "described"],
    ));
    let list = place.crane(&["voices", "list"]).output().unwrap();
    let list = String::from_utf8(ok(&list).stdout.clone()).unwrap();
    assert_eq!(list.lines().count(), 2);
    assert!(
        list.contains("described") && list.contains("male, pitch moderate"),
        "{list}"
    );
    let shown = place
        .crane(&["voices", "show", "described", "--json"])
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&ok(&shown).stdout).unwrap();
    assert_eq!(numbers(&shown["global"]), voice());
    ok(&place.crane(&["voices", "rm", "fisher"]).output().unwrap());
    for arguments in [["voices", "rm", "fisher"], ["voices", "show", "fisher"]] {
        fails(
            &place.crane(&arguments).output().unwrap(),
            3,
            "no voice 'fisher'",
        );
    }
    fails(
        &place.tts(model, &[TEXT, "--voice", "fisher"]),
        3,
        "no voice 'fisher'",
    );
    fails(
        &place.tts(model, &[TEXT, "--voice", "../x"]),
        2,
        "no name for a voice",
    );
    std::fs::write(place.path("data/crane/voices/bad.json"), "{\"name\":").unwrap();
    fails(
        &place.tts(model, &[TEXT, "--voice", "bad"]),
        6,
        "is no voice",
    );
    ok(&place.crane(&["voices", "list"]).output().unwrap());
}

#[test]
fn an_answer_that_is_no_speech_is_tried_again_and_said() {
    let place = Place::new();
    for (habit, what) in [
        (Habit::SaysNothing, "without speech tokens"),
        (Habit::HasNoVoice, "no voice (32 global tokens)"),
    ] {
        let output = place.tts(
            talker(habit),
            &[TEXT, "--retries", "1", "--tokens-out", "t.json"],
        );
        fails(&output, 1, what);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("tried again (1 of 1)"), "{stderr}");
        assert!(!place.path("out.wav").exists());
        let piece = &place.json("t.json")["pieces"][0];
        assert_eq!(piece["tries"], 2);
        assert!(piece["problem"].is_string());
    }
    let output = place.tts(
        talker(Habit::NeverEnds),
        &[TEXT, "--retries", "0", "--json"],
    );
    let report: Value = serde_json::from_slice(&ok(&output).stdout).unwrap();
    assert_eq!(report["pieces"][0]["problem"], "runaway");
    let output = place.tts(talker(Habit::NeverEnds), &[TEXT, "-n", "100", "--json"]);
    let report: Value = serde_json::from_slice(&ok(&output).stdout).unwrap();
    assert_eq!(
        (
            &report["pieces"][0]["problem"],
            &report["pieces"][0]["tries"]
        ),
        (&"cut".into(), &1.into())
    );
}

#[test]
fn texts_without_speech_are_refused() {
    let place = Place::new();
    let model = talker(Habit::Speaks);
    for text in ["", "   ", "…!?", "\u{1}\u{2}", "🙂"] {
        fails(&place.tts(model, &[text]), 2, "the text");
    }
    let mut empty = place.crane(&["tts", "-m", model.to_str().unwrap()]);
    fails(
        &empty.write_stdin(" \n").output().unwrap(),
        2,
        "nothing that could be spoken",
    );
    let mut latin = place.crane(&["tts", "-m", model.to_str().unwrap()]);
    fails(
        &latin
            .write_stdin(b"caf\xe9 au lait".to_vec())
            .output()
            .unwrap(),
        2,
        "UTF-8",
    );
    fails(&place.tts(model, &["-f", "none.txt"]), 3, "none.txt");
    fails(
        &place.tts(model, &[TEXT, "-o", "no/such/folder/a.wav"]),
        3,
        "no folder",
    );
    fails(
        &place.tts(model, &[TEXT, "-o", "-", "--json"]),
        2,
        "both want stdout",
    );
    fails(&place.tts(&place.path("nothing"), &[TEXT]), 3, "nothing");
    assert!(!place.path("out.wav").exists());
}

#[test]
fn a_damaged_model_is_named() {
    let place = Place::new();
    let model = place.path("model");
    let copy = |part: &str| {
        std::fs::create_dir_all(model.join(part)).unwrap();
        for entry in std::fs::read_dir(talker(Habit::Speaks).join(part)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), model.join(part).join(entry.file_name())).unwrap();
        }
    };
    copy("LLM");
    fails(&place.tts(&model, &[TEXT]), 3, "BiCodec");
    copy("BiCodec");
    ok(&place.tts(&model, &[TEXT]));
    std::fs::remove_file(place.path("out.wav")).unwrap();
    // A voice without words needs no wav2vec2; with words it does.
    let wav = fixture("reference.wav");
    let wav = wav.to_str().unwrap();
    ok(&place.tts(&model, &[TEXT, "--clone", wav, "-o", "clone.wav"]));
    fails(
        &place.tts(&model, &[TEXT, "--clone", wav, "--ref-text", "Ahoy there."]),
        3,
        "wav2vec2",
    );

    let codec = model.join("BiCodec/model.safetensors");
    let good = std::fs::read(&codec).unwrap();
    let mut renamed = good.clone();
    let name = b"postnet.linear.bias";
    let at = renamed.windows(name.len()).position(|w| w == name).unwrap();
    renamed[at] = b'q';
    std::fs::write(&codec, renamed).unwrap();
    fails(&place.tts(&model, &[TEXT]), 6, "'postnet.linear.bias'");
    std::fs::write(&codec, &good[..good.len() / 2]).unwrap();
    fails(&place.tts(&model, &[TEXT]), 6, "cut short");
    std::fs::write(&codec, good).unwrap();
    std::fs::write(model.join("BiCodec/config.yaml"), "audio_tokenizer: 3").unwrap();
    fails(&place.tts(&model, &[TEXT]), 6, "config.yaml");
    assert!(!place.path("out.wav").exists());
}

#[test]
fn a_recording_that_is_none_is_refused() {
    let place = Place::new();
    let model = talker(Habit::Speaks);
    let spec = |channels, rate, bits, format| hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: bits,
        sample_format: format,
    };
    let write = |name: &str, spec: hound::WavSpec, seconds: f64, level: f64| {
        let mut file = hound::WavWriter::create(place.path(name), spec).unwrap();
        let n = (seconds * f64::from(spec.sample_rate)) as usize;
        for i in 0..n {
            let x = level * (i as f64 * 700.0 / f64::from(spec.sample_rate)).sin();
            for _ in 0..spec.channels {
                match spec.sample_format {
                    hound::SampleFormat::Float => file.write_sample(x as f32).unwrap(),
                    hound::SampleFormat::Int => {
                        let top = f64::from((1i64 << (spec.bits_per_sample - 1)) as i32 - 1).abs();
                        file.write_sample((x * top) as i32).unwrap()
                    }
                }
            }
        }
        file.finalize().unwrap();
    };
    use hound::SampleFormat::{Float, Int};
    write("silent.wav", spec(1, 16_000, 16, Int), 2.0, 0.0);
    write("short.wav", spec(1, 16_000, 16, Int), 0.05, 0.5);
    write("long.wav", spec(1, 8_000, 8, Int), 600.0, 0.5);
    std::fs::write(place.path("song.mp3"), b"ID3\x04\0\0\0\0\0\0and so on").unwrap();
    std::fs::write(place.path("text.wav"), "hello").unwrap();
    std::fs::write(place.path("empty.wav"), "").unwrap();
    let good = std::fs::read(fixture("reference.wav")).unwrap();
    std::fs::write(place.path("half.wav"), &good[..good.len() / 2]).unwrap();
    for (name, code, what) in [
        ("silent.wav", 1, "silent"),
        ("short.wav", 1, "lasts"),
        ("long.wav", 5, "lasts"),
        ("song.mp3", 1, "ffmpeg"),
        ("text.wav", 6, "text.wav"),
        ("empty.wav", 6, "empty.wav"),
        ("half.wav", 6, "half.wav"),
        ("none.wav", 3, "none.wav"),
    ] {
        fails(&place.tts(model, &[TEXT, "--clone", name]), code, what);
        assert!(!place.path("out.wav").exists(), "{name}");
    }
    write("eight.wav", spec(8, 16_000, 16, Int), 2.0, 0.5);
    write("bits8.wav", spec(1, 22_050, 8, Int), 2.0, 0.5);
    write("bits24.wav", spec(1, 44_100, 24, Int), 2.0, 0.5);
    write("fast.wav", spec(1, 192_000, 16, Int), 1.0, 0.5);
    write("float.wav", spec(2, 48_000, 32, Float), 2.0, 0.5);
    for name in [
        "eight.wav",
        "bits8.wav",
        "bits24.wav",
        "fast.wav",
        "float.wav",
    ] {
        ok(&place.tts(model, &[TEXT, "--clone", name, "--ref-text", "la la la"]));
    }
}

#[test]
fn a_long_text_is_spoken_to_its_end() {
    let place = Place::new();
    let english =
        "The harbour was quiet that morning, and nobody had gone out to sea. ".repeat(150);
    let chinese = "清晨的港口很安静，没有人出海。渔夫在岸边补网，孩子们在沙滩上奔跑。".repeat(300);
    std::fs::write(place.path("long.txt"), format!("{english}\n\n{chinese}")).unwrap();
    let output = place.tts(
        talker(Habit::IsBrief),
        &["-f", "long.txt", "--json", "--pause", "0"],
    );
    let report: Value = serde_json::from_slice(&ok(&output).stdout).unwrap();
    let pieces = report["pieces"].as_array().unwrap();
    assert!(pieces.len() > 100, "{}", pieces.len());
    let said: String = pieces.iter().map(|p| p["text"].as_str().unwrap()).collect();
    let squeeze = |text: &str| {
        text.chars()
            .filter(|c| !c.is_whitespace())
            .collect::<String>()
    };
    assert_eq!(squeeze(&said), squeeze(&format!("{english}{chinese}")));
    assert_eq!(place.wav("out.wav").len(), pieces.len() * 8 * 320);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    use std::process::Stdio;
    let place = Place::new();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("crane"))
        .args(["tts", &TEXT.repeat(40), "-m"])
        .arg(talker(Habit::Speaks))
        .args(["-o", "-", "--stream"])
        .current_dir(place.0.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_leaves_what_was_spoken() {
    let place = Place::new();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("crane"))
        .args(["tts", &format!("{TEXT} ").repeat(500), "-m"])
        .arg(talker(Habit::Speaks))
        .args(["--tokens-out", "t.json"])
        .current_dir(place.0.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // The first piece is on the disk.
    let temporary = place.path(&format!(".out.wav.{}.tmp", child.id()));
    while std::fs::metadata(&temporary).map_or(0, |m| m.len()) < 20_000 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // SAFETY: a signal to a child that was not waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let samples = place.wav("out.wav").len();
    assert!(
        samples >= 10_000 && samples < 500 * CODES as usize * 320,
        "{samples}"
    );
    assert!(!place.json("t.json")["pieces"]
        .as_array()
        .unwrap()
        .is_empty());
    assert!(!temporary.exists());
}
