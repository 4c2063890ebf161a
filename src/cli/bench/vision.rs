//! `crane bench --task vision`.

use std::io::Write;

use crate::bench::parts::Outcome;
use crate::bench::report::Export;
use crate::bench::vision::{self, Model};
use crate::cli::devices::Purpose;
use crate::cli::exit::CliError;
use crate::cli::session;
use crate::cli::settings::Settings;
use crate::hub::catalogue::Task;
use crate::models::Part;

use super::parts::{self, Bench, Decoder, Kind, Stand};
use super::{BenchArgs, BenchTask};

/// What precedes the name of a model with seeded weights.
const SYNTHETIC: &str = "synthetic:";

/// Measures everything, then prints it.
pub(super) fn run(
    args: &BenchArgs,
    settings: &Settings,
    export: &dyn Export,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    args.refuse_other_flags(BenchTask::Vision)?;
    let kind = Vision { args, settings };
    parts::run(&kind, args, settings, export, out)
}

/// Models that read images.
struct Vision<'a> {
    args: &'a BenchArgs,
    settings: &'a Settings,
}

impl Kind for Vision<'_> {
    type Model = Model;
    const TEST: &'static str = "encode";

    fn sources(&self) -> Vec<String> {
        let named = self.args.models.iter().cloned();
        let seeded = self.args.synthetic.iter();
        let all: Vec<String> = named
            .chain(seeded.map(|name| format!("{SYNTHETIC}{name}")))
            .collect();
        match all.is_empty() {
            true => vec![format!("{SYNTHETIC}{}", vision::DEFAULT)],
            false => all,
        }
    }

    fn open(&self, name: &str) -> anyhow::Result<Model> {
        if let Some(name) = name.strip_prefix(SYNTHETIC) {
            return Ok(Model::synthetic(name)?);
        }
        match session::row(name)? {
            Some(row) if row.task != Task::Vision => {
                return Err(CliError::Usage(format!(
                    "'{name}' is a {} model and reads no images; measure it without --task vision",
                    row.task.name()
                ))
                .into())
            }
            _ => {}
        }
        let located = session::locate(name, self.settings)?;
        let projector = session::projector_beside(&located.path);
        Ok(Model::open(&located.path, projector.as_deref())?)
    }

    fn decoder<'m>(&self, model: &'m Model) -> Decoder<'m> {
        Decoder {
            checkpoint: model.decoder(),
            // How many tokens the image becomes, the encoder tells.
            context: None,
            // The encoder is gone before the language model comes.
            beside: Part::default(),
        }
    }

    fn file(&self, model: &Model) -> String {
        model.file()
    }

    fn measure(&self, stand: &mut Stand<Model>, bench: &mut Bench) -> Vec<Outcome> {
        let size = self.args.image_size.unwrap_or([1024, 768]);
        let mut image = None;
        let mut rows = stand.measured(Purpose::Images, bench, &mut |subject, bench| {
            let (request, book) = (&bench.request, &mut bench.book);
            let (rows, made) = vision::look(subject, request, size, book, &bench.progress);
            image = made;
            rows
        });
        if !self.args.encoder_only {
            let image = image.as_ref();
            rows.extend(
                stand.measured(Purpose::Model, bench, &mut |subject, bench| {
                    let (request, book) = (&bench.request, &mut bench.book);
                    vision::read(subject, request, image, book, &bench.progress)
                }),
            );
        }
        rows
    }
}
