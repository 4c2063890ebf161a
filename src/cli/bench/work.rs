//! Models, devices and number formats one after the other.

use anyhow::anyhow;
use clap::ValueEnum;

use crate::bench::{self, synthetic, Book, Request, Row, Subject, Watch};
use crate::cli::devices::{self, Place, Purpose, Wanted};
use crate::cli::exit;
use crate::cli::global::{DTypeArg, DeviceChoice};
use crate::cli::interrupt;
use crate::cli::session;
use crate::cli::settings::Settings;
use crate::models::{self, Part};
use crate::weights::{Checkpoint, DTypeChoice, Format, LoadOptions};

use super::fallen::fall_back;
use super::progress::Progress;
use super::BenchArgs;

/// Where a model comes from.
pub(super) enum Source {
    Named(String),
    Synthetic(String),
}

/// The measuring while it goes on.
pub(super) struct Work<'a> {
    args: &'a BenchArgs,
    settings: &'a Settings,
    request: Request,
    progress: Progress<'a>,
    book: Book,
    rows: Vec<Row>,
    /// The first one: its exit code is that of the command if nothing could be measured.
    error: Option<anyhow::Error>,
}

impl<'a> Work<'a> {
    pub fn new(args: &'a BenchArgs, settings: &'a Settings, request: Request) -> Self {
        Self {
            args,
            settings,
            request,
            progress: Progress::new(settings),
            book: Book::default(),
            rows: Vec::new(),
            error: None,
        }
    }

    /// Measures all models; the rows, and the first error.
    pub fn done(mut self) -> (Vec<Row>, Option<anyhow::Error>) {
        let polled = interrupt::Deferred::new();
        for source in self.args.sources() {
            self.source(&source);
        }
        drop(polled);
        self.progress.finish();
        (self.rows, self.error)
    }

    /// All devices and formats of one model.
    fn source(&mut self, source: &Source) {
        let opened = match source {
            Source::Named(name) => match self.open(name) {
                Ok(checkpoint) => Some(checkpoint),
                Err(error) => return self.refuse_all(name, error),
            },
            // Made anew for each type that it is to be stored in.
            Source::Synthetic(_) => None,
        };
        for &device in &self.args.device {
            for (dtype, quant) in self.args.formats() {
                if interrupt::pressed() {
                    return;
                }
                let numbers = (spelled(dtype), spelled(quant));
                let made;
                let (name, checkpoint) = match (source, &opened) {
                    (Source::Named(typed), Some(opened)) => (typed.clone(), Ok(opened)),
                    (Source::Named(typed) | Source::Synthetic(typed), _) => {
                        made = synthetic::checkpoint(typed, stored(dtype));
                        (format!("synthetic:{typed}"), made.as_ref())
                    }
                };
                self.progress
                    .title(&format!("{name} {}", format_name(&numbers)));
                let checkpoint = checkpoint.map_err(|error| anyhow!(error.to_string()));
                let placed = checkpoint.and_then(|found| {
                    let options = LoadOptions {
                        dtype: dtype.into(),
                        quant: quant.choice(),
                        cache: self.settings.cache,
                        ..LoadOptions::default()
                    };
                    let wanted = Wanted {
                        device,
                        required: self.settings.require_device,
                    };
                    let told = |text: &str| self.progress.phase(text);
                    let picked = devices::pick(wanted, &told)?;
                    let (context, beside) = (self.context(found), Part::default());
                    let place = picked.place(found, options, context, beside, &told)?;
                    Ok((found, place))
                });
                match placed {
                    Ok((checkpoint, place)) => {
                        let subject = Subject {
                            name,
                            checkpoint,
                            options: place.options.clone(),
                            device: place.name.clone(),
                            dtype: numbers.0,
                            quant: numbers.1,
                        };
                        self.measure(subject, place);
                    }
                    Err(error) => self.refuse(&name, device, numbers, error),
                }
            }
        }
    }

