//! What the user asks for, checked before any model is there.

use std::collections::BTreeSet;

use llguidance::api::TopLevelGrammar;
use llguidance::{regex_to_lark, Matcher};
use serde_json::{json, Value};

use super::vocabulary::{environment, factory, special};
use super::{schema, stack, ConstraintError};

/// A structure as the user names it.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// A JSON Schema (2020-12, or the draft that its `$schema` names).
    Schema(Value),
    /// Any JSON object.
    JsonObject,
    /// A regular expression in Rust's syntax that the whole answer matches; `^` and `$` around it say so once more. `\d` is 0 to 9, as in JSON Schema; `\w` takes the letters of every language.
    Regex(String),
    /// A grammar in [llguidance's Lark](https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md).
    Lark(String),
}

/// A structure that can be followed.
#[derive(Debug, Clone)]
pub struct Grammar {
    kind: Kind,
    top: TopLevelGrammar,
    notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Schema,
    Regex,
    Lark,
}

impl Grammar {
    /// Compiles `spec` on an alphabet of single bytes, which finds all that can be wrong with it but special tokens
    /// that a model does not have.
    ///
    /// # Errors
    /// What is no schema, regular expression or grammar; what cannot be enforced; what nothing matches.
    pub fn new(spec: Spec) -> Result<Self, ConstraintError> {
        let mut notes = Vec::new();
        let mut names = BTreeSet::new();
        let (kind, top) = match spec {
            Spec::Schema(value) => {
                let value = schema::prepare(value, &mut notes)?;
                (Kind::Schema, TopLevelGrammar::from_json_schema(value))
            }
            Spec::JsonObject => {
                let value = schema::prepare(json!({"type": "object"}), &mut notes)?;
                (Kind::Schema, TopLevelGrammar::from_json_schema(value))
            }
            Spec::Regex(pattern) => {
                check_regex(&pattern).map_err(ConstraintError::Regex)?;
                (Kind::Regex, {
                    let pattern = regex_to_lark(unanchored(&pattern), "d");
                    TopLevelGrammar::from_lark(format!("start: /{pattern}/"))
                })
            }
            Spec::Lark(text) => {
                if text.trim().is_empty() {
                    return Err(ConstraintError::Lark("it is empty".into()));
                }
                let most = stack::most_levels(&text);
                if most > stack::MAX_LEVELS {
                    return Err(ConstraintError::Lark(format!(
                        "it may be too deeply nested: it has {most} colons, brackets and tildes, and {} are allowed",
                        stack::MAX_LEVELS
                    )));
                }
                names = special_names(&text);
                (Kind::Lark, TopLevelGrammar::from_lark(text))
            }
        };
        let grammar = Self { kind, top, notes };
        stack::large(|| grammar.check(&names))??;
        Ok(grammar)
    }

    /// What has no effect, and the user should know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn compiled(&self) -> TopLevelGrammar {
        self.top.clone()
    }

    fn check(&self, names: &BTreeSet<String>) -> Result<(), ConstraintError> {
        let mut words: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
        words.extend(names.iter().map(|name| special(name)));
        words.push(special("<|end|>"));
        let end = words.len() as u32 - 1;
        let parser = factory(&environment(&words, &[end]), &[])?
            .create_parser(self.compiled())
            .map_err(|error| self.error(&error))?;
        let mut matcher = Matcher::new(Ok(parser));
        let first = match matcher.compute_mask() {
            Ok(mask) => mask,
            Err(error) if is_dead_end(&error) => return Err(ConstraintError::Nothing(self.name())),
            Err(error) => return Err(ConstraintError::TooComplex(first_line(&error))),
        };
        // Where an object begins, all that may come first in it is followed at once.
        let object = u32::from(b'{');
        if self.kind == Kind::Schema && first.is_allowed(object) {
            let begun = matcher.consume_token(object);
            begun
                .and_then(|()| matcher.compute_mask())
                .map_err(|error| {
                    ConstraintError::Schema(format!(
                        "too much may come first in an object ({}); let fewer properties be left out, or give fewer \
                         alternatives",
                        first_line(&error)
                    ))
                })?;
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Schema => "the schema",
            Kind::Regex => "the regular expression",
            Kind::Lark => "the grammar",
        }
    }

    /// What the parser says, in the user's terms.
    pub(super) fn error(&self, error: &anyhow::Error) -> ConstraintError {
        let mut text = first_line(error);
        // An assertion of the parser's, on the number of its symbols for one.
        if let Some(what) = text.strip_prefix("panic: ") {
            text = format!("it is too large for the parser ({what})");
        }
        match self.kind {
            Kind::Schema => {
                let schema = self
                    .top
                    .grammars
                    .iter()
                    .find_map(|g| g.json_schema.as_ref());
                schema::error(text, schema.unwrap_or(&Value::Null))
            }
            Kind::Regex => ConstraintError::Regex(text),
            Kind::Lark => ConstraintError::Lark(text),
        }
    }
}

/// Whether no token may come next.
pub(super) fn is_dead_end(error: &anyhow::Error) -> bool {
    let reason = llguidance::api::StopReason::NoExtensionBias;
    first_line(error).contains(&reason.to_string())
}

/// What an error says, without the parser's state and backtrace, on one line.
pub(super) fn first_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let said = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("<state>") && !line.starts_with("<backtrace>"))
        .filter(|line| !line.is_empty() && !line.starts_with("<non-verbose/>"));
    said.collect::<Vec<_>>().join(" ")
}

/// Says where and why `pattern` is no regular expression.
pub(super) fn check_regex(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("it is empty".into());
    }
    regex_syntax::parse(pattern).map(|_| ()).map_err(|error| {
        let (said, start) = match &error {
            regex_syntax::Error::Parse(e) => (e.kind().to_string(), e.span().start),
            regex_syntax::Error::Translate(e) => (e.kind().to_string(), e.span().start),
            other => return other.to_string().replace('\n', " "),
        };
        let before = pattern.get(..start.offset).unwrap_or_default();
        let at = before.chars().count() + 1;
        format!("{said} at character {at} of {pattern:?}")
    })
}

/// `pattern` without the anchors around it: the whole answer has to match in any case.
fn unanchored(pattern: &str) -> &str {
    let alternatives = regex_syntax::ast::parse::Parser::new()
        .parse(pattern)
        .is_ok_and(|ast| matches!(ast, regex_syntax::ast::Ast::Alternation(_)));
    if alternatives {
        return pattern;
    }
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let escapes = |text: &str| text.chars().rev().take_while(|c| *c == '\\').count();
    match pattern.strip_suffix('$') {
        Some(rest) if escapes(rest) % 2 == 0 => rest,
        _ => pattern,
    }
}

/// All that a grammar may mean by a special token: `<…>`.
fn special_names(text: &str) -> BTreeSet<String> {
    let parts = text.split('<').skip(1);
    let names = parts.filter_map(|part| part.split_once('>').map(|(name, _)| name));
    names
        .filter(|name| !name.is_empty() && !name.contains(char::is_whitespace))
        .map(|name| format!("<{name}>"))
        .collect()
}
