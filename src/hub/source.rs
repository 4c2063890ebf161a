//! The Hugging Face hub as a source: what it says of a repository, and its refusals in plain words.

use ureq::http::Method;

use super::client::{Client, Failure, Status};
use super::listing::{clean_etag, Listing, RemoteFile};
use super::reference::HubReference;
use super::HubError;

/// Attempts at a request that the hub puts off (429, 5xx) or that breaks.
const ATTEMPTS: u32 = 4;

/// The files of the repository at `revision`.
pub fn describe(client: &Client, reference: &HubReference) -> Result<Listing, SourceError> {
    let url = format!(
        "{}/api/models/{}/revision/{}?blobs=true",
        client.settings.endpoint,
        reference.repo,
        reference.revision.replace('/', "%2F")
    );
    let what = format!("{}@{}", reference.repo, reference.revision);
    let text = with_retries(client, &what, || {
        let response = client.send(Method::GET, &url, &[], false)?;
        client.text(response)
    })
    .map_err(|f| SourceError::of(client, f, &reference.repo, &reference.revision, None))?;
    Ok(Listing::parse(&reference.repo, &text)?)
}

/// Fills in the size and the hash that a mirror's description of a file lacks.
pub fn complete(
    client: &Client,
    repo: &str,
    commit: &str,
    file: &RemoteFile,
) -> Result<RemoteFile, SourceError> {
    if file.etag.is_some() && file.bytes.is_some() {
        return Ok(file.clone());
    }
    let url = file_url(client, repo, commit, &file.name);
    let response = with_retries(client, &file.name, || {
        client.send(Method::HEAD, &url, &[], true)
    })
    .map_err(|f| SourceError::of(client, f, repo, commit, Some(&file.name)))?;
    let linked = response.header("x-linked-etag");
    let etag = linked
        .or_else(|| response.header("etag"))
        .and_then(clean_etag);
    let bytes = match response.header("x-linked-size") {
        Some(size) => size.trim().parse().ok(),
        // The length of a redirect's own body says nothing.
        None if response.status < 300 => response.content_length(),
        None => None,
    };
    let etag = file.etag.clone().or(etag);
    if etag.is_none() {
        return Err(SourceError::Final(HubError::Network(format!(
            "{} gives no ETag for {} of {repo}, so the file could not be verified; use another HF_ENDPOINT",
            client.settings.endpoint, file.name
        ))));
    }
    Ok(RemoteFile {
        name: file.name.clone(),
        bytes: file.bytes.or(bytes),
        etag,
    })
}

/// Where the bytes of a file are asked for.
pub fn file_url(client: &Client, repo: &str, commit: &str, name: &str) -> String {
    format!(
        "{}/{repo}/resolve/{commit}/{}",
        client.settings.endpoint,
        encode(name)
    )
}

/// Percent-encodes a path, slashes kept.
fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Why the hub gives no files.
#[derive(Debug)]
pub enum SourceError {
    /// Another source may have the model.
    Elsewhere(HubError),
    /// Another source would not help.
    Final(HubError),
}

impl From<HubError> for SourceError {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Network(_) | HubError::NotFound(_) => SourceError::Elsewhere(error),
            other => SourceError::Final(other),
        }
    }
}

impl SourceError {
    fn of(
        client: &Client,
        failure: Failure,
        repo: &str,
        revision: &str,
        file: Option<&str>,
    ) -> Self {
        explain(client, failure, repo, revision, file).into()
    }
}

