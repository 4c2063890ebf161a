//! Machines with more than one GPU.

use std::process::Output;

use serde_json::Value;

use super::{crane, devices_of, failing, libraries, run, said, says};

pub const TWO: (&str, &str) = ("PRETEND_COUNT", "2");
/// The first has no room for the model.
const FIRST_FULL: (&str, &str) = ("PRETEND_FREE", "100000000,8000000000");

fn device(output: &Output) -> Value {
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    object["device"].clone()
}

/// Computes on `expected` without a word.
fn computes_on(told: &[(&str, &str)], flags: &[&str], expected: &str) {
    let output = run(told, &[&["--json"], flags].concat());
    assert_eq!(said(&output), "");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(device(&output), expected);
}

#[test]
fn the_first_gpu_that_has_room_is_taken() {
    computes_on(&[TWO], &[], "cuda:0");
    computes_on(&[TWO], &["--device", "cuda:1"], "cuda:1");
    computes_on(&[TWO, FIRST_FULL], &[], "cuda:1");
    computes_on(&[TWO, FIRST_FULL], &["--require-device"], "cuda:1");
    let detail = said(&run(&[TWO, FIRST_FULL], &["-v"]));
    for words in ["computing on cuda:1: about", "does not fit cuda:0"] {
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn one_that_cannot_be_used_is_passed_over() {
    let old = ("PRETEND_CAPABILITY", "75,90");
    let only = ("PRETEND_ONLY", "0");
    let taken = failing("cuDevicePrimaryCtxRetain", "46", "0");
    let silent = failing("cuMemGetInfo_v2", "999", "0");
    computes_on(&[TWO, old], &[], "cuda:1");
    computes_on(&[&[TWO, only], &taken[..]].concat(), &[], "cuda:1");
    computes_on(&[&[TWO, only], &silent[..]].concat(), &[], "cuda:1");
    let devices = crane(&libraries([false; 3]), &[TWO, old], &["devices", "--json"]);
    let object = devices_of(devices);
    assert_eq!(object["auto"], "cuda:1");
    assert_eq!(object["devices"][1]["usable"], false);
    assert_eq!(object["devices"][2]["name"], "cuda:1");
}

#[test]
fn a_gpu_that_is_named_is_the_only_one() {
    let named = run(&[TWO, FIRST_FULL], &["--device", "cuda:0"]);
    says(&named, 5, &["does not fit cuda:0", "--device cpu"]);
    let third = run(&[TWO], &["--device", "cuda:2"]);
    says(&third, 1, &["no GPU 2", "shows 2"]);
}

#[test]
fn where_none_will_do_each_says_why() {
    let full = ("PRETEND_FREE", "100000000,50000000");
    let both = ["does not fit cuda:0", "100.0 MB", "nor cuda:1: 50.0 MB"];
    says(&run(&[TWO, full], &[]), 0, &both);
    let required = run(&[TWO, full], &["--require-device"]);
    says(&required, 5, &[&both[..], &["--ctx-size"]].concat());
    let old = ("PRETEND_CAPABILITY", "75");
    let words = ["cuda:0 cannot be used", "cuda:1 cannot be used", "7.5"];
    says(&run(&[TWO, old], &[]), 0, &words);
    let mixed = [TWO, ("PRETEND_CAPABILITY", "75,90"), full];
    let words = ["cuda:0 cannot be used", "does not fit cuda:1", "50.0 MB"];
    says(&run(&mixed, &[]), 0, &words);
}
