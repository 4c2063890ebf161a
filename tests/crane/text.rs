//! Templates and token ids against transformers' and `tokenizers`' own (tests/reference/text_*.py).

use std::collections::HashMap;

use crane::text::{ChatTemplate, Message, TextError};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Templates {
    templates: HashMap<String, Template>,
    conversations: HashMap<String, Vec<Message>>,
    cases: Vec<TemplateCase>,
}

#[derive(Deserialize)]
struct Template {
    source: String,
    tokens: HashMap<String, String>,
}

#[derive(Deserialize)]
struct TemplateCase {
    template: String,
    conversation: String,
    add_generation_prompt: bool,
    variables: Map<String, Value>,
    text: Option<String>,
    error: Option<String>,
}

#[test]
fn templates_render_as_transformers_does() {
    let fixture: Templates =
        serde_json::from_str(include_str!("../fixtures/text/templates.json")).unwrap();
    let mut wrong = Vec::new();
    for case in &fixture.cases {
        let template = &fixture.templates[&case.template];
        let tokens = template
            .tokens
            .iter()
            .map(|(n, t)| (n.as_str(), t.as_str()));
        let rendered = ChatTemplate::new(template.source.as_str(), tokens, "model").render_with(
            &fixture.conversations[&case.conversation],
            case.add_generation_prompt,
            &case.variables,
        );
        let right = match (&rendered, &case.text, &case.error) {
            (Ok(text), Some(expected), _) => text == expected,
            (Err(TextError::Template { reason, .. }), None, Some(error)) => {
                error.is_empty() || *reason == format!("it refuses the conversation: {error}")
            }
            _ => false,
        };
        if !right {
            wrong.push(format!(
                "{} / {} / {:?}\n  got      {rendered:?}\n  expected {:?}{:?}",
                case.template, case.conversation, case.variables, case.text, case.error
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        fixture.cases.len(),
        wrong.join("\n")
    );
    assert!(fixture.cases.len() > 600);
}
