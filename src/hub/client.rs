//! HTTP as the hub needs it: redirects that never carry the token to another host, time limits on
//! every step, proxies by address, and Ctrl-C answered at once whatever the network does.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use ureq::http::{self, header, HeaderMap, Uri};
use ureq::{Agent, Body};

use super::agents::{agent, optional_agent, tls};
use super::stream::Stream;
use super::{proxy, HubError, HubSettings, Progress};

/// What went wrong with a request, as far as the next step depends on it.
#[derive(Debug)]
pub enum Failure {
    /// No answer: the name does not resolve, nobody listens, TLS or the proxy fails.
    Unreachable(String),
    /// The answer broke off or stood still.
    Broken(String),
    /// An answer that is not the file.
    Status(Status),
    /// Ctrl-C.
    Interrupted,
}

/// An answer with an error code.
#[derive(Debug)]
pub struct Status {
    pub code: u16,
    /// The hub's `X-Error-Code`: RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo.
    pub hub_code: String,
    pub retry_after: Option<Duration>,
}

impl Status {
    /// Worth another attempt after a pause.
    pub fn is_temporary(&self) -> bool {
        matches!(self.code, 408 | 425 | 429 | 500..=599)
    }
}

/// An answer whose body has not been read.
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    body: Body,
}

impl Response {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The stated length of the body.
    pub fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }
}

/// Talks to one endpoint.
pub struct Client<'a> {
    pub settings: &'a HubSettings,
    pub progress: &'a dyn Progress,
    direct: Agent,
    https: Option<Agent>,
    http: Option<Agent>,
    home: Option<Origin>,
}

/// Scheme, host and port.
type Origin = (String, String, u16);

fn origin(uri: &Uri) -> Option<Origin> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = uri
        .port_u16()
        .unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

impl<'a> Client<'a> {
    /// Prepares the connections; opens none.
    pub fn new(settings: &'a HubSettings, progress: &'a dyn Progress) -> Result<Self, HubError> {
        let home: Uri = settings.endpoint.parse().map_err(|_| {
            HubError::BadReference(format!(
                "the endpoint '{}' is not an address; HF_ENDPOINT or --endpoint takes \
                 https://huggingface.co or a mirror's",
                settings.endpoint
            ))
        })?;
        if home.host().is_none() || !matches!(home.scheme_str(), Some("http" | "https")) {
            return Err(HubError::BadReference(format!(
                "the endpoint '{}' must begin with https:// or http://",
                settings.endpoint
            )));
        }
        let token = settings.token.as_deref().unwrap_or_default();
        // It would fail at each request as if the hub were away.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HubError::BadReference(
                "the token given (HF_TOKEN, or the token file of `hf auth login`) has characters that no token has; \
                 copy it again from https://huggingface.co/settings/tokens"
                    .into(),
            ));
        }
        let tls = tls(settings)?;
        Ok(Self {
            direct: agent(settings, &tls, None)?,
            https: optional_agent(settings, &tls, settings.proxy.as_deref())?,
            http: optional_agent(settings, &tls, settings.http_proxy.as_deref())?,
            home: origin(&home),
            settings,
            progress,
        })
    }

    fn agent_for(&self, uri: &Uri) -> &Agent {
        let listed = self.settings.no_proxy.as_deref();
        let bypassed = uri
            .host()
            .is_some_and(|h| listed.is_some_and(|l| proxy::bypasses(l, h, uri.port_u16())));
        let proxied = match uri.scheme_str() {
            Some("https") => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        match proxied {
            Some(agent) if !bypassed => agent,
            _ => &self.direct,
        }
    }

    /// Sends a request and follows redirects; only the endpoint's own origin sees the token.
    /// With `stop_abroad`, a redirect to another origin is answered as it stands (its headers hold
    /// what the hub says of the file). Any status below 400 and 416 is an `Ok`.
    pub fn send(
        &self,
        method: http::Method,
        url: &str,
        headers: &[(&str, String)],
        stop_abroad: bool,
    ) -> Result<Response, Failure> {
        let broken = |what: String| Failure::Broken(what);
        let mut uri: Uri = url
            .parse()
            .map_err(|_| broken(format!("{url} is not an address")))?;
        for _ in 0..10 {
            let response = self.once(&method, &uri, headers)?;
            let status = response.status;
            if !(300..400).contains(&status) {
                return match status {
                    200..=299 | 416 => Ok(response),
                    _ => Err(Failure::Status(status_of(&response))),
                };
            }
            let Some(location) = response.header("location") else {
                return Err(broken(format!("{} redirects to nowhere", host(&uri))));
            };
            let next = join(&uri, location)
                .ok_or_else(|| broken(format!("{} redirects to no address", host(&uri))))?;
            if stop_abroad && origin(&next) != origin(&uri) {
                return Ok(response);
            }
            uri = next;
        }
        Err(broken(format!("{} redirects without end", host(&uri))))
    }

    fn once(
        &self,
        method: &http::Method,
        uri: &Uri,
        headers: &[(&str, String)],
    ) -> Result<Response, Failure> {
        let mut request = http::Request::builder()
            .method(method.clone())
            .uri(uri.clone());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let (Some(token), true) = (&self.settings.token, origin(uri) == self.home) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(())
            .map_err(|e| Failure::Unreachable(format!("the request cannot be made: {e}")))?;
        let agent = self.agent_for(uri).clone();
        let host = host(uri);
        let answer = self.in_background(move || agent.run(request))?;
        match answer {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                Ok(Response {
                    status: parts.status.as_u16(),
                    headers: parts.headers,
                    body,
                })
            }
            Err(error) => Err(failure(&host, error)),
        }
    }

    /// Reads a short text body.
    pub fn text(&self, response: Response) -> Result<String, Failure> {
        const LIMIT: u64 = 64 << 20;
        let mut body = response.body;
        self.in_background(move || {
            body.with_config()
                .limit(LIMIT)
                .lossy_utf8(true)
                .read_to_string()
        })?
        .map_err(|e| Failure::Broken(format!("the answer broke off: {e}")))
    }

    /// The body as it arrives.
    pub fn stream(&self, response: Response) -> Result<Stream<'a>, Failure> {
        let reader = response.body.into_with_config().limit(u64::MAX).reader();
        Stream::start(reader, self.progress, &self.settings.limits)
    }

    /// Runs blocking work on a thread of its own, so that Ctrl-C need not wait for it.
    fn in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("crane-http".into())
            .spawn(move || drop(sender.send(work())))
            .map_err(|e| Failure::Broken(format!("no thread: {e}")))?;
        loop {
            match receiver.recv_timeout(Duration::from_millis(25)) {
                Ok(value) => return Ok(value),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Broken("the request failed".into()))
                }
                Err(RecvTimeoutError::Timeout) if self.progress.interrupted() => {
                    return Err(Failure::Interrupted)
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Waits, unless Ctrl-C comes first.
    pub fn pause(&self, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if self.progress.interrupted() {
                return Err(Failure::Interrupted);
            }
            std::thread::sleep(left.min(Duration::from_millis(25)));
        }
        Ok(())
    }
}

