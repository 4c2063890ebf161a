//! What the name of a GGUF file says: its quantisation and its place among split parts.

/// Quantisations from the most to the least wanted, for a name that asks for none or for one that
/// the repository lacks: four bits with good quality first, then upwards, then below.
const PREFERENCE: [&str; 22] = [
    "q4_k_m", "q4_k_s", "q4_k_l", "q4_k_xl", "q4_k", "q4_1", "q4_0", "q5_k_m", "q5_k_s", "q5_0",
    "q5_1", "q6_k", "q8_0", "q3_k_l", "q3_k_m", "q3_k_s", "q2_k", "bf16", "f16", "f32", "q2_k_l",
    "q3_k_xl",
];

/// The usual quantisation.
pub const USUAL: &str = "q4_k_m";

/// The quantisation in a file's name, in lower case (`q4_k_m`, `f16`); `fp16` reads as `f16`.
pub fn quant_of(file: &str) -> Option<String> {
    let stem = stem(file)?;
    stem.rsplit(['-', '.']).find_map(|token| {
        tag(token).or_else(|| {
            token
                .match_indices('_')
                .find_map(|(i, _)| tag(token.get(i + 1..)?))
        })
    })
}

/// The lower-case base name without `.gguf` and without `-00001-of-00003`.
fn stem(file: &str) -> Option<String> {
    let base = file.rsplit('/').next()?.to_ascii_lowercase();
    let stem = base.strip_suffix(".gguf")?;
    Some(match split_part(&base) {
        Some(_) => stem.get(..stem.len() - 15)?.to_string(),
        None => stem.to_string(),
    })
}

fn tag(token: &str) -> Option<String> {
    match token {
        "fp16" => return Some("f16".into()),
        "fp32" => return Some("f32".into()),
        "f16" | "f32" | "bf16" => return Some(token.into()),
        _ => {}
    }
    let rest = ["iq", "tq", "q"]
        .iter()
        .find_map(|p| token.strip_prefix(p))?;
    let mut chars = rest.chars();
    let digit = chars.next().is_some_and(|c| c.is_ascii_digit());
    let plain = matches!(chars.next(), None | Some('_'))
        && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (digit && plain && rest.len() <= 8).then(|| token.to_string())
}

/// `…-00002-of-00005.gguf` → `(2, 5)`.
pub fn split_part(file: &str) -> Option<(u32, u32)> {
    let stem = file.get(..file.len().checked_sub(5)?)?;
    let tail = stem.get(stem.len().checked_sub(15)?..)?;
    let (n, of) = tail.strip_prefix('-')?.split_once("-of-")?;
    Some((n.parse().ok()?, of.parse().ok()?))
}

/// Whether a file is a model's weights and not a projector or a calibration matrix.
pub fn is_model(file: &str) -> bool {
    let base = file.rsplit('/').next().unwrap_or(file).to_ascii_lowercase();
    base.ends_with(".gguf") && !is_projector(&base) && !base.contains("imatrix")
}

/// Whether a file is what llama.cpp calls a projector: the image encoder of a model.
pub fn is_projector(file: &str) -> bool {
    let base = file.rsplit('/').next().unwrap_or(file).to_ascii_lowercase();
    base.ends_with(".gguf") && base.contains("mmproj")
}

/// The projector to take of several, in the order of what loses least for its size.
pub fn projector<'a>(names: &[&'a str]) -> Option<&'a str> {
    const PREFERENCE: [&str; 4] = ["f16", "bf16", "q8_0", "f32"];
    let rank = |name: &str| {
        let quant = quant_of(name);
        let place = PREFERENCE.iter().position(|p| quant.as_deref() == Some(p));
        place.unwrap_or(PREFERENCE.len())
    };
    let found = names.iter().copied().filter(|name| is_projector(name));
    found.min_by_key(|name| (rank(name), name.len(), *name))
}

