//! What the user types for a model.
//!
//! `alias[:quant]` · `org/repo[@revision][:quant]` · `./dir` · `/abs/dir` · `file.gguf`

use std::path::{Path, PathBuf};

use super::catalogue::{self, Row, Variant};
use super::HubError;

/// A model's name, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A folder or a `.gguf` file on this machine.
    Local(PathBuf),
    /// Files of a repository on the hub.
    Hub(HubReference),
}

/// Files of a repository on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubReference {
    /// The catalogue's row, if an alias was typed.
    pub row: Option<&'static Row>,
    /// `org/repo`.
    pub repo: String,
    /// Branch, tag or commit.
    pub revision: String,
    pub want: Want,
}

/// Which of a repository's files are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// Safetensors where the repository has them, else the usual GGUF file.
    Any,
    /// The GGUF file of this quantisation, in lower case.
    Gguf(String),
    /// The folder of safetensors files.
    Safetensors,
}

/// The branch that a name without `@revision` means.
pub const DEFAULT_REVISION: &str = "main";

impl Reference {
    /// Reads `name`. `quant` and `revision` are what flags said; they give way to none in the name
    /// itself, and saying two different things is an error.
    ///
    /// Looks at the file system only to tell a folder from a repository, as `transformers` does.
    pub fn parse(
        name: &str,
        quant: Option<&str>,
        revision: Option<&str>,
    ) -> Result<Self, HubError> {
        let name = name.trim();
        if name.is_empty() {
            return Err(bad(
                "a model's name is missing; `crane list --catalogue` shows the names",
            ));
        }
        if let Some(path) = as_local(name) {
            if quant.is_some() || revision.is_some() {
                return Err(bad(&format!(
                    "{name} is on this machine: a quantisation or revision is chosen among files of the \
                     hub only (to quantise at load, use `crane run {name} --quant q8_0`)"
                )));
            }
            return Ok(Reference::Local(path));
        }
        let short = ["https://huggingface.co/", "https://hf.co/", "hf.co/"]
            .iter()
            .find_map(|p| name.strip_prefix(p))
            .unwrap_or(name)
            .trim_end_matches('/');
        let (base, typed_revision, typed_quant) = split(short);
        let quant = one_of("quantisation", name, typed_quant, quant)?;
        let revision = one_of("revision", name, typed_revision, revision)?;
        if let Some(q) = quant {
            check(q, "quantisation", name, false)?;
        }
        let revision = revision.unwrap_or(DEFAULT_REVISION);
        check(revision, "revision", name, true)?;
        if base.contains('/') {
            return from_repo(name, base, revision, quant).map(Reference::Hub);
        }
        from_alias(name, base, revision, quant).map(Reference::Hub)
    }
}

fn bad(message: &str) -> HubError {
    HubError::BadReference(message.to_string())
}

/// A path, if `name` looks like one or is one. What does not exist is reported later, by name.
fn as_local(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let looks = path.is_absolute()
        || name == "."
        || name == ".."
        || ["./", "../", ".\\", "..\\"]
            .iter()
            .any(|p| name.starts_with(p))
        || name.to_ascii_lowercase().ends_with(".gguf");
    let is = || {
        catalogue::find(name).is_none()
            && (path.is_dir() && !name.contains(':') && !name.contains('@'))
    };
    (looks || is()).then(|| path.to_path_buf())
}

/// `base[@revision][:quant]` → its parts.
fn split(name: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, quant) = match name.rsplit_once(':') {
        Some((rest, quant)) => (rest, Some(quant)),
        None => (name, None),
    };
    match rest.split_once('@') {
        Some((base, revision)) => (base, Some(revision), quant),
        None => (rest, None, quant),
    }
}

/// The one value of a flag and of the name.
fn one_of<'a>(
    what: &str,
    name: &str,
    typed: Option<&'a str>,
    flag: Option<&'a str>,
) -> Result<Option<&'a str>, HubError> {
    match (typed, flag) {
        (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b) => Err(bad(&format!(
            "{name} names the {what} {a} and the flag says {b}; give one of them"
        ))),
        (a, b) => Ok(a.or(b)),
    }
}

/// What goes into a path or a URL is of harmless characters.
fn check(value: &str, what: &str, name: &str, slashes: bool) -> Result<(), HubError> {
    let fine = !value.is_empty()
        && value.len() <= 200
        && value.split('/').all(|s| {
            !s.is_empty()
                && !s.starts_with('.')
                && s.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))
        })
        && (slashes || !value.contains('/'));
    if fine {
        return Ok(());
    }
    Err(bad(&format!("'{value}' in {name} is not a {what}")))
}