fn host(uri: &Uri) -> String {
    match (uri.host(), uri.port_u16()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_string(),
        _ => uri.to_string(),
    }
}

/// The address that `location` names, seen from `base`.
fn join(base: &Uri, location: &str) -> Option<Uri> {
    let absolute = location.starts_with("http://") || location.starts_with("https://");
    let scheme = base.scheme_str()?;
    let authority = base.authority()?;
    let whole = if absolute {
        location.to_string()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(f, _)| f);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    whole.parse().ok()
}

fn status_of(response: &Response) -> Status {
    Status {
        code: response.status,
        hub_code: response
            .header("x-error-code")
            .unwrap_or_default()
            .to_string(),
        retry_after: response
            .header("retry-after")
            .and_then(|v| v.trim().parse::<f64>().ok())
            .filter(|s| s.is_finite() && *s >= 0.0)
            .map(|s| Duration::from_secs_f64(s.min(1e6))),
    }
}

fn failure(host: &str, error: ureq::Error) -> Failure {
    use ureq::{Error, Timeout};
    match error {
        Error::HostNotFound => Failure::Unreachable(format!("the name {host} cannot be resolved")),
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            Failure::Unreachable(format!("{host} does not answer"))
        }
        Error::Timeout(_) => Failure::Broken(format!("{host} took too long to answer")),
        Error::Io(e) => match e.kind() {
            std::io::ErrorKind::ConnectionRefused => {
                Failure::Unreachable(format!("{host} refuses the connection"))
            }
            std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
                Failure::Unreachable(format!("{host} is not reachable from this network"))
            }
            std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::BrokenPipe
            | std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::TimedOut => {
                Failure::Broken(format!("{host} broke the connection off ({e})"))
            }
            _ => Failure::Unreachable(format!("{host} cannot be reached ({e})")),
        },
        Error::Protocol(e) => Failure::Broken(format!("{host} does not speak HTTP properly ({e})")),
        Error::ConnectProxyFailed(e) => Failure::Unreachable(format!(
            "the proxy does not connect to {host} ({e}); check HTTPS_PROXY and NO_PROXY"
        )),
        other => Failure::Unreachable(format!("{host} cannot be reached ({other})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect(text)
    }

    #[test]
    fn redirects_may_be_relative() {
        let base = uri("https://hub.example/a/resolve/main/f?x=1");
        for (location, whole) in [
            ("https://cdn.example/f?sig=1", "https://cdn.example/f?sig=1"),
            ("//cdn.example/f", "https://cdn.example/f"),
            ("/b/f", "https://hub.example/b/f"),
            ("g", "https://hub.example/a/resolve/main/g"),
        ] {
            assert_eq!(join(&base, location), Some(uri(whole)), "{location}");
        }
    }

    #[test]
    fn origins_tell_hosts_ports_and_schemes_apart() {
        let home = origin(&uri("https://hub.example"));
        assert_eq!(home, origin(&uri("https://HUB.example:443/path")));
        assert_ne!(home, origin(&uri("http://hub.example:443")));
        assert_ne!(home, origin(&uri("https://hub.example.evil")));
    }

    #[test]
    fn an_endpoint_must_be_an_address() {
        for endpoint in ["", "huggingface.co", "ftp://x", "http://", "not an address"] {
            let settings = HubSettings::new("unused", endpoint);
            assert!(
                Client::new(&settings, &super::super::Silent).is_err(),
                "{endpoint}"
            );
        }
    }
}
