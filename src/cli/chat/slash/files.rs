//! Commands that read and write files: sessions, exports, texts and images.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{beginning, turns, usage, Outcome};
use crate::cli::chat::export::{self, Format};
use crate::cli::chat::store::{self, Place};
use crate::cli::chat::{command, Chat};
use crate::cli::exit::CliError;
use crate::cli::{input, interrupt};
use crate::image::ImageSource;

/// The largest text that `/read` looks at: more than any context holds.
const MAX_READ: u64 = 16 << 20;

impl Chat<'_> {
    /// A slash and no command: a file that was dropped on the terminal, or a slip. A script may well hold such a line.
    pub(in crate::cli::chat) fn unknown(
        &mut self,
        word: &str,
        line: &str,
    ) -> anyhow::Result<Outcome> {
        let path = path_of(line.trim());
        if path.is_file() {
            if ImageSource::parse(&path.display().to_string()).is_ok() && is_image(&path) {
                return self.image(line.trim()).map(Outcome::Said);
            }
            if self.interactive {
                return Err(usage(&format!(
                    "{} is a file: '/read {}' puts its text before the next message",
                    path.display(),
                    path.display()
                )));
            }
        }
        if !self.interactive {
            return Ok(Outcome::Ask(
                self.conversation.question(&line.to_string().into()),
                None,
            ));
        }
        let meant = command::similar(word).map(|name| format!(" (/{name}?)"));
        Err(usage(&format!(
            "{word} is no command{}; /help lists them, and //… says what begins with a slash",
            meant.unwrap_or_default()
        )))
    }

    pub(super) fn save(&mut self, name: &str) -> anyhow::Result<String> {
        let here = self.place.as_ref().map(|place| place.name.clone());
        let name = match (name, &here) {
            ("", Some(here)) => here.clone(),
            ("", None) => return Err(usage("/save needs a name")),
            (name, _) => name.to_string(),
        };
        if here.as_ref() != Some(&name) {
            if store::exists(&name) {
                return Err(usage(&format!(
                    "there is a session '{name}' already, which is left as it is: take another name, or /load it"
                )));
            }
            self.place = Some(Place::take(&name)?);
        }
        self.keep()?;
        Ok(format!(
            "The conversation is kept as '{name}', from now on after every reply."
        ))
    }

    pub(super) fn load(&mut self, name: &str) -> anyhow::Result<String> {
        if name.is_empty() {
            return Err(usage("/load needs a name; /sessions lists them"));
        }
        if !store::exists(name) {
            // The name itself may be wrong.
            let similar = store::list()?.into_iter().map(|entry| entry.name);
            let names: Vec<String> = similar.take(5).collect();
            let known = match names.is_empty() {
                true => "none has been kept".into(),
                false => format!("there are {}", names.join(", ")),
            };
            return Err(CliError::Missing(format!("there is no session '{name}'; {known}")).into());
        }
        if self.place.is_none() && !self.conversation.turns.is_empty() && !self.unsaved_warned {
            self.unsaved_warned = true;
            return Err(usage(&format!(
                "this conversation is not kept: /save NAME keeps it, '/load {name}' once more drops it"
            )));
        }
        if self.place.as_ref().is_some_and(|place| place.name == name) {
            return Ok(format!("'{name}' is this conversation."));
        }
        let place = Place::take(name)?;
        let Some(kept) = place.load()? else {
            return Err(CliError::Missing(format!("there is no session '{name}'")).into());
        };
        let before = self.place.replace(place);
        let said = match self.go_on(kept, None) {
            Ok(said) => said,
            Err(error) => {
                self.place = before;
                return Err(error);
            }
        };
        self.unsaved_warned = false;
        Ok(format!("'{name}': {said}"))
    }

    pub(super) fn export(&self, rest: &str) -> anyhow::Result<String> {
        let (format, path) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (Some(format), false) = (Format::parse(format), path.trim().is_empty()) else {
            return Err(usage("/export takes md or json and the name of a file"));
        };
        let path = path_of(path.trim());
        export::write(
            &self.conversation,
            &self.session.located.typed,
            format,
            &path,
        )?;
        Ok(format!(
            "{} written to {}",
            turns(self.conversation.turns.len()),
            path.display()
        ))
    }

    pub(super) fn read(&mut self, rest: &str) -> anyhow::Result<String> {
        if rest.is_empty() {
            return Err(usage("/read needs the name of a text file"));
        }
        let path = path_of(rest);
        let name = path.display().to_string();
        let size = fs::metadata(&path)
            .map_err(|error| anyhow::Error::from(error).context(format!("reading {name}")))?
            .len();
        if size > MAX_READ {
            return Err(CliError::TooLarge(format!(
                "{name} has {} MB, and no context holds more than {} MB of text",
                size / 1_000_000,
                MAX_READ / 1_000_000
            ))
            .into());
        }
        if is_image(&path) {
            return Err(usage(&format!(
                "{name} is an image, not text; '/image {name}' shows it"
            )));
        }
        let text = input::read_named(&path, self.settings)?;
        if text.contains('\0') {
            return Err(usage(&format!("{name} is not text: it holds zero bytes")));
        }
        let tokens = self.session.engine.tokenizer().encode(&text, false)?.len();
        let context = self.session.engine.context();
        if tokens + self.used() >= context {
            return Err(CliError::TooLarge(format!(
                "{name} has {tokens} tokens; of the context of {context} {} are left: shorten it, /clear, or start with a larger --ctx-size",
                context.saturating_sub(self.used())
            ))
            .into());
        }
        self.conversation.attach(text);
        Ok(format!("{name}: {tokens} tokens, before the next message"))
    }

    /// Looks at an image at once, so that what is wrong with it is said before a question is typed.
    pub(super) fn image(&mut self, rest: &str) -> anyhow::Result<String> {
        if rest.is_empty() || rest == "-" {
            return Err(usage("/image needs the path of a picture"));
        }
        let path = path_of(rest).display().to_string();
        let source = ImageSource::parse(&path)?;
        let look = self.session.look(&source);
        // Ctrl-C while it was looked at is not for the reply.
        interrupt::take();
        let look = look?;
        self.settle();
        self.conversation.show(&path);
        Ok(look.to_string() + "; the next message is about it")
    }
}

