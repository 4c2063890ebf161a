//! Several at once, interruptions, and what the cache holds already.

use super::*;

#[test]
fn two_at_once_fetch_once() {
    let desk = Desk::gguf();
    desk.hub.fail_once("cdn", Fault::StallAfter(1000));
    let (a, b) = std::thread::scope(|scope| {
        let one = scope.spawn(|| desk.pull());
        let two = scope.spawn(|| desk.pull());
        (one.join().unwrap().unwrap(), two.join().unwrap().unwrap())
    });
    desk.assert_whole(&a);
    assert_eq!(a.path, b.path);
    assert_eq!(
        desk.ears.received.load(Ordering::SeqCst),
        300_000,
        "no byte twice"
    );
    assert!(desk.ears.heard("waiting"));
}

#[test]
fn ctrl_c_keeps_the_partial_file_and_the_next_run_goes_on() {
    let mut desk = Desk::gguf();
    desk.ears.interrupt_after = Some(64_000);
    desk.hub.fail_once("cdn", Fault::StallAfter(64_000));
    desk.settings.limits.idle = Duration::from_secs(60);
    let since = Instant::now();
    assert!(matches!(desk.pull().unwrap_err(), HubError::Interrupted));
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "not after the idle limit"
    );
    assert_eq!(fs::metadata(desk.incomplete()).unwrap().len(), 64_000);
    desk.ears.pressed.store(false, Ordering::SeqCst);
    desk.ears.interrupt_after = None;
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
    assert_eq!(desk.ears.received.load(Ordering::SeqCst), 300_000);
}

#[test]
fn offline_makes_no_connection() {
    let mut desk = Desk::gguf();
    desk.settings.offline = true;
    desk.settings.allow_pip = true;
    for name in [REPO, "smollm2-135m"] {
        let error = locate(name, &desk.settings, &desk.ears).unwrap_err();
        assert!(
            matches!(&error, HubError::NotFound(t) if t.contains("crane pull")),
            "{error}"
        );
    }
    assert!(desk.hub.log().is_empty());
    assert_eq!(
        fs::read_dir(desk.dir.path()).unwrap().count(),
        0,
        "nothing was written"
    );
}

#[test]
fn a_newer_commit_is_pulled_and_unchanged_files_are_shared() {
    let desk = Desk::gguf();
    desk.pull().unwrap();
    let newer = "f".repeat(40);
    desk.hub.set_files(
        &newer,
        &[(FILE, weights(300_000)), ("model-q8_0.gguf", weights(10))],
    );
    let used = locate(REPO, &desk.settings, &desk.ears).unwrap();
    assert!(used.resolved.contains(COMMIT), "run uses what is there");
    let located = desk.pull().unwrap();
    assert!(located.resolved.contains(&newer));
    assert_eq!(desk.hub.requests("cdn").len(), 1, "the blob was there");
    assert!(locate(&format!("{REPO}@{COMMIT}"), &desk.settings, &desk.ears).is_ok());
    let forced = PullOptions {
        force: true,
        ..PullOptions::default()
    };
    pull(REPO, &forced, &desk.settings, &desk.ears).unwrap();
    assert_eq!(desk.hub.requests("cdn").len(), 2, "--force");
}

#[test]
fn an_unreachable_hub_is_no_reason_to_lose_what_is_cached() {
    let mut desk = Desk::gguf();
    desk.pull().unwrap();
    desk.settings.endpoint = "http://name.invalid".into();
    assert!(desk.pull().is_ok());
    assert!(desk.ears.heard("stays as it is"));
}

