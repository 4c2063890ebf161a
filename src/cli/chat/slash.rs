//! What the commands of a chat do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::image::ImageSource;
use crate::text::{Content, Message, Part};

use super::command::{self, Name};
use super::conversation::Turn;
use super::export::{self, Format};
use super::kv::Owner;
use super::lines::Lines;
use super::store::{self, Place};
use super::{editor, Chat};
use crate::cli::exit::CliError;
use crate::cli::input;
use crate::cli::interrupt;
use crate::cli::session::Session;

/// The largest text that `/read` looks at: more than any context holds.
const MAX_READ: u64 = 16 << 20;

/// What a command comes to.
pub(super) enum Outcome {
    /// To be said.
    Said(String),
    /// A question, with its seed.
    Ask(Message, Option<u64>),
    /// A question in the place of a turn that was taken back.
    Again {
        replaced: Box<Turn>,
        question: Message,
        seed: Option<u64>,
    },
}

impl Chat<'_> {
    pub(super) fn command(
        &mut self,
        name: Name,
        rest: &str,
        lines: &mut Lines,
    ) -> anyhow::Result<Outcome> {
        let said = match name {
            Name::Help => command::help(),
            Name::System => self.system(rest)?,
            Name::Set => self.set(rest)?,
            Name::Show => self.show(),
            Name::Model => self.change_model(rest)?,
            Name::Clear => self.clear()?,
            Name::Undo => self.undo()?,
            Name::Regen => return self.regen(rest),
            Name::Retry => return self.retry(),
            Name::Edit => return self.edit(),
            Name::Save => self.save(rest)?,
            Name::Load => self.load(rest)?,
            Name::Sessions => sessions()?,
            Name::Export => self.export(rest)?,
            Name::Read => self.read(rest)?,
            Name::Image => self.image(rest)?,
            Name::Tokens => self.tokens()?,
            Name::Stats => self.stats_of(rest)?,
            Name::Multi => match lines.toggle_multi() {
                Some(true) => {
                    "Enter begins a new line; a line with '.' alone, or Alt-Enter, sends.".into()
                }
                Some(false) => "Enter sends; Alt-Enter begins a new line.".into(),
                None => {
                    return Err(usage(
                        "/multi is for a terminal; here each line is a message",
                    ))
                }
            },
            Name::Bye => String::new(),
        };
        Ok(Outcome::Said(said))
    }

    /// A slash and no command: a file that was dropped on the terminal, or a slip. A script may well hold such a line.
    pub(super) fn unknown(&mut self, word: &str, line: &str) -> anyhow::Result<Outcome> {
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

    fn system(&mut self, text: &str) -> anyhow::Result<String> {
        let system = &mut self.conversation.system;
        Ok(match text {
            "" => match system {
                Some(text) => text.clone(),
                None => "There is no system message but what the model's template says.".into(),
            },
            "-" => {
                *system = None;
                self.keep()?;
                "The system message is removed.".into()
            }
            text => {
                *system = Some(text.to_string());
                self.keep()?;
                "The system message is set.".into()
            }
        })
    }

    fn set(&mut self, rest: &str) -> anyhow::Result<String> {
        let (name, value) = rest.split_once([' ', '=', '\t']).unwrap_or((rest, ""));
        if name.is_empty() {
            return Ok(format!(
                "/set NAME VALUE; names: {}",
                super::Panel::names().join(", ")
            ));
        }
        if value.trim().is_empty() {
            return Err(usage(&format!(
                "/set {name} needs a value ('default': as it was at the start)"
            )));
        }
        self.panel.set(name, value.trim())?;
        let mut said = format!("{name} is {}", value.trim());
        if name == "think" && !self.session.thinks() {
            said.push_str(", but this model's template knows of no thinking");
        }
        Ok(said)
    }

    fn show(&self) -> String {
        let session = &self.session;
        let resolved = self.panel.now.sampling.resolve(&session.defaults);
        let s = &resolved.sampling;
        let kept = match &self.place {
            Some(place) => place.name.clone(),
            None => "not kept (/save NAME)".into(),
        };
        let seed = match self.panel.now.sampling.seed {
            Some(seed) => seed.to_string(),
            None => "random".into(),
        };
        let changes = self.panel.changes().iter();
        let changes: Vec<String> = changes
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let mut lines = vec![
            format!("model     {} ({})", session.located.typed, session.located.resolved),
            format!("computed  {} ({})", session.device, session.dtype),
            format!("context   {} of {} tokens", self.used(), session.engine.context()),
            format!("session   {kept}"),
            format!(
                "sampling  temperature {}, top-k {}, top-p {}, min-p {}, repeat penalty {}; seed {seed}; defaults from {}",
                s.temperature, s.top_k, s.top_p, s.min_p, s.repeat_penalty, resolved.defaults_from
            ),
            format!("turns     {}", self.conversation.turns.len()),
        ];
        if !changes.is_empty() {
            lines.push(format!("set       {}", changes.join(", ")));
        }
        if let Some(system) = &self.conversation.system {
            lines.push(format!("system    {system}"));
        }
        if let Some(summary) = &self.conversation.summary {
            lines.push(format!(
                "summary   of {} turns: {summary}",
                self.conversation.forgotten
            ));
        }
        lines.join("\n")
    }

    fn change_model(&mut self, name: &str) -> anyhow::Result<String> {
        if name.is_empty() {
            return Ok(format!(
                "{} ({})",
                self.session.located.typed, self.session.located.resolved
            ));
        }
        let context = self.panel.now.sampling.ctx_size;
        let mut session = Session::open(name, self.settings, self.quant, context)?;
        if session.template.is_none() {
            return Err(session.no_template().into());
        }
        let guide = self.asked.clone().prepare(&mut session, self.settings)?;
        session.announce(self.settings);
        let other = session.located.resolved != self.session.located.resolved;
        self.session = session;
        self.guide = guide;
        if other {
            self.conversation.forget_tokens();
        }
        self.last = None;
        if let Some(keeper) = &self.keeper {
            let owner = Owner::of(&self.session, self.settings)?;
            self.keeper = Some(keeper.of(owner));
        }
        self.retrace()?;
        self.keep()?;
        let located = &self.session.located;
        Ok(format!(
            "{} on {} ({}) goes on",
            located.resolved, self.session.device, self.session.dtype
        ))
    }

    fn clear(&mut self) -> anyhow::Result<String> {
        self.conversation.clear();
        self.transcript = Default::default();
        self.last = None;
        self.unanswered = None;
        self.keep()?;
        Ok("The conversation is forgotten.".into())
    }

    fn undo(&mut self) -> anyhow::Result<String> {
        let turn = self.take_last()?;
        self.last = None;
        self.keep()?;
        let left = self.conversation.seen().len();
        Ok(format!(
            "taken back: {}; {} left",
            beginning(&turn.question.content.to_text(), 60),
            turns(left)
        ))
    }

    fn take_last(&mut self) -> anyhow::Result<Turn> {
        let reason = match self.conversation.turns.is_empty() {
            true => "nothing was said yet",
            false => "the turns that are left are those that the model no longer sees",
        };
        self.conversation.pop().ok_or_else(|| usage(reason))
    }

    fn regen(&mut self, rest: &str) -> anyhow::Result<Outcome> {
        let seed = match rest {
            "" => u64::from(rand::random::<u32>()),
            typed => typed.parse().map_err(|_| {
                usage(&format!(
                    "/regen takes a seed, a whole number, not '{typed}'"
                ))
            })?,
        };
        self.again(Some(seed))
    }

    fn again(&mut self, seed: Option<u64>) -> anyhow::Result<Outcome> {
        let turn = self.take_last()?;
        Ok(Outcome::Again {
            question: turn.question.clone(),
            seed: seed.or(Some(turn.seed)),
            replaced: Box::new(turn),
        })
    }

    fn retry(&mut self) -> anyhow::Result<Outcome> {
        match self.unanswered.take() {
            Some((question, seed)) => Ok(Outcome::Ask(question, Some(seed))),
            None => self.again(None),
        }
    }

    fn edit(&mut self) -> anyhow::Result<Outcome> {
        let last = self.unanswered.as_ref().map(|(question, _)| question);
        let last = last.or(self.conversation.last().map(|turn| &turn.question));
        let before = last
            .map(|question| question.content.to_text())
            .unwrap_or_default();
        let edited = editor::edit(&before)?;
        if edited.trim().is_empty() {
            return Err(usage("nothing was written: nothing is sent"));
        }
        if let Some((question, _)) = self.unanswered.take() {
            return Ok(Outcome::Ask(with_text(&question, edited), None));
        }
        match self.conversation.pop() {
            Some(turn) => Ok(Outcome::Again {
                question: with_text(&turn.question, edited),
                seed: None,
                replaced: Box::new(turn),
            }),
            None => Ok(Outcome::Ask(
                self.conversation.question(&edited.into()),
                None,
            )),
        }
    }

    fn save(&mut self, name: &str) -> anyhow::Result<String> {
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

    fn load(&mut self, name: &str) -> anyhow::Result<String> {
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

    fn export(&self, rest: &str) -> anyhow::Result<String> {
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

    fn read(&mut self, rest: &str) -> anyhow::Result<String> {
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
    fn image(&mut self, rest: &str) -> anyhow::Result<String> {
        if rest.is_empty() || rest == "-" {
            return Err(usage("/image needs the path of a picture"));
        }
        let path = path_of(rest).display().to_string();
        let source = ImageSource::parse(&path)?;
        let look = self.session.look(&source);
        // Ctrl-C while it was looked at is not for the reply.
        interrupt::take();
        let look = look?;
        self.conversation.show(&path);
        Ok(look.to_string() + "; the next message is about it")
    }

    fn tokens(&self) -> anyhow::Result<String> {
        let engine = &self.session.engine;
        let (used, context) = (self.used(), engine.context());
        let mut lines = Vec::new();
        if let Some(system) = &self.conversation.system {
            let n = engine.tokenizer().encode(system, false)?.len();
            lines.push(format!("system    {n}"));
        }
        let hidden = self.conversation.forgotten;
        for (index, turn) in self.conversation.turns.iter().enumerate() {
            let question = turn.question.content.to_text();
            let question = engine.tokenizer().encode(&question, false)?.len();
            let reply = match turn.tokens.len() {
                0 => engine.tokenizer().encode(&turn.reply, false)?.len(),
                n => n,
            };
            let seen = if index < hidden {
                " (no longer seen)"
            } else {
                ""
            };
            lines.push(format!(
                "turn {:<4} {question} asked, {reply} replied{seen}",
                index + 1
            ));
        }
        lines.push(format!(
            "{used} of {context} tokens ({:.1} %), the template's marks included; {} of them are computed",
            100.0 * self.full(),
            engine.cached()
        ));
        Ok(lines.join("\n"))
    }

    fn stats_of(&mut self, rest: &str) -> anyhow::Result<String> {
        match rest {
            "" => match &self.last {
                Some(last) => Ok(self.stats(last)),
                None => Ok("nothing was answered yet".into()),
            },
            "on" | "off" => {
                self.panel.set("stats", rest)?;
                Ok(format!("stats is {rest}"))
            }
            other => Err(usage(&format!("/stats is on or off, not '{other}'"))),
        }
    }
}

fn sessions() -> anyhow::Result<String> {
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
            Some((model, turns, last)) => format!(
                "{:width$}  {turns:>4} turns  {age:>10}  {model}  {}",
                entry.name,
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

/// So many turns, in words.
pub(super) fn turns(n: usize) -> String {
    match n {
        1 => "1 turn".into(),
        n => format!("{n} turns"),
    }
}

/// The beginning of a text, on one line.
fn beginning(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.chars().count() > most {
        true => line.chars().take(most).collect::<String>() + "…",
        false => line,
    }
}

/// The same question in other words; its images stay.
fn with_text(question: &Message, text: String) -> Message {
    let images = question.content.images();
    let images = images.map(|image| Part::Image {
        image: image.to_string(),
    });
    let images: Vec<Part> = images.collect();
    match images.is_empty() {
        true => Message::text("user", text),
        false => Message {
            role: "user".into(),
            content: Content::Parts(images.into_iter().chain([Part::Text { text }]).collect()),
        },
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

fn usage(text: &str) -> anyhow::Error {
    CliError::Usage(text.into()).into()
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

    #[test]
    fn an_edited_question_keeps_its_images() {
        let parts = vec![
            Part::Image {
                image: "a.png".into(),
            },
            Part::Text {
                text: "what?".into(),
            },
        ];
        let question = Message {
            role: "user".into(),
            content: Content::Parts(parts),
        };
        let edited = with_text(&question, "who?".into());
        assert_eq!(edited.content.to_text(), "who?");
        assert_eq!(edited.content.images().collect::<Vec<_>>(), ["a.png"]);
        assert_eq!(
            with_text(&Message::text("user", "a"), "b".into()),
            Message::text("user", "b")
        );
    }

    #[test]
    fn long_questions_are_shown_by_their_beginning() {
        assert_eq!(beginning("a\n b", 10), "a b");
        assert_eq!(beginning("héllo wörld", 5), "héllo…");
    }
}
