//! `crane bench --task tts`.

use std::io::Write;

use anyhow::anyhow;

use crate::bench::report::Export;
use crate::bench::speech::{self, Model, Outcome, Request, Row, Subject, Test};
use crate::bench::{Book, Watch};
use crate::cli::exit::{self, CliError};
use crate::cli::global::{DTypeArg, DeviceChoice, QuantArg};
use crate::cli::settings::Settings;
use crate::cli::{devices, interrupt, session};
use crate::hub::catalogue::Task;
use crate::weights::LoadOptions;

use super::progress::Progress;
use super::work::{format_name, spelled};
use super::BenchArgs;

/// The name of the rows where no model is named.
const SYNTHETIC: &str = "synthetic:spark-tts-0.5b";

/// Measures everything, then prints it.
pub(super) fn run(
    args: &BenchArgs,
    settings: &Settings,
    export: &dyn Export,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    refuse_flags_of_text(args)?;
    let work = Work {
        args,
        settings,
        request: Request {
            threads: args.thread_counts(settings.threads),
            repetitions: args.repetitions as usize,
        },
        progress: Progress::new(settings),
        book: Book::default(),
        rows: Vec::new(),
        error: None,
    };
    let (rows, error) = work.done();
    export.write_speech(&rows, out)?;
    out.flush()?;
    if interrupt::pressed() {
        return Err(CliError::Interrupted.into());
    }
    match rows.iter().any(|row| row.median_ms.is_some()) {
        true => Ok(()),
        false => Err(error.unwrap_or_else(|| anyhow!("nothing was measured"))),
    }
}

fn refuse_flags_of_text(args: &BenchArgs) -> Result<(), CliError> {
    let flags = [
        ("--n-prompt", !args.n_prompt.is_empty()),
        ("--n-gen", !args.n_gen.is_empty()),
        ("--n-depth", !args.n_depth.is_empty()),
        ("--pg", !args.pg.is_empty()),
        ("--synthetic", !args.synthetic.is_empty()),
        ("--quality", args.quality.is_some()),
        ("--save", args.save.is_some()),
        ("--compare", args.compare.is_some()),
        ("--fail-if", !args.fail_if.is_empty()),
    ];
    match flags.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(CliError::Usage(format!(
            "{flag} is for models of text; 'crane bench --task tts' does not take it"
        ))),
        None => Ok(()),
    }
}

/// The measuring while it goes on.
struct Work<'a> {
    args: &'a BenchArgs,
    settings: &'a Settings,
    request: Request,
    progress: Progress<'a>,
    book: Book,
    rows: Vec<Row>,
    /// The first one: its exit code is that of the command if nothing could be measured.
    error: Option<anyhow::Error>,
}

impl Work<'_> {
    fn done(mut self) -> (Vec<Row>, Option<anyhow::Error>) {
        let polled = interrupt::Deferred::new();
        match self.args.models.as_slice() {
            [] => self.source(SYNTHETIC, Model::synthetic().map_err(Into::into)),
            models => {
                for name in models {
                    let opened = open(name, self.settings);
                    self.source(name, opened);
                }
            }
        }
        drop(polled);
        self.progress.finish();
        (self.rows, self.error)
    }

    /// All devices and formats of one model, and once what does not depend on them.
    fn source(&mut self, name: &str, opened: anyhow::Result<Model>) {
        let model = match opened {
            Ok(model) => model,
            Err(error) => {
                let device = self.args.device.first().copied();
                let device = device.unwrap_or(DeviceChoice::Auto).to_string();
                let format = self.formats().first().copied();
                let (dtype, quant) = format.unwrap_or((DTypeArg::Auto, QuantArg::None));
                return self.refuse(name, &device, &(spelled(dtype), spelled(quant)), error);
            }
        };
        for &device in &self.args.device {
            for (dtype, quant) in self.formats() {
                if interrupt::pressed() {
                    return;
                }
                let numbers = (spelled(dtype), spelled(quant));
                self.progress
                    .title(&format!("{name} {}", format_name(&numbers)));
                let picked = match devices::pick(device) {
                    Ok(picked) => picked,
                    Err(error) => {
                        self.refuse(name, &device.to_string(), &numbers, error.into());
                        continue;
                    }
                };
                if let Some(note) = picked.note {
                    self.progress.note(&note);
                }
                let subject = Subject {
                    name: name.to_string(),
                    model: &model,
                    options: LoadOptions {
                        device: picked.device,
                        dtype: dtype.into(),
                        quant: quant.choice(),
                        cache: self.settings.cache,
                        tensors: false,
                    },
                    device: picked.name,
                    dtype: numbers.0,
                    quant: numbers.1,
                };
                let request = &self.request;
                let rows = speech::speak(&subject, request, &mut self.book, &self.progress);
                self.keep(rows);
            }
        }
        if interrupt::pressed() {
            return;
        }
        self.progress.title(&format!("{name} f32"));
        let subject = Subject {
            name: name.to_string(),
            model: &model,
            options: LoadOptions::default(),
            device: "cpu".into(),
            dtype: "f32".into(),
            quant: "none".into(),
        };
        let rows = speech::listen(&subject, &self.request, &mut self.book, &self.progress);
        self.keep(rows);
    }

    /// Number type and quantisation of each configuration. The type counts beside a quantisation too: it is the codec's.
    fn formats(&self) -> Vec<(DTypeArg, QuantArg)> {
        let mut all = Vec::new();
        for &quant in &self.args.quant {
            for &dtype in &self.args.dtype {
                if !all.contains(&(dtype, quant)) {
                    all.push((dtype, quant));
                }
            }
        }
        all
    }

    fn keep(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            self.rows.push(outcome.row);
            if let (None, Some(error)) = (&self.error, outcome.error) {
                self.error = Some(error.into());
            }
        }
    }

    /// Rows for what does not come to be measured.
    fn refuse(
        &mut self,
        model: &str,
        device: &str,
        numbers: &(String, String),
        error: anyhow::Error,
    ) {
        let reason = exit::message(&error);
        let (dtype, quant) = (numbers.0.as_str(), numbers.1.as_str());
        for &threads in &self.request.threads {
            self.rows.push(Row {
                weights: format_name(numbers).to_string(),
                error: Some(reason.clone()),
                ..Row::new(model, device, (dtype, quant), threads, Test::Speech)
            });
        }
        self.error.get_or_insert(error);
    }
}

/// The parts of the model that `typed` names, fetching what is missing.
fn open(typed: &str, settings: &Settings) -> anyhow::Result<Model> {
    match session::row(typed)? {
        Some(row) if row.task != Task::Speech => {
            return Err(CliError::Usage(format!(
                "'{typed}' is a {} model and does not speak; measure it without --task tts",
                row.task.name()
            ))
            .into())
        }
        _ => {}
    }
    let located = session::locate(typed, settings)?;
    Ok(Model::open(&located.path)?)
}
