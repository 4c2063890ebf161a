//! What the environment says of the hub, read exactly as Python's huggingface_hub reads it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::hub::HubSettings;

/// The hub that nothing else names.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Settings of the hub from the environment, which `get` reads, and from flags, which win.
///
/// `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE` (older: `HUGGINGFACE_HUB_CACHE`), `XDG_CACHE_HOME`,
/// `HF_TOKEN` (older: `HUGGING_FACE_HUB_TOKEN`), `HF_TOKEN_PATH`, `HF_HUB_DISABLE_IMPLICIT_TOKEN`,
/// `HF_HUB_OFFLINE` (also `TRANSFORMERS_OFFLINE`), `HF_HUB_ETAG_TIMEOUT`, `HF_HUB_DOWNLOAD_TIMEOUT`,
/// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` in both cases of letters, and
/// `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`, `SSL_CERT_FILE`.
pub fn hub_settings(
    get: &dyn Fn(&str) -> Option<String>,
    cache_dir: Option<&Path>,
    offline: bool,
) -> HubSettings {
    let env = Environment { get };
    let hf_home = env.path("HF_HOME").unwrap_or_else(|| {
        env.path("XDG_CACHE_HOME")
            .unwrap_or_else(|| env.home().join(".cache"))
            .join("huggingface")
    });
    let cache = cache_dir
        .map(Path::to_path_buf)
        .or_else(|| env.path("HF_HUB_CACHE"))
        .or_else(|| env.path("HUGGINGFACE_HUB_CACHE"))
        .unwrap_or_else(|| hf_home.join("hub"));
    let endpoint = env
        .text("HF_ENDPOINT")
        .unwrap_or_else(|| DEFAULT_ENDPOINT.to_string());

    let mut settings = HubSettings::new(cache, &endpoint);
    settings.offline =
        offline || env.is_true("HF_HUB_OFFLINE") || env.is_true("TRANSFORMERS_OFFLINE");
    if !env.is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
        settings.token = env.token(&hf_home);
    }
    settings.proxy = env.proxy("https");
    settings.http_proxy = env.proxy("http");
    settings.no_proxy = env.either("no_proxy");
    settings.ca_bundle = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
        .iter()
        .find_map(|name| env.path(name));
    if let Some(limit) = env.seconds("HF_HUB_ETAG_TIMEOUT") {
        settings.limits.response = limit;
    }
    if let Some(limit) = env.seconds("HF_HUB_DOWNLOAD_TIMEOUT") {
        settings.limits.idle = limit;
    }
    settings
}

struct Environment<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
}

