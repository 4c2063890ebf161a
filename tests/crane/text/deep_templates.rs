//! Templates that nest as deep as their bounds let them: an answer or an error, and never the end of the process.

use crane::text::{ChatTemplate, Message};

/// Bytes that a template may have.
const MAX_SOURCE: usize = 128 << 10;

fn render(source: &str, messages: &[Message]) -> Result<String, String> {
    let rendered = ChatTemplate::new(source, [], "m").render(messages, true);
    rendered.map_err(|error| error.to_string())
}

/// `part` as often as `bytes` hold it, between `before` and `after`.
fn repeated(bytes: usize, before: &str, part: &str, after: &str) -> String {
    let room = bytes - before.len() - after.len();
    format!("{before}{}{after}", part.repeat(room / part.len()))
}

#[test]
fn expressions_as_long_as_a_template_fit() {
    for (before, part, after, expected) in [
        ("{{ ", "-", "1 }}", None),
        ("{{ ", "not ", "1 }}", None),
        ("{{ 1", "+1", " }}", None),
        ("{{ 1", "**1", " }}", Some("1")),
        ("{{ 1", " and 1", " }}", Some("1")),
        ("{{ 1", " or 1", " }}", Some("1")),
        ("{{ 1", "|int", " }}", Some("1")),
        ("{{ 1", " if 1", " }}", Some("1")),
        ("{{ 1", " is defined", " }}", None),
        ("{{ messages", ".a", " }}", None),
        ("{{ messages", "[0]", " }}", None),
        ("{{ messages", "()", " }}", None),
        ("{% if 0 %}", "{% elif 0 %}", "{% endif %}x", Some("x")),
    ] {
        let rendered = render(&repeated(MAX_SOURCE, before, part, after), &[]);
        if let Some(expected) = expected {
            assert_eq!(rendered.as_deref(), Ok(expected), "{part}");
        }
    }
    // What joins texts takes time with the square of its length.
    let joined = render(&repeated(MAX_SOURCE / 16, "{{ 'x'", "~'y'", " }}"), &[]).unwrap();
    assert!(joined.starts_with("xyy") && joined.len() > 2000);
}

#[test]
fn a_longer_template_is_refused() {
    let said = render(&repeated(MAX_SOURCE + 1, "{# ", "x", " #}"), &[]).unwrap_err();
    assert!(
        said.contains("131073 bytes, and 131072 are allowed"),
        "{said}"
    );
    let within = render(&repeated(MAX_SOURCE, "{# ", "x", " #}a"), &[]);
    assert_eq!(within.as_deref(), Ok("a"));
}

/// A template that makes two values `levels` deep, 60 a step, and then `does` something with them.
fn nested(levels: usize, does: &str) -> String {
    let (open, close) = ("[".repeat(60), "]".repeat(60));
    let steps = levels / 60;
    format!(
        "{{% set n = namespace(a=[], b=[]) %}}{{% for i in range({steps}) %}}{{% set n.a = {open}n.a{close} %}}\
         {{% set n.b = {open}n.b{close} %}}{{% endfor %}}{does}"
    )
}

#[test]
fn values_that_a_template_nests_are_printed_compared_and_dropped() {
    // As much as a long conversation lets a template do.
    let long = vec![Message::text("user", "x".repeat(20_000)); 60];
    for (does, length) in [
        ("{{ n.a }}", 1_080_002),
        ("{{ n.a ~ 'x' }}", 1_080_003),
        ("{{ n.a == n.b }}", 4),
        ("{{ [n.a, n.b]|sort|length }}", 1),
        ("x", 1),
    ] {
        let rendered = render(&nested(540_000, does), &long);
        assert_eq!(rendered.map(|text| text.len()), Ok(length), "{does}");
    }
    // One alone, with nearly all that the steps are good for.
    let (open, close) = ("[".repeat(60), "]".repeat(60));
    let one = format!(
        "{{% set n = namespace(a=[]) %}}{{% for i in range(21000) %}}{{% set n.a = {open}n.a{close} %}}\
         {{% endfor %}}{{{{ n.a }}}}"
    );
    assert_eq!(render(&one, &long).map(|text| text.len()), Ok(2_520_002));
    let said = render(&one.replace("21000", "90000"), &long).unwrap_err();
    assert!(said.contains("loops without end"), "{said}");
    let said = render(&nested(600, "{{ n.a|tojson }}"), &[]).unwrap_err();
    assert!(said.contains("nested too deeply"), "{said}");
}
