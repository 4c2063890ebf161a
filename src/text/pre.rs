//! The pre-tokenisers of byte-level vocabularies, by the name that `tokenizer.ggml.pre` gives them.

use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

/// Qwen2's splits; every digit is a piece of its own.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Llama 3's: the same with up to three digits together.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// GPT-2's.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Mistral's Tekken: words are also split where upper case follows lower case.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

enum Splits {
    /// One regular expression.
    Regex(&'static str),
    /// GPT-2's own expression.
    Gpt2,
    /// Every digit alone, then GPT-2's expression.
    DigitsThenGpt2,
    /// What llama.cpp does with a file that names no pre-tokeniser: punctuation, GPT-2's pieces, digits by three.
    Default,
}

/// How text is cut before the merges.
pub(super) struct Pre {
    names: &'static [&'static str],
    splits: Splits,
    /// Canonical composition first, as the models' tokenizer.json has it (llama.cpp leaves it out).
    nfc: bool,
    /// A piece that is a token as it stands is not merged together.
    pub ignore_merges: bool,
    /// Whether BOS is added where the file does not say.
    pub add_bos: bool,
}

static TABLE: [Pre; 6] = [
    Pre {
        names: &["qwen2", "deepseek-r1-qwen", "megrez"],
        splits: Splits::Regex(QWEN2),
        nfc: true,
        ignore_merges: false,
        add_bos: false,
    },
    Pre {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"],
        splits: Splits::Regex(LLAMA3),
        nfc: false,
        ignore_merges: true,
        add_bos: true,
    },
    Pre {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell"],
        splits: Splits::DigitsThenGpt2,
        nfc: false,
        ignore_merges: false,
        add_bos: false,
    },
    Pre {
        names: &["gpt-2", "phi-2", "mpt", "olmo"],
        splits: Splits::Gpt2,
        nfc: false,
        ignore_merges: false,
        add_bos: false,
    },
    Pre {
        names: &["default"],
        splits: Splits::Default,
        nfc: false,
        ignore_merges: false,
        add_bos: false,
    },
    Pre {
        names: &["tekken"],
        splits: Splits::Regex(TEKKEN),
        nfc: false,
        ignore_merges: true,
        add_bos: true,
    },
];

impl Pre {
    /// The row of a name; the error lists the names that are known.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        TABLE.iter()
            .find(|row| row.names.contains(&name))
            .ok_or_else(|| {
                let known: Vec<&str> = TABLE.iter().flat_map(|row| row.names).copied().collect();
                format!(
                    "its pre-tokeniser (tokenizer.ggml.pre) is {name:?}, and crane knows {}; use the model's safetensors folder, whose tokenizer.json says it all",
                    known.join(", ")
                )
            })
    }

    pub fn normalizer(&self) -> Option<NormalizerWrapper> {
        self.nfc.then_some(NormalizerWrapper::NFC(NFC))
    }

    pub fn pre_tokenizer(&self) -> Result<PreTokenizerWrapper, String> {
        let bytes = |regex| PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, regex));
        Ok(match self.splits {
            Splits::Gpt2 => bytes(true),
            Splits::DigitsThenGpt2 => PreTokenizerWrapper::Sequence(Sequence::new(vec![
                PreTokenizerWrapper::Digits(Digits::new(true)),
                bytes(true),
            ])),
            Splits::Default => PreTokenizerWrapper::Sequence(Sequence::new(vec![
                split(r"[\p{P}\$\+<=>\^~\|]+")?,
                split(GPT2)?,
                split(r"\p{N}+")?,
                split(r"[0-9][0-9][0-9]")?,
                bytes(false),
            ])),
            Splits::Regex(regex) => {
                PreTokenizerWrapper::Sequence(Sequence::new(vec![split(regex)?, bytes(false)]))
            }
        })
    }
}

fn split(regex: &str) -> Result<PreTokenizerWrapper, String> {
    let pattern = SplitPattern::Regex(regex.to_string());
    Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
        .map(PreTokenizerWrapper::Split)
        .map_err(|e| format!("the pre-tokeniser cannot be built: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::tokenizer::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    fn pieces(name: &str, text: &str) -> Vec<String> {
        let mut cut = PreTokenizedString::from(text);
        let pre = Pre::named(name).unwrap().pre_tokenizer().unwrap();
        pre.pre_tokenize(&mut cut).unwrap();
        let splits = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits
            .iter()
            .map(|(piece, _, _)| piece.replace('Ġ', "_"))
            .collect()
    }

    #[test]
    fn every_name_stands_once_and_builds() {
        let names: Vec<&str> = TABLE.iter().flat_map(|row| row.names).copied().collect();
        for name in &names {
            assert_eq!(names.iter().filter(|n| *n == name).count(), 1, "{name}");
            assert!(!pieces(name, "It's 12345 o'clock!").is_empty());
        }
    }

    #[test]
    fn digits_are_cut_as_the_model_learned_them() {
        assert_eq!(pieces("qwen2", "a 1234"), ["a", "_", "1", "2", "3", "4"]);
        assert_eq!(pieces("llama-bpe", "a 1234"), ["a", "_", "123", "4"]);
        assert_eq!(pieces("smollm", "a 1234"), ["a", "_", "1", "2", "3", "4"]);
        assert_eq!(pieces("gpt-2", "a 1234"), ["a", "_1234"]);
        assert_eq!(pieces("default", "a+1234"), ["a", "+", "123", "4"]);
        assert_eq!(pieces("tekken", "fooBar 12"), ["foo", "Bar", "_", "1", "2"]);
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let error = Pre::named("nope").err().unwrap();
        assert!(
            error.contains("\"nope\"") && error.contains("llama-bpe"),
            "{error}"
        );
    }
}