impl Environment<'_> {
    /// A variable that is set to something.
    fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|v| !v.is_empty())
    }

    fn is_true(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.to_uppercase().as_str()))
    }

    fn seconds(&self, name: &str) -> Option<Duration> {
        let seconds: u64 = self.text(name)?.trim().parse().ok()?;
        (1..=86_400)
            .contains(&seconds)
            .then(|| Duration::from_secs(seconds))
    }

    fn home(&self) -> PathBuf {
        self.text("HOME")
            .or_else(|| self.text("USERPROFILE"))
            .map(PathBuf::from)
            .or_else(|| directories::BaseDirs::new().map(|d| d.home_dir().to_path_buf()))
            .unwrap_or_default()
    }

    /// A path with `~` and `$NAME` or `${NAME}` expanded.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let text = self.expand(&self.text(name)?);
        Some(match text.strip_prefix('~') {
            Some("") => self.home(),
            Some(rest) if rest.starts_with(['/', '\\']) => {
                self.home().join(rest.trim_start_matches(['/', '\\']))
            }
            _ => PathBuf::from(text),
        })
    }

    /// As Python's `os.path.expandvars`: an unknown name stays as it is written.
    fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let after = from.strip_prefix('$').unwrap_or_default();
            let (name, length) = match after.strip_prefix('{').and_then(|a| a.split_once('}')) {
                Some((name, _)) => (name, name.len() + 3),
                None => {
                    let end = after
                        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .unwrap_or(after.len());
                    (after.get(..end).unwrap_or_default(), end + 1)
                }
            };
            match (self.get)(name).filter(|_| !name.is_empty()) {
                Some(value) => out.push_str(&value),
                None => out.push_str(from.get(..length).unwrap_or_default()),
            }
            rest = from.get(length..).unwrap_or_default();
        }
        out + rest
    }

    /// The variable in small letters, else in capitals.
    fn either(&self, name: &str) -> Option<String> {
        self.text(name).or_else(|| self.text(&name.to_uppercase()))
    }

    fn proxy(&self, scheme: &str) -> Option<String> {
        let own = format!("{scheme}_proxy");
        // In a CGI script, HTTP_PROXY is a header of the request and not the user's word.
        let cgi = scheme == "http" && self.text("REQUEST_METHOD").is_some();
        let own = match cgi {
            true => self.text(&own),
            false => self.either(&own),
        };
        own.or_else(|| self.either("all_proxy"))
    }

    fn token(&self, hf_home: &Path) -> Option<String> {
        let clean = |text: String| {
            let text = text.replace(['\r', '\n'], "");
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_string())
        };
        let file = self
            .path("HF_TOKEN_PATH")
            .unwrap_or_else(|| hf_home.join("token"));
        self.text("HF_TOKEN")
            .and_then(clean)
            .or_else(|| self.text("HUGGING_FACE_HUB_TOKEN").and_then(clean))
            .or_else(|| std::fs::read_to_string(file).ok().and_then(clean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> HubSettings {
        let get = |name: &str| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| v.to_string())
        };
        hub_settings(&get, None, false)
    }

    #[test]
    fn the_cache_is_found_in_the_order_of_huggingface_hub() {
        let all = [
            ("HF_HUB_CACHE", "/a"),
            ("HUGGINGFACE_HUB_CACHE", "/b"),
            ("HF_HOME", "/c"),
            ("XDG_CACHE_HOME", "/d"),
            ("HOME", "/e"),
        ];
        for (skip, path) in [
            "/a",
            "/b",
            "/c/hub",
            "/d/huggingface/hub",
            "/e/.cache/huggingface/hub",
        ]
        .iter()
        .enumerate()
        {
            assert_eq!(settings(&all[skip..]).cache_dir, Path::new(path));
        }
        let get = |name: &str| (name == "HF_HUB_CACHE").then(|| "/a".to_string());
        let flagged = hub_settings(&get, Some(Path::new("/flag")), false);
        assert_eq!(flagged.cache_dir, Path::new("/flag"));
        let mirror = settings(&[("HF_ENDPOINT", "http://m/")]);
        assert_eq!(mirror.endpoint, "http://m");
    }

    #[test]
    fn paths_are_expanded_as_python_does() {
        let s = settings(&[("HOME", "/h"), ("HF_HOME", "~/x"), ("V", "v")]);
        assert_eq!(s.cache_dir, Path::new("/h/x/hub"));
        for (text, path) in [
            ("/a/$V/b", "/a/v/b"),
            ("/a/${V}b", "/a/vb"),
            ("/a/$NONE/${NONE}", "/a/$NONE/${NONE}"),
            ("$", "$"),
            ("${", "${"),
            ("~", "/h"),
            ("~other/x", "~other/x"),
        ] {
            let s = settings(&[("HOME", "/h"), ("HF_HUB_CACHE", text), ("V", "v")]);
            assert_eq!(s.cache_dir, Path::new(path), "{text}");
        }
    }

    #[test]
    fn offline_is_what_python_takes_for_true() {
        for (value, offline) in [
            ("1", true),
            ("on", true),
            ("Yes", true),
            ("TRUE", true),
            ("0", false),
            ("", false),
            ("2", false),
        ] {
            assert_eq!(
                settings(&[("HF_HUB_OFFLINE", value)]).offline,
                offline,
                "{value}"
            );
            assert_eq!(
                settings(&[("TRANSFORMERS_OFFLINE", value)]).offline,
                offline,
                "{value}"
            );
        }
    }

    #[test]
    fn the_token_comes_from_the_environment_then_from_the_file() {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join("token"), "from-file\n").expect("write");
        let home = dir.path().to_str().expect("plain path");
        let file = settings(&[("HF_HOME", home)]);
        assert_eq!(file.token.as_deref(), Some("from-file"));
        let env = settings(&[("HF_HOME", home), ("HF_TOKEN", " t\r\n")]);
        assert_eq!(env.token.as_deref(), Some("t"));
        let older = settings(&[
            ("HF_HOME", home),
            ("HF_TOKEN", " "),
            ("HUGGING_FACE_HUB_TOKEN", "o"),
        ]);
        assert_eq!(older.token.as_deref(), Some("o"));
        let none = settings(&[
            ("HF_HOME", home),
            ("HF_TOKEN", "t"),
            ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"),
        ]);
        assert_eq!(none.token, None);
        let path = dir.path().join("other");
        std::fs::write(&path, "other").expect("write");
        let path = path.to_str().expect("plain path");
        let moved = settings(&[("HF_HOME", home), ("HF_TOKEN_PATH", path)]);
        assert_eq!(moved.token.as_deref(), Some("other"));
    }

    #[test]
    fn proxies_are_read_in_both_cases() {
        let s = settings(&[
            ("HTTPS_PROXY", "http://up"),
            ("https_proxy", "http://low"),
            ("ALL_PROXY", "http://all"),
            ("NO_PROXY", "x"),
        ]);
        assert_eq!(s.proxy.as_deref(), Some("http://low"));
        assert_eq!(s.http_proxy.as_deref(), Some("http://all"));
        assert_eq!(s.no_proxy.as_deref(), Some("x"));
        let cgi = settings(&[("HTTP_PROXY", "http://evil"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(cgi.http_proxy, None);
    }

    #[test]
    fn time_limits_are_seconds() {
        let s = settings(&[
            ("HF_HUB_ETAG_TIMEOUT", "7"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "nonsense"),
        ]);
        assert_eq!(s.limits.response, Duration::from_secs(7));
        assert_eq!(s.limits.idle, crate::hub::TimeLimits::default().idle);
    }
}
