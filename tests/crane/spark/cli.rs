//! `crane tts` and `crane voices` as a user types them.

use serde_json::Value;

use super::folder::{fixture, read_json, spark};
use super::place::{fails, numbers, ok, Place, TEXT};
use super::talker::{talker, voice, Habit, CODES};

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
