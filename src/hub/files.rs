//! Which files of a repository make the model that a name means.

use super::gguf_name;
use super::reference::Want;

/// The files of a model and how it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub files: Vec<String>,
    /// The file that opens the model, or `None` for the folder itself.
    pub entry: Option<String>,
    /// The quantisation of a GGUF selection.
    pub quant: Option<String>,
    /// Set when the wanted quantisation was not named and the usual one is not there.
    pub instead: Option<String>,
}

/// Why nothing can be selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unselectable {
    /// The quantisations that there are.
    NoSuchQuant(Vec<String>),
    /// Safetensors, where a GGUF quantisation was asked for.
    OnlySafetensors,
    /// GGUF, where safetensors were asked for.
    OnlyGguf(Vec<String>),
    /// Neither; true if there are PyTorch pickles.
    NoWeights { pickles: bool },
}

/// Small files beside the weights that loading a model may read.
const SUPPORT: [&str; 15] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "model.safetensors.index.json",
];

/// Chooses among the names of all files of a repository.
pub fn select(names: &[&str], want: &Want) -> Result<Selection, Unselectable> {
    let quants = gguf_name::quants(names);
    let has_gguf = names.iter().any(|n| gguf_name::is_model(n));
    let has_safetensors = names.iter().any(|n| n.ends_with(".safetensors"));
    match want {
        Want::Gguf(quant) => {
            let found = gguf_name::of_quant(names, quant);
            match (found.is_empty(), has_gguf, has_safetensors) {
                (false, ..) => Ok(gguf(names, found, None)),
                (true, true, _) => Err(Unselectable::NoSuchQuant(quants)),
                (true, false, true) => Err(Unselectable::OnlySafetensors),
                (true, false, false) => Err(no_weights(names)),
            }
        }
        Want::Safetensors if has_safetensors => Ok(safetensors(names)),
        Want::Safetensors if has_gguf => Err(Unselectable::OnlyGguf(quants)),
        Want::Any if has_safetensors => Ok(safetensors(names)),
        Want::Any if has_gguf => any_gguf(names, &quants),
        _ => Err(no_weights(names)),
    }
}

fn no_weights(names: &[&str]) -> Unselectable {
    Unselectable::NoWeights {
        pickles: names
            .iter()
            .any(|n| n.ends_with(".bin") || n.ends_with(".pth") || n.ends_with(".pt")),
    }
}

/// The files `found` of a model, and what reads its images where that is a file of its own.
fn gguf(names: &[&str], found: Vec<&str>, instead: Option<String>) -> Selection {
    Selection {
        entry: found.first().map(|f| f.to_string()),
        quant: found.first().and_then(|f| gguf_name::quant_of(f)),
        files: found
            .into_iter()
            .chain(gguf_name::projector(names))
            .map(String::from)
            .collect(),
        instead,
    }
}

/// The usual quantisation, else the nearest, else the only file there is.
fn any_gguf(names: &[&str], quants: &[String]) -> Result<Selection, Unselectable> {
    match quants.first() {
        Some(q) => {
            let found = gguf_name::of_quant(names, q);
            let instead = (q != gguf_name::USUAL).then(|| q.clone());
            Ok(gguf(names, found, instead))
        }
        None => {
            let mut found: Vec<&str> = names
                .iter()
                .copied()
                .filter(|n| gguf_name::is_model(n))
                .collect();
            found.sort();
            if found
                .first()
                .is_some_and(|f| gguf_name::split_part(f).is_none())
            {
                found.truncate(1);
            }
            Ok(gguf(names, found, None))
        }
    }
}

/// The weights at the top of the repository with what belongs to them; where there are none at the
/// top (a model of several parts, as Spark-TTS), the weights and settings of all folders.
fn safetensors(names: &[&str]) -> Selection {
    let top: Vec<&str> = names
        .iter()
        .copied()
        .filter(|n| !n.contains('/') && n.ends_with(".safetensors"))
        .collect();
    let files = if top.is_empty() {
        names
            .iter()
            .copied()
            .filter(|n| belongs_to_parts(names, n))
            .collect()
    } else {
        let mut files: Vec<&str> = names
            .iter()
            .copied()
            .filter(|n| SUPPORT.contains(n))
            .collect();
        files.extend(top_weights(names, &top));
        files
    };
    Selection {
        files: files.into_iter().map(String::from).collect(),
        entry: None,
        quant: None,
        instead: None,
    }
}

