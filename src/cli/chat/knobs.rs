//! What `/set` changes: the flags of a chat that make sense in the middle of it.

use clap::{Args, CommandFactory, Parser, ValueEnum};

use crate::cli::exit::{usage_text, CliError};
use crate::cli::sampling::SamplingArgs;
use crate::cli::thinking::{Switch, ThinkingArgs};

/// How replies are made and shown.
#[derive(Debug, Clone, Default, Args)]
pub struct ReplyArgs {
    /// Times, speeds and memory on stderr after each reply
    #[arg(long)]
    pub stats: bool,
    #[command(flatten)]
    pub thinking: ThinkingArgs,
    /// Colour Markdown on a terminal
    #[arg(long, value_name = "on|off", default_value = "on")]
    pub markdown: Switch,
    /// What to do when the conversation no longer fits the context
    #[arg(long, value_name = "WHAT", default_value = "error")]
    pub overflow: ChatOverflow,
}

/// `--overflow` of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ChatOverflow {
    /// Refuse the message
    #[default]
    Error,
    /// Leave out the oldest turns, and say which
    Oldest,
    /// Put a summary in the place of the older turns
    Summarise,
}

/// All settings, as the command line and `/set` left them.
#[derive(Debug, Clone, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub struct Knobs {
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub reply: ReplyArgs,
}

/// The settings with what they were at the start.
#[derive(Debug)]
pub struct Panel {
    pub now: Knobs,
    start: Knobs,
    set: Vec<(String, String)>,
}

impl Panel {
    pub fn new(start: Knobs) -> Self {
        Self {
            now: start.clone(),
            start,
            set: Vec::new(),
        }
    }

    /// The names that `/set` takes.
    pub fn names() -> Vec<String> {
        let command = Knobs::command();
        let names = command.get_arguments().filter_map(|arg| arg.get_long());
        names
            .filter(|name| *name != "ctx-size")
            .map(|name| name.replace('-', "_"))
            .collect()
    }

    /// `/set NAME VALUE`; all is as it was where that makes no sense.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), CliError> {
        let name = name.trim_start_matches('-').replace('_', "-");
        if name == "ctx-size" {
            return Err(CliError::Usage(
                "the size of the context is chosen at the start: leave, and come back with -C and --ctx-size".into(),
            ));
        }
        let command = Knobs::command();
        let known = command.get_arguments().find(|arg| {
            arg.get_long() == Some(name.as_str())
                || arg
                    .get_visible_aliases()
                    .is_some_and(|all| all.contains(&name.as_str()))
        });
        let Some(argument) = known else {
            return Err(CliError::Usage(format!(
                "there is no setting '{name}'; these are: {}",
                Self::names().join(", ")
            )));
        };
        let long = argument.get_long().unwrap_or_default().to_string();
        let mut set = self.set.clone();
        set.retain(|(other, _)| *other != long);
        if value != "default" {
            set.push((long, value.to_string()));
        }
        self.now = apply(&self.start, &set)?;
        self.set = set;
        Ok(())
    }

    /// What was set, in order.
    pub fn changes(&self) -> &[(String, String)] {
        &self.set
    }
}

fn apply(start: &Knobs, set: &[(String, String)]) -> Result<Knobs, CliError> {
    let mut knobs = start.clone();
    for (name, value) in set {
        let flag = match name.as_str() {
            "stats" => Some(&mut knobs.reply.stats),
            "show-thinking" => Some(&mut knobs.reply.thinking.show_thinking),
            "ignore-eos" => Some(&mut knobs.sampling.ignore_eos),
            _ => None,
        };
        match (flag, value.as_str()) {
            (Some(flag), "on" | "true") => *flag = true,
            (Some(flag), "off" | "false") => *flag = false,
            (Some(_), _) => {
                return Err(CliError::Usage(format!(
                    "{name} is on or off, not '{value}'"
                )))
            }
            (None, _) => update(&mut knobs, name, value)?,
        }
    }
    Ok(knobs)
}

/// Sets one of the settings that have a value.
fn update(knobs: &mut Knobs, name: &str, value: &str) -> Result<(), CliError> {
    let before = knobs.clone();
    knobs
        .try_update_from([format!("--{name}={value}")])
        .map_err(|error| CliError::Usage(usage_text(&error)))?;
    // clap takes a default for a value that was given.
    knobs.sampling.ignore_eos = before.sampling.ignore_eos;
    knobs.reply.stats = before.reply.stats;
    knobs.reply.thinking.show_thinking = before.reply.thinking.show_thinking;
    if name != "markdown" {
        knobs.reply.markdown = before.reply.markdown;
    }
    if name != "overflow" {
        knobs.reply.overflow = before.reply.overflow;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(line: &[&str]) -> Panel {
        Panel::new(Knobs::try_parse_from(line).unwrap())
    }

    #[test]
    fn the_definition_is_sound() {
        Knobs::command().debug_assert();
    }

    #[test]
    fn settings_change_and_come_back() {
        let mut panel = panel(&["--temp", "0.5", "--stats"]);
        panel.set("temp", "0.9").unwrap();
        panel.set("top_k", "5").unwrap();
        panel.set("stats", "off").unwrap();
        panel.set("think", "off").unwrap();
        panel.set("presence_penalty", "-0.5").unwrap();
        let now = &panel.now;
        assert_eq!(
            (now.sampling.temp, now.sampling.top_k),
            (Some(0.9), Some(5))
        );
        assert_eq!(now.sampling.presence_penalty, Some(-0.5));
        assert!(!now.reply.stats);
        assert_eq!(now.reply.thinking.think, Some(Switch::Off));
        panel.set("temperature", "default").unwrap();
        panel.set("stats", "default").unwrap();
        assert_eq!(panel.now.sampling.temp, Some(0.5));
        assert!(panel.now.reply.stats);
        assert_eq!(panel.now.sampling.top_k, Some(5));
    }

    #[test]
    fn one_setting_leaves_the_others() {
        let mut panel = panel(&[
            "--markdown",
            "off",
            "--overflow",
            "oldest",
            "--ignore-eos",
            "--show-thinking",
        ]);
        panel.set("temp", "0.9").unwrap();
        panel.set("stop", "x").unwrap();
        let now = &panel.now;
        assert_eq!(now.reply.markdown, Switch::Off);
        assert_eq!(now.reply.overflow, ChatOverflow::Oldest);
        assert!(now.sampling.ignore_eos && now.reply.thinking.show_thinking);
        assert_eq!(now.sampling.temp, Some(0.9));
        panel.set("overflow", "summarise").unwrap();
        panel.set("markdown", "on").unwrap();
        assert_eq!(panel.now.reply.overflow, ChatOverflow::Summarise);
        assert_eq!(panel.now.reply.markdown, Switch::On);
    }

    #[test]
    fn what_makes_no_sense_changes_nothing() {
        let mut panel = panel(&["--temp", "0.5"]);
        for (name, value) in [
            ("temp", "hot"),
            ("temp", ""),
            ("tempo", "1"),
            ("stats", "2"),
            ("ctx_size", "4096"),
            ("overflow", "middle"),
            ("", ""),
        ] {
            let error = panel.set(name, value).unwrap_err().to_string();
            assert_eq!(error.lines().count(), 1, "{error}");
            assert_eq!(panel.now.sampling.temp, Some(0.5));
        }
        assert!(panel.changes().is_empty());
    }

    #[test]
    fn names_can_be_set() {
        let names = Panel::names();
        assert!(
            names.contains(&"max_tokens".to_string()) && names.contains(&"overflow".to_string())
        );
        assert!(!names.contains(&"ctx_size".to_string()));
    }
}
