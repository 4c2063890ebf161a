//! The models of several parts: what `crane bench --task tts` and `--task vision` share.

use std::io::Write;

use anyhow::anyhow;

use crate::bench::parts::{Outcome, Request, Row, Subject};
use crate::bench::report::Export;
use crate::bench::{Book, Watch};
use crate::cli::devices::{self, Picked, Place, Purpose, Wanted};
use crate::cli::exit::{self, CliError};
use crate::cli::global::{DTypeArg, DeviceChoice, QuantArg};
use crate::cli::interrupt;
use crate::cli::settings::Settings;
use crate::kernels::pool;
use crate::models::Part;
use crate::weights::{Checkpoint, LoadOptions};

use super::fallen::fall_back;
use super::progress::Progress;
use super::work::{format_name, spelled};
use super::BenchArgs;

/// What reads a recording, whose length is fixed.
pub(super) const LISTENING: Purpose = Purpose::Listening(&[]);

/// A kind of models with several parts.
pub(super) trait Kind {
    /// What is open when the measuring begins.
    type Model;
    /// What is measured that rows of refused models bear.
    const TEST: &'static str;

    /// The models by name, each opened when its turn comes.
    fn sources(&self) -> Vec<String>;
    /// Opens a model, fetching what is missing.
    fn open(&self, name: &str) -> anyhow::Result<Self::Model>;
    /// Its language model.
    fn decoder<'m>(&self, model: &'m Self::Model) -> Decoder<'m>;
    /// What stands for the model on the disk.
    fn file(&self, model: &Self::Model) -> String;
    /// Measures what depends on device and number type.
    fn measure(&self, stand: &mut Stand<Self::Model>, bench: &mut Bench) -> Vec<Outcome>;
    /// What [`Kind::measure_once`] takes of a GPU's memory; None where it measures nothing.
    fn once(&self, _model: &Self::Model) -> Option<Part> {
        None
    }
    /// Measures what depends on the device alone: a subject in f32, which nothing lies beside.
    fn measure_once(&self, _stand: &mut Stand<Self::Model>, _bench: &mut Bench) -> Vec<Outcome> {
        Vec::new()
    }
}

/// A language model before it is loaded.
pub(super) struct Decoder<'m> {
    pub checkpoint: &'m Checkpoint,
    /// Tokens that it is measured with, where that is known before.
    pub context: Option<usize>,
    /// What lies on a GPU at the same time.
    pub beside: Part,
}

/// A model where it is measured.
pub(super) struct Stand<'m, M> {
    subject: Subject<'m, M>,
    place: Place,
    /// Of a GPU that was not left.
    error: Option<anyhow::Error>,
}

impl<M> Stand<'_, M> {
    /// What `measure` finds here, see [`fall_back`].
    pub fn measured(
        &mut self,
        purpose: Purpose,
        bench: &mut Bench,
        measure: &mut dyn FnMut(&Subject<M>, &mut Bench) -> Vec<Outcome>,
    ) -> Vec<Outcome> {
        let mut outcomes = measure(&self.subject, bench);
        match fall_back(&mut self.place, purpose, &mut outcomes) {
            Ok(false) => outcomes,
            Ok(true) => {
                let progress = &bench.progress;
                self.place.notes.iter().for_each(|note| progress.note(note));
                self.subject.options = self.place.options.clone();
                self.subject.device = self.place.name.clone();
                measure(&self.subject, bench)
            }
            Err(error) => {
                self.error.get_or_insert(error);
                outcomes
            }
        }
    }
}

/// What measuring takes.
pub(super) struct Bench<'a> {
    pub request: Request,
    pub book: Book,
    pub progress: Progress<'a>,
}

/// Measures everything, then prints it.
pub(super) fn run<K: Kind>(
    kind: &K,
    args: &BenchArgs,
    settings: &Settings,
    export: &dyn Export,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let work = Work {
        kind,
        args,
        settings,
        bench: Bench {
            request: Request {
                threads: args.thread_counts(settings.threads, pool::threads()),
                repetitions: args.repetitions as usize,
            },
            book: Book::default(),
            progress: Progress::new(settings),
        },
        rows: Vec::new(),
        error: None,
    };
    let (rows, error) = work.done();
    export.write_parts(&rows, out)?;
    out.flush()?;
    if interrupt::pressed() {
        return Err(CliError::Interrupted.into());
    }
    match rows.iter().any(|row| row.median_ms.is_some()) {
        true => Ok(()),
        false => Err(error.unwrap_or_else(|| anyhow!("nothing was measured"))),
    }
}

