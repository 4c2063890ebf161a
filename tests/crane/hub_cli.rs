//! `crane pull`, `list`, `verify` and `rm` from outside, against the hub that misbehaves.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::hub_server::{Fault, HubServer};

const REPO: &str = "org/model-GGUF";
const FILE: &str = "model-q4_k_m.gguf";

fn serve() -> HubServer {
    let content = (0..200_000u32)
        .map(|i| (i.wrapping_mul(i) >> 3) as u8)
        .collect();
    HubServer::start(REPO, &[(FILE, content)])
}

/// The binary with a hub, a cache and nothing else of the user's environment that matters.
fn crane(hub: &HubServer, cache: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("crane"));
    for name in [
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env_remove(name);
    }
    command
        .env("HF_ENDPOINT", hub.endpoint())
        .env("HF_HOME", cache.join("home"))
        .env("HF_HUB_CACHE", cache)
        .stdin(Stdio::null());
    command
}

fn run(hub: &HubServer, cache: &Path, args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = crane(hub, cache).args(args).output().unwrap();
    let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

#[test]
fn stdout_gets_the_path_and_stderr_plain_lines() {
    let (hub, dir) = (serve(), tempfile::tempdir().unwrap());
    let (code, out, err) = run(&hub, dir.path(), &["pull", REPO]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.lines().count(), 1);
    assert!(Path::new(out.trim()).is_file() && out.trim().ends_with(FILE));
    assert!(err.contains("200.0 kB") && !err.contains('\x1b'), "{err}");
    let (code, _, err) = run(
        &hub,
        dir.path(),
        &["pull", REPO, "--force", "--progress", "json"],
    );
    assert_eq!(code, 0);
    assert!(err.lines().all(|l| l.starts_with('{')), "{err}");
    let (_, out, _) = run(&hub, dir.path(), &["list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list[0]["name"], format!("{REPO}:q4_k_m"));
    let (code, _, err) = run(&hub, dir.path(), &["rm", REPO]);
    assert_eq!(code, 2, "asks, and nobody answers: {err}");
    assert_eq!(run(&hub, dir.path(), &["rm", "-y", REPO]).0, 0);
    let (_, out, _) = run(&hub, dir.path(), &["list", "--json"]);
    assert_eq!(out.trim(), "[]");
}

#[test]
fn exit_codes_tell_what_happened() {
    let status = |code| Fault::Status(code, vec![("Retry-After", "0".into())]);
    for (route, fault, code) in [
        ("api", status(401), 4),
        ("api", status(404), 3),
        ("api", status(429), 4),
        ("resolve", status(403), 4),
        ("cdn", Fault::WrongBytes, 6),
        ("cdn", Fault::TooMany(1), 6),
        ("cdn", Fault::OnlyFirst(100), 6),
    ] {
        let (hub, dir) = (serve(), tempfile::tempdir().unwrap());
        hub.fail_always(route, Some(fault.clone()));
        let (got, out, err) = run(&hub, dir.path(), &["pull", REPO]);
        assert_eq!(got, code, "{fault:?}: {err}");
        assert!(out.is_empty() && err.contains("error:"), "{fault:?}: {err}");
    }
    let (hub, dir) = (serve(), tempfile::tempdir().unwrap());
    assert_eq!(run(&hub, dir.path(), &["pull", REPO, "--offline"]).0, 3);
    assert_eq!(run(&hub, dir.path(), &["pull", "org/re po"]).0, 2);
    assert!(hub.log().is_empty());
}

#[test]
fn a_killed_pull_is_resumed_and_damage_is_repaired() {
    let (hub, dir) = (serve(), tempfile::tempdir().unwrap());
    hub.fail_once("cdn", Fault::StallAfter(150_000));
    let mut child = crane(&hub, dir.path())
        .args(["pull", REPO])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let etag = hub.etag(FILE);
    let blobs = dir.path().join("models--org--model-GGUF/blobs");
    let partial = blobs.join(format!("{etag}.incomplete"));
    let since = Instant::now();
    while std::fs::metadata(&partial).map_or(0, |m| m.len()) < 150_000 {
        assert!(since.elapsed() < Duration::from_secs(30), "nothing arrives");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, _, err) = run(&hub, dir.path(), &["pull", REPO]);
    assert_eq!(code, 0, "{err}");
    let last = hub.requests("cdn").pop().unwrap();
    assert_eq!(last.headers["range"], "bytes=150000-");
    assert!(last.headers.contains_key("if-range"));

    let blob = blobs.join(etag);
    std::fs::write(&blob, "damaged").unwrap();
    let (code, _, err) = run(&hub, dir.path(), &["verify"]);
    assert_eq!(code, 6, "{err}");
    assert!(err.contains("--repair"), "{err}");
    assert_eq!(run(&hub, dir.path(), &["verify", "--repair"]).0, 0);
    assert_eq!(run(&hub, dir.path(), &["verify"]).0, 0);
}

#[test]
fn two_processes_fetch_once() {
    let (hub, dir) = (serve(), tempfile::tempdir().unwrap());
    hub.fail_once("cdn", Fault::Trickle(Duration::from_micros(1)));
    let start = || {
        let mut command = crane(&hub, dir.path());
        command
            .args(["pull", REPO])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let mut both = [start(), start()];
    for child in &mut both {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(hub.requests("cdn").len(), 1);
}

#[test]
fn a_token_that_is_none_is_refused_before_the_hub_is_asked() {
    let (hub, dir) = (serve(), tempfile::tempdir().unwrap());
    let output = crane(&hub, dir.path())
        .env("HF_TOKEN", "hf_ü")
        .args(["pull", REPO])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("HF_TOKEN") && !said.contains("hf_"), "{said}");
}

#[test]
#[cfg(unix)]
fn names_of_others_do_not_steer_a_terminal() {
    let (hub, dir) = (serve(), tempfile::tempdir().unwrap());
    let (code, path, err) = run(&hub, dir.path(), &["pull", REPO]);
    assert_eq!(code, 0, "{err}");
    let name = "models--org--a\u{1b}[31mb";
    let folder = dir.path().join(name).join("snapshots/1");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(path.trim(), folder.join("a\u{1b}[2J.gguf")).unwrap();
    for args in [&["list"][..], &["verify"]] {
        let (_, out, err) = run(&hub, dir.path(), args);
        assert!(out.contains("org/a\u{fffd}[31mb"), "{out}{err}");
        assert!(!(out + &err).contains('\u{1b}'));
    }
}
