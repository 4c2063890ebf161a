//! A conversation as a file to read, or to go on with elsewhere.

use std::path::Path;

use serde_json::{json, Map, Value};

use super::conversation::Conversation;
use crate::cli::exit::CliError;
use crate::cli::output::WholeFile;
use crate::text::{Content, Part};

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Markdown,
    Json,
}

impl Format {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "md" | "markdown" => Some(Self::Markdown),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Writes all turns, those too that the model no longer sees, to a new file.
///
/// # Errors
/// A file that is there already, or that cannot be written.
pub fn write(
    conversation: &Conversation,
    model: &str,
    format: Format,
    path: &Path,
) -> anyhow::Result<()> {
    if path.exists() {
        return Err(CliError::Usage(format!(
            "{} is there already and is left as it is; name another file",
            path.display()
        ))
        .into());
    }
    let text = match format {
        Format::Markdown => markdown(conversation, model),
        Format::Json => serde_json::to_string_pretty(&messages(conversation))? + "\n",
    };
    let mut file = WholeFile::create(path)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.finish()
}

fn markdown(conversation: &Conversation, model: &str) -> String {
    let mut text = format!("# Conversation with {model}\n");
    let mut section = |title: &str, body: &str| {
        text.push_str(&format!("\n## {title}\n\n{}\n", body.trim_end()));
    };
    if let Some(system) = &conversation.system {
        section("System", system);
    }
    for turn in &conversation.turns {
        section("User", &question(&turn.question.content));
        section("Assistant", &turn.answer());
    }
    text
}

fn question(content: &Content) -> String {
    let Content::Parts(parts) = content else {
        return content.to_text();
    };
    let shown = parts.iter().map(|part| match (part.image(), part) {
        (Some(image), _) => format!("![]({image})\n\n"),
        (None, Part::Text { text }) => text.clone(),
        (None, _) => String::new(),
    });
    shown.collect()
}

/// A list as `crane run --messages` takes it, with what more is known of each reply.
fn messages(conversation: &Conversation) -> Vec<Value> {
    let system = conversation.system.iter();
    let mut all: Vec<Value> = system
        .map(|text| json!({ "role": "system", "content": text }))
        .collect();
    for turn in &conversation.turns {
        all.push(json!(turn.question));
        let parted = turn.parted();
        let mut reply = Map::new();
        reply.insert("role".into(), "assistant".into());
        reply.insert("content".into(), parted.answer.into());
        if !parted.thinking.is_empty() {
            reply.insert("thinking".into(), parted.thinking.into());
        }
        reply.insert("seed".into(), turn.seed.into());
        reply.insert("finish_reason".into(), json!(turn.finish_reason));
        all.push(Value::Object(reply));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::conversation::tests::turn;
    use super::*;
    use crate::text::Message;

    fn talk() -> Conversation {
        let mut talk = Conversation::new(Some("be brief".into()));
        talk.push(turn("hi", "hello\n"));
        talk
    }

    #[test]
    fn markdown_has_a_heading_a_turn() {
        let expected = "# Conversation with m\n\n## System\n\nbe brief\n\n## User\n\nhi\n\n## Assistant\n\nhello\n";
        assert_eq!(markdown(&talk(), "m"), expected);
    }

    #[test]
    fn json_is_what_messages_takes() {
        let all = messages(&talk());
        let read: Vec<Message> = serde_json::from_value(Value::Array(all)).unwrap();
        assert_eq!(read, talk().messages(None, 0));
    }

    #[test]
    fn no_file_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk.md");
        write(&talk(), "m", Format::Markdown, &path).unwrap();
        let error = write(&talk(), "m", Format::Json, &path).unwrap_err();
        assert!(error.to_string().contains("left as it is"));
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("# "));
    }
}
