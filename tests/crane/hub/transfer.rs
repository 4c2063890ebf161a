//! Resumed, restarted and verified transfers.

use super::*;

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