/// A failed request in words, with what to do about it.
pub fn explain(
    client: &Client,
    failure: Failure,
    repo: &str,
    revision: &str,
    file: Option<&str>,
) -> HubError {
    let what = match file {
        Some(file) => format!("{file} of {repo}@{revision}"),
        None => format!("{repo}@{revision}"),
    };
    let endpoint = &client.settings.endpoint;
    match failure {
        Failure::Interrupted => HubError::Interrupted,
        Failure::Unreachable(why) => HubError::Network(format!(
            "{what} cannot be fetched: {why}. Check the network and HTTPS_PROXY, or set HF_ENDPOINT to a \
             mirror"
        )),
        Failure::Broken(why) => HubError::Network(format!(
            "{what} cannot be fetched: {why}. What has arrived is kept; run the same command again to resume"
        )),
        Failure::Status(Status { code, hub_code, retry_after }) => match code {
            401 | 403 => HubError::Network(refused(client, code, &hub_code, &what, repo)),
            404 => HubError::NotFound(match (file, hub_code.as_str()) {
                (_, "RevisionNotFound") => {
                    format!("{repo} has no revision '{revision}'; {endpoint}/{repo} shows its branches")
                }
                (Some(file), _) => format!("{repo}@{revision} has no file {file}"),
                (None, _) => format!(
                    "{endpoint} has no model {repo} at revision '{revision}' (404); check the spelling of both"
                ),
            }),
            429 => HubError::Network(format!(
                "{endpoint} asks for fewer requests (429) for {what}{}; try again later, or set HF_TOKEN: \
                 signed-in users have a higher limit",
                match retry_after {
                    Some(t) => format!(", next in {} s", t.as_secs()),
                    None => String::new(),
                }
            )),
            500..=599 => HubError::Network(format!(
                "{endpoint} fails ({code}) for {what}; try again later, or set HF_ENDPOINT to a mirror"
            )),
            _ => HubError::Network(format!("{endpoint} answers {code} for {what}")),
        },
    }
}

fn refused(client: &Client, code: u16, hub_code: &str, what: &str, repo: &str) -> String {
    let endpoint = &client.settings.endpoint;
    if hub_code == "GatedRepo" || (code == 403 && client.settings.token.is_some()) {
        return format!(
            "access to {what} is refused ({code}): the model has conditions. Accept them at \
             {endpoint}/{repo}, and set HF_TOKEN to a token of that account that may read gated models"
        );
    }
    match client.settings.token {
        Some(_) => format!(
            "{what} is refused ({code}) with the token given: HF_TOKEN (or the token file of `hf auth login`) \
             is not valid for it, or the model does not exist"
        ),
        None => format!(
            "{what} needs authorisation ({code}), or does not exist: check the name, or set HF_TOKEN to an \
             access token from {endpoint}/settings/tokens"
        ),
    }
}

/// Repeats `request` while the hub puts it off, with a notice each time. What cannot be reached is
/// not asked twice.
fn with_retries<T>(
    client: &Client,
    what: &str,
    mut request: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut attempt = 1;
    loop {
        let failure = match request() {
            // A server that stands still twice is as good as not reachable.
            Err(Failure::Broken(why)) if attempt > 1 => return Err(Failure::Broken(why)),
            Err(failure) if attempt < ATTEMPTS => failure,
            other => return other,
        };
        let Some((pause, why)) = pause_after(client, &failure, attempt) else {
            return Err(failure);
        };
        attempt += 1;
        client.progress.notice(&format!(
            "{what}: {why}; attempt {attempt} of {ATTEMPTS} in {:.1} s",
            pause.as_secs_f64()
        ));
        client.pause(pause)?;
    }
}

/// How long to wait after a failure and what to say; `None` if another attempt makes no sense.
pub fn pause_after(
    client: &Client,
    failure: &Failure,
    attempt: u32,
) -> Option<(std::time::Duration, String)> {
    let limits = &client.settings.limits;
    let growing = limits.pause * (1 << attempt.saturating_sub(1).min(5));
    match failure {
        Failure::Broken(why) => Some((growing, why.clone())),
        Failure::Status(status) if status.is_temporary() => {
            let pause = status.retry_after.unwrap_or(growing);
            (pause <= limits.longest_pause)
                .then(|| (pause, format!("the server answers {}", status.code)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded() {
        assert_eq!(encode("a b/ü+#?.json"), "a%20b/%C3%BC%2B%23%3F.json");
    }
}
