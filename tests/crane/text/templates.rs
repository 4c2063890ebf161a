//! Chat templates: the same text as transformers, and no template that runs away.

use std::collections::HashMap;

use crane::text::{ChatTemplate, Message, TextError};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::messages;

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
        serde_json::from_str(include_str!("../../fixtures/text/templates.json")).unwrap();
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

#[test]
fn a_template_that_never_ends_fails_soon() {
    let loops = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    let grows = "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}";
    let writes = "{% for a in range(100000) %}{% for b in range(1000) %}{{ 'text' * 100 }}{% endfor %}{% endfor %}";
    let repeats = "{{ 'x' * 10000000000 }}";
    let recursion = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    let dates = "{% for a in range(100000) %}{{ strftime_now('%d' * 1000) }}{% endfor %}";
    let dumps = "{% for a in range(100000) %}{% set x = range(1000)|list|tojson %}{% endfor %}";
    for source in [loops, grows, writes, repeats, recursion, dates, dumps] {
        let error = ChatTemplate::new(source, [], "a.gguf")
            .render(&messages(&[("user", "hi")]), true)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("the chat template of a.gguf failed"),
            "{error}"
        );
        assert!(error.contains("--raw"), "{error}");
        assert!(error.len() < 400, "{error}");
    }
}

#[test]
fn a_long_conversation_and_a_long_message_render() {
    let source = "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}\n{% endfor %}";
    let template = ChatTemplate::new(source, [], "model");
    let megabyte = "word ".repeat(200_000);
    let text = template
        .render(&messages(&[("user", &megabyte)]), true)
        .unwrap();
    assert_eq!(text, format!("[user]{}\n", megabyte.trim()));
    let many = messages(&vec![("user", "line"); 20_000]);
    assert_eq!(
        template.render(&many, true).unwrap(),
        "[user]line\n".repeat(20_000)
    );
}
