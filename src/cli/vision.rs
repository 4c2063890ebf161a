//! `crane vision`: images and a question, one answer or one for each.

mod args;
mod report;
mod work;

use std::io::Write;

pub use args::VisionArgs;

use crate::generate::FinishReason;
use crate::hub::catalogue::Task;
use crate::image::ImageSource;
use crate::text::{Content, Message, Part};
use crate::vision::VisionError;

use super::exit::CliError;
use super::input;
use super::output::Sink;
use super::session::{self, Session, Sight, Wish};
use super::settings::Settings;
use work::{Job, Work};

/// What is asked where nothing else is.
const DESCRIBE: &str = "Describe this image.";

/// Reads images and question, loads the model, writes the answers.
pub fn run(args: &VisionArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    args.check(settings)?;
    let sources = args.sources()?;
    let jobs = jobs(args, &sources, settings)?;
    // A broken image is found before gigabytes are loaded.
    if !args.each {
        for source in jobs.iter().flat_map(|job| &job.sources) {
            source.probe()?;
        }
    }
    if session::row(&args.model)?.is_some_and(|row| row.task == Task::Text) {
        return Err(VisionError::TextOnly(args.model.clone()).into());
    }
    let sink = Sink::open(args.output.as_deref(), out)?;
    let mut session = Session::open(
        &args.model,
        settings,
        Wish {
            quant: args.quant.quant.choice(),
            context: args.sampling.ctx_size,
            sight: Some(Sight {
                projector: args.mmproj.clone(),
                limits: args.limits(),
            }),
        },
    )?;
    session.open_viewer(args.mmproj.as_deref(), args.limits())?;
    if let Some(viewer) = session.viewer() {
        settings.detail(&viewer.processor().describe());
    }
    let resolved = args.sampling.resolve(&session.defaults);
    let mut work = Work {
        args,
        settings,
        shape: args.shape(settings),
        session,
        resolved,
        sink,
        announced: false,
    };
    let mut failed = None;
    for job in &jobs {
        match work.answer(job) {
            Ok(FinishReason::Interrupted) => {
                failed = Some(CliError::Interrupted.into());
                break;
            }
            Ok(_) => {}
            // With many images one that cannot be read costs its own answer.
            Err(error) if args.each && work.report_failure(job, &error)? => match failed {
                // The first is the command's own, said at its end.
                None => failed = Some(error),
                Some(_) => settings.note(&error.to_string()),
            },
            Err(error) => return Err(error),
        }
    }
    work.finish()?;
    failed.map_or(Ok(()), Err)
}

/// What is to be answered: one conversation, or one for each image and question.
fn jobs(
    args: &VisionArgs,
    sources: &[ImageSource],
    settings: &Settings,
) -> anyhow::Result<Vec<Job>> {
    if let Some(path) = &args.messages {
        let messages = input::messages(path, settings)?;
        let images = messages.iter().flat_map(|m| m.content.images());
        let sources = images.map(ImageSource::parse).collect::<Result<_, _>>()?;
        return Ok(vec![Job {
            messages,
            sources,
            question: String::new(),
        }]);
    }
    let takes_stdin = sources.iter().any(ImageSource::is_stdin);
    let questions = match &args.each_prompt {
        Some(path) => {
            let text = input::read_named(path, settings)?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let lines: Vec<String> = lines.map(str::to_string).collect();
            if lines.is_empty() {
                return Err(CliError::Usage(format!(
                    "{} holds no question; it needs one on a line",
                    path.display()
                ))
                .into());
            }
            lines
        }
        None => vec![args.question(takes_stdin, settings)?],
    };
    let groups: Vec<&[ImageSource]> = match args.each {
        true => sources.chunks(1).collect(),
        false => vec![sources],
    };
    let job = |sources: &[ImageSource], question: &String| Job {
        messages: conversation(args.system.as_deref(), sources, question),
        sources: sources.to_vec(),
        question: question.clone(),
    };
    Ok(groups
        .iter()
        .flat_map(|sources| questions.iter().map(|question| job(sources, question)))
        .collect())
}

/// A question about images, which stand before it.
fn conversation(system: Option<&str>, sources: &[ImageSource], question: &str) -> Vec<Message> {
    let images = sources.iter().map(|source| Part::Image {
        image: source.spelled().to_string(),
    });
    let text = Part::Text {
        text: question.to_string(),
    };
    let asked = Message {
        role: "user".into(),
        content: Content::Parts(images.chain([text]).collect()),
    };
    let system = system.map(|text| Message::text("system", text));
    system.into_iter().chain([asked]).collect()
}
