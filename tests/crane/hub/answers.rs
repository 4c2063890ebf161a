//! What a hub may answer instead of a model.

use super::*;

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