fn from_repo(
    name: &str,
    repo: &str,
    revision: &str,
    quant: Option<&str>,
) -> Result<HubReference, HubError> {
    if repo.matches('/').count() != 1 {
        return Err(HubError::NotFound(format!(
            "{name} is neither a folder or file here nor a repository of the form org/repo"
        )));
    }
    check(repo, "repository of the form org/repo", name, true)?;
    let want = match quant {
        None => Want::Any,
        Some(q) if q.eq_ignore_ascii_case("safetensors") => Want::Safetensors,
        Some(q) => Want::Gguf(q.to_ascii_lowercase()),
    };
    Ok(HubReference {
        row: None,
        repo: repo.to_string(),
        revision: revision.to_string(),
        want,
    })
}

fn from_alias(
    name: &str,
    alias: &str,
    revision: &str,
    quant: Option<&str>,
) -> Result<HubReference, HubError> {
    let Some(row) = catalogue::find(alias) else {
        return Err(HubError::NotFound(unknown(alias)));
    };
    let Some(variant) = row.variant(quant) else {
        return Err(bad(&format!(
            "{name}: {} comes as safetensors only; to quantise it at load, leave the name bare and use \
             `--quant q8_0`",
            row.alias
        )));
    };
    let (repo, want) = match variant {
        Variant::Gguf { repo, quant } => (repo, Want::Gguf(quant)),
        Variant::Safetensors { repo } => (repo, Want::Safetensors),
    };
    Ok(HubReference {
        row: Some(row),
        repo: repo.to_string(),
        revision: revision.to_string(),
        want,
    })
}

fn unknown(alias: &str) -> String {
    let hint = match catalogue::similar(alias).as_slice() {
        [] => ";".to_string(),
        names => format!("; did you mean {}?", names.join(" or ")),
    };
    format!(
        "no model is called '{alias}'{hint} `crane list --catalogue` shows all names; a model of the \
         hub is typed as org/repo, one on this machine as ./folder or file.gguf"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(name: &str) -> HubReference {
        match Reference::parse(name, None, None) {
            Ok(Reference::Hub(h)) => h,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn aliases_mean_a_repository_and_a_quantisation() {
        let h = hub("qwen2.5-0.5b");
        assert_eq!(h.repo, "Qwen/Qwen2.5-0.5B-Instruct-GGUF");
        assert_eq!(h.want, Want::Gguf("q4_k_m".into()));
        assert_eq!(hub("QWEN2.5-0.5b:Q8_0").want, Want::Gguf("q8_0".into()));
        let h = hub("qwen2.5-0.5b:bf16");
        assert_eq!(h.repo, "Qwen/Qwen2.5-0.5B-Instruct");
        assert_eq!(h.want, Want::Safetensors);
    }

    #[test]
    fn repositories_take_a_revision_and_a_quantisation() {
        let h = hub("org/my.repo_1@refs/pr/3:q4_K_M");
        assert_eq!(
            (h.repo.as_str(), h.revision.as_str()),
            ("org/my.repo_1", "refs/pr/3")
        );
        assert_eq!(h.want, Want::Gguf("q4_k_m".into()));
        let h = hub("https://huggingface.co/org/repo/");
        assert_eq!(
            (h.repo.as_str(), h.revision.as_str(), h.want),
            ("org/repo", "main", Want::Any)
        );
    }

    #[test]
    fn paths_are_local() {
        for name in [
            "./dir",
            "/abs/dir",
            "../x",
            ".",
            "file.gguf",
            "a/b/FILE.GGUF",
        ] {
            assert_eq!(
                Reference::parse(name, None, None).expect(name),
                Reference::Local(PathBuf::from(name))
            );
        }
    }

    #[test]
    fn flags_and_names_must_agree() {
        assert!(Reference::parse("org/repo:q8_0", Some("Q8_0"), None).is_ok());
        assert!(Reference::parse("org/repo:q8_0", Some("q4_0"), None).is_err());
        assert!(Reference::parse("org/repo@a", None, Some("b")).is_err());
        assert!(Reference::parse("./dir", Some("q8_0"), None).is_err());
    }

    #[test]
    fn nothing_climbs_out_of_the_cache() {
        for name in [
            "a/../b",
            "org/..",
            "../../x@y",
            "org/repo@../../x",
            "org/repo@/etc",
            "org/re po",
            "org/repo:../q",
            "org//repo",
            "a/b/c",
            "org/repo@",
            "org/repo:",
            "-x/y z",
        ] {
            match Reference::parse(name, None, None) {
                Ok(Reference::Hub(h)) => panic!("{name} passed as {h:?}"),
                Ok(Reference::Local(_)) | Err(_) => {}
            }
        }
    }

    #[test]
    fn an_unknown_alias_is_answered_with_a_guess() {
        let error = Reference::parse("smolm2-135m", None, None).expect_err("unknown");
        let text = error.to_string();
        assert!(text.contains("did you mean smollm2-135m"), "{text}");
        assert!(text.contains("crane list --catalogue"), "{text}");
        assert!(matches!(error, HubError::NotFound(_)));
    }
}