/// The files of the quantisation `wanted` among `names`: one file, or all parts of a split one.
/// A single file is preferred to the same model in parts. Empty when there is none.
pub fn of_quant<'a>(names: &[&'a str], wanted: &str) -> Vec<&'a str> {
    let wanted = canonical(wanted);
    let mut found: Vec<&str> = names
        .iter()
        .copied()
        .filter(|n| is_model(n) && quant_of(n).as_deref() == Some(wanted.as_str()))
        .collect();
    if found.is_empty() && matches!(wanted.as_str(), "q4_k" | "q5_k" | "q3_k") {
        return of_quant(names, &format!("{wanted}_m"));
    }
    found.sort_by_key(|n| (split_part(n).is_some(), n.len(), *n));
    match found.first() {
        Some(first) if split_part(first).is_some() => {
            let stem_of_first = stem(first);
            let folder = first.rsplit_once('/').map(|(f, _)| f);
            found.retain(|n| {
                stem(n) == stem_of_first && n.rsplit_once('/').map(|(f, _)| f) == folder
            });
        }
        _ => found.truncate(1),
    }
    found
}

/// `Q4K` and `q4-k-m` are understood as well.
fn canonical(quant: &str) -> String {
    let q = quant.to_ascii_lowercase().replace('-', "_");
    match q.as_str() {
        "fp16" => "f16".into(),
        "fp32" => "f32".into(),
        "q2k" | "q3k" | "q4k" | "q5k" | "q6k" | "q8k" => q.replace('k', "_k"),
        _ => q,
    }
}

/// All quantisations among `names`, the most wanted first.
pub fn quants(names: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = names
        .iter()
        .filter(|n| is_model(n))
        .filter_map(|n| quant_of(n))
        .collect();
    all.sort_by_key(|q| {
        let rank = PREFERENCE.iter().position(|p| p == q);
        (rank.unwrap_or(PREFERENCE.len()), q.clone())
    });
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantisations_are_read_from_names_as_people_write_them() {
        for (name, quant) in [
            ("qwen2.5-0.5b-instruct-q4_k_m.gguf", Some("q4_k_m")),
            ("SmolLM2-135M-Instruct.Q4_1.gguf", Some("q4_1")),
            ("Qwen3-0.6B-Q8_0.gguf", Some("q8_0")),
            (
                "qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf",
                Some("q4_k_m"),
            ),
            ("Q6_K/model-Q6_K-00002-of-00003.gguf", Some("q6_k")),
            ("qwen2.5-0.5b-instruct-fp16.gguf", Some("f16")),
            ("Model_IQ4_XS.gguf", Some("iq4_xs")),
            ("qwen2.5-q.gguf", None),
            ("model.gguf", None),
            ("model-q4_0.safetensors", None),
        ] {
            assert_eq!(quant_of(name).as_deref(), quant, "{name}");
        }
    }

    #[test]
    fn a_single_file_is_preferred_to_its_parts_and_all_parts_are_taken() {
        let names = [
            "m-q4_k_m-00001-of-00002.gguf",
            "m-q4_k_m-00002-of-00002.gguf",
            "m-q4_k_m.gguf",
            "m-q8_0-00001-of-00002.gguf",
            "m-q8_0-00002-of-00002.gguf",
            "mmproj-q8_0.gguf",
        ];
        assert_eq!(of_quant(&names, "Q4_K_M"), ["m-q4_k_m.gguf"]);
        assert_eq!(
            of_quant(&names, "q8_0"),
            ["m-q8_0-00001-of-00002.gguf", "m-q8_0-00002-of-00002.gguf"]
        );
        assert!(of_quant(&names, "q5_0").is_empty());
        assert_eq!(of_quant(&names, "q4k"), ["m-q4_k_m.gguf"]);
        assert_eq!(quants(&names), ["q4_k_m", "q8_0"]);
    }

    #[test]
    fn short_and_odd_names_do_no_harm() {
        for name in ["", ".gguf", "é.gguf", "-00001-of-00002.gguf", "a/"] {
            let _ = (quant_of(name), split_part(name), is_model(name));
        }
    }
}
