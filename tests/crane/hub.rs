//! Fetching models from a hub that fails in every way.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crane::hub::cache::RepoCache;
use crane::hub::{locate, plan, pull, store, verify};
use crane::hub::{HubError, HubSettings, Located, Progress, PullOptions};

use crate::hub_server::{Fault, HubServer, COMMIT};

const REPO: &str = "org/model-GGUF";
const FILE: &str = "model-q4_k_m.gguf";

/// Listens to what a user would see.
#[derive(Default)]
struct Ears {
    notices: Mutex<Vec<String>>,
    finished: Mutex<Vec<String>>,
    received: AtomicU64,
    /// Presses Ctrl-C once so many bytes have come.
    interrupt_after: Option<u64>,
    pressed: AtomicBool,
}

impl Progress for Ears {
    fn file_advanced(&self, _file: &str, bytes: u64) {
        let all = self.received.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if self.interrupt_after.is_some_and(|limit| all >= limit) {
            self.pressed.store(true, Ordering::SeqCst);
        }
    }
    fn file_finished(&self, file: &str) {
        self.finished.lock().unwrap().push(file.to_string());
    }
    fn notice(&self, message: &str) {
        self.notices.lock().unwrap().push(message.to_string());
    }
    fn interrupted(&self) -> bool {
        self.pressed.load(Ordering::SeqCst)
    }
}

impl Ears {
    fn heard(&self, text: &str) -> bool {
        self.notices
            .lock()
            .unwrap()
            .iter()
            .any(|n| n.contains(text))
    }
}

/// Bytes that differ everywhere, so that a wrong join shows.
fn weights(n: usize) -> Vec<u8> {
    let mut x = 12345u32;
    (0..n)
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        })
        .collect()
}

struct Desk {
    dir: tempfile::TempDir,
    hub: HubServer,
    settings: HubSettings,
    ears: Ears,
}

