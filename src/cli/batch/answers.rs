//! Answers in the order of the input, and how a file of them goes on after a kill.
//!
//! A file is written as it is, line by line, and not beside its name as other outputs are: what is in it survives a
//! `kill -9`. Each answer carries the hash of its line, so that another input is noticed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::Context;
use fs4::{FileExt, TryLockError};
use serde_json::Value;

use crate::cli::exit::CliError;

/// Writes answers in order; those that come too early wait.
pub struct Answers<'a> {
    to: Target<'a>,
    /// The index whose turn it is.
    next: usize,
    waiting: BTreeMap<usize, String>,
    /// What an earlier run has answered: the hashes of the lines.
    before: Vec<String>,
    /// Errors among what an earlier run wrote.
    pub failed_before: usize,
}

enum Target<'a> {
    Stdout(&'a mut dyn Write),
    File(File, String),
}

impl<'a> Answers<'a> {
    /// To `path` (None or `-`: stdout). A file that has answers is refused, or with `resume` gone on with.
    ///
    /// # Errors
    /// A file that cannot be written, that another process writes, or that holds something else than answers.
    pub fn open(
        path: Option<&Path>,
        resume: bool,
        stdout: &'a mut dyn Write,
    ) -> anyhow::Result<Self> {
        let mut answers = Self {
            to: Target::Stdout(stdout),
            next: 0,
            waiting: BTreeMap::new(),
            before: Vec::new(),
            failed_before: 0,
        };
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return match resume {
                true => Err(CliError::Usage(
                    "--resume goes on with a file; name it with -o FILE".into(),
                )
                .into()),
                false => Ok(answers),
            };
        };
        let name = path.display().to_string();
        let found = fs::metadata(path).ok();
        if found.as_ref().is_some_and(|found| found.is_dir()) {
            return Err(CliError::Usage(format!(
                "{name} is a folder; name a file in it, or '-' for stdout"
            ))
            .into());
        }
        let regular = found.as_ref().is_none_or(|found| found.is_file());
        if !regular && resume {
            return Err(CliError::Usage(format!("--resume: {name} is not a file")).into());
        }
        let mut file = OpenOptions::new()
            .read(regular)
            .write(true)
            .create(regular)
            .truncate(false)
            .open(path)
            .with_context(|| format!("writing {name}"))?;
        if regular {
            if let Err(TryLockError::WouldBlock) = FileExt::try_lock(&file) {
                return Err(CliError::Failed(format!("another process is writing {name}")).into());
            }
            if !resume && file.metadata()?.len() > 0 {
                return Err(CliError::Usage(format!(
                    "{name} is there already; go on with it by --resume, or remove it"
                ))
                .into());
            }
            answers.read_before(&mut file, &name)?;
        }
        answers.to = Target::File(file, name);
        Ok(answers)
    }

    /// Reads what is there, cuts the beginning of an answer that was not written to its end, and stands at the end.
    fn read_before(&mut self, file: &mut File, name: &str) -> anyhow::Result<()> {
        let reading = || format!("reading {name}");
        let mut whole = 0u64;
        let mut reader = BufReader::new(&mut *file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).with_context(reading)? > 0 {
            let begins = format!("{{\"index\":{},", self.next).into_bytes();
            if !line.ends_with(b"\n") && (line.starts_with(&begins) || begins.starts_with(&line)) {
                break;
            }
            let answer: Option<Value> = serde_json::from_slice(&line).ok();
            let answer = answer.unwrap_or_default();
            let index = answer.get("index").and_then(Value::as_u64);
            let print = answer.get("input").and_then(Value::as_str);
            let ended = line.ends_with(b"\n") && index == Some(self.next as u64);
            let (true, Some(print)) = (ended, print) else {
                return Err(CliError::Usage(format!(
                    "{name}: line {} is not the answer to the line with the index {}; nothing was changed, and \
                     another file is needed",
                    self.next + 1,
                    self.next
                ))
                .into());
            };
            self.before.push(print.to_string());
            self.failed_before += usize::from(answer.get("error").is_some());
            self.next += 1;
            whole += line.len() as u64;
            line.clear();
        }
        file.set_len(whole).with_context(reading)?;
        file.seek(SeekFrom::Start(whole)).with_context(reading)?;
        Ok(())
    }

    /// Whether an earlier run has answered the line.
    ///
    /// # Errors
    /// It has answered another one.
    pub fn has(&self, index: usize, print: &str) -> Result<bool, CliError> {
        match self.before.get(index) {
            None => Ok(false),
            Some(before) if before == print => Ok(true),
            Some(_) => Err(CliError::Usage(format!(
                "--resume: the input is another one: its line with the index {index} is not the one that was answered"
            ))),
        }
    }

    /// Checks that the input, of so many lines, had all that were answered.
    ///
    /// # Errors
    /// It had fewer.
    pub fn check_end(&self, lines: usize) -> Result<(), CliError> {
        match self.before.len() > lines {
            true => Err(CliError::Usage(format!(
                "--resume: the input is another one: it has {lines} lines, and {} were answered",
                self.before.len()
            ))),
            false => Ok(()),
        }
    }

    /// Lines that an earlier run has answered.
    pub fn before(&self) -> usize {
        self.before.len()
    }

    /// Lines that are written, by this run and earlier ones.
    pub fn written(&self) -> usize {
        self.next
    }

    /// Whether they are in a file that can be gone on with.
    pub fn is_file(&self) -> bool {
        match &self.to {
            Target::Stdout(_) => false,
            Target::File(file, _) => file.metadata().is_ok_and(|found| found.is_file()),
        }
    }

    /// Takes the answer to line `index`, and writes all whose turn it is.
    ///
    /// # Errors
    /// What is written to does not take it.
    pub fn put(&mut self, index: usize, answer: &Value) -> anyhow::Result<()> {
        self.waiting.insert(index, format!("{answer}\n"));
        while let Some(line) = self.waiting.remove(&self.next) {
            match &mut self.to {
                Target::Stdout(out) => {
                    out.write_all(line.as_bytes())?;
                    out.flush()?;
                }
                Target::File(file, name) => file.write_all(line.as_bytes()).map_err(|error| {
                    io::Error::new(error.kind(), format!("writing {name}: {error}"))
                })?,
            }
            self.next += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(index: usize) -> Value {
        json!({"index": index, "text": "é", "input": format!("sha256:{index}")})
    }

    #[test]
    fn answers_wait_for_their_turn() {
        let mut out = Vec::new();
        let mut answers = Answers::open(None, false, &mut out).unwrap();
        for index in [2, 0, 1, 4] {
            answers.put(index, &answer(index)).unwrap();
        }
        assert_eq!(answers.written(), 3);
        let written = String::from_utf8(out).unwrap();
        let expected: String = (0..3).map(|i| format!("{}\n", answer(i))).collect();
        assert_eq!(written, expected);
    }

    #[test]
    fn a_file_is_gone_on_with_wherever_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut stdout = Vec::new();
        let whole: String = (0..3).map(|i| format!("{}\n", answer(i))).collect();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole.as_bytes()[..cut]).unwrap();
            let mut answers = Answers::open(Some(&path), true, &mut stdout).unwrap();
            let done = answers.before();
            assert_eq!(
                done,
                whole.as_bytes()[..cut]
                    .iter()
                    .filter(|&&b| b == b'\n')
                    .count()
            );
            for index in 0..3 {
                let print = format!("sha256:{index}");
                assert_eq!(answers.has(index, &print).unwrap(), index < done);
                assert_eq!(answers.has(index, "sha256:x").is_err(), index < done);
                if index >= done {
                    answers.put(index, &answer(index)).unwrap();
                }
            }
            assert_eq!(answers.check_end(done.saturating_sub(1)).is_err(), done > 0);
            drop(answers);
            assert_eq!(fs::read_to_string(&path).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_this_batch_s_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut stdout = Vec::new();
        let wrong = [
            "my notes\n".to_string(),
            "my notes".to_string(),
            "{\"index\":10,\"text\":\"\"}".to_string(),
            format!("{}\nmy notes", answer(0)),
            "{}\n".to_string(),
            format!("{}\n{}\n", answer(0), answer(2)),
            format!("{}\n\n", answer(0)),
        ];
        for text in wrong {
            fs::write(&path, &text).unwrap();
            let refused = |resume: bool, stdout: &mut Vec<u8>| {
                let error = Answers::open(Some(&path), resume, stdout).err().unwrap();
                crate::cli::exit::code(&error)
            };
            assert_eq!(refused(true, &mut stdout), 2, "{text}");
            assert_eq!(refused(false, &mut stdout), 2, "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, "").unwrap();
        let first = Answers::open(Some(&path), false, &mut stdout).unwrap();
        let mut other = Vec::new();
        assert!(
            Answers::open(Some(&path), true, &mut other).is_err(),
            "two writers"
        );
        drop(first);
        assert!(Answers::open(None, true, &mut other).is_err());
        assert!(Answers::open(Some(folder.path()), false, &mut other).is_err());
    }
}
