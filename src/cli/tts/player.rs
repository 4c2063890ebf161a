//! `--play`: somebody else's program plays the samples.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::cli::exit::CliError;

/// A running player.
pub struct Player {
    child: Child,
    samples: ChildStdin,
}

/// Players and their arguments for 16-bit samples in one channel on stdin; `{rate}` is their number a second.
const PLAYERS: [(&str, &[&str]); 4] = [
    (
        "aplay",
        &["-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", "{rate}"],
    ),
    (
        "paplay",
        &["--raw", "--format=s16le", "--channels=1", "--rate={rate}"],
    ),
    (
        "ffplay",
        &[
            "-loglevel",
            "error",
            "-nodisp",
            "-autoexit",
            "-f",
            "s16le",
            "-ar",
            "{rate}",
            "-i",
            "-",
        ],
    ),
    (
        "play",
        &[
            "-q", "-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", "{rate}", "-",
        ],
    ),
];

impl Player {
    /// Starts the first player that there is.
    pub fn start(rate: u32) -> Result<Self, CliError> {
        for (program, arguments) in PLAYERS {
            let arguments = arguments
                .iter()
                .map(|argument| argument.replace("{rate}", &rate.to_string()));
            let started = Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn();
            if let Ok(mut child) = started {
                if let Some(samples) = child.stdin.take() {
                    return Ok(Self { child, samples });
                }
            }
        }
        let names: Vec<&str> = PLAYERS.iter().map(|(program, _)| *program).collect();
        Err(CliError::Missing(format!(
            "--play finds no player ({}); install one, or write a file with -o",
            names.join(", ")
        )))
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.samples.write_all(bytes)
    }

    /// Waits until all was played.
    pub fn finish(self) -> anyhow::Result<()> {
        let Self { mut child, samples } = self;
        drop(samples);
        match child.wait()?.success() {
            true => Ok(()),
            false => Err(CliError::Failed("the player failed; write a file with -o".into()).into()),
        }
    }
}
