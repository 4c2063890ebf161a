//! Exit codes: what a script may rely on.

use std::io::{self, Write};

use crate::audio::AudioError;
use crate::bench::BenchError;
use crate::generate::{ConstraintError, GenerateError};
use crate::hub::HubError;
use crate::image::{ImageError, ProcessorError};
#[cfg(feature = "cuda")]
use crate::kernels::cuda::GpuError;
use crate::models::ModelError;
use crate::speech::SpeechError;
use crate::text::TextError;
use crate::vision::VisionError;
use crate::weights::WeightsError;

/// All went well.
pub const OK: u8 = 0;
/// Failed while running.
pub const FAILED: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// A model or file is not there.
pub const MISSING: u8 = 3;
/// Network or authorisation.
pub const NETWORK: u8 = 4;
/// Does not fit the context, the memory or the disk; or a GPU that has to be taken.
pub const TOO_LARGE: u8 = 5;
/// A damaged file.
pub const CORRUPT: u8 = 6;
/// A condition that was asked for was not met.
pub const CONDITION: u8 = 7;
/// 128 + SIGINT, as a shell reports it.
pub const INTERRUPTED: u8 = 130;
/// 128 + SIGPIPE.
pub const CLOSED_PIPE: u8 = 141;

/// What the command line itself finds wrong.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Missing(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    Corrupt(String),
    #[error("{0}")]
    Condition(String),
    #[error("{0}")]
    Device(String),
    /// A GPU that has to be taken cannot be.
    #[error("{0}")]
    Required(String),
    /// It was tried.
    #[error("{0}")]
    Failed(String),
    /// Ctrl-C, and all that was there has been written.
    #[error("interrupted")]
    Interrupted,
}

/// The exit code of an error: the outermost cause that has one decides.
pub fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(cause_code).unwrap_or(FAILED)
}

fn cause_code(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<CliError>() {
        return Some(cli_code(error));
    }
    if let Some(error) = cause.downcast_ref::<HubError>() {
        return Some(hub_code(error));
    }
    if let Some(error) = cause.downcast_ref::<GenerateError>() {
        return Some(generate_code(error));
    }
    if let Some(error) = cause.downcast_ref::<ConstraintError>() {
        return Some(constraint_code(error));
    }
    if let Some(error) = cause.downcast_ref::<ModelError>() {
        return Some(model_code(error));
    }
    if let Some(error) = cause.downcast_ref::<WeightsError>() {
        return Some(weights_code(error));
    }
    #[cfg(feature = "cuda")]
    if let Some(error) = cause.downcast_ref::<GpuError>() {
        return Some(gpu_code(error));
    }
    if let Some(error) = cause.downcast_ref::<ImageError>() {
        return Some(image_code(error));
    }
    if let Some(error) = cause.downcast_ref::<VisionError>() {
        return Some(vision_code(error));
    }
    if let Some(error) = cause.downcast_ref::<BenchError>() {
        return Some(bench_code(error));
    }
    if let Some(error) = cause.downcast_ref::<TextError>() {
        return Some(text_code(error));
    }
    if let Some(error) = cause.downcast_ref::<SpeechError>() {
        return Some(speech_code(error));
    }
    if let Some(error) = cause.downcast_ref::<AudioError>() {
        return Some(audio_code(error));
    }
    cause.downcast_ref::<io::Error>().map(io_code)
}

fn cli_code(error: &CliError) -> u8 {
    match error {
        CliError::Usage(_) => USAGE,
        CliError::Missing(_) => MISSING,
        CliError::TooLarge(_) | CliError::Required(_) => TOO_LARGE,
        CliError::Corrupt(_) => CORRUPT,
        CliError::Condition(_) => CONDITION,
        CliError::Device(_) | CliError::Failed(_) => FAILED,
        CliError::Interrupted => INTERRUPTED,
    }
}

fn hub_code(error: &HubError) -> u8 {
    match error {
        HubError::BadReference(_) => USAGE,
        HubError::NotFound(_) => MISSING,
        HubError::Network(_) => NETWORK,
        HubError::NoSpace(_) => TOO_LARGE,
        HubError::Corrupt(_) => CORRUPT,
        HubError::Interrupted => INTERRUPTED,
        HubError::Io { source, .. } => file_code(source),
    }
}

