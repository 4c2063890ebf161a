//! A Hugging Face folder's tokenizer files → a tokenizer, as transformers' fast tokenizers read them.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use tokenizers::AddedToken;

use super::detokenize::Spelling;
use super::pipeline::{self, Pipeline};
use super::special::{eos_token_ids, token_text, Specials};
use super::tokenizer::Affix;
use super::{TextError, Tokenizer};

const AGAIN: &str = "fetch it again with crane pull --force";

/// The folder of a checkpoint that was opened by its folder or by a file in it.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if path.is_file() => parent,
        _ => path,
    }
}

/// The tokenizer of a folder; `config` is its parsed config.json.
pub(super) fn load(folder: &Path, config: Option<&Value>) -> Result<Tokenizer, TextError> {
    let tokenizer_json = folder.join("tokenizer.json");
    if !tokenizer_json.is_file() {
        return Err(TextError::NoTokenizer {
            file: tokenizer_json.display().to_string(),
        });
    }
    let tokenizer_config = folder.join("tokenizer_config.json");
    let mut tokenizer = from_files(
        &tokenizer_json,
        Some(tokenizer_config.as_path()).filter(|p| p.is_file()),
    )?;
    let generation = read_json_if_present(&folder.join("generation_config.json"))?;
    let nested = config.and_then(|c| c.get("text_config"));
    for source in [generation.as_ref(), config, nested].into_iter().flatten() {
        for id in eos_token_ids(source) {
            if !tokenizer.eos_ids.contains(&id) {
                tokenizer.eos_ids.push(id);
            }
        }
    }
    Ok(tokenizer)
}

pub(super) fn read_json_if_present(path: &Path) -> Result<Option<Value>, TextError> {
    path.is_file().then(|| read_json(path)).transpose()
}

fn read_json(path: &Path) -> Result<Value, TextError> {
    let fail = |reason: String| TextError::tokenizer(path.display().to_string(), reason);
    let bytes = std::fs::read(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    serde_json::from_slice(&bytes).map_err(|e| fail(format!("is not valid JSON ({e}); {AGAIN}")))
}

pub(super) fn from_files(
    tokenizer_json: &Path,
    tokenizer_config: Option<&Path>,
) -> Result<Tokenizer, TextError> {
    let file = tokenizer_json.display().to_string();
    let fail = |reason: String| TextError::tokenizer(file.clone(), reason);
    let bytes = std::fs::read(tokenizer_json).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let Pipeline { mut inner, decoder } = pipeline::read(&bytes).map_err(&fail)?;
    let spelling = Spelling::from_json(&decoder).map_err(&fail)?;
    // Padding and truncation belong to training; a prompt must come through whole.
    inner.with_padding(None);
    inner
        .with_truncation(None)
        .map_err(|e| fail(e.to_string()))?;

    let config = match tokenizer_config {
        Some(path) => read_json(path)?,
        None => Value::Null,
    };
    let mut specials = Specials::default();
    specials.read(&config);
    if let Some(map) =
        read_json_if_present(&tokenizer_json.with_file_name("special_tokens_map.json"))?
    {
        specials.read(&map);
    }
    add_tokens(&mut inner, &config, &specials).map_err(&fail)?;

    let affix = affix(&inner, &config, &specials);
    let eos = specials.eos.as_deref().and_then(|t| inner.token_to_id(t));
    Ok(Tokenizer {
        file,
        spelling,
        affix,
        eos_ids: eos.into_iter().collect(),
        specials,
        inner,
        unused: Default::default(),
        duplicates: Default::default(),
    })
}

/// Tokens that tokenizer_config.json knows and tokenizer.json does not, or describes otherwise.
fn add_tokens(
    inner: &mut tokenizers::Tokenizer,
    config: &Value,
    specials: &Specials,
) -> Result<(), String> {
    let mut listed: Vec<(u64, AddedToken)> = Vec::new();
    let entries = config
        .get("added_tokens_decoder")
        .and_then(Value::as_object);
    for (id, entry) in entries.into_iter().flatten() {
        let (Ok(id), Some(text)) = (id.parse(), token_text(entry)) else {
            continue;
        };
        let flag = |name: &str| entry.get(name).and_then(Value::as_bool);
        let special = flag("special").unwrap_or(false);
        let token = AddedToken::from(text, special)
            .normalized(flag("normalized").unwrap_or(!special))
            .single_word(flag("single_word").unwrap_or(false))
            .lstrip(flag("lstrip").unwrap_or(false))
            .rstrip(flag("rstrip").unwrap_or(false));
        listed.push((id, token));
    }
    listed.sort_by_key(|(id, _)| *id);

    let decoder = inner.get_added_tokens_decoder();
    let known: HashMap<&str, &AddedToken> = decoder
        .values()
        .map(|token| (token.content.as_str(), token))
        .collect();
    let mut tokens: Vec<AddedToken> = listed
        .into_iter()
        .map(|(_, token)| token)
        .filter(|token| known.get(token.content.as_str()) != Some(&token))
        .collect();
    // A token with a role is special even where only its role says so.
    let extra = config
        .get("additional_special_tokens")
        .and_then(Value::as_array);
    let roles = specials.iter().map(|(_, text)| text.to_string());
    for text in roles.chain(extra.into_iter().flatten().filter_map(token_text)) {
        let listed = known.contains_key(text.as_str()) || tokens.iter().any(|t| t.content == text);
        if !listed && inner.token_to_id(&text).is_some() {
            tokens.push(AddedToken::from(text, true).normalized(false));
        }
    }
    if !tokens.is_empty() {
        inner.add_tokens(tokens).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Tokenizer classes whose BOS and EOS come from tokenizer_config.json's flags; the others follow the post-processor.
fn affix(inner: &tokenizers::Tokenizer, config: &Value, specials: &Specials) -> Affix {
    let class = config
        .get("tokenizer_class")
        .and_then(Value::as_str)
        .unwrap_or("");
    let class = class.strip_suffix("Fast").unwrap_or(class);
    if !matches!(
        class,
        "LlamaTokenizer" | "CodeLlamaTokenizer" | "GemmaTokenizer" | "CohereTokenizer"
    ) {
        return Affix::PostProcessor;
    }
    let ids = |flag: &str, default: bool, token: Option<&str>| {
        let wanted = config.get(flag).and_then(Value::as_bool).unwrap_or(default);
        let id = token.and_then(|t| inner.token_to_id(t));
        id.filter(|_| wanted).into_iter().collect()
    };
    Affix::Ids {
        before: ids("add_bos_token", true, specials.bos.as_deref()),
        after: ids("add_eos_token", false, specials.eos.as_deref()),
    }
}
