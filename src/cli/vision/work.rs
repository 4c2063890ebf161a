//! One answer after the other.

use std::io::{self, Write};

use serde_json::{json, Value};

use crate::cli::exit::CliError;
use crate::cli::output::Sink;
use crate::cli::report::Report;
use crate::cli::run::{self, Shape};
use crate::cli::sampling::Resolved;
use crate::cli::session::{Prompt, Session};
use crate::cli::settings::Settings;
use crate::cli::thinking::Aside;
use crate::generate::{FinishReason, Output};
use crate::image::ImageSource;
use crate::text::Message;
use crate::vision;

use super::report::images;
use super::VisionArgs;

/// A conversation to be answered.
pub struct Job {
    pub messages: Vec<Message>,
    pub sources: Vec<ImageSource>,
    /// What is asked, for several answers.
    pub question: String,
}

/// The loaded model with where answers go.
pub struct Work<'a> {
    pub args: &'a VisionArgs,
    pub settings: &'a Settings,
    pub shape: Shape,
    pub session: Session,
    pub resolved: Resolved,
    pub sink: Sink<'a>,
    /// The session's notes have been said.
    pub announced: bool,
}

impl Work<'_> {
    /// Answers, and writes the answer.
    pub fn answer(&mut self, job: &Job) -> anyhow::Result<FinishReason> {
        let (args, settings) = (self.args, self.settings);
        // Of many images only those of this answer are held.
        if let Some(viewer) = self.session.viewer() {
            viewer.keep(&job.sources);
        }
        let prompt = self.session.chat_prompt(&job.messages, &args.prefill)?;
        for look in &prompt.looks {
            settings.detail(&look.to_string());
        }
        self.check_room(&prompt)?;
        // An image that is refused stands alone.
        if !std::mem::replace(&mut self.announced, true) {
            self.session.announce(settings);
        }
        let logprobs = args.logprobs.map(|k| k as usize);
        let streams = !args.lines() && args.boxes.is_none();
        let options = self.resolved.options(logprobs);
        // In this shape nothing is written on the way.
        let shape = if streams { self.shape } else { Shape::Json };
        let output = {
            let aside = Aside::new(false, self.settings.terminal);
            run::generate(
                &mut self.session,
                &prompt,
                &options,
                shape,
                &mut self.sink,
                aside,
            )?
        };
        let interrupted = output.finish_reason == FinishReason::Interrupted;
        if interrupted && self.shape == Shape::Text && (self.sink.is_file() || !streams) {
            settings.note("interrupted; what was answered so far is not written");
            return Err(CliError::Interrupted.into());
        }
        let boxes = self.boxes(&prompt, &output)?;
        self.write(job, &prompt, &output, boxes)?;
        if args.stats {
            let report = self.report(&prompt, &output, None);
            settings.terminal.note(&report.stats());
        }
        Ok(output.finish_reason)
    }

    /// More tokens than the context holds are refused with what can be done.
    fn check_room(&self, prompt: &Prompt) -> Result<(), CliError> {
        let context = self.session.engine.context();
        let needed = prompt.ids.len();
        if needed < context {
            return Ok(());
        }
        let images: usize = prompt.looks.iter().map(|look| look.tokens()).sum();
        Err(CliError::TooLarge(format!(
            "the prompt has {needed} tokens, {images} of them of {} image(s), and the context holds {context}; set a \
             smaller --max-pixels, or a larger --ctx-size as far as the model goes",
            prompt.looks.len()
        )))
    }

    /// The boxes of the answer, where they are asked for.
    fn boxes(&self, prompt: &Prompt, output: &Output) -> anyhow::Result<Option<Value>> {
        let (Some(_), [look]) = (self.args.boxes, &prompt.looks[..]) else {
            return Ok(None);
        };
        let text = format!("{}{}", self.args.prefill, output.text);
        let found = vision::boxes(&text, look.resized, look.original);
        if found.is_empty() && !text.contains("[]") {
            return Err(CliError::Condition(format!(
                "the answer names no boxes: \"{}\"; ask for them ('Locate every … and give its bbox_2d in JSON')",
                text.trim()
            ))
            .into());
        }
        Ok(Some(found.into()))
    }

    fn report<'r>(
        &'r self,
        prompt: &'r Prompt,
        output: &'r Output,
        boxes: Option<Value>,
    ) -> Report<'r> {
        Report {
            session: &self.session,
            settings: &self.resolved,
            prompt,
            prefill: &self.args.prefill,
            truncated_tokens: 0,
            overflow: "error",
            threads: self.settings.threads,
            output,
            thinking: "",
            logprobs: self.args.logprobs.is_some(),
            constraint: None,
            choices: None,
            images: Some(images(&prompt.looks)),
            boxes,
        }
    }

    fn write(
        &mut self,
        job: &Job,
        prompt: &Prompt,
        output: &Output,
        boxes: Option<Value>,
    ) -> anyhow::Result<()> {
        let short = self.args.lines() && self.args.format.is_none() && self.shape == Shape::Text;
        let line = match self.shape {
            Shape::Text if short => {
                let mut line = self.named(job);
                line["text"] = json!(output.text);
                if let Some(boxes) = boxes {
                    line["boxes"] = boxes;
                }
                line["finish_reason"] = json!(output.finish_reason);
                line.to_string()
            }
            Shape::Text => match boxes {
                Some(boxes) => serde_json::to_string(&boxes)?,
                None if self.args.lines() => output.text.trim_end().to_string(),
                // It was written as it came.
                None if output.text.ends_with('\n') => return Ok(()),
                None => String::new(),
            },
            Shape::Json | Shape::Ndjson => self.report(prompt, output, boxes).json()?.to_string(),
        };
        writeln!(self.sink, "{line}")?;
        Ok(self.sink.flush()?)
    }

    /// Which image and question a line is about.
    fn named(&self, job: &Job) -> Value {
        let labels: Vec<&str> = job.sources.iter().map(ImageSource::label).collect();
        let mut line = json!({});
        match &labels[..] {
            [one] => line["image"] = json!(one),
            several => line["images"] = json!(several),
        }
        line["prompt"] = json!(job.question);
        line
    }

    /// A line for an image that could not be answered about; false for what concerns all of them.
    pub fn report_failure(&mut self, job: &Job, error: &anyhow::Error) -> io::Result<bool> {
        if !super::report::concerns_one(error) {
            return Ok(false);
        }
        if self.args.format != Some(Shape::Text) {
            let mut line = self.named(job);
            line["error"] = json!(error.to_string());
            writeln!(self.sink, "{line}")?;
            self.sink.flush()?;
        }
        Ok(true)
    }

    /// Puts the file in its place.
    pub fn finish(self) -> anyhow::Result<()> {
        self.sink.finish()
    }
}