fn generate_code(error: &GenerateError) -> u8 {
    match error {
        GenerateError::Model(error) => model_code(error),
        GenerateError::Text(error) => text_code(error),
        GenerateError::Constraint(error) => constraint_code(error),
        GenerateError::BadLogits { .. } => FAILED,
        GenerateError::EmptyPrompt | GenerateError::NothingToScore { .. } => USAGE,
        GenerateError::ContextFull { .. } => TOO_LARGE,
    }
}

fn constraint_code(error: &ConstraintError) -> u8 {
    match error {
        ConstraintError::DeadEnd | ConstraintError::TooComplex(_) => FAILED,
        _ => USAGE,
    }
}

fn model_code(error: &ModelError) -> u8 {
    match error {
        ModelError::UnknownArchitecture { .. } => FAILED,
        ModelError::Config { .. } => CORRUPT,
        ModelError::ContextFull { .. } | ModelError::ContextSize { .. } => TOO_LARGE,
        ModelError::Weights(error) => weights_code(error),
        #[cfg(feature = "cuda")]
        ModelError::Gpu(error) => gpu_code(error),
        ModelError::Compute(_)
        | ModelError::NoTokens
        | ModelError::Released
        | ModelError::Tokens(_) => FAILED,
    }
}

fn weights_code(error: &WeightsError) -> u8 {
    match error {
        WeightsError::Corrupt { .. } => CORRUPT,
        WeightsError::Missing { .. } => MISSING,
        WeightsError::Unsupported { .. } => FAILED,
        WeightsError::Io { source, .. } => file_code(source),
        #[cfg(feature = "cuda")]
        WeightsError::Gpu(error) => gpu_code(error),
        WeightsError::Compute(_) => FAILED,
    }
}

#[cfg(feature = "cuda")]
fn gpu_code(error: &GpuError) -> u8 {
    match error.is_memory() {
        true => TOO_LARGE,
        false => FAILED,
    }
}

fn image_code(error: &ImageError) -> u8 {
    match error {
        ImageError::Missing { .. } => MISSING,
        ImageError::Io { source, .. } => file_code(source),
        ImageError::Name { .. } => USAGE,
        ImageError::Corrupt { .. } => CORRUPT,
        ImageError::TooLarge { .. } | ImageError::TooLong { .. } => TOO_LARGE,
        ImageError::Unsupported { .. } => FAILED,
    }
}

fn vision_code(error: &VisionError) -> u8 {
    match error {
        VisionError::Image(error) => image_code(error),
        VisionError::Processor(ProcessorError::Config { .. }) => CORRUPT,
        VisionError::Processor(ProcessorError::Picture { source, .. })
            if matches!(**source, ProcessorError::Memory { .. }) =>
        {
            TOO_LARGE
        }
        VisionError::Processor(_) => FAILED,
        VisionError::Model(error) => model_code(error),
        VisionError::Weights(error) => weights_code(error),
        VisionError::Text(error) => text_code(error),
        VisionError::NoProjector { .. } => MISSING,
        VisionError::Width { .. } => CORRUPT,
        VisionError::Context { .. } => TOO_LARGE,
        VisionError::TextOnly(_) | VisionError::Places { .. } => FAILED,
    }
}

fn bench_code(error: &BenchError) -> u8 {
    match error {
        BenchError::Context { .. } | BenchError::Memory { .. } | BenchError::Buffer { .. } => {
            TOO_LARGE
        }
        BenchError::Width { .. } | BenchError::Threads { .. } | BenchError::NoImage => FAILED,
        BenchError::NoListener => MISSING,
        BenchError::Widths { .. } => CORRUPT,
        BenchError::ShortText { .. } => USAGE,
        BenchError::Model(error) => model_code(error),
        BenchError::Weights(error) => weights_code(error),
        BenchError::Vision(error) => vision_code(error),
        BenchError::Text(error) => text_code(error),
        BenchError::Generate(error) => generate_code(error),
        BenchError::Interrupted => INTERRUPTED,
    }
}

fn text_code(error: &TextError) -> u8 {
    match error {
        TextError::Tokenizer { .. } => CORRUPT,
        TextError::NoTokenizer { .. } => MISSING,
        TextError::Template { .. } => FAILED,
        TextError::NoTemplate { .. } => USAGE,
    }
}

