//! Chat templates, rendered as transformers renders them (`render_jinja_template` of its 4.57).
//!
//! The environment is Jinja2's with `trim_blocks`, `lstrip_blocks` and loop controls, Python's string methods,
//! `raise_exception`, `strftime_now`, a `tojson` that writes as `json.dumps` does, and `{% generation %}` blocks,
//! which only mark text. A template is somebody else's program: its size, its steps and its output are bounded, and it has
//! a stack that fits what these bounds let nest.

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value};
use serde_json::{Map, Value as Json};

use super::gguf::GgufVocab;
use super::special::Specials;
use super::{huggingface, Message, TextError};
use crate::weights::{Checkpoint, Header, Metadata};

pub(crate) mod clock;
mod json;
mod values;

/// Steps that any conversation may cost (about 0.1 s of a template that loops without end).
const BASE_FUEL: u64 = 2_000_000;
/// Steps more for every message, and for every byte of its content.
const FUEL_A_MESSAGE: u64 = 20_000;

/// Steps that the longest conversation may cost. Each may nest a value deeper by one level, and printing or dropping one
/// costs 300 bytes of stack a level.
const MAX_FUEL: u64 = 3_000_000;

/// Bytes of a template; those of published models have 30,000 at most. The parser takes 500 bytes of stack for each sign
/// or operator that stands before another, and has no limit of its own.
const MAX_SOURCE: usize = 128 << 10;

/// Fits both, twice; the tests try what is just within them. Only what is used of it costs memory.
const STACK: usize = 1 << 30;

/// A chat template (Jinja), rendered as transformers renders it.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    file: String,
    source: String,
    specials: Specials,
}

impl ChatTemplate {
    /// From GGUF metadata, tokenizer_config.json, chat_template.jinja or chat_template.json; None where there is none.
    ///
    /// # Errors
    /// Where a file that should hold it cannot be read. A template that is not valid Jinja fails when rendered.
    pub fn open(checkpoint: &Checkpoint) -> Result<Option<Self>, TextError> {
        match checkpoint.header() {
            Header::Gguf(metadata) => Ok(Self::from_gguf(
                metadata,
                &checkpoint.path().display().to_string(),
            )),
            Header::HuggingFace(_) => Self::from_folder(huggingface::folder(checkpoint.path())),
        }
    }

    /// A template given as text. `specials` are the tokens that it may name (`bos_token`, …); `file` names it in errors.
    pub fn new<'s>(
        source: impl Into<String>,
        specials: impl IntoIterator<Item = (&'s str, &'s str)>,
        file: impl Into<String>,
    ) -> Self {
        let tokens: Map<String, Json> = specials
            .into_iter()
            .map(|(name, token)| (name.to_string(), token.into()))
            .collect();
        let mut specials = Specials::default();
        specials.read(&Json::Object(tokens));
        Self {
            file: file.into(),
            source: source.into(),
            specials,
        }
    }

    /// From GGUF metadata (`tokenizer.chat_template`); `file` names it in errors.
    pub fn from_gguf(metadata: &Metadata, file: &str) -> Option<Self> {
        let source = metadata.str("tokenizer.chat_template")?;
        let specials = GgufVocab::read(metadata)
            .map(|vocab| vocab.specials())
            .unwrap_or_default();
        Some(Self {
            file: file.into(),
            source: source.into(),
            specials,
        })
    }

    /// From a Hugging Face folder. Where several files hold a template, transformers' choice is kept:
    /// chat_template.jinja, then tokenizer_config.json, then chat_template.json.
    pub fn from_folder(folder: &Path) -> Result<Option<Self>, TextError> {
        let mut specials = Specials::default();
        let config_path = folder.join("tokenizer_config.json");
        let config = huggingface::read_json_if_present(&config_path)?.unwrap_or_default();
        specials.read(&config);
        if let Some(map) =
            huggingface::read_json_if_present(&folder.join("special_tokens_map.json"))?
        {
            specials.read(&map);
        }
        let make = |source: String, path: &Path| Self {
            file: path.display().to_string(),
            source,
            specials: specials.clone(),
        };

        let jinja = folder.join("chat_template.jinja");
        if jinja.is_file() {
            let source = std::fs::read_to_string(&jinja).map_err(|e| {
                TextError::tokenizer(
                    jinja.display().to_string(),
                    format!("cannot be read as text: {e}; fetch it again with crane pull --force"),
                )
            })?;
            return Ok(Some(make(source, &jinja)));
        }
        if let Some(source) = pick(&config, &config_path)? {
            return Ok(Some(make(source, &config_path)));
        }
        let legacy = folder.join("chat_template.json");
        let held = huggingface::read_json_if_present(&legacy)?.unwrap_or_default();
        Ok(pick(&held, &legacy)?.map(|source| make(source, &legacy)))
    }

    /// The template's source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt of a conversation. Encode the result with `add_special = false`.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, TextError> {
        self.render_with(messages, add_generation_prompt, &Map::new())
    }

    /// The prompt of a conversation, with variables that the template may ask for (`enable_thinking`, `tools`, …).
    ///
    /// # Errors
    /// [`TextError::Template`] with the template's own words where it refuses the conversation, and where it is
    /// not valid Jinja, fails, loops without end or writes without measure.
    pub fn render_with(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        variables: &Map<String, Json>,
    ) -> Result<String, TextError> {
        let refuse = |reason| TextError::template(&self.file, reason);
        if self.source.len() > MAX_SOURCE {
            return Err(refuse(format!(
                "it has {} bytes, and {MAX_SOURCE} are allowed",
                self.source.len()
            )));
        }
        let render = || self.try_render(messages, add_generation_prompt, variables);
        crate::stack::large(STACK, render)
            .map_err(|error| refuse(format!("no stack of {STACK} bytes for it ({error})")))?
            .map_err(|error| refuse(reason(&error)))
    }

    fn try_render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        variables: &Map<String, Json>,
    ) -> Result<String, Error> {
        let bytes: usize = messages
            .iter()
            .map(|m| m.content.to_text().len() + m.role.len())
            .sum();
        let fuel = BASE_FUEL + FUEL_A_MESSAGE * messages.len() as u64 + bytes as u64;
        let mut env = environment()?;
        env.set_fuel(Some(fuel.min(MAX_FUEL)));

        let mut context: BTreeMap<&str, Value> = BTreeMap::new();
        context.insert("tools", Value::from(()));
        context.insert("documents", Value::from(()));
        for (name, token) in self.specials.iter() {
            context.insert(name, token.into());
        }
        context.insert("add_generation_prompt", add_generation_prompt.into());
        for (name, value) in variables {
            context.insert(name, values::from_json(value));
        }
        context.insert("messages", values::from_messages(messages));

        let source = without_generation_tags(&self.source);
        let template = env.template_from_named_str("chat_template", &source)?;
        template.render(Value::from_pairs(context))
    }
}

