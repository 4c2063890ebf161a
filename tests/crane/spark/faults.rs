//! What bad answers, texts, recordings, files and readers get.

use serde_json::Value;

use super::folder::fixture;
use super::place::{fails, ok, Place, TEXT};
use super::talker::{talker, Habit, CODES};

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
fn pieces_without_speech_leave_no_file_of_silence() {
    let place = Place::new();
    let wav = fixture("reference.wav");
    let text = "The first sentence is long enough. The second one is long enough too. And a third.";
    let clone = ["--clone", wav.to_str().unwrap(), "--retries", "0"];
    let output = place.tts(talker(Habit::SaysNothing), &[&[text], &clone[..]].concat());
    fails(&output, 1, "nothing was spoken");
    assert!(!place.path("out.wav").exists());
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
fn a_closed_pipe_ends_it_quietly() {
    use std::process::Stdio;
    let place = Place::new();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("crane"))
        .args(["tts", &TEXT.repeat(40), "-m"])
        .arg(talker(Habit::Speaks))
        .args(["-o", "-", "--stream", "-q"])
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
