//! `tojson` as transformers defines it: Python's `json.dumps` with `ensure_ascii=False`.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

struct Style {
    indent: Option<String>,
    item: String,
    key: String,
    ascii: bool,
    sort: bool,
}

/// The filter: `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(
    state: &State,
    value: &Value,
    ascii: Option<bool>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let indent: Option<Value> = kwargs.get("indent")?;
    let indent = indent.filter(|v| !v.is_none()).map(|v| match v.as_str() {
        Some(text) => text.to_string(),
        None => " ".repeat(v.as_usize().unwrap_or(0).min(16)),
    });
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        _ if indent.is_some() => (",".into(), ": ".into()),
        _ => (", ".into(), ": ".into()),
    };
    let style = Style {
        indent,
        item,
        key,
        ascii: ascii.or(kwargs.get("ensure_ascii")?).unwrap_or(false),
        sort: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    kwargs.assert_all_used()?;
    let mut out = String::new();
    write(value, &style, 0, &mut out)?;
    // The engine charges for the bytes of the result; writing it costs several times that.
    state.consume_fuel(1 + out.len() as u64 / 4)?;
    Ok(out)
}

fn write(value: &Value, style: &Style, depth: usize, out: &mut String) -> Result<(), Error> {
    if depth > 100 {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "tojson: the value is nested too deeply",
        ));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&value.to_string()),
        ValueKind::String => text(value.as_str().unwrap_or_default(), style, out),
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort {
                keys.sort();
            }
            out.push('{');
            for (i, key) in keys.iter().enumerate() {
                separate(i, style, depth + 1, out);
                text(&key.to_string(), style, out);
                out.push_str(&style.key);
                write(&value.get_item(key)?, style, depth + 1, out)?;
            }
            close(keys.len(), style, depth, out);
            out.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            let mut n = 0;
            for item in value.try_iter()? {
                separate(n, style, depth + 1, out);
                write(&item, style, depth + 1, out)?;
                n += 1;
            }
            close(n, style, depth, out);
            out.push(']');
        }
        kind => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("tojson: an {kind} value cannot be written as JSON"),
            ))
        }
    }
    Ok(())
}

fn separate(index: usize, style: &Style, depth: usize, out: &mut String) {
    if index > 0 {
        out.push_str(&style.item);
    }
    newline(style, depth, out);
}

fn close(items: usize, style: &Style, depth: usize, out: &mut String) {
    if items > 0 {
        newline(style, depth, out);
    }
}

fn newline(style: &Style, depth: usize, out: &mut String) {
    if let Some(indent) = &style.indent {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str(indent));
    }
}

fn text(text: &str, style: &Style, out: &mut String) {
    let quoted = serde_json::Value::from(text).to_string();
    if !style.ascii {
        out.push_str(&quoted);
        return;
    }
    for c in quoted.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use minijinja::{context, Environment, Value};

    fn render(template: &str) -> String {
        let mut env = Environment::new();
        env.add_filter("tojson", super::tojson);
        let nested: Value = crate::text::template::values::from_json(
            &serde_json::json!({"b": [1, 2.5, true, null]}),
        );
        let ctx = context! { s => "<a>\"é\n\u{1}\u{7f}😀", nested, empty => Vec::<i32>::new() };
        env.render_str(template, ctx).expect("renders")
    }

    // The expected texts are json.dumps' own.
    #[test]
    fn writes_as_json_dumps() {
        assert_eq!(render("{{ s|tojson }}"), "\"<a>\\\"é\\n\\u0001\u{7f}😀\"");
        assert_eq!(
            render("{{ s|tojson(ensure_ascii=true) }}"),
            "\"<a>\\\"\\u00e9\\n\\u0001\u{7f}\\ud83d\\ude00\""
        );
        assert_eq!(
            render("{{ nested|tojson }}"),
            "{\"b\": [1, 2.5, true, null]}"
        );
        assert_eq!(
            render("{{ nested|tojson(indent=2) }}"),
            "{\n  \"b\": [\n    1,\n    2.5,\n    true,\n    null\n  ]\n}"
        );
        assert_eq!(render("{{ empty|tojson(indent=2) }}"), "[]");
        assert_eq!(
            render("{{ nested|tojson(separators=(',', ':')) }}"),
            "{\"b\":[1,2.5,true,null]}"
        );
    }

    #[test]
    fn refuses_what_json_cannot_say() {
        let mut env = Environment::new();
        env.add_filter("tojson", super::tojson);
        assert!(env.render_str("{{ missing|tojson }}", ()).is_err());
    }
}
