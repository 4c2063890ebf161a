//! What a user types and sees.
//!
//! Arguments go through two stages, as typed ([`Cli`]) and as resolved ([`settings::Settings`]), so that
//! nothing below asks what a flag meant. One file a subcommand; every subcommand writes its payload to the
//! one `out` it is handed and everything else to stderr, and returns an error whose exit code
//! [`exit::code`] knows.

mod batch;
pub mod bench;
pub mod chat;
pub mod completions;
pub mod constraint;
pub mod defaults;
pub mod devices;
pub mod environment;
pub mod exit;
pub mod global;
pub mod input;
pub mod interrupt;
pub mod list;
pub mod output;
pub mod overflow;
pub mod progress;
pub mod pull;
pub mod receipt;
pub mod report;
pub mod rm;
pub mod run;
pub mod sampling;
pub mod score;
pub mod session;
pub mod settings;
pub mod show;
pub mod state;
pub mod terminal;
pub mod thinking;
pub mod threads;
pub mod tts;
pub mod verify;
pub mod vision;
pub mod voices;
pub mod waiting;

use std::io::{BufWriter, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::kernels::Simd;
use crate::models::{Task, ARCHITECTURES};
use settings::Settings;

/// The command line as typed.
#[derive(Debug, Parser)]
#[command(
    name = "crane",
    version,
    about = "Run language, speech and vision models on your own machine",
    long_about = "Run language, speech and vision models on your own machine.\n\n  \
                  crane run smollm2-135m \"Why is the sky blue?\"    fetch a 98 MB model and ask it\n  \
                  git diff | crane run qwen2.5-coder-1.5b \"Review this.\"\n  \
                  crane chat qwen2.5-1.5b                           a conversation\n  \
                  crane tts \"Good morning.\" -o morning.wav         speech\n  \
                  crane vision qwen2.5-vl-3b photo.jpg -p \"What is this?\"",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: global::GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// One row a subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch a model's files into the Hugging Face cache
    Pull(pull::PullArgs),
    /// List the models on this machine
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show what a model is, from its headers alone
    Show(show::ShowArgs),
    /// Remove a model from the cache
    Rm(rm::RmArgs),
    /// Check a model's files against their checksums
    Verify(verify::VerifyArgs),
    /// Answer one prompt, or a file of them
    Run(Box<run::RunArgs>),
    /// Run again what 'crane run --receipt' wrote down, and say whether the same comes
    Replay(receipt::ReplayArgs),
    /// Hold a conversation
    Chat(chat::ChatArgs),
    /// Speak a text
    Tts(Box<tts::TtsArgs>),
    /// Answer a question about images
    Vision(Box<vision::VisionArgs>),
    /// List, show or remove the voices that 'crane tts --save-voice' kept
    Voices(voices::VoicesArgs),
    /// Score a text: negative log-likelihood and perplexity
    Score(score::ScoreArgs),
    /// Measure speed, beside the machine's own limit
    Bench(bench::BenchArgs),
    /// Say what this binary can compute on, and why not on the rest
    Devices,
    /// Print a shell's completion script
    Completions(completions::CompletionsArgs),
    /// Print the manual page (roff)
    Man,
}

const MODEL_NAMES: &str = "\
Model names:
  alias[:quant]                  qwen2.5-0.5b, qwen2.5-0.5b:q8_0
  org/repo[@revision][:quant]    Qwen/Qwen2.5-0.5B-Instruct, Qwen/Qwen3-0.6B-GGUF:q8_0
  ./folder                       a folder in Hugging Face's layout (config.json, *.safetensors)
  file.gguf                      a GGUF file";

const EXIT_CODES: &str = "\
Exit codes:
  0    ok
  1    failed while running
  2    wrong usage
  3    model or file missing (also one that --offline does not find)
  4    network or authorisation
  5    does not fit: context, memory or disk; no GPU with --require-device
  6    corrupt file or checksum mismatch
  7    a condition was not met
  130  interrupted (Ctrl-C)
  141  stdout was closed by its reader";