#[test]
fn the_nearest_quantisation_is_taken_and_said() {
    let files = [("m-q8_0.gguf", weights(9)), ("m-q2_k.gguf", weights(8))];
    let desk = Desk::new(REPO, &files);
    let located = desk.pull().unwrap();
    assert!(located.path.ends_with("m-q8_0.gguf"));
    assert!(desk.ears.heard("taking q8_0"));
    let before = desk.hub.log().len();
    assert!(
        locate(REPO, &desk.settings, &desk.ears).is_ok(),
        "remembered as the choice"
    );
    assert_eq!(desk.hub.log().len(), before);
    let error = locate(&format!("{REPO}:q5_0"), &desk.settings, &desk.ears).unwrap_err();
    assert!(
        matches!(&error, HubError::NotFound(t) if t.contains("q8_0, q2_k")),
        "{error}"
    );
    let named = locate(&format!("{REPO}:Q2_K"), &desk.settings, &desk.ears).unwrap();
    assert!(named.path.ends_with("m-q2_k.gguf"));
}

#[test]
fn a_plan_fetches_nothing() {
    let desk = Desk::gguf();
    let planned = plan(REPO, &PullOptions::default(), &desk.settings, &desk.ears).unwrap();
    assert_eq!(
        (planned.bytes, planned.missing_bytes, planned.fits),
        (300_000, 300_000, true)
    );
    assert!(planned.resolved.ends_with(COMMIT));
    assert!(desk.hub.requests("cdn").is_empty());
    assert_eq!(
        fs::read_dir(desk.dir.path()).unwrap().count(),
        0,
        "nothing was written"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_cache_that_cannot_be_written_names_the_remedy() {
    let mut desk = Desk::gguf();
    // Not even root may create a folder there.
    desk.settings.cache_dir = "/sys/crane-cache".into();
    let error = desk.pull().unwrap_err();
    assert!(matches!(error, HubError::Io { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("/sys/crane-cache") && text.contains("HF_HUB_CACHE"),
        "{text}"
    );
}

#[test]
fn damage_is_found_and_repaired() {
    let desk = Desk::gguf();
    desk.pull().unwrap();
    let models = store::list(desk.dir.path()).unwrap();
    assert_eq!(models.len(), 1);
    assert_eq!(models[0].name, format!("{REPO}:q4_k_m"));
    assert!(models[0].last_used.is_some());
    let mut content = weights(300_000);
    content[1000] ^= 1;
    fs::write(desk.blob(), content).unwrap();
    let checked = verify::verify(desk.dir.path(), &models[0], &desk.ears).unwrap();
    assert!(checked.iter().all(|c| !c.is_good()));
    verify::repair(&models[0], &checked, &desk.settings, &desk.ears).unwrap();
    let checked = verify::verify(desk.dir.path(), &models[0], &desk.ears).unwrap();
    assert!(checked.iter().all(|c| c.is_good()));
    // A file that was cut short is noticed by its size alone, and fetched when it is needed.
    fs::write(desk.blob(), &weights(300_000)[..10]).unwrap();
    let located = locate(REPO, &desk.settings, &desk.ears).unwrap();
    desk.assert_whole(&located);
}

#[test]
fn a_cache_that_python_filled_is_used_as_it_is() {
    let desk = Desk::gguf();
    let root = desk.dir.path().join("models--org--python");
    let snapshot = root.join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(root.join("refs")).unwrap();
    fs::write(root.join("refs/main"), COMMIT).unwrap();
    fs::write(snapshot.join("config.json"), "{}").unwrap();
    fs::write(snapshot.join("model-00001-of-00002.safetensors"), "x").unwrap();
    fs::write(snapshot.join("tokenizer.json"), "{}").unwrap();
    let index = r#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
    fs::write(snapshot.join("model.safetensors.index.json"), index).unwrap();
    assert!(
        !store::is_cached("org/python", &desk.settings),
        "a shard is missing"
    );
    fs::write(snapshot.join("model-00002-of-00002.safetensors"), "x").unwrap();
    let located = locate("org/python", &desk.settings, &desk.ears).unwrap();
    assert_eq!(located.path, snapshot);
    assert!(desk.hub.log().is_empty());
}
