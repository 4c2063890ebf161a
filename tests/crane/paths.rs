//! One model, every path through the arithmetic: instruction sets, number types, caches, thread counts. The same text
//! must score the same.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const FOLDER: &str = "tests/fixtures/models/qwen2-tied";
/// Long enough for several tiles of tokens and a cache of many blocks.
const TEXT: &str = "The quick brown fox jumps over the lazy dog. Pack my box with five dozen jugs!";

/// Mean negative log-likelihood of a text.
fn nll(file: &Path, flags: &[&str]) -> f64 {
    let output = Command::new(env!("CARGO_BIN_EXE_crane"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["score", FOLDER, "--json", "--file"])
        .arg(file)
        .args(flags)
        .output()
        .unwrap();
    assert!(output.status.success(), "{flags:?}: {output:?}");
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    object["nll_mean"].as_f64().unwrap()
}

/// The text in a file of its own folder.
fn text() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text");
    std::fs::write(&file, TEXT).unwrap();
    (folder, file)
}

#[test]
fn every_instruction_set_computes_the_same() {
    let (_folder, file) = text();
    let kinds: [&[&str]; 7] = [
        &["--dtype", "f32"],
        &["--dtype", "f16"],
        &["--dtype", "bf16"],
        &["--quant", "q8_0"],
        &["--quant", "q4_0"],
        &["--dtype", "f16", "--cache-type", "q8_0"],
        &["--quant", "q8_0", "--cache-type", "f32"],
    ];
    for kind in kinds {
        let best = nll(&file, kind);
        for simd in ["portable", "avx2", "avx512", "avx512bf16"] {
            let other = nll(&file, &[kind, &["--simd", simd]].concat());
            // Where activations are rounded (to eight bits; to bf16 by pairs of it), the last bit of a sum can decide.
            let tolerance = match kind[1] {
                "f32" | "f16" => 1e-4,
                _ => 3e-3,
            };
            assert!(
                (other / best - 1.0).abs() < tolerance,
                "{kind:?} {simd}: {other} for {best}"
            );
        }
    }
}

#[test]
fn formats_and_caches_stay_near_f32() {
    let (_folder, file) = text();
    let exact = nll(&file, &["--dtype", "f32", "--cache-type", "f32"]);
    let near = |flags: &[&str], tolerance: f64| {
        let other = nll(&file, flags);
        assert!(
            (other / exact - 1.0).abs() < tolerance,
            "{flags:?}: {other} for {exact}"
        );
    };
    near(&["--dtype", "f32", "--cache-type", "f16"], 1e-3);
    near(&["--dtype", "f32", "--cache-type", "q8_0"], 1e-2);
    near(&["--dtype", "f16"], 1e-3);
    near(&["--dtype", "bf16"], 1e-2);
    near(&["--quant", "q8_0"], 2e-2);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (_folder, file) = text();
    for kind in [["--dtype", "f32"], ["--dtype", "bf16"], ["--quant", "q4_0"]] {
        let one = nll(&file, &[&kind[..], &["-t", "1"]].concat());
        for threads in ["2", "3", "61"] {
            let more = nll(&file, &[&kind[..], &["-t", threads]].concat());
            assert_eq!(one, more, "{kind:?} -t {threads}");
        }
    }
}