/// The command with the parts of the help that are known only at run time.
pub fn command() -> clap::Command {
    let of = |task: Task| {
        let rows = ARCHITECTURES.iter().filter(move |row| row.task == task);
        rows.map(|row| row.hf).collect::<Vec<_>>().join(" ")
    };
    let architectures = format!(
        "\n\nArchitectures:\n  {}\n  {} (images and text)",
        of(Task::Text),
        of(Task::Vision)
    );
    Cli::command()
        .after_help(
            "'crane --help' lists model names and exit codes; 'crane COMMAND --help' its flags.",
        )
        .after_long_help(leak(format!(
            "{MODEL_NAMES}{architectures}\n\n{EXIT_CODES}"
        )))
}

/// clap holds its texts for the whole run of the program.
fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// Parses, runs and gives the exit code. Never panics and never prints a backtrace.
pub fn main() -> ExitCode {
    exit::install_panic_hook();
    let code = panic::catch_unwind(AssertUnwindSafe(run_command_line)).unwrap_or(exit::FAILED);
    ExitCode::from(code)
}

fn run_command_line() -> u8 {
    let typed: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let command = command()
        .long_version(leak(devices::long_version()))
        .color(terminal::clap_color(&typed));
    let parsed = command
        .try_get_matches_from(typed)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(message) => return exit::usage(&message),
    };
    let color = cli.global.color;
    Simd::limit(cli.global.simd.map(Simd::from));
    let result =
        Settings::resolve(&cli.global, &|name| std::env::var(name).ok()).and_then(|settings| {
            let asked = match &cli.command {
                Command::Bench(args) => args.most_threads(settings.threads),
                _ => settings.threads,
            };
            let threads = threads::configure(asked)?;
            if threads < asked {
                settings.note(&format!(
                    "{asked} threads would wait for each other on this machine: computing with {threads}"
                ));
            }
            interrupt::install()?;
            let mut out = BufWriter::new(output::Stdout::lock());
            let result = dispatch(cli.command, &settings, &mut out);
            // What was written before a failure belongs to the reader of the pipe.
            let flushed = out.flush();
            result.and(flushed.map_err(anyhow::Error::from))
        });
    match result {
        Ok(()) => exit::OK,
        Err(error) => exit::report(
            &error,
            terminal::Terminal::detect(color, &|n| std::env::var(n).ok()).stderr_color,
        ),
    }
}

fn dispatch(command: Command, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Pull(args) => pull::run(args, settings, out),
        Command::List(args) => list::run(args, settings, out),
        Command::Show(args) => show::run(&args, settings, out),
        Command::Rm(args) => rm::run(args, settings, out),
        Command::Verify(args) => verify::run(args, settings, out),
        Command::Run(args) => run::run(&args, settings, out),
        Command::Replay(args) => receipt::replay(&args, settings, out),
        Command::Chat(args) => chat::run(&args, settings, out),
        Command::Tts(args) => tts::run(&args, settings, out),
        Command::Vision(args) => vision::run(&args, settings, out),
        Command::Voices(args) => voices::run(&args, settings, out),
        Command::Score(args) => score::run(&args, settings, out),
        Command::Bench(args) => bench::run(&args, settings, out),
        Command::Devices => devices::run(settings, out),
        Command::Completions(args) => completions::run(&args, out),
        Command::Man => completions::man(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().build();
        command().debug_assert();
    }

    #[test]
    fn long_help_lists_every_exit_code_and_name_form() {
        let help = command().render_long_help().to_string();
        for code in [
            "0    ok", "  1 ", "  2 ", "  3 ", "  4 ", "  5 ", "  6 ", "  7 ", "130", "141",
        ] {
            assert!(help.contains(code), "{code} is not in the help");
        }
        assert!(help.contains("org/repo[@revision][:quant]"));
    }

    #[test]
    fn global_flags_are_taken_after_the_subcommand() {
        let cli = Cli::try_parse_from(["crane", "run", "m", "hi", "-t", "2", "--device", "cpu"]);
        assert_eq!(cli.unwrap().global.threads, Some(2));
    }
}