pub(super) fn sessions() -> anyhow::Result<String> {
    let all = store::list()?;
    if all.is_empty() {
        return Ok("No session has been kept; /save NAME keeps this one.".into());
    }
    let width = all
        .iter()
        .map(|entry| entry.name.chars().count())
        .max()
        .unwrap_or(0);
    let lines = all.iter().map(|entry| {
        let age = age(entry.written);
        match entry.glance() {
            Some((model, n, last)) => format!(
                "{:width$}  {:>9}  {age:>10}  {model}  {}",
                entry.name,
                turns(n),
                beginning(&last, 40)
            ),
            None => format!("{:width$}  damaged, or of a later crane", entry.name),
        }
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn age(written: SystemTime) -> String {
    let seconds = written.elapsed().map_or(0, |d| d.as_secs());
    match seconds {
        0..=59 => "just now".into(),
        60..=3599 => format!("{} min ago", seconds / 60),
        3600..=86_399 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A path as typed, completed, or dropped on the terminal, which quotes it or puts backslashes before spaces.
fn path_of(typed: &str) -> PathBuf {
    let quoted = ['\'', '"'].into_iter().find_map(|quote| {
        typed
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
    });
    if let Some(inner) = quoted {
        return PathBuf::from(input::at_home(inner));
    }
    let path = PathBuf::from(input::at_home(typed));
    match path.exists() || !typed.contains('\\') {
        true => path,
        false => PathBuf::from(input::at_home(&unescaped(typed))),
    }
}

fn unescaped(typed: &str) -> String {
    let mut plain = String::new();
    let mut characters = typed.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => plain.extend(characters.next()),
            c => plain.push(c),
        }
    }
    plain
}

/// Whether the beginning of a file is that of a picture.
fn is_image(path: &Path) -> bool {
    use std::io::Read;
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
    read.is_ok() && image::guess_format(&start).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_as_shells_and_terminals_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a b.txt");
        fs::write(&file, "x").unwrap();
        let plain = file.display().to_string();
        for typed in [
            plain.clone(),
            format!("'{plain}'"),
            format!("\"{plain}\""),
            plain.replace(' ', "\\ "),
        ] {
            assert_eq!(path_of(&typed), file, "{typed}");
        }
        assert_eq!(path_of("nowhere"), PathBuf::from("nowhere"));
    }
}