fn speech_code(error: &SpeechError) -> u8 {
    match error {
        SpeechError::Audio(error) => audio_code(error),
        SpeechError::Model(error) => model_code(error),
        SpeechError::Weights(error) => weights_code(error),
        SpeechError::Generate(error) => generate_code(error),
        SpeechError::Text(error) => text_code(error),
        SpeechError::Voice(_) => CORRUPT,
        SpeechError::Context { .. } => TOO_LARGE,
        SpeechError::Io(error) => io_code(error),
        SpeechError::Interrupted => INTERRUPTED,
    }
}

fn audio_code(error: &AudioError) -> u8 {
    match error {
        AudioError::Missing { .. } => MISSING,
        AudioError::Io { source, .. } => file_code(source),
        AudioError::Corrupt { .. } => CORRUPT,
        AudioError::TooLong { .. } => TOO_LARGE,
        AudioError::Unsupported { .. }
        | AudioError::Rate { .. }
        | AudioError::TooShort { .. }
        | AudioError::Silent { .. } => FAILED,
    }
}

/// A bare io error comes from stdout or from a file that the user named.
fn io_code(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CLOSED_PIPE,
        _ => file_code(error),
    }
}

fn file_code(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => MISSING,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory => {
            TOO_LARGE
        }
        _ => FAILED,
    }
}

/// The error and its causes on one line. A cause that the text above it already quotes is left out.
pub fn message(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = one_line(&cause.to_string());
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}