    /// The tokens that the tests need which the model has room for; None where it has room for none.
    fn context(&self, checkpoint: &Checkpoint) -> Option<usize> {
        let limit = models::summary(checkpoint).ok()?.context_length;
        // How many tokens the text has is not known yet.
        let text = self.request.text.as_ref();
        let text = text.map(|_| limit.min(models::DEFAULT_CONTEXT));
        let tests = self.request.tests.iter().map(bench::Test::needed);
        tests.filter(|&n| n <= limit).chain(text).max()
    }

    /// A model that cannot be opened has one set of rows, whatever it was to be computed in.
    fn refuse_all(&mut self, model: &str, error: anyhow::Error) {
        let device = self.args.device.first().copied();
        if let Some(&(dtype, quant)) = self.args.formats().first() {
            let numbers = (spelled(dtype), spelled(quant));
            self.refuse(model, device.unwrap_or(DeviceChoice::Auto), numbers, error);
        }
    }

    fn open(&self, model: &str) -> anyhow::Result<Checkpoint> {
        session::refuse_other_tasks(model)?;
        let located = session::locate(model, self.settings)?;
        Ok(Checkpoint::open(&located.path)?)
    }

    fn measure(&mut self, mut subject: Subject, mut place: Place) {
        place.notes.iter().for_each(|note| self.progress.note(note));
        let mut rows = self.rows_of(&subject);
        match fall_back(&mut place, Purpose::Model, &mut rows) {
            Ok(false) => {}
            Ok(true) => {
                place.notes.iter().for_each(|note| self.progress.note(note));
                subject.options = place.options;
                subject.device = place.name;
                rows = self.rows_of(&subject);
            }
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        for outcome in rows {
            self.rows.push(outcome.row);
            if let (None, Some(error)) = (&self.error, outcome.error) {
                self.error = Some(error.into());
            }
        }
    }

    fn rows_of(&mut self, subject: &Subject) -> Vec<bench::Outcome> {
        bench::measure(subject, &self.request, &mut self.book, &self.progress)
    }

    /// Rows for a combination that does not come to be measured.
    fn refuse(
        &mut self,
        model: &str,
        device: DeviceChoice,
        numbers: (String, String),
        error: anyhow::Error,
    ) {
        let weights = format_name(&numbers);
        let (dtype, quant) = (numbers.0.as_str(), numbers.1.as_str());
        let reason = exit::message(&error);
        for &threads in &self.request.threads {
            for test in &self.request.tests {
                self.rows.push(Row {
                    weights: weights.to_string(),
                    error: Some(reason.clone()),
                    ..Row::new(model, &device.to_string(), (dtype, quant), threads, test)
                });
            }
        }
        self.error.get_or_insert(error);
    }
}

/// As the flag spells it.
pub(super) fn spelled(value: impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map_or(String::new(), |value| value.get_name().to_string())
}

pub(super) fn format_name((dtype, quant): &(String, String)) -> &str {
    match quant.as_str() {
        "none" => dtype,
        quant => quant,
    }
}

/// The type that seeded weights are stored in: what is asked for, else bf16 as most models are published.
fn stored(dtype: DTypeArg) -> Format {
    match DTypeChoice::from(dtype) {
        DTypeChoice::F32 => Format::F32,
        DTypeChoice::F16 => Format::F16,
        DTypeChoice::BF16 | DTypeChoice::Auto => Format::BF16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::global::QuantArg;

    #[test]
    fn formats_are_spelled_as_typed() {
        let names = |dtype, quant| (spelled(dtype), spelled(quant));
        let f16 = names(DTypeArg::F16, QuantArg::None);
        assert_eq!(format_name(&f16), "f16");
        assert_eq!(format_name(&names(DTypeArg::Auto, QuantArg::Q4K)), "q4k");
    }

    #[test]
    fn seeded_weights_are_stored_as_asked() {
        assert_eq!(stored(DTypeArg::F16), Format::F16);
        assert_eq!(stored(DTypeArg::Auto), Format::BF16);
    }
}
