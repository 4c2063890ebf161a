//! Races between the threads of the kernels: what `compute-sanitizer --tool racecheck` looks for in a block's shared
//! memory, and in the memory of the GPU too, beside an emulated one that keeps book of all accesses
//! (`emulated/races.cpp`). Needs a C++ compiler that knows ThreadSanitizer and no GPU.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use super::emulated::{beside, compile, libraries_of};

/// Compiles `source` as for ThreadSanitizer, and links what takes the place of its library.
fn with_races(source: &str, as_library: bool, output: &OsStr) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let [kernels, races] = ["kernels.o", "races.o"].map(|name| folder.path().join(name));
    let object = |source: &str, more: &[&str], to: &Path| {
        let arguments = [&["-g1", "-DRACES", "-c", source][..], more, &["-o"]].concat();
        let mut arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        arguments.push(to.as_os_str());
        compile(&arguments)
    };
    let mut link: Vec<&OsStr> = vec![kernels.as_os_str(), races.as_os_str()];
    link.extend(["-ldl", "-o"].map(OsStr::new));
    link.push(output);
    if as_library {
        link.push(OsStr::new("-shared"));
    }
    object(source, &["-fsanitize=thread"], &kernels)
        && object("races.cpp", &[], &races)
        && compile(&link)
}

#[test]
fn each_kind_of_race_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let racy = folder.path().join("racy");
    if !with_races("racy.cpp", false, racy.as_os_str()) {
        return;
    }
    let names = Command::new(&racy).output().unwrap();
    let names = String::from_utf8(names.stdout).unwrap();
    let with_mistakes = names.lines().filter(|name| *name != "writes_early");
    let mut found = 0;
    for name in with_mistakes {
        let said = |how: &str| {
            let output = Command::new(&racy).args([name, how]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.success(), said.is_empty(), "{name}: {said}");
            said
        };
        assert_eq!(said("right"), "", "{name}");
        let wrong = said("wrong");
        assert!(wrong.contains("a race: "), "{name}: {wrong}");
        found += 1;
    }
    assert!(found >= 13, "{found}");
}

/// The tests named, on a small GPU of a capability whose kernels start early and one whose do not.
fn none_in(tests: &[&str]) {
    let make = |driver: &OsStr| with_races("driver.cpp", true, driver);
    let Some(libraries) = libraries_of(make) else {
        return;
    };
    let start = |capability| {
        let mut child = beside(std::env::current_exe().unwrap(), libraries.path());
        child
            .args(["--test-threads", "1", "--nocapture", "--exact"])
            .args(tests)
            .env("EMULATE_MULTIPROCESSORS", "4")
            .env("EMULATE_CAPABILITY", capability);
        child.spawn().unwrap()
    };
    for child in [start("90"), start("80")] {
        let output = child.wait_with_output().unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{said}");
        let passed = format!("{} passed", tests.len());
        assert!(said.contains(&passed), "{said}");
    }
}

#[test]
fn the_kernels_of_all_models_have_none() {
    none_in(&[
        "a_part_of_the_vocabulary_and_all_positions",
        "convolution::a_part_of_a_signal_has_the_bits_of_the_whole",
        "convolution::norms_over_channels_and_linear_functions",
        "listener::attention_over_time",
        "listener::sums_means_and_gates",
        "together::a_part_of_the_vocabulary",
        "together::a_sequence_begins_as_another",
    ]);
}

#[test]
#[ignore = "takes more than an hour"]
fn no_kernel_of_any_shape_has_one() {
    none_in(&[
        "convolution::convolutions_of_all_shapes",
        "every_tiny_model_in_f32",
        "eye::heads_of_256_without_tensor_cores",
        "eye::tiny_encoders",
        "heads_of_all_shapes",
        "listener::a_recording_becomes_the_tokens_of_the_reference",
        "listener::features_of_odd_sizes",
        "quantised_at_load",
        "shapes::models_of_any_shape",
        "tiny_quantised_models_as_they_are_stored",
        "together::any_number_of_sequences",
        "together::heads_and_numbers_of_all_shapes",
        "together::lengths_far_apart",
        "together::quantised_at_load",
        "together::rows_too_wide_for_a_block",
        "voice::the_tiny_codec",
    ]);
}