/// Jinja2's environment as transformers sets it up.
fn environment() -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    env.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(false)
            .build()?,
    );
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.add_filter("tojson", json::tojson);
    // Jinja2 goes by Python's protocols: a string and a dict are sequences, None cannot be iterated over.
    env.add_test("sequence", |v: &Value| {
        let kind = v.kind();
        matches!(
            kind,
            ValueKind::String | ValueKind::Map | ValueKind::Seq | ValueKind::Undefined
        )
    });
    env.add_test("iterable", |v: &Value| !v.is_none() && v.try_iter().is_ok());
    env.add_function(
        "raise_exception",
        |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, "raised").with_source(Raised(message)))
        },
    );
    env.add_function(
        "strftime_now",
        |state: &State, format: String| -> Result<String, Error> {
            state.consume_fuel(1 + 8 * format.len() as u64)?;
            Ok(clock::now().format(&format))
        },
    );
    Ok(env)
}

/// What a template said when it refused the conversation.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn reason(error: &Error) -> String {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(Raised(message)) = inner.downcast_ref::<Raised>() {
            return format!("it refuses the conversation: {message}");
        }
        source = inner.source();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => "it loops without end or writes without measure".into(),
        _ => error.to_string(),
    }
}

/// The template of a JSON object: a string, or the one named `default` of a list.
fn pick(config: &Json, path: &Path) -> Result<Option<String>, TextError> {
    let named = match config.get("chat_template") {
        Some(Json::String(source)) => return Ok(Some(source.clone())),
        Some(Json::Array(named)) => named,
        _ => return Ok(None),
    };
    let text = |entry: &Json, key: &str| entry.get(key).and_then(Json::as_str).map(str::to_string);
    let default = named
        .iter()
        .find(|entry| text(entry, "name").as_deref() == Some("default"))
        .and_then(|entry| text(entry, "template"));
    if default.is_none() && !named.is_empty() {
        let names: Vec<String> = named.iter().filter_map(|e| text(e, "name")).collect();
        return Err(TextError::template(
            path.display().to_string(),
            format!(
                "it names the templates {} and none of them \"default\"",
                names.join(", ")
            ),
        ));
    }
    Ok(default)
}

/// Replaces `{% generation %}` and `{% endgeneration %}`, which only mark what the model wrote, by a block without
/// effect; the tags' whitespace control stays.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |i| i + 2);
        let (tag, after) = tag.split_at(end);
        let word = tag
            .trim_start_matches("{%")
            .trim_end_matches("%}")
            .trim_matches(['-', '+'])
            .trim();
        match word {
            "generation" => out.push_str(&tag.replace(word, "if true")),
            "endgeneration" => out.push_str(&tag.replace(word, "endif")),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_tags_become_a_block_without_effect() {
        for (source, expected) in [
            (
                "a{% generation %}b{% endgeneration %}c",
                "a{% if true %}b{% endif %}c",
            ),
            (
                "{%- generation -%} x {%-endgeneration+%}",
                "{%- if true -%} x {%-endif+%}",
            ),
            (
                "{% set generation = 1 %}{{ generation }}",
                "{% set generation = 1 %}{{ generation }}",
            ),
            ("{% if x", "{% if x"),
        ] {
            assert_eq!(without_generation_tags(source), expected);
        }
    }

    #[test]
    fn a_list_of_templates_without_a_default_is_refused() {
        let config = serde_json::json!({"chat_template": [{"name": "rag", "template": "x"}]});
        let error = pick(&config, Path::new("tokenizer_config.json")).unwrap_err();
        assert!(error.to_string().contains("rag"), "{error}");
        assert_eq!(pick(&Json::Null, Path::new("x")).unwrap(), None);
    }

    #[test]
    fn a_refusal_is_told_in_the_templates_words() {
        let source = "{{ raise_exception('roles must alternate') }}";
        let error = ChatTemplate::new(source, [], "m")
            .render(&[], true)
            .unwrap_err();
        let expected = "the chat template of m failed: it refuses the conversation: roles must alternate; use --raw to send the prompt without it";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_date_is_written_where_it_is_asked_for() {
        let template = ChatTemplate::new("{{ strftime_now('%Y-%m-%d') }}", [], "m");
        let date = template.render(&[], true).unwrap();
        assert!(date.as_str() > "2024-01-01" && date.len() == 10, "{date}");
    }
}