/// candle appends a backtrace to its errors when RUST_BACKTRACE is set; it begins at frame 0.
fn one_line(text: &str) -> String {
    let text = text.split("\n   0: ").next().unwrap_or(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Says on stderr what went wrong and gives the exit code. A closed pipe and Ctrl-C need no words.
pub fn report(error: &anyhow::Error, color: bool) -> u8 {
    let code = code(error);
    let silent = code == CLOSED_PIPE
        || error
            .chain()
            .any(|cause| matches!(cause.downcast_ref(), Some(CliError::Interrupted)))
        || matches!(error.downcast_ref(), Some(SpeechError::Interrupted));
    if !silent {
        let label = match color {
            true => "\x1b[1;31merror:\x1b[0m",
            false => "error:",
        };
        let _ = writeln!(io::stderr(), "{label} {}", message(error));
    }
    code
}

/// What clap answers instead of a parsed command line: help and version (0, stdout) or an error (2, stderr),
/// which is one line as all errors are.
pub fn usage(answer: &clap::Error) -> u8 {
    let missing = clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    let printed = match answer.use_stderr() && answer.kind() != missing {
        true => writeln!(io::stderr(), "{}", usage_line(&answer.to_string())),
        false => answer.print(),
    };
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => CLOSED_PIPE,
        _ => u8::try_from(answer.exit_code()).unwrap_or(USAGE),
    }
}

/// clap's message without its usage paragraph.
fn usage_line(text: &str) -> String {
    format!("{}; --help lists what is possible", usage_part(text))
}

/// What clap finds wrong, on one line.
pub fn usage_text(error: &clap::Error) -> String {
    let text = usage_part(&error.to_string());
    text.strip_prefix("error: ").unwrap_or(&text).to_string()
}

fn usage_part(text: &str) -> String {
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    said.join(" ")
}

thread_local! {
    static EXPECTED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `probe`, whose panic is an answer and not a bug (a GPU library that cannot be loaded).
pub fn catch<T>(probe: impl FnOnce() -> T) -> Result<T, String> {
    EXPECTED.set(true);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(probe));
    EXPECTED.set(false);
    result.map_err(|payload| panic_text(payload.as_ref()))
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    one_line(text)
}

/// A panic is a bug of crane: one line that says so, instead of a backtrace.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        if EXPECTED.get() {
            return;
        }
        let place = info
            .location()
            .map(|at| format!(" ({}:{})", at.file(), at.line()))
            .unwrap_or_default();
        let text = panic_text(info.payload());
        let _ = writeln!(
            io::stderr(),
            "error: crane hit a bug: {text}{place}; please report it with the command you typed"
        );
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn code_of(error: impl Into<anyhow::Error>) -> u8 {
        code(&error.into())
    }

    fn io_error(kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, "text")
    }

    #[test]
    fn every_kind_of_error_has_its_code() {
        assert_eq!(code_of(CliError::Usage("x".into())), 2);
        assert_eq!(code_of(CliError::Interrupted), 130);
        assert_eq!(code_of(CliError::Condition("x".into())), 7);
        assert_eq!(code_of(CliError::Device("x".into())), 1);
        assert_eq!(code_of(CliError::Required("x".into())), 5);
        assert_eq!(code_of(HubError::BadReference("x".into())), 2);
        assert_eq!(code_of(HubError::NotFound("x".into())), 3);
        assert_eq!(code_of(HubError::Network("x".into())), 4);
        assert_eq!(code_of(HubError::NoSpace("x".into())), 5);
        assert_eq!(code_of(HubError::Corrupt("x".into())), 6);
        assert_eq!(code_of(HubError::Interrupted), 130);
        assert_eq!(
            code_of(GenerateError::ContextFull {
                needed: 2,
                limit: 1
            }),
            5
        );
        assert_eq!(
            code_of(TextError::NoTemplate { file: "x".into() }),
            USAGE,
            "the remedy is another flag"
        );
        assert_eq!(
            code_of(BenchError::Context {
                test: "pp9".into(),
                needed: 9,
                limit: 8
            }),
            5
        );
        assert_eq!(code_of(anyhow::anyhow!("anything")), 1);
    }

    #[test]
    #[cfg(feature = "cuda")]
    fn a_gpu_without_room_is_5_and_one_that_fails_is_1_wherever_it_happens() {
        let full = || GpuError::OutOfMemory {
            asked: 3,
            free: 2,
            total: 4,
        };
        let driver = || GpuError::NoMemory { call: "a call" };
        let failed = || GpuError::Failed {
            call: "a call",
            reason: "a reason".into(),
        };
        for (error, expected) in [(full(), 5), (driver(), 5), (failed(), 1)] {
            let in_model = ModelError::Gpu(error.clone());
            let in_weights = WeightsError::Gpu(error.clone());
            assert_eq!(code_of(error), expected);
            assert_eq!(code_of(GenerateError::Model(in_model)), expected);
            assert_eq!(code_of(ModelError::Weights(in_weights)), expected);
        }
        let speech = SpeechError::Generate(GenerateError::Model(ModelError::Gpu(full())));
        assert_eq!(code_of(speech), 5);
        let bench = BenchError::Model(ModelError::Gpu(failed()));
        assert_eq!(code_of(bench), 1);
        let line = message(&GenerateError::Model(ModelError::Gpu(full())).into());
        assert!(
            line.contains("2 of 4 MiB") && line.contains("--ctx-size"),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn the_code_is_found_through_contexts_and_wrapped_errors() {
        let corrupt = WeightsError::Corrupt {
            file: "a.gguf".into(),
            reason: "cut short".into(),
        };
        let wrapped = anyhow::Error::from(GenerateError::Model(ModelError::Weights(corrupt)))
            .context("while loading");
        assert_eq!(code(&wrapped), 6);
    }

    #[test]
    fn a_usage_error_is_one_line() {
        let text = "error: invalid value 'x' for '--format <F>'\n  [possible values: a, b]\n\nUsage: crane\n\nFor more information, try '--help'.\n";
        assert_eq!(
            usage_line(text),
            "error: invalid value 'x' for '--format <F>' [possible values: a, b]; --help lists what is possible"
        );
    }

    #[test]
    fn only_stdout_ends_quietly_on_a_broken_pipe() {
        assert_eq!(code_of(io_error(io::ErrorKind::BrokenPipe)), 141);
        assert_eq!(
            code_of(HubError::Io {
                context: "connection".into(),
                source: io_error(io::ErrorKind::BrokenPipe)
            }),
            1
        );
        assert_eq!(code_of(io_error(io::ErrorKind::NotFound)), 3);
        assert_eq!(code_of(io_error(io::ErrorKind::StorageFull)), 5);
    }

    #[test]
    fn causes_are_joined_on_one_line_and_not_repeated() {
        let error = HubError::Io {
            context: "reading a".into(),
            source: io_error(io::ErrorKind::Other),
        };
        assert_eq!(message(&error.into()), "reading a: text");
        let error = Err::<(), _>(io_error(io::ErrorKind::Other))
            .context("two\nlines")
            .unwrap_err();
        assert_eq!(message(&error), "two lines: text");
    }

    #[test]
    fn an_expected_panic_becomes_text() {
        let answer = catch(|| -> u8 { panic!("no library") });
        assert_eq!(answer, Err("no library".to_string()));
    }
}
