//! `crane bench`: speed beside the machine's limit.

mod args;
mod fallen;
mod parts;
mod progress;
mod speech;
mod store;
mod vision;
mod work;

use std::io::Write;

use anyhow::anyhow;

use crate::bench::report::{Csv, Export, Json, Markdown};
use crate::bench::{compare, Request, Text};

use super::exit::CliError;
use super::input;
use super::interrupt;
use super::settings::Settings;
use crate::kernels::pool;

pub use args::BenchArgs;
use args::{BenchTask, Shape};
use work::Work;

/// Measures everything, then prints, keeps and judges it.
pub fn run(args: &BenchArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let export = export(args, settings);
    match args.task {
        BenchTask::Text => args.refuse_other_flags(BenchTask::Text)?,
        BenchTask::Tts => return speech::run(args, settings, export, out),
        BenchTask::Vision => return vision::run(args, settings, export, out),
    }
    let request = request(args, settings)?;
    if args.compare.is_none() {
        if let Some(gate) = args.fail_if.iter().find(|gate| gate.is_relative()) {
            return Err(CliError::Usage(format!(
                "--fail-if '{gate}' is a change; name the run to compare with by --compare"
            ))
            .into());
        }
    }
    let kept = args.save.as_deref().map(store::file).transpose()?;
    let earlier = match &args.compare {
        Some(name) => Some(store::read(name)?),
        None => None,
    };

    let (mut rows, error) = Work::new(args, settings, request).done();

    if let Some(earlier) = &earlier {
        let found = compare::compare(&mut rows, earlier);
        let measured = rows.iter().filter(|row| row.median_ts.is_some()).count();
        if found < measured {
            let name = args.compare.as_deref().unwrap_or_default();
            settings.note(&format!(
                "{} of {measured} rows have no measured partner in {name}",
                measured - found
            ));
        }
    }
    export.write(&rows, out)?;
    out.flush()?;
    if interrupt::pressed() {
        return Err(CliError::Interrupted.into());
    }
    if rows.iter().all(|row| row.median_ts.is_none()) {
        return Err(error.unwrap_or_else(|| anyhow!("nothing was measured")));
    }
    if let Some(file) = kept {
        store::write(&file, &rows)?;
    }
    let failures: Vec<String> = args
        .fail_if
        .iter()
        .filter_map(|gate| gate.failure(&rows, earlier.as_deref().unwrap_or(&[])))
        .collect();
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CliError::Condition(format!("--fail-if {}", failures.join("; "))).into()),
    }
}

fn export(args: &BenchArgs, settings: &Settings) -> &'static dyn Export {
    match (args.format, settings.json) {
        (Some(Shape::Json), _) | (None, true) => &Json,
        (Some(Shape::Csv), _) => &Csv,
        (Some(Shape::Md), _) | (None, false) => &Markdown,
    }
}

fn request(args: &BenchArgs, settings: &Settings) -> anyhow::Result<Request> {
    let tests = args.tests();
    if tests.is_empty() {
        return Err(CliError::Usage(
            "nothing is left to measure: -p and -n are 0 and there is no --pg".into(),
        )
        .into());
    }
    let text = match &args.quality {
        None => None,
        Some(_) if args.models.is_empty() || !args.synthetic.is_empty() => {
            return Err(CliError::Usage(
                "--quality needs a model that has learnt something: name a downloaded one, without --synthetic".into(),
            )
            .into())
        }
        Some(file) => Some(Text {
            name: file.display().to_string(),
            content: input::read_named(file, settings)?,
        }),
    };
    let threads = args.thread_counts(settings.threads, pool::threads());
    Ok(Request {
        tests,
        threads,
        repetitions: args.repetitions as usize,
        text,
    })
}