/// The measuring while it goes on.
struct Work<'a, K> {
    kind: &'a K,
    args: &'a BenchArgs,
    settings: &'a Settings,
    bench: Bench<'a>,
    rows: Vec<Row>,
    /// The first one: its exit code is that of the command if nothing could be measured.
    error: Option<anyhow::Error>,
}

impl<K: Kind> Work<'_, K> {
    fn done(mut self) -> (Vec<Row>, Option<anyhow::Error>) {
        let polled = interrupt::Deferred::new();
        for name in self.kind.sources() {
            let opened = self.kind.open(&name);
            self.source(&name, opened);
        }
        drop(polled);
        self.bench.progress.finish();
        (self.rows, self.error)
    }

    /// All devices and formats of one model, and once a device what does not depend on formats.
    fn source(&mut self, name: &str, opened: anyhow::Result<K::Model>) {
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
                self.bench
                    .progress
                    .title(&format!("{name} {}", format_name(&numbers)));
                let place = match self.place(&model, device, (dtype, quant)) {
                    Ok(place) => place,
                    Err(error) => {
                        self.refuse(name, &device.to_string(), &numbers, error);
                        continue;
                    }
                };
                let mut stand = self.stand(name, &model, place, numbers);
                let rows = self.kind.measure(&mut stand, &mut self.bench);
                self.keep(rows, stand.error);
            }
            if interrupt::pressed() {
                return;
            }
            self.once(name, &model, device);
        }
    }

    /// What depends on the device alone.
    fn once(&mut self, name: &str, model: &K::Model, device: DeviceChoice) {
        let Some(part) = self.kind.once(model) else {
            return;
        };
        let numbers = ("f32".to_string(), "none".to_string());
        self.bench.progress.title(&format!("{name} {}", numbers.0));
        let told = |text: &str| self.bench.progress.phase(text);
        let picked = self.pick(device).map_err(anyhow::Error::from);
        let place = picked.and_then(|picked| picked.place_alone(LISTENING, part, &told));
        let place = match place {
            Ok(place) => place,
            Err(error) => return self.refuse(name, &device.to_string(), &numbers, error),
        };
        let mut stand = self.stand(name, model, place, numbers);
        let rows = self.kind.measure_once(&mut stand, &mut self.bench);
        self.keep(rows, stand.error);
    }

    fn stand<'m>(
        &self,
        name: &str,
        model: &'m K::Model,
        place: Place,
        (dtype, quant): (String, String),
    ) -> Stand<'m, K::Model> {
        let progress = &self.bench.progress;
        place.notes.iter().for_each(|note| progress.note(note));
        Stand {
            subject: Subject {
                name: name.to_string(),
                file: self.kind.file(model),
                model,
                options: place.options.clone(),
                device: place.name.clone(),
                dtype,
                quant,
            },
            place,
            error: None,
        }
    }

    fn pick(&self, device: DeviceChoice) -> Result<Picked, CliError> {
        let wanted = Wanted {
            device,
            required: self.settings.require_device,
        };
        devices::pick(wanted, &|text| self.bench.progress.phase(text))
    }

    /// Where the language model goes.
    fn place(
        &self,
        model: &K::Model,
        device: DeviceChoice,
        (dtype, quant): (DTypeArg, QuantArg),
    ) -> anyhow::Result<Place> {
        let picked = self.pick(device)?;
        let options = LoadOptions {
            dtype: dtype.into(),
            quant: quant.choice(),
            cache: self.settings.cache,
            ..LoadOptions::default()
        };
        let Decoder {
            checkpoint,
            context,
            beside,
        } = self.kind.decoder(model);
        let told = |text: &str| self.bench.progress.phase(text);
        picked.place(checkpoint, options, context, beside, &told)
    }

    /// Number type and quantisation of each configuration. The type counts beside a quantisation too: it is the other parts'.
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

    fn keep(&mut self, outcomes: Vec<Outcome>, error: Option<anyhow::Error>) {
        if let (None, Some(error)) = (&self.error, error) {
            self.error = Some(error);
        }
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
        for &threads in &self.bench.request.threads {
            self.rows.push(Row {
                weights: format_name(numbers).to_string(),
                error: Some(reason.clone()),
                ..Row::new(model, device, (dtype, quant), threads, K::TEST)
            });
        }
        self.error.get_or_insert(error);
    }
}
