//! What the hub says of a repository at one commit: its files, their sizes and hashes.

use serde::{Deserialize, Serialize};

use super::HubError;

/// A repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    pub commit: String,
    pub files: Vec<RemoteFile>,
}

/// A file as the hub states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteFile {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Names the blob: the sha256 of a large file, the git hash of a small one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

impl RemoteFile {
    /// The sha256 that the content must have, if the hub stores the file by it.
    pub fn sha256(&self) -> Option<&str> {
        self.etag.as_deref().filter(|e| is_hex(e, 64))
    }
}

/// `text` is `length` hexadecimal digits in lower case.
pub fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A blob's name made of an ETag header or of a hash in the API's answer: quotes and the mark of a
/// weak tag are dropped, and what could not be a plain file name is refused.
pub fn clean_etag(raw: &str) -> Option<String> {
    let etag = raw.trim();
    let etag = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    let etag = etag.strip_prefix("sha256:").unwrap_or(etag);
    let plain = !etag.is_empty()
        && etag.len() <= 128
        && !etag.starts_with('.')
        && etag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    plain.then(|| etag.to_string())
}

/// Whether a file's name within a repository stays below the folder that it is put in.
pub fn is_safe_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 512
        && !name.contains(['\\', ':', '\0'])
        && name
            .split('/')
            .all(|s| !s.is_empty() && s != "." && s != "..")
}

/// The part of the API's answer that is read.
#[derive(Deserialize)]
struct Answer {
    sha: Option<String>,
    siblings: Option<Vec<Sibling>>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    #[serde(alias = "oid")]
    sha256: Option<String>,
    size: Option<u64>,
}

impl Listing {
    /// Reads the answer to `GET /api/models/{repo}/revision/{revision}?blobs=true`.
    pub fn parse(repo: &str, text: &str) -> Result<Self, HubError> {
        let answer: Answer = serde_json::from_str(text).map_err(|e| {
            HubError::Network(format!(
                "the hub's description of {repo} cannot be read ({e}); check HF_ENDPOINT and the proxy"
            ))
        })?;
        let commit = answer.sha.as_deref().and_then(clean_etag).ok_or_else(|| {
            HubError::Network(format!(
                "the hub names no commit for {repo}; check HF_ENDPOINT"
            ))
        })?;
        let mut files = Vec::new();
        for sibling in answer.siblings.unwrap_or_default() {
            if !is_safe_name(&sibling.rfilename) {
                return Err(HubError::Corrupt(format!(
                    "{repo} names a file {:?} that would lie outside its folder; nothing was fetched",
                    sibling.rfilename
                )));
            }
            let lfs_hash = sibling.lfs.as_ref().and_then(|l| l.sha256.as_deref());
            files.push(RemoteFile {
                bytes: sibling.lfs.as_ref().and_then(|l| l.size).or(sibling.size),
                // A pointer's git hash does not name the content of a large file.
                etag: match (&sibling.lfs, lfs_hash) {
                    (Some(_), hash) => hash.and_then(clean_etag),
                    (None, _) => sibling.blob_id.as_deref().and_then(clean_etag),
                },
                name: sibling.rfilename,
            });
        }
        Ok(Self { commit, files })
    }

    /// All names.
    pub fn names(&self) -> Vec<&str> {
        self.files.iter().map(|f| f.name.as_str()).collect()
    }

    /// The file of a name.
    pub fn file(&self, name: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|f| f.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_are_named_by_sha256_and_small_ones_by_git_hash() {
        let listing = Listing::parse(
            "a/b",
            r#"{"sha":"0123456789abcdef0123456789abcdef01234567","siblings":[
                {"rfilename":"config.json","size":7,"blobId":"aaaa"},
                {"rfilename":"m.gguf","size":9,"blobId":"bbbb","lfs":{"sha256":"cc","size":9,"pointerSize":1}},
                {"rfilename":"n.gguf","lfs":{"oid":"sha256:dd"}},
                {"rfilename":"bare"}]}"#,
        )
        .expect("parses");
        let etags: Vec<_> = listing.files.iter().map(|f| f.etag.as_deref()).collect();
        assert_eq!(etags, [Some("aaaa"), Some("cc"), Some("dd"), None]);
        assert_eq!(listing.file("m.gguf").and_then(|f| f.bytes), Some(9));
    }

    #[test]
    fn names_that_climb_are_refused() {
        for name in ["../x", "/etc/passwd", "a/../../b", "a\\\\b", "c:x", ""] {
            let text = format!(r#"{{"sha":"ab","siblings":[{{"rfilename":"{name}"}}]}}"#);
            assert!(
                matches!(Listing::parse("a/b", &text), Err(HubError::Corrupt(_))),
                "{name}"
            );
        }
        assert!(matches!(
            Listing::parse("a/b", "<html>"),
            Err(HubError::Network(_))
        ));
        assert!(matches!(
            Listing::parse("a/b", r#"{"siblings":[]}"#),
            Err(HubError::Network(_))
        ));
    }

    #[test]
    fn etags_become_file_names_or_nothing() {
        assert_eq!(clean_etag("W/\"ab-12\"").as_deref(), Some("ab-12"));
        assert_eq!(clean_etag("\"../x\""), None);
        assert_eq!(clean_etag("\"\""), None);
    }
}