/// `model.safetensors`, or its shards when an index lists them, or whatever there is.
fn top_weights<'a>(names: &[&str], top: &[&'a str]) -> Vec<&'a str> {
    let indexed = names.contains(&"model.safetensors.index.json");
    let shards: Vec<&str> = top
        .iter()
        .copied()
        .filter(|n| n.starts_with("model-") && n.contains("-of-"))
        .collect();
    if indexed && !shards.is_empty() {
        return shards;
    }
    if top.contains(&"model.safetensors") {
        return vec!["model.safetensors"];
    }
    top.to_vec()
}

fn belongs_to_parts(names: &[&str], name: &str) -> bool {
    let (folder, base) = name.rsplit_once('/').unwrap_or(("", name));
    let extension = base.rsplit('.').next().unwrap_or("");
    if matches!(extension, "safetensors" | "json" | "yaml" | "txt" | "jinja") {
        return !base.starts_with('.');
    }
    // Some parts are published as a pickle only (Spark-TTS' wav2vec2).
    base == "pytorch_model.bin"
        && !names.iter().any(|n| {
            n.ends_with(".safetensors") && n.rsplit_once('/').map_or("", |(f, _)| f) == folder
        })
}

/// Shell-style match: `*` any characters, `?` one; `*` crosses `/`, as in huggingface_hub.
pub fn glob(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || name.get(n) == Some(c) => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((bp, bn)) => {
                    p = bp;
                    n = bn + 1;
                    back = Some((bp, bn + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safetensors_come_with_their_tokenizer_and_without_the_rest() {
        let names = [
            "README.md",
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "onnx/model.onnx",
            "original/consolidated.00.pth",
            "pytorch_model.bin",
        ];
        let s = select(&names, &Want::Any).expect("selectable");
        assert_eq!(
            s.files,
            ["config.json", "tokenizer.json", "model.safetensors"]
        );
        assert_eq!(s.entry, None);
    }

    #[test]
    fn shards_follow_the_index() {
        let names = [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "consolidated.safetensors",
            "config.json",
        ];
        let s = select(&names, &Want::Safetensors).expect("selectable");
        assert_eq!(s.files.len(), 4);
        assert!(!s.files.contains(&"consolidated.safetensors".to_string()));
    }

    #[test]
    fn a_model_of_parts_brings_its_folders() {
        let names = [
            "README.md",
            "config.yaml",
            "LLM/config.json",
            "LLM/model.safetensors",
            "BiCodec/model.safetensors",
            "BiCodec/config.yaml",
            "wav2vec2/pytorch_model.bin",
            "src/logo.png",
        ];
        let s = select(&names, &Want::Any).expect("selectable");
        assert_eq!(s.files.len(), 6);
        assert!(s.files.contains(&"wav2vec2/pytorch_model.bin".to_string()));
    }

    #[test]
    fn a_model_with_images_brings_its_projector() {
        let names = ["vl-q8_0.gguf", "mmproj-vl-f32.gguf", "mmproj-vl-f16.gguf"];
        let s = select(&names, &Want::Gguf("q8_0".into())).expect("selectable");
        assert_eq!(s.files, ["vl-q8_0.gguf", "mmproj-vl-f16.gguf"]);
        assert_eq!(s.entry.as_deref(), Some("vl-q8_0.gguf"));
        assert_eq!(
            select(&names, &Want::Any).expect("selectable").files,
            s.files
        );
    }

    #[test]
    fn quantisations_are_chosen_and_refused_by_name() {
        let gguf = ["a-q8_0.gguf", "a-q2_k.gguf"];
        let s = select(&gguf, &Want::Any).expect("selectable");
        assert_eq!(
            (s.entry.as_deref(), s.instead.as_deref()),
            (Some("a-q8_0.gguf"), Some("q8_0"))
        );
        assert_eq!(
            select(&gguf, &Want::Gguf("q5_0".into())),
            Err(Unselectable::NoSuchQuant(vec![
                "q8_0".into(),
                "q2_k".into()
            ]))
        );
        assert_eq!(
            select(&["model.safetensors"], &Want::Gguf("q8_0".into())),
            Err(Unselectable::OnlySafetensors)
        );
        assert_eq!(
            select(&["pytorch_model.bin"], &Want::Any),
            Err(Unselectable::NoWeights { pickles: true })
        );
    }

    #[test]
    fn globs_match_as_in_a_shell() {
        assert!(glob("*.json", "config.json"));
        assert!(glob("LLM/*", "LLM/a/b.txt"));
        assert!(glob("m?del-*of*.safetensors", "model-1-of-2.safetensors"));
        assert!(!glob("*.json", "config.jsonl"));
        assert!(!glob("", "x"));
        assert!(glob("**", ""));
    }
}
