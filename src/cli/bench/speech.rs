//! `crane bench --task tts`.

use std::io::Write;

use crate::bench::parts::Outcome;
use crate::bench::report::Export;
use crate::bench::speech::{self, Model};
use crate::cli::devices::Purpose;
use crate::cli::exit::CliError;
use crate::cli::session;
use crate::cli::settings::Settings;
use crate::hub::catalogue::Task;
use crate::models::Part;

use super::parts::{self, Bench, Decoder, Kind, Stand, LISTENING};
use super::{BenchArgs, BenchTask};

/// The name of the rows where no model is named.
const SYNTHETIC: &str = "synthetic:spark-tts-0.5b";

/// Measures everything, then prints it.
pub(super) fn run(
    args: &BenchArgs,
    settings: &Settings,
    export: &dyn Export,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    args.refuse_other_flags(BenchTask::Tts)?;
    let kind = Speech { args, settings };
    parts::run(&kind, args, settings, export, out)
}

/// Models that speak.
struct Speech<'a> {
    args: &'a BenchArgs,
    settings: &'a Settings,
}

impl Kind for Speech<'_> {
    type Model = Model;
    const TEST: &'static str = "speech";

    fn sources(&self) -> Vec<String> {
        match self.args.models.as_slice() {
            [] => vec![SYNTHETIC.to_string()],
            models => models.to_vec(),
        }
    }

    fn open(&self, name: &str) -> anyhow::Result<Model> {
        if self.args.models.is_empty() {
            return Ok(Model::synthetic()?);
        }
        match session::row(name)? {
            Some(row) if row.task != Task::Speech => {
                return Err(CliError::Usage(format!(
                    "'{name}' is a {} model and does not speak; measure it without --task tts",
                    row.task.name()
                ))
                .into())
            }
            _ => {}
        }
        let located = session::locate(name, self.settings)?;
        Ok(Model::open(&located.path)?)
    }

    fn decoder<'m>(&self, model: &'m Model) -> Decoder<'m> {
        Decoder {
            checkpoint: model.llm(),
            context: Some(speech::CONTEXT),
            beside: model.codec_part(),
        }
    }

    fn file(&self, model: &Model) -> String {
        model.file()
    }

    fn measure(&self, stand: &mut Stand<Model>, bench: &mut Bench) -> Vec<Outcome> {
        stand.measured(Purpose::Model, bench, &mut |subject, bench| {
            speech::speak(subject, &bench.request, &mut bench.book, &bench.progress)
        })
    }

    fn once(&self, model: &Model) -> Option<Part> {
        Some(model.listener_part())
    }

    fn measure_once(&self, stand: &mut Stand<Model>, bench: &mut Bench) -> Vec<Outcome> {
        stand.measured(LISTENING, bench, &mut |subject, bench| {
            speech::listen(subject, &bench.request, &mut bench.book, &bench.progress)
        })
    }
}