impl Desk {
    fn new(repo: &str, files: &[(&str, Vec<u8>)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hub = HubServer::start(repo, files);
        let mut settings = HubSettings::new(dir.path(), hub.endpoint());
        settings.allow_pip = false;
        settings.limits.connect = Duration::from_secs(2);
        settings.limits.response = Duration::from_millis(600);
        settings.limits.idle = Duration::from_millis(400);
        settings.limits.slow = Duration::from_millis(500);
        settings.limits.pause = Duration::from_millis(2);
        settings.limits.longest_pause = Duration::from_secs(2);
        Self {
            dir,
            hub,
            settings,
            ears: Ears::default(),
        }
    }

    /// One large file in a repository of GGUF files.
    fn gguf() -> Self {
        Self::new(
            REPO,
            &[(FILE, weights(300_000)), ("README.md", b"hi".to_vec())],
        )
    }

    fn pull(&self) -> Result<Located, HubError> {
        pull(REPO, &PullOptions::default(), &self.settings, &self.ears)
    }

    fn cache(&self) -> RepoCache {
        RepoCache::new(self.dir.path(), REPO)
    }

    fn blob(&self) -> PathBuf {
        self.cache().blob(&self.hub.etag(FILE))
    }

    fn incomplete(&self) -> PathBuf {
        PathBuf::from(format!("{}.incomplete", self.blob().display()))
    }

    fn assert_whole(&self, located: &Located) {
        assert_eq!(fs::read(&located.path).unwrap(), weights(300_000));
        assert!(!self.incomplete().exists(), "the partial file is gone");
        let left: Vec<_> = fs::read_dir(self.blob().parent().unwrap())
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .filter(|n| n.to_string_lossy().contains("incomplete"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn the_cache_is_laid_out_as_python_does_and_used_without_a_connection() {
    let desk = Desk::gguf();
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
    let root = desk.dir.path().join("models--org--model-GGUF");
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    assert_eq!(located.path, root.join("snapshots").join(COMMIT).join(FILE));
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(&located.path).unwrap(),
        Path::new("../../blobs").join(desk.hub.etag(FILE))
    );
    assert_eq!(
        located.files[0].sha256.as_deref(),
        Some(desk.hub.etag(FILE).as_str())
    );
    assert_eq!(*desk.ears.finished.lock().unwrap(), [FILE]);
    let before = desk.hub.log().len();
    let again = locate(REPO, &desk.settings, &desk.ears).unwrap();
    assert_eq!(again.path, located.path);
    assert_eq!(desk.hub.log().len(), before, "no request");
    let offline = HubSettings {
        offline: true,
        ..desk.settings.clone()
    };
    assert!(locate(REPO, &offline, &desk.ears).is_ok());
    assert!(pull(REPO, &PullOptions::default(), &offline, &desk.ears).is_ok());
    assert_eq!(desk.hub.log().len(), before, "no request");
}

#[test]
fn a_safetensors_folder_comes_with_what_belongs_to_it() {
    let files = [
        ("config.json", b"{}".to_vec()),
        ("tokenizer.json", b"{\"a\":1}".to_vec()),
        ("model-00001-of-00002.safetensors", weights(5000)),
        ("model-00002-of-00002.safetensors", weights(7000)),
        ("model.safetensors.index.json", b"{}".to_vec()),
        ("empty.json", Vec::new()),
        ("README.md", b"# no".to_vec()),
    ];
    let desk = Desk::new("org/float", &files);
    let located = pull(
        "org/float",
        &PullOptions::default(),
        &desk.settings,
        &desk.ears,
    )
    .unwrap();
    assert_eq!(located.files.len(), 5);
    assert!(located.path.ends_with(COMMIT));
    assert_eq!(
        fs::read(located.path.join("tokenizer.json")).unwrap(),
        b"{\"a\":1}"
    );
    assert!(!located.path.join("README.md").exists());
    let error = locate("org/float:q8_0", &desk.settings, &desk.ears).unwrap_err();
    assert!(
        matches!(&error, HubError::BadReference(t) if t.contains("--quant q8_0")),
        "{error}"
    );
    let options = PullOptions {
        include: vec!["*.json".into()],
        exclude: vec!["tok*".into()],
        ..PullOptions::default()
    };
    let some = pull("org/float", &options, &desk.settings, &desk.ears).unwrap();
    assert_eq!(some.files.len(), 3, "config, index and the empty file");
}

#[test]
fn a_dropped_connection_is_resumed_where_it_broke() {
    let desk = Desk::gguf();
    desk.hub.fail_once("cdn", Fault::DropAfter(100_000));
    desk.hub.fail_once("cdn", Fault::DropAfter(50_000));
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
    let ranges: Vec<_> = desk
        .hub
        .requests("cdn")
        .iter()
        .map(|r| r.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[1].as_deref(), Some("bytes=100000-"));
    assert_eq!(ranges[2].as_deref(), Some("bytes=150000-"));
    assert!(
        desk.hub.requests("cdn")[1].headers.contains_key("if-range"),
        "guarded by the ETag"
    );
    assert_eq!(
        desk.ears.received.load(Ordering::SeqCst),
        300_000,
        "nothing came twice"
    );
    assert!(
        desk.ears.heard("going on at 100.0 kB"),
        "{:?}",
        desk.ears.notices
    );
}

#[test]
fn what_a_killed_run_has_left_is_taken_up() {
    let desk = Desk::gguf();
    fs::create_dir_all(desk.incomplete().parent().unwrap()).unwrap();
    fs::write(desk.incomplete(), &weights(300_000)[..120_000]).unwrap();
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
    assert_eq!(desk.ears.received.load(Ordering::SeqCst), 180_000);
}

#[test]
fn a_partial_file_that_is_rotten_is_fetched_anew() {
    let desk = Desk::gguf();
    fs::create_dir_all(desk.incomplete().parent().unwrap()).unwrap();
    for rotten in [vec![0; 120_000], vec![0; 300_000], vec![0; 400_000]] {
        fs::write(desk.incomplete(), rotten).unwrap();
        let located = desk.pull().unwrap();
        desk.assert_whole(&located);
        fs::remove_file(desk.blob()).unwrap();
    }
}

#[test]
fn a_file_that_changed_in_between_is_not_joined() {
    let desk = Desk::gguf();
    fs::create_dir_all(desk.incomplete().parent().unwrap()).unwrap();
    // The server honours If-Range and sends the whole.
    fs::write(desk.incomplete(), vec![1; 1000]).unwrap();
    fs::write(format!("{}.etag", desk.incomplete().display()), "\"old\"").unwrap();
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
    assert_eq!(desk.hub.requests("cdn").len(), 1);
    assert!(desk.ears.heard("starting it anew"));
    // It does not, but says another ETag.
    fs::remove_file(desk.blob()).unwrap();
    desk.hub.fail_once("cdn", Fault::DropAfter(1000));
    desk.hub.fail_once("cdn", Fault::OtherEtag("\"new\""));
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
    assert!(desk.ears.heard("changed on the server"));
}

#[test]
fn a_server_without_ranges_is_served_from_the_start() {
    let desk = Desk::gguf();
    desk.hub.fail_once("cdn", Fault::DropAfter(100_000));
    desk.hub.fail_once("cdn", Fault::IgnoreRange);
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
}

#[test]
fn wrong_bytes_are_fetched_once_more_and_never_kept() {
    let desk = Desk::gguf();
    desk.hub.fail_once("cdn", Fault::WrongBytes);
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
    assert!(desk.ears.heard("sha256"));

    for fault in [
        Fault::WrongBytes,
        Fault::TooMany(10),
        Fault::OnlyFirst(1000),
        Fault::OnlyFirst(0),
    ] {
        let desk = Desk::gguf();
        desk.hub.fail_always("cdn", Some(fault.clone()));
        let error = desk.pull().unwrap_err();
        assert!(matches!(error, HubError::Corrupt(_)), "{fault:?}: {error}");
        assert!(
            !desk.blob().exists() && !desk.incomplete().exists(),
            "{fault:?}"
        );
        assert!(
            desk.cache().names(COMMIT).is_empty(),
            "{fault:?}: nothing is linked"
        );
        assert_eq!(desk.hub.requests("cdn").len(), 2, "{fault:?}");
    }
}

#[test]
fn wrong_bytes_in_a_small_file_are_found_by_its_git_hash() {
    let files = [
        ("config.json", b"{\"a\": 1}".to_vec()),
        ("model.safetensors", weights(10)),
    ];
    let desk = Desk::new("org/float", &files);
    desk.hub.fail_always("resolve", Some(Fault::WrongBytes));
    let error = pull(
        "org/float",
        &PullOptions::default(),
        &desk.settings,
        &desk.ears,
    )
    .unwrap_err();
    assert!(
        matches!(&error, HubError::Corrupt(t) if t.contains("config.json")),
        "{error}"
    );
    let unchecked = PullOptions {
        verify: false,
        ..PullOptions::default()
    };
    assert!(
        pull("org/float", &unchecked, &desk.settings, &desk.ears).is_ok(),
        "--no-verify"
    );
}

#[test]
fn a_connection_that_always_breaks_ends_and_keeps_what_came() {
    let desk = Desk::gguf();
    desk.hub.fail_once("cdn", Fault::DropAfter(2000));
    desk.hub.fail_always("cdn", Some(Fault::DropAfter(0)));
    let error = desk.pull().unwrap_err();
    assert!(
        matches!(&error, HubError::Network(t) if t.contains("resume")),
        "{error}"
    );
    assert_eq!(fs::metadata(desk.incomplete()).unwrap().len(), 2000);
    desk.hub.fail_always("cdn", None);
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
    assert_eq!(desk.ears.received.load(Ordering::SeqCst), 300_000);
}

#[test]
fn refusals_are_told_apart() {
    for (route, code, header, kind, word) in [
        ("api", 401, "RepoNotFound", "network", "HF_TOKEN"),
        ("api", 403, "GatedRepo", "network", "conditions"),
        ("api", 404, "RepoNotFound", "missing", "org/model-GGUF"),
        ("api", 404, "RevisionNotFound", "missing", "revision 'main'"),
        ("api", 418, "", "network", "418"),
        ("resolve", 401, "GatedRepo", "network", "HF_TOKEN"),
        ("resolve", 404, "EntryNotFound", "missing", FILE),
        ("cdn", 403, "", "network", "HF_TOKEN"),
        ("api", 500, "", "network", "500"),
        ("cdn", 503, "", "network", "503"),
        ("api", 429, "", "network", "429"),
    ] {
        let desk = Desk::gguf();
        let headers = vec![("X-Error-Code", header.to_string())];
        desk.hub
            .fail_always(route, Some(Fault::Status(code, headers)));
        let error = desk.pull().unwrap_err();
        let right = match kind {
            "missing" => matches!(error, HubError::NotFound(_)),
            _ => matches!(error, HubError::Network(_)),
        };
        assert!(right, "{route} {code}: {error:?}");
        assert!(error.to_string().contains(word), "{route} {code}: {error}");
        assert!(!desk.blob().exists());
    }
}

#[test]
fn a_server_that_asks_for_patience_gets_it_within_bounds() {
    let desk = Desk::gguf();
    let later = |s: &str| Fault::Status(429, vec![("Retry-After", s.to_string())]);
    desk.hub.fail_once("api", later("0"));
    desk.hub.fail_once("api", Fault::Status(500, Vec::new()));
    desk.hub.fail_once("cdn", Fault::Status(503, Vec::new()));
    desk.hub.fail_once("cdn", later("0"));
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
    assert!(desk.ears.heard("429") && desk.ears.heard("500") && desk.ears.heard("503"));

    let desk = Desk::gguf();
    desk.hub.fail_always("api", Some(later("86400")));
    let error = desk.pull().unwrap_err();
    assert!(error.to_string().contains("86400"), "{error}");
    assert_eq!(
        desk.hub.requests("api").len(),
        1,
        "a day is too long to wait"
    );
}

#[test]
fn what_cannot_be_reached_is_given_up_soon() {
    let mut desk = Desk::gguf();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for endpoint in [refused.as_str(), "http://name.invalid"] {
        desk.settings.endpoint = endpoint.to_string();
        let since = Instant::now();
        let error = desk.pull().unwrap_err();
        assert!(
            matches!(&error, HubError::Network(t) if t.contains("HF_ENDPOINT")),
            "{error}"
        );
        assert!(since.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_server_that_stands_still_or_crawls_is_given_up() {
    for (route, fault) in [
        ("api", Fault::Silence),
        ("cdn", Fault::Silence),
        ("cdn", Fault::StallAfter(500)),
        ("cdn", Fault::Trickle(Duration::from_millis(100))),
    ] {
        let desk = Desk::gguf();
        desk.hub.fail_always(route, Some(fault.clone()));
        let error = desk.pull().unwrap_err();
        assert!(
            matches!(error, HubError::Network(_)),
            "{route} {fault:?}: {error}"
        );
        assert!(!desk.blob().exists());
    }
}

#[test]
fn a_page_instead_of_an_answer_is_no_model() {
    let desk = Desk::gguf();
    desk.hub
        .fail_always("api", Some(Fault::Text("<html>Please sign in</html>")));
    let error = desk.pull().unwrap_err();
    assert!(
        matches!(&error, HubError::Network(t) if t.contains("HF_ENDPOINT")),
        "{error}"
    );
    desk.hub.fail_always(
        "api",
        Some(Fault::Text(
            r#"{"sha":"ab","siblings":[{"rfilename":"../../x.gguf"}]}"#,
        )),
    );
    assert!(matches!(desk.pull().unwrap_err(), HubError::Corrupt(_)));
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let mut desk = Desk::gguf();
    desk.settings.token = Some("hf_secret".into());
    desk.pull().unwrap();
    for request in desk.hub.log() {
        let sent = request.headers.get("authorization").map(String::as_str);
        match request.route.as_str() {
            "cdn" => assert_eq!(sent, None),
            _ => assert_eq!(sent, Some("Bearer hf_secret"), "{}", request.path),
        }
    }
    assert_eq!(desk.hub.requests("cdn").len(), 1);
}

#[test]
fn a_mirror_that_states_no_sizes_is_asked_file_by_file() {
    let desk = Desk::gguf();
    desk.hub.fail_always("api", Some(Fault::Bare));
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
    let heads: Vec<_> = desk
        .hub
        .log()
        .into_iter()
        .filter(|r| r.method == "HEAD")
        .collect();
    assert_eq!(heads.len(), 1);
    assert_eq!(heads[0].route, "resolve");
}

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
