//! Pictures and models that are wrong: one line, the right exit code, nothing on stdout.

use std::path::Path;

use super::cli::{crane, image, path};
use super::folder::{fixture, model, write, QWEN};

/// What `crane vision` says of this file, and its exit code.
fn says(name: &str, bytes: &[u8]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    failed(&["vision", path(model(QWEN)), path(&file), "-p", "x"])
}

fn failed(args: &[&str]) -> (i32, String) {
    let output = crane(args, b"");
    assert!(output.stdout.is_empty(), "{args:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    (output.status.code().unwrap(), stderr)
}

#[test]
fn broken_and_foreign_files_are_named() {
    let png = std::fs::read(image("square.png")).unwrap();
    for (name, bytes, code, word) in [
        ("empty.png", &b""[..], 6, "0 bytes"),
        ("text.png", b"hello", 6, "text"),
        ("cut.png", &png[..png.len() / 2], 6, "cut.png"),
        ("a.pdf", b"%PDF-1.7", 1, "pdftoppm"),
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0", 1, "heif-convert"),
        (
            "a.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            1,
            "rsvg-convert",
        ),
        ("a.gif", b"GIF89a\x01\0\x01\0\x80\0\0", 6, "a.gif"),
    ] {
        let (found, line) = says(name, bytes);
        assert_eq!(found, code, "{line}");
        assert!(line.contains(name) && line.contains(word), "{line}");
    }
}

#[test]
fn strips_are_refused_and_dots_are_not() {
    let picture = |width: u32, height: u32| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let pixels = image::RgbImage::new(width, height);
        pixels
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    };
    let (code, line) = says("strip.png", &picture(1, 10_000));
    assert_eq!(code, 1, "{line}");
    assert!(
        line.contains("200 times") && line.contains("strip.png"),
        "{line}"
    );
    // Among others it costs its own answer.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("strip.png");
    std::fs::write(&file, picture(1, 10_000)).unwrap();
    let each = [path(&file), &image("square.png"), "--each", "-n", "1"];
    let output = crane(&[&["vision", path(model(QWEN))], &each[..]].concat(), b"");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout.split(|b| *b == b'\n').count(), 3);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.matches("200 times").count(), 1, "{stderr}");
    let file = folder.path().join("dot.png");
    std::fs::write(&file, picture(1, 1)).unwrap();
    let output = crane(&["vision", path(model(QWEN)), path(&file), "-n", "1"], b"");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn wrong_calls_are_refused() {
    let folder = path(model(QWEN));
    let square = image("square.png");
    let text = fixture("../models/qwen2-tied");
    for (args, code, word) in [
        (vec!["vision", folder], 2, "no image"),
        (vec!["vision", folder, "/nowhere.png"], 3, "/nowhere.png"),
        (
            vec!["vision", folder, "https://example.com/a.png"],
            2,
            "curl",
        ),
        (vec!["vision", folder, "-", "--image", "-"], 2, "stdin"),
        (vec!["vision", path(&text), &square], 1, "takes no images"),
        (
            vec!["vision", folder, &square, "--min-pixels", "1000000000000"],
            5,
            "memory",
        ),
        (
            vec!["vision", folder, &square, "-c", "20"],
            5,
            "--max-pixels",
        ),
        (vec!["vision", folder, &square, "-c", "8"], 5, "alone is"),
        (
            vec!["vision", folder, &square, "-p", "<|image_pad|>"],
            1,
            "2 places",
        ),
        (
            vec![
                "vision",
                folder,
                &square,
                "--min-pixels",
                "9",
                "--max-pixels",
                "8",
            ],
            2,
            "--min-pixels",
        ),
        (
            vec!["vision", folder, &square, &square, "--boxes", "json"],
            2,
            "which image",
        ),
    ] {
        let (found, line) = failed(&args);
        assert_eq!(found, code, "{args:?}: {line}");
        assert!(line.contains(word), "{line}");
    }
}

#[test]
fn a_folder_that_contradicts_itself_is_refused() {
    let broken = |change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        write(QWEN, folder.path(), &|name| name.to_string());
        change(folder.path());
        failed(&[
            "vision",
            path(folder.path()),
            &image("square.png"),
            "-p",
            "x",
        ])
    };
    let edited = |file: &'static str, from: &'static str, to: &'static str| {
        move |folder: &Path| {
            let file = folder.join(file);
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains(from), "{text}");
            std::fs::write(&file, text.replace(from, to)).unwrap();
        }
    };
    for (change, word) in [
        (
            edited("config.json", "\"depth\": 4", "\"depth\": 3"),
            "visual.blocks.3",
        ),
        (
            edited("config.json", "\"depth\": 4", "\"depth\": 5"),
            "visual.blocks.4",
        ),
        (
            edited("config.json", "\"depth\": 4", "\"depth\": \"x\""),
            "depth",
        ),
        (
            edited(
                "config.json",
                "\"intermediate_size\": 90",
                "\"intermediate_size\": 91",
            ),
            "91",
        ),
        (
            edited(
                "preprocessor_config.json",
                "\"patch_size\": 14",
                "\"patch_size\": 16",
            ),
            "patch_size",
        ),
        (edited("preprocessor_config.json", "{", "["), "JSON"),
    ] {
        let (code, line) = broken(&change);
        assert_eq!(code, 6, "{line}");
        assert!(line.contains(word), "{line}");
    }
}
